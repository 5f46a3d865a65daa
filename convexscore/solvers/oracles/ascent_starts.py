"""Where local ascents start, and the cheap moves that bring all of them close to a maximum.

Neurons are rows of arrays: unit ``u`` (k, d) and ``b`` (k,).  Whatever has an entry per row of the data
lives inside a pass over these, pre-activations in blocks of neurons that fit the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.base import Block, Neurons, Residual, norms

# Pre-activations of one block of neurons: 256 kB, so that the dozen passes over them stay in cache.
_BLOCK = 1 << 15
_BINS = 64
_TINY = 1e-300
# The grid of biases ends this far inside the outermost points, relative to its width: on these points it
# would be for rounding to say which side they are on.
_INSIDE = 1e-9
# Angles tried by a move, as multiples of the neuron's own trust angle.
_TRIALS = (0.4, 1.0, 2.5)


@dataclass(frozen=True, eq=False)
class Landscape:
    """What is climbed: h of one residual, whose differences within ``rounding`` are none."""

    neurons: Neurons
    residual: Residual
    rounding: float

    @property
    def block(self) -> int:
        """Neurons whose pre-activations fit the cache."""
        return max(1, _BLOCK // self.neurons.n_samples)

    def total(self, kernel: Callable[..., Any]) -> Any:
        """The sum of ``kernel(block, residual rows)`` over the data."""
        return self.neurons.data.total(kernel, self.residual)

    def gradient(self, u: Floats, b: Floats) -> Floats:
        return self.neurons.gradient(self.residual, u, b)

    def evaluate(self, u: Floats, b: Floats) -> Floats:
        return self.neurons.evaluate(self.residual, u, b)

    def first_best(self, value: Floats) -> NDArray[np.intp]:
        """The first column of each row that only rounding tells from the best."""
        return np.argmax(value >= value.max(axis=1, keepdims=True) - self.rounding, axis=1)

    def dual(self, gradient: Floats, u: Floats) -> Floats:
        """g with h = g . G at this neuron and h >= g . G at every other (for ridge neurons g ~ u)."""
        if not self.neurons.conservative:
            return gradient / np.maximum(norms(gradient), _TINY)[:, None]
        if self.neurons.sign:
            return u
        return np.where(np.einsum("kd,kd->k", gradient, u) < 0, -1.0, 1.0)[:, None] * u

    def direction(self, gradient: Floats, u: Floats, pulled: Floats, active: Floats) -> Floats:
        """Gradient of h in u at a fixed pattern, up to multiples of u.

        ``pulled`` is ``sum_i sigma'_i (g . R_i) x_i``, ``active`` N.  For free outer weights
        ``delta N g`` is to be added; for ridge neurons G, because g = +-u moves along and ``u . (N u)``
        does not change.
        """
        g = self.dual(gradient, u)
        if self.neurons.conservative:
            return pulled + np.sign(np.einsum("kd,kd->k", g, u))[:, None] * gradient
        return pulled + self.neurons.divergence * active[:, None] * g


def in_blocks(
    function: Callable[..., tuple[Floats, ...]], size: int, *arrays: Floats
) -> tuple[Floats, ...]:
    """What a function of ``size`` neurons at a time returns, for all of them."""
    starts = range(0, max(1, len(arrays[0])), size)
    parts = [function(*(array[k : k + size] for array in arrays)) for k in starts]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def unit_rows(rows: Floats) -> Floats:
    """Rows divided by their norm; a zero row becomes the first coordinate vector."""
    norm = norms(rows)
    out = rows / np.maximum(norm, _TINY)[:, None]
    out[~(norm > 0), 0] = 1.0
    return out


def fresh_directions(land: Landscape, count: int, rng: np.random.Generator) -> Floats:
    """``count`` unit vectors: residual-weighted PCA, data differences, Gaussian, coordinates.

    In a cell of the hyperplane arrangement h is the norm of ``C u``, with
    ``C = sum_active R_i (x_i - c)^T + delta N I``; the top right singular vector of C for a random
    half of the data is therefore where an ascent that starts in that cell would go first.
    """
    d, n_data = land.neurons.dim, count // 3
    blocks = [_principal_directions(land, (count + 2) // 3, rng)]
    # Half of these join two points, half look at a point from the centre.
    first, second = np.split(_sample(land.neurons, 2 * n_data, rng), 2)
    blocks.append(first - second * (np.arange(n_data) % 2)[:, None])
    if d <= 4:
        blocks.append(np.concatenate([np.eye(d), -np.eye(d)]))
    blocks.append(rng.standard_normal((count, d)))
    return unit_rows(np.concatenate(blocks)[:count])


def _sample(neurons: Neurons, count: int, rng: np.random.Generator) -> Floats:
    """Points drawn with replacement, (count, d)."""
    return neurons.data.take(rng.integers(neurons.n_samples, size=count))


def _principal_directions(land: Landscape, count: int, rng: np.random.Generator) -> Floats:
    neurons, n_cells = land.neurons, -(-count // 2)
    d = neurons.dim
    centre = _sample(neurons, n_cells, rng)
    normal = unit_rows(rng.standard_normal((n_cells, d)))
    offset = np.einsum("kd,kd->k", normal, centre)

    def kernel(block: Block, rows: Floats) -> tuple[Floats, Floats]:
        maps, active = np.zeros((n_cells, d, d)), np.zeros(n_cells)
        for j in range(n_cells):
            slope = neurons.activation.derivative(block.points @ normal[j] - offset[j])
            weighted = slope[:, None] * rows
            maps[j] = weighted.T @ block.points - np.outer(weighted.sum(axis=0), centre[j])
            active[j] = slope @ block.mass
        return maps, active

    maps, active = land.total(kernel)
    maps += neurons.divergence * active[:, None, None] * np.eye(d)
    if neurons.conservative:
        values, vectors = np.linalg.eigh(maps + maps.transpose(0, 2, 1))
        best = np.argmax(values if neurons.sign else np.abs(values), axis=1)
        top = vectors[np.arange(n_cells), :, best]
    else:
        top = np.linalg.svd(maps)[2][:, 0]
    return np.concatenate([top, -top])[:count]


def scan_biases(land: Landscape, u: Floats) -> Floats:
    """The best bias of each direction on a grid of 64 values.

    A pass sorts the projections into bins; sums over the bins to the right of an edge then give
    G with the kink at that edge exactly, at O(n d + 64 d) per direction instead of O(64 n d).
    """
    return in_blocks(partial(_scan, land), land.block, u)[0]


def _scan(land: Landscape, u: Floats) -> tuple[Floats]:
    neurons, (k, d) = land.neurons, u.shape
    edges = _edges(neurons, u)

    def kernel(block: Block, rows: Floats) -> tuple[Floats, Floats]:
        projection, bins = _binned(block, u, edges)
        shape, starts = (k * (_BINS + 1), len(projection)), np.arange(len(projection) + 1) * k
        ones = sparse.csc_matrix((np.ones(bins.size), bins.ravel(), starts), shape=shape)
        moments = sparse.csc_matrix((projection.ravel(), bins.ravel(), starts), shape=shape)
        return ones @ np.column_stack([rows, block.mass]), np.asarray(moments @ rows)

    plain, first = land.total(kernel)
    plain, first = plain.reshape(k, _BINS + 1, d + 1), first.reshape(k, _BINS + 1, d)
    gradient = _kinked(neurons, first) - edges[:, :, None] * _kinked(neurons, plain[:, :, :d])
    count = _kinked(neurons, plain[:, :, d:])
    gradient += neurons.divergence * count * u[:, None]
    values = neurons.measure(gradient.reshape(-1, d), np.repeat(u, _BINS, axis=0))
    best = land.first_best(values.reshape(k, _BINS))
    return (-edges[np.arange(k), best],)


def _edges(neurons: Neurons, u: Floats) -> Floats:
    """Equally spaced kinks (k, 64): 3.5 standard deviations either way, or the range if it is shorter."""

    def kernel(block: Block) -> tuple[Floats, Floats]:
        projection = block.points @ u.T
        return projection.min(axis=0), projection.max(axis=0)

    least, most = (np.stack(part) for part in zip(*neurons.data.collect(kernel), strict=True))
    mean, covariance = neurons.moments
    variance = np.einsum("kd,kd->k", u @ covariance, u)
    spread = 3.5 * np.sqrt(np.maximum(variance, 0.0))
    low = np.maximum(least.min(axis=0), u @ mean - spread)
    high = np.minimum(most.max(axis=0), u @ mean + spread)
    low, high = low + _INSIDE * (high - low), high - _INSIDE * (high - low)
    width = np.maximum(high - low, _TINY) / (_BINS - 1)
    return low[:, None] + np.arange(_BINS) * width[:, None]


def _binned(block: Block, u: Floats, edges: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """Projections (n, k), and the bins in which they are: 65 for each of the k directions."""
    projection = block.points @ u.T
    width = edges[:, 1] - edges[:, 0]
    place = projection - (edges[:, 0] - width)
    place /= width
    bins = np.clip(place, 0, _BINS, out=place).astype(np.int32)
    bins += np.arange(len(u), dtype=np.int32) * (_BINS + 1)
    return projection, bins


def _kinked(neurons: Neurons, bins: Floats) -> Floats:
    """Sums with the slopes of the activation on both sides of each edge; bin 0 is left of the first."""
    right = np.cumsum(bins[:, :0:-1], axis=1)[:, ::-1]
    sigma = neurons.activation
    if not sigma.negative_slope:
        return right
    return sigma.slope_jump * right + sigma.negative_slope * bins.sum(axis=1, keepdims=True)


def climb(land: Landscape, u: Floats, b: Floats, *, steps: int) -> tuple[Floats, ...]:
    """``steps`` monotone moves of every neuron: u, b and h after them, O(n d) each.

    Gains within ``rounding`` are none, so that a climb does not depend on the order of sums.

    A move turns u towards the tangential gradient of ``g . G`` with ``g = G / ||G||``, which is
    the power method for the linear map of the cell, then scans the bias for that g.
    """
    return in_blocks(partial(_climb_block, land, steps=steps), land.block, u, b)


def _climb_block(land: Landscape, u: Floats, b: Floats, *, steps: int) -> tuple[Floats, ...]:
    gradient = land.gradient(u, b)
    h = land.neurons.measure(gradient, u)
    angle = np.full(len(b), 0.3)
    for _ in range(steps):
        tangent = _uphill(land, gradient, u, b)
        tangent -= np.einsum("kd,kd->k", tangent, u)[:, None] * u
        tangent /= np.maximum(norms(tangent), _TINY)[:, None]
        best, best_gradient = np.zeros(len(b)), gradient
        for factor in _TRIALS:
            tried = np.minimum(factor * angle, 1.2)
            cos, sin = np.cos(tried), np.sin(tried)
            moved_u = cos[:, None] * u + sin[:, None] * tangent
            moved = land.gradient(moved_u, cos * b)
            value = land.neurons.measure(moved, moved_u)
            better = value > h + land.rounding
            best, h = np.where(better, tried, best), np.where(better, value, h)
            best_gradient = np.where(better[:, None], moved, best_gradient)
        angle = np.where(best > 0, best, angle / 6.0)
        u = unit_rows(np.cos(best)[:, None] * u + np.sin(best)[:, None] * tangent)
        scanned, value = _scan_for(land, u, land.dual(best_gradient, u))
        b = np.where(value > h + land.rounding, scanned, b * np.cos(best))
        gradient = land.gradient(u, b)
        h = land.neurons.measure(gradient, u)
    return u, b, h


def _uphill(land: Landscape, gradient: Floats, u: Floats, b: Floats) -> Floats:
    """The ascent directions at the patterns of the neurons."""
    g, sigma = land.dual(gradient, u), land.neurons.activation

    def kernel(block: Block, rows: Floats) -> tuple[Floats, Floats]:
        slope = sigma.derivative(u @ block.points.T + b[:, None])
        return (g @ rows.T * slope) @ block.points, slope @ block.mass

    return land.direction(gradient, u, *land.total(kernel))


def _scan_for(land: Landscape, u: Floats, g: Floats) -> tuple[Floats, Floats]:
    """The bias on the grid with the largest ``g . G``."""
    neurons, k = land.neurons, len(u)
    edges = _edges(neurons, u)

    def kernel(block: Block, rows: Floats) -> Floats:
        projection, bins = _binned(block, u, edges)
        weight = rows @ g.T
        terms = [weight, weight * projection]
        if neurons.divergence:
            terms.append(np.repeat(block.mass, k))
        size = k * (_BINS + 1)
        return np.stack([np.bincount(bins.ravel(), t.ravel(), minlength=size) for t in terms])

    plain, first, *masses = land.total(kernel).reshape(-1, k, _BINS + 1)
    value = _kinked(neurons, first) - edges * _kinked(neurons, plain)
    for mass in masses:
        along = neurons.divergence * np.einsum("kd,kd->k", g, u)
        value += along[:, None] * _kinked(neurons, mass)
    best, rows = land.first_best(value), np.arange(k)
    return -edges[rows, best], value[rows, best]
