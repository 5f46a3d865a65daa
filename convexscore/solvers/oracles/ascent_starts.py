"""Where local ascents start, and the cheap moves that bring all of them close to a maximum.

Neurons are rows of arrays: unit ``u`` (k, d) and ``b`` (k,).  Whatever has an entry per row of the data
lives inside a pass over these, pre-activations in blocks of neurons that fit the cache.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from convexscore.solvers.oracles.base import Block, Floats, Neurons, Residual

# Pre-activations of one block of neurons: 2 MB, so that the dozen passes over them stay in cache.
_BLOCK = 1 << 18
_BINS = 64
_TINY = 1e-300
# The grid of biases ends this far inside the outermost points, relative to its width: on these points it
# would be for rounding to say which side they are on.
_INSIDE = 1e-9
# Angles tried by a move, as multiples of the neuron's own trust angle.
_TRIALS = (0.4, 1.0, 2.5)


def unit_rows(rows: Floats) -> Floats:
    """Rows divided by their norm; a zero row becomes the first coordinate vector."""
    norm = np.linalg.norm(rows, axis=1)
    out = rows / np.maximum(norm, _TINY)[:, None]
    out[~(norm > 0), 0] = 1.0
    return out


def fresh_directions(
    neurons: Neurons, residual: Residual, count: int, rng: np.random.Generator
) -> Floats:
    """``count`` unit vectors: residual-weighted PCA, data differences, Gaussian, coordinates.

    In a cell of the hyperplane arrangement h is the norm of ``C u``, with
    ``C = sum_active R_i (x_i - c)^T + delta N I``; the top right singular vector of C for a random
    half of the data is therefore where an ascent that starts in that cell would go first.
    """
    d = neurons.dim
    n_pca = (count + 2) // 3
    n_data = count // 3
    blocks = [_principal_directions(neurons, residual, n_pca, rng)]
    if n_data:
        first, second = np.split(_sample(neurons, 2 * n_data, rng), 2)
        # Half of them join two points, half look at a point from the centre.
        blocks.append(first - second * (np.arange(n_data) % 2)[:, None])
    if d <= 4:
        blocks.append(np.concatenate([np.eye(d), -np.eye(d)]))
    blocks.append(rng.standard_normal((count, d)))
    return unit_rows(np.concatenate(blocks)[:count])


def _sample(neurons: Neurons, count: int, rng: np.random.Generator) -> Floats:
    """Points drawn with replacement, (count, d)."""
    return neurons.data.take(rng.integers(neurons.n_samples, size=count))


def _principal_directions(
    neurons: Neurons, residual: Residual, count: int, rng: np.random.Generator
) -> Floats:
    d = neurons.dim
    n_cells = -(-count // 2)
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

    maps, active = neurons.total(kernel, residual)
    maps += neurons.divergence * active[:, None, None] * np.eye(d)
    if neurons.conservative:
        values, vectors = np.linalg.eigh(maps + maps.transpose(0, 2, 1))
        best = np.argmax(values if neurons.sign else np.abs(values), axis=1)
        top = vectors[np.arange(n_cells), :, best]
    else:
        top = np.linalg.svd(maps)[2][:, 0]
    return np.concatenate([top, -top])[:count]


def scan_biases(
    neurons: Neurons, residual: Residual, u: Floats, *, rounding: float = 0.0, block: int = _BLOCK
) -> Floats:
    """The best bias of each direction on a grid of 64 values.

    A pass sorts the projections into bins; sums over the bins to the right of an edge then give
    G with the kink at that edge exactly, at O(n d + 64 d) per direction instead of O(64 n d).
    """
    step = max(1, block // neurons.n_samples)
    scans = [_scan(neurons, residual, u[k : k + step], rounding) for k in range(0, len(u), step)]
    return np.concatenate([np.zeros(0), *scans])


def _scan(neurons: Neurons, residual: Residual, u: Floats, rounding: float) -> Floats:
    k, d = u.shape
    sigma = neurons.activation
    edges, low, width = _edges(neurons, u)

    def kernel(block: Block, rows: Floats) -> tuple[Floats, Floats]:
        n = block.n_samples
        projection = block.points @ u.T
        column = np.clip(np.floor((projection - low) / width) + 1, 0, _BINS).astype(np.int32)
        column += np.arange(k, dtype=np.int32) * (_BINS + 1)
        indptr = np.arange(n + 1) * k
        shape = (k * (_BINS + 1), n)
        ones = sparse.csc_matrix((np.ones(n * k), column.ravel(), indptr), shape=shape)
        moments = sparse.csc_matrix((projection.ravel(), column.ravel(), indptr), shape=shape)
        return ones @ np.column_stack([rows, block.mass]), np.asarray(moments @ rows)

    binned, first = neurons.total(kernel, residual)
    plain, mass = binned[:, :d].reshape(k, -1, d), binned[:, d].reshape(k, -1)
    first = first.reshape(k, -1, d)
    gradient = _suffix(first) - edges[:, :, None] * _suffix(plain)
    count = _suffix(mass)
    if sigma.negative_slope:
        line = first.sum(axis=1)[:, None] - edges[:, :, None] * plain.sum(axis=1)[:, None]
        gradient = sigma.slope_jump * gradient + sigma.negative_slope * line
        count = sigma.slope_jump * count + sigma.negative_slope * mass.sum(axis=1)[:, None]
    gradient += neurons.divergence * count[:, :, None] * u[:, None, :]
    values = neurons.measure(gradient.reshape(-1, d), np.repeat(u, _BINS, axis=0))
    best = first_best(values.reshape(k, _BINS), rounding)
    out: Floats = -edges[np.arange(k), best]
    return out


def first_best(value: Floats, rounding: float) -> NDArray[np.intp]:
    """The first column of each row that only rounding tells from the best."""
    return np.argmax(value >= value.max(axis=1, keepdims=True) - rounding, axis=1)


def _edges(neurons: Neurons, u: Floats) -> tuple[Floats, Floats, Floats]:
    """Equally spaced kinks, from -3.5 to 3.5 standard deviations or the range if it is shorter."""

    def kernel(block: Block) -> tuple[int, Floats, Floats, Floats, Floats]:
        projection = u @ block.points.T
        mean, spread = projection.mean(axis=1), projection.std(axis=1)
        return block.n_samples, mean, spread, projection.min(axis=1), projection.max(axis=1)

    _, mean, spread, least, most = _pooled(neurons.data.collect(kernel))
    low = np.maximum(least, mean - 3.5 * spread)
    high = np.minimum(most, mean + 3.5 * spread)
    low, high = low + _INSIDE * (high - low), high - _INSIDE * (high - low)
    width = np.maximum(high - low, _TINY) / (_BINS - 1)
    return low[:, None] + np.arange(_BINS) * width[:, None], low, width


def _pooled(
    parts: list[tuple[int, Floats, Floats, Floats, Floats]],
) -> tuple[int, Floats, Floats, Floats, Floats]:
    """Number, mean, standard deviation, least and largest of all, from those of parts."""
    n, mean, spread, low, high = parts[0]
    for m, other, wide, least, most in parts[1:]:
        share = m / (n + m)
        square = (1.0 - share) * spread**2 + share * wide**2
        spread = np.sqrt(square + share * (1.0 - share) * (other - mean) ** 2)
        mean, n = mean + share * (other - mean), n + m
        low, high = np.minimum(low, least), np.maximum(high, most)
    return n, mean, spread, low, high


def _suffix(bins: Floats) -> Floats:
    """Sums over the bins to the right of each edge; bin 0 is left of the first edge."""
    return np.cumsum(bins[:, :0:-1], axis=1)[:, ::-1]


def climb(
    neurons: Neurons,
    residual: Residual,
    u: Floats,
    b: Floats,
    *,
    steps: int,
    rounding: float = 0.0,
    block: int = _BLOCK,
) -> tuple[Floats, Floats, Floats]:
    """``steps`` monotone moves of every neuron: u, b and h after them, O(n d) each.

    Gains within ``rounding`` are none, so that a climb does not depend on the order of sums.

    A move turns u towards the tangential gradient of ``g . G`` with ``g = G / ||G||``, which is
    the power method for the linear map of the cell, then scans the bias for that g.
    """
    u, b, h = u.copy(), b.copy(), np.zeros(len(b))
    step = max(1, block // neurons.n_samples)
    for start in range(0, len(b), step):
        rows = slice(start, start + step)
        u[rows], b[rows], h[rows] = _climb_block(
            neurons, residual, u[rows], b[rows], steps, rounding
        )
    return u, b, h


def _climb_block(
    neurons: Neurons, residual: Residual, u: Floats, b: Floats, steps: int, rounding: float
) -> tuple[Floats, Floats, Floats]:
    gradient = neurons.gradient(residual, u, b)
    h = neurons.measure(gradient, u)
    angle = np.full(len(b), 0.3)
    for _ in range(steps):
        tangent = _uphill(neurons, residual, gradient, u, b)
        tangent -= np.einsum("kd,kd->k", tangent, u)[:, None] * u
        norm = np.linalg.norm(tangent, axis=1)
        tangent /= np.maximum(norm, _TINY)[:, None]
        best, best_h, best_gradient = np.zeros(len(b)), h, gradient
        for factor in _TRIALS:
            tried = np.minimum(factor * angle, 1.2)
            cos, sin = np.cos(tried), np.sin(tried)
            moved_u = cos[:, None] * u + sin[:, None] * tangent
            moved = neurons.gradient(residual, moved_u, cos * b)
            value = neurons.measure(moved, moved_u)
            better = value > best_h + rounding
            best = np.where(better, tried, best)
            best_h = np.where(better, value, best_h)
            best_gradient = np.where(better[:, None], moved, best_gradient)
        angle = np.where(best > 0, best, angle / 6.0)
        cos, sin = np.cos(best)[:, None], np.sin(best)[:, None]
        u, b, h = unit_rows(cos * u + sin * tangent), b * cos[:, 0], best_h
        scanned, value = _scan_for(neurons, residual, u, best_gradient, rounding)
        b = np.where(value > h + rounding, scanned, b)
        gradient = neurons.gradient(residual, u, b)
        h = neurons.measure(gradient, u)
    return u, b, h


def _uphill(neurons: Neurons, residual: Residual, gradient: Floats, u: Floats, b: Floats) -> Floats:
    """The ascent directions at the patterns of the neurons."""
    g = dual(neurons, gradient, u)

    def kernel(block: Block, rows: Floats) -> tuple[Floats, Floats]:
        slope = neurons.activation.derivative(u @ block.points.T + b[:, None])
        return (g @ rows.T * slope) @ block.points, slope @ block.mass

    return ascent_direction(neurons, gradient, u, *neurons.total(kernel, residual))


def dual(neurons: Neurons, gradient: Floats, u: Floats) -> Floats:
    """g with h = g . G at this neuron and h >= g . G at every other (for ridge neurons g ~ u)."""
    if not neurons.conservative:
        return gradient / np.maximum(np.linalg.norm(gradient, axis=1), _TINY)[:, None]
    if neurons.sign:
        return u
    return np.where(np.einsum("kd,kd->k", gradient, u) < 0, -1.0, 1.0)[:, None] * u


def ascent_direction(
    neurons: Neurons, gradient: Floats, u: Floats, pulled: Floats, active: Floats
) -> Floats:
    """Gradient of h in u at a fixed pattern, up to multiples of u.

    ``pulled`` is ``sum_i sigma'_i (g . R_i) x_i``, ``active`` N.  For free outer weights ``delta N g``
    is to be added; for ridge neurons G, because g = +-u moves along and ``u . (N u)`` does not change.
    """
    g = dual(neurons, gradient, u)
    if neurons.conservative:
        return pulled + np.sign(np.einsum("kd,kd->k", g, u))[:, None] * gradient
    if neurons.divergence:
        return pulled + neurons.divergence * active[:, None] * g
    return pulled


def _scan_for(
    neurons: Neurons, residual: Residual, u: Floats, gradient: Floats, rounding: float
) -> tuple[Floats, Floats]:
    """The bias on the grid with the largest ``g . G`` for the dual g of ``gradient``."""
    g = dual(neurons, gradient, u)
    k = len(u)
    edges, low, width = _edges(neurons, u)

    def kernel(block: Block, rows: Floats) -> tuple[Floats, ...]:
        projection, weight = u @ block.points.T, g @ rows.T
        bins: NDArray[np.int64] = ((projection - (low - width)[:, None]) / width[:, None]).astype(
            int
        )
        np.clip(bins, 0, _BINS, out=bins)
        bins += np.arange(k)[:, None] * (_BINS + 1)
        terms = [weight, weight * projection]
        if neurons.divergence:
            terms.append(np.broadcast_to(block.mass, weight.shape))
        sums = [np.bincount(bins.ravel(), t.ravel(), minlength=k * (_BINS + 1)) for t in terms]
        return tuple(flat.astype(float).reshape(k, _BINS + 1) for flat in sums)

    plain, first, *masses = neurons.total(kernel, residual)
    value = _suffix(first) - edges * _suffix(plain)
    sigma = neurons.activation
    if sigma.negative_slope:
        line = first.sum(axis=1)[:, None] - edges * plain.sum(axis=1)[:, None]
        value = sigma.slope_jump * value + sigma.negative_slope * line
    for mass in masses:
        count = _suffix(mass)
        if sigma.negative_slope:
            count = sigma.slope_jump * count + sigma.negative_slope * mass.sum(axis=1)[:, None]
        value += neurons.divergence * np.einsum("kd,kd->k", g, u)[:, None] * count
    best = first_best(value, rounding)
    rows = np.arange(k)
    return -edges[rows, best], value[rows, best]
