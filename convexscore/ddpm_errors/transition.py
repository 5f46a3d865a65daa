r"""The exact density of a one-dimensional DDPM run, propagated step by step by quadrature.

One step of `convexscore.samplers.ddpm` maps x to :math:`m(x) + \sqrt v\, z`, so that

.. math:: p_{k+1}(y) = \int p_k(x)\, N(y;\, m_k(x),\, v_k)\, dx .

The integrand is smooth on the scale of the noise of this step and of the one before: the
trapezoidal rule with nodes a fraction of that apart converges exponentially. Every step chooses its
own nodes, and densities are evaluated there, never interpolated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_scores
from convexscore.ddpm_errors.line_densities import (
    REACH,
    EvenGrid,
    LogDensity,
    total_variation,
)
from convexscore.schedules.levels import LevelScore
from convexscore.schedules.time_grids import TimeGrid
from convexscore.targets.inputs import row_blocks

# Kernels are summed up to this many standard deviations: what is left out is below 1e-31.
_BAND = 12.0
_DROP = 1e-18
# Spacing of the nodes in units of the narrowest width: the second halves the first, and if their
# densities differ, as they do where a score has kinks, the next ones follow.
_FINENESS = (0.7, 0.5, 0.25, 0.125, 0.0625, 0.03125)
_SQRT_2PI = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True)
class Start:
    """Law of the first states: log-density, where its mass is, and its narrowest detail."""

    log_density: LogDensity
    low: float
    high: float
    width: float


def standard_normal() -> Start:
    return Start(
        log_density=lambda x: -0.5 * x**2 - np.log(_SQRT_2PI), low=-REACH, high=REACH, width=1.0
    )


@dataclass(frozen=True, eq=False)
class GaussianSources:
    """A density as a sum of Gaussians of one variance, and where its mass is."""

    weights: Floats
    means: Floats
    variance: float
    low: float
    high: float
    accuracy: float = np.nan

    def on(self, grid: EvenGrid) -> Floats:
        """Density on an even grid, O(n band): every source reaches the same number of nodes.

        From one node to the next a Gaussian changes by a factor that itself changes by a constant
        factor: all values follow from one exponential a source.
        """
        std, h = np.sqrt(self.variance), grid.spacing
        half, ratio = int(np.ceil(_BAND * std / h)), h / std
        nearest = np.rint((self.means - grid.low) / h)
        inside = (nearest >= -half) & (nearest <= grid.n - 1 + half)
        nearest = nearest[inside]
        shift = (grid.low + nearest * h - self.means[inside]) / std
        centre = self.weights[inside] * np.exp(-0.5 * shift**2)
        middle = nearest.astype(np.intp) + 2 * half  # no index falls below 0
        out = np.zeros(grid.n + 4 * half + 1)
        out += np.bincount(middle, centre, minlength=out.size)
        for side in (1, -1):
            value, at, slope = centre.copy(), middle.copy(), np.exp(-side * ratio * shift)
            for j in range(half):
                value *= slope
                value *= np.exp(-(ratio**2) * (j + 0.5))
                at += side
                out += np.bincount(at, value, minlength=out.size)
        density: Floats = out[2 * half : 2 * half + grid.n] / (std * _SQRT_2PI)
        return density

    def at(self, x: Floats) -> Floats:
        """Density at any points (n,), O(n sources)."""
        std = np.sqrt(self.variance)
        out = np.empty(x.shape)
        for rows in row_blocks(x.size, self.means.size):
            z = (x[rows, None] - self.means) / std
            out[rows] = np.exp(-0.5 * z * z) @ self.weights
        return out / (std * _SQRT_2PI)


Cover = Callable[[float], tuple[float, float]]


def converged_chain(
    score: LevelScore, grid: TimeGrid, start: Start, cover: Cover | None, tol: float
) -> GaussianSources:
    """Law of the last state of a DDPM run, with nodes halved until it changes by at most ``tol``.

    Parameters
    ----------
    cover : callable, optional
        Interval of x at time t in which the density is kept even where it is tiny.
    tol : float
        In total variation.

    Raises
    ------
    ValueError
        If that takes too many nodes, or the score is not finite or of another shape.
    """
    last = propagate(score, grid, start, cover, _FINENESS[0])
    for k, fineness in enumerate(_FINENESS[1:], start=1):
        found = propagate(score, grid, start, cover, fineness)
        spacing = fineness * np.sqrt(found.variance)
        nodes = EvenGrid.covering(found.low, found.high, spacing)
        density = found.on(nodes)
        lost = abs(nodes.spacing * float(density.sum()) - 1)
        change = max(lost, total_variation(density, last.on(nodes), nodes.spacing))
        if change <= tol:
            return replace(found, accuracy=change)
        # Corners of the score leave an error of second order in the spacing; with jumps it is of
        # the first, and the finest nodes will not do either.
        if k > 1 and change > 16 * tol * 4.0 ** (len(_FINENESS) - 1 - k):
            break
        last = found
    raise ValueError(
        f"the law of the run is known only to {change:.2g} in total variation, and tol={tol:g}: "
        f"the score has jumps or very sharp corners. Raise tol, or smooth the score."
    )


def propagate(
    score: LevelScore, grid: TimeGrid, start: Start, cover: Cover | None, fineness: float
) -> GaussianSources:
    """Law of the last state of a DDPM run, nodes ``fineness`` of the narrowest width apart."""
    density: Callable[[EvenGrid], Floats] = lambda nodes: np.exp(start.log_density(nodes.points))  # noqa: E731
    low, high = _hull((start.low, start.high), cover, grid.horizon)
    width = start.width
    for t, t_next, gamma in zip(grid.times[:-1], grid.times[1:], grid.steps, strict=True):
        growth, drift = np.exp(gamma), 2 * np.expm1(gamma)
        variance = float(np.expm1(2 * gamma))
        std = float(np.sqrt(variance))

        def image(x: Floats, t: float = float(t), a: float = growth, b: float = drift) -> Floats:
            return a * x + b * score_at(score, x, t)

        nodes, weights, means = _resolve_image(
            image, density, EvenGrid.covering(low, high, fineness * min(width, std)), fineness * std
        )
        lost = abs(float(weights.sum()) - 1)
        if lost > 1e-2:
            raise ValueError(
                f"the law of the run has mass {weights.sum():.6g} instead of 1 at time {t:g}: its "
                f"details are narrower than the noise of its steps. Take more steps, or a score "
                f"that is smooth in x."
            )
        keep = _kept(weights, nodes, None if cover is None else cover(float(t)))
        weights, means = weights[keep], means[keep]
        low, high = float(means.min()) - REACH * std, float(means.max()) + REACH * std
        low, high = _hull((low, high), cover, float(t_next))
        last = GaussianSources(weights, means, variance, low, high)
        density, width = last.on, std
    return last


def score_at(score: LevelScore, x: Floats, t: float) -> Floats:
    """The score at points (n,), refused if its shape or its values are not those of a score."""
    hint = f"It is called at t = {t:g}: the density of the run is integrated over all x, also far away."
    return check_scores(score(x, t), x, hint=hint)


def _hull(interval: tuple[float, float], cover: Cover | None, t: float) -> tuple[float, float]:
    low, high = interval
    if cover is None:
        return low, high
    other = cover(t)
    return min(low, other[0]), max(high, other[1])


def _resolve_image(
    image: Callable[[Floats], Floats],
    density: Callable[[EvenGrid], Floats],
    nodes: EvenGrid,
    gap: float,
) -> tuple[EvenGrid, Floats, Floats]:
    """Nodes so dense that neighbours land within ``gap``; their masses and images.

    Neighbours that carry no mass may land where they like: between far modes the score can be
    arbitrarily steep.
    """
    last = np.inf
    while True:
        weights, means = nodes.spacing * density(nodes), image(nodes.points)
        heavy = weights > _DROP
        apart = np.abs(np.diff(means))[heavy[:-1] | heavy[1:]]
        widest = float(apart.max(initial=0.0))
        # At a jump of the score neighbours stay apart, however near they are.
        if widest <= gap or widest > 0.75 * last:
            return nodes, weights, means
        factor = float(np.clip(1.05 * widest / gap, 1.5, 4.0))
        last = widest
        nodes = EvenGrid.covering(nodes.low, nodes.high, nodes.spacing / factor)


def _kept(weights: Floats, nodes: EvenGrid, cover: tuple[float, float] | None) -> slice:
    """The nodes between the tails of negligible mass, and those in the interval to be covered."""
    first = int(np.searchsorted(np.cumsum(weights), _DROP))
    last = nodes.n - int(np.searchsorted(np.cumsum(weights[::-1]), _DROP))
    if cover is not None:
        first = min(first, int(max(0, np.floor((cover[0] - nodes.low) / nodes.spacing))))
        last = max(last, int(min(nodes.n, np.ceil((cover[1] - nodes.low) / nodes.spacing) + 1)))
    return slice(min(first, nodes.n - 1), max(last, first + 1))
