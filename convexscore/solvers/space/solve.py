"""Solve, assemble and certify one problem in any dimension: the entry the rest of the package uses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from convexscore._tools.exceptions import (
    ConvergenceWarning,
    DataWarning,
    SolverError,
    UnboundedObjectiveError,
)
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.oracles.base import Oracle
from convexscore.solvers.space.boundedness import boundedness
from convexscore.solvers.space.certificate import certificate_of
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.dual import DualPoint
from convexscore.solvers.space.generation import Outcome, Round, improve
from convexscore.solvers.space.problem import SpaceProblem
from convexscore.solvers.space.restricted import (
    Restricted,
    add_columns,
    free_values,
    restart,
    start,
)
from convexscore.solvers.space.rows import MemoryRows
from convexscore.solvers.space.tidy import tidy

# Penalties are approached from above: each stage multiplies beta by this, down to the one asked for,
# and stops at the violation that still makes the next stage's start useful.
_STAGE = 0.3
_FIRST_STAGE = 0.06
_STAGE_TOL = 0.2
# Score matching: the residual of this share of beta, to this violation, is strictly feasible at beta.
_INNER_SHARE = 0.9
_INNER_VIOLATION = 0.04
_INNER_ROOM = 0.98
_INNER_ACCURACY = 1e-2
# Largest n d for which unboundedness is proven before a problem is refused.
_PROVABLE_SIZE = 400
# Local searches look this many times as hard before they let a fit end.
FINAL_EFFORT = 4
# Tidying may cost about these shares of the tolerance.  A tidied network is kept if its residual violates
# no bound by more than this, or twice what was reached.
_TIDY_SHARES = (1.0, 0.01)
_TIDY_VIOLATION = 1e-3


@dataclass(frozen=True, eq=False)
class SpaceFit:
    """A solved problem: network, certificate and the warm state for a neighbouring beta."""

    network: TwoLayerNetwork
    certificate: Certificate
    restricted: Restricted
    inner: DualPoint | None


def largest_start(problem: SpaceProblem, oracle: Oracle) -> float:
    """Smallest beta at which no neuron pays: the largest measure at the best c and V."""
    return oracle.price(problem.rows.start(), n_best=1).largest


def solve(
    problem: SpaceProblem,
    beta: float,
    oracle: Oracle,
    *,
    tol: float = 1e-4,
    warm: SpaceFit | None = None,
    effort: int = FINAL_EFFORT,
    extra: Columns | None = None,
    log: list[Round] | None = None,
    max_rounds: int = 200,
) -> SpaceFit:
    """Best network that column generation finds, with its certificate.

    Per round one call of the oracle and about ten Newton steps of the master, O(K^3 + K^2 d) each for K
    columns, and some passes over the rows, O(n K d); memory O(K^2), the oracle's and that of a pass.
    ``extra`` neurons compete from the start of the last stage; rounds are written to ``log``.
    """
    started, log = perf_counter(), [] if log is None else log
    restricted, inner, certifiable = _prepared(problem, beta, oracle, warm, extra, log)
    outcome = improve(
        restricted,
        oracle,
        tol=tol,
        inner=inner,
        effort=effort,
        max_rounds=max_rounds,
        log=log,
        violation=-np.inf if certifiable else tol,
    )
    _require_bounded(outcome, restricted, oracle, beta)

    def certified(candidate: Restricted) -> tuple[TwoLayerNetwork, Certificate]:
        network = network_of(candidate)
        return network, certificate_of(
            problem, beta, network, oracle, inner=inner, reference=outcome.dual_value,
            tol=tol, effort=effort, n_iter=len(log), started=started,
        )  # fmt: skip

    network, certificate = _neatest(restricted, outcome, certified, tol)
    if not certificate.converged:
        warnings.warn(
            f"column generation stopped early: {certificate}", ConvergenceWarning, stacklevel=4
        )
    return SpaceFit(network, certificate, restricted, inner)


def _prepared(
    problem: SpaceProblem,
    beta: float,
    oracle: Oracle,
    warm: SpaceFit | None,
    extra: Columns | None,
    log: list[Round],
) -> tuple[Restricted, DualPoint | None, bool]:
    """Where the last stage starts, a strictly feasible dual point, and whether a gap can be proven."""
    inner = None if warm is None else warm.inner
    largest = largest_start(problem, oracle)
    if largest <= beta:
        # no neuron pays: c and V alone are the optimum, and their residual proves it
        return restart(start(problem, beta), beta), inner, True
    before = None if warm is None else warm.restricted
    restricted = descend(problem, beta, oracle, largest=largest, warm=before, log=log)
    if extra is not None:
        add_columns(restricted, extra, problem.natural_value)
    if problem.rows.divergence and (inner is None or inner.largest > _INNER_ROOM * beta):
        inner = inner_point(restricted, oracle, beta, log)
    return restart(restricted, beta), inner, inner is not None or not problem.rows.divergence


def _neatest(
    restricted: Restricted,
    outcome: Outcome,
    certified: Callable[[Restricted], tuple[TwoLayerNetwork, Certificate]],
    tol: float,
) -> tuple[TwoLayerNetwork, Certificate]:
    """The neatest network that is as good as what the last round has priced, with its certificate."""
    beta = restricted.beta
    allowed = tol * max(abs(restricted.value()), restricted.problem.natural_value)
    loosest = max(_TIDY_VIOLATION, tol, 2.0 * (outcome.residual.largest / beta - 1.0))
    for share in _TIDY_SHARES:
        network, certificate = certified(tidy(restricted, tol=share * allowed))
        # a local search finds another largest violation every time: nothing to compare
        loose = certificate.exact and certificate.max_violation > loosest
        if not loose and certificate.converged == outcome.reached:
            return network, certificate
    return certified(restricted)


def descend(
    problem: SpaceProblem,
    beta: float,
    oracle: Oracle,
    *,
    tol: float = _STAGE_TOL,
    largest: float | None = None,
    warm: Restricted | None = None,
    last: bool = False,
    log: list[Round] | None = None,
) -> Restricted:
    """Rough solutions for decreasing penalties; ``last``: down to beta itself, else just above it.

    ``largest`` is :func:`largest_start` where it is known.
    """
    if warm is not None:
        restricted, stages = restart(warm, beta), [beta]
    else:
        restricted = start(problem, beta)
        stages = _stages(beta, largest_start(problem, oracle) if largest is None else largest)
    for stage in stages if last else stages[:-1]:
        restricted = restart(restricted, stage)
        outcome = improve(restricted, oracle, tol=tol, violation=tol, log=log)
        _require_bounded(outcome, restricted, oracle, beta)
    return restricted


def network_of(restricted: Restricted) -> TwoLayerNetwork:
    """The network of the current weights with the best V and c, in the units of the data."""
    design = restricted.design
    outer = design.outer_weights(restricted.state.weights)
    V, c = free_values(design, outer)
    return restricted.problem.network(design.columns, outer, V, c)


def _stages(beta: float, largest: float) -> list[float]:
    """Decreasing penalties from near the first neuron down to beta."""
    top = _FIRST_STAGE * largest
    if beta >= top:
        return [beta]
    count = int(np.ceil(np.log(top / beta) / -np.log(_STAGE)))
    return list(np.geomspace(top, beta, count + 1))


def inner_point(
    restricted: Restricted, oracle: Oracle, beta: float, log: list[Round] | None = None
) -> DualPoint | None:
    """A residual that keeps every bound strictly, from the optimum of a slightly smaller beta.

    None if there is none; the restricted problem takes over the columns and weights.
    """
    trial = restart(restricted, _INNER_SHARE * beta)
    outcome = improve(
        trial, oracle, tol=-1.0, violation=_INNER_VIOLATION, effort=1, max_rounds=60, log=log
    )
    if not outcome.bounded:  # beta is just above the limit: a point at the limit itself
        if not _provable(restricted.problem):
            return None
        limit = boundedness(restricted.problem, oracle, tol=_INNER_ACCURACY)
        if limit.upper >= beta:
            return None
        warnings.warn(
            f"beta = {beta:g} is at most a tenth above the boundedness limit of score matching on these "
            "data: the optimal score is large and follows single points. Use a larger beta (sqrt(n) is a "
            "common size) or beta='cv'.",
            DataWarning,
            stacklevel=5,
        )
        return DualPoint(limit.residual, limit.upper)
    restricted.design, restricted.state = trial.design, trial.state
    restricted.idle = trial.idle
    return outcome.residual if outcome.residual.largest < beta else None


def _provable(problem: SpaceProblem) -> bool:
    """Whether the limit of the penalty is cheap to compute."""
    small = problem.rows.n_samples * problem.rows.dim <= _PROVABLE_SIZE
    return small and isinstance(problem.rows, MemoryRows)


def _require_bounded(outcome: Outcome, restricted: Restricted, oracle: Oracle, beta: float) -> None:
    """Refuse a problem whose restricted objective has no minimum, with the proof where it is cheap.

    The ray along which the master ran away is no proof by itself: on small data the threshold of its
    neurons is computed, a lower bound of that of all.
    """
    if outcome.bounded:
        return
    problem = restricted.problem
    limit = None
    if _provable(problem):
        limit = boundedness(
            problem, oracle, decide=restricted.beta, start=restricted.design.columns
        )
    if limit is not None and limit.exact and limit.upper < restricted.beta:
        raise SolverError(
            f"the restricted problem at beta = {restricted.beta:g} ran below every plausible value "
            f"although it is bounded (limit {limit.upper:g}): data and beta are at the edge of double "
            "precision. Use a larger beta, or remove single far points."
        )
    known = "" if limit is None else f" (the limit is at least {limit.lower:.4g})"
    raise UnboundedObjectiveError(
        f"beta = {beta:g} is too small: score matching is unbounded below on these data{known}: some "
        "combination of neurons lowers the divergence without any cost in fit. Use a larger beta "
        "(sqrt(n) is a common size), beta='cv', or objective='denoising', which has no limit; "
        "smallest_beta(X) computes the limit on small data."
    )
