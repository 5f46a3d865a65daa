"""What `convexscore fit --plot`, `convexscore demo` and `convexscore diffuse --plot` draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.cli.data import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from convexscore.models.score import ConvexScore


_DATA, _SAMPLES = "0.25", "tab:blue"
# Clouds of more points are a blot; the first rows show the same.
_MOST_POINTS = 2_000
# Axes get equal units unless one range is this many times the other.
_MOST_UNEQUAL = 5.0
# Bins for each root of the number of data, and their limits.
_BINS_PER_ROOT, _FEWEST_BINS, _MOST_BINS = 1.5, 10, 100
# Width of a cloud's axes, and what is around them, in inches.
_PANEL, _AROUND = 4.7, 0.9
# Samples beyond the data that still decide what is shown: all but one in a thousand.
_TAIL = 0.001


def save_figure(fit: ConvexScore, table: Table, path: Path) -> None:
    """Score and density of one column, or the field (and log-density) of two."""
    # a Figure of its own, not pyplot's: no window, no global state
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    if fit.n_features_in_ == 1:
        _draw_line(fit, table, figure)
    else:
        _draw_plane(fit, table, figure)
    figure.savefig(path, dpi=150)


def _draw_line(fit: ConvexScore, table: Table, figure: Figure) -> None:
    from convexscore.plotting import DensityDisplay, ScoreDisplay

    # the law that denoising fits is that of the noisy points, which the displays find themselves
    x = table.values if fit.noisy_points_ is None else None
    law = fit.piecewise_.is_integrable
    figure.set_size_inches(7.0, 7.0 if law else 3.6)
    axes = figure.subplots(2 if law else 1, 1, squeeze=False)[:, 0]
    ScoreDisplay.from_estimator(fit, x, ax=axes[0])
    if law:
        weights = None if x is None else table.weights
        DensityDisplay.from_estimator(fit, x, sample_weight=weights, ax=axes[1])
    axes[-1].set_xlabel(table.names[0])


def _draw_plane(fit: ConvexScore, table: Table, figure: Figure) -> None:
    from convexscore.plotting import LogDensityDisplay, VectorFieldDisplay

    x = table.values if fit.noisy_points_ is None else None
    displays: list[Any] = [VectorFieldDisplay]
    if fit.constraint is not None:
        displays.append(LogDensityDisplay)
    figure.set_size_inches(7.0 * len(displays), 6.0)
    axes = figure.subplots(1, len(displays), squeeze=False)[0]
    for display, ax in zip(displays, axes, strict=True):
        display.from_estimator(fit, x, ax=ax)
        ax.set(xlabel=table.names[0], ylabel=table.names[1])


# ---------------------------------------------------------------------------------------- demo


def demo_figure(name: str, x: Floats, fit: ConvexScore, samples: Floats) -> Figure:
    """Four panels on their own figure; nothing is shown and pyplot is not involved.

    Parameters
    ----------
    name : str
        What the data are, for the x axes.
    x : (n,) the data the fit was made on.
    fit : ConvexScore
        With an integrable score.
    samples : (m,) Langevin samples.
    """
    from matplotlib.figure import Figure

    from convexscore.plotting import (
        CertificateDisplay,
        DensityDisplay,
        SampleDisplay,
        ScoreDisplay,
    )

    figure = Figure(figsize=(11.0, 7.6), layout="constrained")
    (top_left, top_right), (low_left, low_right) = figure.subplots(2, 2)
    bins = np.histogram_bin_edges(x, bins=30)

    DensityDisplay.from_estimator(fit, x, bins=bins, ax=top_left)
    # far out the straight tails would flatten everything else
    between = np.union1d(np.linspace(x.min(), x.max(), 400), fit.piecewise_.knots)
    ScoreDisplay.from_estimator(fit, x, grid=between, ax=top_right, label="s(x)")
    CertificateDisplay.from_estimator(fit, x, ax=low_left)
    SampleDisplay.from_estimator(fit, samples, bins=60, ax=low_right, name="Langevin samples")

    proof = fit.certificate_
    gap = max(proof.relative_gap, np.finfo(float).eps)
    titles = (
        (top_left, f"{x.size} data and the density of the fitted score"),
        (top_right, f"The score: {proof.n_neurons} neurons"),
        (low_left, f"Certificate, {proof.outcome}: |G| ≤ β everywhere (relative gap ≤ {gap:.0e})"),
        (low_right, "Langevin dynamics on the score against the exact density"),
    )
    for ax, title in titles:
        ax.set_title(title, fontsize="medium", loc="left")
        ax.set_xlabel(name)
    low_left.set_xlabel(f"kink position t ({name})")
    for ax in (top_right, low_left, low_right):
        ax.set_xlim(top_left.get_xlim())
    return figure


# ----------------------------------------------------------------------------------- diffusion


def save_samples_figure(samples: Any, table: Table, path: Path) -> None:
    """Histograms of one column, or clouds of two: the data and the samples of a model of them."""
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    if table.values.ndim == 1:
        figure.set_size_inches(7.0, 4.2)
        _draw_histograms(samples, table, figure.subplots())
    else:
        figure.set_size_inches(2 * _PANEL + 0.6, _PANEL + _AROUND)
        _draw_clouds(samples, table, figure.subplots(1, 2, sharex=True, sharey=True))
    figure.savefig(path, dpi=150)


def _draw_histograms(samples: Any, table: Table, ax: Axes) -> None:
    """Both over the same bins, fine enough for several modes."""
    from convexscore.plotting.line import histogram

    data = table.values
    low, high = _range(data, samples)
    n_bins = int(np.clip(_BINS_PER_ROOT * data.size**0.5, _FEWEST_BINS, _MOST_BINS))
    edges = np.linspace(low, high, n_bins + 1)
    heights, _ = histogram(data, edges, table.weights)
    ax.stairs(heights, edges, fill=True, color="0.8", label=f"{data.size} data")
    heights, _ = histogram(samples, edges)
    ax.stairs(heights, edges, color=_SAMPLES, linewidth=1.6, label=f"{samples.size} samples")
    ax.set(xlabel=table.names[0], ylabel="density", xlim=(low, high))
    ax.margins(y=0.08)
    ax.set_ylim(bottom=0.0)
    outside = int(((samples < low) | (samples > high)).sum())
    if outside:
        ax.set_title(f"{outside} samples beyond the frame", fontsize="small", loc="right")
    ax.legend(frameon=False, fontsize="small")


def _draw_clouds(samples: Any, table: Table, axes: Any) -> None:
    data = table.values
    for k, ax in enumerate(axes):
        rows, name, color = ((data, "data", _DATA), (samples, "samples", _SAMPLES))[k]
        sizes: Any = 9.0
        if not k and table.weights is not None:
            sizes = 9.0 * table.weights[:_MOST_POINTS] / table.weights.mean()
        shown = rows[:_MOST_POINTS]
        ax.scatter(*shown.T, s=sizes, color=color, alpha=0.5, linewidths=0.0)
        count = f"{len(rows)} {name}"
        if len(shown) < len(rows):
            count += f", {len(shown)} drawn"
        ax.set(xlabel=table.names[0], title=count)
    axes[0].set_ylabel(table.names[1])
    ranges = [_range(data[:, j], samples[:, j]) for j in range(2)]
    axes[0].set(xlim=ranges[0], ylim=ranges[1])
    sides = [high - low for low, high in ranges]
    if max(sides) <= _MOST_UNEQUAL * min(sides):
        for ax in axes:
            ax.set_aspect("equal", adjustable="box")
        height = float(np.clip(_PANEL * sides[1] / sides[0], 2.0, 2 * _PANEL))
        axes[0].figure.set_size_inches(2 * _PANEL + 0.6, height + _AROUND)


def _range(data: Any, samples: Any) -> tuple[float, float]:
    """All data and nearly all samples, with a margin."""
    low = min(data.min(), np.quantile(samples, _TAIL))
    high = max(data.max(), np.quantile(samples, 1.0 - _TAIL))
    margin = 0.05 * ((high - low) or max(abs(high), 1.0))
    return float(low - margin), float(high + margin)
