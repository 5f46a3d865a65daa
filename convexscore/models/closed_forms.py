r"""Closed forms of univariate score matching: what the optimum is for large beta, whatever the data.

With :math:`n` the total weight, :math:`\mu, v` the weighted mean and variance of the points and
:math:`\kappa = (n - \beta)/(n v)` (ZP24, univariate score matching theorems):

* no skip, :math:`\beta \ge n`: :math:`s \equiv 0`;
* no skip, :math:`\beta_1 \le \beta \le n`: :math:`s(x) = -\kappa (x - \mu)` between the extreme points;
* skip, :math:`\beta` at least the skip threshold: :math:`s(x) = -(x - \mu)/v` everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_positive
from convexscore.objectives import score_matching
from convexscore.scores import Activation, TwoLayerNetwork, get_activation
from convexscore.scores.activations import RELU
from convexscore.solvers.line.cases import boundedness_limit
from convexscore.solvers.line.problem import prepare


@dataclass(frozen=True)
class GaussianRegime:
    """Thresholds and closed-form optima of score matching on one column of data.

    Attributes
    ----------
    n : float
        Number of points (total sample weight).
    mean, variance : float
        Weighted mean and (biased) variance.
    x_min, x_max : float
        Extreme points.
    beta_1 : float
        Without skip: the optimum is linear between the extremes for ``beta_1 <= beta <= n``.
        The same for all activations up to the boundedness limits.
    beta_skip : float
        ReLU with skip: the optimum is the Gaussian score for ``beta >= beta_skip``; for others multiply
        it by the jump of the slope (absolute value: twice as large).
    """

    n: float
    mean: float
    variance: float
    x_min: float
    x_max: float
    beta_1: float
    beta_skip: float

    def kappa(self, beta: float) -> float:
        """Slope of minus the optimal score without skip, (n - beta)_+ / (n v)."""
        return max(self.n - beta, 0.0) / (self.n * self.variance)

    def objective(self, beta: float, *, skip: bool = False) -> float:
        """Optimal value: -(n - beta)_+^2 / (2 n v) without skip, -n / (2 v) with."""
        self._require(beta, skip, RELU)
        if skip:
            return -self.n / (2.0 * self.variance)
        return -(max(self.n - beta, 0.0) ** 2) / (2.0 * self.n * self.variance)

    def network(
        self,
        beta: float,
        *,
        activation: str | Activation = "relu",
        skip: bool = False,
        t: float = 0.5,
    ) -> TwoLayerNetwork:
        r"""An optimal network; ``t`` in [0, 1] picks one of the optima without skip.

        They are :math:`-\kappa(1-t)\sigma(x - x_{min}) + \kappa t\,\sigma(x_{max} - x) + c` and have the
        same objective for all t.  ReLU: the slopes left of, between and right of the extremes are
        :math:`-\kappa t, -\kappa, -\kappa(1-t)`.  Absolute value, t = 1/2: Gaussian inside and constant
        outside ("Gaussian-Laplace").

        Raises
        ------
        ValueError
            If ``beta`` is below the threshold, where the optimum is not in closed form, or ``t`` is
            outside [0, 1].
        """
        activation = get_activation(activation)
        self._require(beta, skip, activation)
        if not 0.0 <= t <= 1.0:
            raise ValueError(f"t must be in [0, 1]; got {t!r}.")
        if skip:
            slope = -1.0 / self.variance
            return TwoLayerNetwork(
                [], [], [], skip=[[slope]], offset=[-slope * self.mean], activation=activation
            )
        kappa = self.kappa(beta)
        low, high = np.nextafter(self.x_min, -np.inf), np.nextafter(self.x_max, np.inf)
        u, w = np.array([1.0, -1.0]), np.array([-kappa * (1.0 - t), kappa * t])
        keep = w != 0.0
        b = -u * np.array([low, high])
        bare = TwoLayerNetwork(u[keep], w[keep], b[keep], offset=[0.0], activation=activation)
        return replace(bare, offset=0.0 - np.reshape(bare(self.mean), 1))

    def _require(self, beta: float, skip: bool, activation: Activation) -> None:
        beta = check_positive(beta, name="beta")
        limit = activation.slope_jump * self.beta_skip if skip else self.beta_1
        if beta < limit:
            raise ValueError(
                f"beta = {beta:g} is below {limit:g}, where the optimum stops being Gaussian; "
                "use fit_convex_score, which solves every beta."
            )


def gaussian_regime(X: ArrayLike, *, sample_weight: ArrayLike | None = None) -> GaussianRegime:
    r"""Thresholds above which score matching returns a Gaussian score, and that score.

    With :math:`r_j = \sum_i m_i (x_i-\mu)(x_i-x_j)_+ / (n v)` and :math:`k_j` the active count of a hinge
    (either side of a tie), the linear score stays optimal without skip while

    .. math:: \beta \ge \beta_1 = \max\Big\{\beta_0, \max_{r_j<1} \frac{k_j - n r_j}{1 - r_j},
              \max_j \frac{n r_j - k_j}{1 + r_j}\Big\}

    over the hinges of both directions, and with skip while
    :math:`\beta \ge \max_j |k_j - n r_j|`.  O(n log n) time, O(n) memory.

    Parameters
    ----------
    X : array_like of shape (n,) or (n, 1)
    sample_weight : array_like of shape (n,), optional

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate score matching.

    Examples
    --------
    >>> from convexscore.models import gaussian_regime
    >>> regime = gaussian_regime([0.0, 1.0, 2.0, 4.0])
    >>> regime.n, regime.mean, regime.variance
    (4.0, 1.75, 2.1875)
    >>> round(float(regime.network(4.0, skip=True)(0.75)), 12)   # -(x - mean) / variance
    0.457142857143
    """
    problem = prepare(score_matching(X, sample_weight=sample_weight))
    data = problem.data
    n = data.total_mass
    middle = data.x - float(np.dot(data.mass, data.x)) / n
    variance = float(np.dot(data.mass, middle * middle)) / n
    deviation = data.hinge_sums(-data.mass * middle / variance, 0.0)  # k - n r, ties not counted
    beyond = n - np.cumsum(data.mass)
    threshold = _linear_threshold(deviation, beyond, data.mass, n)
    gap = float(np.maximum(-deviation, deviation + data.mass).max())
    return GaussianRegime(
        n=n,
        mean=problem.center + problem.scale * float(np.dot(data.mass, data.x)) / n,
        variance=variance * problem.scale**2,
        x_min=float(problem.values[0]),
        x_max=float(problem.values[-1]),
        beta_1=max(boundedness_limit(data, RELU, False), threshold),
        beta_skip=max(gap, boundedness_limit(data, RELU, True)),
    )


def _linear_threshold(
    deviation: np.ndarray, beyond: np.ndarray, mass: np.ndarray, n: float
) -> float:
    """beta_1 without its lower bound; hinges of both directions and both tie counts."""
    worst = 0.0
    share = (beyond - deviation) / n  # r_j of the right-facing hinge
    for ties in (0.0, 1.0):
        excess = deviation + ties * mass  # k - n r of a right-facing hinge; left-facing: minus that
        for sign, r in ((1.0, share), (-1.0, 1.0 - share)):
            usable = r < 1.0 - 1e-12
            worst = max(worst, float((sign * excess[usable] / (1.0 - r[usable])).max(initial=0.0)))
            worst = max(worst, float((-sign * excess / (1.0 + r)).max(initial=0.0)))
    return worst
