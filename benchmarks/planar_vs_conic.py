"""Planar denoising: column generation over all lines against a conic solver on lines through pairs.

The conic program is the group lasso with both orientations of every line through two points.  The best
line need not be one of them, so its optimum is an upper bound; objectives of both networks come from
the same function, which also bounds both from below over all lines.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import (
    Check,
    Report,
    column,
    figure,
    groups,
    measure,
    name_sizes,
    once,
    told,
)  # fmt: skip
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
    problems = {
        n: make_problem(n, settings.share, settings.noise, seed) for n in (12, *settings.sizes)
    }
    _conic(problems[12])  # first calls
    rows = [
        _compare(problems[n], tol, settings) for n in settings.sizes for tol in settings.tolerances
    ]
    by_conic = {n: _conic_row(problems[n]) for n in settings.sizes}
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


def _compare(problem: PlanarProblem, tol: float, settings: Settings) -> dict[str, Any]:
    timing, fitted = measure(lambda: fit(problem, tol), repeats=settings.fit_repeats)
    judged = judge(problem, fitted.network_)
    return {
        "n": len(problem.noisy),
        "tol": tol,
        **timing.row,
        "objective": judged.objective,
        "relative gap": fitted.certificate_.relative_gap,
        "gap over all lines": judged.relative_gap,
        **told(fitted.certificate_, "neurons", "rounds", "certified"),
    }


def _conic(problem: PlanarProblem) -> ConvexProgram:
    neurons = neuron_dictionary(problem.noisy)
    return dictionary_program(problem.noisy, neurons, beta=problem.beta, labels=problem.labels)


def _conic_row(problem: PlanarProblem) -> dict[str, Any]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        timing, program = once(lambda: _conic(problem))
    judged = judge(problem, program.network)
    n = len(problem.noisy)
    return {
        "n": n,
        "columns": n * (n - 1),
        **timing.row,
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
    n = column(conic, "n")
    fig, (left, right) = figure(5.2, 4.0, columns=2)
    left.semilogy(n, column(conic, "seconds"), "s-", label="CVXPY with Clarabel, pairs")
    left.semilogy(n, column(conic, "Clarabel alone seconds"), "s:", label="Clarabel alone")
    right.semilogy(n, column(conic, "gap over all lines"), "s-")
    for (tol, mine), color in zip(groups(ours, "tol").items(), ("C2", "C3"), strict=True):
        label = f"fit_convex_score, tol = {tol:g}"
        left.semilogy(n, column(mine, "seconds"), "o-", color=color, label=label)
        right.semilogy(n, column(mine, "gap over all lines"), "o-", color=color)
    left.set(ylabel="seconds")
    right.set(ylabel="relative gap over all lines, from the own residual")
    for axes in (left, right):
        name_sizes(axes, n)
        axes.margins(x=0.12)
    left.legend()
    return fig
