"""The small-beta regime: hundreds of kinks, every case."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from benchmarks.harness import Check, Report, figure, measure
from benchmarks.problems.laws import TWO_HUMPS
from convexscore import fit_convex_score, smallest_beta

TITLE = "beta = 2 (or 1.2 times the boundedness limit), hundreds of kinks, certified"

CASES = tuple(product(("score_matching", "denoising"), ("relu", "abs"), (True, False)))


@dataclass(frozen=True)
class Settings:
    n: int
    beta: float
    above_limit: float
    noise: float
    n_data_sets: int
    repeats: int


FULL = Settings(n=2000, beta=2.0, above_limit=1.2, noise=0.3, n_data_sets=20, repeats=1)
QUICK = Settings(n=200, beta=2.0, above_limit=1.2, noise=0.3, n_data_sets=1, repeats=1)


def run(settings: Settings, seed: int) -> Report:
    rows = []
    for objective, activation, skip in CASES:
        fits, seconds, shouted = [], [], 0
        for data_seed in range(seed, seed + settings.n_data_sets):
            x = TWO_HUMPS.sample(np.random.default_rng(data_seed), settings.n)
            beta = settings.beta
            options: dict[str, Any] = {"activation": activation, "skip": skip}
            if objective == "score_matching":
                beta = max(beta, settings.above_limit * smallest_beta(x, **options))
            else:
                options |= {"noise": settings.noise, "n_draws": 1, "random_state": data_seed}
            fit = partial(fit_convex_score, x, objective=objective, beta=beta, **options)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                timing, fitted = measure(fit, repeats=settings.repeats)
            shouted += bool(caught)
            fits.append(fitted)
            seconds.append(timing.wall)
        certificates = [fitted.certificate_ for fitted in fits]
        rows.append(
            {
                "objective": objective,
                "activation": activation,
                "skip": skip,
                "beta": beta,
                "kinks (median)": float(np.median([fitted.network_.n_neurons for fitted in fits])),
                "rounds (most)": max(c.n_iter for c in certificates),
                "seconds (median)": float(np.median(seconds)),
                "seconds (slowest data set)": max(seconds),
                "relative gap (median)": float(np.median([c.relative_gap for c in certificates])),
                "relative gap (worst)": max(c.relative_gap for c in certificates),
                "violation (worst)": max(c.max_violation for c in certificates),
                "certified": f"{sum(c.optimal for c in certificates)} of {len(certificates)}",
                "not certified": sum(not c.optimal for c in certificates),
                "fits that warned": shouted,
            }
        )
    main = next(r for r in rows if (r["objective"], r["activation"], r["skip"]) == CASES[0])
    checks = [
        Check("ReLU with skip: seconds, slowest data set", main["seconds (slowest data set)"], 10.0,
              timing=True),
        Check("ReLU with skip: fits not certified", main["not certified"], 0),
        Check("all cases: seconds, slowest data set",
              max(r["seconds (slowest data set)"] for r in rows), 10.0, timing=True),
        Check("all cases: fits not certified", sum(r["not certified"] for r in rows), 0),
        Check("all cases: largest relative gap", max(r["relative gap (worst)"] for r in rows), 1e-8),
        Check("all cases: largest violation", max(r["violation (worst)"] for r in rows), 1e-8),
    ]  # fmt: skip
    notes = [
        f"n = {settings.n}, two-component Gaussian mixture, {settings.n_data_sets} data sets; "
        "`certified` is the certificate's own verdict (relative gap <= 1e-8).",
        "Kinks are neurons of the network, the idle ones removed.",
    ]
    return Report({"Small beta": rows}, checks, notes)


def draw(report: Report) -> Any:
    """Seconds and relative gaps per case."""
    rows = report.tables["Small beta"]
    fig, (left, right) = figure(5.0, 3.6, columns=2)
    names = [
        f"{'SM' if r['objective'] == 'score_matching' else 'DSM'} {r['activation']}"
        f"{' skip' if r['skip'] else ''}"
        for r in rows
    ]
    left.barh(names, [r["seconds (median)"] for r in rows])
    left.set_xlabel("seconds, median over data sets")
    right.barh(names, [max(r["relative gap (worst)"], 1e-17) for r in rows])
    right.axvline(1e-8, color="0.3", linestyle=":")
    right.set_xscale("log")
    right.set_xlabel("worst relative gap (dotted: certified)")
    return fig
