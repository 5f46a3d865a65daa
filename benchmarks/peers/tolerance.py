"""The loosest tolerance at which a solver reaches a gap: nobody is timed at more accuracy than asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Row, Timing, measure

Floats = NDArray[np.float64]

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
            "seconds": self.timing.wall,
            "CPU seconds": self.timing.cpu,
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
