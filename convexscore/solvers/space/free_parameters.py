"""The parameters without penalty, c and V: projected out of every column, recovered at the end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from convexscore._tools.typing import Floats

# Directions in which the points vary less than this fraction of their largest spread count as none.
RANK_TOL = 1e-10


@dataclass(frozen=True, eq=False)
class FreeParameters:
    r"""What c and V can produce on the points, by d x d matrices.

    The free functions, orthonormal on the rows, are the constant and the axes: the principal
    coordinates :math:`(z - \bar z)^\top e_a / \sqrt{\lambda_a}` (there are none without V).

    Attributes
    ----------
    basis : (d, r) eigenvectors of the scatter matrix sum_i m_i z_i z_i', r the rank of the points.
    spread : (r,) roots of its eigenvalues.
    mean : (d,) of the points, zero up to rounding.
    total_mass : of the points.
    skip : whether V is free.
    symmetric : whether V must be symmetric (conservative networks).
    """

    basis: Floats
    spread: Floats
    mean: Floats
    total_mass: float
    skip: bool
    symmetric: bool

    @classmethod
    def build(
        cls, triangle: Floats, moment: Floats, total_mass: float, *, skip: bool, symmetric: bool
    ) -> FreeParameters:
        """From the triangle (d, d) of a QR factorisation of the weighted points and their sum (d,)."""
        _, spread, vectors = np.linalg.svd(triangle, full_matrices=False)
        kept = spread > RANK_TOL * max(float(spread.max(initial=0.0)), np.finfo(float).tiny)
        mean = moment / total_mass
        return cls(vectors[kept].T, spread[kept], mean, total_mass, skip, symmetric)

    @property
    def rank(self) -> int:
        """Of the points."""
        return len(self.spread)

    @property
    def n_axes(self) -> int:
        return self.rank if self.skip else 0

    @property
    def directions(self) -> Floats:
        """(d, q) of the axes."""
        return self.basis[:, : self.n_axes]

    @property
    def root(self) -> Floats:
        """(q,) spread along the axes."""
        return self.spread[: self.n_axes]

    @cached_property
    def slopes(self) -> Floats:
        """(d, 1 + q) gradients of the free functions."""
        return np.pad(self.directions / self.root, ((0, 0), (1, 0)))

    @cached_property
    def offsets(self) -> Floats:
        """(1 + q,) the free functions at zero."""
        out = -self.mean @ self.slopes
        out[0] = self.total_mass**-0.5
        return out

    def at(self, points: Floats) -> Floats:
        """The free functions at points, (n, 1 + q)."""
        out: Floats = points @ self.slopes
        out += self.offsets
        return out

    def fitted(self, products: Floats) -> Floats:
        """Coefficients (1 + q, d) of the best allowed c and V from products with the free functions."""
        if not self.symmetric or not self.n_axes:
            return products
        return np.concatenate([products[:1], self._symmetrised(products[1:])])

    def values(self, coefficients: Floats) -> tuple[Floats, Floats]:
        """V (d, d) and c (d,) from coefficients."""
        V: Floats = (self.slopes @ coefficients).T
        if self.symmetric:  # outputs outside the span of the points: complete y a' to y a' + a y'
            V = V + (V - self.directions @ (self.directions.T @ V)).T
        return V, self.offsets @ coefficients

    def symmetric_fit(self, along: Floats, u: Floats) -> Floats:
        """Orthonormal coefficients (K, p) of the best symmetric V z for the fields f_k u_k'."""
        inner, root = u @ self.directions, self.root
        first, second = np.triu_indices(self.n_axes, 1)
        mixed = (
            root[second] * along[:, second] * inner[:, first]
            + root[first] * along[:, first] * inner[:, second]
        ) / np.sqrt(root[first] ** 2 + root[second] ** 2)
        parts = [along * inner, mixed]
        if self.directions.shape[0] > self.n_axes:
            outside = u - inner @ self.directions.T
            both = along[:, :, None] * outside[:, None, :]
            parts.append(both.reshape(len(u), self.n_axes * u.shape[1]))
        return np.concatenate(parts, axis=1)

    def _symmetrised(self, linear: Floats) -> Floats:
        """Coefficients of the best symmetric V: V_ab = (Y_ab + Y_ba) / (s_a + s_b)."""
        root, scatter = self.root[:, None], self.root**2
        turned = linear @ self.directions
        moments = root * turned  # Y_ab, a: axis, b: output
        V = (moments + moments.T) / (scatter[:, None] + scatter)
        # rank-deficient points: outputs outside their span are matched by V = y a' + a y'
        return linear + (root * V - turned) @ self.directions.T
