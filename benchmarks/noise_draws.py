"""Noisy copies and labels of denoising: what the default pair is worth against single draws.

Cross-validated fits of the same samples, judged by the score of the clean law; only the number of copies
of each point and the kind of labels differ.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from time import process_time
from typing import Any

import numpy as np

from benchmarks.harness import Check, Report, column, each_job, figure, groups, name_rows
from benchmarks.peers.accuracy_fits import NOISE
from benchmarks.problems.laws import ALL
from benchmarks.score_accuracy import fisher_error
from convexscore import fit_convex_score
from convexscore.objectives import DEFAULT_DRAWS
from convexscore.solvers.space.training import bandwidth

TITLE = "denoising with beta='cv': relative Fisher error by noisy copies and labels"

SINGLE, DEFAULT = (1, "noisy"), (DEFAULT_DRAWS, "noisy")


@dataclass(frozen=True)
class Settings:
    laws: tuple[str, ...]
    n: int
    n_seeds: int
    line_points: int  # noisy points of the last variants
    vector_points: int
    fresh: int
    tol: float  # several columns
    jobs: int


FULL = Settings(
    laws=("mixture of 3", "Laplace", "gamma(4)", "skew-normal(4)", "correlated Gaussian, d = 2",
          "ring of 8", "two moons", "spiral"),
    n=500, n_seeds=4, line_points=8000, vector_points=2000, fresh=20_000, tol=1e-2, jobs=2,
)  # fmt: skip
QUICK = Settings(
    laws=("Laplace", "correlated Gaussian, d = 2"),
    n=120, n_seeds=2, line_points=480, vector_points=480, fresh=2000, tol=1e-2, jobs=1,
)  # fmt: skip


def run(settings: Settings, seed: int) -> Report:
    jobs = [
        (name, number) for name in settings.laws for number in range(seed, seed + settings.n_seeds)
    ]
    samples = each_job(partial(one_sample, settings=settings), jobs, settings.jobs)
    found = [row for rows in samples for row in rows]
    errors, seconds = (
        [
            {"law": name}
            | {v: float(of(column(rows, key))) for v, rows in groups(mine, "variant").items()}
            for name, mine in groups(found, "law").items()
        ]
        for key, of in (("error", np.median), ("seconds", np.mean))
    )
    ratios = {row["law"]: row[_title(*DEFAULT)] / row[_title(*SINGLE)] for row in errors}
    worst = max(ratios, key=lambda law: ratios[law])
    mean = float(np.exp(np.mean(np.log(list(ratios.values())))))
    checks = [
        Check(f"largest error of the default / of single draws, {worst}", ratios[worst], 1.0),
        # labels of single draws decide a Gaussian's slope; pairs cancel them
        Check("correlated Gaussian: the same", ratios["correlated Gaussian, d = 2"], 0.3),
        Check("the same, geometric mean over the laws", mean, 0.8),
    ]
    notes = [
        f"n = {settings.n}, {settings.n_seeds} samples of each law, median error over them on "
        f"{settings.fresh} fresh points of the clean law; noise {NOISE:g} times the smallest default "
        "level of ConvexDiffusion, which hides some of every law and is part of all errors alike.",
        f"`many`: as many copies as give {settings.line_points} noisy points in one column and "
        f"{settings.vector_points} in several, as ConvexDiffusion draws, in pairs as all even numbers.",
        f"`{_title(*DEFAULT)}` is the default of fit_convex_score.  Samples differ from those of "
        "score_accuracy.",
    ]
    tables = {"Error": errors, "Processor seconds a fit (mean)": seconds}
    return Report(tables, checks, notes, found)


def one_sample(name: str, seed: int, settings: Settings) -> list[dict[str, Any]]:
    """Errors of all variants on one sample."""
    law = next(law for law in ALL if law.name == name)
    data, fresh, noise = np.random.SeedSequence([seed, settings.n, law.dim, 1]).spawn(3)
    x = law.sample(np.random.default_rng(data), settings.n)
    at = law.sample(np.random.default_rng(fresh), settings.fresh)
    level = NOISE * bandwidth(x.reshape(settings.n, -1), settings.n)
    tol = {} if law.dim == 1 else {"tol": settings.tol}
    points = settings.line_points if law.dim == 1 else settings.vector_points
    rows = []
    for labels in ("noisy", "smoothed"):
        for draws in (1, DEFAULT_DRAWS, points // settings.n):
            started = process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of grids that end while the loss still falls
                fit = fit_convex_score(
                    x, objective="denoising", noise=level, n_draws=draws, labels=labels,
                    random_state=np.random.default_rng(noise), **tol,
                )  # fmt: skip
            seconds = process_time() - started
            error = fisher_error(law, fit.score_function, at)
            title = _title(draws if draws <= DEFAULT_DRAWS else None, labels)
            rows.append(
                {"law": name, "seed": seed, "variant": title, "draws": draws, "beta": fit.beta_,
                 "error": error, "seconds": seconds}
            )  # fmt: skip
    return rows


def _title(draws: int | None, labels: str) -> str:
    return f"{draws or 'many'}, {labels}"


def draw(report: Report) -> Any:
    """Errors law by law, one row each, on a logarithmic axis."""
    rows = report.tables["Error"]
    fig, (axes,) = figure(7.2, 0.9 + 0.42 * len(rows))
    looks = {"noisy": "o", "smoothed": "D"}
    colours = {"1": "C3", str(DEFAULT_DRAWS): "C0", "many": "C2"}
    for variant in [key for key in rows[0] if key != "law"]:
        draws, labels = variant.split(", ")
        copies = {"1": "1 copy", "many": "many copies"}.get(draws, f"{draws} copies")
        note = " (default)" if variant == _title(*DEFAULT) else ""
        axes.plot(
            column(rows, variant), range(len(rows)), looks[labels], color=colours[draws],
            fillstyle="full" if labels == "noisy" else "none", markersize=7,
            label=f"{copies}, {labels} labels{note}",
        )  # fmt: skip
    axes.set_xscale("log")
    name_rows(axes, column(rows, "law"))
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("relative Fisher error of the cross-validated denoising score")
    fig.legend(loc="outside right upper", fontsize=8, frameon=False)
    return fig
