"""A ladder of planar noise levels: total time, per level, on one worker and on two."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.harness import Check, Report, figure
from convexscore import ConvexDiffusion, fit_convex_diffusion, targets
from convexscore.objectives import denoising
from convexscore.solvers.oracles.choice import make_oracle
from convexscore.solvers.space.columns import SpaceCase
from convexscore.solvers.space.problem import prepare
from convexscore.solvers.space.restricted import add_columns, start
from convexscore.solvers.space.solve import SpaceFit, solve

TITLE = "planar ladder of certified scores: total fit time, per level, serial and two workers"


@dataclass(frozen=True)
class Settings:
    n: int
    n_levels: int
    n_draws: int
    laws: tuple[str, ...]


FULL = Settings(1000, 20, 2, ("ring of eight",))
QUICK = Settings(40, 3, 2, ("ring of eight",))

LAWS = {"ring of eight": targets.ring_of_gaussians, "banana": targets.banana}


def _fit(X: Any, settings: Settings, beta: Any, n_jobs: int, seed: int) -> tuple[Any, float]:
    started = perf_counter()
    model = fit_convex_diffusion(
        X,
        n_levels=settings.n_levels,
        n_draws=settings.n_draws,
        beta=beta,
        n_jobs=n_jobs,
        random_state=seed,
    )
    return model, perf_counter() - started


def _from_the_level_above(X: Any, model: ConvexDiffusion, draws: int, seed: int) -> float:
    """Seconds of the ladder when each level starts with the neurons of the one before."""
    z = model.standardization_.points(X)
    case = SpaceCase("relu", skip=True)  # of the default model
    before: SpaceFit | None = None
    started = perf_counter()
    for level, beta in zip(model.levels_, model.betas_, strict=True):
        objective = denoising(
            z, noise=float(level), n_draws=draws, labels="smoothed", random_state=seed
        )
        problem = prepare(objective, case)
        oracle = make_oracle(problem, random_state=np.random.default_rng(seed))
        warm = None
        if before is not None:
            columns, _, _, _ = problem.columns_of(before.network)
            restricted = start(problem, float(beta))
            add_columns(restricted, columns, problem.natural_value)
            warm = SpaceFit(before.network, before.certificate, restricted, None)
        before = solve(problem, float(beta), oracle, tol=1e-2, warm=warm)
    return perf_counter() - started


def run(settings: Settings, seed: int) -> Report:
    totals, levels = [], []
    # loky's workers start before anything is timed
    fit_convex_diffusion(
        np.random.default_rng(seed).normal(size=(30, 2)), n_levels=2, beta="rule", n_jobs=2,
        random_state=seed + 1,
    )  # fmt: skip
    gaps, same = [], True
    for name in settings.laws:
        data_seed, noise_seed = np.random.SeedSequence([seed, 3]).generate_state(2).tolist()
        X = LAWS[name]().sample(settings.n, random_state=data_seed)
        for beta in ("rule", "cv"):
            serial, one = _fit(X, settings, beta, 1, noise_seed)
            parallel, two = _fit(X, settings, beta, 2, noise_seed)
            table = serial.certificates_
            same = same and all(
                np.array_equal(a.w, b.w)
                for a, b in zip(serial.networks_, parallel.networks_, strict=True)
            )
            gaps += table["gap"].tolist()
            warm = _from_the_level_above(X, serial, settings.n_draws, noise_seed)
            totals.append(
                {
                    "law": name,
                    "beta": beta,
                    "n": settings.n,
                    "levels": len(table),
                    "seconds, one worker": one,
                    "seconds, two workers": two,
                    "speed-up": one / two,
                    "of it the fits": float(table["seconds"].sum()),
                    "fits from the level above": warm,
                    "warm / cold": warm / float(table["seconds"].sum()),
                    "neurons (most)": int(table["neurons"].max()),
                    "certified": f"{sum(f.certificate.optimal for f in table)} of {len(table)}",
                }
            )
            for fit in table:
                levels.append(
                    {
                        "law": name,
                        "beta rule": beta,
                        "level": fit.level,
                        "beta": fit.beta,
                        "neurons": fit.certificate.n_neurons,
                        "relative gap": fit.certificate.relative_gap,
                        "seconds": fit.seconds,
                    }
                )
    checks = [
        Check("largest relative gap of a level", max(gaps), 1e-2),
        Check("one and two workers differ", float(not same), 0.0),
        Check("seconds, two workers / one (largest)",
              max(1.0 / row["speed-up"] for row in totals), 0.7, timing=True),
    ]  # fmt: skip
    notes = [
        f"{settings.n} training points, {settings.n_draws} noisy copies each, every line through two of "
        "them looked at in every certificate; relative gap at most 0.01.",
        "`fits from the level above`: the same problems in turn, each started with the neurons of the "
        "one before, so not to be spread over workers.",
    ]
    return Report({"Ladders": totals, "Levels": levels}, checks, notes)


def draw(report: Report) -> Any:
    """Seconds and neurons per level."""
    rows = report.tables["Levels"]
    fig, (left, right) = figure(4.6, 3.6, columns=2)
    for law in dict.fromkeys(row["law"] for row in rows):
        for beta, style in (("rule", "o-"), ("cv", "s--")):
            chosen = [r for r in rows if r["law"] == law and r["beta rule"] == beta]
            level = [r["level"] for r in chosen]
            left.plot(level, [r["seconds"] for r in chosen], style, label=f"{law}, {beta}", ms=4)
            right.plot(level, [r["neurons"] for r in chosen], style, ms=4)
    for ax in (left, right):
        ax.set_xscale("log")
        ax.invert_xaxis()
        ax.set_xlabel("noise level (standard deviations of the data)")
    left.set_ylabel("seconds of a level")
    right.set_ylabel("neurons")
    left.legend(fontsize=8, frameon=False)
    return fig
