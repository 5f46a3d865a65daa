"""What everything above the solvers asks of a training problem, in any dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from convexscore.objectives.objective import ScoreObjective
from convexscore.objectives.standardization import Standardization
from convexscore.scores.base import Score
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate


@dataclass(frozen=True, eq=False)
class Fit:
    """A solved problem: network and score in the units of the data, certificate, warm state."""

    network: TwoLayerNetwork
    score: Score
    certificate: Certificate
    warm: Any


class TrainingProblem(Protocol):
    """One problem: an objective on given rows, and which networks compete.

    Attributes
    ----------
    objective : ScoreObjective
        In the units of the data.
    standardization : Standardization
        From the units of the data to those of the solver, in which penalty and loss are measured.
    exact : whether every neuron is looked at.
    known_limit : float
        A lower bound of :meth:`smallest_beta` that costs nothing.
    """

    @property
    def objective(self) -> ScoreObjective: ...

    @property
    def standardization(self) -> Standardization: ...

    @property
    def exact(self) -> bool: ...

    @property
    def known_limit(self) -> float: ...

    @property
    def blur(self) -> float:
        """Half-width of the blur of held-out rows: a fraction of a rule-of-thumb bandwidth."""

    def largest_beta(self) -> float:
        """The penalty from which on the optimum has no kink (inside the data)."""

    def largest_gradient(self) -> float:
        """The largest gradient of the objective in a neuron's outer weight, at the best c and V."""

    def smallest_beta(self, *, tol: float) -> float:
        """At or below this penalty the objective is unbounded below, or has no minimiser."""

    def check_bounded(self) -> None:
        """Refuse data on which the objective is unbounded below at every penalty."""

    def check_beta(self, beta: float) -> None:
        """Refuse a penalty known to be too small, warn just above the limit."""

    def fit(
        self, beta: float, *, tol: float | None = None, warm: Any = None, effort: int | None = None
    ) -> Fit:
        """The optimum with its certificate, to a relative gap of ``tol`` (default: the solver's own)."""

    def rough_fit(self, beta: float, warm: Any = None) -> tuple[Score, Any]:
        """A score accurate enough to be judged on held-out rows, and the warm state; no certificate."""

    def certify(
        self, network: TwoLayerNetwork, beta: float, *, tol: float | None, reference: str
    ) -> Certificate:
        """The certificate of any network for this problem."""

    def searching(self, rng: np.random.Generator, *, rough: bool = False) -> TrainingProblem:
        """The same problem with another stream for local searches; ``rough``: coarser where large."""
