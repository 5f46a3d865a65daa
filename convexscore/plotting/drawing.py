"""What the displays share: axes, grids, and how to read a score out of what the user passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_column
from convexscore.scores.piecewise import PiecewiseLinearScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATA_COLOR = "0.8"
KINK_COLOR = "tab:red"
# A rug of more marks than this is a black bar; quantiles show the same.
_MAX_RUG = 2_000


def axes_and_figure(ax: Axes | None) -> tuple[Axes, Figure]:
    """The axes given, or new ones, with the figure they belong to."""
    if ax is None:
        figure, ax = subplots()
        return ax, figure
    return ax, cast("Figure", ax.figure)


def subplots(*shape: int, **options: Any) -> tuple[Figure, Any]:
    """``pyplot.subplots`` with an install hint."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install matplotlib") from error
    return pyplot.subplots(*shape, **options)


def score_of(fit: object) -> PiecewiseLinearScore:
    """The piecewise-linear score of a fit or a one-dimensional network, or the score itself."""
    if isinstance(fit, PiecewiseLinearScore):
        return fit
    if hasattr(fit, "to_piecewise"):
        return cast(PiecewiseLinearScore, fit.to_piecewise())
    if hasattr(fit, "get_params"):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(fit)
    if hasattr(fit, "piecewise_"):
        return cast(PiecewiseLinearScore, fit.piecewise_)
    columns = getattr(fit, "n_features_in_", 1)
    if columns > 1:
        raise ValueError(
            f"this display is for one column; the fit has {columns}. For two use VectorFieldDisplay, or "
            "LogDensityDisplay with constraint='gradient'."
        )
    raise TypeError(
        "fit must be a fitted ConvexScore, a PiecewiseLinearScore or a one-dimensional "
        f"TwoLayerNetwork; got {type(fit).__name__}."
    )


def column_or_none(x: ArrayLike | None, name: str = "X") -> Floats | None:
    """Validated data, or None."""
    return None if x is None else check_column(x, name=name, min_distinct=1)


def plot_grid(
    score: PiecewiseLinearScore, x: Floats | None, grid: ArrayLike | None, n_points: int = 600
) -> Floats:
    """Increasing positions to evaluate at: as given, or covering the data (without data: the kinks
    and the bulk of the law) with a margin.

    The kinks are in it, so that corners are drawn as corners.
    """
    if grid is not None:
        given = np.unique(np.asarray(grid, dtype=np.float64).ravel())
        if given.size < 2 or not np.isfinite(given).all():
            raise ValueError(
                f"grid must hold at least 2 distinct finite positions; got {given.size}. "
                "Leave grid=None to cover data and kinks."
            )
        return given
    knots = score.knots
    if x is not None:
        # kinks of trained networks may be far away; those of fits lie among the data
        seen = [x.min(), x.max()]
    else:
        # a score without kinks has one arbitrary knot, which says nothing about where to look
        seen = [knots[0], knots[-1]] if knots.size > 1 or not score.is_integrable else []
        if score.is_integrable:
            seen += score.ppf([0.002, 0.998]).tolist()
    low, high = float(min(seen)), float(max(seen))
    width = high - low if high > low else max(1.0, abs(low))
    even = np.linspace(low - 0.12 * width, high + 0.12 * width, n_points)
    inside = knots[(knots > even[0]) & (knots < even[-1])]
    return np.union1d(even, inside)


def draw_rug(ax: Axes, x: Floats) -> Any:
    """Short marks at the data along the bottom of the axes."""
    if x.size > _MAX_RUG:
        x = np.sort(x)[np.linspace(0, x.size - 1, _MAX_RUG).astype(int)]
    (rug,) = ax.plot(
        x,
        np.full(x.size, 0.02),
        linestyle="none",
        marker="|",
        markersize=8,
        markeredgewidth=0.7,
        color="0.45",
        alpha=0.6,
        transform=ax.get_xaxis_transform(),
        label="data",
    )
    return rug


def draw_kinks(ax: Axes, where: Floats, height: Floats, count: int) -> Any:
    """A mark at each kink that is seen, of ``count`` altogether."""
    (marks,) = ax.plot(
        where,
        height,
        linestyle="none",
        marker="o",
        markersize=5,
        color=KINK_COLOR,
        zorder=3,
        label=f"{count} kink{'s' * (count != 1)}",
    )
    return marks


def legend_above(ax: Axes, share: float = 0.15) -> None:
    """Axes from zero, with the legend in a strip of its own over the highest bar or curve."""
    highest = max(
        [bar.get_height() for bar in ax.patches if hasattr(bar, "get_height")]
        + [
            float(np.max(np.asarray(line.get_ydata(), dtype=float)))
            for line in ax.lines
            if line.get_transform() == ax.transData
        ]
    )
    ax.set_ylim(0.0, (1.0 + share) * highest)
    ax.legend(loc="upper center", ncols=3, fontsize="small")
