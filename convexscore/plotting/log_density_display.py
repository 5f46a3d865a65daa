"""The log-density of a conservative network in the plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_count
from convexscore.plotting.drawing import Floats, axes_and_figure
from convexscore.plotting.plane import (
    Frame,
    add_colorbar,
    data_of,
    draw_points,
    frame_of,
    grid_points,
    legend_over,
    network_of,
    plane_points,
)
from convexscore.scores.network import TwoLayerNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Below this the density is less than 1e-5 of its maximum.
_LOWEST = -12.0


class LogDensityDisplay:
    r"""Filled contours of the log-density, its largest value in the picture set to 0.

    Only conservative networks have one (:math:`w_k = y_k u_k`, V symmetric); it is known up to a
    constant, and whether it has a finite integral is not checked: a maximum at the rim of the picture
    is a warning.

    Parameters
    ----------
    network : TwoLayerNetwork
        Conservative, of two dimensions.
    X : array_like of shape (n, 2), optional
        Data to draw.
    limits : ((x low, x high), (y low, y high)), optional
        Default: around the data, without data around the kinks.
    n_grid : int
        Grid points along the longer side.

    Attributes
    ----------
    columns, rows : (A,), (B,) grid positions on the two axes
    values : (B, A) log-density on the grid, largest value 0
    frame : lower left and upper right corner
    ax_, figure_ : matplotlib Axes and Figure
    contours_ : QuadContourSet
    points_ : Line2D, the data, or None
    colorbar_ : Colorbar

    Raises
    ------
    ValueError
        If the network is not conservative; nothing is drawn.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from convexscore import TwoLayerNetwork
    >>> from convexscore.plotting import LogDensityDisplay
    >>> net = TwoLayerNetwork([[1, 0]], [[-1, 0]], [0], skip=[[-1, 0], [0, -1]], offset=[0, 0])
    >>> display = LogDensityDisplay.from_estimator(net, n_grid=51, ax=Figure().subplots())
    >>> float(display.values.max())
    0.0
    """

    def __init__(
        self,
        network: TwoLayerNetwork,
        X: ArrayLike | None = None,
        *,
        limits: ArrayLike | None = None,
        n_grid: int = 241,
        data_name: str = "data",
    ) -> None:
        self.network = network_of(network)
        self.X = None if X is None else plane_points(X)
        self.data_name = data_name
        self.frame: Frame = frame_of(limits, self.X, self.network)
        check_count(n_grid, name="n_grid", minimum=2)
        cells = [len(side) for side in grid_points(self.frame, n_grid)]
        # to the rim: cell centres would leave a white one
        self.columns: Floats = np.linspace(self.frame.low[0], self.frame.high[0], cells[0])
        self.rows: Floats = np.linspace(self.frame.low[1], self.frame.high[1], cells[1])
        values = self.network.log_density(np.stack(np.meshgrid(self.columns, self.rows), axis=-1))
        self.values: Floats = values - values.max()

    @classmethod
    def from_estimator(
        cls,
        fit: object,
        X: ArrayLike | None = None,
        *,
        ax: Axes | None = None,
        levels: int | ArrayLike | None = None,
        limits: ArrayLike | None = None,
        n_grid: int = 241,
        **contour_options: Any,
    ) -> LogDensityDisplay:
        """Draw the log-density of a fit with ``constraint="gradient"``, or of a conservative network.

        Parameters
        ----------
        fit : ConvexScore or TwoLayerNetwork
        X : array_like of shape (n, 2), optional
            Data to draw; default after denoising: the noisy points kept in the fit.
        ax : Axes, optional
        levels : int or array_like, optional
            Number of bands between -12 and 0 (default 12), or the increasing levels themselves.
            Everything below the lowest has one colour.
        limits, n_grid
            As for the class.
        **contour_options
            Passed to ``Axes.contourf``.
        """
        network = network_of(fit)
        points, name = data_of(fit, X)
        display = cls(network, points, limits=limits, n_grid=n_grid, data_name=name)
        return display.plot(ax=ax, levels=levels, **contour_options)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        levels: int | ArrayLike | None = None,
        **contour_options: Any,
    ) -> LogDensityDisplay:
        """Draw; options as in :meth:`from_estimator`."""
        bounds = _levels(levels)
        self.ax_, self.figure_ = axes_and_figure(ax)
        extend = "min" if self.values.min() < bounds[0] else "neither"
        options: dict[str, Any] = {"cmap": "viridis", "extend": extend, "levels": bounds}
        self.contours_ = self.ax_.contourf(
            self.columns, self.rows, self.values, **(options | contour_options)
        )
        self.colorbar_ = add_colorbar(
            self.ax_, self.contours_, self.frame, label="log p(x) − largest value shown"
        )
        style: dict[str, Any] = {"color": "white", "markeredgecolor": "0.2", "alpha": 0.9}
        style |= {"markeredgewidth": 0.4, "markersize": 3.5}
        self.points_ = (
            None if self.X is None else draw_points(self.ax_, self.X, self.data_name, **style)
        )
        self.frame.apply(self.ax_)
        legend_over(self.ax_)
        return self


def _levels(levels: int | ArrayLike | None) -> Floats:
    if levels is None:
        return np.linspace(_LOWEST, 0.0, 13)
    if np.ndim(levels) == 0:
        return np.linspace(_LOWEST, 0.0, check_count(levels, name="levels") + 1)
    given = np.asarray(levels, dtype=np.float64)
    if given.ndim != 1 or given.size < 2 or not (np.diff(given) > 0).all():
        raise ValueError(
            f"levels must be a number of bands or at least two increasing values; got {levels!r}."
        )
    return given
