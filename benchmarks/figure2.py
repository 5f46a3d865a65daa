"""Figure 2: score matching with ReLU networks, convex and trained, on one and on two components.

The training loss of many restarts and learning rates against the certified optimum of the same
problem, the scores, and histograms of Langevin samples.  The divergence term of score matching jumps
where a kink crosses a point; no gradient sees that, and training ends where the kinks have left the
data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from convexscore.training import Adam, log_epochs, train

TITLE = "ReLU score matching: convex optimum against trained networks, scores, Langevin histograms"

LAWS = {
    "Gaussian": GaussianMixture([1.0], [0.0], 1.0),
    "two components": GaussianMixture([0.5, 0.5], [-2.0, 2.0], 0.8),
}
RATES = (1e-1, 1e-2, 1e-3)
EDGES = np.linspace(-5.0, 5.0, 51)
STEP = 0.02  # of Langevin, in squared units of x
STEP_BIAS = 0.02  # allowed for it, in KS distance


@dataclass(frozen=True)
class Settings:
    n: int
    betas: tuple[float, float]  # one per law
    width: int
    n_restarts: int
    n_epochs: int
    n_chains: int
    n_steps: int


FULL = Settings(500, (20.0, 10.0), 50, 5, 4000, 5000, 1000)
QUICK = Settings(300, (16.0, 8.0), 20, 2, 400, 1000, 500)


def sampler(settings: Settings, seed: int) -> Callable[[Callable[..., Any]], LangevinResult]:
    """Langevin chains that start spread over both sides; every score gets the same numbers."""

    def run_chains(score: Callable[..., Any]) -> LangevinResult:
        start = 2.5 * stream(seed, 2, 3).normal(size=settings.n_chains)
        return langevin(score, start, step=STEP, n_steps=settings.n_steps,
                        random_state=stream(seed, 2, 4))  # fmt: skip

    return run_chains


def run(settings: Settings, seed: int) -> Report:
    table: list[Row] = []
    samples: list[Row] = []
    data: list[Row] = []
    gaps, lowest, own, ended = [], [], [], []
    for which, (panel, law) in enumerate(LAWS.items()):
        x = np.ravel(law.sample(settings.n, random_state=stream(seed, 2, 10 + which)))
        beta = settings.betas[which]
        fit, proper = with_density(x, beta=beta, skip=False)
        epochs = log_epochs(settings.n_epochs, 80)
        runs = train(
            score_matching(x), beta=beta, skip=False, width=settings.width,
            optimizer=Adam(lr=RATES), n_restarts=settings.n_restarts, n_epochs=settings.n_epochs,
            record=epochs, snapshots=epochs, random_state=stream(seed, 2, 20 + which),
        )  # fmt: skip
        window = Window(EDGES, law, sampler(settings, seed))
        rows, curves, distance = compared_scores(panel, fit, proper, runs, window)
        table += rate_rows(panel, runs, fit.certificate_)
        samples += rows
        data += curves
        gaps.append(fit.certificate_.relative_gap)
        lowest.append(float(runs.gaps(fit).min()))
        own.append(distance)
        ended.append(over_closest(rows, "last"))
    checks = [
        Check("convex fits: largest relative gap", max(gaps), 1e-8),
        bound_check(min(lowest)),
        Check("Langevin: largest KS distance to the exact law of the convex score", max(own),
              chance(settings.n_chains) + STEP_BIAS),
        Check("KS distance to the true law, convex over the closest of the last epochs", max(ended),
              1.0),
        Check("two components: KS distance, convex over the closest of the best epochs",
              over_closest(rows, "best"), 1.0),
    ]  # fmt: skip
    notes = [
        SIZES_ARE_OURS,
        f"n = {settings.n}, beta = {settings.betas[0]:g} and {settings.betas[1]:g}, no skip connection; "
        f"{settings.n_restarts} restarts of width {settings.width} per learning rate, Adam, all points "
        f"in every step, {settings.n_epochs} epochs.  Curves: loss with weight decay; gaps: after "
        "rescaling the neurons.",
        "The divergence term of score matching jumps where a kink crosses a point, which no gradient "
        "sees: the quadratic term drives kinks off the data, down to the zero network (gap 1).",
        f"Langevin: {settings.n_chains} chains, {settings.n_steps} steps of {STEP:g}.  Trained networks: "
        "per learning rate the lowest objective of all runs at the last epoch, and at any recorded one "
        "(best epoch, drawn).  Outside: share of samples beyond |x| = 5.",
    ]
    return Report({"Training": table, "Langevin samples": samples}, checks, notes, data)


def draw(report: Report) -> Any:
    """A row per law: training loss, scores, histograms."""
    titles = (
        "training loss",
        "score (trained: best epoch)",
        "Langevin samples (outlines: trained)",
    )
    with slide_style():
        fig, axes = panels(len(LAWS), 3, 16.5, 9.0)
        for k, (ax, panel) in enumerate(zip(axes, LAWS, strict=True)):
            bound = picked(report, panel, "optimum")[0]["y"][0]
            draw_losses(ax[0], report, panel, ylim=(1.12 * bound, -0.45 * bound))
            draw_scores(ax[1], report, panel)
            draw_samples(ax[2], report, panel)
            ax[0].set_ylabel(panel, fontsize=16)
            for axis, title in zip(ax, titles, strict=True):
                if k == 0:
                    axis.set_title(title)
                if k < len(LAWS) - 1:
                    axis.set_xlabel("")
        legend_below(fig, list(axes[0]), columns=4)
        fig.suptitle("ReLU score matching: convex optimum and gradient training", fontsize=18)
    return fig
