r"""The rows of the data: all that the solver may ask of them.

Whatever has one entry per row stays behind this door: points, labels, masses, the features of columns,
and residuals.  A residual is a handle, an object that only its rows can read; what comes out is as small
as the columns or a d x d matrix.  Residuals are :math:`R_i = m_i (s(z_i) - l_i)` with c and V at their
best; products are those of functions on the rows, :math:`\sum_i m_i f(z_i) g(z_i)`.

Two ways to look at blocks of rows make a `Rows`, wherever the blocks are: `collect` brings small results
back, `build` leaves results with one entry per row where they are.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.oracles.base import Block, Data, Residual
from convexscore.solvers.space.columns import Columns, SpaceCase
from convexscore.solvers.space.free_parameters import FreeParameters


@dataclass(frozen=True, eq=False)
class Measured:
    """Columns and their sums over the rows.

    Attributes
    ----------
    columns : K neurons.
    free : (K, 1 + q) products of the features with the free functions.
    active : (K,) active masses N, zero for denoising.
    """

    columns: Columns
    free: Floats
    active: Floats

    def __len__(self) -> int:
        return len(self.columns)

    def keep(self, which: NDArray) -> Measured:
        return Measured(self.columns.keep(which), self.free[which], self.active[which])

    def join(self, other: Measured) -> Measured:
        return Measured(
            self.columns.join(other.columns),
            np.concatenate([self.free, other.free]),
            np.concatenate([self.active, other.active]),
        )


class Rows(Data):
    """Standardised points, labels and masses, and which parameters are free.

    An implementation has n_samples, dim, labels (a handle, :math:`m_i l_i`), collect, build and take.

    Parameters
    ----------
    case : SpaceCase
    divergence : 1.0 for score matching, 0.0 for denoising.
    """

    labels: Residual

    def __init__(self, case: SpaceCase, divergence: float) -> None:
        self.case = case
        self.divergence = divergence

    @abstractmethod
    def build(self, kernel: Callable[..., Floats], *fields: Residual) -> Residual:
        """A handle of the arrays ``kernel(block, *arrays)``, (n, d) for a block of n rows."""

    # ---- sums -----------------------------------------------------------------------------------
    @cached_property
    def total_mass(self) -> float:
        return float(self.total(lambda block: block.mass.sum()))

    @cached_property
    def free(self) -> FreeParameters:
        triangle, moment = self.moments()
        return FreeParameters.build(
            triangle, moment, self.total_mass,
            skip=self.case.free_skip, symmetric=self.case.conservative,
        )  # fmt: skip

    def moments(self) -> tuple[Floats, Floats]:
        """A triangle T with T'T = sum_i m_i z_i z_i', and sum_i m_i z_i."""

        def kernel(block: Block) -> tuple[Floats, Floats]:
            root = np.sqrt(block.mass)
            return _triangle(block.points * root[:, None]), block.mass @ block.points

        triangles, moments = zip(*self.collect(kernel), strict=True)
        whole = len(triangles) == 1
        return triangles[0] if whole else _triangle(np.concatenate(triangles)), sum(moments)

    def measure(self, columns: Columns) -> Measured:
        """One pass over the features of columns."""

        def kernel(block: Block) -> tuple[Floats, Floats]:
            free = block.mass[:, None] * self.free.at(block.points)
            active = np.zeros(len(columns))
            if self.divergence:
                inner = block.points @ columns.u.T + columns.b
                active = block.mass @ self.case.activation.derivative(inner)
                active[columns.linear] = block.mass.sum()
            return self.features(block, columns).T @ free, active

        return Measured(columns, *self.total(kernel))

    def projected(self, block: Block, measured: Measured, *, skip: bool = True) -> Floats:
        """Features of a block, (n, K), without what c fits, and (``skip``) without what V fits."""
        count = None if skip else 1
        fit = self.free.at(block.points)[:, :count] @ measured.free[:, :count].T
        return self.features(block, measured.columns) - fit

    def gram(self, first: Measured, second: Measured, *, skip: bool = True) -> Floats:
        """Products (K, k) of projected features."""

        def kernel(block: Block) -> Floats:
            right = self.projected(block, second, skip=skip)
            left = right if second is first else self.projected(block, first, skip=skip)
            return left.T @ (block.mass[:, None] * right)

        return self.total(kernel)

    def gradient(self, residual: Residual, measured: Measured) -> Floats:
        """G (K, d) of columns, with the divergence term."""

        def kernel(block: Block, rows: Floats) -> Floats:
            return self.features(block, measured.columns).T @ rows

        active = self.divergence * measured.active
        return self.total(kernel, residual) + active[:, None] * measured.columns.u

    def divergences(self, measured: Measured) -> Floats:
        """Linear cost (K, d) of outer weights: their divergence with V's share."""
        traces = self.total_mass * measured.free @ self.free.slopes.T
        return self.divergence * (measured.active[:, None] * measured.columns.u - traces)

    def coefficients(self, residual: Residual) -> Floats:
        """Products with the free functions, (1 + q, d)."""
        return self.total(lambda block, rows: self.free.at(block.points).T @ rows, residual)

    def inner(self, first: Residual, second: Residual) -> float:
        """sum_i R_i . R'_i / m_i."""

        def kernel(block: Block, one: Floats, other: Floats) -> float:
            return float(np.vdot(one / block.mass[:, None], other))

        return float(self.total(kernel, first, second))

    # ---- residuals ------------------------------------------------------------------------------
    def start(self, *, labels: bool = True) -> Residual:
        """The residual of c and V alone; without the labels the smallest one that c and V allow."""
        return self._settled(self.labels, -1.0 if labels else 0.0)

    def project(self, residual: Residual) -> Residual:
        """Minus its best fit by c and V."""
        return self._without(self.free.fitted(self.coefficients(residual)), residual)

    def move(self, residual: Residual, measured: Measured, outer: Floats) -> Residual:
        """The residual after columns with outer weights (K, d) joined, c and V at their best."""
        fit = self.free.fitted(measured.free.T @ outer)

        def kernel(block: Block, rows: Floats) -> Floats:
            change = self.features(block, measured.columns) @ outer
            change -= self.free.at(block.points) @ fit
            return rows + block.mass[:, None] * change

        return self.build(kernel, residual)

    def judge(
        self, network: TwoLayerNetwork, centre: Floats, scale: float
    ) -> tuple[Residual, float, float]:
        """A network for x = centre + scale z by its own outputs.

        The residual with c and V at their best, half the squared loss, the divergence term.
        """

        def raw(block: Block, labels: Floats) -> Floats:
            score = network(centre + scale * block.points) * scale
            return block.mass[:, None] * score - labels

        def divergence(block: Block) -> float:
            return float(block.mass @ network.divergence(centre + scale * block.points))

        residual = self.build(raw, self.labels)
        total = self.total(divergence) * scale**2 if self.divergence else 0.0
        loss = 0.5 * self.inner(residual, residual)
        return self._settled(residual), loss, self.divergence * total

    @property
    def shift(self) -> Floats:
        """Coefficients (1 + q, d) by which the divergence of V z moves the optimum."""
        return -self.divergence * self.total_mass * self.free.slopes.T

    def _settled(self, residual: Residual, sign: float = 1.0) -> Residual:
        """sign * residual with c and V at their best."""
        fit = self.free.fitted(sign * self.coefficients(residual))
        return self._without(fit - self.shift, residual, sign)

    def _without(self, fit: Floats, residual: Residual, sign: float = 1.0) -> Residual:
        def kernel(block: Block, rows: Floats) -> Floats:
            return sign * rows - block.mass[:, None] * (self.free.at(block.points) @ fit)

        return self.build(kernel, residual)

    # ---- one block ------------------------------------------------------------------------------
    def features(self, block: Block, columns: Columns) -> Floats:
        """Values of columns at the rows of a block, (n, K); not to be changed in place."""
        values = block.points @ columns.u.T
        values += columns.b
        lines = values[:, columns.linear]
        self.case.activation.value(values, out=values)
        values[:, columns.linear] = lines
        return values


class MemoryRows(Rows):
    """All rows in memory, as one block; handles are arrays.

    Parameters
    ----------
    points, labels : (n, d); points are centred and have unit mean square per coordinate.
    mass : (n,) sample weights.
    """

    def __init__(
        self, case: SpaceCase, divergence: float, points: Floats, labels: Floats, mass: Floats
    ) -> None:
        super().__init__(case, divergence)
        self.n_samples, self.dim = points.shape
        self.block = Block(points, mass)
        self.labels = labels * mass[:, None]
        self._recent: tuple[tuple[Columns, Floats], ...] = ()

    def collect(self, kernel: Callable[..., Any], *fields: Residual) -> list[Any]:
        return [kernel(self.block, *fields)]

    def build(self, kernel: Callable[..., Floats], *fields: Residual) -> Residual:
        return kernel(self.block, *fields)

    def take(self, indices: NDArray[np.intp]) -> Floats:
        return self.block.points[indices]

    def features(self, block: Block, columns: Columns) -> Floats:
        """Kept for the columns asked for last: the master looks at the same ones again and again."""
        for known, values in self._recent:
            if known is columns:
                return values
        values = super().features(block, columns)
        self._recent = ((columns, values), *self._recent[:1])
        return values


def in_memory(rows: Rows, what: str) -> MemoryRows:
    """The rows themselves, for what looks at pairs of points.

    Raises
    ------
    ValueError
        If the rows are elsewhere.
    """
    if not isinstance(rows, MemoryRows):
        raise ValueError(
            f"{what} needs all rows in memory; got {type(rows).__name__} of {rows.n_samples} rows. Use a "
            "subsample, or the local search."
        )
    return rows


def _triangle(weighted: Floats) -> Floats:
    return np.asarray(np.linalg.qr(weighted, mode="r"))


def correlations(rows: Rows, measured: Measured) -> Floats:
    """Of features without their means, (K, K)."""
    gram = rows.gram(measured, measured, skip=False)
    norms = np.sqrt(np.diag(gram))
    out: Floats = gram / np.maximum(np.outer(norms, norms), np.finfo(float).tiny)
    return out
