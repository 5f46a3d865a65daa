"""The penalty of each noise level: a rule, its factor cross-validated, or each level cross-validated.

What counts for samples is the sum over the ladder of sigma^2 E|s - s*|^2 d(log sigma), the bound of
the Kullback-Leibler error of what a diffusion with the learned scores draws, in nats.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.harness import Check, Report, figure
from convexscore import ConvexDiffusion, fit_convex_diffusion, fit_convex_score, targets
from convexscore.objectives.smoothed_labels import smoothed_score

TITLE = "beta of a ladder of noise levels: rule, pooled and per-level cross-validation"

RULE, POOLED, PER_LEVEL, NONE = "rule", "cv (one factor)", "cv per level", "no penalty"
METHODS = (RULE, POOLED, PER_LEVEL, NONE)


@dataclass(frozen=True)
class Settings:
    n_line: int
    n_plane: int
    line_seeds: int
    plane_seeds: int
    line_levels: int
    plane_levels: int
    n_test: int
    n_laws: int


FULL = Settings(500, 200, 4, 1, 14, 5, 4000, 5)
QUICK = Settings(80, 30, 1, 1, 3, 2, 1000, 1)


def line_laws() -> dict[str, Any]:
    def mixture(weights: list[float], means: list[float], variances: list[float]) -> Any:
        columns = np.array(means)[:, None], np.array(variances)[:, None, None]
        return targets.GaussianMixture(weights, *columns)

    return {
        "Gaussian": targets.Gaussian(np.zeros(1), np.eye(1)),
        "mixture of three": mixture([0.3, 0.5, 0.2], [-3.0, 0.0, 4.0], [0.25, 1.0, 0.1]),
        "unbalanced modes": mixture([0.8, 0.2], [-2.0, 3.0], [0.25, 0.25]),
        "t(5)": targets.LineLaw.from_scipy(stats.t(5)),
        "Laplace": targets.LineLaw.from_scipy(stats.laplace()),
    }


def plane_laws() -> dict[str, Any]:
    return {
        "ring of eight": targets.ring_of_gaussians(),
        "two moons": targets.two_moons(),
        "banana": targets.banana(),
    }


def _columns(values: Any, d: int) -> Any:
    return np.asarray(values, dtype=np.float64).reshape(-1, d)


def _errors(score: Any, law: Any, levels: Any, n_test: int, seed: int) -> float:
    """Sum over levels of sigma^2 E|s - s*|^2 times the spacing in log sigma."""
    spacing = np.log(levels[0] / levels[1])
    total = 0.0
    for level in levels:
        noised = law.noised(1.0, float(level))
        at = noised.sample(n_test, random_state=seed)
        truth = noised.score(at)
        away = _columns(score(_columns(at, law.dim), float(level)), law.dim)
        away = away - _columns(truth, law.dim)
        total += float(level) ** 2 * float((away**2).sum(axis=1).mean()) * spacing
    return total


def _per_level(X: Any, levels: Any, draws: int, seed: int) -> list[float]:
    """Beta of each level by K-fold cross-validation of its own."""
    return [
        fit_convex_score(
            X, objective="denoising", noise=float(level), n_draws=draws, labels="smoothed",
            beta="cv", random_state=seed, tol=1e-2,
        ).beta_
        for level in levels
    ]  # fmt: skip


def _one(law: Any, n: int, n_levels: int, seed: int, n_test: int) -> list[dict[str, Any]]:
    """Error and seconds of each method on one data set."""
    data_seed, noise_seed, test_seed = np.random.SeedSequence([seed, 7]).generate_state(3).tolist()
    X = _columns(law.sample(n, random_state=data_seed), law.dim)
    spread = float(np.sqrt(X.var(axis=0).mean()))
    levels = spread * np.geomspace(5.0, 0.05 if law.dim == 1 else 0.1, n_levels)
    options: dict[str, Any] = {"schedule": "ve", "levels": levels, "random_state": noise_seed}
    if law.dim > 1:
        options["n_draws"] = 2
    rows = []
    for method in METHODS:
        started = perf_counter()
        neurons, factor = 0, np.nan
        score: Any
        if method == NONE:

            def score(at: Any, level: float) -> Any:
                return smoothed_score(X, at, noise=level)
        else:
            beta: Any = {RULE: "rule", POOLED: "cv"}.get(method)
            if beta is None:
                draws = ConvexDiffusion(**options, beta="rule").fit(X).n_draws_
                started = perf_counter()  # only the number of draws was asked for
                beta = _per_level(X, levels, draws, noise_seed)
            model = fit_convex_diffusion(X, beta=beta, **options)
            score, neurons = model.ve_score, int(model.certificates_["neurons"].max())
            if model.factor_selection_ is not None:
                factor = model.factor_selection_.factor
        seconds = perf_counter() - started
        rows.append(
            {
                "method": method,
                "error": _errors(score, law, levels, n_test, test_seed),
                "seconds": seconds,
                "factor": factor,
                "neurons": neurons,
            }
        )
    return rows


def run(settings: Settings, seed: int) -> Report:
    tables: dict[str, list[dict[str, Any]]] = {"Error bound in nats": [], "Together": []}
    checks = []
    cases = (
        ("line", line_laws(), settings.n_line, settings.line_levels, settings.line_seeds),
        ("plane", plane_laws(), settings.n_plane, settings.plane_levels, settings.plane_seeds),
    )
    for where, laws, n, n_levels, n_seeds in cases:
        logs: dict[str, list[float]] = {method: [] for method in METHODS}
        seconds: dict[str, float] = dict.fromkeys(METHODS, 0.0)
        for name, law in list(laws.items())[: settings.n_laws]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # beta="cv" says where its grid ended
                found = [_one(law, n, n_levels, seed + k, settings.n_test) for k in range(n_seeds)]
            row: dict[str, Any] = {"law": name, "n": n}
            for m, method in enumerate(METHODS):
                row[method] = float(np.mean([rows[m]["error"] for rows in found]))
                logs[method].append(float(np.log(row[method])))
                seconds[method] += sum(rows[m]["seconds"] for rows in found)
            row["chosen factors"] = ", ".join(f"{rows[1]['factor']:.3g}" for rows in found)
            tables["Error bound in nats"].append(row)
        for method in METHODS:
            ratio = float(np.exp(np.mean(logs[method]) - np.mean(logs[PER_LEVEL])))
            tables["Together"].append(
                {
                    "where": where,
                    "method": method,
                    "error / cv per level (geometric mean)": ratio,
                    "seconds": seconds[method],
                    "time / cv per level": seconds[method] / seconds[PER_LEVEL],
                }
            )
            if method in (RULE, POOLED):
                aim = f"{where}: error of {method} / cv per level"
                checks.append(Check(aim, ratio, 1.0, timing=True))
    errors = tables["Error bound in nats"]
    worst = max(row[RULE] / row[NONE] for row in errors)
    checks.append(Check("error of the rule over that without penalty, largest", worst, 2.0))
    notes = [
        "Error bound: sum over levels of sigma^2 E|s - s*|^2 d(log sigma) on fresh true samples; the "
        "Kullback-Leibler error of an exact sampler with these scores is at most half of it, plus "
        "that of its start.",
        "`no penalty` is the score of the training points blurred, which draws the training points.",
        "Per-level cross-validation: five folds of fit_convex_score(beta='cv') at every level, with "
        "the same labels and number of draws.  Accuracy aims are not judged on quick sizes.",
    ]
    return Report(tables, checks, notes)


def draw(report: Report) -> Any:
    """Error of each method relative to per-level cross-validation, law by law."""
    rows = report.tables["Error bound in nats"]
    fig, (left, right) = figure(5.4, 4.0, columns=2)
    colours = {RULE: "C0", POOLED: "C2", NONE: "0.6"}
    for method, colour in colours.items():
        ratios = [row[method] / row[PER_LEVEL] for row in rows]
        left.plot(ratios, range(len(rows)), "o", color=colour, label=method)
    left.axvline(1.0, color="C3", linestyle="--", label=PER_LEVEL)
    left.set_xscale("log")
    left.set_yticks(range(len(rows)), [row["law"] for row in rows])
    left.invert_yaxis()
    left.set_xlabel("error bound / that of cv per level")
    left.legend(fontsize=8, frameon=False, loc="lower right")
    together = report.tables["Together"]
    names = [f"{row['where']}: {row['method']}" for row in together if row["method"] != NONE]
    times = [row["seconds"] for row in together if row["method"] != NONE]
    right.barh(names, times, color=["C0", "C2", "C3"] * 2)
    right.set_xscale("log")
    right.invert_yaxis()
    right.set_xlabel("seconds, all data sets")
    return fig
