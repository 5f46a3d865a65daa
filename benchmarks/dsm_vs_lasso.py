"""Univariate denoising score matching is a lasso: against the solvers made for lassos.

They get the dense, centred n x 2n matrix (made beforehand, its time not counted) in the layout they
like.  Equal accuracy means: the objective is within 1e-6 (relative) of the optimum, judged by one
function for everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import (
    Check,
    Floats,
    Report,
    Timing,
    column,
    figure,
    groups,
    measure,
    once,
    total_memory,
)
from benchmarks.peers.lasso import LassoSolver, available
from benchmarks.peers.tolerance import checks_of_the_best, climb, notes_on_peers
from benchmarks.problems import lasso
from convexscore import ConvexScore, fit_convex_score
from convexscore.programs import univariate_matrices

TITLE = "univariate denoising lasso against skglm, celer and scikit-learn at equal duality gap"


@dataclass(frozen=True)
class Settings:
    sizes: tuple[int, ...]
    alone_sizes: tuple[int, ...]
    skip_sizes: tuple[int, ...]
    scikit_learn_up_to: int
    aim_at: int
    fit_repeats: int
    share_of_beta_max: float = 0.05
    noise: float = 0.5
    gap: float = 1e-6
    loosest_tol: float = 1e-4
    tightest_tol: float = 1e-10
    # a solver's ladder of tolerances ends when it has used this many CPU seconds at one problem
    patience: float = 60.0


FULL = Settings((400, 1000, 2000, 5000), (10**4, 10**5, 10**6), (2000,), 400, 5000, 7)
QUICK = Settings((200,), (2000,), (200,), 200, 200, 3)


def run(settings: Settings, seed: int) -> Report:
    solvers, missing = available(("skglm", "celer", "scikit-learn"))
    warm = _problem(60, False, settings, seed)
    for solver in solvers.values():  # compiles what is compiled on first use
        solver(*_dense(warm), warm.beta, 1e-4)
    rows, alone = [], []
    for n in settings.sizes:
        rows += _compare(n, False, solvers, settings, seed)
    with_skip = [
        row for n in settings.skip_sizes for row in _compare(n, True, solvers, settings, seed)
    ]
    for n in settings.alone_sizes:
        problem = _problem(n, False, settings, seed)
        timing, fit = _ours(problem, settings.fit_repeats)
        dense = 2.0 * n * n * 8
        alone.append(
            {
                **_row(n, "convexscore", timing, fit.certificate_.relative_gap, fit),
                "violation": fit.certificate_.max_violation,
                "dense matrix (GB)": dense / 1e9,
                "fits in memory": bool(dense < total_memory()),
            }
        )
    return Report(
        {
            "ReLU without skip (the plain lasso)": rows,
            "ReLU with skip": with_skip,
            "Beyond dense matrices: convexscore alone": alone,
        },
        _checks(rows, with_skip, alone, settings),
        _notes(rows + with_skip, missing, settings),
    )


def _compare(
    n: int, skip: bool, solvers: dict[str, LassoSolver], settings: Settings, seed: int
) -> list[dict[str, Any]]:
    problem = _problem(n, skip, settings, seed)
    ours, fit = _ours(problem, settings.fit_repeats)
    gap = lasso.gap_to_optimum(problem, fit.network_)
    rows = [{**_row(n, "convexscore", ours, gap, fit), "own gap": fit.certificate_.relative_gap}]
    made, (X, target) = once(lambda: _dense(problem))
    for name, solver in solvers.items():
        if name == "scikit-learn" and n > settings.scikit_learn_up_to:
            continue
        found = climb(
            partial(solver, X, target, problem.beta),
            lambda weights: lasso.gap_to_optimum(problem, lasso.network_of(problem, weights)),
            settings,
        )
        network = lasso.network_of(problem, found.weights)
        row = {"solver": name, **found.row}
        row["own gap"] = lasso.gap_to_optimum(problem, network, "residual")
        row["dense lasso gap"] = lasso.lasso_gap(X, target, found.weights, problem.beta)
        row["seconds / ours"] = row["seconds"] / ours.wall
        row["CPU / ours"] = row["CPU seconds"] / ours.cpu
        row["matrix seconds (not counted)"] = made.wall
        rows.append({"n": n, **row})
    return rows


def _problem(n: int, skip: bool, settings: Settings, seed: int) -> lasso.Problem:
    return lasso.make_problem(
        n, skip, share=settings.share_of_beta_max, noise=settings.noise, seed=seed
    )


def _dense(problem: lasso.Problem) -> tuple[Floats, Floats]:
    lasso = univariate_matrices(problem.noisy, labels=problem.labels, skip=problem.skip)
    return np.asfortranarray(lasso.A), lasso.target


def _ours(problem: lasso.Problem, repeats: int) -> tuple[Timing, ConvexScore]:
    return measure(
        lambda: fit_convex_score(
            problem.x,
            objective="denoising",
            noise=problem.noise,
            n_draws=1,
            skip=problem.skip,
            beta=problem.beta,
            random_state=problem.seed,
        ),
        repeats=repeats,
    )


def _row(n: int, solver: str, timing: Timing, gap: float, fit: ConvexScore) -> dict[str, Any]:
    return {
        "n": n,
        "solver": solver,
        **timing.row,
        "gap to the optimum": gap,
        "reached": True,
        "neurons": fit.network_.n_neurons,
    }


def _checks(
    rows: list[dict[str, Any]],
    with_skip: list[dict[str, Any]],
    alone: list[dict[str, Any]],
    settings: Settings,
) -> list[Check]:
    ours = [row for row in rows + with_skip + alone if row["solver"] == "convexscore"]
    others = [row for row in rows + with_skip if row["solver"] != "convexscore"]
    # the textbook gap from the matrix knows nothing of our code; our dual point may prove more
    beyond = [row["own gap"] - 1.001 * row["dense lasso gap"] for row in others]
    checks = [
        Check("convexscore's largest gap", max(r["gap to the optimum"] for r in ours), 1e-10),
        Check("others that did not reach the gap", sum(not row["reached"] for row in others), 0),
        Check("others: gap to the optimum beyond the one they prove",
              max((r["gap to the optimum"] - r["own gap"] for r in others), default=0.0), 1e-12),
        Check("others: gap they prove here beyond the textbook one", max(beyond, default=0.0), 1e-11),
    ]  # fmt: skip
    # every row is at least as slow as its time, reached or not
    return checks + checks_of_the_best(rows, settings.aim_at, 50.0)


def _notes(rows: list[dict[str, Any]], missing: dict[str, str], settings: Settings) -> list[str]:
    return [
        f"beta = {settings.share_of_beta_max} * beta_max, beta_max the smallest beta without "
        f"neurons; noise {settings.noise}, noisy labels, one draw.",
        "Gap to the optimum: objective minus the best dual value known, over the objective: what a "
        "solver really reached, kinder to it than the gap it can prove (`own gap`: from its "
        "residual made feasible; `dense lasso gap`: the textbook one, from the matrix).",
        f"Others: loosest tol (steps of sqrt 10) with gap <= {settings.gap:g}, fit alone on the "
        "ready matrix.  Ours: the whole call, drawing the noise, sorting and certificate included, "
        "at its default tolerance, whose gap is far smaller.",
        f"scikit-learn's Lasso only up to n = {settings.scikit_learn_up_to}, already slow there.",
        "Where a dense matrix would still fit (`fits in memory`) the others are left out for time.",
        *notes_on_peers(rows, missing, settings.patience),
    ]  # fmt: skip


def draw(report: Report) -> Any:
    """Seconds against n, everybody at the same gap."""
    fig, (axes,) = figure(6.0, 4.2)
    rows = report.tables["ReLU without skip (the plain lasso)"]
    rows = rows + report.tables["Beyond dense matrices: convexscore alone"]
    for solver, mine in groups(rows, "solver").items():
        axes.loglog(column(mine, "n"), column(mine, "seconds"), "o-", label=solver)
    axes.set(xlabel="n", ylabel="seconds to a relative gap of 1e-6")
    axes.legend()
    return fig
