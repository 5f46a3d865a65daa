"""The exact small master problem in one dimension: an active-set method on knot values.

With the kinks restricted to a few knots, the score is the piecewise-linear interpolant of its
values v at the knots, and the objective is

    1/2 v'Hv - h'v + sum_k phi_k(kappa_k) + sum_j chi_j(p_j) - tilt * p_0

with H tridiagonal (overlapping hat functions), p_j the slope of segment j, kappa_k = p_k - p_{k-1}
the kink at knot k, and phi, chi convex and piecewise linear with a corner at zero.  For fixed signs
the minimiser is one tridiagonal solve, O(K); signs are found by a primal active-set method: walk
towards the minimiser, stop at the first kink that would change sign, drop it.  Values at knots are
a far better conditioned basis than hinges: H is positive definite with entries of the size of
the mass near each knot, however close the kinks are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from convexscore.solvers.line.data import Bools, Floats, Ints, LineData


@dataclass(frozen=True)
class LinePenalty:
    """Costs of the master problem: everything that is not data.

    ``beta`` is the penalty per neuron, the unit in which violations are measured;
    ``lower <= g_k <= upper[k]`` is the box of the dual; kinks cost -lower per unit upwards
    and upper[k] per unit downwards (upwards: slope grows to the right).  ``tilt`` multiplies the
    first slope.  ``end_up`` are costs of a positive slope of the (first, last) segment; ``monotone``
    forbids positive slopes everywhere.
    """

    beta: float
    lower: float
    upper: Floats
    tilt: float = 0.0
    end_up: tuple[float, float] = (0.0, 0.0)
    monotone: bool = False

    @property
    def constrains_slopes(self) -> bool:
        return self.monotone or max(self.end_up) > 0.0


@dataclass
class Master:
    """State of the restricted problem: knots (first and last candidate included) and values."""

    data: LineData
    penalty: LinePenalty
    knots: Ints
    values: Floats
    signs: Floats  # (K,) of the interior knots
    slope_signs: Floats  # (K + 1,): -1, 0 (held at zero) or +1; only where slopes carry a cost
    moments: Floats  # (5, K + 1) of the points inside each segment

    @classmethod
    def start(cls, data: LineData, penalty: LinePenalty) -> Master:
        knots = np.array([0, data.size - 1], dtype=np.intp)
        moments = data.segment_moments(knots[:-1], knots[1:])
        return cls(data, penalty, knots, np.zeros(2), np.zeros(0), np.zeros(1), moments)

    def moved_to(self, data: LineData, knots: Ints, penalty: LinePenalty) -> Master:
        """The same function and signs on other data (finer, coarser) where its knots are ``knots``."""
        moments = data.segment_moments(knots[:-1], knots[1:])
        values, signs, slope_signs = self.values, self.signs, self.slope_signs
        return Master(
            data, penalty, knots, values.copy(), signs.copy(), slope_signs.copy(), moments
        )

    def charge(self, penalty: LinePenalty) -> None:
        """Another penalty; end slopes that cost nothing before get the sign that they have."""
        free = self.slope_costs() <= 0.0
        self.penalty = penalty
        charged = free & (self.slope_costs() > 0.0)
        if charged.any():
            self.slope_signs = np.where(charged, np.sign(self.slopes), self.slope_signs)

    # ------------------------------------------------------------------ geometry
    @property
    def positions(self) -> Floats:
        return self.data.x[self.knots]

    @property
    def slopes(self) -> Floats:
        return _diff(self.values) / _diff(self.positions)

    @property
    def kinks(self) -> Floats:
        return _diff(self.slopes)

    def slope_costs(self) -> Floats:
        """Cost per unit of positive slope, for each segment."""
        up = np.full(len(self.knots) - 1, np.inf if self.penalty.monotone else 0.0)
        up[0] += self.penalty.end_up[0]
        up[-1] += self.penalty.end_up[1]
        return up

    # ------------------------------------------------------------------ the quadratic problem
    def gram(self) -> tuple[Floats, Floats, Floats]:
        """Diagonal and off-diagonal of H, and h."""
        w0, w1, w2, y0, y1 = self.moments
        diag = self.data.mass[self.knots]
        rhs = self.data.knot_labels(self.knots)
        diag[:-1] += w0 - 2.0 * w1 + w2
        diag[1:] += w2
        rhs[:-1] += y0 - y1
        rhs[1:] += y1
        return diag, w1 - w2, rhs

    def slope_weights(self) -> Floats:
        """Coefficient z_j of slope p_j in the part of the objective that is linear for fixed signs."""
        z = np.zeros(len(self.knots) - 1)
        if self.data.divergence:
            mass = self.data.mass[self.knots]
            # a knot's own mass takes the slope on its left; the cost `upper` of a downward
            # kink already contains what taking the right slope saves
            z += self.moments[0] + mass[1:]
            z[0] += mass[0]
            z *= self.data.divergence
        z[0] -= self.penalty.tilt
        upper = self.penalty.upper[self.knots[1:-1]]
        kink_costs = -np.where(self.signs > 0, self.penalty.lower, upper)
        z[1:] += kink_costs
        z[:-1] -= kink_costs
        if self.penalty.constrains_slopes:
            up = self.slope_costs()
            z += np.where((self.slope_signs > 0) & np.isfinite(up), up, 0.0)
        return z

    def _linear(self, z: Floats) -> Floats:
        per_rise = z / _diff(self.positions)
        out = np.zeros(len(self.knots))
        out[1:] += per_rise
        out[:-1] -= per_rise
        return out

    def held(self) -> Bools:
        """Which segments are fixed at slope zero."""
        if not self.penalty.constrains_slopes:
            return np.zeros(len(self.knots) - 1, dtype=bool)
        return (self.slope_signs == 0) & (self.slope_costs() > 0)

    def minimiser(self) -> Floats:
        """Knot values that minimise the objective for the present signs."""
        diag, off, rhs = self.gram()
        rhs -= self._linear(self.slope_weights())
        held = self.held()
        if not held.any():
            return _solve_tridiagonal(diag, off, rhs)
        # knots joined by a segment of slope zero share one value
        group = np.concatenate(([0], np.cumsum(~held)))
        size = int(group[-1]) + 1
        shared, total = np.zeros(size), np.zeros(size)
        np.add.at(shared, group, diag)
        np.add.at(shared, group[:-1][held], 2.0 * off[held])
        np.add.at(total, group, rhs)
        return _solve_tridiagonal(shared, off[~held], total)[group]

    def objective(self) -> float:
        """Objective at the present values (up to the constant of the data), O(K)."""
        diag, off, rhs = self.gram()
        v = self.values
        quadratic = 0.5 * float(np.dot(diag, v * v)) + float(np.dot(off, v[:-1] * v[1:]))
        return quadratic - float(np.dot(rhs, v)) + float(np.dot(self.slope_weights(), self.slopes))

    def held_multipliers(self) -> Floats:
        """Force per unit slope that holds each flat segment at slope zero (0 on the others)."""
        diag, off, rhs = self.gram()
        v = self.values
        gradient = diag * v - rhs + self._linear(self.slope_weights())
        gradient[:-1] += off * v[1:]
        gradient[1:] += off * v[:-1]
        held = self.held()
        out = np.zeros(len(held))
        running = 0.0
        h = _diff(self.positions)
        for j in range(len(held)):
            running = running + gradient[j] if (j > 0 and held[j - 1]) else gradient[j]
            if held[j]:
                out[j] = running * h[j]
        return out

    # ------------------------------------------------------------------ active set
    def solve(self, max_steps: int = 100_000) -> None:
        """Minimise over the knots; knots whose kink vanishes are dropped."""
        for _ in range(max_steps):
            target = self.minimiser()
            step, kinks_hit, slopes_hit = self._ratio_test(target)
            if step >= 1.0:
                self.values = target
                if not self._release_flat():
                    self._drop_pinned()
                    return
                continue
            self.values = self.values + step * (target - self.values)
            if slopes_hit.any():
                j = int(np.flatnonzero(slopes_hit)[0])
                self.slope_signs[j] = 0.0
                self.values[j + 1] = self.values[j]
            else:
                self.drop(np.flatnonzero(kinks_hit))

    def _ratio_test(self, target: Floats) -> tuple[float, Bools, Bools]:
        h = _diff(self.positions)
        p_now, p_new = _diff(self.values) / h, _diff(target) / h
        k_now, k_new = _diff(p_now) * self.signs, _diff(p_new) * self.signs
        k_now = np.maximum(k_now, 0.0)
        wrong = k_new < 0.0
        kink_steps = np.full(len(k_new), np.inf)
        kink_steps[wrong] = k_now[wrong] / (k_now[wrong] - k_new[wrong])
        slope_steps = np.full(len(h), np.inf)
        if self.penalty.constrains_slopes:
            side = np.where(self.slope_costs() > 0, self.slope_signs, 0.0)
            now, new = np.maximum(p_now * side, 0.0), p_new * side
            bad = new < 0.0
            slope_steps[bad] = now[bad] / (now[bad] - new[bad])
        step = min(1.0, kink_steps.min(initial=np.inf), slope_steps.min(initial=np.inf))
        if step >= 1.0:
            return 1.0, wrong, slope_steps < 1.0
        if step == 0.0:
            # several new knots may want the wrong sign at once: drop the worst of each run
            worst = _worst_of_runs(kink_steps == 0.0, k_new)
            return 0.0, worst, (slope_steps == 0.0) & (not worst.any())
        kink_first = bool(kink_steps.min(initial=np.inf) == step)
        return step, kink_steps == step, (slope_steps == step) & (not kink_first)

    def _release_flat(self) -> bool:
        if not self.penalty.constrains_slopes:
            return False
        held = self.held()
        if not held.any():
            return False
        force = self.held_multipliers()  # subgradient of chi_j at zero: must lie in [0, up]
        up = self.slope_costs()
        scale = 1e-11 * self.penalty.beta
        excess = np.where(held, np.maximum(force - up, -force), -np.inf)
        j = int(np.argmax(excess))
        if excess[j] <= scale:
            return False
        self.slope_signs[j] = 1.0 if force[j] > up[j] else -1.0
        return True

    def _drop_pinned(self) -> None:
        """Knots between two flat segments are no kinks; pricing decides about them afresh."""
        if self.penalty.constrains_slopes:
            held = self.held()
            self.drop(np.flatnonzero(held[:-1] & held[1:]))

    # ------------------------------------------------------------------ knots in, knots out
    def drop(self, which: Ints) -> None:
        """Remove interior knots (indices into the kinks); moments of neighbours are merged."""
        for k in sorted((int(i) for i in which), reverse=True):
            node = k + 1
            x = self.positions
            a, b = x[node] - x[node - 1], x[node + 1] - x[node]
            sa, sb = a / (a + b), b / (a + b)
            saa, sab, sbb = sa * sa, 2.0 * sa * sb, sb * sb
            (m0, n0), (m1, n1), (m2, n2), (y0, z0), (y1, z1) = self.moments[:, node - 1 : node + 1]
            mass = self.data.mass[self.knots[node]]
            label = self.data.knot_labels(self.knots[node : node + 1])[0]
            merged = (
                m0 + n0 + mass,
                sa * m1 + sa * n0 + sb * n1 + sa * mass,
                saa * m2 + saa * n0 + sab * n1 + sbb * n2 + saa * mass,
                y0 + z0 + label,
                sa * y1 + sa * z0 + sb * z1 + sa * label,
            )
            keep = np.arange(len(self.knots)) != node
            self.moments = self.moments[:, keep[:-1]]
            self.moments[:, node - 1] = merged
            # both neighbours have the same slope when a vanished kink is dropped; where rounding
            # says that one is flat and the other not, the sign of the sloping one is kept
            merged_sign = self.slope_signs[node - 1] or self.slope_signs[node]
            self.slope_signs = self.slope_signs[keep[:-1]]
            self.slope_signs[node - 1] = merged_sign
            self.knots, self.values = self.knots[keep], self.values[keep]
            self.signs = self.signs[keep[1:-1]]

    def insert(self, candidates: Ints, signs: Floats) -> None:
        """Add knots (not yet present) with the sign their kink should take."""
        if len(candidates) == 0:
            return
        values = np.interp(self.data.x[candidates], self.positions, self.values)
        segment = np.searchsorted(self.knots, candidates) - 1
        knots = np.concatenate([self.knots, candidates])
        order = np.argsort(knots, kind="stable")
        is_new = np.concatenate([np.zeros(len(self.knots), bool), np.ones(len(candidates), bool)])
        all_signs = np.concatenate([[0.0], self.signs, [0.0], signs])[order]
        self.values = np.concatenate([self.values, values])[order]
        self.signs = all_signs[1:-1]
        # a segment is new when either end is; old segments keep their moments
        parent = np.concatenate([np.arange(len(self.knots)), segment])[order][:-1]
        fresh = is_new[order][:-1] | is_new[order][1:]
        self.knots = knots[order]
        moments = self.moments[:, parent]
        if fresh.any():
            moments[:, fresh] = self.data.segment_moments(
                self.knots[:-1][fresh], self.knots[1:][fresh]
            )
        self.moments = moments
        self.slope_signs = self.slope_signs[parent]


def _worst_of_runs(mask: Bools, badness: Floats) -> Bools:
    """Of each run of consecutive true entries keep the one with the smallest ``badness``."""
    out = np.zeros(len(mask), dtype=bool)
    if not mask.any():
        return out
    index = np.flatnonzero(mask)
    breaks = np.flatnonzero(np.diff(index) > 1) + 1
    for run in np.split(index, breaks):
        out[run[np.argmin(badness[run])]] = True
    return out


def _diff(values: Floats) -> Floats:
    """numpy.diff, which takes longer than the few differences that are needed here."""
    return values[1:] - values[:-1]


def _solve_tridiagonal(diag: Floats, off: Floats, rhs: Floats) -> Floats:
    if len(diag) == 1:
        return rhs / diag[0]
    _, _, solution, info = lapack.dptsv(diag, off, rhs)
    if info != 0:
        raise FloatingPointError(f"tridiagonal master is not positive definite (info={info})")
    return solution
