r"""The rows of the data: all that the solver may ask of them.

Whatever has one entry per row stays behind this door: points, labels, masses, the features of columns,
and residuals.  A residual is a handle, an object that only its rows can read; what comes out is as small
as the columns or a d x d matrix.  Residuals are :math:`R_i = m_i (s(z_i) - l_i)` with c and V at their
best; products of them are those of :math:`r_i = R_i / \sqrt{m_i}`.

Two ways to look at blocks of rows make a `Rows`, wherever the blocks are: `collect` brings small results
back, `build` leaves results with one entry per row where they are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.oracles.base import Block, Residual, added, flow
from convexscore.solvers.space.columns import Columns, SpaceCase
from convexscore.solvers.space.free_parameters import FreeParameters

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Measured:
    """Columns and their sums over the rows.

    Attributes
    ----------
    columns : K neurons.
    level : (K,) products of the weighted features with the normalised constant.
    along : (K, q) those with the axes of V.
    active : (K,) active masses N.
    """

    columns: Columns
    level: Floats
    along: Floats
    active: Floats

    def __len__(self) -> int:
        return len(self.columns)

    def keep(self, which: NDArray) -> Measured:
        sums = self.level[which], self.along[which], self.active[which]
        return Measured(self.columns.keep(which), *sums)

    def join(self, other: Measured) -> Measured:
        return Measured(
            self.columns.join(other.columns),
            np.concatenate([self.level, other.level]),
            np.concatenate([self.along, other.along]),
            np.concatenate([self.active, other.active]),
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """What a network's own outputs say: residual, half the squared loss, the divergence term."""

    residual: Residual
    loss: float
    divergence: float


class Rows(ABC):
    """Standardised points, labels and masses, and which parameters are free.

    An implementation has n_samples, dim, labels (a handle, :math:`m_i l_i`) and the three methods below.

    Parameters
    ----------
    case : SpaceCase
    divergence : 1.0 for score matching, 0.0 for denoising.
    """

    n_samples: int
    dim: int
    labels: Residual

    def __init__(self, case: SpaceCase, divergence: float) -> None:
        self.case = case
        self.divergence = divergence

    # ---- what an implementation does --------------------------------------------------------------
    @abstractmethod
    def collect(self, kernel: Callable[..., Any], *fields: Residual) -> list[Any]:
        """``kernel(block, *arrays)`` of every block of rows, in order; results are small."""

    @abstractmethod
    def build(self, kernel: Callable[..., Floats], *fields: Residual) -> Residual:
        """A handle of the arrays ``kernel(block, *arrays)``, (n, d) for a block of n rows."""

    @abstractmethod
    def take(self, indices: NDArray[np.intp]) -> Floats:
        """A few of the points, (k, d)."""

    # ---- sums -----------------------------------------------------------------------------------
    def total(self, kernel: Callable[..., Any], *fields: Residual) -> Any:
        """The sum of a kernel's results, arrays or tuples of arrays."""
        return reduce(added, self.collect(kernel, *fields))

    @cached_property
    def total_mass(self) -> float:
        return float(self.total(lambda block: block.mass.sum()))

    @cached_property
    def free(self) -> FreeParameters:
        triangle, constant = self.moments()
        return FreeParameters.build(
            triangle, constant, skip=self.case.free_skip, symmetric=self.case.conservative
        )

    def moments(self) -> tuple[Floats, Floats]:
        """A triangle T with T'T = sum_i m_i z_i z_i'; sum_i m_i z_i over the root of the total mass."""

        def kernel(block: Block) -> tuple[Floats, Floats]:
            weighted = block.points * block.root[:, None]
            return _triangle(weighted), self.constant(block) @ weighted

        triangles, constants = zip(*self.collect(kernel), strict=True)
        whole = len(triangles) == 1
        return triangles[0] if whole else _triangle(np.concatenate(triangles)), sum(constants)

    def measure(self, columns: Columns) -> Measured:
        """One pass over the features of columns."""

        def kernel(block: Block) -> tuple[Floats, Floats, Floats]:
            values, active = self.features(block, columns)
            return self.constant(block) @ values, values.T @ self.axes(block), active

        return Measured(columns, *self.total(kernel))

    def gram(self, first: Measured, second: Measured, *, skip: bool = True) -> Floats:
        """Products (K, k) of features without what c fits, and (``skip``) without what V fits."""

        def projected(block: Block, measured: Measured) -> Floats:
            values, _ = self.features(block, measured.columns)
            values -= np.outer(self.constant(block), measured.level)
            if skip and self.free.n_axes:
                values -= self.axes(block) @ measured.along.T
            return values

        def kernel(block: Block) -> Floats:
            left = projected(block, first)
            return left.T @ (left if second is first else projected(block, second))

        return self.total(kernel)

    def gradient(self, residual: Residual, columns: Columns) -> Floats:
        """G (K, d) of columns, with the divergence term."""
        u, b, lines, count = columns.u, columns.b, columns.linear, bool(self.divergence)

        def kernel(block: Block, rows: Floats) -> tuple[Floats, Floats]:
            return flow(block, rows, self.case.activation, u, b, count=count, lines=lines)

        out, active = self.total(kernel, residual)
        return out + self.divergence * active[:, None] * u if count else out

    def coefficients(self, residual: Residual) -> tuple[Floats, Floats]:
        """Products with the constant, (d,), and with the axes of V, (q, d)."""

        def kernel(block: Block, rows: Floats) -> tuple[Floats, Floats]:
            rows = rows / block.root[:, None]
            return self.constant(block) @ rows, self.axes(block).T @ rows

        return self.total(kernel, residual)

    def inner(self, first: Residual, second: Residual) -> float:
        """sum_i r_i . r'_i."""

        def kernel(block: Block, one: Floats, other: Floats) -> float:
            return float(np.vdot(one / block.mass[:, None], other))

        return float(self.total(kernel, first, second))

    # ---- residuals ------------------------------------------------------------------------------
    def start(self, *, labels: bool = True) -> Residual:
        """The residual of c and V alone; without the labels the smallest one that c and V allow."""
        shift = self.free.divergence_shift(self.divergence * self.total_mass)
        if not labels:
            return self.build(lambda block: block.root[:, None] * (self.axes(block) @ shift))
        return self._settled(self.labels, sign=-1.0)

    def project(self, residual: Residual) -> Residual:
        """Minus its best fit by c and V."""
        constant, linear = self.coefficients(residual)
        return self.build(self._minus(constant, self.free.fitted(linear)), residual)

    def move(self, residual: Residual, measured: Measured, outer: Floats) -> Residual:
        """The residual after columns with outer weights (K, d) joined, c and V at their best."""
        constant = measured.level @ outer
        minus = self._minus(constant, self.free.fitted(measured.along.T @ outer))

        def kernel(block: Block, rows: Floats) -> Floats:
            values, _ = self.features(block, measured.columns)
            return rows + minus(block, block.root[:, None] * (values @ outer))

        return self.build(kernel, residual)

    def judge(self, network: TwoLayerNetwork, centre: Floats, scale: float) -> Judged:
        """A network for x = centre + scale z by its own outputs; c and V of the residual are the best."""

        def raw(block: Block, labels: Floats) -> Floats:
            score = network(centre + scale * block.points) * scale
            return block.mass[:, None] * score - labels

        def divergence(block: Block) -> float:
            return float(block.mass @ network.divergence(centre + scale * block.points))

        residual = self.build(raw, self.labels)
        total = self.total(divergence) * scale**2 if self.divergence else 0.0
        loss = 0.5 * self.inner(residual, residual)
        return Judged(self._settled(residual), loss, self.divergence * total)

    def _settled(self, residual: Residual, *, sign: float = 1.0) -> Residual:
        """sign * residual with c and V at their best."""
        constant, linear = self.coefficients(residual)
        minus = self._minus(constant, self.free.fitted(linear))
        shift = self.free.divergence_shift(self.divergence * self.total_mass)

        def kernel(block: Block, rows: Floats) -> Floats:
            out = sign * minus(block, rows)
            return out + block.root[:, None] * (self.axes(block) @ shift)

        return self.build(kernel, residual)

    def _minus(self, constant: Floats, linear: Floats) -> Callable[[Block, Floats], Floats]:
        def kernel(block: Block, rows: Floats) -> Floats:
            fit = np.outer(self.constant(block), constant)
            if self.free.n_axes:
                fit += self.axes(block) @ linear
            return rows - block.root[:, None] * fit

        return kernel

    # ---- one block ------------------------------------------------------------------------------
    def features(self, block: Block, columns: Columns) -> tuple[Floats, Floats]:
        """Values of a block times root mass, (n, K), and the active mass N, (K,)."""
        sigma, lines = self.case.activation, columns.linear
        values = block.points @ columns.u.T
        values += columns.b
        active = np.zeros(len(columns))
        if self.divergence:
            active = block.mass @ sigma.derivative(values)
            active[lines] = block.mass.sum()
        linear = values[:, lines]
        values = sigma.value(values, out=values)
        if lines.any():
            values[:, lines] = linear
        values *= block.root[:, None]
        return values, active

    def constant(self, block: Block) -> Floats:
        """The normalised constant times root mass, (n,)."""
        out: Floats = block.root / np.sqrt(self.total_mass)
        return out

    def axes(self, block: Block) -> Floats:
        """The axes of V, (n, q)."""
        return self.free.axes(block.points * block.root[:, None], self.constant(block))


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

    def collect(self, kernel: Callable[..., Any], *fields: Residual) -> list[Any]:
        return [kernel(self.block, *fields)]

    def build(self, kernel: Callable[..., Floats], *fields: Residual) -> Residual:
        return kernel(self.block, *fields)

    def take(self, indices: NDArray[np.intp]) -> Floats:
        return self.block.points[indices]


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
