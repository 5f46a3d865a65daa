"""The probability law behind a piecewise-linear score: monotone segments and their masses.

The line is cut at the knots *and* at the zeros of the score, so that the log-density is monotone
on every segment.  A segment is described from its **anchor**, its higher end: at distance ``u``
from the anchor the log-density is ``height - fall * u + slope * u**2 / 2``.  Modes are therefore
reference points themselves, and nothing large is ever subtracted near a mode, however far it lies
from the knots.

A cut that is not a knot is stored as an unevaluated sum ``base + offset``, ``base`` the nearest
float and ``offset`` what that rounding lost.  Distances are ``(x - base) - offset``, which keeps
data such as ``1e8 + N(0, 1)`` at full accuracy.

Masses are added from the left for lower tails and from the right for upper tails, always as sums
of positive terms in log space.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from convexscore.scores.segment_law import (
    log_integral,
    log_tail_integral,
    segment_moments,
    solve_length,
    solve_rest,
)

Array = NDArray[np.float64]
Index = NDArray[np.intp]

# Overflow to -inf is the right answer far out in a tail, and log(0) that of an empty part.
QUIET: Any = {"over": "ignore", "under": "ignore", "divide": "ignore"}
_LARGEST = np.finfo(np.float64).max
# Where the second segment of a piece with one segment starts.
_NEVER = (np.inf, 0.0)


def _log_difference(big: Array, small: Array) -> Array:
    """``log(exp(big) - exp(small))``; ``-inf`` where nothing (or less, by rounding) is left."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(big > small, big + np.log(-np.expm1(small - big)), -np.inf)


@dataclass(frozen=True, eq=False)
class Segments:
    """The monotone segments from left to right, each a row of every array."""

    sign: Array  # +1: the anchor is the left end and the density falls to the right; -1: mirrored
    base: Array  # anchor = base + offset
    offset: Array
    far_base: Array  # the other end, meaningless on the two infinite segments
    far_offset: Array
    width: Array
    fall: Array  # -sign * score at the anchor, >= 0
    far_fall: Array  # the same at the far end
    slope: Array  # of the score
    first: Index  # first segment of each of the K + 1 pieces of the score
    split_base: Array  # per piece: its second segment starts beyond split_base + split_offset,
    split_offset: Array  # infinite for a piece that is a single segment


# A position as an unevaluated sum of two floats.
_Position = tuple[float, float]
# sign, anchor, far end, width, fall, far fall, slope
_Row = tuple[float, _Position, _Position, float, float, float, float]


def _sum(a: float, b: float) -> _Position:
    """``a + b`` rounded, and the rounding error (Knuth's two-sum, exact)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _piece(
    left: float, right: float, score_left: float, score_right: float, slope: float
) -> tuple[list[_Row], _Position]:
    """Rows of the piece between two knots, and where its second segment starts."""
    h = right - left
    at_left, at_right = (left, 0.0), (right, 0.0)
    up, down = abs(score_left), abs(score_right)
    if score_left < 0 < score_right or score_right < 0 < score_left:
        # The score vanishes inside; both widths come from products, not from differences.
        wl, wr = h / (1.0 + down / up), h / (1.0 + up / down)
        cut = _sum(left, wl) if wl < wr else _sum(right, -wr)
        if score_left > 0:  # a mode: both segments hang from the cut
            rows = [
                (-1.0, cut, at_left, wl, 0.0, up, slope),
                (+1.0, cut, at_right, wr, 0.0, down, slope),
            ]
        else:  # an antimode: both segments run down to the cut
            rows = [
                (+1.0, at_left, cut, wl, up, 0.0, slope),
                (-1.0, at_right, cut, wr, down, 0.0, slope),
            ]
        return rows, cut
    if score_left > 0 or score_right > 0:
        return [(-1.0, at_right, at_left, h, down, up, slope)], _NEVER
    return [(+1.0, at_left, at_right, h, up, down, slope)], _NEVER


def _tail(side: float, knot: float, score: float, slope: float) -> tuple[list[_Row], _Position]:
    """Rows of the infinite piece on ``side`` (-1 left, +1 right), and where its second starts."""
    outward = side * score
    at_knot = (knot, 0.0)
    if outward <= 0:
        return [(side, at_knot, at_knot, np.inf, -outward, np.inf, slope)], _NEVER
    # The density still rises at the last knot: its mode lies beyond.
    away = outward / -slope
    mode = _sum(knot, side * away)
    inner = (-side, mode, at_knot, away, 0.0, outward, slope)
    outer = (side, mode, mode, np.inf, 0.0, np.inf, slope)
    return ([inner, outer] if side > 0 else [outer, inner]), mode


def cut_at_zeros(knots: Array, values: Array, slopes: Array) -> Segments:
    """Monotone segments of the score with ``slopes`` (K + 1, tails included).

    A plain loop over pieces: it runs once per law and costs a few microseconds a piece.
    """
    k, v, m = knots.tolist(), values.tolist(), slopes.tolist()
    pieces = [_tail(-1.0, k[0], v[0], m[0])]
    pieces += [_piece(k[i], k[i + 1], v[i], v[i + 1], m[i + 1]) for i in range(len(k) - 1)]
    pieces.append(_tail(+1.0, k[-1], v[-1], m[-1]))
    rows = [row for piece_rows, _ in pieces for row in piece_rows]
    sign, anchor, far, width, fall, far_fall, slope = map(np.array, zip(*rows, strict=True))
    split = np.array([cut for _, cut in pieces])
    counts = np.array([len(piece_rows) for piece_rows, _ in pieces])
    first = np.cumsum(counts) - counts
    columns = (sign, *anchor.T, *far.T, width, fall, far_fall, slope, first, *split.T)
    return Segments(*columns)


@dataclass(frozen=True, eq=False)
class PiecewiseLaw:
    """Law of a continuous piecewise-linear score that is known to be integrable.

    Methods take finite one-dimensional arrays; the public class deals with shapes, infinities
    and NaN.  ``heights`` are unnormalised: the highest mode has 0.
    """

    knots: Array
    segments: Segments

    # ---- construction ------------------------------------------------------------------------

    @cached_property
    def _boundary_heights(self) -> Array:
        """Log-density at the N - 1 ends shared by two segments, relative to the highest."""
        g = self.segments
        inner = slice(1, -1)
        with np.errstate(over="ignore"):
            drop = g.width[inner] * (0.5 * (g.fall[inner] + g.far_fall[inner]))
        if not np.isfinite(drop).all():
            raise ValueError(
                "the log-density of this score changes by more than the largest float between "
                "two knots; rescale the data"
            )
        rise = -g.sign[inner] * drop
        # Sum outwards from the highest point: rounding is smallest where the mass is.
        top = int(np.argmax(np.concatenate([[0.0], np.cumsum(rise)])))
        left = np.cumsum(-rise[:top][::-1])[::-1]
        return np.concatenate([left, [0.0], np.cumsum(rise[top:])])

    @cached_property
    def _heights(self) -> Array:
        """Log-density at the anchor and at the far end of each segment, (2, N)."""
        h = self._boundary_heights
        before, after = np.concatenate([[-np.inf], h]), np.concatenate([h, [-np.inf]])
        return np.where(self.segments.sign > 0, [before, after], [after, before])

    @property
    def _height(self) -> Array:
        return self._heights[0]

    @cached_property
    def _log_raw_mass(self) -> Array:
        g, height = self.segments, self._height  # the heights first: they check the range
        out = np.empty_like(g.width)
        ends = np.array([0, -1])
        out[ends] = log_tail_integral(g.fall[ends], g.slope[ends])
        inner = slice(1, -1)
        with np.errstate(divide="ignore", under="ignore"):
            out[inner] = log_integral(g.width[inner], -g.fall[inner], g.slope[inner])
        return out + height

    @cached_property
    def log_total(self) -> float:
        """Log-integral of the density whose highest mode has height one."""
        return float(logsumexp(self._log_raw_mass))

    @cached_property
    def height_at_first_knot(self) -> float:
        return float(self._boundary_heights[self.segments.first[1] - 1])

    @cached_property
    def _log_left(self) -> Array:
        """Log-mass to the left of each of the N + 1 segment ends."""
        log_mass = self._log_raw_mass - self.log_total
        return np.concatenate([[-np.inf], np.logaddexp.accumulate(log_mass)])

    @cached_property
    def _log_right(self) -> Array:
        log_mass = self._log_raw_mass[::-1] - self.log_total
        return np.concatenate([[-np.inf], np.logaddexp.accumulate(log_mass)])[::-1]

    # ---- evaluation --------------------------------------------------------------------------

    def _locate(self, x: Array) -> tuple[Index, Array]:
        """Segment of each point and its distance from the anchor."""
        g = self.segments
        piece = np.searchsorted(self.knots, x, side="right")
        beyond = x - g.split_base[piece] > g.split_offset[piece]
        j = g.first[piece] + beyond
        u = g.sign[j] * ((x - g.base[j]) - g.offset[j])
        return j, np.clip(u, 0.0, np.minimum(g.width[j], _LARGEST))

    def log_density(self, x: Array) -> Array:
        j, u = self._locate(x)
        return self._log_density_at(j, u) - self.log_total

    def _log_density_at(self, j: Index, u: Array) -> Array:
        g = self.segments
        return self._height[j] - u * (g.fall[j] - 0.5 * g.slope[j] * u)

    def log_cdf(self, x: Array) -> Array:
        return self._log_mass_on_side(x, -1.0, self._log_left[:-1])

    def log_sf(self, x: Array) -> Array:
        return self._log_mass_on_side(x, +1.0, self._log_right[1:])

    def _log_mass_on_side(self, x: Array, side: float, outside: Array) -> Array:
        """Log-mass beyond ``x`` on one side: whole segments plus part of the one that holds x."""
        g = self.segments
        j, u = self._locate(x)
        part = np.full_like(u, -np.inf)
        # The part between x and the anchor ...
        near = np.flatnonzero((g.sign[j] != side) & (u > 0))
        i = j[near]
        part[near] = self._height[i] + log_integral(u[near], -g.fall[i], g.slope[i])
        # ... or between x and the far end, seen from x, where that part is highest.
        beyond = np.flatnonzero((g.sign[j] == side) & np.isinf(g.width[j]))
        i, v = j[beyond], u[beyond]
        rest = log_tail_integral(g.fall[i] - g.slope[i] * v, g.slope[i])
        part[beyond] = self._log_density_at(i, v) + rest
        inside = np.flatnonzero((g.sign[j] == side) & np.isfinite(g.width[j]))
        i = j[inside]
        d = g.sign[i] * (g.far_offset[i] - (x[inside] - g.far_base[i]))
        d = np.clip(d, 0.0, g.width[i])
        inside, i, d = inside[d > 0], i[d > 0], d[d > 0]
        rest = log_integral(d, -(g.far_fall[i] + g.slope[i] * d), g.slope[i])
        part[inside] = self._log_density_at(i, u[inside]) + rest
        return np.minimum(np.logaddexp(part - self.log_total, outside[j]), 0.0)

    def quantile(self, log_lower: Array, log_upper: Array) -> Array:
        """The point with log-mass ``log_lower`` to its left and ``log_upper`` to its right.

        Only the smaller of the two is used, so both tails are resolved to full relative accuracy.
        """
        g = self.segments
        left, right = self._log_left, self._log_right
        from_left = log_lower <= log_upper
        j = np.where(
            from_left,
            np.searchsorted(left[1:], log_lower, side="left"),
            len(g.sign) - 1 - np.searchsorted(right[:-1][::-1], log_upper, side="left"),
        )
        j = np.clip(j, 0, len(g.sign) - 1)
        # Masses of the two parts into which the point cuts its segment.
        before = np.where(
            from_left, _log_difference(log_lower, left[j]), _log_difference(right[j], log_upper)
        )
        after = np.where(
            from_left,
            _log_difference(left[j + 1], log_lower),
            _log_difference(log_upper, right[j + 1]),
        )
        near = np.where(g.sign[j] > 0, before, after) + self.log_total
        far = np.where(g.sign[j] > 0, after, before) + self.log_total
        # Solve for the smaller part: its relative error is what reaches the answer.
        from_anchor = near <= far
        # A large part of the mass up to a far end deep below the anchor is better seen from the
        # anchor, with that part small and the far end close it is better seen from the far end.
        depth = 0.5 * (self._height - self._heights[1])
        rest = ~from_anchor & (far - self._log_raw_mass[j] > -depth[j])
        x = np.empty_like(log_lower)
        for solve, log_part, use in ((solve_length, near, from_anchor), (solve_rest, far, rest)):
            k = np.flatnonzero(use)
            i = j[k]
            rate = -g.fall[i] if use is from_anchor else g.fall[i]
            u = solve(log_part[k] - self._height[i], g.width[i], rate, g.slope[i])
            x[k] = g.base[i] + (g.offset[i] + g.sign[i] * u)
        k = np.flatnonzero(~from_anchor & ~rest)
        i = j[k]
        d = solve_length(far[k] - self._heights[1][i], g.width[i], g.far_fall[i], g.slope[i])
        x[k] = g.far_base[i] + (g.far_offset[i] - g.sign[i] * d)
        return x

    # ---- summaries ---------------------------------------------------------------------------

    @cached_property
    @np.errstate(**QUIET)
    def summary(self) -> tuple[float, float, float]:
        """Mean, variance and entropy."""
        g = self.segments
        weight = np.exp(self._log_raw_mass - self.log_total)
        some = weight > 0  # a segment without mass must not contribute 0 * inf
        weight = weight[some] / weight[some].sum()
        mean, var, drop = segment_moments(g.width[some], g.fall[some], g.slope[some])
        # Positions relative to the anchor of the heaviest segment: no digits lost to the origin.
        main = int(np.argmax(weight))
        base, offset = g.base[some], g.offset[some]
        where = (base - base[main]) + (offset - offset[main]) + g.sign[some] * mean
        centre = float(weight @ where)
        spread = float(weight @ ((where - centre) ** 2 + var))
        entropy = self.log_total + float(weight @ (drop - self._height[some]))
        return float(base[main] + (offset[main] + centre)), spread, entropy
