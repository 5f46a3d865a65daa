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
from numpy.typing import NDArray

from benchmarks.harness import Check, Report, Timing, figure, measure, total_memory
from benchmarks.lasso_peers import LassoSolver, available
from benchmarks.laws import TWO_HUMPS
from convexscore import ConvexScore, TwoLayerNetwork, certify, fit_convex_score
from convexscore.objectives import denoising
from convexscore.programs import univariate_matrices

TITLE = "univariate denoising lasso against skglm, celer and scikit-learn at equal duality gap"

Floats = NDArray[np.float64]


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
    # a solver's ladder of tolerances ends when it has used this many seconds at one problem
    patience: float = 60.0


FULL = Settings((400, 1000, 2000, 5000), (10**4, 10**5, 10**6), (2000,), 400, 5000, 7)
QUICK = Settings((200,), (2000,), (200,), 200, 200, 3)


@dataclass(frozen=True)
class Problem:
    """One denoising problem; the same seed makes the fit draw the same noise."""

    x: Floats
    noisy: Floats
    labels: Floats
    beta: float
    skip: bool
    noise: float
    seed: int


def make_problem(n: int, skip: bool, settings: Settings, seed: int) -> Problem:
    """Data, noise and beta = share * beta_max, in O(n log n)."""
    x = TWO_HUMPS.sample(np.random.default_rng(seed), n)
    drawn = denoising(x, noise=settings.noise, n_draws=1, random_state=seed)
    assert drawn.labels is not None
    noisy, labels = drawn.points[:, 0], drawn.labels[:, 0]
    beta = settings.share_of_beta_max * beta_max(noisy, labels, skip)
    return Problem(x, noisy, labels, beta, skip, settings.noise, seed)


def beta_max(noisy: Floats, labels: Floats, skip: bool) -> float:
    """Smallest beta whose optimum has no neuron: the largest |column . target|, by prefix sums."""
    order = np.argsort(noisy)
    x, target = noisy[order] - noisy.mean(), labels[order] - labels.mean()
    if skip:
        target = target - x * (x @ target) / (x @ x)
    # sum over i <= k of (x_k - x_i) t_i; the right-facing hinge differs by sum t x, zero with skip
    left = x * np.cumsum(target) - np.cumsum(x * target)
    right = left + x @ target
    return float(max(np.abs(left).max(), np.abs(right).max()))


def network_of(problem: Problem, coefficients: Floats) -> TwoLayerNetwork:
    """The network of a lasso solution: right-facing hinges first, best offset and skip slope."""
    keep = np.flatnonzero(coefficients)
    keep = keep if keep.size else np.array([0])
    n = problem.noisy.size
    u = np.where(keep < n, 1.0, -1.0)[:, None]
    b = -u[:, 0] * problem.noisy[keep % n]
    w = coefficients[keep][:, None]
    bare = TwoLayerNetwork(u, w, b, offset=0.0)
    rest = problem.labels - bare(problem.noisy)
    slope = 0.0
    if problem.skip:
        line = problem.noisy - problem.noisy.mean()
        slope = float(line @ rest / (line @ line))
        rest = rest - slope * problem.noisy
    skip = slope if problem.skip else None
    return TwoLayerNetwork(u, w, b, skip=skip, offset=float(rest.mean()))


def gap_to_optimum(problem: Problem, network: TwoLayerNetwork, reference: str = "solve") -> float:
    """Relative duality gap: to the best dual point, or to the one made of the own residual."""
    certificate = certify(
        network,
        problem.noisy,
        objective="denoising",
        labels=problem.labels,
        beta=problem.beta,
        skip=problem.skip,
        reference=reference,
    )
    return float(certificate.relative_gap)


def lasso_gap(X: Floats, target: Floats, coefficients: Floats, beta: float) -> float:
    """The textbook relative duality gap of a lasso solution, from the dense matrix alone."""
    residual = target - X @ coefficients
    primal = 0.5 * residual @ residual + beta * np.abs(coefficients).sum()
    dual = residual * min(1.0, beta / np.abs(X.T @ residual).max())
    return float((primal - (dual @ target - 0.5 * dual @ dual)) / primal)


def run(settings: Settings, seed: int) -> Report:
    solvers, missing = available(("skglm", "celer", "scikit-learn"))
    warm = make_problem(60, False, settings, seed)
    for solver in solvers.values():  # compiles what is compiled on first use
        solver(*_dense(warm), warm.beta, 1e-4)
    rows, alone = [], []
    for n in settings.sizes:
        rows += _compare(n, False, solvers, settings, seed)
    with_skip = [
        row for n in settings.skip_sizes for row in _compare(n, True, solvers, settings, seed)
    ]
    for n in settings.alone_sizes:
        problem = make_problem(n, False, settings, seed)
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
    problem = make_problem(n, skip, settings, seed)
    ours, fit = _ours(problem, settings.fit_repeats)
    gap = gap_to_optimum(problem, fit.network_)
    rows = [{**_row(n, "convexscore", ours, gap, fit), "own gap": fit.certificate_.relative_gap}]
    made, (X, target) = measure(lambda: _dense(problem), repeats=1, warmup=0)
    for name, solver in solvers.items():
        if name == "scikit-learn" and n > settings.scikit_learn_up_to:
            continue
        row = _climb(name, partial(solver, X, target, problem.beta), problem, settings)
        coefficients = row.pop("coefficients")
        row["dense lasso gap"] = lasso_gap(X, target, coefficients, problem.beta)
        row["seconds / ours"] = row["seconds"] / ours.wall
        row["CPU / ours"] = row["CPU seconds"] / ours.cpu
        row["matrix seconds (not counted)"] = made.wall
        rows.append({"n": n, **row})
    return rows


def _dense(problem: Problem) -> tuple[Floats, Floats]:
    lasso = univariate_matrices(problem.noisy, labels=problem.labels, skip=problem.skip)
    return np.asfortranarray(lasso.A), lasso.target


def _ours(problem: Problem, repeats: int) -> tuple[Timing, ConvexScore]:
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


def _climb(name: str, solve: Any, problem: Problem, settings: Settings) -> dict[str, Any]:
    """The loosest tolerance, in steps of sqrt(10), that reaches the gap; timed there."""
    tol, spent, timing, gap = settings.loosest_tol, 0.0, None, np.inf
    while gap > settings.gap and tol >= settings.tightest_tol and spent < settings.patience:
        used = tol
        timing, coefficients = measure(partial(solve, used), repeats=1, warmup=0)
        network = network_of(problem, coefficients)
        gap = gap_to_optimum(problem, network)
        spent += timing.wall
        tol /= np.sqrt(10.0)
    assert timing is not None
    if timing.wall < 2.0:
        timing, coefficients = measure(partial(solve, used), repeats=3, warmup=0)
    return {
        "solver": name,
        "seconds": timing.wall,
        "CPU seconds": timing.cpu,
        "gap to the optimum": gap,
        "reached": bool(gap <= settings.gap),
        "neurons": int(np.count_nonzero(coefficients)),
        "own gap": gap_to_optimum(problem, network, "residual"),
        "tol": used,
        "coefficients": coefficients,
    }


def _row(n: int, solver: str, timing: Timing, gap: float, fit: ConvexScore) -> dict[str, Any]:
    return {
        "n": n,
        "solver": solver,
        "seconds": timing.wall,
        "CPU seconds": timing.cpu,
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
    checks = [
        Check("convexscore's largest gap", max(r["gap to the optimum"] for r in ours), settings.gap)
    ]
    # every row is at least as slow as its time, reached or not
    aimed = [row for row in rows if row["n"] == settings.aim_at and row["solver"] != "convexscore"]
    for key in ("seconds / ours", "CPU / ours") if aimed else ():
        best = min(aimed, key=lambda row: row[key])
        checks.append(
            Check(f"n = {settings.aim_at}: {best['solver']} (the best of the others), {key}",
                  best[key], 50.0, at_least=True, timing=True)
        )  # fmt: skip
    return checks


def _notes(rows: list[dict[str, Any]], missing: dict[str, str], settings: Settings) -> list[str]:
    short = [f"{row['solver']} at n = {row['n']}" for row in rows if not row["reached"]]
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
        *(f"{name} left out: {reason}." for name, reason in missing.items()),
        *([f"Did not reach the gap in {settings.patience:g} s or at the tightest tol: "
           + ", ".join(short) + "; their ratios are lower bounds."] if short else []),
    ]  # fmt: skip


def draw(report: Report) -> Any:
    """Seconds against n, everybody at the same gap."""
    fig, (axes,) = figure(6.0, 4.2)
    rows = report.tables["ReLU without skip (the plain lasso)"]
    rows = rows + report.tables["Beyond dense matrices: convexscore alone"]
    for solver in dict.fromkeys(row["solver"] for row in rows):
        mine = [row for row in rows if row["solver"] == solver]
        axes.loglog([r["n"] for r in mine], [r["seconds"] for r in mine], "o-", label=solver)
    axes.set(xlabel="n", ylabel="seconds to a relative gap of 1e-6")
    axes.legend()
    return fig
