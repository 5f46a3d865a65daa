"""Metrics of a score: against the true score, and as a test of a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_points, check_scores, check_weights
from convexscore.metrics.kernels import check_bandwidth
from convexscore.metrics.pairs import check_unbiased, mean_within

Score: TypeAlias = Callable[[Any], ArrayLike]


def fisher_divergence(
    score: Score,
    target_score: Score,
    X: ArrayLike,
    *,
    relative: bool = False,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Mean squared difference of two scores at the points of a sample.

    .. math:: \frac{\sum_i m_i \|s(x_i) - s^*(x_i)\|^2}{\sum_i m_i}
        \approx E\,\|s(X) - s^*(X)\|^2

    Parameters
    ----------
    score, target_score : callable
        s and the true score s*: called once, with ``X`` as it is given, and must return its shape.
    X : array (n,) or (n, d)
        Points, usually a sample of the true law that was not used in the fit.
    relative : bool
        Divide by the same mean of :math:`\|s^*\|^2`: 0 is perfect, 1 is as good as s = 0.
    sample_weight : array (n,), optional
        Weights m, for instance of a quadrature rule.

    Returns
    -------
    float
        In units of 1/x²; without units if ``relative``. (Some authors take half of it.)

    Raises
    ------
    ValueError
        If points, weights or a score are not finite or of the wrong shape, or if ``relative`` and
        the true score is zero at all points.
    TypeError
        If a score is not callable.

    Notes
    -----
    Two Gaussians N(μ, v) and N(μ*, v*), X from the second:
    :math:`(\mu - \mu^*)^2/v^2 + v^*(1/v - 1/v^*)^2`.

    References
    ----------
    A. Hyvärinen, "Estimation of non-normalized statistical models by score matching", JMLR 6
    (2005), equation 2 (half of it).

    Examples
    --------
    >>> from convexscore.metrics import fisher_divergence
    >>> fisher_divergence(lambda x: 1 - x, lambda x: -x, [-1.0, 0.0, 2.0])
    1.0
    """
    points = check_points(X, name="X", min_distinct=1)
    given = points[:, 0] if np.ndim(X) == 1 else points
    weights = check_weights(sample_weight, len(points))
    found = _evaluate(score, given, "score")
    truth = _evaluate(target_score, given, "target_score")
    value = float(np.average(_row_squares(found - truth), weights=weights))
    if not relative:
        return value
    scale = float(np.average(_row_squares(truth), weights=weights))
    if scale == 0:
        raise ValueError(
            "target_score must not be zero at all points with relative=True; got zeros only. "
            "Use relative=False or other points X."
        )
    return value / scale


def kernel_stein_discrepancy(
    score: Score, X: ArrayLike, *, bandwidth: float | None = None, unbiased: bool = False
) -> float:
    r"""Squared kernel Stein discrepancy of a sample from the law of a score.

    .. math:: \mathrm{KSD}^2 = E\,u(X, X'), \qquad u(x, y) = s(x)^T s(y)\, k
        + s(x)^T \nabla_y k + s(y)^T \nabla_x k + \mathrm{tr}\, \nabla_x \nabla_y k

    with the inverse multiquadric kernel :math:`k(x, y) = (1 + \|x - y\|^2/h^2)^{-1/2}`, which
    controls convergence also in the tails. It needs no normalising constant and no sample of the
    truth. Like every metric of scores it hardly sees the shares of well separated modes.

    Parameters
    ----------
    score : callable
        Score s of the law, called once, with ``X`` as it is given; must return its shape.
    X : array (n,) or (n, d)
        The sample under test.
    bandwidth : float > 0, optional
        h, in units of x. None takes `median_distance` of the sample; values with different h
        cannot be compared.
    unbiased : bool
        False: the V-statistic, never negative; on a sample of the law its mean is
        :math:`E\,u(X, X)/n = E[\|s\|^2 + d/h^2]/n`. True: the U-statistic, with mean KSD² (for a
        fixed h), which may be negative.

    Returns
    -------
    float
        KSD², in units of 1/x².

    Raises
    ------
    ValueError
        If points or score are not finite or of the wrong shape, if ``bandwidth`` is not > 0, or
        with ``unbiased=True`` if there is one point only.
    TypeError
        If the score is not callable.

    Notes
    -----
    O(n² d) time, memory for about a million pairs.

    References
    ----------
    Q. Liu, J. Lee, M. Jordan, "A kernelized Stein discrepancy for goodness-of-fit tests", ICML
    2016, theorem 3.6; J. Gorham, L. Mackey, "Measuring sample quality with kernels", ICML 2017,
    theorem 8 (the kernel).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.metrics import kernel_stein_discrepancy
    >>> x = np.random.default_rng(0).normal(size=500)
    >>> right = kernel_stein_discrepancy(lambda x: -x, x)
    >>> bool(kernel_stein_discrepancy(lambda x: -x, x + 0.5) > 10 * right)
    True
    """
    points = check_points(X, name="X", min_distinct=1)
    check_unbiased(unbiased, X=points)
    slopes = _evaluate(score, points[:, 0] if np.ndim(X) == 1 else points, "score")
    slopes = slopes.reshape(points.shape)
    h = check_bandwidth(bandwidth, points)
    value = mean_within(_stein_kernel(points, slopes, h), len(points), unbiased=unbiased)
    return float(value if unbiased else max(value, 0.0))


def _stein_kernel(points: Floats, slopes: Floats, h: float) -> Callable[[slice, slice], Floats]:
    d = points.shape[1]
    z = (points - points.mean(axis=0)) / h  # centred: less cancellation in (x - y)·(s(y) - s(x))
    s = slopes * h
    own = np.sum(z * s, axis=1)

    def kernel(i: slice, j: slice) -> Floats:
        r2 = cdist(z[i], z[j], "sqeuclidean")
        # With k = q^{-1/2}, q = 1 + r²: the gradient in y is q^{-3/2} (x - y), and the mixed
        # trace is d q^{-3/2} - 3 r² q^{-5/2}.
        inverse = 1 / (1 + r2)
        root = np.sqrt(inverse)
        drift = own[i, None] + own[j] - z[i] @ s[j].T - s[i] @ z[j].T
        return root * (s[i] @ s[j].T + inverse * (d + drift - 3 * r2 * inverse)) / h**2

    return kernel


def _evaluate(score: Score, x: Floats, name: str) -> Floats:
    """The score at the points, of their shape and finite."""
    if not callable(score):
        raise TypeError(
            f"{name} must be a callable x -> score of the same shape; got {type(score).__name__}. "
            f"Pass for instance fit.score_function."
        )
    hint = "Leave out the points outside the support of the law."
    return check_scores(score(x), x, name=name, hint=hint)


def _row_squares(values: Floats) -> Floats:
    return np.sum(values.reshape(len(values), -1) ** 2, axis=1)
