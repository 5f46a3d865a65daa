"""What importing the package and the first fit of a fresh process cost."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.harness import PYTHON, Check, Report, child_environment

TITLE = "import convexscore and a first fit, each in fresh processes"

_DATA = "import numpy as np; x = np.random.default_rng(0).normal(size=1000); "
PROGRAMS = {
    "python alone": "pass",
    "import numpy": "import numpy",
    "import convexscore": "import numpy, convexscore",
    "from convexscore import fit_convex_score": "from convexscore import fit_convex_score",
    "first fit, beta given": _DATA
    + "from convexscore import fit_convex_score; fit_convex_score(x, beta=30.0)",
    "first fit, default (cross-validated)": _DATA
    + "from convexscore import fit_convex_score; fit_convex_score(x, random_state=0)",
}


@dataclass(frozen=True)
class Settings:
    repeats: int
    warmups: int


FULL = Settings(repeats=9, warmups=1)
QUICK = Settings(repeats=1, warmups=0)


def run(settings: Settings, seed: int) -> Report:
    """Whole-process wall times, the programs taking turns so that a busy spell hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for repeat in range(-settings.warmups, settings.repeats):
        for name, code in PROGRAMS.items():
            started = perf_counter()
            subprocess.run([PYTHON, "-c", code], env=child_environment(), check=True)
            if repeat >= 0:  # a warm-up round compiles bytecode and fills the file cache
                seconds[name].append(perf_counter() - started)
    floor = median(seconds["import numpy"])
    rows = [
        {
            "process": name,
            "seconds (median)": median(values),
            "fastest": min(values),
            "slowest": max(values),
            "beyond import numpy": median(values) - floor,
            "ratio to import numpy": median(values) / floor,
        }
        for name, values in seconds.items()
    ]
    # paired by round, so that drift cancels
    added = median(
        b - a for a, b in zip(seconds["import numpy"], seconds["import convexscore"], strict=True)
    )
    first = median(seconds["first fit, default (cross-validated)"])
    checks = [
        Check("seconds import convexscore adds to import numpy", added, 0.5, timing=True),
        Check("seconds of a fresh process with a first default fit", first, 2.5, timing=True),
    ]
    notes = [
        "The package's names are loaded on first use: scikit-learn's base classes are paid for in "
        "the row that imports fit_convex_score, not in `import convexscore`.",
        "Wall time of the whole process, interpreter start included; n = 1000 in the fits.",
    ]
    return Report({"Fresh processes": rows}, checks, notes)


def draw(report: Report) -> Any:
    """No figure: six numbers read better as a table."""
    return None
