"""What figures 1 to 5 look like: type for slides, colours, loss curves, scores, histograms.

Convex results are blue everywhere, networks trained by gradients have one warm or green colour per
learning rate, the truth is black.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.harness import Report, Row
from benchmarks.paper.parts import picked, rate_label

CONVEX, TRUTH = "#1f5fa8", "0.1"
# One per learning rate, from the largest to the smallest.
TRAINED = ("#c8372d", "#e39b1a", "#2f8f6b")
OPTIMUM_LABEL = "convex optimum (certified)"


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


def draw_panel(ax: Any, report: Report, panel: str, **losses: Any) -> None:
    """Training loss, scores and histograms of one problem on three axes."""
    draw_losses(ax[0], report, panel, **losses)
    draw_scores(ax[1], report, panel)
    draw_samples(ax[2], report, panel)


def draw_losses(
    ax: Any, report: Report, panel: str, *, ylim: tuple[float, float], who: str = "trained"
) -> None:
    """Loss against epoch, all runs, with the certified optimum dashed underneath."""
    rows = picked(report, panel, "loss")
    rates = list(dict.fromkeys(row["rate"] for row in rows))
    for rate in rates:
        for k, row in enumerate(row for row in rows if row["rate"] == rate):
            x, y = np.maximum(row["x"], 0.8), np.asarray(row["y"])
            if row["diverged"]:  # frozen where it blew up
                outside = np.flatnonzero((y[1:] < ylim[0]) | (y[1:] > ylim[1]))
                last = outside[0] + 2 if outside.size else y.size
                x, y = x[:last], y[:last]
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
