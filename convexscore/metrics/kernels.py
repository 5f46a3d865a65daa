"""Energy distance and maximum mean discrepancy: means over pairs of points."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_positive
from convexscore.metrics.pairs import check_samples, check_unbiased, mean_between, mean_within

# Points whose pairs stand for all pairs in the median heuristic: half a million pairs.
_MEDIAN_POINTS = 1000


def energy_distance(X: ArrayLike, Y: ArrayLike, *, unbiased: bool = False) -> float:
    r"""Energy distance of two samples.

    .. math:: \mathcal E = 2\, E\|X - Y\| - E\|X - X'\| - E\|Y - Y'\|

    It is zero for equal laws only, needs a first moment and no bandwidth, and does not change
    under translations and rotations of both samples.

    Parameters
    ----------
    X, Y : array (n, d) and (m, d), or (n,) and (m,)
        The samples; their sizes may differ.
    unbiased : bool
        False: the V-statistic, the energy distance of the two empirical laws. It is never
        negative; its mean exceeds :math:`\mathcal E` by :math:`E\|X - X'\|/n + E\|Y - Y'\|/m`, so
        between samples of the same law it is :math:`(1/n + 1/m) E\|X - X'\|`.
        True: the U-statistic, whose mean is :math:`\mathcal E` and which may be negative.

    Returns
    -------
    float
        In units of x. In one dimension it is :math:`2\int (F - G)^2`, the square of
        `scipy.stats.energy_distance`.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, if the dimensions differ, or with ``unbiased=True`` if
        a sample has one point only.

    Notes
    -----
    O((n + m)² d) time and memory for about a million pairs; O((n + m) log(n + m)) in one
    dimension.

    References
    ----------
    G. J. Székely and M. L. Rizzo, "Energy statistics: a class of statistics based on distances",
    J. Statist. Plann. Inference 143 (2013), section 6.

    Examples
    --------
    >>> from convexscore.metrics import energy_distance
    >>> energy_distance([0.0], [3.0])  # two point masses: twice their distance
    6.0
    """
    first, second = check_samples(X, Y)
    check_unbiased(unbiased, X=first, Y=second)
    if first.shape[1] == 1:
        return _energy_on_the_line(np.sort(first[:, 0]), np.sort(second[:, 0]), unbiased)
    value = _between_less_within(cdist, first, second, unbiased)
    return value if unbiased else max(value, 0.0)  # the V-statistic is >= 0 but rounds


def _between_less_within(
    kernel: Callable[[Floats, Floats], Floats], first: Floats, second: Floats, unbiased: bool
) -> float:
    """Twice the mean between the samples, less the two means within them."""

    def within(points: Floats) -> float:
        return mean_within(
            lambda i, j: kernel(points[i], points[j]), len(points), unbiased=unbiased
        )

    between = mean_between(lambda i, j: kernel(first[i], second[j]), len(first), len(second))
    return 2 * between - (within(first) + within(second))


def _energy_on_the_line(x: Floats, y: Floats, unbiased: bool) -> float:
    """The same from the distribution functions of two sorted columns."""
    knots = np.sort(np.concatenate([x, y]))
    gap = np.searchsorted(x, knots[:-1], side="right") / len(x)
    gap -= np.searchsorted(y, knots[:-1], side="right") / len(y)
    value = 2 * float(gap**2 @ np.diff(knots))
    if unbiased:
        # The V-statistic counts n pairs of a point with itself: too small a mean by 1/n of itself.
        for z in (x, y):
            n = len(z)
            share = np.arange(1, n) / n
            value -= 2 * float((share * (1 - share)) @ np.diff(z)) / (n - 1)
    return value


def mmd(
    X: ArrayLike, Y: ArrayLike, *, bandwidth: float | None = None, unbiased: bool = False
) -> float:
    r"""Squared maximum mean discrepancy of two samples with the Gaussian kernel.

    .. math:: \mathrm{MMD}^2 = E\,k(X, X') + E\,k(Y, Y') - 2\,E\,k(X, Y), \qquad
        k(x, y) = \exp\Bigl(-\frac{\|x - y\|^2}{2 h^2}\Bigr)

    Parameters
    ----------
    X, Y : array (n, d) and (m, d), or (n,) and (m,)
        The samples; their sizes may differ.
    bandwidth : float > 0, optional
        h, in units of x. None takes `median_distance` of the pooled sample, which makes the result
        free of units; values with different h cannot be compared.
    unbiased : bool
        False: the V-statistic, never negative; between samples of the same law its mean is
        :math:`(1/n + 1/m)(1 - E\,k(X, X'))` (for a fixed h). True: the U-statistic, whose mean is
        MMD² (for a fixed h) and which may be negative.

    Returns
    -------
    float
        MMD², between 0 and 2 (V-statistic).

    Raises
    ------
    ValueError
        If a sample is empty or not finite, if the dimensions differ, if ``bandwidth`` is not > 0,
        or with ``unbiased=True`` if a sample has one point only.

    Notes
    -----
    O((n + m)² d) time, memory for about a million pairs.

    References
    ----------
    A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf, A. Smola, "A kernel two-sample test",
    JMLR 13 (2012), Lemma 6 and section 8 (median heuristic).

    Examples
    --------
    >>> from convexscore.metrics import mmd
    >>> round(mmd([0.0], [1.0], bandwidth=1.0), 6)  # 2 - 2 exp(-1/2)
    0.786939
    """
    first, second = check_samples(X, Y)
    check_unbiased(unbiased, X=first, Y=second)
    kernel = partial(_gaussian, h=check_bandwidth(bandwidth, first, second))
    value = -_between_less_within(kernel, first, second, unbiased)
    return value if unbiased else max(0.0, value)


def check_bandwidth(bandwidth: float | None, *samples: Floats) -> float:
    """As given, or the median distance."""
    if bandwidth is None:
        return median_distance(*samples)
    hint = "It is a length in units of x; None takes the median distance."
    return check_positive(bandwidth, name="bandwidth", hint=hint)


def median_distance(X: ArrayLike, Y: ArrayLike | None = None) -> float:
    """Median distance between different points of X, or of X and Y pooled: a length scale.

    Parameters
    ----------
    X, Y : array (n, d) and (m, d), or (n,) and (m,)
        Y is optional.

    Returns
    -------
    float
        In units of x; > 0. Of more than 1000 points in all, every k-th row is used, from each
        sample the same share. If more than half of the pairs coincide, the median of the others;
        1.0 if all points coincide.

    Examples
    --------
    >>> from convexscore.metrics import median_distance
    >>> median_distance([0.0, 1.0], [5.0])
    4.0
    """
    first, second = check_samples(X, X if Y is None else Y)
    if Y is None:
        second = second[:0]
    total = len(first) + len(second)
    if total > _MEDIAN_POINTS:
        first, second = (_every_kth(z, _MEDIAN_POINTS * len(z) / total) for z in (first, second))
    distances = pdist(np.concatenate([first, second]))
    positive = distances[distances > 0]
    if len(positive) == 0:
        return 1.0
    return float(np.median(distances)) or float(np.median(positive))


def _every_kth(points: Floats, n_kept: float) -> Floats:
    kept = min(len(points), max(1, round(n_kept))) if len(points) else 0
    return points[np.linspace(0, len(points) - 1, kept).round().astype(int)]


def _gaussian(a: Floats, b: Floats, h: float) -> Floats:
    values = cdist(a, b, "sqeuclidean")
    values *= -0.5 / h**2
    return np.exp(values, out=values)
