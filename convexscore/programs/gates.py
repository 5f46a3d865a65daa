"""Activation patterns as gates: which linear map acts on which points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.arrangements import enumerate_patterns, neuron_of_pattern
from convexscore.programs.multivariate import Standardised
from convexscore.scores.activations import get_activation

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Gate:
    """One pattern D on the standardised points.

    Attributes
    ----------
    pattern : (n,) the diagonal of D.
    factor : (n,) the diagonal of D' = D (ReLU) or 2D - I (absolute value).
    inputs : (n, q) the matrix [X 1] or X.
    trace : sum of D' with the sample weights.
    free : whether every inner weight has this pattern, with a large enough bias.  Such a gate has
        no bias of its own (the offset is the same) and no cone.
    """

    pattern: BoolArray
    factor: FloatArray
    inputs: FloatArray
    trace: float
    free: bool

    @property
    def design(self) -> FloatArray:
        """D'[X 1], (n, q)."""
        return self.factor[:, np.newaxis] * self.inputs

    @property
    def cone(self) -> FloatArray:
        """(2D - I)[X 1]: a neuron v has this pattern if its product with v is >= 0."""
        return np.where(self.pattern, 1.0, -1.0)[:, np.newaxis] * self.inputs


def make_gates(
    std: Standardised, patterns: Any, activation: str, *, bias: bool
) -> tuple[Gate, ...]:
    """Gates of the patterns given, or of all of them; useless and repeated ones left out."""
    relu = get_activation(activation).name == "relu"
    chosen = _check_patterns(std, patterns, bias)
    if relu:
        chosen = chosen[np.any(chosen, axis=1)]
    else:
        # D and I - D differ by a sign of the whole gate.
        chosen = np.where(chosen[:, :1], chosen, ~chosen)
    chosen = np.unique(chosen, axis=0)
    if len(chosen) == 0:
        raise ValueError("patterns must have at least one point active in at least one pattern.")
    gates = []
    for pattern in chosen:
        factor = pattern.astype(np.float64) if relu else np.where(pattern, 1.0, -1.0)
        free = bool(bias and pattern.all())
        ones = np.ones((len(pattern), 1))
        inputs = np.hstack([std.points, ones]) if bias and not free else std.points
        gates.append(Gate(pattern, factor, inputs, float(std.mass @ factor), free))
    return tuple(gates)


def _check_patterns(std: Standardised, patterns: Any, bias: bool) -> BoolArray:
    if patterns is None:
        return enumerate_patterns(std.points, bias=bias).patterns
    raw = np.atleast_2d(np.asarray(getattr(patterns, "patterns", patterns)))
    n = std.shape[0]
    if raw.ndim != 2 or raw.shape[1] != n or raw.shape[0] == 0:
        raise ValueError(
            f"patterns must have shape (p, {n}), one row per pattern and one column per point, got "
            f"{np.shape(patterns)}. Take them from convexscore.arrangements."
        )
    if raw.dtype != bool and not np.all(np.isin(raw, (0, 1))):
        raise ValueError("patterns must be boolean (or 0 and 1); for 2D - I pass patterns > 0.")
    return raw.astype(bool)


def check_offset(bias: bool, offset: bool) -> None:
    """Refuse the combination in which the offset is there all the same."""
    if bias and not offset:
        raise ValueError(
            "offset=False needs bias=False: a neuron with a large bias is active on all points and "
            "its bias a free constant."
        )


def interior_neurons(
    std: Standardised, gates: tuple[Gate, ...], *, bias: bool
) -> list[tuple[FloatArray, float] | None]:
    """A neuron strictly inside the cone of every gate, None for free ones."""
    inside: list[tuple[FloatArray, float] | None] = []
    for place, gate in enumerate(gates):
        if gate.free:
            inside.append(None)
            continue
        neuron = neuron_of_pattern(std.points, gate.pattern, bias=bias)
        if neuron is None:
            raise ValueError(
                f"patterns: one with {int(gate.pattern.sum())} of {len(gate.pattern)} points active "
                f"(row {place} of the sorted ones) belongs to no open cell of neurons, so no "
                "network has it. Take patterns from convexscore.arrangements."
            )
        inside.append(neuron)
    return inside


def split_gate(
    gate: Gate, W: FloatArray, inside: tuple[FloatArray, float] | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    r"""Neurons (u, b, w) and a constant that equal the gate: :math:`W = (W + zt^\top) - zt^\top`.

    Every column of both terms is strictly inside the cone, t as small as possible up to a factor.
    """
    d = W.shape[1]
    products = gate.inputs @ W
    if inside is None:
        shift = np.max(np.abs(products), axis=0)
        shift = 2.0 * shift + 1e-3 * np.max(shift, initial=0.0)
        return W.T, shift, np.eye(d), -shift
    u, b = inside
    with_bias = gate.inputs.shape[1] > len(u)
    z = np.append(u, b) if with_bias else u
    depth = gate.cone @ z
    # Rows at the origin without bias carry no sign.
    rows = depth > 0
    signed = np.where(gate.pattern, 1.0, -1.0)[:, np.newaxis] * products
    needed = np.max(-signed[rows] / depth[rows, np.newaxis], axis=0)
    size = np.max(np.abs(signed[rows]) / depth[rows, np.newaxis])
    t = np.maximum(needed, 0.0) + 1e-3 * size
    columns = W + z[:, np.newaxis] * t
    inner = np.vstack([columns.T, z])
    biases = inner[:, -1] if with_bias else np.zeros(d + 1)
    return inner[:, : len(u)], biases, np.vstack([np.eye(d), -t]), np.zeros(d)


def as_trace_matrix(gates: tuple[Gate, ...], total: float, d: int, *, skip: bool) -> FloatArray:
    """Coefficients of the divergence in the stacked rows of all W_D (and V): (rows, d)."""
    blocks = [gate.trace * np.eye(gate.inputs.shape[1], d) for gate in gates]
    if skip:
        blocks.append(total * np.eye(d))
    return np.vstack(blocks)
