"""The parameters without penalty, c and V: projected out of every column, recovered at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Directions in which the points vary less than this fraction of their largest spread count as none.
RANK_TOL = 1e-10


@dataclass(frozen=True, eq=False)
class FreeParameters:
    r"""What c and V can produce on the points, by d x d matrices.

    An orthonormal basis of it are the root masses over the root of the total mass and the axes: the
    principal coordinates :math:`\sqrt{m_i}\,z_i^\top e_a / \sqrt{\lambda_a}` (there are none without V).

    Attributes
    ----------
    basis : (d, r) eigenvectors of the scatter matrix sum_i m_i z_i z_i', r the rank of the points.
    spread : (r,) roots of its eigenvalues.
    drift : (q,) products of the principal coordinates with the constant: the points are centred up to
        rounding, and the axes are made orthogonal to it.
    skip : whether V is free.
    symmetric : whether V must be symmetric (conservative networks).
    """

    basis: Floats
    spread: Floats
    drift: Floats
    skip: bool
    symmetric: bool

    @classmethod
    def build(
        cls, triangle: Floats, constant: Floats, *, skip: bool, symmetric: bool
    ) -> FreeParameters:
        """From the triangle (d, d) of a QR factorisation of the weighted points and their products (d,)
        with the constant."""
        _, spread, vectors = np.linalg.svd(triangle, full_matrices=False)
        kept = spread > RANK_TOL * max(float(spread.max(initial=0.0)), np.finfo(float).tiny)
        basis, spread = vectors[kept].T, spread[kept]
        return cls(basis, spread, (constant @ basis) / spread, skip, symmetric)

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

    def axes(self, weighted: Floats, constant: Floats) -> Floats:
        """Axes (n, q) at weighted points (n, d), with the constant (n,) there."""
        axes: Floats = (weighted @ self.directions) / self.root
        axes -= np.outer(constant, self.drift[: self.n_axes])
        return axes

    def fitted(self, linear: Floats) -> Floats:
        """Coefficients (q, d) of the best allowed V from products (q, d) of the axes with rows."""
        return self._symmetrised(linear) if self.symmetric and self.n_axes else linear

    def skip_matrix(self, linear: Floats) -> Floats:
        """V (d, d) from coefficients (q, d)."""
        V: Floats = (self.directions / self.root @ linear).T
        if self.symmetric:  # outputs outside the span of the points: complete y a' to y a' + a y'
            V = V + (V - self.directions @ (self.directions.T @ V)).T
        return V

    def divergence_shift(self, total: float) -> Floats:
        """Coefficients by which total * tr V, added to the objective, moves the optimum."""
        return -total * (self.directions / self.root).T

    def traces(self, along: Floats) -> Floats:
        """a_k (K, d) with tr V = a_k . w_k for the V that best fits f_k w_k'; ``along`` is f_k . axes."""
        return along @ (self.directions / self.root).T

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
            parts.append((along[:, :, None] * outside[:, None, :]).reshape(len(u), -1))
        return np.concatenate(parts, axis=1)

    def _symmetrised(self, linear: Floats) -> Floats:
        """Coefficients of the best symmetric V: V_ab = (Y_ab + Y_ba) / (s_a + s_b)."""
        root, scatter = self.root, self.root**2
        moments = root[:, None] * (linear @ self.directions)  # Y_ab, a: axis, b: output
        V = (moments + moments.T) / (scatter[:, None] + scatter)
        inside = root[:, None] * V @ self.directions.T
        if self.directions.shape[0] == self.n_axes:
            return inside
        # rank-deficient points: outputs outside their span are matched by V = y a' + a y'
        outside = linear - linear @ self.directions @ self.directions.T
        return inside + outside
