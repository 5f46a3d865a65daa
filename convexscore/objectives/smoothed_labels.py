r"""Score of the empirical law blurred by Gaussian noise: expected labels of denoising.

.. math:: l(y) = \sum_i \pi_i(y)\,\frac{x_i - y}{\varepsilon^2},\qquad
          \pi_i(y) \propto m_i \exp\!\left(-\frac{\|y - x_i\|^2}{2\varepsilon^2}\right)

In one dimension sorted points bound the sums to those that count; in two and three dimensions a
KD-tree does; beyond, nearly every block of queries is in reach of everything and sums are dense.
Distances are sums of squared differences, never differences of squares, wherever the noise is
small against the distances, so offsets and tiny noise cost no digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from convexscore._tools.typing import Floats

Indices = NDArray[np.intp]

# Kernel sums are formed in blocks of at most this many numbers (16 MB).
_BLOCK = 1 << 21
# A point this many noise levels (in root of squared distances) behind the nearest counts 1e-31 of it.
_REACH = 12.0
# Boxes around blocks of queries hold a small part of the points only in few dimensions.
_TREE_DIMENSIONS = 3
_TREE_ROWS = 128
# With everything this close (in noise levels) |y|^2 - 2 y.x + |x|^2 loses at most 1e-12, and
# sum_i pi_i x_i - y at most 1e-13.
_PRODUCTS_WITHIN = 100.0
_MEANS_WITHIN = 1000.0


def smoothed_score(
    x: Floats, at: Floats, *, noise: float, sample_weight: Floats | None = None
) -> Floats:
    r"""Score of the empirical law of ``x`` blurred by :math:`N(0, \varepsilon^2 I)`.

    Parameters
    ----------
    x : ndarray of shape (n,) or (n, d)
        The points, n >= 1.
    at : ndarray of shape (k,) or (k, d), as ``x``
        Where the score is asked for; any distance from the points.
    noise : float
        The noise level epsilon > 0, in the units of ``x``.
    sample_weight : ndarray of shape (n,), optional
        Weights >= 0, not all zero.

    Returns
    -------
    ndarray of the shape of ``at``, in 1 / units of ``x``

    Notes
    -----
    Time O(k * points in reach * d), at most O(k n d); memory O((n + k) d) and 16 MB per temporary.
    In d <= 3 points in reach are those less than about 12 noise levels behind the nearest.

    References
    ----------
    Vincent (2011), *A connection between score matching and denoising autoencoders*, section 4.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.objectives.smoothed_labels import smoothed_score
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0]])
    >>> smoothed_score(x, np.array([[0.5, 2.0]]), noise=2.0)  # -(0, 2) / 4 by symmetry
    array([[ 0. , -0.5]])
    """
    weights = np.ones(len(x)) if sample_weight is None else sample_weight
    if not (weights > 0).all():
        x, weights = x[weights > 0], weights[weights > 0]
    # A tiny weight at the nearest point must not hide heavier points behind it.
    reach = float(np.sqrt(_REACH**2 + 2.0 * np.log(weights.max() / weights.min())))
    if x.ndim == 1:
        return _on_the_line(x, at, noise, weights, reach)
    if x.shape[1] == 1:
        return _on_the_line(x[:, 0], at[:, 0], noise, weights, reach)[:, None]
    # A power of two costs no digit and keeps squared distances from over- and underflow.
    unit = 2.0 ** round(log2(noise))
    x, at, noise = x / unit, at / unit, noise / unit
    log_weights = np.log(weights)
    out = np.empty_like(at)
    for rows, near in _blocks(x, at, reach * noise):
        out[rows] = _block_score(x[near], at[rows], noise, log_weights[near])
    out /= unit
    return out


def _on_the_line(x: Floats, at: Floats, noise: float, weights: Floats, reach: float) -> Floats:
    order = np.argsort(x)
    centres, weights = x[order], weights[order]
    out = np.empty(at.size)
    query_order = np.argsort(at)
    block = max(1, _BLOCK // max(1, x.size))
    for start in range(0, at.size, block):
        chosen = query_order[start : start + block]
        y = at[chosen]
        right = np.searchsorted(centres, y).clip(1, x.size - 1) if x.size > 1 else 0
        nearest = np.minimum(np.abs(y - centres[right - 1]), np.abs(y - centres[right])) / noise
        radius = noise * np.hypot(nearest, reach)
        first = int(np.searchsorted(centres, (y - radius).min()))
        last = int(np.searchsorted(centres, (y + radius).max(), side="right"))
        gap = (centres[first:last] - y[:, None]) / noise
        log_weight = -0.5 * gap * gap
        log_weight -= log_weight.max(axis=1, keepdims=True)
        kernel = np.exp(log_weight, out=log_weight)
        kernel *= weights[first:last]
        out[chosen] = (kernel * gap).sum(axis=1) / (kernel.sum(axis=1) * noise)
    return out


def _blocks(x: Floats, at: Floats, reach: float) -> Iterator[tuple[Indices, Indices | slice]]:
    """Blocks of queries with the points that count for them."""
    d = x.shape[1]
    rows = max(1, _BLOCK // max(len(x), d))
    is_local = 4.0 * reach < float(np.ptp(x, axis=0).max())
    if d > _TREE_DIMENSIONS or not is_local:
        for start in range(0, len(at), rows):
            yield np.arange(start, min(start + rows, len(at))), slice(None)
        return
    tree = cKDTree(x)
    nearest = np.asarray(tree.query(at)[0])
    # Leaves of a tree of the queries follow each other in space.
    order = cKDTree(at, leafsize=_TREE_ROWS).indices
    rows = min(rows, _TREE_ROWS)
    for start in range(0, len(at), rows):
        chosen = order[start : start + rows]
        low, high = at[chosen].min(axis=0), at[chosen].max(axis=0)
        radius = float(np.hypot(nearest[chosen].max(), reach)) + 0.5 * float((high - low).max())
        near = tree.query_ball_point(low + 0.5 * (high - low), radius * (1 + 1e-12), p=np.inf)
        yield chosen, np.asarray(near, dtype=np.intp)


def _block_score(x: Floats, y: Floats, noise: float, log_weights: Floats) -> Floats:
    """The formula on all pairs of one block."""
    reference = y.mean(axis=0)
    x_from, y_from = x - reference, y - reference
    square_x = np.einsum("ij,ij->i", x_from, x_from)
    square_y = np.einsum("ij,ij->i", y_from, y_from)
    extent = float(np.sqrt(max(square_x.max(), square_y.max()))) / noise
    if extent <= _PRODUCTS_WITHIN and x.shape[1] > _TREE_DIMENSIONS:
        log_kernel = y_from @ x_from.T
        log_kernel -= 0.5 * square_x
        log_kernel /= noise**2
    else:
        log_kernel = cdist(y, x, "sqeuclidean")
        log_kernel *= -0.5 / noise**2
    log_kernel += log_weights
    log_kernel -= log_kernel.max(axis=1, keepdims=True)
    kernel = np.exp(log_kernel, out=log_kernel)
    total = kernel.sum(axis=1, keepdims=True)
    if extent <= _MEANS_WITHIN:
        return ((kernel @ x_from) / total - y_from) / noise**2
    mean = np.empty_like(y)
    step = max(1, _BLOCK // x.shape[1])
    for row, weight in enumerate(kernel):
        # Differences first: the few points that count are close, however far the others are.
        counts = np.flatnonzero(weight)
        parts = (counts[k : k + step] for k in range(0, counts.size, step))
        mean[row] = np.sum([weight[part] @ (x[part] - y[row]) for part in parts], axis=0)
    return mean / total / noise**2
