r"""The one objective: a weighted quadratic in the score, plus its divergence for score matching.

.. math:: \sum_i m_i\left[\tfrac12\|s(x_i) - l_i\|^2 + \delta\,\mathrm{tr}\nabla s(x_i)\right]
          + \beta \sum_j \|u_j\|\,\|w_j\|

Score matching has labels zero and :math:`\delta = 1`; denoising score matching has noisy points,
their labels and :math:`\delta = 0`.  Everything downstream sees only these four arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._random import RandomState, check_random_state
from convexscore._validation import (
    check_choice,
    check_column,
    check_count,
    check_positive,
    check_weights,
)

Floats = NDArray[np.float64]

# Kernel sums for smoothed labels are formed in blocks of at most this many numbers (16 MB).
_BLOCK = 1 << 21
# Beyond this many noise levels a Gaussian kernel is below 1e-31 of its centre.
_KERNEL_REACH = 12.0


@dataclass(frozen=True, eq=False)
class ScoreObjective:
    """Points, labels, divergence weight and sample weights of one problem.

    Attributes
    ----------
    points : (n, d) where the score is asked for (noisy points for denoising).
    labels : (n, d) what it should be there, or None for zeros.
    divergence : 1.0 for score matching, 0.0 for denoising.
    sample_weight : (n,) positive weights, or None for ones.
    """

    points: Floats
    labels: Floats | None
    divergence: float
    sample_weight: Floats | None

    @property
    def n_samples(self) -> int:
        return self.points.shape[0]

    @property
    def total_weight(self) -> float:
        return float(self.n_samples if self.sample_weight is None else self.sample_weight.sum())

    @property
    def effective_size(self) -> float:
        """Kish's number of samples, (sum of weights)^2 / sum of squared weights."""
        if self.sample_weight is None:
            return float(self.n_samples)
        return self.total_weight**2 / float(np.dot(self.sample_weight, self.sample_weight))


def score_matching(
    x: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    name: str = "x",
    min_distinct: int = 2,
) -> ScoreObjective:
    """Score matching on the points themselves (ZP24, theory of implicit score matching).

    Parameters
    ----------
    x : array_like of shape (n,) or (n, 1)
    sample_weight : array_like of shape (n,), optional
    name : str
        What error messages call the data.
    min_distinct : int
        Refuse fewer distinct values (held-out data may hold one).

    Examples
    --------
    >>> from convexscore.objectives import score_matching
    >>> score_matching([0.0, 1.0, 3.0]).divergence
    1.0
    """
    column = check_column(x, name=name, min_distinct=min_distinct)
    weights = check_weights(sample_weight, column.size)
    if weights is not None and not (weights > 0).all():
        column, weights = column[weights > 0], weights[weights > 0]
        check_column(column, name=f"{name}[sample_weight > 0]", min_distinct=min_distinct)
    return ScoreObjective(column[:, None], None, 1.0, weights)


def denoising(
    x: ArrayLike,
    *,
    noise: float,
    n_draws: int = 1,
    labels: str = "noisy",
    sample_weight: ArrayLike | None = None,
    random_state: RandomState = None,
    name: str = "x",
    min_distinct: int = 2,
) -> ScoreObjective:
    r"""Denoising score matching at one noise level.

    Each point is copied ``n_draws`` times and moved to :math:`\tilde x = x + \varepsilon\delta`,
    :math:`\delta \sim N(0, 1)`.  Noisy labels are :math:`l = -\delta/\varepsilon` (ZP24).  Smoothed
    labels replace them by their expectation given :math:`\tilde x` under the empirical law,

    .. math:: l = \sum_i \pi_i(\tilde x) (x_i - \tilde x)/\varepsilon^2,\qquad
              \pi = \mathrm{softmax}(-(\tilde x - x_i)^2/2\varepsilon^2),

    which has the same expected objective up to a constant and no label noise (Rao-Blackwell).

    Parameters
    ----------
    x : array_like of shape (n,) or (n, 1)
    noise : float
        The noise level epsilon > 0, in the units of ``x``.
    n_draws : int, default 1
        Noisy copies per point.  Sums grow with it: ``beta`` weighs against ``n * n_draws`` terms.
    labels : {"noisy", "smoothed"}
    sample_weight : array_like of shape (n,), optional
    random_state : None, int, Generator or RandomState
    name, min_distinct
        As in :func:`score_matching`.

    Notes
    -----
    Smoothed labels cost O(n_draws * n * points within 12 noise levels) time and O(n) memory.

    Examples
    --------
    >>> from convexscore.objectives import denoising
    >>> problem = denoising([0.0, 1.0, 3.0], noise=0.5, n_draws=2, random_state=0)
    >>> problem.points.shape, problem.divergence
    ((6, 1), 0.0)
    """
    column = check_column(x, name=name, min_distinct=min_distinct)
    level = check_positive(
        noise,
        name="noise",
        hint="Give the noise level in the units of the data, e.g. 0.5 * x.std().",
    )
    draws = check_count(n_draws, name="n_draws")
    check_choice(labels, ("noisy", "smoothed"), name="labels")
    weights = check_weights(sample_weight, column.size)
    rng = check_random_state(random_state)
    delta = rng.standard_normal((draws, column.size))
    noisy = (column + level * delta).ravel()
    if labels == "noisy":
        target = (-delta / level).ravel()
    else:
        target = smoothed_score(column, noisy, noise=level, sample_weight=weights)
    repeated = None if weights is None else np.tile(weights, draws)
    if repeated is not None and not (repeated > 0).all():
        keep = repeated > 0
        noisy, target, repeated = noisy[keep], target[keep], repeated[keep]
    return ScoreObjective(noisy[:, None], target[:, None], 0.0, repeated)


def smoothed_score(
    x: Floats, at: Floats, *, noise: float, sample_weight: Floats | None = None
) -> Floats:
    """Score of the empirical law of ``x`` blurred by N(0, noise^2), at the points ``at``."""
    order = np.argsort(x)
    centres = x[order]
    weights = np.ones(x.size) if sample_weight is None else sample_weight[order]
    out = np.empty(at.size)
    query_order = np.argsort(at)
    block = max(1, _BLOCK // max(1, x.size))
    for start in range(0, at.size, block):
        chosen = query_order[start : start + block]
        y = at[chosen]
        reach = _KERNEL_REACH * noise
        first = int(np.searchsorted(centres, y[0] - reach))
        last = int(np.searchsorted(centres, y[-1] + reach))
        gap = (centres[first:last] - y[:, None]) / noise
        log_weight = -0.5 * gap * gap
        log_weight -= log_weight.max(axis=1, keepdims=True)
        kernel = np.exp(log_weight, out=log_weight)
        kernel *= weights[first:last]
        out[chosen] = (kernel * gap).sum(axis=1) / (kernel.sum(axis=1) * noise)
    return out
