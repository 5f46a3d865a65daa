"""What `convexscore fit --plot` draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexscore._columns import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from convexscore.estimators import ConvexScore


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
    if fit.conservative:
        displays.append(LogDensityDisplay)
    figure.set_size_inches(7.0 * len(displays), 6.0)
    axes = figure.subplots(1, len(displays), squeeze=False)[0]
    for display, ax in zip(displays, axes, strict=True):
        display.from_estimator(fit, x, ax=ax)
        ax.set(xlabel=table.names[0], ylabel=table.names[1])
