"""What the displays share: computing and drawing, axes, grids, and how to read a score out of a fit."""

from __future__ import annotations

from collections.abc import Container
from inspect import signature
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.scores.piecewise import PiecewiseLinearScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

KINK_COLOR = "tab:red"
# A rug of more marks than this is a black bar; quantiles show the same.
_MAX_RUG = 2_000


class Display:
    """A figure: the class computes what is shown, `plot` draws it and returns the display.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure, once drawn
    """

    ax_: Axes
    figure_: Figure

    @classmethod
    def _drawn(cls, *data: Any, **options: Any) -> Self:
        """Compute with those options that the class takes, draw with the others."""
        display = cls(*data, **taken(options, signature(cls).parameters))
        display.plot(**options)
        return display

    def plot(self, *args: Any, **options: Any) -> Any:
        """Draw what was computed."""
        raise NotImplementedError

    def _axes(self, ax: Axes | None) -> Axes:
        """The axes to draw in: those given, or new ones."""
        self.ax_ = subplots()[1] if ax is None else ax
        self.figure_ = cast("Figure", self.ax_.figure)
        return self.ax_

    def _panels(
        self, ax: Any, shape: tuple[int, int], allowed: str, **options: Any
    ) -> tuple[Axes, ...]:
        """The axes to draw several panels in: those given, or new ones side by side."""
        if ax is None:
            ax = subplots(*shape, layout="constrained", **options)[1]
        panels: tuple[Axes, ...] = tuple(np.ravel(np.asarray(ax, dtype=object)))
        if len(panels) != np.prod(shape):
            raise ValueError(f"ax must be {allowed}; got {len(panels)} Axes.")
        self._axes(panels[0])
        return panels


def limits_of(limits: ArrayLike, dim: int) -> Floats:
    """Range of every axis, (dim, 2), as given."""
    given = np.atleast_2d(np.asarray(limits, dtype=np.float64))
    if given.shape != (dim, 2) or not np.isfinite(given).all() or (np.diff(given) <= 0).any():
        wanted = "(low, high)" if dim == 1 else "((x low, x high), (y low, y high))"
        raise ValueError(
            f"limits must be {wanted}, increasing; got {limits!r}. Leave limits=None to cover the data."
        )
    return given


def taken(options: dict[str, Any], names: Container[str]) -> dict[str, Any]:
    """Take the options of these names out."""
    return {name: options.pop(name) for name in tuple(options) if name in names}


def draw_line(ax: Axes, x: Any, y: Any, given: dict[str, Any], **default: Any) -> Line2D:
    """One line, the options of the user before our own."""
    (line,) = ax.plot(x, y, **(default | given))
    return line


def subplots(*shape: int, **options: Any) -> tuple[Figure, Any]:
    """``pyplot.subplots``, imported on drawing only."""
    from matplotlib import pyplot

    return pyplot.subplots(*shape, **options)


def check_fitted(fit: object) -> None:
    """Refuse estimators that were not fitted."""
    if hasattr(fit, "get_params"):
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(fit)


def score_of(fit: object) -> PiecewiseLinearScore:
    """The piecewise-linear score of a fit or a one-dimensional network, or the score itself."""
    check_fitted(fit)
    score = fit.to_piecewise() if hasattr(fit, "to_piecewise") else getattr(fit, "piecewise_", fit)
    if isinstance(score, PiecewiseLinearScore):
        return score
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


def plot_grid(score: PiecewiseLinearScore, x: Floats | None, grid: ArrayLike | None) -> Floats:
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
    even = np.linspace(low - 0.12 * width, high + 0.12 * width, 600)
    inside = knots[(knots > even[0]) & (knots < even[-1])]
    return np.union1d(even, inside)


def draw_rug(ax: Axes, x: Floats) -> Line2D:
    """Short marks at the data along the bottom of the axes."""
    if x.size > _MAX_RUG:
        x = np.sort(x)[np.linspace(0, x.size - 1, _MAX_RUG).astype(int)]
    style: dict[str, Any] = {"markersize": 8, "markeredgewidth": 0.7, "color": "0.45", "alpha": 0.6}
    style |= {"transform": ax.get_xaxis_transform(), "label": "data"}
    (rug,) = ax.plot(x, np.full(x.size, 0.02), "|", **style)
    return rug


def draw_kinks(ax: Axes, where: Floats, height: Floats, count: int) -> Line2D:
    """A mark at each kink that is seen, of ``count`` altogether."""
    label = f"{count} kink{'s' * (count != 1)}"
    (marks,) = ax.plot(where, height, "o", markersize=5, color=KINK_COLOR, zorder=3, label=label)
    return marks
