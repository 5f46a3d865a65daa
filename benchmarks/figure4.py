"""Figure 4: ReLU and absolute value, with and without skip connection: loss, score, histogram.

Networks trained by SGD on score matching of Gaussian data against the certified optimum of each of
the four categories.  With a skip connection the best score is (nearly) linear, which training finds;
without one it is made of kinks, which training can drive off the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from benchmarks.figure_look import (
    draw_losses,
    draw_samples,
    draw_scores,
    legend_below,
    panels,
    slide_style,
)
from benchmarks.figure_parts import (
    SIZES_ARE_OURS,
    Window,
    bound_check,
    chance,
    compared_scores,
    over_closest,
    picked,
    rate_rows,
    stream,
    with_density,
)
from benchmarks.harness import Check, Report, Row
from convexscore.objectives import score_matching
from convexscore.samplers import LangevinResult, langevin
from convexscore.targets import GaussianMixture
from convexscore.training import SGD, log_epochs, train

TITLE = (
    "four categories, ReLU or |.|, skip or not: SGD against the convex optimum, score, histogram"
)

LAW = GaussianMixture([1.0], [0.0], 1.0)
CATEGORIES = {
    f"{'ReLU' if activation == 'relu' else 'absolute value'}, {'skip' if skip else 'no skip'}":
    (activation, skip)
    for activation, skip in product(("relu", "abs"), (False, True))
}  # fmt: skip
RATES = (1e-1, 1e-2)
EDGES = np.linspace(-4.0, 4.0, 41)
STEP = 0.05  # of Langevin: variance 1.3 % too large
STEP_BIAS = 0.02  # allowed for it, in KS distance


@dataclass(frozen=True)
class Settings:
    n: int
    beta: float
    width: int
    batch: int
    n_restarts: int
    n_epochs: int
    n_chains: int
    n_steps: int


FULL = Settings(500, 20.0, 50, 50, 5, 400, 5000, 400)
QUICK = Settings(200, 13.0, 20, 40, 2, 60, 1000, 200)


def sampler(settings: Settings, seed: int) -> Callable[[Callable[..., Any]], LangevinResult]:
    """Langevin chains from twice the width of the law; every score gets the same numbers."""

    def run_chains(score: Callable[..., Any]) -> LangevinResult:
        start = 2.0 * stream(seed, 4, 3).normal(size=settings.n_chains)
        return langevin(score, start, step=STEP, n_steps=settings.n_steps,
                        random_state=stream(seed, 4, 4))  # fmt: skip

    return run_chains


def run(settings: Settings, seed: int) -> Report:
    x = np.ravel(LAW.sample(settings.n, random_state=stream(seed, 4, 0)))
    epochs = log_epochs(settings.n_epochs, 60)
    window = Window(EDGES, LAW, sampler(settings, seed))
    table: list[Row] = []
    samples: list[Row] = []
    optima: list[Row] = []
    data: list[Row] = []
    lowest, own, ended = [], [], 1.0
    for panel, (activation, skip) in CATEGORIES.items():
        fit, proper = with_density(x, beta=settings.beta, activation=activation, skip=skip)
        runs = train(
            score_matching(x), beta=settings.beta, activation=activation, skip=skip,
            width=settings.width, n_restarts=settings.n_restarts, n_epochs=settings.n_epochs,
            optimizer=SGD(lr=RATES, momentum=0.9, batch_size=settings.batch),
            record=epochs, snapshots=epochs, random_state=stream(seed, 4, 1),
        )  # fmt: skip
        rows, curves, distance = compared_scores(panel, fit, proper, runs, window)
        certificate = fit.certificate_
        optima.append(
            {
                "problem": panel,
                "objective": certificate.objective,
                "relative gap": certificate.relative_gap,
                "neurons": certificate.n_neurons,
                "slopes of the tails": f"{fit.piecewise_.left_slope:.3g}, "
                f"{fit.piecewise_.right_slope:.3g}",
                "a density": fit.piecewise_.is_integrable,
            }
        )
        table += rate_rows(panel, runs, certificate)
        samples += rows
        data += curves
        lowest.append(float(runs.gaps(fit).min()))
        own.append(distance)
        if activation == "relu" and not skip:
            ended = over_closest(rows, "last")
    checks = [
        Check("convex fits: largest relative gap", max(r["relative gap"] for r in optima), 1e-8),
        bound_check(min(lowest)),
        Check("a skip connection lowers the optimum: ReLU, relative",
              optima[1]["objective"] / optima[0]["objective"], 1.0, at_least=True),
        Check("a skip connection lowers the optimum: absolute value, relative",
              optima[3]["objective"] / optima[2]["objective"], 1.0, at_least=True),
        Check("Langevin: largest KS distance to the exact law of the convex score", max(own),
              chance(settings.n_chains) + STEP_BIAS),
        Check("ReLU, no skip: KS distance to the true law, convex over the closest of the last epochs",
              ended, 1.0),
    ]  # fmt: skip
    notes = [
        SIZES_ARE_OURS,
        f"n = {settings.n} points of N(0, 1), beta = {settings.beta:g}, the same for all categories; "
        f"{settings.n_restarts} restarts of width {settings.width} per learning rate; SGD with momentum "
        f"0.9, batches of {settings.batch}, {settings.n_epochs} epochs.  Curves: loss with weight decay; "
        "gaps: after rescaling the neurons.",
        f"Langevin: {settings.n_chains} chains, {settings.n_steps} steps of {STEP:g}.  Trained networks: "
        "per learning rate the lowest objective of all runs at the last epoch, and at any recorded one "
        "(best epoch, drawn).  Outside: share of samples beyond |x| = 4.",
        "`a density`: where the optimum has none (its tails point outwards), the score drawn and sampled "
        "is the optimum with integrable tails; bounds and gaps are those of the optimum.",
    ]
    return Report(
        {"Convex optima": optima, "Training": table, "Langevin samples": samples},
        checks, notes, data,
    )  # fmt: skip


def draw(report: Report) -> Any:
    """A column per category: training loss, score, histogram."""
    with slide_style():
        fig, axes = panels(3, len(CATEGORIES), 18.5, 11.0)
        bounds = [picked(report, panel, "optimum")[0]["y"][0] for panel in CATEGORIES]
        for k, panel in enumerate(CATEGORIES):
            ax = axes[:, k]
            draw_losses(ax[0], report, panel, ylim=(1.12 * min(bounds), -0.6 * min(bounds)),
                        who="SGD")  # fmt: skip
            draw_scores(ax[1], report, panel)
            draw_samples(ax[2], report, panel)
            ax[1].set_xlabel("")
            ax[2].set_ylim(0.0, 0.48)
            ax[0].set_title(panel)
        for ax, label in zip(
            axes[:, 0], ("training loss", "score", "Langevin samples"), strict=True
        ):
            ax.set_ylabel(label)
        legend_below(fig, [*axes[:, 0]], columns=6)
        fig.suptitle("Score matching of N(0, 1): SGD and the convex optimum (trained scores: best epoch)",
                     fontsize=18)  # fmt: skip
    return fig
