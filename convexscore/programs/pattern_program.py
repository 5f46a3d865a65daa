"""The least squares problem over gates, with or without cones, stated for CVXPY."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore.programs.gates import (
    Gate,
    as_trace_matrix,
    interior_neurons,
    make_gates,
    split_gate,
)
from convexscore.programs.multivariate import Standardised
from convexscore.programs.result import PatternProgram
from convexscore.programs.solve import import_cvxpy, solve_convex
from convexscore.scores.activations import get_activation
from convexscore.scores.network import TwoLayerNetwork

FloatArray = NDArray[np.float64]


def solve_patterns(
    std: Standardised,
    patterns: Any,
    activation: str,
    bias: bool,
    skip: bool,
    offset: bool,
    cones: bool,
    solver: str,
    options: dict[str, Any],
) -> PatternProgram:
    """Minimise over the matrices of all gates; ``cones`` splits each into neurons of its cone."""
    cp = import_cvxpy()
    n, d = std.shape
    gates = make_gates(std, patterns, activation, bias=bias)
    inside = interior_neurons(std, gates, bias=bias)
    if std.divergence:
        _require_bounded(std, gates, skip=skip, offset=offset)

    variables: dict[str, Any] = {}
    constraints: list[Any] = []
    shapes = [(gate.inputs.shape[1], d) for gate in gates]
    weights = [cp.Variable(shape, name="W") for shape in shapes]
    variables["W"] = weights
    terms = weights
    if cones:
        minus = [cp.Variable(shape, name="W'") for shape in shapes]
        variables["W'"] = minus
        terms = [a - b for a, b in zip(weights, minus, strict=True)]
        for gate, a, b in zip(gates, weights, minus, strict=True):
            if not gate.free:
                constraints += [gate.cone @ a >= 0, gate.cone @ b >= 0]
    values = sum(gate.design @ W for gate, W in zip(gates, terms, strict=True))
    divergence = sum(gate.trace * cp.trace(W[:d]) for gate, W in zip(gates, terms, strict=True))
    if skip:
        variables["skip"] = cp.Variable((d, d), name="skip")
        values = values + std.points @ variables["skip"].T
        divergence = divergence + std.total * cp.trace(variables["skip"])
    if offset:
        variables["offset"] = cp.Variable((1, d), name="offset")
        values = values + np.ones((n, 1)) @ variables["offset"]
    loss = 0.5 * cp.sum_squares(cp.multiply(std.root, values - std.labels))
    problem = cp.Problem(cp.Minimize(loss + std.divergence * divergence), constraints)
    value, status = solve_convex(problem, solver, options)

    found = [np.asarray(W.value, dtype=np.float64).reshape(-1, d) for W in terms]
    line = np.asarray(variables["offset"].value).reshape(d) if offset else np.zeros(d)
    matrix = np.asarray(variables["skip"].value, dtype=np.float64) if skip else None
    return PatternProgram(
        problem=problem,
        variables=variables,
        value=value * std.rate**2,
        patterns=np.array([gate.pattern for gate in gates]),
        weights=std.slope * np.array([W[:d] for W in found]),
        fitted=std.label_mean + std.rate * np.asarray(values.value, dtype=np.float64),
        network=_network(std, gates, inside, found, line, matrix, activation),
        status=status,
        solver=solver,
        scale=std.rate**2,
    )


def _network(
    std: Standardised,
    gates: tuple[Gate, ...],
    inside: list[tuple[FloatArray, float] | None],
    weights: list[FloatArray],
    offset: FloatArray,
    skip: FloatArray | None,
    activation: str,
) -> TwoLayerNetwork:
    parts = [split_gate(*part) for part in zip(gates, weights, inside, strict=True)]
    u, b, w, constants = (list(column) for column in zip(*parts, strict=True))
    inner = np.vstack(u)
    return std.network(
        inner,
        std.slope * np.vstack(w),
        std.bias_of(inner, np.concatenate(b)),
        offset=offset + np.sum(constants, axis=0),
        skip=skip,
        activation=get_activation(activation).name,
    )


def _require_bounded(
    std: Standardised, gates: tuple[Gate, ...], *, skip: bool, offset: bool
) -> None:
    """The divergence must be a linear function of the values: in the row space of the design."""
    n, d = std.shape
    blocks = [gate.design for gate in gates]
    linear = as_trace_matrix(gates, std.total, d, skip=skip)
    if skip:
        blocks.append(std.points)
    if offset:
        blocks.append(np.ones((n, 1)))
        linear = np.vstack([linear, np.zeros((1, d))])
    design = np.hstack(blocks)
    solution = np.linalg.lstsq(design.T, linear, rcond=1e-10)[0]
    if np.max(np.abs(design.T @ solution - linear)) > 1e-7 * np.max(np.abs(linear)):
        raise UnboundedObjectiveError(
            f"score matching without penalty is unbounded below with {len(gates)} patterns on {n} "
            "points: maps that vanish on the data have a divergence there. Give fewer patterns "
            "(about n / (d + 1) at most), or a penalty: dictionary_score_matching and "
            "clifford_score_matching take beta."
        )
