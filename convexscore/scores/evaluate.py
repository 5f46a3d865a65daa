"""Fast evaluation of a two-layer network on many points, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from convexscore._tools.typing import Floats

if TYPE_CHECKING:
    from convexscore.scores.network import TwoLayerNetwork

# Pre-activations are formed in blocks of at most this many numbers (0.5 MB): they stay in cache.
_BLOCK = 1 << 16
# What ReLU compares with: an array of zeros is more than twice as fast as the number 0.
_ZEROS = np.zeros(_BLOCK)


@dataclass(frozen=True, eq=False)
class Evaluator:
    """A network with the arrays that make it fast; points are rows (n, d)."""

    net: TwoLayerNetwork

    def values(self, points: Floats) -> Floats:
        """The score at the points, (n, d)."""
        out = np.empty(points.shape)
        blocks = self._blocks(len(points))
        # Buffers for all blocks: at this size fresh arrays cost more than the arithmetic. Points
        # come in columns, because copies and sums along rows of length d are slow for small d.
        size = min(len(points), blocks[0].stop) if blocks else 0
        neurons, columns = np.empty((size, len(self.net.b))), np.ones((self.net.dim + 1, size))
        for block in blocks:
            n = len(points[block])
            columns[:-1, :n] = points[block].T
            z = self._activate(columns[:, :n].T, neurons[:n])
            np.matmul(z, self.net.w, out=out[block])
            line = columns[-1:, :n] if self.net.skip is None else columns[:, :n]
            out[block] += line.T @ self._line
        return out

    def sum_of_derivatives(self, points: Floats, terms: Floats) -> Floats:
        """sum_j sigma'(u_j.x + b_j) terms_j at the points, (n, k) for terms (m, k)."""
        out = np.empty((len(points), terms.shape[1]))
        for block in self._blocks(len(points)):
            out[block] = self.net.activation.derivative(self._pre_activation(points[block])) @ terms
        return out

    def _activate(self, with_one: Floats, z: Floats) -> Floats:
        """Fill z (n, m) with the activated neurons at points (n, d) that a 1 is appended to."""
        if self.net.dim == 1:  # with the exact signs of `_pre_activation`
            np.multiply(with_one[:, :1], self._columns, out=z)
            z += self.net.b
        else:  # the bias as one more column of u saves a pass over all neurons
            np.matmul(with_one, self._columns_and_bias, out=z)
        if self.net.activation.negative_slope:
            return self.net.activation.value(z, out=z)
        zeros = _ZEROS[: z.size] if z.size <= _ZEROS.size else np.zeros(z.size)
        return np.maximum(z, zeros.reshape(z.shape), out=z)

    def _pre_activation(self, points: Floats) -> Floats:
        # d = 1: product and sum, each rounded once: with u = +-1 the sign of x - t is exact.
        z = points * self._columns if self.net.dim == 1 else points @ self._columns
        z += self.net.b
        return z

    @cached_property
    def _columns_and_bias(self) -> Floats:
        return np.vstack([self.net.u.T, self.net.b])

    @cached_property
    def _line(self) -> Floats:
        """V' over c, or c alone: the rows that points and their 1 are multiplied with."""
        rows = [self.net.offset] if self.net.skip is None else [self.net.skip.T, self.net.offset]
        return np.vstack(rows)

    @cached_property
    def _columns(self) -> Floats:
        """u transposed and contiguous: the product with few columns is twice as fast."""
        return np.ascontiguousarray(self.net.u.T)

    def _blocks(self, n_points: int) -> list[slice]:
        size = max(1, _BLOCK // max(1, len(self.net.b)))
        return [slice(start, start + size) for start in range(0, n_points, size)]
