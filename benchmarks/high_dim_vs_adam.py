"""Ten dimensions, twenty thousand rows: one convex fit against ten Adam runs with as many neurons."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import (
    Check,
    Floats,
    Report,
    Row,
    column,
    each_job,
    figure,
    groups,
    once,
    told,
)
from benchmarks.peers.mlp import Task, adam_run, objective
from benchmarks.problems.spiral import no_neuron_beta
from convexscore import ConvergenceWarning, ConvexScore, fit_convex_score, training
from convexscore.objectives import ScoreObjective, denoising

TITLE = "d = 10, n = 20 000, denoising: one convex fit against the best of ten Adam runs"


@dataclass(frozen=True)
class Settings:
    n: int
    dim: int
    runs: int
    epochs: int
    jobs: int
    centres: int = 4
    spread: float = 2.0  # of the centres, a coordinate
    width: float = 0.5  # of each Gaussian
    noise: float = 1.0
    share: float = 0.1
    tol: float = 5e-3
    n_starts: int = 8
    batch: int = 200
    rates: tuple[float, ...] = (1e-3, 3e-3)
    lbfgs_runs: int = 2
    lbfgs_iterations: int = 150


FULL = Settings(20_000, 10, 10, 200, 2)
QUICK = Settings(1000, 5, 2, 10, 1)


def data(settings: Settings, seed: int) -> Floats:
    """A mixture of Gaussians with equal weights."""
    rng = np.random.default_rng(seed)
    centres = settings.spread * rng.normal(size=(settings.centres, settings.dim))
    which = rng.integers(settings.centres, size=settings.n)
    return centres[which] + settings.width * rng.normal(size=(settings.n, settings.dim))


def noise_stream(seed: int) -> np.random.Generator:
    """Where the noise comes from: not the stream of the data, which the same integer would repeat."""
    return np.random.default_rng([seed, 1])


def run(settings: Settings, seed: int) -> Report:
    X = data(settings, seed)
    drawn = denoising(X, noise=settings.noise, n_draws=1, random_state=noise_stream(seed))
    assert drawn.labels is not None
    largest = no_neuron_beta(drawn)
    task = Task(drawn.points, drawn.labels, settings.share * largest)
    few = X[: len(X) // 10]
    _fit(few, task.beta * len(few) / len(X), settings, seed)  # first calls
    ours, fitted = once(lambda: _fit(X, task.beta, settings, seed))
    m = max(1, fitted.network_.n_neurons)
    jobs = [(settings.rates[i % len(settings.rates)], seed + i) for i in range(settings.runs)]
    adam = partial(adam_run, task, m, epochs=settings.epochs, batch=settings.batch)
    together, runs = once(lambda: each_job(adam, jobs, settings.jobs))
    lbfgs = lbfgs_runs(task, m, seed, settings)
    return _report(task, fitted, ours, runs, lbfgs, together.wall, largest, settings)


def _fit(X: Floats, beta: float, settings: Settings, seed: int) -> ConvexScore:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # shown by the gap
        return fit_convex_score(
            X,
            objective="denoising",
            noise=settings.noise,
            n_draws=1,
            skip=False,
            beta=beta,
            tol=settings.tol,
            n_starts=settings.n_starts,
            random_state=noise_stream(seed),
        )


def lbfgs_runs(task: Task, m: int, seed: int, settings: Settings) -> list[Row]:
    """Runs of the package's own L-BFGS on all rows at once, at every third of the iterations."""
    last = settings.lbfgs_iterations
    thirds = [last // 3, 2 * last // 3, last]
    found = training.train(
        ScoreObjective(task.noisy, task.labels, 0.0, None),
        beta=task.beta,
        width=m,
        skip=False,
        optimizer="lbfgs",
        n_restarts=settings.lbfgs_runs,
        n_epochs=last,
        record=thirds,
        snapshots=thirds,
        random_state=seed,
    )
    return [
        {
            "restart": int(found.restarts[run]),
            "iterations": int(found.epochs[k]),
            "seconds": float(found.seconds[run, k]),
            "objective": objective(task, found.network(run, snapshot=k - 1)),
        }
        for run in range(found.n_runs)
        for k in (1, 2, 3)
    ]


def _report(
    task: Task,
    fitted: ConvexScore,
    ours: Any,
    runs: list[Row],
    lbfgs: list[Row],
    wall: float,
    largest: float,
    settings: Settings,
) -> Report:
    certificate = fitted.certificate_
    value = objective(task, fitted.network_)
    rest = task.labels - task.labels.mean(axis=0)
    empty = 0.5 * float(np.einsum("nd,nd->", rest, rest))
    best = min(column(runs, "objective"))
    total, total_cpu = (sum(column(runs, key)) for key in ("seconds", "CPU seconds"))
    for row in (*runs, *lbfgs):
        row["objective / ours - 1"] = row["objective"] / value - 1.0
    summary: list[Row] = [
        {
            "who": "convexscore",
            **ours.row,
            "objective": value,
            **told(
                certificate, "lower bound", "relative gap", "exact", "searches", "rounds", "neurons"
            ),
        },
        {
            "who": f"{len(runs)} Adam runs, the best",
            "seconds": total,
            "CPU seconds": total_cpu,
            "objective": best,
            "neurons": fitted.network_.n_neurons,
        },
    ]
    checks = [
        Check("best Adam objective / ours - 1", best / value - 1.0, 0.0, at_least=True),
        Check("our seconds / total seconds of the Adam runs", ours.wall / total, 0.1, timing=True),
        Check("our CPU seconds / total CPU seconds of the Adam runs", ours.cpu / total_cpu, 0.1,
              timing=True),
        Check("objective here and in our certificate, relative difference",
              abs(certificate.objective / value - 1.0), 1e-9),
    ]  # fmt: skip
    notes = [
        f"{settings.centres} Gaussians, n = {settings.n}, d = {settings.dim}; noise {settings.noise}, "
        f"ReLU without skip, beta = {settings.share} * beta_max (beta_max = {largest:.4g} by local "
        f"searches); the best network without neurons has objective {empty:.0f}.",
        f"Ours: the whole call at tol = {settings.tol:g} with {settings.n_starts} local searches a "
        "round; in this dimension the lower bound holds as far as the searches of the certificate tell.",
        f"Adam: scikit-learn's MLPRegressor, batches of {settings.batch}, {settings.epochs} epochs "
        f"(all of them, no early stop), learning rates {settings.rates}, "
        f"alpha = beta * batch / n; objective with ||u|| ||w|| and the best offset, both kinder to it "
        "than what it descends.",
        f"L-BFGS: convexscore.training on all rows at once, {settings.lbfgs_iterations} iterations, same "
        "objective with the best offset.  It is no part of the aims.",
        f"Total: summed over the runs, {settings.jobs} at a time, {wall:.0f} s together.",
    ]
    tables = {"Both sides": summary, "Adam runs": runs, "L-BFGS runs": lbfgs}
    return Report(tables, checks, notes)


def draw(report: Report) -> Any:
    """Objective above the lower bound against CPU seconds."""
    ours, adam = report.tables["Both sides"]
    runs = report.tables["Adam runs"]
    bound = ours["lower bound"]
    fig, (axes,) = figure(6.0, 4.2)
    for (rate, mine), marker in zip(groups(runs, "learning rate").items(), "sv^d", strict=False):
        axes.plot(column(mine, "CPU seconds"), [r["objective"] / bound - 1.0 for r in mine],
                  marker, label=f"one Adam run, learning rate {rate:g}")  # fmt: skip
    axes.plot(adam["CPU seconds"], adam["objective"] / bound - 1.0, "*", color="0.3", markersize=12,
              label=f"the best of {len(runs)} at the time of all")  # fmt: skip
    for restart, mine in groups(report.tables["L-BFGS runs"], "restart").items():
        axes.plot(column(mine, "seconds"), [r["objective"] / bound - 1.0 for r in mine], "^-",
                  color="C2", label=None if restart else "one L-BFGS run on all rows")  # fmt: skip
    axes.plot(ours["CPU seconds"], ours["objective"] / bound - 1.0, "o", color="C3", markersize=9,
              label="fit_convex_score")  # fmt: skip
    axes.set(xscale="log", ylim=(0.0, None), xlabel="CPU seconds",
             ylabel="objective / our lower bound - 1")  # fmt: skip
    axes.legend()
    return fig
