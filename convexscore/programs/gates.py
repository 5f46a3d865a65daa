"""Activation patterns as gates: which linear map acts on which points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convexscore.arrangements import enumerate_patterns, neuron_of_pattern
from convexscore.arrangements.arrangement import check_pattern
from convexscore.programs.solver import BoolArray, FloatArray
from convexscore.programs.standardised import Standardised


@dataclass(frozen=True, eq=False)
class Gate:
    """One pattern D on the standardised points.

    Attributes
    ----------
    pattern : (n,) the diagonal of D.
    factor : (n,) the diagonal of D': the slope of the activation, D (ReLU) or 2D - I (absolute
        value).
    inputs : (n, q) the matrix [X 1] or X.
    trace : sum of D' with the sample weights.
    free : whether every inner weight has this pattern, with a bias that is large enough.  Such a
        gate has no bias of its own (the offset is the same) and no cone.
    """

    pattern: BoolArray
    factor: FloatArray
    inputs: FloatArray
    trace: float
    free: bool

    @property
    def cone(self) -> FloatArray:
        """(2D - I)[X 1]: a neuron v has this pattern if its product with v is >= 0."""
        return np.where(self.pattern, 1.0, -1.0)[:, np.newaxis] * self.inputs

    def neurons(self, columns: FloatArray, d: int) -> tuple[FloatArray, FloatArray]:
        """Inner weights and biases of neurons (q, m) that have the pattern, (m, d) and (m,)."""
        if self.free:
            # The hyperplane is a little beside the points.
            side, products = 1.0 if self.pattern[0] else -1.0, self.inputs @ columns
            margin = 1e-3 * np.max(np.abs(products), axis=0)
            return columns.T, side * (margin - np.min(side * products, axis=0))
        has_bias = len(columns) > d
        return columns[:d].T, columns[d] if has_bias else np.zeros(columns.shape[1])


def make_gates(std: Standardised, patterns: Any, *, bias: bool) -> tuple[Gate, ...]:
    """Gates of the patterns given, or of all of them; useless and repeated ones left out."""
    if bias and not std.offset:
        raise ValueError(
            "offset=False needs bias=False: a neuron with a large bias is active on all points and "
            "its bias a free constant."
        )
    slope = std.activation.negative_slope
    if patterns is None:
        patterns = enumerate_patterns(std.points, bias=bias)
    rows = np.atleast_2d(np.asarray(getattr(patterns, "patterns", patterns)))
    chosen = np.array([check_pattern(row, std.shape[0]) for row in rows])
    if slope == 0:
        chosen = chosen[np.any(chosen, axis=1)]
    elif slope == -1:
        # D and I - D differ by a sign of the whole gate.
        chosen = np.where(chosen[:, :1], chosen, ~chosen)
    chosen = np.unique(chosen, axis=0)
    if len(chosen) == 0:
        raise ValueError("patterns must have at least one point active in at least one pattern.")
    gates = []
    for pattern in chosen:
        factor = np.where(pattern, 1.0, slope)
        free = bool(bias and (pattern.all() or not pattern.any()))
        inputs = (
            std.points if free or not bias else np.insert(std.points, std.shape[1], 1.0, axis=1)
        )
        gates.append(Gate(pattern, factor, inputs, float(std.mass @ factor), free))
    return tuple(gates)


def split_gate(
    gate: Gate, W: FloatArray, std: Standardised, *, bias: bool
) -> tuple[FloatArray, FloatArray]:
    r"""Neurons (q, m) inside the cone and outer weights (m, k) that equal the gate.

    :math:`W = (W + zt^\top) - zt^\top`, every column of both terms strictly inside, t as small as
    possible up to a factor.  Of a free gate every column is a neuron.
    """
    k = W.shape[1]
    if gate.free:
        return W, np.eye(k)
    neuron = neuron_of_pattern(std.points, gate.pattern, bias=bias)
    if neuron is None:
        raise ValueError(
            f"patterns: one with {int(gate.pattern.sum())} of {len(gate.pattern)} points active "
            "belongs to no open cell of neurons, so no network has it. Take patterns from "
            "convexscore.arrangements."
        )
    inside = np.append(*neuron)[: len(W)]
    depth = gate.cone @ inside
    # Rows at the origin without bias carry no sign.
    rows = depth > 0
    signed = gate.cone[rows] @ W
    needed = np.max(-signed / depth[rows, np.newaxis], axis=0)
    size = np.max(np.abs(signed) / depth[rows, np.newaxis])
    t = np.maximum(needed, 0.0) + 1e-3 * size
    columns = W + inside[:, np.newaxis] * t
    return np.column_stack([columns, inside]), np.vstack([np.eye(k), -t])
