"""The loosest tolerance at which a solver reaches a gap: nobody is timed at more accuracy than asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Check, Floats, Row, Timing, measure

# CPU seconds from which on one measurement is enough.
_LONG = 2.0


@dataclass(frozen=True)
class Reached:
    """The solution at the last tolerance that was tried, timed there, and its gap."""

    weights: Floats
    timing: Timing
    gap: float
    tol: float
    wanted: float

    @property
    def row(self) -> Row:
        """What both tables of solvers show."""
        active = self.weights.reshape(len(self.weights), -1).any(axis=1)
        return {
            **self.timing.row,
            "gap to the optimum": self.gap,
            "reached": bool(self.gap <= self.wanted),
            "neurons": int(np.count_nonzero(active)),
            "tol": self.tol,
        }


def climb(
    solve: Callable[[float], Floats], gap_of: Callable[[Floats], float], ladder: Any
) -> Reached:
    """Solve at tighter and tighter tolerances, in steps of sqrt(10), until the gap is reached.

    ``ladder`` are settings with gap, loosest_tol, tightest_tol and patience, the CPU seconds after which
    no other tolerance is tried.
    """
    tol, spent, gap = ladder.loosest_tol, 0.0, np.inf
    while gap > ladder.gap and tol >= ladder.tightest_tol and spent < ladder.patience:
        used = tol
        timing, weights = measure(partial(solve, used), repeats=1, warmup=0)
        gap = gap_of(weights)
        spent += timing.cpu
        tol /= np.sqrt(10.0)
    if timing.cpu < _LONG:
        timing, weights = measure(partial(solve, used), repeats=3, warmup=0)
    return Reached(weights, timing, gap, used, ladder.gap)


def checks_of_the_best(rows: list[Row], n: int, aim: float) -> list[Check]:
    """The fastest of the others at one size, by wall and by CPU time; none without others."""
    here = [row for row in rows if row["n"] == n and row["solver"] != "convexscore"]
    checks = []
    for key in ("seconds / ours", "CPU / ours") if here else ():
        best = min(here, key=lambda row: row[key])
        text = f"n = {n}: {best['solver']} (the best of the others), {key}"
        checks.append(Check(text, best[key], aim, at_least=True, timing=True))
    return checks


def notes_on_peers(
    rows: list[Row], missing: dict[str, str], patience: float, also: str = ""
) -> list[str]:
    """Who was left out, and who stopped short of the gap."""
    notes = [f"{name} left out: {reason}." for name, reason in missing.items()]
    short = [f"{row['solver']} at n = {row['n']}" for row in rows if not row["reached"]]
    if short:
        notes.append(
            f"Did not reach the gap in {patience:g} CPU seconds or at the tightest tol: "
            f"{', '.join(short)}; their ratios are lower bounds{also}."
        )
    return notes
