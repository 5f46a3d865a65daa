"""What a fitted score is to everything that uses one: a function on rows, its law, starts of chains.

Inside the package a score maps rows (n, d) to rows (n, d), one column included; the public methods of
the models accept and return one column in any shape.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.exceptions import DataWarning, NotIntegrableError
from convexscore._tools.typing import Floats
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore

# Step sizes are this over the steepest slope; the stability limit of Langevin is 4.
_STEP = 0.2
# Median asymmetry of the Jacobian from which a field counts as far from a gradient.
_ROTATIONAL = 0.5


class Score(Protocol):
    """A score on rows (n, d)."""

    @property
    def dim(self) -> int:
        """Number of columns d."""

    @property
    def natural(self) -> Callable[[ArrayLike], Floats]:
        """The same as a public function: of one column in any shape, of several on (n, d)."""

    def __call__(self, X: Floats) -> Floats:
        """s at the rows, (n, d)."""

    def divergence(self, X: Floats) -> Floats:
        """tr grad s at the rows, (n,)."""

    def jacobian_asymmetry(self, X: Floats) -> Floats:
        """|J - J'| / |J| at the rows, (n,); 0 for gradients."""

    def log_density(self, X: Floats) -> Floats:
        """Log-density at the rows, (n,); normalised where the law is known exactly.

        Raises
        ------
        NotIntegrableError
            If the score is not known to be a gradient, or has no density.
        """

    def law(self) -> PiecewiseLinearScore:
        """The exact law.

        Raises
        ------
        NotIntegrableError
            Where there is none, or none in closed form.
        """

    @property
    def samples_exactly(self) -> bool:
        """Whether exact sampling is the natural way (one column)."""

    def starts(self, n: int, rng: np.random.Generator) -> tuple[Floats, float]:
        """Rows (n, d) where chains start, and a Langevin step well inside the stability limit."""

    def warn_if_rotational(self) -> None:
        """Warn where Langevin's stationary law would not be the one of the score."""


@dataclass(frozen=True, eq=False)
class LineScore:
    """A score of one column: exact, piecewise linear, always the gradient of its log-density."""

    piecewise: PiecewiseLinearScore

    dim = 1
    samples_exactly = True

    @property
    def natural(self) -> PiecewiseLinearScore:
        return self.piecewise

    def __call__(self, X: Floats) -> Floats:
        return self.piecewise(X[:, 0])[:, None]

    def divergence(self, X: Floats) -> Floats:
        return self.piecewise.derivative(X[:, 0])

    def jacobian_asymmetry(self, X: Floats) -> Floats:
        return np.zeros(len(X))

    def log_density(self, X: Floats) -> Floats:
        return self.law().log_density(X[:, 0])

    def law(self) -> PiecewiseLinearScore:
        report = self.piecewise.tail_report()
        if report is not None:
            raise NotIntegrableError(
                f"the fitted score has no density: {report}. Refit with constraint='density' (outer "
                "slopes constrained to <= 0) or 'log-concave', or increase beta."
            )
        return self.piecewise

    def starts(self, n: int, rng: np.random.Generator) -> tuple[Floats, float]:
        """Evenly spread over the range of the law, or of the knots where there is no law."""
        score = self.piecewise
        low, high = float(score.knots[0]), float(score.knots[-1])
        if score.is_integrable:
            low, high = float(score.ppf(0.001)), float(score.ppf(0.999))
        grid = np.linspace(low, high, 513) if high > low else np.array([low])
        steepest = float(np.abs(score.derivative(grid)).max())
        if steepest == 0.0:
            steepest = 1.0 / max(high - low, np.finfo(float).tiny) ** 2
        start = rng.uniform(low, high, n) if high > low else np.full(n, low)
        return start[:, None], _STEP / steepest

    def warn_if_rotational(self) -> None:
        """Nothing to warn of."""


@dataclass(frozen=True, eq=False)
class SpaceScore:
    """A score of several columns: the network itself.

    Attributes
    ----------
    network : TwoLayerNetwork
    rows : (k, d) rows of the data, where chains start.
    gradient : whether the fit was constrained to gradients of log-densities.
    """

    network: TwoLayerNetwork
    rows: Floats
    gradient: bool

    samples_exactly = False

    @property
    def natural(self) -> TwoLayerNetwork:
        return self.network

    @property
    def dim(self) -> int:
        return self.network.dim

    def __call__(self, X: Floats) -> Floats:
        return self.network(X)

    def divergence(self, X: Floats) -> Floats:
        return self.network.divergence(X)

    def jacobian_asymmetry(self, X: Floats) -> Floats:
        return self.network.jacobian_asymmetry(X)

    def log_density(self, X: Floats) -> Floats:
        if not self.gradient:
            raise NotIntegrableError(
                "a log-density needs a score that is the gradient of one; with several columns refit "
                "with constraint='gradient' (or sample with method='langevin')."
            )
        return self.network.log_density(X)

    def law(self) -> PiecewiseLinearScore:
        raise NotIntegrableError(
            f"the exact law is known for one column; this fit has {self.dim}. Use log_density "
            "(constraint='gradient', up to a constant) and sample(method='langevin' or 'mala')."
        )

    def starts(self, n: int, rng: np.random.Generator) -> tuple[Floats, float]:
        """Random rows of the data, and a step for the steepest Jacobian at them."""
        jacobian = self.network.jacobian(self.rows)
        steepest = float(np.linalg.norm(jacobian, ord=2, axis=(1, 2)).max())
        if steepest == 0.0:
            steepest = 1.0 / float(self.rows.var(axis=0).max())
        return self.rows[rng.integers(len(self.rows), size=n)], _STEP / steepest

    def warn_if_rotational(self) -> None:
        if self.gradient:
            return
        asymmetry = float(np.median(self.network.jacobian_asymmetry(self.rows)))
        if asymmetry > _ROTATIONAL:
            warnings.warn(
                f"the fitted field is far from a gradient: the median asymmetry |J - J'| / |J| of its "
                f"Jacobian on the data is {asymmetry:.2g} (0 for a gradient). Langevin then has no "
                "log-density to follow; refit with constraint='gradient', a larger beta, or more data.",
                DataWarning,
                stacklevel=3,
            )
