"""Integrals of a density on an interval against a Gaussian, for noise of any width."""

from __future__ import annotations

import numpy as np

from convexscore.schedules.levels import Level, by_row
from convexscore.targets.inputs import LOG_2PI, Floats, row_blocks
from convexscore.targets.panels import GAUSS_W, GAUSS_X, LogDensity, Panels

# Posterior mass beyond exp(-_REACH² / 2) of its bound is left out.
_REACH = 12.0
# A window at least this many panels wide is integrated on the panels' own nodes.
_WIDE = 4.0
# Otherwise it is cut into this many pieces, and at the edges of panels inside it.
_PIECES = 4


def posterior(
    panels: Panels, log_density: LogDensity, z: Floats, scale: Level, sigma: Level
) -> tuple[Floats, Floats]:
    """log q(z) of Z = scale X + sigma G, and E[X | z], both (n,).

    ``log_density`` is that of the panels before it was normalised; scale and sigma are floats, or
    (n,) with one level a row.
    """
    logs, means = np.full_like(z, np.nan), np.full_like(z, np.nan)
    finite = np.isfinite(z)
    if not finite.all():  # a chain that explodes: its sampler says so
        part = posterior(panels, log_density, z[finite], _of(scale, finite), _of(sigma, finite))
        logs[finite], means[finite] = part
        return logs, means
    widths = np.diff(panels.edges)
    for rows in row_blocks(len(z), (len(widths) + 2 * _PIECES) * len(GAUSS_X)):
        at, a, s = z[rows], _of(scale, rows), _of(sigma, rows)
        low, high = _window(panels, at, a, s)
        covered = (panels.edges[1:] > low[:, None]) & (panels.edges[:-1] < high[:, None])
        wide = high - low >= _WIDE * np.where(covered, widths, 0.0).max(axis=1)
        wide |= high - low >= panels.edges[-1] - panels.edges[0]
        log, mean = np.full(at.shape, -np.inf), np.zeros_like(at)
        if not wide.all():
            x, weights = _window_nodes(panels, log_density, low[~wide], high[~wide])
            log[~wide], mean[~wide] = _average(x, weights, at[~wide], _of(a, ~wide), _of(s, ~wide))
        # A window in a gap of the law holds nothing: then all of the law is looked at.
        wide |= ~(log > -np.inf)
        if wide.any():
            x, weights = panels.nodes.ravel(), panels.log_masses.ravel()
            log[wide], mean[wide] = _average(x, weights, at[wide], _of(a, wide), _of(s, wide))
        logs[rows], means[rows] = log, mean
    return logs - 0.5 * LOG_2PI - np.log(sigma), means


def _of(level: Level, rows: slice | np.ndarray) -> Level:
    return level if isinstance(level, float) else level[rows]


def _window(panels: Panels, z: Floats, scale: Level, sigma: Level) -> tuple[Floats, Floats]:
    """Where x counts: (z - scale x)² up to (``_REACH`` sigma)² beyond the least possible."""
    a, b = panels.edges[0], panels.edges[-1]
    distance = np.maximum(0.0, np.maximum(scale * a - z, z - scale * b))
    # (z - scale x)² <= distance² + (reach sigma)²; the root without cancellation far outside.
    reach = _REACH * sigma
    beyond = reach * (reach / (distance + np.hypot(distance, reach)))
    inside = np.clip(z, scale * a, scale * b)
    # Scale nothing, or next to it: everything counts.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        low = np.where(z > scale * b, inside - beyond, inside - reach) / scale
        high = np.where(z < scale * a, inside + beyond, inside + reach) / scale
    low, high = np.where(scale == 0, a, low), np.where(scale == 0, b, high)
    return np.clip(low, a, b), np.clip(high, a, b)


def _window_nodes(
    panels: Panels, log_density: LogDensity, low: Floats, high: Floats
) -> tuple[Floats, Floats]:
    """Nodes and log of quadrature weight times density, (n, m): windows cut at panel edges."""
    edges = panels.edges
    first = np.searchsorted(edges, low, side="right")
    count = np.searchsorted(edges, high, side="left") - first
    inner = first[:, None] + np.arange(max(0, int(count.max(initial=0))))
    cuts = np.clip(edges[np.minimum(inner, len(edges) - 1)], low[:, None], high[:, None])
    even = low[:, None] + (high - low)[:, None] * np.linspace(0.0, 1.0, _PIECES + 1)
    pieces = np.sort(np.hstack([even, cuts]), axis=1)
    half = 0.5 * np.diff(pieces, axis=1)[:, :, None]
    x = (pieces[:, :-1, None] + half + half * GAUSS_X).reshape(len(low), -1)
    with np.errstate(divide="ignore"):  # pieces of length 0 weigh nothing
        weights = np.log((half * GAUSS_W).reshape(x.shape))
    value = log_density(x.ravel()).reshape(x.shape)
    # Only a node of no weight can fall on a pole, at an end or a break.
    weights += np.where(value < np.inf, value, -np.inf)
    return x, weights - panels.log_total


def _average(
    x: Floats, log_weights: Floats, z: Floats, scale: Level, sigma: Level
) -> tuple[Floats, Floats]:
    """log sum_j W_j exp(-(z - scale x_j)²/(2 sigma²)) and the mean of x under these weights."""
    log_kernel = (z[:, None] - by_row(scale, z[:, None]) * x) / by_row(sigma, z[:, None])
    log_kernel *= log_kernel
    log_kernel *= -0.5
    log_kernel += log_weights
    top = log_kernel.max(axis=1)
    # Without any mass the top is -inf; anything finite gives a zero sum there.
    log_kernel -= np.where(np.isfinite(top), top, 0.0)[:, None]
    kernel = np.exp(log_kernel, out=log_kernel)
    total = kernel.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = kernel @ x if x.ndim == 1 else np.einsum("ij,ij->i", kernel, x)
        return top + np.log(total), mean / total
