"""Run CVXPY problems: which solver, how accurate, and what comes back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from itertools import product
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import ConvergenceWarning, SolverError
from convexscore.scores.network import TwoLayerNetwork

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

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
            return iter([(dict(self.options), np.nan)])
        given = any(name in self.options for name in _TOLERANCES)
        tried = (
            {**dict.fromkeys(_TOLERANCES, factor * tolerance), **self.options}
            for factor in (_LOOSER[:1] if given else _LOOSER)
        )
        return ((options, max(options[name] for name in _TOLERANCES)) for options in tried)


CLARABEL = SolverChoice()


@dataclass(frozen=True, eq=False)
class ConvexProgram:
    r"""A solved convex program and the network it describes.

    "Optimal" is the solver's word, not a certificate: :func:`convexscore.certify` judges the network
    on its own, from the data.

    Attributes
    ----------
    problem : cvxpy.Problem
        The program itself.  It is stated for standardised data (and, for denoising, standardised
        labels), because conic solvers need that; ``value = scale * problem.value + constant``.
    variables : dict of str to cvxpy.Variable, or to a list of one for every pattern
    value : float
        Optimal value in the unit of the data, all constants included: the network objective
        :math:`\sum_i m_i[\tfrac12|s(x_i)-l_i|^2 + \mathrm{div}\,s(x_i)] + \beta\sum_j |u_j||w_j|`,
        without divergence for denoising, without labels for score matching.
    weights : ndarray
        The optimal outer weights in the unit of the data, as the solver left them: (m,) for the
        columns of a program on the line, (m, d) for a dictionary, and the matrices (p, d, k) of the
        inputs, without the bias row, for patterns.
    fitted : ndarray of shape (n, k)
        The values at the data points.
    network : TwoLayerNetwork or None
        None for relaxations, which belong to no network.  Idle neurons are left out (below 1e-9,
        in several dimensions 1e-7, of the largest weight or of the standardised unit, if that is
        larger: all may be idle).  One column: ``|u_j| = 1``, equal columns merged, kinks one
        rounding to the side of their data point that the column counted.
    status : str
        The solver's word: ``"optimal"`` or, with a ConvergenceWarning, ``"optimal_inaccurate"``.
    accuracy : float
        The tolerance at which Clarabel said so; nan if it did not, and for other solvers.
    solver : str
    scale, constant : float
    patterns : ndarray of shape (p, n), bool, or None
        The patterns used: repeated and useless ones are left out.
    """

    problem: Any = field(repr=False)
    variables: dict[str, Any] = field(repr=False)
    value: float
    status: str
    accuracy: float
    solver: str
    scale: float = field(repr=False)
    constant: float = field(default=0.0, repr=False)
    weights: FloatArray = field(default_factory=lambda: np.empty(0), repr=False)
    fitted: FloatArray = field(default_factory=lambda: np.empty(0), repr=False)
    network: TwoLayerNetwork | None = None
    patterns: BoolArray | None = field(default=None, repr=False)


def import_cvxpy() -> ModuleType:
    """Import CVXPY only when a program is solved."""
    try:
        return import_module("cvxpy")
    except ImportError as error:
        raise ImportError(
            "convexscore.programs needs CVXPY, which is optional: pip install cvxpy clarabel"
        ) from error


def solve(
    statement: Callable[[float], Any],
    solver: SolverChoice,
    tolerance: float,
    *,
    units: tuple[float, ...] = (1.0,),
    refuse: Callable[[str], None] = lambda status: None,
    accepted: tuple[str, ...] = ("optimal",),
) -> ConvexProgram:
    """Solve a program in one of several statements, the first that the solver calls optimal.

    What comes back is in the unit of the problem, without weights, fitted values and network.

    ``statement`` makes the problem with its value divided by a unit.  ``refuse`` raises the error
    for a problem without lower bound, unless it has one after all: asked when the solver says so or
    is not sure at first.  ``accepted`` are the statuses of an answer that counts.  Called by the
    helper of a public function, so that the warning points at the caller of the latter.

    Raises
    ------
    SolverError
        If no attempt reaches an optimum, accurate or not.
    """
    problem_in = cache(statement)
    inaccurate: list[tuple[float, float, dict[str, Any]]] = []
    failure: tuple[str, Exception | None] = ("", None)
    for trial, ((options, accuracy), unit) in enumerate(product(solver.attempts(tolerance), units)):
        problem = problem_in(unit)
        status, error = _run(problem, solver.name, options)
        doubtful = "unbounded" in status or status.startswith("optimal")
        if doubtful and (trial, status) != (0, "optimal"):
            refuse(status)
        if status in accepted:
            return _program(problem, unit, accuracy)
        if status == "optimal_inaccurate":
            inaccurate.append((unit * float(problem.value), unit, options))
        else:
            failure = status, error
    if not inaccurate:
        raise SolverError(_remedy(solver.name, *failure)) from failure[1]
    # Of about feasible answers the lowest is the best; the run is repeated for its variables.
    _, unit, options = min(inaccurate, key=lambda found: found[0])
    status, _ = _run(problem_in(unit), solver.name, options)
    warnings.warn(_remedy(solver.name, status, None), ConvergenceWarning, stacklevel=4)
    return _program(problem_in(unit), unit, np.nan)


def _program(problem: Any, unit: float, accuracy: float) -> ConvexProgram:
    return ConvexProgram(
        problem=problem,
        variables={variable.name(): variable for variable in problem.variables()},
        value=unit * float(problem.value),
        status=str(problem.status),
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


def _remedy(solver: str, status: str, error: Exception | None) -> str:
    return (
        f"solver {solver!r} ended with status {status!r}{': ' if error else ''}{error or ''}. "
        "The program is bounded and feasible, so the trouble is numerical: raise beta, allow more "
        "iterations, loosen the tolerances you passed, or try another of "
        "cvxpy.installed_solvers() (CLARABEL is the most accurate here)."
    )
