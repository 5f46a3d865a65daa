r"""The one objective: a weighted quadratic in the score, plus its divergence for score matching.

.. math:: \sum_i m_i\left[\tfrac12\|s(x_i) - l_i\|^2 + \delta\,\mathrm{tr}\nabla s(x_i)\right]
          + \beta \sum_j \|u_j\|\,\|w_j\|

Score matching has labels zero and :math:`\delta = 1`; denoising score matching has noisy points,
their labels and :math:`\delta = 0`.  Everything downstream sees only these four arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.typing import Floats
from convexscore._tools.validation import (
    check_choice,
    check_count,
    check_points,
    check_positive,
    check_weighted_points,
    check_weights,
)
from convexscore.objectives.smoothed_labels import smoothed_score

LABELS = ("noisy", "smoothed")

# One pair of opposite displacements: scores from single draws, chosen by cross-validation, have up to
# ten times the error (benchmarks/noise_draws.py).
DEFAULT_DRAWS = 2


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
    def dim(self) -> int:
        """Dimension d of points and scores."""
        return self.points.shape[1]

    @property
    def total_weight(self) -> float:
        return float(self.n_samples if self.sample_weight is None else self.sample_weight.sum())

    @property
    def effective_size(self) -> float:
        """Kish's number of samples, (sum of weights)^2 / sum of squared weights."""
        if self.sample_weight is None:
            return float(self.n_samples)
        return self.total_weight**2 / float(np.dot(self.sample_weight, self.sample_weight))


@dataclass(frozen=True)
class ScoreMatching:
    """Score matching on the points themselves."""

    noise: None = None

    def build(
        self, points: Floats, sample_weight: Floats | None, rng: np.random.Generator
    ) -> ScoreObjective:
        """The objective on checked points (n, d) with weights > 0; draws nothing."""
        return ScoreObjective(points, None, 1.0, sample_weight)


@dataclass(frozen=True)
class Denoising:
    """Denoising score matching at one noise level, see :func:`denoising`."""

    noise: float
    n_draws: int = DEFAULT_DRAWS
    labels: str = "noisy"

    def build(
        self, points: Floats, sample_weight: Floats | None, rng: np.random.Generator
    ) -> ScoreObjective:
        """The objective on checked points (n, d) with weights >= 0; noise is drawn here."""
        n, d = points.shape
        # A stream of its own: data are often drawn by default_rng(k).normal(), and noise with the same
        # seed k would be those very numbers.
        own = np.random.default_rng(rng.integers(2**63))
        delta = _antithetic(own, self.n_draws, (n, d))
        weights = repeated = sample_weight
        if weights is not None:
            # After drawing: the noise of a point does not depend on the weights of others.
            live = weights > 0
            points, delta, weights = points[live], delta[:, live], weights[live]
            repeated = np.tile(weights, self.n_draws)
        noisy = (points + self.noise * delta).reshape(-1, d)
        target = (-delta / self.noise).reshape(-1, d)
        if self.labels == "smoothed":
            target = smoothed_score(points, noisy, noise=self.noise, sample_weight=weights)
        return ScoreObjective(noisy, target, 0.0, repeated)


Objective: TypeAlias = ScoreMatching | Denoising


def checked_denoising(noise: Any, n_draws: Any, labels: Any) -> Denoising:
    """The denoising objective that these options name."""
    hint = "It is in the units of the data, for example 0.3 * X.std()."
    return Denoising(
        check_positive(noise, name="noise", hint=hint),
        check_count(n_draws, name="n_draws"),
        check_choice(labels, LABELS, name="labels"),
    )


def score_matching(X: ArrayLike, *, sample_weight: ArrayLike | None = None) -> ScoreObjective:
    """Score matching on the points themselves (ZP24, theory of implicit score matching).

    Parameters
    ----------
    X : array_like of shape (n,) or (n, d)
        One point per row; ``(n,)`` counts as one column.
    sample_weight : array_like of shape (n,), optional

    Returns
    -------
    ScoreObjective
        Points of weight zero are left out.

    Raises
    ------
    ValueError
        If data or weights are not finite, too few or of the wrong shape.

    Examples
    --------
    >>> from convexscore.objectives import score_matching
    >>> problem = score_matching([[0.0, 1.0], [1.0, 2.0], [3.0, 1.0]])
    >>> problem.points.shape, problem.labels, problem.divergence
    ((3, 2), None, 1.0)
    """
    points, weights = check_weighted_points(X, sample_weight)
    return ScoreObjective(points, None, 1.0, weights)


def denoising(
    X: ArrayLike,
    *,
    noise: float,
    n_draws: int = DEFAULT_DRAWS,
    labels: str = "noisy",
    sample_weight: ArrayLike | None = None,
    random_state: RandomState = None,
) -> ScoreObjective:
    r"""Denoising score matching at one noise level.

    Each point is copied ``n_draws`` times and moved to :math:`\tilde x = x + \varepsilon\delta`,
    :math:`\delta \sim N(0, I)`; copies come in antithetic pairs :math:`\pm\delta`.
    Noisy labels are :math:`l = -\delta/\varepsilon` (ZP24).  Smoothed labels replace them by their
    expectation given :math:`\tilde x` under the empirical law,

    .. math:: l = \sum_i \pi_i(\tilde x) (x_i - \tilde x)/\varepsilon^2,\qquad
              \pi = \mathrm{softmax}(-\|\tilde x - x_i\|^2/2\varepsilon^2),

    which has the same expected objective up to a constant and no noise given the noisy points
    (Rao-Blackwell).  A noisy point within reach of its own point only keeps its noisy label; what that
    contributes at small epsilon cancels in pairs of opposite displacements, not in single draws.

    Parameters
    ----------
    X : array_like of shape (n,) or (n, d)
        One point per row; ``(n,)`` counts as one column.
    noise : float
        The noise level epsilon > 0, in the units of ``X``.
    n_draws : int, default 2
        Noisy copies per point, in opposite pairs (of an odd number one is single).  Sums grow with it:
        ``beta`` weighs against ``n * n_draws`` terms.
    labels : {"noisy", "smoothed"}
    sample_weight : array_like of shape (n,), optional
    random_state : None, int, Generator or RandomState

    Notes
    -----
    Rows are stacked draw after draw: all points, then all points again.  One column draws the same
    noise as the same numbers in shape ``(n,)``.
    Pairs are unbiased as independent copies are, with less variance: labels are of size
    1 / epsilon, and where a neuron is linear between x + epsilon delta and x - epsilon delta that part
    of them cancels.
    Smoothed labels cost O(n_draws * n * d * points within 12 noise levels) time for d <= 3 and
    O(n_draws * n^2 * d) beyond, in bounded memory (:func:`smoothed_score`).

    Examples
    --------
    >>> from convexscore.objectives import denoising
    >>> problem = denoising([0.0, 1.0, 3.0], noise=0.5, n_draws=2, random_state=0)
    >>> problem.points.shape, problem.divergence
    ((6, 1), 0.0)
    >>> denoising([[0.0, 1.0], [2.0, 1.0]], noise=0.5, n_draws=3).labels.shape
    (6, 2)
    """
    points = check_points(X)
    kind = checked_denoising(noise, n_draws, labels)
    weights = check_weights(sample_weight, len(points))
    return kind.build(points, weights, check_random_state(random_state))


def _antithetic(rng: np.random.Generator, draws: int, shape: tuple[int, ...]) -> Floats:
    """Standard normal numbers (draws, *shape), the second half the first with the other sign."""
    first = rng.standard_normal(((draws + 1) // 2, *shape))
    return np.concatenate([first, -first[: draws // 2]])
