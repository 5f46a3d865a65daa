r"""How large the noise in the gradient of a neuron is: the natural unit of beta at one noise level.

A neuron should enter because of the law, not because of the sample.  Were the training points drawn
again, the gradient of the denoising objective in a neuron's outer weight, at the best score, would
fluctuate; beta at some multiple of the largest fluctuation over all neurons keeps sampling noise out
and lets structure in.  The fluctuation is simulated with random multipliers of the training points.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.distance import cdist

from convexscore._tools.typing import Floats
from convexscore.objectives import ScoreObjective, smoothed_score
from convexscore.objectives.objective import Denoising
from convexscore.objectives.options import Case, Problem
from convexscore.solvers import training_problem

# Replicates of the multipliers: their median scatters by a fifth at small noise, by half at large.
_N_REPLICATES = 9
# Points that stand for the data: the noise of n points is that of m times sqrt(n / m).
_MOST_POINTS = 1000
# Kernels between noisy and training points are formed in blocks of at most this many numbers.
_BLOCK = 1 << 21
_N_STARTS = 32
# Noise is taken as at least this share of the gradient of the labels themselves: at small levels discrete
# data have no sampling noise, and penalties a thousandth of what the first neuron pays buy only neurons.
_SMALLEST_SHARE = 0.03


def gradient_noise(
    X: Floats,
    problem: Problem,
    *,
    sample_weight: Floats | None = None,
    rng: np.random.Generator,
) -> float:
    r"""Median over replicates of the largest sampling fluctuation of any neuron's gradient.

    With multipliers :math:`\xi_i \sim N(0, 1)`, one per training point, the residual that takes the
    place of :math:`s(\tilde x_k) - l_k` is, for smoothed labels,

    .. math:: r_k = \sum_i \xi_i\, \pi_i(\tilde x_k)
              \Big[\frac{x_i - \tilde x_k}{\varepsilon^2} - \hat s(\tilde x_k)\Big],

    the derivative of the label :math:`\hat s` in the weights of the points, and for noisy labels
    :math:`r_k = \xi_{i(k)} (l_k - \hat s(\tilde x_k))`.  The result is the median of
    :math:`\max_{\|u\| = 1, b} \|\sum_k r_k\, \sigma(u^\top \tilde x_k + b)\|` after c and V have
    taken their share, in the units of beta (sums over ``n * n_draws`` points); at least 0.03 of the
    largest gradient of the labels themselves.

    Parameters
    ----------
    X : ndarray of shape (n, d)
    problem : Problem
        Denoising: noise level, draws, labels, activation, skip.
    sample_weight : ndarray of shape (n,), optional

    Returns
    -------
    float >= 0

    Notes
    -----
    From at most 1000 of the points, chosen at random; time O(1000^2 n_draws d) per replicate and nine
    searches over neurons.  Exact on the line, by local search in several dimensions.

    References
    ----------
    Multiplier bootstrap of the largest gradient, as for the penalty of a lasso: Chernozhukov,
    Chetverikov, Kato (2013), *Gaussian approximations and multiplier bootstrap for maxima of sums of
    high-dimensional random vectors*, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.selection.gradient_noise import gradient_noise
    >>> from convexscore.objectives.options import make_problem
    >>> X = np.random.default_rng(0).normal(size=(400, 1))
    >>> problem = make_problem(objective="denoising", noise=0.3, n_draws=2, labels="smoothed")
    >>> noise = gradient_noise(X, problem, rng=np.random.default_rng(1))
    >>> 10.0 < noise < 40.0                # about sqrt(n) * n_draws / 2
    True
    """
    kind = problem.objective
    assert isinstance(kind, Denoising)
    n = len(X)
    weights = np.ones(n) if sample_weight is None else sample_weight
    if n > _MOST_POINTS:
        chosen = rng.choice(n, size=_MOST_POINTS, replace=False)
        X, weights = X[chosen], weights[chosen]
    size = len(X)
    objective = kind.build(X, None if sample_weight is None else weights, rng)
    assert objective.labels is not None
    multipliers = rng.standard_normal((size, _N_REPLICATES))
    residuals = _residuals(X, weights, objective, kind, multipliers)
    largest = [_largest(objective, residual, problem.case, rng) for residual in residuals]
    signal = _largest(objective, objective.labels, problem.case, rng)
    ratio = n / size
    return max(float(np.median(largest)) * float(np.sqrt(ratio)), _SMALLEST_SHARE * signal * ratio)


def _residuals(
    X: Floats, weights: Floats, objective: ScoreObjective, kind: Denoising, multipliers: Floats
) -> list[Floats]:
    """One (n * n_draws, d) residual per column of the multipliers."""
    noise, at, labels = kind.noise, objective.points, objective.labels
    assert labels is not None
    if kind.labels == "noisy":
        smooth = smoothed_score(X, at, noise=noise, sample_weight=weights)
        own = np.tile(multipliers, (kind.n_draws, 1))
        return [column[:, None] * (labels - smooth) for column in own.T]
    out = np.empty((multipliers.shape[1], *at.shape))
    rows = max(1, _BLOCK // len(X))
    for start in range(0, len(at), rows):
        block = slice(start, start + rows)
        share = -0.5 / noise**2 * cdist(at[block], X, "sqeuclidean") + np.log(weights)
        share -= share.max(axis=1, keepdims=True)
        np.exp(share, out=share)
        share /= share.sum(axis=1, keepdims=True)
        mean, moved = share @ X, share @ multipliers
        for r, column in enumerate(multipliers.T):
            out[r, block] = (share @ (column[:, None] * X) - mean * moved[:, [r]]) / noise**2
    return list(out)


def _largest(
    objective: ScoreObjective, residual: Floats, case: Case, rng: np.random.Generator
) -> float:
    """Largest gradient of a neuron against a residual, c and V at their best."""
    problem = training_problem(
        replace(objective, labels=residual), case, n_starts=_N_STARTS, rng=rng, rough=True
    )
    return problem.largest_gradient()
