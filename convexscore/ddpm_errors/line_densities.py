"""Densities on even grids of the line: nodes, distances, and where a law has its mass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from convexscore._tools.typing import Floats

LogDensity: TypeAlias = Callable[[Floats], Floats]

# Above this many nodes a density is refused rather than computed for minutes.
MAX_NODES = 1 << 18
# A Gaussian beyond this many standard deviations (mass 2e-17) does not count.
REACH = 8.5
# Densities below this are not told from zero: neighbours further than 12 standard deviations away,
# which are left out, may weigh as much.
TINY = 1e-28
_TAIL = 1e-17
_MASS_ERROR = 1e-8
_N_DRAWS = 4096


@dataclass(frozen=True)
class EvenGrid:
    """Nodes ``low + i * spacing``, i < n; the trapezoidal rule on them has weights ``spacing``."""

    low: float
    spacing: float
    n: int

    @classmethod
    def covering(cls, low: float, high: float, spacing: float) -> EvenGrid:
        """The grid of at most this spacing whose ends are ``low`` and ``high``."""
        # float division first: the number of intervals may not fit an int
        intervals = np.ceil((high - low) / spacing)
        if not intervals < MAX_NODES:
            raise ValueError(
                f"a density between {low:.4g} and {high:.4g} with details of width {spacing:.2g} "
                f"needs {intervals:.2g} nodes; at most {MAX_NODES} are used. Standardise the law "
                f"(the process is in units of its noise, which tends to 1), end the grid of times "
                f"earlier, or take a score that does not push the chains away."
            )
        n = max(2, int(intervals) + 1)
        return cls(low, (high - low) / (n - 1), n)

    @property
    def high(self) -> float:
        return self.low + self.spacing * (self.n - 1)

    @property
    def points(self) -> Floats:
        nodes: Floats = self.low + self.spacing * np.arange(self.n, dtype=np.float64)
        return nodes


@dataclass(frozen=True)
class Distance:
    r"""How far a law p is from a reference q.

    Attributes
    ----------
    tv : float
        Total variation :math:`\tfrac12\int|p - q|`, in [0, 1].
    kl : float
        :math:`KL(q \| p) = \int q \log(q/p)`, the direction of the theorems. NaN if q has so much
        mass where p is too small to be computed (below 1e-28) that it is not known to a percent.
    w2 : float
        Wasserstein distance :math:`W_2`, in units of x; rounding adds about 1e-8 of the range.
    """

    tv: float
    kl: float
    w2: float

    def __repr__(self) -> str:
        return f"Distance(tv={self.tv:.4g}, kl={self.kl:.4g}, w2={self.w2:.4g})"


def distance(q: Floats, p: Floats, spacing: float) -> Distance:
    """Distance of p from the reference q, both on the same even grid."""
    return Distance(
        tv=total_variation(q, p, spacing),
        kl=kullback_leibler(q, p, spacing),
        w2=wasserstein_2(q, p, spacing),
    )


def total_variation(q: Floats, p: Floats, spacing: float) -> float:
    """Half the integral of |p - q|, its corners at the crossings taken into account."""
    d = p - q
    total = np.abs(d).sum() * spacing
    # At a crossing |d| has a corner with a jump of slope J = 2 (|a| + |b|) / h, at the share
    # |a| / (|a| + |b|) of the cell: the trapezoidal rule errs there by the second Bernoulli
    # polynomial of that share times J h² / 2, and by higher orders elsewhere.
    a, b = np.abs(d[:-1]), np.abs(d[1:])
    crossed = d[:-1] * d[1:] < 0
    a, b = a[crossed], b[crossed]
    share = a / (a + b)
    total -= ((share * (1 - share) - 1 / 6) * (a + b)).sum() * spacing
    return float(np.clip(0.5 * total, 0.0, 1.0))


def kullback_leibler(q: Floats, p: Floats, spacing: float) -> float:
    """KL(q || p) = integral of p - q - q log(p / q): no cancellation for p near q."""
    unknown = spacing * float(q[p < TINY].sum())
    q, p = q[q > 0], p[q > 0]
    p = np.maximum(p, np.minimum(q, TINY))
    log_ratio = np.log(p) - np.log(q)
    near = np.abs(log_ratio) < 0.5
    log_ratio[near] = np.log1p((p[near] - q[near]) / q[near])
    value = float(spacing * (p - q - q * log_ratio).sum())
    # Where p is unknown -log p was taken for 64; by how much it is larger can only be guessed.
    return value if 100 * unknown <= 0.01 * value or unknown < 1e-15 else float("nan")


def wasserstein_2(q: Floats, p: Floats, spacing: float) -> float:
    """W₂ of the two piecewise-linear distribution functions, exactly."""
    x = spacing * np.arange(q.size)
    cdfs = [_cdf(density, spacing) for density in (q, p)]
    levels = np.union1d(*cdfs)
    half = 0.5 * np.diff(levels)
    # Between levels the quantiles are linear: two Gauss points integrate their squares exactly, and
    # never fall on a jump.
    total = 0.0
    for node in (-1 / np.sqrt(3), 1 / np.sqrt(3)):
        u = levels[:-1] + half * (1 + node)
        gap = np.interp(u, cdfs[0], x) - np.interp(u, cdfs[1], x)
        total += float((half * gap**2).sum())
    return float(np.sqrt(total))


def _cdf(density: Floats, spacing: float) -> Floats:
    cells = 0.5 * spacing * (density[:-1] + density[1:])
    cumulative = np.concatenate([[0.0], np.cumsum(cells)])
    normalised: Floats = cumulative / cumulative[-1]
    # levels next to zero would have quantile functions of infinite slope
    return np.where(normalised < 1e-20, 0.0, normalised)


def bulk(target: Any) -> tuple[float, float]:
    """An interval that holds all but about 1e-17 of a one-dimensional target.

    It starts from draws; a component so rare and so far that they miss it shows up as missing mass
    (see `resolved`).
    """
    draws = np.asarray(target.sample(_N_DRAWS, random_state=0), dtype=np.float64)
    low, high = float(draws.min()), float(draws.max())
    width = max(high - low, np.finfo(float).tiny)
    step = 0.1 * width
    for _ in range(80):
        ends = np.exp(target.log_density(np.array([low, high])))
        open_ends = ends * width > _TAIL
        if not open_ends.any():
            break
        low, high = low - step * open_ends[0], high + step * open_ends[1]
        step *= 1.1
    return low, high


def resolved(
    log_density: LogDensity, low: float, high: float, spacing: float, *, name: str
) -> tuple[EvenGrid, Floats]:
    """A grid on which the trapezoidal rule finds mass 1, at this spacing or finer, and the density.

    Raises
    ------
    ValueError
        If the mass is not 1 on any grid.
    """
    last = np.inf
    grid = EvenGrid.covering(low, high, spacing)
    while True:
        density = np.exp(log_density(grid.points))
        mass = float(grid.spacing * density.sum())
        error = abs(mass - 1)
        if error <= _MASS_ERROR and last <= _MASS_ERROR:
            return grid, density
        if 2 * grid.n > MAX_NODES:
            raise ValueError(
                f"the density of {name} integrates to {mass:.9g} between {low:.4g} and {high:.4g}, "
                f"not to 1: it has jumps, tails too heavy, or a part so rare and far away that "
                f"{_N_DRAWS} draws miss it. Take a later last time, or cut the law to where its "
                f"mass is."
            )
        last = error
        grid = EvenGrid(low, 0.5 * grid.spacing, 2 * grid.n - 1)
