r"""Smallest largest measure over a finite dictionary of neurons, by an interior-point method.

With c and V projected out, G of every neuron is affine in the residual, and the problem is a Chebyshev
approximation with norms,

.. math:: \min_Y\ \max_k\ \|G_k\|,\qquad G_k = Y^\top Q_k + a_k,

Q with orthonormal rows: whatever the geometry of the points, the unknowns are well scaled.  The
multipliers W, made to satisfy :math:`Q W = 0` to rounding, are outer weights of a network that vanishes
on the data (up to c and V) while its divergence is negative: a direction of unbounded descent, which
proves a lower bound without trusting the solver.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.base import norms
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.problem import SpaceProblem
from convexscore.solvers.space.rows import MemoryRows, in_memory

# Singular values of the features below this fraction of the largest: points that coincide.
_RANK_TOL = 1e-11
# The barrier's weight grows by this between centrings; Newton steps of one centring; when it is near.
_GROWTH = 10.0
_MAX_NEWTON = 50
_CENTRED = 0.1


@dataclass(frozen=True, eq=False)
class Dictionary:
    """Neurons of the program, their orthonormal features and the constant part of their G.

    Attributes
    ----------
    rows_in_memory : of the problem.
    Q : (p, K) orthonormal rows.
    constant : (K, g) the a_k; g = d, or 1 for ridge potentials.
    to_coordinates : (p, P) Y = to_coordinates @ rows; P = n, or n d for ridge potentials.
    to_rows : (P, p) its inverse on the span of the features.
    """

    rows_in_memory: MemoryRows
    Q: Floats
    constant: Floats
    to_coordinates: Floats
    to_rows: Floats

    @classmethod
    def build(cls, problem: SpaceProblem, columns: Columns) -> Dictionary:
        """O(K P^2) for the orthonormal rows."""
        rows = in_memory(problem.rows, "the boundedness threshold")
        features, constant = _affine(rows, columns)
        basis, triangle = np.linalg.qr(features.T)
        left, size, right = np.linalg.svd(triangle)
        rank = int((size > _RANK_TOL * size[0]).sum())
        left, size, right = left[:, :rank], size[:rank], right[:rank]
        Q = np.ascontiguousarray((basis @ left).T)
        return cls(rows, Q, constant, size[:, None] * right, right.T / size)

    def coordinates(self, rows: Floats) -> Floats:
        """Y (p, g) of a residual (n, d)."""
        data = self.rows_in_memory
        rows = data.project(rows) / np.sqrt(data.block.mass)[:, None]
        return self.to_coordinates @ rows.reshape(self.to_coordinates.shape[1], -1)

    def rows(self, Y: Floats) -> Floats:
        """A residual (n, d), with the moments that c and V fix."""
        data = self.rows_in_memory
        flat = (self.to_rows @ Y).reshape(data.labels.shape) * np.sqrt(data.block.mass)[:, None]
        return data.project(flat) + data.start(labels=False)

    def gradient(self, Y: Floats) -> Floats:
        """G (K, g)."""
        return self.Q.T @ Y + self.constant

    def lower_bound(self, weights: Floats) -> float:
        """What multipliers (K, g) prove: G . W is the same for all residuals once Q W = 0.

        Corrections of W in proportion to W itself hardly change the bound; what rounding leaves
        of Q W is then removed by projection, twice for the last digits.
        """
        share = self.Q * norms(weights)
        missing = np.linalg.lstsq(share @ self.Q.T, self.Q @ weights, rcond=1e-13)[0]
        weights = weights - share.T @ missing
        for _ in range(2):
            weights = weights - self.Q.T @ (self.Q @ weights)
        cost = float(norms(weights).sum())
        return float(np.vdot(self.constant, weights)) / cost if cost > 0.0 else 0.0


@dataclass(frozen=True, eq=False)
class Centre:
    """A point near the central path: Y, its value, a lower bound and the norms of G."""

    Y: Floats
    value: float
    lower: float
    size: Floats


def spanning_columns(problem: SpaceProblem) -> Columns:
    """Kinks halfway between neighbours, seen from d orthogonal directions, both ways if that differs.

    One generic direction already spans all functions on the points, so that the dictionary's
    program has a bounded solution; the others keep it well conditioned.
    """
    d = problem.rows.dim
    points = in_memory(problem.rows, "the boundedness threshold").block.points
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]
    if problem.case.activation.odd:
        directions = np.concatenate([directions, -directions])
    u, b = [], []
    for direction in directions:
        along = np.unique(points @ direction)
        u.append(np.repeat(direction[None], len(along) - 1, axis=0))
        b.append(-0.5 * (along[1:] + along[:-1]))
    return Columns.neurons(np.concatenate(u), np.concatenate(b))


def minimise_largest(dictionary: Dictionary, Y: Floats, gap: float) -> Centre:
    """Follow the central path of the dictionary's program from Y to a relative gap.

    With s_k = g^2 - |G_k|^2 the barrier is -sum log s_k, its parameter 2K, so at weight t the gap
    is 2K / t.  A large gap leaves Y in the middle of the good residuals, where new columns cut
    deeper than at an extreme point.  O(K p^2 g^2 + (p g)^3) per Newton step, 20 to 60 of them.
    """
    # near the minimiser of the last round, but well inside; at worst from the smallest residual
    top = 1.5 * float(norms(dictionary.gradient(Y)).max())
    resting = 1.5 * float(norms(dictionary.constant).max())
    if resting < top:
        Y, top = np.zeros_like(Y), resting
    count = len(dictionary.constant)
    weight = 2.0 * count / top
    best = Centre(Y, np.inf, 0.0, np.zeros(count))
    while True:
        Y, top, centred = _centre(dictionary, Y, top, weight)
        G = dictionary.gradient(Y)
        size = norms(G)
        slack = np.maximum((top - size) * (top + size), np.finfo(float).tiny)
        multipliers = G / (slack / slack.min())[:, None]
        best = Centre(
            Y, float(size.max()), max(best.lower, dictionary.lower_bound(multipliers)), size
        )
        reached = best.value - best.lower <= gap * best.value
        # past the nominal weight only rounding keeps the bounds apart
        if reached or not centred or weight > _GROWTH * 2.0 * count / (gap * top):
            return best
        weight *= _GROWTH


def _centre(
    dictionary: Dictionary, Y: Floats, top: float, weight: float
) -> tuple[Floats, float, bool]:
    """Newton's method on weight * g - sum log(g^2 - |G_k|^2); False if rounding stopped it."""
    G = dictionary.gradient(Y)
    value = _barrier(G, top, weight)
    for _ in range(_MAX_NEWTON):
        try:
            step, step_top, decrement = _newton_step(dictionary.Q, G, top, weight)
        except LinAlgError:
            return Y, top, False
        if not np.isfinite(decrement):
            return Y, top, False
        if decrement <= _CENTRED**2:
            return Y, top, True
        length, moved = 1.0, dictionary.Q.T @ step
        while length > 1e-10:
            trial = _barrier(G + length * moved, top + length * step_top, weight)
            if trial <= value - 0.1 * length * decrement:
                break
            length *= 0.5
        else:
            return Y, top, False
        Y, top = Y + length * step, top + length * step_top
        G, value = dictionary.gradient(Y), trial
    return Y, top, False


def _barrier(G: Floats, top: float, weight: float) -> float:
    slack = top**2 - np.einsum("kg,kg->k", G, G)
    if top <= 0.0 or slack.min() <= 0.0:
        return float(np.inf)
    return weight * top - float(np.log(slack).sum())


def _newton_step(Q: Floats, G: Floats, top: float, weight: float) -> tuple[Floats, float, float]:
    """Step of Y and of g, and the squared decrement."""
    (p, _), width = Q.shape, G.shape[1]
    square = np.einsum("kg,kg->k", G, G)
    slack = top**2 - square
    lean = G / slack[:, None]
    hessian = np.empty((width * p + 1, width * p + 1))
    for a in range(width):
        for b in range(a, width):
            by = 4.0 * lean[:, a] * lean[:, b] + (2.0 / slack if a == b else 0.0)
            block = (Q * by) @ Q.T
            hessian[a * p : (a + 1) * p, b * p : (b + 1) * p] = block
            hessian[b * p : (b + 1) * p, a * p : (a + 1) * p] = block
    cross = -4.0 * top * (Q @ (lean / slack[:, None])).T.ravel()
    hessian[-1, :-1] = hessian[:-1, -1] = cross
    hessian[-1, -1] = 2.0 * float(((top**2 + square) / slack**2).sum())
    slope = np.append(2.0 * (Q @ lean).T.ravel(), weight - 2.0 * top * float((1.0 / slack).sum()))
    step = -cho_solve(cho_factor(hessian, overwrite_a=True, check_finite=False), slope)
    return step[:-1].reshape(width, p).T, float(step[-1]), -float(slope @ step)


def _affine(rows: MemoryRows, columns: Columns) -> tuple[Floats, Floats]:
    """Features with c and V projected out, (P, K), and the part of G that no residual moves, (K, g)."""
    block, measured = rows.block, rows.measure(columns)
    constant, root = rows.divergences(measured), np.sqrt(block.mass)[:, None]
    if not rows.case.conservative:
        return root * rows.projected(block, measured), constant
    weighted = block.mass[:, None, None] * columns.u * rows.features(block, columns)[:, :, None]
    fields = [rows.project(field) / root for field in weighted.swapaxes(0, 1)]
    along = np.einsum("kd,kd->k", constant, columns.u)[:, None]
    return np.stack(fields).reshape(len(columns), -1).T, along
