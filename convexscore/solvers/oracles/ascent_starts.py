"""Where local ascents start, and the cheap moves that bring all of them close to a maximum.

Neurons are rows of arrays: unit ``u`` (k, d) and ``b`` (k,).  Pre-activations are held one row per
neuron, (k, n), in blocks of neurons that fit the cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from convexscore.solvers.oracles.base import Floats, NeuronSet

# Pre-activations of one block of neurons: 2 MB, so that the dozen passes over them stay in cache.
_BLOCK = 1 << 18
_BINS = 64
_TINY = 1e-300
# Angles tried by a move, as multiples of the neuron's own trust angle.
_TRIALS = (0.4, 1.0, 2.5)


def unit_rows(rows: Floats) -> Floats:
    """Rows divided by their norm; a zero row becomes the first coordinate vector."""
    norm = np.linalg.norm(rows, axis=1)
    out = rows / np.maximum(norm, _TINY)[:, None]
    out[~(norm > 0), 0] = 1.0
    return out


def fresh_directions(
    neurons: NeuronSet, residual: Floats, count: int, rng: np.random.Generator
) -> Floats:
    """``count`` unit vectors: residual-weighted PCA, data differences, Gaussian, coordinates.

    In a cell of the hyperplane arrangement h is the norm of ``C u``, with
    ``C = sum_active R_i (x_i - c)^T + delta N I``; the top right singular vector of C for a random
    half of the data is therefore where an ascent that starts in that cell would go first.
    """
    points, d = neurons.points, neurons.dim
    n_pca = (count + 2) // 3
    n_data = count // 3
    blocks = [_principal_directions(neurons, residual, n_pca, rng)]
    if n_data:
        first, second = rng.integers(neurons.n_samples, size=(2, n_data))
        # Half of them join two points, half look at a point from the centre.
        blocks.append(points[first] - points[second] * (np.arange(n_data) % 2)[:, None])
    if d <= 4:
        blocks.append(np.concatenate([np.eye(d), -np.eye(d)]))
    blocks.append(rng.standard_normal((count, d)))
    return unit_rows(np.concatenate(blocks)[:count])


def _principal_directions(
    neurons: NeuronSet, residual: Floats, count: int, rng: np.random.Generator
) -> Floats:
    points, d = neurons.points, neurons.dim
    n_cells = -(-count // 2)
    centre = points[rng.integers(neurons.n_samples, size=n_cells)]
    normal = unit_rows(rng.standard_normal((n_cells, d)))
    offset = np.einsum("kd,kd->k", normal, centre)
    maps = np.zeros((n_cells, d, d))
    for j in range(n_cells):
        slope = neurons.activation.derivative(points @ normal[j] - offset[j])
        weighted = slope[:, None] * residual
        maps[j] = weighted.T @ points - np.outer(weighted.sum(axis=0), centre[j])
        maps[j] += neurons.divergence * (slope @ neurons.mass) * np.eye(d)
    if neurons.conservative:
        values, vectors = np.linalg.eigh(maps + maps.transpose(0, 2, 1))
        best = np.argmax(values if neurons.sign else np.abs(values), axis=1)
        top = vectors[np.arange(n_cells), :, best]
    else:
        top = np.linalg.svd(maps)[2][:, 0]
    return np.concatenate([top, -top])[:count]


def scan_biases(neurons: NeuronSet, residual: Floats, u: Floats, *, block: int = _BLOCK) -> Floats:
    """The best bias of each direction on a grid of 64 values.

    One pass sorts the projections into bins; sums over the bins to the right of an edge then give
    G with the kink at that edge exactly, at O(n d + 64 d) per direction instead of O(64 n d).
    """
    n, d = residual.shape
    sigma = neurons.activation
    b = np.zeros(len(u))
    step = max(1, block // n)
    for start in range(0, len(u), step):
        rows = slice(start, start + step)
        directions = u[rows]
        k = len(directions)
        projection = neurons.points @ directions.T
        edges, low, width = _edges(projection.T)
        column = np.clip(np.floor((projection - low) / width) + 1, 0, _BINS).astype(np.int32)
        column += np.arange(k, dtype=np.int32) * (_BINS + 1)
        indptr = np.arange(n + 1) * k
        shape = (k * (_BINS + 1), n)
        ones = sparse.csc_matrix((np.ones(n * k), column.ravel(), indptr), shape=shape)
        moments = sparse.csc_matrix((projection.ravel(), column.ravel(), indptr), shape=shape)
        binned = ones @ np.column_stack([residual, neurons.mass])
        plain, mass = binned[:, :d].reshape(k, -1, d), binned[:, d].reshape(k, -1)
        first = np.asarray(moments @ residual).reshape(k, -1, d)
        gradient = _suffix(first) - edges[:, :, None] * _suffix(plain)
        count = _suffix(mass)
        if sigma.negative_slope:
            line = first.sum(axis=1)[:, None] - edges[:, :, None] * plain.sum(axis=1)[:, None]
            gradient = sigma.slope_jump * gradient + sigma.negative_slope * line
            total = mass.sum(axis=1)[:, None]
            count = sigma.slope_jump * count + sigma.negative_slope * total
        gradient += neurons.divergence * count[:, :, None] * directions[:, None, :]
        repeated = np.repeat(directions, _BINS, axis=0)
        values = neurons.measure(gradient.reshape(-1, d), repeated).reshape(k, _BINS)
        best = np.argmax(values, axis=1)
        b[rows] = -edges[np.arange(k), best]
    return b


def _edges(projection: Floats) -> tuple[Floats, Floats, Floats]:
    """Equally spaced kinks, from -3.5 to 3.5 standard deviations or the range if it is shorter."""
    mean, spread = projection.mean(axis=1), projection.std(axis=1)
    low = np.maximum(projection.min(axis=1), mean - 3.5 * spread)
    high = np.minimum(projection.max(axis=1), mean + 3.5 * spread)
    width = np.maximum(high - low, _TINY) / (_BINS - 1)
    return low[:, None] + np.arange(_BINS) * width[:, None], low, width


def _suffix(bins: Floats) -> Floats:
    """Sums over the bins to the right of each edge; bin 0 is left of the first edge."""
    return np.cumsum(bins[:, :0:-1], axis=1)[:, ::-1]


def climb(
    neurons: NeuronSet, residual: Floats, u: Floats, b: Floats, *, steps: int, block: int = _BLOCK
) -> tuple[Floats, Floats, Floats]:
    """``steps`` monotone moves of every neuron: u, b and h after them, O(n d) each.

    A move turns u towards the tangential gradient of ``g . G`` with ``g = G / ||G||``, which is
    the power method for the linear map of the cell, then scans the bias for that g.
    """
    u, b, h = u.copy(), b.copy(), np.zeros(len(b))
    step = max(1, block // len(residual))
    for start in range(0, len(b), step):
        rows = slice(start, start + step)
        u[rows], b[rows], h[rows] = _climb_block(neurons, residual, u[rows], b[rows], steps)
    return u, b, h


def _climb_block(
    neurons: NeuronSet, residual: Floats, u: Floats, b: Floats, steps: int
) -> tuple[Floats, Floats, Floats]:
    sigma = neurons.activation
    pre = u @ neurons.points.T + b[:, None]
    gradient = _gradients(neurons, residual, pre, u)
    h = neurons.measure(gradient, u)
    angle = np.full(len(b), 0.3)
    for _ in range(steps):
        weight = dual(neurons, gradient, u) @ residual.T
        slope = sigma.derivative(pre)
        tangent = ascent_direction(neurons, gradient, u, (weight * slope) @ neurons.points, slope)
        tangent -= np.einsum("kd,kd->k", tangent, u)[:, None] * u
        norm = np.linalg.norm(tangent, axis=1)
        tangent /= np.maximum(norm, _TINY)[:, None]
        turn = tangent @ neurons.points.T
        best, best_h, best_gradient = np.zeros(len(b)), h, gradient
        for factor in _TRIALS:
            tried = np.minimum(factor * angle, 1.2)
            cos, sin = np.cos(tried)[:, None], np.sin(tried)[:, None]
            moved_u = cos * u + sin * tangent
            moved = _gradients(neurons, residual, cos * pre + sin * turn, moved_u)
            value = neurons.measure(moved, moved_u)
            better = value > best_h
            best = np.where(better, tried, best)
            best_h = np.where(better, value, best_h)
            best_gradient = np.where(better[:, None], moved, best_gradient)
        angle = np.where(best > 0, best, angle / 6.0)
        cos, sin = np.cos(best)[:, None], np.sin(best)[:, None]
        u, b, h = unit_rows(cos * u + sin * tangent), b * cos[:, 0], best_h
        projection = cos * pre + sin * turn - b[:, None]
        scanned, value = _scan_for(neurons, residual, projection, u, best_gradient)
        b = np.where(value > h, scanned, b)
        pre = projection + b[:, None]
        gradient = _gradients(neurons, residual, pre, u)
        h = neurons.measure(gradient, u)
    return u, b, h


def _gradients(neurons: NeuronSet, residual: Floats, pre: Floats, u: Floats) -> Floats:
    sigma = neurons.activation
    out = sigma.value(pre) @ residual
    if neurons.divergence:
        out += neurons.divergence * (sigma.derivative(pre) @ neurons.mass)[:, None] * u
    return out


def dual(neurons: NeuronSet, gradient: Floats, u: Floats) -> Floats:
    """g with h = g . G at this neuron and h >= g . G at every other (for ridge neurons g ~ u)."""
    if not neurons.conservative:
        return gradient / np.maximum(np.linalg.norm(gradient, axis=1), _TINY)[:, None]
    if neurons.sign:
        return u
    return np.where(np.einsum("kd,kd->k", gradient, u) < 0, -1.0, 1.0)[:, None] * u


def ascent_direction(
    neurons: NeuronSet, gradient: Floats, u: Floats, pulled: Floats, slope: Floats
) -> Floats:
    """Gradient of h in u at a fixed pattern, up to multiples of u.

    ``pulled`` is ``sum_i sigma'_i (g . R_i) x_i``.  For free outer weights ``delta N g`` is to be
    added; for ridge neurons G, because g = +-u moves along and ``u . (N u)`` does not change.
    """
    g = dual(neurons, gradient, u)
    if neurons.conservative:
        return pulled + np.sign(np.einsum("kd,kd->k", g, u))[:, None] * gradient
    if neurons.divergence:
        return pulled + neurons.divergence * (slope @ neurons.mass)[:, None] * g
    return pulled


def _scan_for(
    neurons: NeuronSet, residual: Floats, projection: Floats, u: Floats, gradient: Floats
) -> tuple[Floats, Floats]:
    """The bias on the grid with the largest ``g . G`` for the dual g of ``gradient``."""
    g = dual(neurons, gradient, u)
    weight = g @ residual.T
    k, n = projection.shape
    edges, low, width = _edges(projection)
    bins: NDArray[np.int64] = ((projection - (low - width)[:, None]) / width[:, None]).astype(int)
    np.clip(bins, 0, _BINS, out=bins)
    bins += np.arange(k)[:, None] * (_BINS + 1)

    def gather(weights: Floats) -> Floats:
        flat: Floats = np.bincount(bins.ravel(), weights.ravel(), minlength=k * (_BINS + 1)).astype(
            float
        )
        return flat.reshape(k, _BINS + 1)

    plain, first = gather(weight), gather(weight * projection)
    value = _suffix(first) - edges * _suffix(plain)
    sigma = neurons.activation
    if sigma.negative_slope:
        line = first.sum(axis=1)[:, None] - edges * plain.sum(axis=1)[:, None]
        value = sigma.slope_jump * value + sigma.negative_slope * line
    if neurons.divergence:
        mass = gather(np.broadcast_to(neurons.mass, (k, n)))
        count = _suffix(mass)
        if sigma.negative_slope:
            count = sigma.slope_jump * count + sigma.negative_slope * mass.sum(axis=1)[:, None]
        value += neurons.divergence * np.einsum("kd,kd->k", g, u)[:, None] * count
    best = np.argmax(value, axis=1)
    rows = np.arange(k)
    return -edges[rows, best], value[rows, best]
