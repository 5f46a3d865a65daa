"""Figure 4: ReLU and absolute value, with and without skip connection: loss, score, histogram.

Networks trained by SGD on score matching of Gaussian data against the certified optimum of each of
the four categories.  With a skip connection the best score is (nearly) linear, which training finds;
without one it is made of kinks, which training can drive off the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from benchmarks.harness import Check, Report, Row
from benchmarks.paper import training
from benchmarks.paper.look import draw_panel, legend_below, panels, slide_style
from benchmarks.paper.parts import SIZES_ARE_OURS, picked, stream
from convexscore.targets import GaussianMixture
from convexscore.training import SGD

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


def solve(settings: Settings, seed: int) -> dict[str, training.Panel]:
    """The four categories on the same data; chains start from twice the width of the law."""
    x = np.ravel(LAW.sample(settings.n, random_state=stream(seed, 4, 0)))
    window = training.Window(EDGES, LAW, training.chains(4, seed, settings, step=STEP, spread=2.0))
    return {
        name: training.solve_panel(
            name, x, window, settings, beta=settings.beta, activation=activation, skip=skip,
            records=60, optimizer=SGD(lr=RATES, momentum=0.9, batch_size=settings.batch),
            random_state=stream(seed, 4, 1),
        )
        for name, (activation, skip) in CATEGORIES.items()
    }  # fmt: skip


def optimum_row(name: str, panel: training.Panel) -> Row:
    """The certified optimum of one category."""
    certificate, piecewise = panel.fit.certificate_, panel.fit.piecewise_
    return {
        "problem": name,
        "objective": certificate.objective,
        "relative gap": certificate.relative_gap,
        "neurons": certificate.n_neurons,
        "slopes of the tails": f"{piecewise.left_slope:.3g}, {piecewise.right_slope:.3g}",
        "a density": piecewise.is_integrable,
    }


def run(settings: Settings, seed: int) -> Report:
    solved = solve(settings, seed)
    optima = [optimum_row(name, panel) for name, panel in solved.items()]
    first = next(iter(solved.values()))  # ReLU, no skip
    checks = [
        *training.panel_checks(list(solved.values()), settings.n_chains),
        Check("a skip connection lowers the optimum: ReLU, relative",
              optima[1]["objective"] / optima[0]["objective"], 1.0, at_least=True),
        Check("a skip connection lowers the optimum: absolute value, relative",
              optima[3]["objective"] / optima[2]["objective"], 1.0, at_least=True),
        Check("ReLU, no skip: KS distance to the true law, convex over the closest of the last epochs",
              first.over_closest("last"), 1.0),
    ]  # fmt: skip
    notes = [
        SIZES_ARE_OURS,
        f"n = {settings.n} points of N(0, 1), beta = {settings.beta:g}, the same for all categories; "
        f"{settings.n_restarts} restarts of width {settings.width} per learning rate; SGD with momentum "
        f"0.9, batches of {settings.batch}, {settings.n_epochs} epochs.  Curves: loss with weight decay; "
        "gaps: after rescaling the neurons.",
        training.samples_note(settings.n_chains, settings.n_steps, STEP, EDGES[-1]),
        "`a density`: where the optimum has none (its tails point outwards), the score drawn and sampled "
        "is the optimum with integrable tails; bounds and gaps are those of the optimum.",
    ]
    return training.panel_report(list(solved.values()), checks, notes, Convex_optima=optima)


def draw(report: Report) -> Any:
    """A column per category: training loss, score, histogram."""
    with slide_style():
        fig, axes = panels(3, len(CATEGORIES), 18.5, 11.0)
        bounds = [picked(report, panel, "optimum")[0]["y"][0] for panel in CATEGORIES]
        for k, panel in enumerate(CATEGORIES):
            ax = axes[:, k]
            draw_panel(ax, report, panel, ylim=(1.12 * min(bounds), -0.6 * min(bounds)), who="SGD")
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
