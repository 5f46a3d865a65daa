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


def _new_figure(width: float, height: float) -> Figure:
    """One of its own, not pyplot's: no window, no global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(fit: ConvexScore, table: Table, path: Path) -> None:
    """Score and density of one column, or the field (and log-density) of two."""
    from convexscore import plotting

    # the law that denoising fits is that of the noisy points, which the displays find themselves
    x = table.values if fit.noisy_points_ is None else None
    if fit.n_features_in_ == 1:
        law = fit.piecewise_.is_integrable
        figure = _new_figure(7.0, 7.0 if law else 3.6)
        score, *density = figure.subplots(2 if law else 1, 1, squeeze=False).ravel()
        plotting.ScoreDisplay.from_estimator(fit, x, ax=score)
        for ax in density:
            weights = None if x is None else table.weights
            plotting.DensityDisplay.from_estimator(fit, x, sample_weight=weights, ax=ax)
        figure.axes[-1].set_xlabel(table.names[0])
    else:
        law = fit.constraint is not None
        figure = _new_figure(14.0 if law else 7.0, 6.0)
        field, *density = figure.subplots(1, 2 if law else 1, squeeze=False).ravel()
        plotting.VectorFieldDisplay.from_estimator(fit, x, ax=field)
        for ax in density:
            plotting.LogDensityDisplay.from_estimator(fit, x, ax=ax)
        for ax in (field, *density):
            ax.set(xlabel=table.names[0], ylabel=table.names[1])
    figure.savefig(path, dpi=150)


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
    from convexscore import plotting

    figure = _new_figure(11.0, 7.6)
    density, score, certificate, chains = figure.subplots(2, 2).ravel()
    bins = np.histogram_bin_edges(x, bins=30)
    # far out the straight tails would flatten everything else
    between = np.union1d(np.linspace(x.min(), x.max(), 400), fit.piecewise_.knots)
    plotting.DensityDisplay.from_estimator(fit, x, bins=bins, ax=density)
    plotting.ScoreDisplay.from_estimator(fit, x, grid=between, ax=score, label="s(x)")
    plotting.CertificateDisplay.from_estimator(fit, x, ax=certificate)
    plotting.SampleDisplay.from_estimator(fit, samples, bins=60, ax=chains, name="Langevin samples")

    proof = fit.certificate_
    gap = max(proof.relative_gap, np.finfo(float).eps)
    titles = {
        density: f"{x.size} data and the density of the fitted score",
        score: f"The score: {proof.n_neurons} neurons",
        certificate: f"Certificate, {proof.outcome}: |G| ≤ β everywhere (relative gap ≤ {gap:.0e})",
        chains: "Langevin dynamics on the score against the exact density",
    }
    for ax, title in titles.items():
        ax.set_title(title, fontsize="medium", loc="left")
        ax.set(xlabel=name, xlim=density.get_xlim())
    certificate.set_xlabel(f"kink position t ({name})")
    return figure


# ----------------------------------------------------------------------------------- diffusion


def save_samples_figure(samples: Any, table: Table, path: Path) -> None:
    """Histograms of one column, or clouds of two: the data and the samples of a model of them."""
    if table.values.ndim == 1:
        figure = _new_figure(7.0, 4.2)
        _draw_histograms(samples, table, figure.subplots())
    else:
        figure = _new_figure(2 * _PANEL + 0.6, _PANEL + _AROUND)
        _draw_clouds(samples, table, figure)
    figure.savefig(path, dpi=150)


def _draw_histograms(samples: Any, table: Table, ax: Axes) -> None:
    """Both over the same bins, fine enough for several modes."""
    data = table.values
    low, high = _range(data, samples)
    n_bins = int(np.clip(_BINS_PER_ROOT * data.size**0.5, _FEWEST_BINS, _MOST_BINS))
    edges = np.linspace(low, high, n_bins + 1)
    looks: list[Any] = [
        (data, table.weights, {"fill": True, "color": "0.8", "label": f"{data.size} data"}),
        (
            samples,
            None,
            {"color": "tab:blue", "linewidth": 1.6, "label": f"{len(samples)} samples"},
        ),
    ]
    for x, weights, look in looks:
        ax.stairs(np.histogram(x, edges, density=True, weights=weights)[0], edges, **look)
    ax.margins(y=0.08)
    ax.set(xlabel=table.names[0], ylabel="density", xlim=(low, high), ylim=(0.0, None))
    outside = int(((samples < low) | (samples > high)).sum())
    if outside:
        ax.set_title(f"{outside} samples beyond the frame", fontsize="small", loc="right")
    ax.legend(frameon=False, fontsize="small")


def _draw_clouds(samples: Any, table: Table, figure: Figure) -> None:
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    data, w = table.values, table.weights
    sizes: Any = 9.0 if w is None else 9.0 * w[:_MOST_POINTS] / w.mean()
    looks = ((left, data, "data", "0.25", sizes), (right, samples, "samples", "tab:blue", 9.0))
    for ax, rows, name, color, s in looks:
        shown = rows[:_MOST_POINTS]
        ax.scatter(*shown.T, s=s, color=color, alpha=0.5, linewidths=0.0)
        drawn = f", {len(shown)} drawn" if len(shown) < len(rows) else ""
        ax.set(xlabel=table.names[0], title=f"{len(rows)} {name}{drawn}")
    ranges = [_range(data[:, j], samples[:, j]) for j in range(2)]
    left.set(ylabel=table.names[1], xlim=ranges[0], ylim=ranges[1])
    sides = [high - low for low, high in ranges]
    if max(sides) <= _MOST_UNEQUAL * min(sides):
        for ax in (left, right):
            ax.set_aspect("equal", adjustable="box")
        height = float(np.clip(_PANEL * sides[1] / sides[0], 2.0, 2 * _PANEL))
        figure.set_size_inches(2 * _PANEL + 0.6, height + _AROUND)


def _range(data: Any, samples: Any) -> tuple[float, float]:
    """All data and nearly all samples, with a margin."""
    low = min(data.min(), np.quantile(samples, _TAIL))
    high = max(data.max(), np.quantile(samples, 1.0 - _TAIL))
    margin = 0.05 * ((high - low) or max(abs(high), 1.0))
    return float(low - margin), float(high + margin)
