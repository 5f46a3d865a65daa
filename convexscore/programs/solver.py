"""Run CVXPY problems: which solver, how accurate, and what becomes of answers that are not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import ConvergenceWarning, SolverError
from convexscore.programs.result import ConvexProgram

FloatArray = NDArray[np.float64]

_TOLERANCES = ("tol_gap_abs", "tol_gap_rel", "tol_feas")
# How many digits are lost depends on the order in which the processor adds: where the solver
# stalls short of its tolerance it is asked again for a digit less, and once more.
_LOOSER = (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class SolverChoice:
    """Which conic solver runs a program, and with which options.

    Parameters
    ----------
    name : str
        Name of an installed CVXPY solver.
    options : mapping
        Passed to ``cvxpy.Problem.solve``.  For Clarabel each program has a tolerance of its own
        (``tol_gap_abs``, ``tol_gap_rel``, ``tol_feas``); where it stalls, ten and then a hundred
        times as much is tried.  Tolerances given here are used as they are, and only them.

    Examples
    --------
    >>> from convexscore.programs import univariate_program
    >>> loose = SolverChoice(options={"tol_gap_rel": 1e-6})
    >>> univariate_program([-1.0, 0.0, 1.0], beta=2.0, solver=loose).accuracy
    1e-06
    """

    name: str = "CLARABEL"
    options: Mapping[str, Any] = field(default_factory=dict)

    def attempts(self, tolerance: float) -> Iterator[tuple[dict[str, Any], float]]:
        """Options to try, one after the other, and the accuracy that each would reach."""
        if self.name != "CLARABEL":
            yield dict(self.options), np.nan
            return
        given = any(name in self.options for name in _TOLERANCES)
        for factor in _LOOSER[:1] if given else _LOOSER:
            options = {**dict.fromkeys(_TOLERANCES, factor * tolerance), **self.options}
            yield options, max(options[name] for name in _TOLERANCES)


CLARABEL = SolverChoice()


def import_cvxpy() -> ModuleType:
    """Import CVXPY only when a program is solved."""
    try:
        import cvxpy
    except ImportError as error:
        raise ImportError(
            "convexscore.programs needs CVXPY, which is optional: pip install cvxpy clarabel"
        ) from error
    module: ModuleType = cvxpy
    return module


def solve(
    statement: Callable[[float], Any],
    solver: SolverChoice | str,
    tolerance: float,
    *,
    units: tuple[float, ...] = (1.0,),
    unbounded: Callable[[str], Exception | None] | None = None,
    may_be_infeasible: bool = False,
) -> ConvexProgram:
    """Solve a program in one of several statements, the first that the solver calls optimal.

    What comes back is in the unit of the problem, without weights, fitted values and network.

    ``statement`` makes the problem with its value divided by a unit.  ``unbounded`` makes the error
    for a problem without lower bound, or returns None if it has one after all: asked when the
    solver says so or is not sure at first.  Called by the helper of a public function, so that the
    warning points at the caller of the latter.

    Raises
    ------
    SolverError
        If no attempt reaches an optimum, accurate or not.
    """
    choice = SolverChoice(solver) if isinstance(solver, str) else solver
    problem_in = cache(statement)
    inaccurate: list[tuple[float, float, dict[str, Any]]] = []
    failure, first = ("", ""), True
    cause: Exception | None = None
    for options, accuracy in choice.attempts(tolerance):
        for unit in units:
            problem = problem_in(unit)
            status, error = _run(problem, choice.name, options)
            sure = first and status == "optimal"
            doubtful = "unbounded" in status or status.startswith("optimal")
            first = False
            if unbounded is not None and doubtful and not sure:
                endless = unbounded(status)
                if endless is not None:
                    raise endless
            if status == "optimal" or (may_be_infeasible and status.startswith("infeasible")):
                return _program(problem, unit, status, accuracy)
            if status == "optimal_inaccurate":
                inaccurate.append((unit * float(problem.value), unit, options))
            else:
                failure, cause = (status, "" if error is None else str(error)), error
    if not inaccurate:
        raise SolverError(_remedy(choice.name, *failure)) from cause
    # Of about feasible answers the lowest is the best; the run is repeated for its variables.
    _, unit, options = min(inaccurate, key=lambda found: found[0])
    status, _ = _run(problem_in(unit), choice.name, options)
    warnings.warn(_remedy(choice.name, status), ConvergenceWarning, stacklevel=4)
    return _program(problem_in(unit), unit, status, np.nan)


def _program(problem: Any, unit: float, status: str, accuracy: float) -> ConvexProgram:
    return ConvexProgram(
        problem=problem,
        variables={variable.name(): variable for variable in problem.variables()},
        value=unit * float(problem.value),
        weights=np.empty(0),
        fitted=np.empty(0),
        network=None,
        status=status,
        accuracy=accuracy,
        solver=problem.solver_stats.solver_name,
        scale=unit,
    )


def value_of(expression: Any) -> FloatArray:
    """The value of a variable or an expression after solving."""
    return np.asarray(expression.value, dtype=np.float64)


def _run(problem: Any, name: str, options: Mapping[str, Any]) -> tuple[str, Exception | None]:
    with warnings.catch_warnings():
        # Replaced by our own warning, which says what to do.
        warnings.filterwarnings("ignore", message="Solution may be inaccurate")
        try:
            problem.solve(solver=name, **options)
        except import_cvxpy().error.SolverError as error:
            return "solver_error", error
    return str(problem.status), None


def _remedy(solver: str, status: str, detail: str = "") -> str:
    return (
        f"solver {solver!r} ended with status {status!r}{': ' if detail else ''}{detail}. "
        "The program is bounded and feasible, so the trouble is numerical: raise beta, allow more "
        "iterations, loosen the tolerances you passed, or try another of "
        "cvxpy.installed_solvers() (CLARABEL is the most accurate here)."
    )
