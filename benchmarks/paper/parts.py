"""What figures 1 to 5 share: streams, curves kept for the record, samples and their histograms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks.harness import Check, Floats, Report, Row
from convexscore.metrics import kolmogorov_smirnov
from convexscore.samplers import ChainDivergedError

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


def or_nan(statistic: Callable[[Floats], Any], values: Floats) -> float:
    """A statistic of the values, if there are any."""
    return float(statistic(values)) if values.size else float("nan")


def lowest_gap(solved: Iterable[Any]) -> float:
    """Of all runs and records, each to the certified bound of the fit beside them."""
    return min(float(each.runs.gaps(each.fit).min()) for each in solved)


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
