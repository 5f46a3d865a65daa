"""From the terms of a program in several dimensions to a solved CVXPY problem."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.programs.data import Standardised
from convexscore.programs.result import ConvexProgram
from convexscore.programs.solver import SolverChoice, import_cvxpy, solve

FloatArray = NDArray[np.float64]

# Second-order cones lose a digit more to rounding than linear ones, semidefinite ones two.
_CONIC_TOLERANCE = 1e-9


@dataclass(eq=False)
class Terms:
    """Variables and expressions of a program for standardised data."""

    variables: dict[str, Any]
    values: Any
    divergence: Any
    penalty: Any = 0.0
    constraints: list[Any] = field(default_factory=list)

    def free(self, name: str) -> FloatArray | None:
        """What the solver found for the skip matrix or the offset, None if it is not there."""
        variable = self.variables.get(name)
        return None if variable is None else value_of(variable)

    def line(self) -> dict[str, Any]:
        """The two as arguments of a network."""
        offset = self.free("offset")
        return {
            "offset": np.zeros(1) if offset is None else offset[0],
            "skip": self.free("skip"),
        }


def value_of(expression: Any) -> FloatArray:
    """The value of an expression after solving."""
    return np.asarray(expression.value, dtype=np.float64)


def minimise(
    std: Standardised,
    terms: Terms,
    solver: SolverChoice | str,
    *,
    tolerance: float = _CONIC_TOLERANCE,
    unbounded: Callable[[str], Exception | None] | None = None,
    **kind_of_skip: bool,
) -> ConvexProgram:
    """Add V x + c, solve, and report in the unit of the data, without weights and network."""
    cp = import_cvxpy()
    (n, d), width = std.shape, std.labels.shape[1]
    values, divergence = terms.values, terms.divergence
    if std.skip:
        V = terms.variables["skip"] = cp.Variable((width, d), name="skip", **kind_of_skip)
        values = values + std.points @ V.T
        if std.divergence:
            divergence = divergence + std.mass.sum() * cp.trace(V)
    if std.offset:
        c = terms.variables["offset"] = cp.Variable((1, width), name="offset")
        values = values + np.ones((n, 1)) @ c
    root = np.sqrt(std.mass)[:, np.newaxis]
    objective = 0.5 * cp.sum_squares(cp.multiply(root, values - std.labels))
    objective = objective + std.beta * terms.penalty
    if std.divergence:
        objective = objective + divergence
    problem = cp.Problem(cp.Minimize(objective), terms.constraints)
    found = solve(lambda _: problem, solver, tolerance, unbounded=unbounded)
    return ConvexProgram(
        problem=problem,
        variables=terms.variables,
        value=float(problem.value) * std.rate**2,
        weights=np.empty(0),
        fitted=std.label_mean + std.rate * value_of(values),
        network=None,
        status=found.status,
        accuracy=found.accuracy,
        solver=problem.solver_stats.solver_name,
        scale=std.rate**2,
    )
