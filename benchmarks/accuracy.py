"""How close the default fit comes to the true score, next to what else one could do."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.harness import Check, Report, figure
from benchmarks.laws import LAWS, Law
from benchmarks.score_peers import (
    ScoreFunction,
    cross_validated_bandwidth,
    em_mixture_score,
    gaussian_score,
    kernel_score,
    silverman_bandwidth,
)
from convexscore import fit_convex_score

TITLE = "relative Fisher error E|s_hat - s|^2 / E|s|^2 on fresh points"

OURS = "convexscore"
KDE = "KDE, cross-validated"
METHODS = (OURS, KDE, "KDE, Silverman", "EM mixture, BIC", "fitted Gaussian")


@dataclass(frozen=True)
class Settings:
    laws: tuple[str, ...]
    sizes: tuple[int, ...]
    n_seeds: int
    fresh: int
    max_components: int = 8
    n_init: int = 3
    aim: float = 1.3


FULL = Settings(tuple(law.name for law in LAWS), (500, 2000), 8, 20_000)
QUICK = Settings(("mixture of 2", "Laplace"), (300,), 1, 4000, max_components=4, n_init=1)


def run(settings: Settings, seed: int) -> Report:
    errors: dict[tuple[str, int], dict[str, list[float]]] = {}
    seconds = {method: 0.0 for method in METHODS}
    warned = fits = 0
    for law in LAWS:
        if law.name not in settings.laws:
            continue
        for n in settings.sizes:
            errors[law.name, n] = {method: [] for method in METHODS}
            for data_seed in range(seed, seed + settings.n_seeds):
                rng = np.random.default_rng([data_seed, n])
                x, fresh = law.sample(rng, n), law.sample(rng, settings.fresh)
                for method in METHODS:
                    started = perf_counter()
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        score = _fit(method, x, data_seed, settings)
                    seconds[method] += perf_counter() - started
                    fits += method == OURS
                    warned += method == OURS and bool(caught)
                    errors[law.name, n][method].append(fisher_error(law, score, fresh))
    rows = [_row(name, n, found) for (name, n), found in errors.items()]
    worst = min(rows, key=lambda row: row["KDE-CV / ours"])
    checks = [
        Check(f"smallest KDE-CV / ours (median over seeds), {worst['law']}, n = {worst['n']}",
              worst["KDE-CV / ours"], settings.aim, at_least=True)
    ]  # fmt: skip
    cost = [
        {
            "method": method,
            "seconds a fit (mean)": seconds[method] / fits,
            "ratio to ours": seconds[method] / seconds[OURS],
        }
        for method in METHODS
    ]
    tables = {
        "Median [quartiles] over seeds": [_printed(row) for row in rows],
        "Fitting time": cost,
    }
    return Report(tables, checks, _notes(rows, settings, warned, fits), rows)


def fisher_error(law: Law, score: ScoreFunction, points: Any) -> float:
    """E|s_hat - s|^2 / E|s|^2, both means over the same fresh points."""
    truth = law.score(points)
    return float(np.mean((score(points) - truth) ** 2) / np.mean(truth**2))


def _fit(method: str, x: Any, seed: int, settings: Settings) -> ScoreFunction:
    if method == OURS:
        return fit_convex_score(x, random_state=seed).score_function
    if method == KDE:
        return kernel_score(x, cross_validated_bandwidth(x))
    if method == "KDE, Silverman":
        return kernel_score(x, silverman_bandwidth(x))
    if method == "fitted Gaussian":
        return gaussian_score(x)
    options = {"max_components": settings.max_components, "n_init": settings.n_init}
    return em_mixture_score(x, seed=seed, **options)[0]


def _row(law: str, n: int, errors: dict[str, list[float]]) -> dict[str, Any]:
    row: dict[str, Any] = {"law": law, "n": n}
    for method, values in errors.items():
        row[method] = float(np.median(values))
        row[f"{method}, quartiles"] = [float(q) for q in np.quantile(values, [0.25, 0.75])]
    ours = np.array(errors[OURS])
    ratios = np.array(errors[KDE]) / ours
    row["KDE-CV / ours"] = float(np.median(ratios))
    row["seeds where ours is below KDE-CV"] = f"{int((ratios > 1).sum())} of {ratios.size}"
    row["EM / ours"] = float(np.median(np.array(errors["EM mixture, BIC"]) / ours))
    row["Gaussian / ours"] = float(np.median(np.array(errors["fitted Gaussian"]) / ours))
    return row


def _printed(row: dict[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {"law": row["law"], "n": row["n"]}
    for method in METHODS:
        low, high = row[f"{method}, quartiles"]
        cells[method] = f"{row[method]:.3g} [{low:.2g}, {high:.2g}]"
    for key in (
        "KDE-CV / ours", "seeds where ours is below KDE-CV", "EM / ours", "Gaussian / ours",
    ):  # fmt: skip
        cells[key] = row[key]
    return cells


def _notes(rows: list[dict[str, Any]], settings: Settings, warned: int, fits: int) -> list[str]:
    def wins(key: str) -> str:
        won = [f"{row['law']} (n = {row['n']}, {row[key]:.2g})" for row in rows if row[key] < 1]
        return ", ".join(won) or "none"

    return [
        f"{settings.n_seeds} seeds, {settings.fresh} fresh points each, nothing excluded; the "
        "default fit (score matching, ReLU, skip, beta by 5-fold cross-validation).",
        "Ratios are medians of ratios per seed; below 1 the other method is better.",
        f"The EM mixture is better (ratio below 1) on: {wins('EM / ours')}.",
        f"The fitted Gaussian is better on: {wins('Gaussian / ours')}.",
        f"KDE with cross-validated bandwidth is better on: {wins('KDE-CV / ours')}.",
        "Parametric fits win where their family holds the truth, as they must.",
        f"EM mixture: 1 to {settings.max_components} components, {settings.n_init} starts each. "
        "KDE cross-validation: leave-one-out likelihood.",
        f"{warned} of {fits} default fits warned (the loss still fell at the grid's end).",
    ]


def draw(report: Report) -> Any:
    """Errors per law, one panel per n; bars are quartiles."""
    rows = report.data
    sizes = list(dict.fromkeys(row["n"] for row in rows))
    fig, panels = figure(5.4, 4.6, columns=len(sizes))
    for n, axes in zip(sizes, panels, strict=True):
        mine = [row for row in rows if row["n"] == n]
        for k, method in enumerate(METHODS):
            middle = np.array([row[method] for row in mine])
            low, high = np.array([row[f"{method}, quartiles"] for row in mine]).T
            where = np.arange(len(mine)) + 0.14 * (k - 2)
            axes.errorbar(middle, where, xerr=[middle - low, high - middle], fmt="o", label=method)
        axes.set_yticks(np.arange(len(mine)), [row["law"] for row in mine])
        axes.invert_yaxis()
        axes.set(xscale="log", xlabel="relative Fisher error", title=f"n = {n}")
    handles, labels = panels[0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=len(METHODS))
    return fig
