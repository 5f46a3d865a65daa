"""Planar denoising: column generation over all lines against a conic solver on lines through pairs.

The conic program is the group lasso with both orientations of every line through two points.  The best
line need not be one of them, so its optimum is an upper bound; objectives of both networks come from
the same function, which also bounds both from below over all lines.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import Check, Report, figure, measure
from benchmarks.problems.spiral import PlanarProblem, fit, judge, make_problem
from convexscore.programs import ConvexProgram, dictionary_program, neuron_dictionary

TITLE = "planar denoising on the noisy spiral against CVXPY with Clarabel on lines through pairs"


@dataclass(frozen=True)
class Settings:
    sizes: tuple[int, ...]
    aim_at: int
    fit_repeats: int
    tolerances: tuple[float, ...] = (1e-4, 1e-8)  # ours: the default, and to the conic one's digits
    share: float = 0.05
    noise: float = 0.5
    equal: float = 1e-8  # of the objective: the conic solver's own error


FULL = Settings((60, 100), 100, 5)
QUICK = Settings((16, 24), 24, 2)


def run(settings: Settings, seed: int) -> Report:
    warm = make_problem(12, settings.share, settings.noise, seed)
    _conic(warm)
    rows = [_compare(n, tol, settings, seed) for n, tol in _cases(settings)]
    by_conic: dict[int, dict[str, Any]] = {}
    for n in settings.sizes:
        by_conic[n] = _conic_row(make_problem(n, settings.share, settings.noise, seed))
    for row in rows:
        conic = by_conic[row["n"]]
        row |= {
            "conic / ours": conic["seconds"] / row["seconds"],
            "CPU, conic / ours": conic["CPU seconds"] / row["CPU seconds"],
            "Clarabel alone / ours": conic["Clarabel alone seconds"] / row["seconds"],
            "ours / conic objective - 1": row["objective"] / conic["objective"] - 1.0,
        }
    tight = min(settings.tolerances)
    aimed = [row for row in rows if row["n"] == settings.aim_at]
    checks = [
        *(
            Check(f"n = {settings.aim_at}, our tol {row['tol']:g}: conic / ours",
                  row["conic / ours"], 100.0, at_least=True, timing=True)
            for row in aimed
        ),
        Check(f"tol {tight:g}: largest ours / conic objective - 1",
              max(r["ours / conic objective - 1"] for r in rows if r["tol"] == tight), settings.equal),
        Check("any tol: largest (ours / conic objective - 1) / tol",
              max(r["ours / conic objective - 1"] / r["tol"] for r in rows), 1.0),
        Check("our lower bound over all lines / conic objective, largest",
              max((1.0 - r["relative gap"]) * r["objective"] / by_conic[r["n"]]["objective"]
                  for r in rows), 1.0 + 1e-12),
        Check("conic objective and the program's own value, largest relative difference",
              max(abs(r["objective"] / r["own value"] - 1.0) for r in by_conic.values()), 1e-7),
        Check("fits not certified over all lines", sum(not r["certified"] for r in rows), 0),
    ]  # fmt: skip
    notes = [
        f"beta = {settings.share} * beta_max, noise {settings.noise}, ReLU without skip, one draw.",
        "Conic: dictionary, CVXPY's compilation, Clarabel at tolerance 1e-9, network; one call, after "
        "a small one.  `Clarabel alone` is the time the solver itself reports.",
        "Ours: drawing the noise, solve and certificate over every line of the plane, medians of "
        f"{settings.fit_repeats} calls.",
        "Objectives by certify(); `gap over all lines` is what the network's own residual proves.",
    ]
    return Report(
        {"fit_convex_score": rows, "CVXPY with Clarabel": list(by_conic.values())}, checks, notes
    )


def _cases(settings: Settings) -> list[tuple[int, float]]:
    return [(n, tol) for n in settings.sizes for tol in settings.tolerances]


def _compare(n: int, tol: float, settings: Settings, seed: int) -> dict[str, Any]:
    problem = make_problem(n, settings.share, settings.noise, seed)
    timing, fitted = measure(lambda: fit(problem, tol), repeats=settings.fit_repeats)
    judged = judge(problem, fitted.network_)
    return {
        "n": n,
        "tol": tol,
        "seconds": timing.wall,
        "CPU seconds": timing.cpu,
        "objective": judged.objective,
        "relative gap": fitted.certificate_.relative_gap,
        "gap over all lines": judged.relative_gap,
        "neurons": fitted.network_.n_neurons,
        "rounds": fitted.certificate_.n_iter,
        "certified": fitted.certificate_.optimal,
    }


def _conic(problem: PlanarProblem) -> ConvexProgram:
    neurons = neuron_dictionary(problem.noisy)
    return dictionary_program(problem.noisy, neurons, beta=problem.beta, labels=problem.labels)


def _conic_row(problem: PlanarProblem) -> dict[str, Any]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        timing, program = measure(lambda: _conic(problem), repeats=1, warmup=0)
    judged = judge(problem, program.network)
    n = len(problem.noisy)
    return {
        "n": n,
        "columns": n * (n - 1),
        "seconds": timing.wall,
        "CPU seconds": timing.cpu,
        "Clarabel alone seconds": float(program.problem.solver_stats.solve_time),
        "objective": judged.objective,
        "own value": program.value,
        "gap over all lines": judged.relative_gap,
        "neurons": program.network.n_neurons,
        "status": program.status,
        "warnings": len(caught),
    }


def draw(report: Report) -> Any:
    """Seconds of both sides, and the gaps to the best network of any width that they prove."""
    ours, conic = report.tables["fit_convex_score"], report.tables["CVXPY with Clarabel"]
    n = [row["n"] for row in conic]
    fig, (left, right) = figure(5.2, 4.0, columns=2)
    left.semilogy(n, [row["seconds"] for row in conic], "s-", label="CVXPY with Clarabel, pairs")
    left.semilogy(n, [row["Clarabel alone seconds"] for row in conic], "s:", label="Clarabel alone")
    right.semilogy(n, [row["gap over all lines"] for row in conic], "s-")
    for tol, color in zip(dict.fromkeys(row["tol"] for row in ours), ("C2", "C3"), strict=True):
        mine = [row for row in ours if row["tol"] == tol]
        label = f"fit_convex_score, tol = {tol:g}"
        left.semilogy(n, [row["seconds"] for row in mine], "o-", color=color, label=label)
        right.semilogy(n, [row["gap over all lines"] for row in mine], "o-", color=color)
    left.set(xlabel="n", ylabel="seconds")
    right.set(xlabel="n", ylabel="relative gap over all lines, from the own residual")
    for axes in (left, right):
        axes.set_xticks(n)
        axes.margins(x=0.12)
    left.legend()
    return fig
