"""From ten thousand to ten million points: time against one np.cumsum, and memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Check, Report, Row, column, figure, growth_exponent, measure, once
from benchmarks.memory import peak_arrays
from benchmarks.problems.laws import TWO_HUMPS
from convexscore import fit_convex_score

TITLE = "shuffled Gaussian mixture, beta = sqrt(n): time in np.cumsum's, peak memory"


@dataclass(frozen=True)
class Settings:
    sizes: tuple[int, ...]
    data_sets: tuple[int, ...]  # how many per size
    repeats: int
    aim_at: int
    cross_validated_at: int


FULL = Settings((10**4, 10**5, 10**6, 10**7), (5, 5, 3, 1), 3, 10**6, 10**5)
QUICK = Settings((10**4, 10**5), (1, 1), 1, 10**5, 500)


def run(settings: Settings, seed: int) -> Report:
    rows = [
        _one_size(n, count, settings.repeats, seed)
        for n, count in zip(settings.sizes, settings.data_sets, strict=True)
    ]
    aimed = next(row for row in rows if row["n"] == settings.aim_at)
    cross_validated = _cross_validated(settings.cross_validated_at, settings.repeats, seed)
    # below 1e5 the fixed cost of a call shows, which makes the growth look slower than it is
    large = rows[-3:]
    growth: list[Row] = [
        {
            "what": name,
            "all sizes": _growth(rows, key),
            f"from n = {large[0]['n']}": _growth(large, key),
            "last decade": _growth(rows[-2:], key),
        }
        for name, key in (
            ("fit", "fit seconds"), ("np.cumsum", "cumsum seconds"), ("np.sort", "sort seconds"),
        )
    ]  # fmt: skip
    memory = max(aimed["memory (arrays, tracemalloc)"], aimed["memory (arrays, rss)"])
    checks = [
        Check(f"n = {aimed['n']}: fit / np.cumsum", aimed["fit / cumsum"], 100.0, timing=True),
        Check("largest violation at any size", max(column(rows, "violation (worst)")), 1e-9),
        Check("fits not certified", sum(column(rows, "not certified")), 0),
        Check(f"n = {aimed['n']}: peak extra memory, arrays of n doubles", memory, 40.0),
        Check("fewest arrays counted; the sorted copy alone is one",
              min(column(rows, "memory (arrays, tracemalloc)")), 2.0, at_least=True),
        Check("default fit: relative gap", cross_validated["relative gap"], 1e-8),
        Check("growth exponent, all sizes", growth[0]["all sizes"], 1.1, timing=True),
        Check(f"growth exponent from n = {large[0]['n']}", _growth(large, "fit seconds"), 1.1,
              timing=True),
        Check(f"n = {settings.cross_validated_at}: default cross-validated fit, seconds",
              cross_validated["seconds"], 60.0, timing=True),
    ]  # fmt: skip
    notes = [
        "Fit: validation, sort, solve, network, certificate; medians over repeats, then over data "
        "sets.  np.cumsum and np.sort run on the same shuffled array, in turn with the fit.",
        "np.cumsum allocates its result, as the fit does its arrays; `into out=` writes to an "
        "existing array, the strictest floor.",
        "Memory: peak beyond the data, in a fresh process: the resident set (rss), which is "
        "coarse at small n, and, in a fit after it, arrays that numpy allocates (tracemalloc).",
    ]
    tables = {"Time and memory": rows, "Growth exponents": growth, "Default fit": [cross_validated]}
    return Report(tables, checks, notes)


def _growth(rows: list[dict[str, Any]], key: str) -> float:
    return growth_exponent(column(rows, "n"), column(rows, key))


def _one_size(n: int, data_sets: int, repeats: int, seed: int) -> dict[str, Any]:
    beta = float(np.sqrt(n))
    certificates = []
    times: dict[str, list[float]] = {"fit": [], "cumsum": [], "cumsum out": [], "sort": []}
    passes = max(3, min(200, 10**7 // n))
    for data_seed in range(seed, seed + data_sets):
        x = TWO_HUMPS.sample(np.random.default_rng(data_seed), n)
        into = np.empty_like(x)
        for name, call, times_over in (
            ("cumsum", partial(np.cumsum, x), passes),
            ("cumsum out", partial(np.cumsum, x, out=into), passes),
            ("sort", partial(np.sort, x), max(3, passes // 5)),
        ):
            times[name].append(measure(call, repeats=times_over)[0].wall)
        timing, fitted = measure(partial(fit_convex_score, x, beta=beta), repeats=repeats)
        times["fit"].append(timing.wall)
        certificates.append(fitted.certificate_)
    seconds = {name: float(np.median(values)) for name, values in times.items()}
    memory = peak_arrays(x, beta=beta)
    return {
        "n": n,
        "beta": beta,
        **{f"{name} seconds": seconds[name] for name in ("cumsum", "sort", "fit")},
        "fit / cumsum": seconds["fit"] / seconds["cumsum"],
        "slowest data set / cumsum": max(times["fit"]) / seconds["cumsum"],
        "fit / cumsum into out=": seconds["fit"] / seconds["cumsum out"],
        "sort / cumsum": seconds["sort"] / seconds["cumsum"],
        "fit / sort": seconds["fit"] / seconds["sort"],
        "rounds (most)": max(c.n_iter for c in certificates),
        "neurons (most)": max(c.n_neurons for c in certificates),
        "violation (worst)": max(c.max_violation for c in certificates),
        "relative gap (worst)": max(c.relative_gap for c in certificates),
        "not certified": sum(not c.optimal for c in certificates),
        "memory (arrays, tracemalloc)": memory["tracemalloc"],
        "memory (arrays, rss)": memory["rss"],
    }


def _cross_validated(n: int, repeats: int, seed: int) -> dict[str, Any]:
    x = TWO_HUMPS.sample(np.random.default_rng(seed), n)
    default = partial(fit_convex_score, x, random_state=seed)
    first, _ = once(default)
    timing, fitted = measure(default, repeats=repeats, warmup=0)
    one_beta, _ = measure(lambda: fit_convex_score(x, beta=fitted.beta_), repeats=repeats)
    selection = fitted.beta_selection_
    return {
        "n": n,
        "seconds": timing.wall,
        "first call": first.wall,
        "one fit at the chosen beta": one_beta.wall,
        "ratio": timing.wall / one_beta.wall,
        "beta": fitted.beta_,
        "grid": len(selection.betas),
        "grid followed": int(np.isfinite(selection.loss).sum()),
        "neurons": fitted.network_.n_neurons,
        "relative gap": fitted.certificate_.relative_gap,
    }


def draw(report: Report) -> Any:
    """Seconds and memory against n."""
    rows = report.tables["Time and memory"]
    n = column(rows, "n")
    fig, (left, right) = figure(5.2, 4.0, columns=2)
    labels = {"fit": "fit and certificate", "sort": "np.sort", "cumsum": "np.cumsum"}
    for key, label in labels.items():
        left.loglog(n, column(rows, f"{key} seconds"), "o-", label=label)
    left.set(xlabel="n", ylabel="seconds")
    left.legend()
    for key in ("tracemalloc", "rss"):
        right.semilogx(n, column(rows, f"memory (arrays, {key})"), "o-", label=key)
    right.axhline(40, color="0.3", linestyle=":", label="aim")
    right.set(xlabel="n", ylabel="peak extra memory, arrays of n doubles", ylim=(0, None))
    right.legend()
    return fig
