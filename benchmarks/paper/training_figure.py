"""The figure of `convex_vs_sgd`: gaps against time, and shares of successful restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.harness import Report, Row, figure

COLORS = {
    "SGD": "C1",
    "SGD, cosine": "C5",
    "Adam": "C0",
    "Adam, cosine": "C9",
    "L-BFGS": "C2",
    "Adam, scikit-learn": "C4",
    "Adam, torch": "C8",
}
_SMALLEST = 1e-12


def gaps_and_successes(report: Report, levels: Sequence[float]) -> Any:
    """Three panels of gap against time above one table of shares for each level."""
    fig, _ = figure(15.0, 9.6)
    fig.clf()
    top, *tables = fig.subfigures(1 + len(levels), 1, height_ratios=(2.2, *(1.0 for _ in levels)))
    cases = _chosen(report)
    for ax, case in zip(top.subplots(1, len(cases), squeeze=False)[0], cases, strict=True):
        _gap_panel(ax, report, case)
    top.get_axes()[0].set_ylabel("objective above the lower bound, relative")
    handles, labels = top.get_axes()[-1].get_legend_handles_labels()
    top.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9)
    for part, level in zip(tables, levels, strict=True):
        last = level == levels[-1]
        _success_table(part.subplots(), report.tables["Trained by gradients"], level, last)
    return fig


def _chosen(report: Report) -> list[str]:
    """Score matching on the line, denoising on the line and in the most dimensions."""
    cases = list(dict.fromkeys(row["case"] for row in report.data))
    by_kind = {
        kind: [c for c in cases if c.startswith(kind + " ")] for kind in ("SM d=1", "DSM d=1")
    }
    largest = max((c for c in cases if c.startswith("DSM")), key=lambda c: int(c.split()[1][2:]))
    chosen = [group[len(group) // 2] for group in by_kind.values() if group]
    return list(dict.fromkeys([*chosen, largest]))


def _gap_panel(ax: Any, report: Report, case: str) -> None:
    for row in (row for row in report.data if row["case"] == case):
        color, seconds = COLORS[row["method"]], np.asarray(row["seconds"])
        if len(seconds) == 1:
            ax.plot(seconds, row["median"], "D", color=color, label=row["method"])
            continue
        later = seconds > 0.0
        best, median, worst = (
            np.maximum(np.asarray(row[name])[later], _SMALLEST)
            for name in ("best", "median", "worst")
        )
        ax.plot(seconds[later], median, color=color, label=f"{row['method']}, median and range")
        ax.fill_between(seconds[later], best, worst, color=color, alpha=0.15, linewidth=0.0)
    fits = [row for row in report.tables["Convex fits"] if row["case"] == case]
    seconds = [row["seconds"] for row in fits]
    gaps = [max(row["gap"], _SMALLEST) for row in fits]
    ax.axhline(gaps[-1], color="C3", linestyle="--", linewidth=1.0)
    ax.plot(seconds, gaps, "o-", color="C3", markersize=8, label="convex fit, with proof")
    ax.set(xscale="log", yscale="log", xlabel="seconds (one run)", title=case)
    ax.set_ylim(bottom=0.3 * gaps[-1])


def _success_table(ax: Any, rows: list[Row], level: float, with_names: bool) -> None:
    """Shares as colours and numbers; empty where a method does not apply."""
    cases = list(dict.fromkeys(row["case"] for row in rows))
    methods = [name for name in COLORS if any(row["method"] == name for row in rows)]
    share = np.full((len(methods), len(cases)), np.nan)
    for row in rows:
        share[methods.index(row["method"]), cases.index(row["case"])] = row[f"within {level:.1%}"]
    ax.imshow(share, vmin=-0.1, vmax=1.2, cmap="Blues", aspect="auto")
    for (i, j), value in np.ndenumerate(share):
        if not np.isnan(value):
            color = "white" if value > 0.6 else "black"
            ax.text(j, i, f"{value:.2g}", ha="center", va="center", fontsize=8, color=color)
    names = [_lines(case) for case in cases] if with_names else [""] * len(cases)
    ax.set_xticks(range(len(cases)), names, fontsize=7.5)
    ax.set_yticks(range(len(methods)), methods, fontsize=8)
    ax.tick_params(length=0)
    ax.set_title(f"share of restarts within {level:.1%} of the lower bound", fontsize=10)


def _lines(case: str) -> str:
    """The label of a case, one property a line."""
    head, _, wide = case.partition(", ")
    kind, d, n, share = head.split()
    share = share.replace("β/βmax=", "β=") + "βmax"
    return "\n".join([f"{kind} {d}", n, share, wide])
