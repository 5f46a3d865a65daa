"""Run CVXPY problems and turn every way to fail into a helpful error."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import ConvergenceWarning, SolverError

FloatArray = NDArray[np.float64]

# Clarabel's own defaults stop at 1e-8, which leaves some idle neurons at visible size.
_CLARABEL_OPTIONS = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}
# Second-order cones lose a digit more to rounding than linear ones, semidefinite ones two.
_CONIC_TOLERANCE = 1e-9
SEMIDEFINITE_TOLERANCE = 1e-8
# How many are lost at worst depends on the order in which the processor adds: where the solver
# stalls short of its tolerance it is asked again for a tolerance larger by this factor.
_SECOND_TRY = 10.0

# Close data points and a small beta give weights of 1e5 ... 1e10, where interior-point solvers
# stall.  Stating the problem in larger units of y cures that; tried only when the first unit fails.
_UNITS = (1.0, 1e4, 1e8)


class Solution(NamedTuple):
    """A solved problem with its answer in the caller's units."""

    problem: Any
    variable: Any
    y: FloatArray
    value: float
    status: str
    unit: float


def import_cvxpy() -> ModuleType:
    """Import CVXPY only when a program is asked for."""
    try:
        import cvxpy
    except ImportError as error:
        raise ImportError(
            "convexscore.programs needs CVXPY, which is optional: pip install cvxpy clarabel"
        ) from error
    module: ModuleType = cvxpy
    return module


def solve_lasso(
    A: FloatArray,
    target: FloatArray,
    linear: FloatArray,
    penalty: float,
    solver: str,
    options: dict[str, Any],
) -> Solution:
    r"""Minimise :math:`\tfrac12\|Ay - t\|^2 + b^\top y + \beta\|y\|_1`.

    Raises
    ------
    SolverError
        If no attempt reaches an optimum, accurate or not.
    """
    cp = import_cvxpy()
    if solver == "CLARABEL":
        options = {**_CLARABEL_OPTIONS, **options}
    inaccurate: list[Solution] = []
    failure = ("", "")
    cause: Exception | None = None
    for unit in _UNITS:
        # With y = unit * y' the objective divided by unit keeps b and beta.
        y = cp.Variable(A.shape[1], name="y")
        fit = 0.5 * cp.sum_squares((np.sqrt(unit) * A) @ y - target / np.sqrt(unit))
        problem = cp.Problem(cp.Minimize(fit + linear @ y + penalty * cp.norm1(y)))
        try:
            _run(problem, solver, options)
        except cp.error.SolverError as error:
            failure, cause = ("solver_error", str(error)), error
            continue
        status = str(problem.status)
        if status in ("optimal", "optimal_inaccurate"):
            values = np.asarray(y.value, dtype=np.float64) * unit
            found = Solution(problem, y, values, float(problem.value) * unit, status, unit)
            if status == "optimal":
                return found
            inaccurate.append(found)
        else:
            failure, cause = (status, ""), None
    if not inaccurate:
        raise SolverError(_remedy(solver, *failure)) from cause
    # Every y is feasible, so the lowest objective is the best of the inaccurate answers.
    best = min(inaccurate, key=lambda found: found.value)
    # The frame that counts is the caller of the public function.
    warnings.warn(_remedy(solver, best.status), ConvergenceWarning, stacklevel=4)
    return best


def solve_convex(
    problem: Any,
    solver: str,
    options: dict[str, Any],
    *,
    tolerance: float = _CONIC_TOLERANCE,
    unbounded: Callable[[str], Exception | None] | None = None,
    infeasible: float | None = None,
) -> tuple[float, str]:
    """Solve a problem in place and return its value and status.

    ``tolerance`` is Clarabel's where the options do not say otherwise, ten times as much where rounding
    keeps it from that.  ``unbounded`` makes the
    error for a problem without lower bound from the status, or returns None if it has one after
    all: asked when the solver says so or is not sure of its answer.  ``infeasible`` is the value
    of a problem without a feasible point, if that can be.  Called by the helper of a public
    function, so that a warning points at the caller of the latter.

    Raises
    ------
    SolverError
        If the solver does not reach an optimum, accurate or not.
    """
    cp = import_cvxpy()
    tries = [tolerance, _SECOND_TRY * tolerance] if solver == "CLARABEL" else [tolerance]
    for tol in tries:
        own = dict.fromkeys(_CLARABEL_OPTIONS, tol) if solver == "CLARABEL" else {}
        try:
            _run(problem, solver, {**own, **options})
        except cp.error.SolverError as error:
            raise SolverError(_remedy(solver, "solver_error", str(error))) from error
        status = str(problem.status)
        if status != "optimal_inaccurate" or options.keys() & own.keys():
            break  # tolerances that were passed are not ours to change
    doubtful = "unbounded" in status or status == "optimal_inaccurate"
    endless = unbounded(status) if unbounded is not None and doubtful else None
    if endless is not None:
        raise endless
    if infeasible is not None and status in ("infeasible", "infeasible_inaccurate"):
        return infeasible, status
    if status not in ("optimal", "optimal_inaccurate"):
        raise SolverError(_remedy(solver, status))
    if status != "optimal":
        warnings.warn(_remedy(solver, status), ConvergenceWarning, stacklevel=4)
    return float(problem.value), status


def _run(problem: Any, solver: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        # Replaced by our own warning, which says what to do.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        problem.solve(solver=solver, **options)


def _remedy(solver: str, status: str, detail: str = "") -> str:
    return (
        f"solver {solver!r} ended with status {status!r}{': ' if detail else ''}{detail}. "
        "The program is bounded and feasible, so the trouble is numerical: raise beta, allow more "
        "iterations, loosen the tolerances you passed, or try another of "
        "cvxpy.installed_solvers() (CLARABEL is the most accurate here)."
    )
