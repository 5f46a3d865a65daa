"""What figures 1 to 5 share: curves kept for the record, tables of runs, samples and histograms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from benchmarks.harness import Check, Report, Row
from convexscore import ConvexScore, TwoLayerNetwork, fit_convex_score
from convexscore.metrics import kolmogorov_smirnov
from convexscore.samplers import ChainDivergedError
from convexscore.solvers.certificate import Certificate
from convexscore.targets import GaussianMixture
from convexscore.training import TrainingRuns

Floats = NDArray[np.float64]

SIZES_ARE_OURS = (
    "After Zhang, Pilanci (2024), arXiv 2402.01965.  Sizes (points, penalty, width, epochs, steps) are "
    "ours where the paper's are unknown."
)
# Rounding of a difference of two objectives, relative to their size.
ROUNDING = 1e-9


def stream(seed: int, figure: int, what: int) -> np.random.Generator:
    """Random numbers of one purpose.

    Data and noise drawn from generators of the same integer seed would be the same numbers.
    """
    return np.random.default_rng([seed, figure, what])


# ---------------------------------------------------------------------- the record
def curve(panel: str, name: str, x: ArrayLike, y: ArrayLike, **more: Any) -> Row:
    """A curve to be drawn, in five digits."""
    return {"panel": panel, "name": name, "x": short(x), "y": short(y), **more}


def picked(report: Report, panel: str, name: str) -> list[Row]:
    """The curves of one panel and name, in the order they were kept."""
    return [row for row in report.data if row["panel"] == panel and row["name"] == name]


def short(values: ArrayLike) -> list[float]:
    """Five digits of each number."""
    return [float(f"{value:.5g}") for value in np.asarray(values, dtype=np.float64).ravel()]


def rate_label(rate: float) -> str:
    """1, 0.01, then powers of ten."""
    return f"{rate:g}" if rate >= 1e-3 else f"{rate:.0e}".replace("e-0", "e-")


def loss_curves(panel: str, runs: TrainingRuns) -> list[Row]:
    """The loss that each run descends; the start is drawn at epoch 1 of a logarithmic axis."""
    return [
        curve(panel, "loss", runs.epochs, runs.losses[run],
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
                "final gap (best)": float(final.min()) if final.size else float("nan"),
                "final gap (median)": float(np.median(final)) if final.size else float("nan"),
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


def bound_check(lowest: float) -> Check:
    """Nobody below the certified lower bound, at any recorded epoch."""
    return Check(
        "trained networks: lowest relative gap to the certified bound, all runs and records",
        lowest, -ROUNDING, at_least=True,
    )  # fmt: skip


# ---------------------------------------------------------------------- samples
def samples_or_reason(run: Callable[[], Any]) -> tuple[Floats | None, str]:
    """Final states of a sampler, or why there are none."""
    try:
        return np.asarray(run().samples), ""
    except ChainDivergedError as error:
        return None, f"chains left every range at step {error.step}"


def histogram(
    panel: str, name: str, samples: Floats | None, edges: Floats, reason: str = ""
) -> Row:
    """Density of the samples on cells; what lies outside is counted, not dropped."""
    if samples is None:
        return {"panel": panel, "name": name, "x": short(edges), "y": [], "reason": reason,
                "outside": 1.0}  # fmt: skip
    counts = np.histogram(samples, edges)[0]
    return curve(
        panel, name, edges, counts / (samples.size * np.diff(edges)),
        outside=float(1.0 - counts.sum() / samples.size), reason=reason,
    )  # fmt: skip


def distances(
    samples: Floats | None, cdf: Callable[[Floats], ArrayLike], edges: Floats
) -> dict[str, float]:
    """Kolmogorov-Smirnov distance to a law, and total variation on the cells and the two outer ones."""
    if samples is None:
        return {"KS distance": 1.0, "TV of histogram": 1.0}
    inner = np.asarray(cdf(edges))
    cells = np.diff(np.concatenate([[0.0], inner, [1.0]]))
    counts = np.bincount(np.searchsorted(edges, samples, side="right"), minlength=edges.size + 1)
    return {
        "KS distance": kolmogorov_smirnov(samples, cdf),
        "TV of histogram": float(0.5 * np.abs(counts / samples.size - cells).sum()),
    }


def chance(n: int) -> float:
    """What n independent samples of a law exceed in KS distance once in a thousand times."""
    return 1.95 / float(np.sqrt(n))


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


def with_density(x: Floats, **options: Any) -> tuple[ConvexScore, ConvexScore]:
    """The global optimum, and the score to sample: the same, or the optimum with integrable tails."""
    fit = fit_convex_score(x, **options)
    if fit.piecewise_.is_integrable:
        return fit, fit
    return fit, fit_convex_score(x, constraint="density", **options)


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
        curve(panel, "optimum", [0.0], [fit.certificate_.dual_objective]),
        curve(panel, "true score", grid, window.truth.score(grid)),
        curve(panel, "true density", grid, np.exp(window.truth.log_density(grid))),
    ]
    scores: list[tuple[str, float, Any]] = [("convex", 0.0, proper.score_function)]
    for rate in dict.fromkeys(runs.learning_rates.tolist()):
        network, epoch = best_stop(runs, rate)
        scores.append((f"learning rate {rate_label(rate)}, best epoch ({epoch})", rate, network))
        scores.append(
            (f"learning rate {rate_label(rate)}, last epoch", rate, last_of_rate(runs, rate))
        )
    rows: list[Row] = []
    own = 1.0
    for name, rate, score in scores:
        if score is None:
            samples, reason = None, "training diverged"
        else:
            samples, reason = samples_or_reason(partial(window.sampler, score))
        drawn = histogram(panel, "samples", samples, window.edges, reason)
        rows.append({"problem": panel, "score": name, **distances(samples, window.cdf, window.edges),
                     "outside": drawn["outside"]})  # fmt: skip
        if not name.endswith("last epoch"):
            data += [{**drawn, "rate": rate}, curve(panel, "score", grid, score(grid), rate=rate)]
        if name == "convex" and samples is not None:
            own = distances(samples, proper.cdf, window.edges)["KS distance"]
    return rows, data, own


def over_closest(rows: list[Row], which: str) -> float:
    """KS distance of the convex samples over that of the closest of the "best" or "last" epochs."""
    others = [row["KS distance"] for row in rows[1:] if f"{which} epoch" in row["score"]]
    return float(rows[0]["KS distance"] / min(others))
