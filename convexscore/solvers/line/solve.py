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
from convexscore.solvers.line.search import WarmStart, solve_line

# A gap of tol takes a violation (in units of beta) of about this share of it; where that was not
# enough the fit goes on to a violation this much smaller, down to rounding.
_VIOLATION_SHARE = 1e-2
_LEAST_VIOLATION = 1e-13
# Slope of tails that would be flat and point outwards, in units of 1 / variance of the points: no wider
# than about 30 standard deviations.
_TAIL_MARGIN = 1e-3


@dataclass(frozen=True)
class LineFit:
    """A solved problem: network, exact score, certificate and the warm state for a neighbour."""

    network: TwoLayerNetwork
    score: PiecewiseLinearScore
    certificate: Certificate
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
    that does not point inwards, they are solved again with a small margin.
    """
    fit = _solve(problem, case, beta, tol=tol, warm=warm)
    if case.constraint is None or not case.skip or fit.score.is_integrable:
        return fit
    # the warm state must stay one of the problem as given
    return replace(_with_margin(problem, case, beta, tol), warm=fit.warm)


def _with_margin(problem: LineProblem, case: LineCase, beta: float, tol: float) -> LineFit:
    r"""The fit with strict slope constraints, for optima whose tails are flat the wrong way.

    Slopes <= 0 do not make a density where the optimum is flat at an end and does not point inwards;
    the infimum over the integrable scores is then not attained.  Slopes <= -margin always do.  With a
    skip connection that is the same problem again: in :math:`\tilde s = s + \eta z` the labels become
    :math:`l + \eta z`, the slopes gain :math:`\eta`, the penalty does not change, and score matching
    gains the constant :math:`\eta` times the total weight.
    """
    margin, data = _TAIL_MARGIN / problem.variance, problem.data
    shifted = replace(data, label_mass=data.label_sums + margin * data.mass * data.x)
    fit = _solve(replace(problem, data=shifted), case, beta, tol=tol)
    network, score, certificate = fit.network, fit.score, fit.certificate
    assert network.skip is not None
    slope = margin * problem.objective_unit
    constant = data.divergence * data.total_mass * slope
    return replace(
        fit,
        network=replace(
            network,
            skip=np.asarray(network.skip - slope),
            offset=np.asarray(network.offset + slope * problem.center),
        ),
        score=replace(
            score,
            values=score.values - slope * (score.knots - problem.center),
            left_slope=score.left_slope - slope,
            right_slope=score.right_slope - slope,
        ),
        certificate=replace(
            certificate,
            objective=certificate.objective - constant,
            dual_objective=certificate.dual_objective - constant,
        ),
    )


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
    return LineFit(network, score, certificate, state, hint)


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
