"""The fast solver against the papers' convex programs in a conic solver."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

import numpy as np

from benchmarks.harness import (
    Check,
    Report,
    column,
    figure,
    growth_exponent,
    measure,
    name_sizes,
)  # fmt: skip
from benchmarks.problems.laws import TWO_HUMPS
from convexscore import certify, fit_convex_score
from convexscore.programs import ConvexProgram, SolverChoice, univariate_program

TITLE = "fit_convex_score against CVXPY with Clarabel, beta = 0.05 n"

CASES = tuple(product(("score_matching", "denoising"), ("relu", "abs"), (True, False)))
MAIN = CASES[0]
# Below this, relative to the objective, a difference is the conic solver's own error.
EQUAL = 1e-8


@dataclass(frozen=True)
class Settings:
    sizes: tuple[int, ...]
    conic_repeats: tuple[int, ...]
    all_cases_at: int
    fit_repeats: int
    share: float = 0.05
    noise: float = 0.5


FULL = Settings((100, 200, 400, 800), (3, 3, 3, 1), 400, 11)
QUICK = Settings((60, 100), (1, 1), 60, 3)


def run(settings: Settings, seed: int) -> Report:
    for case in CASES:  # both sides warm: imports, first calls
        _compare(60, case, settings, seed, 1)
    main = [
        _compare(n, MAIN, settings, seed, repeats)
        for n, repeats in zip(settings.sizes, settings.conic_repeats, strict=True)
    ]
    others = [_compare(settings.all_cases_at, case, settings, seed, 1) for case in CASES[1:]]
    loose = _compare(
        settings.all_cases_at, MAIN, settings, seed, 1,
        tol_gap_abs=1e-8, tol_gap_rel=1e-8, tol_feas=1e-8,
    )  # fmt: skip
    aimed = next(row for row in main if row["n"] == settings.all_cases_at)
    rows = [*main, *others]
    growth = [
        {"what": what, "exponent": growth_exponent(settings.sizes, column(main, key))}
        for what, key in (
            ("fit_convex_score", "ours seconds"),
            ("CVXPY with Clarabel", "conic seconds"),
            ("Clarabel's own time", "Clarabel alone seconds"),
        )
    ]
    checks = [
        Check(f"n = {aimed['n']}, ReLU with skip: conic / ours", aimed["ratio"], 500.0,
              at_least=True, timing=True),
        Check(f"n = {aimed['n']}, all cases: smallest conic / ours",
              min(column([aimed, *others], "ratio")), 500.0, at_least=True, timing=True),
        Check("largest (ours - conic) / |conic| of any row",
              max(column(rows, "relative difference")), EQUAL),
        Check("fits not certified", sum(not row["certified"] for row in rows), 0),
    ]  # fmt: skip
    notes = [
        "Conic: matrices, CVXPY's compilation, Clarabel at tolerance 1e-10 and the network, one "
        "call of `convexscore.programs`; `Clarabel alone` is the time the solver itself reports.",
        "`relative difference` is (our objective - conic value) / |conic value|: negative where "
        "the conic solver stops short; `conic network's gap` is our certificate of its network.",
        "Ours: validation, sort, solve and certificate (for denoising also drawing the noise).",
        f"Medians of {settings.fit_repeats} (ours) and "
        + ", ".join(
            f"{r} at n = {n}" for n, r in zip(settings.sizes, settings.conic_repeats, strict=True)
        )
        + " (conic) calls; the other cases once.",
    ]
    tables = {
        "ReLU with skip, score matching": main,
        f"The other cases, n = {settings.all_cases_at}": others,
        "Clarabel at its default tolerance 1e-8 (ReLU with skip, score matching)": [loose],
        "Growth exponents": growth,
    }
    return Report(tables, checks, notes)


def _compare(
    n: int,
    case: tuple[str, str, bool],
    settings: Settings,
    seed: int,
    conic_repeats: int,
    **tolerances: float,
) -> dict[str, Any]:
    objective, activation, skip = case
    x = TWO_HUMPS.sample(np.random.default_rng(seed), n)
    beta = settings.share * n
    options: dict[str, Any] = {"objective": objective, "activation": activation, "skip": skip}
    if objective == "denoising":
        options |= {"noise": settings.noise, "n_draws": 1, "random_state": seed}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours, fit = measure(
            lambda: fit_convex_score(x, beta=beta, **options), repeats=settings.fit_repeats
        )
        labels = fit.noise_labels_
        points = x if fit.noisy_points_ is None else fit.noisy_points_
        solver_seconds = []

        def solve_conic() -> ConvexProgram:
            program = univariate_program(
                points, beta=beta, labels=labels, activation=activation, skip=skip,
                solver=SolverChoice(options=tolerances),
            )  # fmt: skip
            solver_seconds.append(float(program.problem.solver_stats.solve_time))
            return program

        conic, program = measure(solve_conic, repeats=conic_repeats, warmup=0)
        judged = certify(
            program.network, points, objective=objective, beta=beta, labels=labels, skip=skip
        )
    alone = median(solver_seconds)
    value = fit.certificate_.objective
    return {
        "objective": objective,
        "activation": activation,
        "skip": skip,
        "n": n,
        "ours seconds": ours.wall,
        "conic seconds": conic.wall,
        "ratio": conic.wall / ours.wall,
        "Clarabel alone seconds": alone,
        "Clarabel alone / ours": alone / ours.wall,
        "our objective": value,
        "ours - conic": value - program.value,
        "relative difference": (value - program.value) / abs(program.value),
        "our relative gap": fit.certificate_.relative_gap,
        "conic network's gap": judged.relative_gap,
        "neurons": fit.network_.n_neurons,
        "conic neurons": program.network.n_neurons,
        "certified": fit.certificate_.optimal,
        "conic status": program.status,
        "warnings": len(caught),
    }


def draw(report: Report) -> Any:
    """Seconds against n."""
    rows = report.tables["ReLU with skip, score matching"]
    n = column(rows, "n")
    fig, (axes,) = figure(6.0, 4.2)
    axes.loglog(n, column(rows, "conic seconds"), "s-", label="CVXPY with Clarabel")
    axes.loglog(n, column(rows, "Clarabel alone seconds"), "s:", label="Clarabel alone")
    axes.loglog(n, column(rows, "ours seconds"), "o-", label="fit_convex_score")
    for row in rows:
        axes.annotate(f"{row['ratio']:.0f}×", (row["n"], row["ours seconds"]), ha="center",
                      xytext=(0, 8), textcoords="offset points")  # fmt: skip
    name_sizes(axes, n)
    axes.margins(x=0.12)
    axes.set(ylabel="seconds")
    axes.legend()
    return fig
