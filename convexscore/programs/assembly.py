"""What the programs in several dimensions have in common: the objective, and V x + c."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from convexscore.programs.data import Standardised
from convexscore.programs.result import ConvexProgram
from convexscore.programs.solver import SolverChoice, import_cvxpy, solve, value_of

# Second-order cones lose a digit more to rounding than linear ones, semidefinite ones two.
_CONIC_TOLERANCE = 1e-9


def minimise(
    std: Standardised,
    values: Any,
    solver: SolverChoice | str,
    *,
    divergence: Any,
    penalty: Any = 0.0,
    constraints: Sequence[Any] = (),
    tolerance: float = _CONIC_TOLERANCE,
    unbounded: Callable[[str], Exception | None] | None = None,
    **kind_of_skip: bool,
) -> ConvexProgram:
    """Add V x + c, solve, and report in the unit of the data, without weights and network."""
    cp = import_cvxpy()
    (n, d), width = std.shape, std.labels.shape[1]
    if std.skip:
        V = cp.Variable((width, d), name="skip", **kind_of_skip)
        values = values + std.points @ V.T
        if std.divergence:
            divergence = divergence + std.mass.sum() * cp.trace(V)
    if std.offset:
        values = values + np.ones((n, 1)) @ cp.Variable((1, width), name="offset")
    root = np.sqrt(std.mass)[:, np.newaxis]
    objective = 0.5 * cp.sum_squares(cp.multiply(root, values - std.labels))
    objective = objective + std.beta * penalty
    if std.divergence:
        objective = objective + divergence
    problem = cp.Problem(cp.Minimize(objective), list(constraints))
    program = solve(lambda _: problem, solver, tolerance, unbounded=unbounded)
    return replace(
        program,
        value=program.value * std.rate**2,
        fitted=std.label_mean + std.rate * value_of(values),
        scale=std.rate**2,
    )
