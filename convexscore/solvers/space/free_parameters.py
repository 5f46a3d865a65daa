"""The parameters without penalty, c and V: projected out of every column, recovered at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Directions in which the points vary less than this fraction of their largest spread count as none.
_RANK_TOL = 1e-10


@dataclass(frozen=True, eq=False)
class FreeParameters:
    """Orthonormal basis of what c and V can produce on the points (weighted rows).

    Attributes
    ----------
    constant : (n,) root mass, normalised.
    axes : (n, q) principal coordinates of the points times root mass, orthonormal; q = 0 without V.
    directions : (d, q) eigenvectors of the scatter matrix sum_i m_i z_i z_i'.
    scatter : (q,) its eigenvalues.
    symmetric : whether V must be symmetric (conservative networks).
    rank : rank of the points.
    """

    constant: Floats
    axes: Floats
    directions: Floats
    scatter: Floats
    symmetric: bool
    rank: int

    @classmethod
    def build(cls, points: Floats, mass: Floats, skip: bool, *, symmetric: bool) -> FreeParameters:
        root = np.sqrt(mass)
        constant = root / np.sqrt(mass.sum())
        weighted = points * root[:, None]
        _, spread, vectors = np.linalg.svd(np.linalg.qr(weighted, mode="r"), full_matrices=False)
        kept = spread > _RANK_TOL * max(float(spread.max(initial=0.0)), np.finfo(float).tiny)
        rank = int(kept.sum())
        if not skip:
            kept[:] = False
        directions = vectors[kept].T
        axes = (weighted @ directions) / spread[kept]
        # the points are centred up to rounding: make the basis orthogonal to it
        axes -= np.outer(constant, constant @ axes)
        return cls(constant, axes, directions, spread[kept] ** 2, symmetric, rank)

    @property
    def n_axes(self) -> int:
        return int(self.axes.shape[1])

    def coefficients(self, rows: Floats) -> tuple[Floats, Floats]:
        """Best constant (d,) and linear coefficients (q, d) of weighted rows (n, d)."""
        constant = self.constant @ rows
        if not self.n_axes:
            return constant, np.zeros((0, rows.shape[1]))
        linear = self.axes.T @ rows
        if self.symmetric:
            linear = self._symmetrised(linear)
        return constant, linear

    def project(self, rows: Floats) -> Floats:
        """Weighted rows (n, d) minus their best fit by c and V."""
        constant, linear = self.coefficients(rows)
        out = rows - np.outer(self.constant, constant)
        if self.n_axes:
            out -= self.axes @ linear
        return out

    def skip_matrix(self, linear: Floats) -> Floats:
        """V (d, d) from coefficients (q, d)."""
        V: Floats = (self.directions / np.sqrt(self.scatter) @ linear).T
        if self.symmetric:  # outputs outside the span of the points: complete y a' to y a' + a y'
            V = V + (V - self.directions @ (self.directions.T @ V)).T
        return V

    def divergence_shift(self, total: float) -> Floats:
        """Coefficients by which total * tr V, added to the objective, moves the optimum."""
        return -total * (self.directions / np.sqrt(self.scatter)).T

    def traces(self, features: Floats) -> Floats:
        """a_k (K, d) with tr V = a_k . w_k for the V that best fits features_k w_k'."""
        return (features.T @ self.axes) @ (self.directions / np.sqrt(self.scatter)).T

    def symmetric_fit(self, features: Floats, u: Floats) -> Floats:
        """Orthonormal coefficients (K, p) of the best symmetric V z for the fields features_k u_k'."""
        along = features.T @ self.axes  # (K, q)
        inner = u @ self.directions
        root = np.sqrt(self.scatter)
        first, second = np.triu_indices(self.n_axes, 1)
        mixed = (
            root[second] * along[:, second] * inner[:, first]
            + root[first] * along[:, first] * inner[:, second]
        ) / np.sqrt(self.scatter[first] + self.scatter[second])
        parts = [along * inner, mixed]
        if self.directions.shape[0] > self.n_axes:
            outside = u - inner @ self.directions.T
            parts.append((along[:, :, None] * outside[:, None, :]).reshape(len(u), -1))
        return np.concatenate(parts, axis=1)

    def _symmetrised(self, linear: Floats) -> Floats:
        """Coefficients of the best symmetric V: V_ab = (Y_ab + Y_ba) / (s_a + s_b)."""
        root = np.sqrt(self.scatter)
        moments = root[:, None] * (linear @ self.directions)  # Y_ab, a: axis, b: output
        V = (moments + moments.T) / (self.scatter[:, None] + self.scatter)
        inside = root[:, None] * V @ self.directions.T
        if self.directions.shape[0] == self.n_axes:
            return inside
        # rank-deficient points: outputs outside their span are matched by V = y a' + a y'
        outside = linear - linear @ self.directions @ self.directions.T
        return inside + outside
