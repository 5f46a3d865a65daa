"""Planar denoising on the noisy spiral beyond every dictionary: time, growth and peak memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.harness import (
    Check,
    Report,
    Row,
    column,
    figure,
    growth_exponent,
    measure,
    name_sizes,
    told,
    total_memory,
)  # fmt: skip
from benchmarks.memory import peak_arrays
from benchmarks.problems.spiral import PlanarProblem, fit, fit_options, make_problem

TITLE = "planar denoising on the noisy spiral to a certified relative gap of 1e-3"


@dataclass(frozen=True)
class Settings:
    sizes: tuple[int, ...]
    repeats: tuple[int, ...]
    aim_at: int
    memory_up_to: int
    share: float = 0.05
    noise: float = 0.5
    tol: float = 1e-3


FULL = Settings((400, 1000, 2000, 5000), (3, 3, 1, 1), 2000, 5000)
QUICK = Settings((100, 200), (1, 1), 200, 100)


def run(settings: Settings, seed: int) -> Report:
    fit(make_problem(60, settings.share, settings.noise, seed), settings.tol)  # first calls
    rows = [
        _one_size(n, repeats, settings, seed)
        for n, repeats in zip(settings.sizes, settings.repeats, strict=True)
    ]
    seconds = column(rows, "seconds")
    growth: list[Row] = [
        {
            "what": "seconds",
            "all sizes": growth_exponent(settings.sizes, seconds),
            "last two": growth_exponent(settings.sizes[-2:], seconds[-2:]),
        }
    ]
    counted, pairs = rows[0]["tracemalloc (MB)"], 1e3 * rows[0]["all pairs (GB)"]
    aimed = next(row for row in rows if row["n"] == settings.aim_at)
    checks = [
        Check(f"n = {aimed['n']}: seconds", aimed["seconds"], 20.0, timing=True),
        Check("largest certified relative gap", max(column(rows, "relative gap")), settings.tol),
        Check("certificates that did not look at every line", sum(not r["exact"] for r in rows), 0),
        Check(f"n = {rows[0]['n']}: MB of arrays counted", counted, 0.01, at_least=True),
        Check(f"n = {rows[0]['n']}: MB of arrays over that of all pairs", counted / pairs, 0.8),
        # n x n doubles would be the first step towards a matrix of all pairs
        Check("growth exponent of the time, all sizes", growth[0]["all sizes"], 2.5, timing=True),
    ]  # fmt: skip
    notes = [
        f"beta = {settings.share} * beta_max, noise {settings.noise}, ReLU without skip, one draw; "
        f"the whole call at tol = {settings.tol:g}, certificate included.",
        "Certified: the gap is to the best network of any width, every line of the plane looked at.",
        "Memory: peak beyond the data, in a fresh process: resident set (rss), then arrays that "
        "numpy allocates (tracemalloc).  `all pairs (GB)`: the dense n x n(n-1) matrix.",
    ]
    return Report({"Time and memory": rows, "Growth exponents": growth}, checks, notes)


def _one_size(n: int, repeats: int, settings: Settings, seed: int) -> dict[str, Any]:
    problem = make_problem(n, settings.share, settings.noise, seed)
    timing, fitted = measure(lambda: fit(problem, settings.tol), repeats=repeats, warmup=0)
    pairs = 8.0 * n * n * (n - 1)
    row = {
        "n": n,
        "beta": problem.beta,
        **timing.row,
        **told(fitted.certificate_, "relative gap", "violation", "exact", "rounds", "neurons"),
        "all pairs (GB)": pairs / 1e9,
        "fits in memory": bool(pairs < total_memory()),
    }
    return row | (_memory(problem, settings.tol) if n <= settings.memory_up_to else {})


def _memory(problem: PlanarProblem, tol: float) -> dict[str, float]:
    """Peak memory of the same call, in MB."""
    arrays = peak_arrays(problem.x, **fit_options(problem, tol))
    return {f"{meter} (MB)": count * problem.x.nbytes / 1e6 for meter, count in arrays.items()}


def draw(report: Report) -> Any:
    """Seconds and memory against n."""
    rows = report.tables["Time and memory"]
    n = column(rows, "n")
    fig, (left, right) = figure(5.2, 4.0, columns=2)
    left.loglog(n, column(rows, "seconds"), "o-", label="fit_convex_score")
    start = rows[0]
    left.loglog(n, [start["seconds"] * (k / start["n"]) ** 2 for k in n], ":", color="0.5",
                label="proportional to n²")  # fmt: skip
    left.set(ylabel="seconds to a certified gap of 1e-3")
    for meter in ("tracemalloc", "rss"):
        known = [row for row in rows if f"{meter} (MB)" in row]
        right.loglog(column(known, "n"), column(known, f"{meter} (MB)"), "o-", label=meter)
    right.loglog(n, [1e3 * row["all pairs (GB)"] for row in rows], "s:", color="0.5",
                 label="matrix of all pairs")  # fmt: skip
    right.set(ylabel="peak extra memory, MB")
    for axes in (left, right):
        name_sizes(axes, n)
        axes.legend()
    return fig
