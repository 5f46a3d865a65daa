"""Figure 5: denoising score matching of N(0, 1) at several noise levels, convex and trained.

The training loss of SGD with learning rates 1, 1e-2 and 1e-6, summed over the noise levels, against
the certified optimum; annealed-Langevin histograms of the convex scores and of the trained networks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtr

from benchmarks.harness import Check, Floats, Report, Row
from benchmarks.paper import look, parts
from benchmarks.paper.training import Level, at_level, fit_and_train
from convexscore.samplers import annealed_langevin
from convexscore.schedules import geometric_levels
from convexscore.training import SGD, log_epochs

TITLE = "univariate denoising of N(0, 1): convex scores against SGD at learning rates 1, 1e-2, 1e-6"

RATES = (1.0, 1e-2, 1e-6)
EDGES = np.linspace(-4.0, 4.0, 41)
STEP = 0.1  # of the annealed chains, in units of the variance of the noise at the last level


@dataclass(frozen=True)
class Settings:
    n: int
    n_levels: int
    beta: float  # for labels -delta; beta / noise for labels -delta / noise
    width: int
    n_restarts: int
    n_epochs: int
    n_chains: int
    n_steps: int
    sigma_max: float = 3.0
    sigma_min: float = 0.1

    @property
    def levels(self) -> Floats:
        return geometric_levels(self.sigma_max, self.sigma_min, self.n_levels)


FULL = Settings(1000, 8, 5.0, 50, 3, 3000, 5000, 100)
QUICK = Settings(300, 4, 2.0, 20, 2, 300, 1000, 60)


def solve_level(x: Floats, k: int, settings: Settings, seed: int) -> Level:
    """Fit and train on noise that is independent of the data and of other levels."""
    noise = float(settings.levels[k])
    return fit_and_train(
        x, (seed, 5, 10 + k), beta=settings.beta / noise, skip=False,
        task={"noise": noise, "n_draws": 1},
        training={
            "width": settings.width, "optimizer": SGD(lr=RATES), "n_restarts": settings.n_restarts,
            "n_epochs": settings.n_epochs, "record": log_epochs(settings.n_epochs, 80),
            "random_state": parts.stream(seed, 5, 100 + k),
        },
    )  # fmt: skip


def annealed(
    scores: Sequence[Callable[..., Any]], settings: Settings, seed: int
) -> tuple[Floats | None, str]:
    """Chains down the levels, the same numbers for all scores."""
    levels = settings.levels
    start = levels[0] * parts.stream(seed, 5, 3).normal(size=settings.n_chains)
    score = at_level(levels, scores)
    return parts.samples_or_reason(
        partial(annealed_langevin, score, start, levels, step=STEP * float(levels[-1]) ** 2,
                n_steps=settings.n_steps, random_state=parts.stream(seed, 5, 4))
    )  # fmt: skip


def run(settings: Settings, seed: int) -> Report:
    x = parts.stream(seed, 5, 0).normal(size=settings.n)
    solved = [solve_level(x, k, settings, seed) for k in range(settings.n_levels)]
    samples, data = sampled(solved, x, settings, seed)
    by_name = {row["score"]: row["KS distance"] for row in samples}
    levels = [level_row(level) for level in solved]
    small = max(row["1e-2: gap (median)"] / row["1e-6: gap (median)"] for row in levels)
    convex = by_name["convex"]
    checks = [
        Check("convex fits: largest relative gap", max(r["convex gap"] for r in levels), 1e-8),
        parts.bound_check(parts.lowest_gap(solved)),
        Check("learning rate 1: restarts that at every level end as near as with 1e-2",
              unharmed(solved), 0),
        Check("gap of learning rate 1e-2 over that of 1e-6, largest over the levels", small, 1.0),
        Check("KS distance to N(0, 1): convex over learning rate 1e-6",
              convex / by_name["learning rate 1e-6"], 0.7),
        Check("KS distance to N(0, 1): chains of the true scores", by_name["the truth"],
              0.03 + parts.chance(settings.n_chains)),
        Check("KS distance to N(0, 1): convex beyond that of the data",
              convex - by_name["the data"], 0.05 + parts.chance(settings.n_chains)),
    ]  # fmt: skip
    notes = [
        parts.SIZES_ARE_OURS,
        f"n = {settings.n} points of N(0, 1), one draw of the noise a level, labels -delta / noise, beta "
        f"= {settings.beta:g} / noise, ReLU without skip.  {settings.n_restarts} restarts of width "
        f"{settings.width} per level and learning rate, plain SGD on all points, {settings.n_epochs} "
        "epochs.",
        "Learning rates are per sample mean, the usual convention: 1 is too large, 1e-2 comes near the "
        "optimum, 1e-6 hardly moves, which is what the figure is about.  On the sum over samples the "
        f"same rates would act {settings.n} times as large.",
        "Loss of the figure: sum over levels of noise^2 times the loss; its certified bound is the sum "
        "of the certified bounds.  Histograms: restart 0 of each learning rate.",
        f"Annealed Langevin: {settings.n_chains} chains, {settings.n_steps} steps a level, step "
        f"{STEP:g} sigma^2, start N(0, {settings.sigma_max:g}^2).  Outside: share of samples beyond "
        "|x| = 4.",
    ]
    return Report({"Noise levels": levels, "Annealed Langevin": samples}, checks, notes, data)


def level_row(level: Level) -> Row:
    """How far each learning rate ends from the optimum of one level."""
    gaps = level.runs.gaps(level.fit)[:, -1]
    row: Row = {
        "noise": level.noise,
        "beta": level.runs.beta,
        "convex objective": level.fit.certificate_.objective,
        "convex gap": level.fit.certificate_.relative_gap,
        "kinks": level.fit.network_.n_neurons,
    }
    for rate in RATES:
        mine = level.runs.learning_rates == rate
        alive = gaps[mine & ~level.runs.diverged]
        name = parts.rate_label(rate) if rate != 1e-2 else "1e-2"
        row[f"{name}: diverged"] = int((mine & level.runs.diverged).sum())
        row[f"{name}: gap (median)"] = parts.or_nan(np.median, alive)
    return row


def unharmed(solved: list[Level]) -> int:
    """Restarts that learning rate 1 neither blows up nor leaves farther from the optimum than 1e-2."""
    fine = []
    for level in solved:
        gaps, rates = level.runs.gaps(level.fit)[:, -1], level.runs.learning_rates
        large, middle = rates == RATES[0], rates == RATES[1]
        fine.append(~level.runs.diverged[large] & (gaps[large] <= gaps[middle]))
    return int(np.all(fine, axis=0).sum())


def sampled(
    solved: list[Level], x: Floats, settings: Settings, seed: int
) -> tuple[list[Row], list[Row]]:
    """Loss summed over the levels, and annealed samples of every ladder of scores."""
    runs = solved[0].runs
    total = sum(level.noise**2 * level.runs.losses for level in solved)
    lost = np.any([level.runs.diverged for level in solved], axis=0)
    bound = sum(level.noise**2 * level.fit.certificate_.dual_objective for level in solved)
    data = [parts.curve("sum", "optimum", [0.0], [bound])]
    data += [
        parts.curve("sum", "loss", runs.epochs, total[k], rate=float(runs.learning_rates[k]),
              diverged=bool(lost[k]))
        for k in range(runs.n_runs)
    ]  # fmt: skip
    rows: list[Row] = [{"score": "the data", **parts.distances(x, ndtr, EDGES),
                        "outside": float(np.mean(np.abs(x) > 4.0)), "": ""}]  # fmt: skip
    ladders: list[tuple[str, float, list[Any]]] = [
        ("the truth", -1.0, [partial(_gaussian_score, level.noise) for level in solved]),
        ("convex", 0.0, [level.fit.score_function for level in solved]),
    ]
    for rate in RATES:
        first = int(np.flatnonzero(runs.learning_rates == rate)[0])
        name = "1e-2" if rate == 1e-2 else parts.rate_label(rate)
        ladders.append((f"learning rate {name}", rate, [s.runs.network(first) for s in solved]))
    for name, rate, scores in ladders:
        found, reason = annealed(scores, settings, seed)
        drawn = {**parts.histogram("samples", name, found, EDGES, reason), "rate": rate}
        data.append(drawn)
        rows.append({"score": name, **parts.distances(found, ndtr, EDGES), "outside": drawn["outside"],
                     "": reason})  # fmt: skip
    return rows, data


def _gaussian_score(noise: float, x: Floats) -> Floats:
    return -x / (1.0 + noise**2)


def draw(report: Report) -> Any:
    """Training loss on the left, a histogram per score."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    with look.slide_style():
        fig, axes = look.panels(2, 3, 16.5, 8.6)
        grid = axes[0, 0].get_gridspec()
        for ax in axes[:, 0]:
            ax.remove()
        left = fig.add_subplot(grid[:, 0])
        bound = parts.picked(report, "sum", "optimum")[0]["y"][0]
        look.draw_losses(left, report, "sum", ylim=(0.6 * bound, 30.0 * bound), who="SGD")
        left.set(yscale="log", ylabel="training loss, all noise levels")
        left.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        left.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        left.yaxis.set_minor_formatter(NullFormatter())
        names = ["convex", *(f"learning rate {n}" for n in ("1", "1e-2", "1e-6"))]
        table = {row["score"]: row for row in report.tables["Annealed Langevin"]}
        x = np.linspace(-4.0, 4.0, 201)
        for ax, name in zip(axes[:, 1:].ravel(), names, strict=True):
            (row,) = parts.picked(report, "samples", name)
            rate = row["rate"]
            look.draw_histogram(
                ax, row, color=look.rate_color(rate, RATES) if rate else look.CONVEX, label=name
            )
            ax.plot(x, np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), color=look.TRUTH, label="N(0, 1)")
            ax.set(title="convex scores" if name == "convex" else f"SGD, {name}",
                   xlim=(-4, 4), ylim=(0, 0.5))  # fmt: skip
            if row["y"]:
                text = f"KS distance {table[name]['KS distance']:.3f}"
                if row["outside"] > 1e-3:
                    text += f"\n{100 * row['outside']:.0f} % beyond |x| = 4"
                ax.text(0.98, 0.97, text, transform=ax.transAxes, ha="right", va="top", fontsize=12)
        for ax in axes[1, 1:]:
            ax.set_xlabel("x")
        look.legend_below(fig, [left], columns=4)
        fig.suptitle("Denoising N(0, 1): training loss, and annealed-Langevin samples", fontsize=18)
    return fig
