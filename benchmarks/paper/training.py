"""Networks trained by gradients next to the certified optimum of the same problem, and their samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.special import ndtr

from benchmarks.harness import Check, Floats, Report, Row
from benchmarks.paper import parts
from convexscore import ConvexScore, TwoLayerNetwork, fit_convex_score
from convexscore.objectives import denoising, score_matching
from convexscore.samplers import langevin
from convexscore.solvers.certificate import Certificate
from convexscore.targets import GaussianMixture
from convexscore.training import TrainingRuns, log_epochs, train

# Allowed for the step of plain Langevin chains, in KS distance.
STEP_BIAS = 0.02

Sampler = Callable[[Callable[..., Any]], Any]


@dataclass(frozen=True)
class Window:
    """Where the scores of one panel are drawn, and how its samples are binned and judged."""

    edges: Floats
    truth: GaussianMixture
    sampler: Sampler  # a score to a result with samples

    @property
    def grid(self) -> Floats:
        return np.linspace(self.edges[0], self.edges[-1], 201)

    def cdf(self, x: Floats) -> Floats:
        """Distribution function of the truth, a mixture on the line."""
        centres, widths = np.ravel(self.truth.means), np.sqrt(np.ravel(self.truth.covariances))
        parts = ndtr((np.asarray(x)[..., None] - centres) / widths)
        return np.asarray(parts @ np.ravel(self.truth.weights))


def chains(figure: int, seed: int, settings: Any, *, step: float, spread: float) -> Sampler:
    """Langevin from a Gaussian start of this spread; every score gets the same numbers."""

    def run_chains(score: Callable[..., Any]) -> Any:
        start = spread * parts.stream(seed, figure, 3).normal(size=settings.n_chains)
        return langevin(score, start, step=step, n_steps=settings.n_steps,
                        random_state=parts.stream(seed, figure, 4))  # fmt: skip

    return run_chains


def with_density(x: Floats, **options: Any) -> tuple[ConvexScore, ConvexScore]:
    """The global optimum, and the score to sample: the same, or the optimum with integrable tails."""
    fit = fit_convex_score(x, **options)
    if fit.piecewise_.is_integrable:
        return fit, fit
    return fit, fit_convex_score(x, constraint="density", **options)


# ---------------------------------------------------------------------- one panel of figures 2 and 4
@dataclass(frozen=True)
class Panel:
    """Score matching of one law by one kind of network: the optimum, the runs, samples of both."""

    fit: ConvexScore
    runs: TrainingRuns
    table: list[Row]  # a row for each learning rate
    samples: list[Row]  # the convex score first, then each learning rate at its best and last epoch
    curves: list[Row]
    own: float  # KS distance of the convex samples to the exact law of their score

    def over_closest(self, which: str) -> float:
        """KS distance of the convex samples over that of the closest of the "best" or "last" epochs."""
        others = [r["KS distance"] for r in self.samples[1:] if f"{which} epoch" in r["score"]]
        return float(self.samples[0]["KS distance"] / min(others))


def solve_panel(
    name: str,
    x: Floats,
    window: Window,
    settings: Any,
    *,
    beta: float,
    activation: str,
    skip: bool,
    records: int,
    **options: Any,
) -> Panel:
    """Fit, train with settings and options of `train`, and sample every score that is found."""
    network: dict[str, Any] = {"beta": beta, "activation": activation, "skip": skip}
    fit, proper = with_density(x, **network)
    epochs = log_epochs(settings.n_epochs, records)
    runs = train(
        score_matching(x), width=settings.width, n_restarts=settings.n_restarts,
        n_epochs=settings.n_epochs, record=epochs, snapshots=epochs, **network, **options,
    )  # fmt: skip
    samples, curves, own = compared_scores(name, fit, proper, runs, window)
    return Panel(fit, runs, rate_rows(name, runs, fit.certificate_), samples, curves, own)


def panel_report(
    panels: Sequence[Panel], checks: list[Check], notes: list[str], **tables: list[Row]
) -> Report:
    """Tables and curves of all panels; ``tables`` come first."""
    shown = {
        **{title.replace("_", " "): rows for title, rows in tables.items()},
        "Training": [row for panel in panels for row in panel.table],
        "Langevin samples": [row for panel in panels for row in panel.samples],
    }
    return Report(shown, checks, notes, [row for panel in panels for row in panel.curves])


def panel_checks(panels: Sequence[Panel], n_chains: int) -> list[Check]:
    """What has to hold for every law and every kind of network."""
    return [
        Check("convex fits: largest relative gap",
              max(panel.fit.certificate_.relative_gap for panel in panels), 1e-8),
        parts.bound_check(parts.lowest_gap(panels)),
        Check("Langevin: largest KS distance to the exact law of the convex score",
              max(panel.own for panel in panels), parts.chance(n_chains) + STEP_BIAS),
    ]  # fmt: skip


def samples_note(n_chains: int, n_steps: int, step: float, reach: float) -> str:
    """How the histograms came about."""
    return (
        f"Langevin: {n_chains} chains, {n_steps} steps of {step:g}.  Trained networks: per learning "
        "rate the lowest objective of all runs at the last epoch, and at any recorded one (best epoch, "
        f"drawn).  Outside: share of samples beyond |x| = {reach:g}."
    )


def compared_scores(
    panel: str, fit: ConvexScore, proper: ConvexScore, runs: TrainingRuns, window: Window
) -> tuple[list[Row], list[Row], float]:
    """Samples of the convex score and of each learning rate, at its best epoch and at the end.

    Returns table rows, curves, and the KS distance of the convex samples to the law of their score,
    which is that of ``proper``.
    """
    grid = window.grid
    data = [
        *loss_curves(panel, runs),
        parts.curve(panel, "optimum", [0.0], [fit.certificate_.dual_objective]),
        parts.curve(panel, "true score", grid, window.truth.score(grid)),
        parts.curve(panel, "true density", grid, np.exp(window.truth.log_density(grid))),
    ]
    scores: list[tuple[str, float, Any]] = [("convex", 0.0, proper.score_function)]
    for rate in dict.fromkeys(runs.learning_rates.tolist()):
        network, epoch = best_stop(runs, rate)
        scores.append(
            (f"learning rate {parts.rate_label(rate)}, best epoch ({epoch})", rate, network)
        )
        scores.append(
            (f"learning rate {parts.rate_label(rate)}, last epoch", rate, last_of_rate(runs, rate))
        )
    rows: list[Row] = []
    own = 1.0
    for name, rate, score in scores:
        if score is None:
            samples, reason = None, "training diverged"
        else:
            samples, reason = parts.samples_or_reason(partial(window.sampler, score))
        drawn = parts.histogram(panel, "samples", samples, window.edges, reason)
        found = parts.distances(samples, window.cdf, window.edges)
        rows.append({"problem": panel, "score": name, **found, "outside": drawn["outside"]})
        if not name.endswith("last epoch"):
            data += [
                {**drawn, "rate": rate},
                parts.curve(panel, "score", grid, score(grid), rate=rate),
            ]
        if name == "convex" and samples is not None:
            own = parts.distances(samples, proper.cdf, window.edges)["KS distance"]
    return rows, data, own


# ---------------------------------------------------------------------- what runs reach
def loss_curves(panel: str, runs: TrainingRuns) -> list[Row]:
    """The loss that each run descends; the start is drawn at epoch 1 of a logarithmic axis."""
    return [
        parts.curve(panel, "loss", runs.epochs, runs.losses[run],
              rate=float(runs.learning_rates[run]), diverged=bool(runs.diverged[run]))
        for run in range(runs.n_runs)
    ]  # fmt: skip


def rate_rows(panel: str, runs: TrainingRuns, certificate: Certificate) -> list[Row]:
    """One table row per learning rate: how far its restarts end from the certified optimum."""
    gaps = runs.gaps(certificate)
    rows = []
    for rate in dict.fromkeys(runs.learning_rates.tolist()):
        mine = runs.learning_rates == rate
        alive = mine & ~runs.diverged
        final = gaps[alive, -1]
        rows.append(
            {
                "problem": panel,
                "learning rate": rate,
                "restarts": int(mine.sum()),
                "diverged": int((mine & runs.diverged).sum()),
                "final gap (best)": parts.or_nan(np.min, final),
                "final gap (median)": parts.or_nan(np.median, final),
                "lowest gap on the way": float(gaps[mine].min()),
                "within 1 %": f"{int((final <= 0.01).sum())} of {int(mine.sum())}",
                "seconds": float(runs.seconds[mine, -1].max()),
            }
        )
    return rows


def best_stop(runs: TrainingRuns, rate: float) -> tuple[TwoLayerNetwork, int]:
    """The network of lowest objective of all runs and snapshots of a learning rate, and its epoch.

    Early stopping as well as the objective allows.
    """
    at = np.searchsorted(runs.epochs, runs.snapshot_epochs)
    kept = np.where((runs.learning_rates == rate)[:, None], runs.path_losses[:, at], np.inf)
    run, snapshot = np.unravel_index(int(np.argmin(kept)), kept.shape)
    return runs.network(int(run), snapshot=int(snapshot)), int(runs.snapshot_epochs[snapshot])


def last_of_rate(runs: TrainingRuns, rate: float) -> TwoLayerNetwork | None:
    """The final network of this learning rate with the lowest objective; None if all diverged."""
    mine = np.flatnonzero((runs.learning_rates == rate) & ~runs.diverged)
    return runs.network(int(mine[np.argmin(runs.path_losses[mine, -1])])) if mine.size else None


# ---------------------------------------------------------------------- one level of figures 3 and 5
@dataclass(frozen=True)
class Level:
    """One noise level: the certified optimum and the runs on the same noisy points."""

    noise: float
    fit: ConvexScore
    runs: TrainingRuns


def fit_and_train(
    x: Floats, draw: tuple[int, int, int], *, beta: float, skip: bool, task: dict[str, Any],
    training: dict[str, Any], tol: float | None = None,
) -> Level:  # fmt: skip
    """Fit and train on the same noise, that of ``stream(*draw)``."""
    problem = denoising(x, random_state=parts.stream(*draw), **task)
    fit = fit_convex_score(x, objective="denoising", beta=beta, skip=skip, tol=tol,
                           random_state=parts.stream(*draw), **task)  # fmt: skip
    assert np.array_equal(np.ravel(fit.noisy_points_), np.ravel(problem.points))
    return Level(task["noise"], fit, train(problem, beta=beta, skip=skip, **training))


def at_level(levels: Floats, scores: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """The score (x, sigma) that asks the score of the nearest noise level."""

    def score(x: Floats, sigma: float) -> Any:
        return scores[int(np.argmin(np.abs(levels - sigma)))](x)

    return score
