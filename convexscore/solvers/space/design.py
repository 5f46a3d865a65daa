"""The restricted problem's two operations on the data: columns times weights, and Gram blocks.

Vector output: parameters W (K, d), the score is F W.  Conservative: parameters y (K, 1), the score is
sum_k y_k F_k u_k'.  In both c and V are projected out; the solver sees only the four methods below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.space.problem import Columns, NeuronProblem

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Design:
    """Columns of the restricted problem with their Gram matrix.

    Attributes
    ----------
    columns : the neurons.
    values : (n, K) features times root mass, minus what c (and V, vector output) fits.
    fitted : (K, p) conservative networks: coefficients of what a symmetric V fits.
    gram : (K, K) Gram matrix of the projected columns (vector output: of each output).
    linear : (K, g) linear cost of the parameters: the divergence, V's share included.
    """

    problem: NeuronProblem
    columns: Columns
    values: Floats
    fitted: Floats
    gram: Floats
    linear: Floats

    @classmethod
    def empty(cls, problem: NeuronProblem) -> Design:
        d, n = problem.dim, problem.n_samples
        width = 1 if problem.case.conservative else d
        zero = np.zeros((0, 0))
        return cls(problem, Columns.empty(d), np.zeros((n, 0)), zero, zero, np.zeros((0, width)))

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def width(self) -> int:
        """Parameters per column g."""
        return int(self.linear.shape[1])

    def apply(self, weights: Floats) -> Floats:
        """Weighted rows (n, d) of the score of the columns, c and V at their best."""
        if not self.problem.case.conservative:
            return self.values @ weights
        return self.problem.free.project(self.values @ (weights * self.columns.u))

    def adjoint(self, rows: Floats) -> Floats:
        """Inner products (K, g) of the projected columns with rows (n, d)."""
        if not self.problem.case.conservative:
            return self.values.T @ rows
        inner = self.values.T @ self.problem.free.project(rows)
        return np.einsum("kd,kd->k", inner, self.columns.u)[:, None]

    def outer_weights(self, weights: Floats) -> Floats:
        """w_k (K, d) of the parameters."""
        return weights * self.columns.u if self.problem.case.conservative else weights

    def keep(self, which: NDArray) -> Design:
        """Only some of the columns."""
        fitted = self.fitted[which] if len(self.fitted) else self.fitted
        return Design(
            self.problem,
            self.columns.keep(which),
            self.values[:, which],
            fitted,
            self.gram[np.ix_(which, which)],
            self.linear[which],
        )

    def add(self, new: Columns) -> Design:
        """With more columns; O(n K k) for the Gram block."""
        problem, free = self.problem, self.problem.free
        values, counts = problem.features(new)
        values -= np.outer(free.constant, free.constant @ values)
        linear = counts[:, None] * new.u
        if free.n_axes and problem.divergence:
            linear = linear - problem.total_mass * free.traces(values)
        linear = problem.divergence * linear
        fitted = self.fitted
        if problem.case.conservative:
            linear = np.einsum("kd,kd->k", linear, new.u)[:, None]
            if free.n_axes:
                more = free.symmetric_fit(values, new.u)
                fitted = np.concatenate([self.fitted, more]) if len(self) else more
        elif free.n_axes:
            values -= free.axes @ (free.axes.T @ values)
        cross, own = self.values.T @ values, values.T @ values
        if problem.case.conservative:
            cross, own = cross * (self.columns.u @ new.u.T), own * (new.u @ new.u.T)
            if free.n_axes:
                old = fitted[: len(self)]
                cross, own = cross - old @ more.T, own - more @ more.T
        gram = np.block([[self.gram, cross], [cross.T, own]])
        return Design(
            problem,
            self.columns.join(new),
            np.concatenate([self.values, values], axis=1),
            fitted,
            gram,
            np.concatenate([self.linear, linear]),
        )
