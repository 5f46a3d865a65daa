"""The restricted problem: chosen columns, their Gram matrix and linear cost.

Vector output: parameters W (K, d), the score is F W.  Conservative: parameters y (K, 1), the score is
sum_k y_k F_k u_k'.  In both c and V are projected out; features and residuals stay with the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.base import Residual
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.rows import Measured, Rows


@dataclass(frozen=True, eq=False)
class Design:
    """Columns of the restricted problem with their Gram matrix.

    Attributes
    ----------
    measured : the neurons and their sums over the rows.
    fitted : (K, p) conservative networks: coefficients of what a symmetric V fits; otherwise p = 0.
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
        none = rows.measure(Columns.empty(rows.dim))
        linear = _parameters(rows, none, np.zeros((0, rows.dim)))
        return cls(rows, none, _fitted(rows, none), np.zeros((0, 0)), linear)

    def __len__(self) -> int:
        return len(self.measured)

    @property
    def columns(self) -> Columns:
        return self.measured.columns

    def move(self, residual: Residual, weights: Floats) -> Residual:
        """The residual after a change of the parameters, c and V at their best."""
        return self.rows.move(residual, self.measured, self.outer_weights(weights))

    def gradient(self, residual: Residual, some: Measured | None = None) -> Floats:
        """Gradient (K, g) of loss and linear cost in the parameters, or in those of some columns."""
        some = self.measured if some is None else some
        return _parameters(self.rows, some, self.rows.gradient(residual, some))

    def outer_weights(self, weights: Floats) -> Floats:
        """w_k (K, d) of the parameters."""
        return weights * self.columns.u if self.rows.case.conservative else weights

    def keep(self, which: NDArray) -> Design:
        """Only some of the columns."""
        gram = self.gram[np.ix_(which, which)]
        few = self.measured.keep(which)
        return Design(self.rows, few, self.fitted[which], gram, self.linear[which])

    def add(self, more: Measured) -> Design:
        """With more columns; O(n K k) for the Gram block."""
        rows, new, old = self.rows, more.columns, len(self)
        measured = self.measured.join(more)
        fitted = np.concatenate([self.fitted, _fitted(rows, more)])
        block = rows.gram(measured, more, skip=not rows.case.conservative)
        if rows.case.conservative:
            block = block * (measured.columns.u @ new.u.T) - fitted @ fitted[old:].T
        cross, own = block[:old], block[old:]
        gram = np.block([[self.gram, cross], [cross.T, 0.5 * (own + own.T)]])
        linear = _parameters(rows, more, rows.divergences(more))
        return Design(rows, measured, fitted, gram, np.concatenate([self.linear, linear]))


def _parameters(rows: Rows, measured: Measured, outer: Floats) -> Floats:
    """Derivatives in the parameters, (K, g), from those in the outer weights, (K, d)."""
    if not rows.case.conservative:
        return outer
    return np.einsum("kd,kd->k", outer, measured.columns.u)[:, None]


def _fitted(rows: Rows, measured: Measured) -> Floats:
    if not rows.case.conservative:
        return np.zeros((len(measured), 0))
    return rows.free.symmetric_fit(measured.free[:, 1:], measured.columns.u)
