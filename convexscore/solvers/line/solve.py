"""Solve, assemble and certify one univariate problem: the single entry the rest of the package uses."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from convexscore._tools.exceptions import ConvergenceWarning, DataWarning, UnboundedObjectiveError
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.line.cases import LineCase, boundedness_limit
from convexscore.solvers.line.certificate import DualHint, dual_point, primal_value
from convexscore.solvers.line.generation import slope_multipliers
from convexscore.solvers.line.network import assemble, score_of
from convexscore.solvers.line.problem import LineProblem
from convexscore.solvers.line.search import LineSolution, WarmStart, solve_line
from convexscore.solvers.line.tail_margin import back, shifted_problem

# Certified: the relative gap that counts as optimal whatever the violation tolerance.
_GAP_TOL = 1e-8
_NEAR_LIMIT = 1.1


@dataclass(frozen=True)
class UnivariateFit:
    """A solved problem: network, exact score, certificate and the warm state for a neighbour."""

    network: TwoLayerNetwork
    score: PiecewiseLinearScore
    certificate: Certificate
    solution: LineSolution
    warm: WarmStart
    hint: DualHint | None


def check_bounded(problem: LineProblem, case: LineCase, beta: float) -> None:
    """Refuse beta up to the limit where the objective is bounded; warn just above it.

    At the limit itself the objective is bounded but its infimum need not be attained.
    """
    limit = boundedness_limit(problem.data, case.activation, case.skip)
    with_skip = "with" if case.skip else "without"
    if limit > 0.0 and beta <= limit:
        raise UnboundedObjectiveError(
            f"beta = {beta:g} is not above the boundedness limit {limit:g}: score matching with "
            f"{case.activation} activation {with_skip} skip connection is unbounded below there, or "
            "has no minimiser (the limit is set by the weight of tied values and of the two extremes). "
            f"Use beta > {limit:g}, beta='cv', or objective='denoising', which has no limit."
        )
    if limit > 0.0 and beta < _NEAR_LIMIT * limit:
        warnings.warn(
            f"beta = {beta:g} is just above the boundedness limit {limit:g}: the optimal score is "
            f"huge and follows single points. Use a larger beta (sqrt(n) = "
            f"{np.sqrt(problem.data.total_mass):.3g} is a common size) or beta='cv'.",
            DataWarning,
            stacklevel=4,
        )


def solve(
    problem: LineProblem,
    case: LineCase,
    beta: float,
    *,
    tol: float = 1e-10,
    warm: WarmStart | None = None,
) -> UnivariateFit:
    """Global optimum with network and certificate.  O(n) per round, memory O(n).

    Constrained fits with skip connection always have a density: where slopes <= 0 leave a flat tail
    that does not point inwards, they are solved again with a small margin (see tail_margin).
    """
    fit = _solve(problem, case, beta, tol=tol, warm=warm)
    if case.constraint is None or not case.skip or fit.score.is_integrable:
        return fit
    shifted, margin = shifted_problem(problem)
    strict = _solve(shifted, case, beta, tol=tol)
    network, score, certificate = back(
        problem, margin, strict.network, strict.score, strict.certificate
    )
    # the warm state must stay one of the problem as given
    return replace(strict, network=network, score=score, certificate=certificate, warm=fit.warm)


def _solve(
    problem: LineProblem,
    case: LineCase,
    beta: float,
    *,
    tol: float,
    warm: WarmStart | None = None,
) -> UnivariateFit:
    started = perf_counter()
    solution, state = solve_line(problem.data, case, beta, tol=tol, warm=warm)
    network, score = assemble(problem, solution)
    hint = None
    if case.constraint is not None:
        hint = DualHint(
            solution.tilt, *slope_multipliers(state.master, state.view(problem.data, case))
        )
    certificate = certificate_of(
        problem,
        case,
        beta,
        network,
        score_of(problem, solution)(problem.values),
        hint=hint,
        n_iter=solution.progress.n_rounds,
        started=started,
    )
    if not certificate.optimal:
        warnings.warn(
            f"column generation stopped early: {certificate}", ConvergenceWarning, stacklevel=4
        )
    return UnivariateFit(network, score, certificate, solution, state, hint)


def certificate_of(
    problem: LineProblem,
    case: LineCase,
    beta: float,
    network: TwoLayerNetwork,
    score: np.ndarray,
    *,
    hint: DualHint | None = None,
    reference_dual: float | None = None,
    n_iter: int = 0,
    started: float | None = None,
) -> Certificate:
    """Certificate of any network; ``reference_dual`` is another feasible dual value, if known."""
    started = perf_counter() if started is None else started
    unit = problem.objective_unit
    primal = primal_value(problem, network, score, beta) * unit
    point = dual_point(problem, case, beta, score, hint)
    dual = point.value * unit
    if reference_dual is not None:
        dual = max(dual, reference_dual)
    gap = primal - dual
    natural = 1e-6 * problem.data.total_mass / problem.variance * unit
    relative = gap / max(abs(primal), natural)
    # rounding can leave the gap a few units below zero
    if -_GAP_TOL < relative < 0.0:
        gap = relative = 0.0
    return Certificate(
        objective=primal,
        dual_objective=dual,
        gap=gap,
        relative_gap=relative,
        max_violation=point.violation,
        exact=True,
        n_neurons=network.n_neurons,
        n_iter=n_iter,
        seconds=perf_counter() - started,
        beta=beta,
        status=_status(relative, point.violation),
    )


def _status(relative_gap: float, violation: float) -> str:
    if abs(relative_gap) <= _GAP_TOL:
        return "optimal"
    if not np.isfinite(relative_gap) or relative_gap < 0.0:
        return (
            f"not certified: the relative gap is {relative_gap:.2g}, rounding hides it; "
            "remove a large common offset from the data or increase beta"
        )
    return (
        f"not optimal: relative gap {relative_gap:.2g} (wanted {_GAP_TOL:g}), a neuron violates its "
        f"bound by {violation:.2g}; refit with fit_convex_score, a smaller tol or a larger beta"
    )
