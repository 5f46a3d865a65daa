"""Data as a central arrangement: one hyperplane {v: z_i . v = 0} of neuron space per data point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools import validation
from convexscore._tools.typing import Floats

Bools = NDArray[np.bool_]

# Unit normals closer than this are one hyperplane; arcs narrower than this are no cells.
SAME = 1e-9
# Singular values of the standardised data below this share of the largest are rounding.
_RANK = 1e-10
# A column whose spread is below this share of its size is constant.
_CONSTANT = 1e-13
_HUGE = 1e150


def check_points(X: ArrayLike) -> Floats:
    """Finite real data as a float64 matrix (n, d), n >= 1, d >= 1; a vector is one column."""
    points = validation.check_points(X, min_distinct=1)
    if np.abs(points).max() > _HUGE:
        raise ValueError(
            f"X has entries up to {np.abs(points).max():.2g}, whose squares overflow; "
            f"rescale the data to at most {_HUGE:g}."
        )
    return points


def check_bias(bias: bool) -> bool:
    """True or False, nothing that merely looks like it (a bias value, say)."""
    return bool(validation.check_choice(bias, (True, False), name="bias"))


@dataclass(frozen=True, eq=False)
class Hyperplanes:
    """The distinct hyperplanes of the data in whitened coordinates of neuron space.

    Attributes
    ----------
    X : (n, d) the data
    bias : bool
    normals : (N, r) unit normals, pairwise not parallel; r = rank of [X 1], or of X without bias
    owner : (n,) index of each point's hyperplane, -1 for a point at the origin without bias
    flipped : (n,) bool, the point lies on the negative side of its hyperplane's normal
    back : (d, r) linear map from v to u; (r,) ``back_bias`` from v to b
    """

    X: Floats
    bias: bool
    normals: Floats
    owner: NDArray[np.intp]
    flipped: Bools
    back: Floats
    back_bias: Floats

    @property
    def rank(self) -> int:
        return int(self.normals.shape[1])

    def neurons(self, v: Floats) -> tuple[Floats, Floats]:
        """Neurons (q, d), (q,) of points (q, r) in neuron space, ||u|| = 1.

        With bias, a neuron that is active on all points or on none gets its hyperplane one width of
        the data away from them: its own would be arbitrarily far.
        """
        u, b = v @ self.back.T, v @ self.back_bias
        if self.bias:
            active = self.active(v)
            constant = active.all(axis=1) | ~active.any(axis=1)
            sign = np.where(active[constant, 0], 1.0, -1.0)
            low, high = float(self.X[:, 0].min()), float(self.X[:, 0].max())
            width = float(np.ptp(self.X, axis=0).max()) or max(1.0, float(np.abs(self.X).max()))
            u[constant] = np.eye(1, self.X.shape[1])
            b[constant] = np.where(sign > 0, width - low, -width - high)
        elif self.rank == 0:
            u[:] = np.eye(1, self.X.shape[1])
        length = np.linalg.norm(u, axis=1)
        return u / length[:, None], b / length

    def active(self, v: Floats) -> Bools:
        """Patterns (q, n) of points (q, r) in neuron space."""
        if self.rank == 0:
            return np.ones((v.shape[0], self.X.shape[0]), dtype=bool)
        pattern = (v @ self.normals.T > 0)[:, self.owner] ^ self.flipped
        pattern[:, self.owner < 0] = True
        return pattern


def hyperplanes(data: ArrayLike, bias: bool) -> Hyperplanes:
    """Whiten the data, drop points at the origin (without bias), merge equal hyperplanes.

    Patterns do not change when X (or [X 1]) is multiplied by a regular matrix from the right; after
    whitening one tolerance fits all data.  O(n d^2 + n log n).
    """
    X, bias = check_points(data), check_bias(bias)
    n, d = X.shape
    size = np.abs(X).max(axis=0)
    center = X.mean(axis=0) if bias else np.zeros(d)
    middle = X - center
    scale = np.abs(middle).max(axis=0)
    scale[scale <= _CONSTANT * size] = np.inf  # a constant column says nothing beside the bias
    lifted = middle / scale
    if bias:
        lifted = np.column_stack([lifted, np.ones(n)])
    length = np.linalg.norm(lifted, axis=1)
    used = length > 0
    lifted = lifted[used] / length[used, None]  # hyperplanes do not depend on the rows' lengths
    left, values, right = np.linalg.svd(lifted, full_matrices=False)
    rank = int(np.count_nonzero(values > _RANK * values.max(initial=0.0)))
    rows = left[:, :rank]
    rows = rows / np.linalg.norm(rows, axis=1)[:, None]
    back = right[:rank].T / values[:rank]
    weight = back[:d] / scale[:, None]
    offset = (back[d] if bias else np.zeros(rank)) - center @ weight
    normals, group, turned = _merge(rows)
    owner, flipped = np.full(n, -1, dtype=np.intp), np.zeros(n, dtype=bool)
    owner[used], flipped[used] = group, turned
    return Hyperplanes(X, bias, normals, owner, flipped, weight, offset)


def _merge(rows: Floats) -> tuple[Floats, NDArray[np.intp], Bools]:
    """Distinct normals up to sign, in order of first appearance; group and sign of each row."""
    # sorted along a generic direction equal rows are neighbours
    generic = np.random.default_rng(0).standard_normal(rows.shape[1])
    turned = rows @ generic < 0
    upright = np.where(turned[:, None], -rows, rows)
    order = np.argsort(upright @ generic, kind="stable")
    steps = np.linalg.norm(np.diff(upright[order], axis=0), axis=1) > SAME
    group = np.empty(rows.shape[0], dtype=np.intp)
    group[order] = np.concatenate(([0], np.cumsum(steps)))
    _, first, group = np.unique(group, return_index=True, return_inverse=True)
    by_appearance = np.argsort(first, kind="stable")
    rank_of = np.argsort(by_appearance)
    return upright[first[by_appearance]], rank_of[group.ravel()], turned
