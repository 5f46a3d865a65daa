"""The restricted problem: chosen columns, their Gram matrix and linear cost.

Vector output: parameters W (K, d), the score is F W.  Conservative: parameters y (K, 1), the score is
sum_k y_k F_k u_k'.  In both c and V are projected out; features and residuals stay with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracles.base import Residual
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.rows import Measured, Rows

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Design:
    """Columns of the restricted problem with their Gram matrix.

    Attributes
    ----------
    measured : the neurons and their sums over the rows.
    fitted : (K, p) conservative networks: coefficients of what a symmetric V fits.
    gram : (K, K) Gram matrix of the projected columns (vector output: of each output).
    linear : (K, g) linear cost of the parameters: the divergence, V's share included.
    """

    rows: Rows
    measured: Measured
    fitted: Floats
    gram: Floats
    linear: Floats

    @classmethod
    def empty(cls, rows: Rows) -> Design:
        width = 1 if rows.case.conservative else rows.dim
        measured = rows.measure(Columns.empty(rows.dim))
        zero = np.zeros((0, 0))
        return cls(rows, measured, zero, zero, np.zeros((0, width)))

    def __len__(self) -> int:
        return len(self.measured)

    @property
    def columns(self) -> Columns:
        return self.measured.columns

    @property
    def width(self) -> int:
        """Parameters per column g."""
        return int(self.linear.shape[1])

    def move(self, residual: Residual, weights: Floats) -> Residual:
        """The residual after a change of the parameters, c and V at their best."""
        return self.rows.move(residual, self.measured, self.outer_weights(weights))

    def gradient(self, residual: Residual, *, first: int = 0) -> Floats:
        """Gradient (K - first, g) of loss and linear cost in the parameters from column ``first`` on."""
        columns = self.columns.keep(np.arange(first, len(self)))
        gradient = self.rows.gradient(residual, columns)
        if not self.rows.case.conservative:
            return gradient
        return np.einsum("kd,kd->k", gradient, columns.u)[:, None]

    def outer_weights(self, weights: Floats) -> Floats:
        """w_k (K, d) of the parameters."""
        return weights * self.columns.u if self.rows.case.conservative else weights

    def keep(self, which: NDArray) -> Design:
        """Only some of the columns."""
        fitted = self.fitted[which] if len(self.fitted) else self.fitted
        gram = self.gram[np.ix_(which, which)]
        return Design(self.rows, self.measured.keep(which), fitted, gram, self.linear[which])

    def add(self, new: Columns) -> Design:
        """With more columns; O(n K k) for the Gram block."""
        rows, free, old = self.rows, self.rows.free, len(self)
        conservative = rows.case.conservative
        more = rows.measure(new)
        measured = self.measured.join(more)
        linear = more.active[:, None] * new.u
        if free.n_axes and rows.divergence:
            linear = linear - rows.total_mass * free.traces(more.along)
        linear = rows.divergence * linear
        block = rows.gram(measured, more, skip=not conservative)
        fitted = self.fitted
        if conservative:
            linear = np.einsum("kd,kd->k", linear, new.u)[:, None]
            block = block * (measured.columns.u @ new.u.T)
            if free.n_axes:
                parts = free.symmetric_fit(more.along, new.u)
                fitted = np.concatenate([self.fitted, parts]) if old else parts
                block = block - fitted @ parts.T
        cross, own = block[:old], block[old:]
        gram = np.block([[self.gram, cross], [cross.T, 0.5 * (own + own.T)]])
        return Design(rows, measured, fitted, gram, np.concatenate([self.linear, linear]))
