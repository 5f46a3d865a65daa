"""What figures 1 to 5 share: curves kept for the record, tables of runs, histograms, the look.

Convex results are blue everywhere, networks trained by gradients have one warm or green colour per
learning rate, the truth is black.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
from convexscore.solvers.result import Certificate
from convexscore.targets import GaussianMixture
from convexscore.training import TrainingRuns

Floats = NDArray[np.float64]

CONVEX, TRUTH, DATA = "#1f5fa8", "0.1", "0.8"
# One per learning rate, from the largest to the smallest; distinguishable in grey and by the colour-blind.
TRAINED = ("#c8372d", "#e39b1a", "#2f8f6b")
OPTIMUM_LABEL = "convex optimum (certified)"
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
    """The network of this learning rate with the lowest objective of all runs and snapshots, and its epoch.

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
    return fit, fit_convex_score(x, tails="integrable", **options)


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
        scores.append((f"learning rate {rate_label(rate)}, last epoch", rate, last_of_rate(runs, rate)))
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
    """KS distance of the convex samples over that of the closest network of the "best" or "last" epochs."""
    others = [row["KS distance"] for row in rows[1:] if f"{which} epoch" in row["score"]]
    return float(rows[0]["KS distance"] / min(others))


# ---------------------------------------------------------------------- the look
@contextmanager
def slide_style() -> Iterator[None]:
    """Type and lines that can be read from the last row; for everything created inside."""
    import matplotlib

    options: dict[str, Any] = {
        "font.size": 14, "axes.titlesize": 15, "axes.labelsize": 14, "legend.fontsize": 12,
        "xtick.labelsize": 12, "ytick.labelsize": 12, "lines.linewidth": 2.0,
        "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    }  # fmt: skip
    with matplotlib.rc_context(options):
        yield


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    """A figure without window system or global state, and its axes as a (rows, columns) array."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(fig)
    return fig, fig.subplots(rows, columns, squeeze=False)


def rate_color(rate: float, rates: Sequence[float]) -> str:
    """The colour of a learning rate: the larger, the warmer."""
    return TRAINED[sorted(rates, reverse=True).index(rate) % len(TRAINED)]


def rate_label(rate: float) -> str:
    """1, 0.01, then powers of ten."""
    return f"{rate:g}" if rate >= 1e-3 else f"{rate:.0e}".replace("e-0", "e-")


def draw_losses(
    ax: Any, report: Report, panel: str, *, ylim: tuple[float, float], who: str = "trained"
) -> None:
    """Loss against epoch, all runs, with the certified optimum dashed underneath."""
    rows = picked(report, panel, "loss")
    rates = list(dict.fromkeys(row["rate"] for row in rows))
    for rate in rates:
        for k, row in enumerate(row for row in rows if row["rate"] == rate):
            x, y = np.maximum(row["x"], 0.8), np.asarray(row["y"])
            if row["diverged"]:  # what follows is frozen
                first = int(np.argmax(~((y >= ylim[0]) & (y <= ylim[1])) & (np.asarray(row["x"]) > 0)))
                x, y = x[: first + 1], y[: first + 1]
            ax.plot(
                x, y, color=rate_color(rate, rates), linewidth=1.3, alpha=0.75, zorder=2,
                label=f"{who}, learning rate {rate_label(rate)}" if k == 0 else None,
            )  # fmt: skip
    (optimum,) = picked(report, panel, "optimum")
    ax.axhline(
        optimum["y"][0], color=CONVEX, linestyle="--", linewidth=2.4, zorder=3, label=OPTIMUM_LABEL
    )
    lost = [f"{sum(r['diverged'] for r in rows if r['rate'] == rate)} of "
            f"{sum(r['rate'] == rate for r in rows)} runs with learning rate {rate_label(rate)} diverged"
            for rate in rates if any(r["diverged"] for r in rows if r["rate"] == rate)]  # fmt: skip
    ax.text(0.98, 0.98, "\n".join(lost), transform=ax.transAxes, ha="right", va="top", fontsize=12,
            color="0.2", zorder=5, bbox={"facecolor": "white", "alpha": 0.9, "linewidth": 0})  # fmt: skip
    ax.set(xscale="log", xlabel="epoch", ylim=ylim)
    ax.set_xlim(0.8, max(max(row["x"]) for row in rows))


def draw_scores(ax: Any, report: Report, panel: str) -> None:
    """Truth, convex score, and the best epoch of each learning rate."""
    (truth,) = picked(report, panel, "true score")
    ax.plot(truth["x"], truth["y"], color=TRUTH, linewidth=1.6, label="truth")
    rows = picked(report, panel, "score")
    rates = [row["rate"] for row in rows[1:]]
    for row in rows:
        convex = row["rate"] == 0.0
        ax.plot(
            row["x"], row["y"], color=CONVEX if convex else rate_color(row["rate"], rates),
            linewidth=3.0 if convex else 1.8, zorder=3 if convex else 2,
            label="convex score" if convex else None,
        )  # fmt: skip
    highest = max(map(abs, truth["y"]))
    ax.set(xlabel="x", xlim=(truth["x"][0], truth["x"][-1]), ylim=(-1.3 * highest, 1.3 * highest))


def draw_samples(ax: Any, report: Report, panel: str) -> None:
    """Samples of the convex score as bars, of the best epoch of each learning rate as outlines."""
    (truth,) = picked(report, panel, "true density")
    rows = picked(report, panel, "samples")
    rates = [row["rate"] for row in rows[1:]]
    for row in rows:
        convex = row["rate"] == 0.0
        draw_histogram(
            ax, row, color=CONVEX if convex else rate_color(row["rate"], rates), filled=convex,
            label="samples of the convex score" if convex else None,
        )  # fmt: skip
    ax.plot(truth["x"], truth["y"], color=TRUTH, linewidth=1.6)
    ax.set(xlabel="x", xlim=(truth["x"][0], truth["x"][-1]))


def draw_histogram(ax: Any, row: Row, *, color: str, label: str, filled: bool = True) -> None:
    """Bars or an outline; an empty histogram says why."""
    if not row["y"]:
        ax.text(0.5, 0.5, row["reason"].replace(" at step", "\nat step"), color=color, ha="center",
                va="center", transform=ax.transAxes, zorder=5,
                bbox={"facecolor": "white", "linewidth": 0})  # fmt: skip
        return
    style: dict[str, Any] = {"fill": True, "alpha": 0.45, "linewidth": 0.0} if filled else {
        "fill": False, "linewidth": 1.8,
    }  # fmt: skip
    ax.stairs(row["y"], row["x"], color=color, label=label, **style)


def legend_below(fig: Any, axes: Sequence[Any], *, columns: int) -> None:
    """One legend for the whole figure, each entry once."""
    seen: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            seen.setdefault(label, handle)
    fig.legend(list(seen.values()), list(seen), loc="outside lower center", ncols=columns)
