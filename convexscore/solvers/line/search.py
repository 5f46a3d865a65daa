"""Solve any problem on the line: column generation inside a scalar search, on cells when large.

Without skip connection one number couples all kinks: q, the slope that they cannot produce at their
own cost.  Its multiplier, the tilt, is found by safeguarded Newton steps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from convexscore.solvers.line.cases import LineCase
from convexscore.solvers.line.data import Floats, Ints, LineData, compress, refine
from convexscore.solvers.line.generation import Progress, View, improve, price, violators
from convexscore.solvers.line.master import Master

# Above this size the problem is first solved on cells, then near the kinks found, then exactly.
_COARSE_ABOVE = 20_000
_COARSE_CELLS = 4_096
_MOST_OPEN = 50_000
_MAX_TILT_STEPS = 60


@dataclass(frozen=True)
class LineSolution:
    """Optimum in terms of knots of the data: everything the network is assembled from."""

    case: LineCase
    beta: float
    knots: Ints
    values: Floats
    signs: Floats
    tilt: float
    line_weight: float  # q: slope carried by neurons at the ends (no skip)
    progress: Progress


def excess_slope(master: Master, case: LineCase, side: float) -> float:
    """q on the branch of positive (negative) tilt: minus the one-sided derivative of the dual."""
    slopes = master.slopes
    facing = np.copysign(case.activation.odd / case.activation.even, 1.0 if side > 0.0 else -1.0)
    q = float(slopes[0]) + 0.5 * float(np.dot(master.kinks, 1.0 + facing * master.signs))
    if case.constraint == "density":  # positive slopes end at the extremes
        signs = np.where(master.slope_costs() > 0.0, master.slope_signs, slopes)[[0, -1]]
        q -= 0.5 * (1.0 - facing) * float(slopes[[0, -1]][signs > 0.0].sum())
    return q


def _newton_target(master: Master, case: LineCase, side: float) -> float:
    """Tilt at which q vanishes if no sign changes on the way (infinite when q does not respond)."""
    tilt, beta = master.penalty.tilt, master.penalty.beta
    step = np.copysign(1.0 + abs(tilt), side)
    q = excess_slope(master, case, side)
    # q is affine in the tilt for fixed signs, so a difference over a long step is exact
    moved = replace(master)
    moved.charge(case.penalty(master.data, beta, tilt + step))
    moved.values = moved.minimiser()
    response = (excess_slope(moved, case, side) - q) / step
    return tilt - q / response if response > 0.0 else np.copysign(np.inf, -q)


class _TiltSearch:
    """Maximise the concave dual function over the tilt; the master stays warm throughout.

    q is a non-decreasing, piecewise-linear function of the tilt: Newton steps inside a bracket.
    Unless sigma is even the dual function has a corner at zero, where q jumps.
    """

    def __init__(self, master: Master, case: LineCase, beta: float, tol: float) -> None:
        self.master, self.case, self.beta, self.tol = master, case, beta, tol
        self.progress = Progress(np.inf, 0, False)
        self.rounds = 0

    def solve_at(self, tilt: float) -> None:
        self.master.charge(self.case.penalty(self.master.data, self.beta, tilt))
        self.progress = improve(self.master, tol=self.tol)
        self.rounds += self.progress.n_rounds

    def excess(self, side: float) -> float:
        q = excess_slope(self.master, self.case, side)
        size = float(np.abs(self.master.slopes).max()) + float(np.abs(self.master.kinks).sum())
        return 0.0 if abs(q) <= 1e-13 * size else q

    def run(self, low: float, high: float, guess: float) -> float:
        corner = self.case.activation.odd > 0.0 and low <= 0.0 <= high
        low_done = high_done = False
        tilt = min(max(guess, low), high)
        for _ in range(_MAX_TILT_STEPS):
            self.solve_at(tilt)
            side = tilt
            if corner and tilt == 0.0:
                # the derivative jumps here: optimal unless one of the sides wants to move
                side = 1.0 if self.excess(1.0) < 0.0 else -1.0 if self.excess(-1.0) > 0.0 else 0.0
                if side == 0.0:
                    return tilt
            q = self.excess(side)
            if q == 0.0 or (q < 0.0 and tilt == high) or (q > 0.0 and tilt == low):
                return tilt
            if q < 0.0:
                low, low_done = tilt, True
            else:
                high, high_done = tilt, True
            target = min(max(_newton_target(self.master, self.case, side), low), high)
            if corner and tilt * target < 0.0:
                target = 0.0
            if (target == low and low_done) or (target == high and high_done):
                target = 0.5 * (low + high)
            if target in (low, high) and low_done and high_done:
                return tilt
            tilt = target
        return tilt


@dataclass
class WarmStart:
    """Where a solve ended: the master, the multiplier, and what its data are.

    ``candidates`` are the positions of the master's candidates in the full data when it works on
    cells, None when it works on the data themselves.
    """

    master: Master
    tilt: float
    candidates: Ints | None

    @property
    def knots(self) -> Ints:
        """Knots as positions in the full data."""
        return self.master.knots if self.candidates is None else self.candidates[self.master.knots]

    def view(self, data: LineData, case: LineCase) -> View:
        """The master's function on the full data."""
        return View(data, case.penalty(data, self.master.penalty.beta, self.tilt), self.knots)


def solve_line(
    data: LineData,
    case: LineCase,
    beta: float,
    *,
    tol: float = 1e-10,
    warm: WarmStart | None = None,
) -> tuple[LineSolution, WarmStart]:
    """Global optimum of one problem.

    Complexity: O(P) per pricing round plus O(K) per active-set step, P distinct values and K kinks;
    memory O(P).  Large data are solved on cells: a round is then O(cells), and the full data are
    priced only when the cells have nothing left to gain; cells with a violation are opened.
    ``warm`` is the end of a solve for a neighbouring beta on the same data.
    """
    state = warm or _start(data, case, beta)
    rounds = 0
    tilt_range = case.tilt_range(data, beta)
    while True:
        search = _TiltSearch(state.master, case, beta, tol)
        state.tilt = search.run(*tilt_range, state.tilt)
        rounds += search.rounds
        progress = search.progress
        if state.candidates is None:
            break
        opened = _cells_next_to_kinks(state)
        if len(opened) == 0:
            pricing = price(state.master, state.view(data, case))
            worst = pricing.worst / beta
            progress = Progress(worst, 0, worst <= tol)
            rounds += 1
            if progress.converged:
                break
            opened = _cells_around(state, np.concatenate(violators(pricing, tol * beta)))
        state = _open(state, data, case, beta, opened)
    solution = LineSolution(
        case=case,
        beta=beta,
        knots=state.knots.copy(),
        values=state.master.values.copy(),
        signs=state.master.signs.copy(),
        tilt=state.tilt,
        line_weight=_line_weight(search, state.tilt, *tilt_range),
        progress=replace(progress, n_rounds=rounds),
    )
    return solution, state


def _line_weight(search: _TiltSearch, tilt: float, low: float, high: float) -> float:
    """q, which is nonzero only where the tilt sits at one of its bounds."""
    if low < tilt < high or low >= high or (tilt == 0.0 and search.case.constraint):
        return 0.0
    return search.excess(tilt)


def _start(data: LineData, case: LineCase, beta: float) -> WarmStart:
    if data.size <= _COARSE_ABOVE:
        return WarmStart(Master.start(data, case.penalty(data, beta, 0.0)), 0.0, None)
    candidates = np.unique(np.linspace(0, data.size - 1, _COARSE_CELLS).astype(np.intp))
    coarse = compress(data, candidates)
    return WarmStart(Master.start(coarse, case.penalty(coarse, beta, 0.0)), 0.0, candidates)


def _open(state: WarmStart, data: LineData, case: LineCase, beta: float, opened: Ints) -> WarmStart:
    """Open cells down to single points; with too many (or none to open) go to the full data."""
    assert state.candidates is not None
    knots = state.knots
    if len(opened) == 0 or len(opened) + len(state.candidates) > max(_MOST_OPEN, data.size // 4):
        master = state.master.moved_to(data, knots, case.penalty(data, beta, state.tilt))
        return WarmStart(master, state.tilt, None)
    finer, candidates = refine(data, state.master.data, state.candidates, opened)
    penalty = case.penalty(finer, beta, state.tilt)
    master = state.master.moved_to(finer, np.searchsorted(candidates, knots), penalty)
    return WarmStart(master, state.tilt, candidates)


def _cells_next_to_kinks(state: WarmStart) -> Ints:
    """All points of the closed cells on both sides of each kink."""
    kinks = state.master.knots[1:-1]
    return _points_inside(state, np.unique(np.concatenate([kinks - 1, kinks])))


def _cells_around(state: WarmStart, points: Ints) -> Ints:
    """All points of the closed cells that contain these positions of the full data."""
    assert state.candidates is not None
    cells = np.searchsorted(state.candidates, points, side="right") - 1
    return _points_inside(state, np.unique(cells))


def _points_inside(state: WarmStart, cells: Ints) -> Ints:
    assert state.candidates is not None
    a, b = state.candidates[cells], state.candidates[cells + 1]
    closed = b - a > 1
    pieces = [np.arange(i, j, dtype=np.intp) for i, j in zip(a[closed], b[closed], strict=True)]
    return np.concatenate(pieces) if pieces else np.empty(0, dtype=np.intp)
