"""The heavily over-fitted spiral: hundreds of neurons in nearly parallel columns, five noise levels.

80 points in five noisy copies, labels -delta (the score times the noise level), beta = 0.05 on the
half-squared loss.  This is the package's problem with labels -delta / noise at beta / noise, its
objective times noise^2.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import (
    Check,
    Report,
    Row,
    column,
    figure,
    name_sizes,
    once,
    told,
)  # fmt: skip
from benchmarks.problems.spiral import overfit_problem, spiral
from convexscore import ConvergenceWarning
from convexscore.solvers.oracles.choice import make_oracle
from convexscore.solvers.space.generation import Round
from convexscore.solvers.space.solve import SpaceFit, solve

TITLE = "over-fitted spiral, 80 points x 5 noisy copies, to a certified relative gap of 1e-2"


@dataclass(frozen=True)
class Settings:
    n_points: int
    copies: int
    levels: tuple[float, ...]
    beta: float = 0.05
    tol: float = 1e-2
    aim_seconds: float = 60.0


FULL = Settings(80, 5, (0.5, 0.1, 0.05, 0.03, 0.01))
QUICK = Settings(20, 2, (0.5, 0.05))


def run(settings: Settings, seed: int) -> Report:
    rows, rounds = [], []
    for noise in settings.levels:
        row, log = one_level(noise, settings, seed)
        rows.append(row)
        rounds += log
    checks = [
        Check("seconds of the slowest level", max(column(rows, "seconds")), settings.aim_seconds,
              timing=True),
        Check("CPU seconds of the slowest level", max(column(rows, "CPU seconds")),
              settings.aim_seconds, timing=True),
        Check("largest certified relative gap", max(column(rows, "relative gap")), settings.tol),
        Check("share of the loss in the objective, largest", max(column(rows, "data / objective")),
              1.0),
        Check("certificates that did not look at every line", sum(not r["exact"] for r in rows), 0),
    ]  # fmt: skip
    notes = [
        f"Labels -delta, beta = {settings.beta:g} on the half-squared loss; ReLU without skip; one "
        "draw of the noise.  `data / objective`: how much of the objective is left in the loss.",
        "Columns: most in the restricted problem at once.  Newton steps: of all restricted problems.",
        "Certified over all lines of the plane; standardisation, solve, certificate; one thread, one "
        "run.",
    ]
    return Report({"Noise levels": rows}, checks, notes, rounds)


def one_level(noise: float, settings: Settings, seed: int) -> tuple[Row, list[Row]]:
    """Solve one noise level and keep the log of its rounds."""
    points = spiral(settings.n_points)
    log: list[Round] = []
    with warnings.catch_warnings():
        # a level that stops early shows in its gap
        warnings.simplefilter("ignore", ConvergenceWarning)
        timing, fitted = once(lambda: fit_level(points, noise, settings, seed, log))
    certificate = fitted.certificate
    loss = certificate.objective - settings.beta * fitted.network.path_norm()
    row = {
        "noise": noise,
        **timing.row,
        "relative gap": certificate.relative_gap,
        "reached": bool(certificate.relative_gap <= settings.tol),
        "exact": certificate.exact,
        "rounds": len(log),
        "columns (most)": max(line.n_columns for line in log),
        "Newton steps": log[-1].n_steps,
        **told(certificate, "neurons", "violation", "objective"),
        "data / objective": loss / certificate.objective,
    }
    # what a round knew, at the beta it was solved for; only the last beta bounds the problem asked
    data = [
        {
            "noise": noise,
            "seconds": line.seconds,
            "beta": line.beta,
            "violation": line.largest / line.beta - 1.0,
            "columns": line.n_columns,
            "active": line.n_active,
            "steps": line.n_steps,
        }
        for line in log
    ]
    return row, data


def fit_level(
    points: Any, noise: float, settings: Settings, seed: int, log: list[Round] | None = None
) -> SpaceFit:
    """One noise level in the form of the labels -delta, through the solver of the package."""
    problem = overfit_problem(points, settings.copies, noise, seed)
    oracle = make_oracle(problem, random_state=np.random.default_rng(seed))
    return solve(problem, settings.beta, oracle, tol=settings.tol, log=log)


def draw(report: Report) -> Any:
    """Seconds a level, and columns and neurons against the noise level."""
    rows = report.tables["Noise levels"]
    noise = column(rows, "noise")
    fig, (left, right) = figure(5.2, 4.0, columns=2)
    left.loglog(noise, column(rows, "seconds"), "o-", label="wall")
    left.loglog(noise, column(rows, "CPU seconds"), "o--", label="CPU")
    left.axhline(report.settings["aim_seconds"], color="0.3", linestyle=":", label="aim")
    left.set(ylabel="seconds to a certified gap of 1e-2")
    right.semilogx(noise, column(rows, "columns (most)"), "s--", label="columns, most")
    right.semilogx(noise, column(rows, "neurons"), "o-", label="neurons of the network")
    right.set(ylabel="count", ylim=(0, None))
    for axes in (left, right):
        name_sizes(axes, noise, "noise level")
        axes.invert_xaxis()
        axes.legend()
    return fig
