r"""Data part of the objective of many ReLU networks of one column, without a matrix of activations.

On sorted points a neuron is active on those before or after its kink, so every sum over points and
active neurons is a difference of prefix sums: O(m log n + n) a run instead of O(n m).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.training.batches import Batch
from convexscore.training.parameters import Weights


def line_terms(weights: Weights, batch: Batch, divergence: float) -> tuple[Floats, Weights]:
    """Value (R,) and gradient of the data part of ReLU networks; points in increasing order."""
    u, b, w = weights.inner[:, :, 0], weights.inner[:, :, 1], weights.outer[:, :, 0]
    runs, n = len(u), batch.size
    x, mass = batch.points[..., 0, :], batch.mass
    position = _positions(x, u, b)
    bins = position + (n + 1) * np.arange(runs)[:, None]
    rising = u >= 0.0
    sign = np.where(rising, w, -w)
    at_left = np.where(rising, 0.0, w)

    def along(jumps: Floats, left: Floats, extra: Floats) -> Floats:
        """Running sums over the kinks, from what holds left of all points."""
        sums = np.bincount(bins.ravel(), jumps.ravel(), runs * (n + 1)).reshape(runs, n + 1)
        sums = sums.astype(np.float64, copy=False)  # integers if there are no neurons
        sums[:, 0] += left.sum(axis=1) + extra
        return np.cumsum(sums[:, :n], axis=1)

    residual = along(sign * u, at_left * u, weights.linear[:, 0, 0])
    residual *= x
    residual += along(sign * b, at_left * b, weights.linear[:, 0, 1])
    residual -= batch.labels[..., 0, :]
    weighted = residual * mass
    value = 0.5 * (residual * weighted).sum(axis=1)

    def active_sums(terms: Floats) -> tuple[Floats, Floats]:
        """Sums over the points where each neuron is active (R, m), and over all points (R, 1)."""
        before = np.zeros((runs, n + 1))
        np.cumsum(np.broadcast_to(terms, (runs, n)), axis=1, out=before[:, 1:])
        total = before[:, n:]
        found = before.ravel()[bins]
        return np.where(rising, total - found, found), total

    level, sum_level = active_sums(weighted)
    moment, sum_moment = active_sums(weighted * x)
    slope_w, slope_u = u * moment + b * level, w * moment
    if divergence:
        count, total = (divergence * sums for sums in active_sums(mass))
        value += (count * u * w).sum(axis=1) + total[:, 0] * weights.linear[:, 0, 0]
        slope_w += count * u
        slope_u += count * w
        sum_moment = sum_moment + total
    inner, linear = (
        np.stack([slope_u, w * level], axis=2),
        np.stack([sum_moment, sum_level], axis=2),
    )
    return value, Weights(inner, slope_w[:, :, None], linear)


def _positions(x: Floats, u: Floats, b: Floats) -> NDArray[np.intp]:
    """Number of points left of each kink (R, m); neurons with u = 0 are on or off everywhere."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        kink = np.where(u == 0.0, np.where(b >= 0.0, -np.inf, np.inf), -b / u)
    if x.ndim == 1:
        return np.searchsorted(x, kink)
    return np.stack([np.searchsorted(points, at) for points, at in zip(x, kink, strict=True)])
