"""One training problem of several columns, as everything above the solvers sees it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import chi2

from convexscore._tools.exceptions import ConvergenceWarning
from convexscore._tools.typing import Floats
from convexscore.objectives.objective import ScoreObjective
from convexscore.objectives.options import Case
from convexscore.objectives.standardization import Standardization
from convexscore.scores.base import SpaceScore
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.interface import Fit
from convexscore.solvers.oracles.ascent import AscentOracle
from convexscore.solvers.oracles.base import Oracle
from convexscore.solvers.oracles.choice import DEFAULT_STARTS, make_oracle
from convexscore.solvers.space.boundedness import boundedness
from convexscore.solvers.space.certificate import certificate_of
from convexscore.solvers.space.columns import SpaceCase
from convexscore.solvers.space.problem import SpaceProblem, prepare
from convexscore.solvers.space.restricted import Restricted
from convexscore.solvers.space.solve import (
    FINAL_EFFORT,
    SpaceFit,
    descend,
    inner_point,
    largest_start,
    network_of,
    solve,
)

DEFAULT_TOL = 1e-4
# Gap of scores that are only looked at on held-out rows: far below the differences of held-out losses.
_ROUGH = 0.02
# Above this size rough problems are searched locally even in the plane.
_EXACT_ROUGH = 1500
# Half-width of the blur in rule-of-thumb bandwidths.  Twice as much hides the structure of rings and
# arcs from cross-validation, whose beta then doubles.
_BLUR = 0.225
# Rows that stand for the data where only their spread matters.
_BANDWIDTH_ROWS = 2_000
# Rows of the data kept as starts of chains.
_MOST_STARTS = 5_000
# A reference solve for a certificate is this much more accurate than what is judged.
_REFERENCE_SHARE = 0.3


@dataclass(frozen=True, eq=False)
class SpaceTraining:
    """A `TrainingProblem` solved by column generation over neurons.

    ``rows`` are some of the data, where chains on its scores start.
    """

    objective: ScoreObjective
    standardization: Standardization
    problem: SpaceProblem
    rows: Floats
    n_starts: int
    rng: np.random.Generator
    local: bool
    oracle: Oracle = field(init=False, repr=False)

    def __post_init__(self) -> None:
        oracle = make_oracle(
            self.problem, n_starts=self.n_starts, random_state=self.rng, local=self.local
        )
        object.__setattr__(self, "oracle", oracle)

    @classmethod
    def build(
        cls,
        objective: ScoreObjective,
        case: Case,
        to_z: Standardization,
        *,
        n_starts: int | None,
        rng: np.random.Generator,
        rough: bool,
        rows: Floats | None,
    ) -> SpaceTraining:
        neurons = SpaceCase(
            case.activation,
            case.skip,
            conservative=case.constraint is not None,
            log_concave=case.constraint == "log-concave",
        )
        problem = prepare(objective, neurons)
        given = to_z.objective_back(objective)
        rows = given.points if rows is None else rows
        starts = DEFAULT_STARTS if n_starts is None else n_starts
        return cls(
            given, to_z, problem, rows[:: -(-len(rows) // _MOST_STARTS)].copy(), starts, rng, rough
        )

    @property
    def exact(self) -> bool:
        return not isinstance(self.oracle, AscentOracle)

    @property
    def known_limit(self) -> float:
        return 0.0

    def check_beta(self, beta: float) -> None:
        """The limit is not known beforehand; the fit finds it."""

    def check_bounded(self) -> None:
        rank, objective = self.problem.rows.free.rank, self.objective
        if objective.divergence and rank < objective.dim:
            raise ValueError(
                f"X has {objective.dim} columns but its {objective.n_samples} rows span only {rank} "
                "dimensions (constant or linearly dependent columns, or too few rows): score matching "
                "is unbounded below in the missing directions. Drop such columns, reduce them by PCA, "
                "or use objective='denoising'."
            )

    def largest_gradient(self) -> float:
        return largest_start(self.problem, self.oracle)

    def largest_beta(self) -> float:
        """No neuron pays at a penalty above the largest gradient."""
        return self.largest_gradient()

    def smallest_beta(self, *, tol: float) -> float:
        limit = boundedness(self.problem, self.oracle, tol=tol)
        if limit.gap > tol:
            warnings.warn(
                f"the smallest beta is between {limit.lower:.6g} and {limit.upper:.6g}; wanted to "
                f"{tol:g}, reached {limit.gap:.2g} in {limit.n_rounds} rounds. Points that nearly "
                "coincide can cause this: merge them, or use a larger tol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return limit.upper

    def fit(
        self,
        beta: float,
        *,
        tol: float | None = None,
        warm: SpaceFit | None = None,
        effort: int | None = None,
    ) -> Fit:
        solved = solve(
            self.problem,
            beta,
            self.oracle,
            tol=DEFAULT_TOL if tol is None else tol,
            warm=warm,
            effort=FINAL_EFFORT if effort is None else effort,
        )
        network = self.standardization.network_back(solved.network)
        return Fit(network, self._score(network), solved.certificate, solved)

    def rough_fit(
        self, beta: float, warm: Restricted | None = None
    ) -> tuple[SpaceScore, Restricted]:
        restricted = descend(self.problem, beta, self.oracle, tol=_ROUGH, warm=warm, last=True)
        return self._score(self.standardization.network_back(network_of(restricted))), restricted

    def certify(
        self, network: TwoLayerNetwork, beta: float, *, tol: float | None, reference: str
    ) -> Certificate:
        started = perf_counter()
        tol = DEFAULT_TOL if tol is None else tol
        network = self.standardization.network_forward(network)
        dual, inner = -np.inf, None
        if reference == "solve":
            with warnings.catch_warnings():
                # what matters of the reference is its lower bound, which the certificate shows
                warnings.simplefilter("ignore", ConvergenceWarning)
                own = self.problem.columns_of(network)[0]
                fit = solve(self.problem, beta, self.oracle, tol=_REFERENCE_SHARE * tol, extra=own)
            dual = fit.certificate.dual_objective / self.problem.objective_unit
            inner = fit.inner
        elif self.problem.rows.divergence:
            inner = inner_point(descend(self.problem, beta, self.oracle), self.oracle, beta)
        return certificate_of(
            self.problem, beta, network, self.oracle,
            inner=inner, reference=dual, tol=tol, started=started,
        )  # fmt: skip

    def searching(self, rng: np.random.Generator, *, rough: bool = False) -> SpaceTraining:
        return replace(self, rng=rng, local=rough and self.problem.rows.n_samples > _EXACT_ROUGH)

    @property
    def blur(self) -> float:
        """Of the points in standardised units."""
        return bandwidth(
            self.standardization.points(self.objective.points), self.objective.effective_size
        )

    def _score(self, network: TwoLayerNetwork) -> SpaceScore:
        return SpaceScore(network, self.rows, gradient=self.problem.case.conservative)


def bandwidth(z: Floats, effective_size: float) -> float:
    """Half-width of the blur: a fraction of a rule-of-thumb bandwidth for the densest quarter of rows.

    The scale is that of a Gaussian whose central ball with a quarter of the mass is as small as the
    smallest such ball around a row, or the root mean variance if that is smaller.
    """
    n, d = z.shape
    rows = z[:: -(-n // _BANDWIDTH_ROWS)]
    spread = float(np.sqrt(z.var(axis=0).mean()))
    quarter = np.partition(cdist(rows[:500], rows), len(rows) // 4, axis=1)[:, len(rows) // 4]
    inner = float(quarter[quarter > 0.0].min(initial=np.inf)) / float(np.sqrt(chi2.ppf(0.25, d)))
    return _BLUR * min(spread, inner) * effective_size ** (-1.0 / (d + 4))
