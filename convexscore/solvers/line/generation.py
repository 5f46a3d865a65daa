"""Column generation on the line: price all kinks, add the violators, re-optimise, repeat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexscore.solvers.line.data import Floats, Ints, LineData
from convexscore.solvers.line.master import LinePenalty, Master

# A round gains nothing when the objective falls by less than this fraction (rounding) and the worst
# violation is no smaller than ever before; so many such rounds in a row end the loop.
_NO_GAIN = 1e-15
_IDLE_ROUNDS = 40


@dataclass(frozen=True)
class Pricing:
    """Violations of the dual box at every candidate; positive means the kink pays."""

    upward: Floats  # lower - g: a kink with growing slope pays
    downward: Floats  # g - upper
    partners: Ints  # upward kinks that must enter together with a downward one (flat pieces)

    @property
    def worst(self) -> float:
        return max(float(self.upward.max(initial=0.0)), float(self.downward.max(initial=0.0)))


@dataclass(frozen=True)
class Progress:
    """How the loop ended: largest violation in units of beta, rounds, and whether tol was met."""

    violation: float
    n_rounds: int
    converged: bool


@dataclass(frozen=True)
class View:
    """The function of a master seen on data: its own, or the full data behind its cells."""

    data: LineData
    penalty: LinePenalty
    knots: Ints

    def gradient(self, master: Master, forces: Floats) -> Floats:
        """Of every candidate strictly between the ends (one pass over the data)."""
        score = self.data.evaluate(self.knots, master.values)
        return self.data.hinge_gradient(score, self.penalty.tilt - float(forces.sum()))[1:-1]


def price(master: Master, view: View | None = None) -> Pricing:
    """Violation of every candidate strictly between the ends."""
    view = view or View(master.data, master.penalty, master.knots)
    forces = _slope_forces(master)
    g = view.gradient(master, forces)
    upper = view.penalty.upper[1:-1]
    partners = np.empty(0, dtype=np.intp)
    if master.penalty.constrains_slopes:
        shift, partners = _slope_shift(master, view.knots, g, upper, forces)
        g = g + shift
    upward = view.penalty.lower - g
    downward = np.subtract(g, upper, out=g)
    return Pricing(upward, downward, partners)


def _slope_forces(master: Master) -> Floats:
    """Multiplier of each segment's slope cost: a subgradient of chi_j at p_j."""
    if not master.penalty.constrains_slopes:
        return np.zeros(len(master.knots) - 1)
    up = master.slope_costs()
    free = np.where((master.slope_signs > 0) & np.isfinite(up), up, 0.0)
    return np.where(master.held(), master.held_multipliers(), free)


def slope_multipliers(master: Master, view: View) -> tuple[float, Floats]:
    """Total slope multiplier and the part of it to the right of every candidate.

    At the extremes the entry is the one that puts the cost of an end slope in the same box as the
    kinks; where slopes are forbidden rather than charged there is nothing to check.
    """
    penalty, forces = view.penalty, _slope_forces(master)
    total = float(forces.sum())
    out = np.zeros(view.data.size)
    g = view.gradient(master, forces)
    upper = penalty.upper[1:-1]
    out[1:-1] = _slope_shift(master, view.knots, g, upper, forces)[0]
    if penalty.monotone:
        out[0] = total
    else:
        out[0] = out[-1] = _right_share(master, g, upper, forces)
    return total, out


def _right_share(master: Master, g: Floats, upper: Floats, forces: Floats) -> float:
    """Part of the multipliers that belongs to the slope at the right end (end costs only)."""
    penalty = master.penalty
    if len(forces) > 1:
        return float(forces[-1])
    if not master.held()[0]:
        return penalty.end_up[1] if master.slope_signs[0] > 0 else 0.0
    # one flat segment carries both ends' costs: any split inside both intervals will do
    high = min(penalty.end_up[1], float(forces[0]))
    low = max(0.0, float(forces[0]) - penalty.end_up[0])
    want = 0.5 * (low + high)
    if len(g):
        want = 0.5 * (float(np.max(penalty.lower - g)) + float(np.min(upper - g)))
    return min(max(want, low), high)


def _slope_shift(
    master: Master, knots: Ints, g: Floats, upper: Floats, forces: Floats
) -> tuple[Floats, Ints]:
    """T(t): total slope multiplier to the right of each candidate, chosen to violate least.

    Costs of the end slopes sit at the ends: T is constant.  Where positive slopes are forbidden the
    multipliers of a flat piece may sit anywhere on it, so T is any non-increasing function between
    the totals at its ends; the smallest such function above ``lower - g`` is best.
    """
    shift = np.zeros(len(g))
    if not master.penalty.monotone:
        shift[:] = _right_share(master, g, upper, forces)
        return shift, np.empty(0, dtype=np.intp)
    held = master.held()
    partners: list[int] = []
    to_right = 0.0
    for j in range(len(knots) - 2, -1, -1):
        a, b = int(knots[j]), int(knots[j + 1])  # candidates a+1 .. b-1 lie inside, index - 1 in g
        inside = slice(a, b - 1)
        if held[j]:
            ceiling = to_right + forces[j]
            floor = min(to_right, ceiling)
            if b - a > 1:
                need = master.penalty.lower - g[inside]
                best = np.maximum.accumulate(need[::-1])[::-1]
                best = np.minimum(np.maximum(best, floor), ceiling)
                shift[inside] = best
                over = g[inside] + best - upper[inside]
                at = int(np.argmax(over))
                if over[at] > 0.0 and best[at] > floor:
                    # a dip: the kink downwards at `at` pays only together with one upwards later
                    partners.append(a + 1 + at + int(np.argmax(need[at:])))
        else:
            shift[inside] = to_right
        # the knot itself sees every segment to its right
        to_right += forces[j]
        if j > 0:
            shift[a - 1] = to_right
    return shift, np.array(sorted(set(partners)), dtype=np.intp)


def violators(pricing: Pricing, threshold: float) -> tuple[Ints, Ints]:
    """Peaks of the runs of candidates that violate their lower and their upper bound."""
    up, down = _peaks(pricing.upward, threshold), _peaks(pricing.downward, threshold)
    if len(pricing.partners):
        up = np.union1d(up, pricing.partners)
    return up, down


def _peaks(violation: Floats, threshold: float) -> Ints:
    """Candidate index of the largest entry in every run above the threshold."""
    above = np.flatnonzero(violation > threshold)
    if len(above) == 0:
        return above
    starts = np.concatenate(([0], np.flatnonzero(np.diff(above) > 1) + 1))
    values = violation[above]
    tops = np.maximum.reduceat(values, starts)
    run = np.zeros(len(above), dtype=np.intp)
    run[starts[1:]] = 1
    run = np.cumsum(run)
    first = np.unique(run[values == tops[run]], return_index=True)[1]
    return above[np.flatnonzero(values == tops[run])[first]] + 1


def improve(master: Master, *, tol: float, max_rounds: int = 2_000) -> Progress:
    """Column generation until no kink of the data violates its bound by more than tol * beta.

    Each round prices every candidate, O(P), adds the peak of each run of violators with the sign it
    asks for and solves the master exactly.  The objective never rises; a round that does not lower it
    falls back to the single worst candidate, which is guaranteed to, and when rounding leaves nothing
    to gain there either the loop ends.
    """
    scale = master.penalty.beta
    master.solve()
    objective = master.objective()
    idle, best = 0, np.inf
    for n_rounds in range(1, max_rounds + 1):
        pricing = price(master)
        worst = pricing.worst / scale
        if worst <= tol:
            return Progress(worst, n_rounds, True)
        up, down = violators(pricing, tol * scale) if not idle else _single(pricing)
        up = _without(up, master.knots)
        down = _without(_without(down, master.knots), up)
        if len(up) + len(down) == 0:
            break
        candidates = np.concatenate([up, down])
        signs = np.concatenate([np.ones(len(up)), -np.ones(len(down))])
        order = np.argsort(candidates)
        master.insert(candidates[order], signs[order])
        master.solve()
        before, objective = objective, master.objective()
        gained = objective < before - _NO_GAIN * abs(before) or worst < best
        idle, best = 0 if gained else idle + 1, min(best, worst)
        if idle > _IDLE_ROUNDS:
            break
    return Progress(price(master).worst / scale, n_rounds, False)


def _without(points: Ints, taken: Ints) -> Ints:
    """Entries of ``points`` that are not in the sorted array ``taken``."""
    if len(points) == 0 or len(taken) == 0:
        return points
    at = np.minimum(np.searchsorted(taken, points), len(taken) - 1)
    return points[taken[at] != points]


def _single(pricing: Pricing) -> tuple[Ints, Ints]:
    """The worst violator alone (with the partners that its pair needs)."""
    if pricing.upward.max(initial=0.0) >= pricing.downward.max(initial=0.0):
        worst = np.array([int(np.argmax(pricing.upward)) + 1])
        return np.union1d(worst, pricing.partners), pricing.partners[:0]
    return pricing.partners, np.array([int(np.argmax(pricing.downward)) + 1])
