"""Figure 2: score matching with ReLU networks, convex and trained, on one and on two components.

The training loss of many restarts and learning rates against the certified optimum of the same
problem, the scores, and histograms of Langevin samples.  The divergence term of score matching jumps
where a kink crosses a point; no gradient sees that, and training ends where the kinks have left the
data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Check, Report
from benchmarks.paper import training
from benchmarks.paper.look import draw_panel, legend_below, panels, slide_style
from benchmarks.paper.parts import SIZES_ARE_OURS, picked, stream
from convexscore.targets import GaussianMixture
from convexscore.training import Adam

TITLE = "ReLU score matching: convex optimum against trained networks, scores, Langevin histograms"

LAWS = {
    "Gaussian": GaussianMixture([1.0], [0.0], 1.0),
    "two components": GaussianMixture([0.5, 0.5], [-2.0, 2.0], 0.8),
}
RATES = (1e-1, 1e-2, 1e-3)
EDGES = np.linspace(-5.0, 5.0, 51)
STEP = 0.02  # of Langevin, in squared units of x


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


def solve(which: int, settings: Settings, seed: int) -> training.Panel:
    """One law: its data, fit and runs; chains start spread over both sides."""
    name, law = list(LAWS.items())[which]
    x = np.ravel(law.sample(settings.n, random_state=stream(seed, 2, 10 + which)))
    window = training.Window(EDGES, law, training.chains(2, seed, settings, step=STEP, spread=2.5))
    return training.solve_panel(
        name, x, window, settings, beta=settings.betas[which], activation="relu", skip=False,
        records=80, optimizer=Adam(lr=RATES), random_state=stream(seed, 2, 20 + which),
    )  # fmt: skip


def run(settings: Settings, seed: int) -> Report:
    solved = [solve(which, settings, seed) for which in range(len(LAWS))]
    checks = [
        *training.panel_checks(solved, settings.n_chains),
        Check("KS distance to the true law, convex over the closest of the last epochs",
              max(panel.over_closest("last") for panel in solved), 1.0),
        Check("two components: KS distance, convex over the closest of the best epochs",
              solved[-1].over_closest("best"), 1.0),
    ]  # fmt: skip
    notes = [
        SIZES_ARE_OURS,
        f"n = {settings.n}, beta = {settings.betas[0]:g} and {settings.betas[1]:g}, no skip connection; "
        f"{settings.n_restarts} restarts of width {settings.width} per learning rate, Adam, all points "
        f"in every step, {settings.n_epochs} epochs.  Curves: loss with weight decay; gaps: after "
        "rescaling the neurons.",
        "The divergence term of score matching jumps where a kink crosses a point, which no gradient "
        "sees: the quadratic term drives kinks off the data, down to the zero network (gap 1).",
        training.samples_note(settings.n_chains, settings.n_steps, STEP, EDGES[-1]),
    ]
    return training.panel_report(solved, checks, notes)


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
            draw_panel(ax, report, panel, ylim=(1.12 * bound, -0.45 * bound))
            ax[0].set_ylabel(panel, fontsize=16)
            for axis, title in zip(ax, titles, strict=True):
                if k == 0:
                    axis.set_title(title)
                if k < len(LAWS) - 1:
                    axis.set_xlabel("")
        legend_below(fig, list(axes[0]), columns=4)
        fig.suptitle("ReLU score matching: convex optimum and gradient training", fontsize=18)
    return fig
