"""Solve, assemble and certify one problem on the line, as line/training.py asks."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from convexscore._tools.exceptions import ConvergenceWarning
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.solvers.certificate import Certificate, certificate_from_bounds
from convexscore.solvers.line.cases import LineCase
from convexscore.solvers.line.certificate import DualHint, dual_point, primal_value
from convexscore.solvers.line.generation import slope_multipliers
from convexscore.solvers.line.network import assemble, score_of
from convexscore.solvers.line.problem import LineProblem
from convexscore.solvers.line.search import LineSolution, WarmStart, solve_line
from convexscore.solvers.line.tail_margin import back, shifted_problem

# A gap of tol takes a violation (in units of beta) of about this share of it; where that was not
# enough the fit goes on to a violation this much smaller, down to rounding.
_VIOLATION_SHARE = 1e-2
_LEAST_VIOLATION = 1e-13


@dataclass(frozen=True)
class LineFit:
    """A solved problem: network, exact score, certificate and the warm state for a neighbour."""

    network: TwoLayerNetwork
    score: PiecewiseLinearScore
    certificate: Certificate
    solution: LineSolution
    warm: WarmStart
    hint: DualHint | None


def solve(
    problem: LineProblem,
    case: LineCase,
    beta: float,
    *,
    tol: float = 1e-8,
    warm: WarmStart | None = None,
) -> LineFit:
    """Global optimum to a relative gap, with network and certificate.  O(n) per round, memory O(n).

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
) -> LineFit:
    started = perf_counter()
    n_rounds, violation = 0, max(_VIOLATION_SHARE * tol, _LEAST_VIOLATION)
    while True:
        solution, state = solve_line(problem.data, case, beta, tol=violation, warm=warm)
        network, score = assemble(problem, solution)
        hint = None
        if case.constraint is not None:
            hint = DualHint(
                solution.tilt, *slope_multipliers(state.master, state.view(problem.data, case))
            )
        n_rounds += solution.progress.n_rounds
        certificate = certificate_of(
            problem,
            case,
            beta,
            network,
            score_of(problem, solution)(problem.values),
            tol=tol,
            hint=hint,
            n_iter=n_rounds,
            started=started,
        )
        if certificate.optimal or violation <= _LEAST_VIOLATION:
            break
        warm, violation = state, max(_VIOLATION_SHARE * violation, _LEAST_VIOLATION)
    if not certificate.optimal:
        warnings.warn(
            f"column generation stopped early: {certificate}", ConvergenceWarning, stacklevel=4
        )
    return LineFit(network, score, certificate, solution, state, hint)


def certificate_of(
    problem: LineProblem,
    case: LineCase,
    beta: float,
    network: TwoLayerNetwork,
    score: np.ndarray,
    *,
    tol: float = 1e-8,
    hint: DualHint | None = None,
    reference_dual: float | None = None,
    n_iter: int = 0,
    started: float | None = None,
) -> Certificate:
    """Certificate of any network; ``reference_dual`` is another feasible dual value, if known."""
    started = perf_counter() if started is None else started
    unit = problem.objective_unit
    primal = primal_value(problem, network, score, beta)
    point = dual_point(problem, case, beta, score, hint)
    dual = point.value
    if reference_dual is not None:
        dual = max(dual, reference_dual / unit)
    return certificate_from_bounds(
        primal,
        dual,
        unit=unit,
        natural=1e-6 * problem.data.total_mass / problem.variance,
        violation=point.violation,
        exact=True,
        tol=tol,
        n_neurons=network.n_neurons,
        n_iter=n_iter,
        started=started,
        beta=beta,
    )
