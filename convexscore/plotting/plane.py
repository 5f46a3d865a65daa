"""Two columns: the score as arrows with the lines where it bends, the log-density as contours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_scores
from convexscore.plotting.drawing import Display
from convexscore.plotting.frames import (
    Frame,
    add_colorbar,
    draw_kink_lines,
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
    from matplotlib.colors import Colormap

# Share of a cell that the longest arrow fills, and of that what the shortest has.
_LONGEST = 0.92
_SHORTEST = 0.5
# Colours end at this quantile of the norms; a few large ones would leave the rest one colour.
_TOP = 0.95
# Below this the density is less than 1e-5 of its maximum.
_LOWEST = -12.0


class _PlaneDisplay(Display):
    """Something over a rectangle of the plane, with the data."""

    def __init__(
        self,
        network: TwoLayerNetwork | None,
        X: ArrayLike | None,
        limits: ArrayLike | None,
        data_name: str,
    ) -> None:
        self.network = network
        self.X = None if X is None else plane_points(X)
        self.data_name = data_name
        self.frame: Frame = frame_of(limits, self.X, network)

    @classmethod
    def from_estimator(cls, fit: object, X: ArrayLike | None = None, **options: Any) -> Self:
        """Draw a fitted ConvexScore of two columns, or a planar network.

        Parameters
        ----------
        fit : ConvexScore or TwoLayerNetwork
            For the log-density fitted with ``constraint="gradient"``, or a conservative network.
        X : array_like of shape (n, 2), optional
            Data to draw; default after denoising: the noisy points kept in the fit.
        **options
            As for the class and for :meth:`plot`.
        """
        network = network_of(fit)
        noisy = getattr(fit, "noisy_points_", None)
        if X is None and noisy is not None:
            X, options = noisy, {"data_name": "noisy data"} | options
        return cls._drawn(network, X, **options)

    def _finish(self, **style: Any) -> Self:
        points = self.X
        self.points_ = None
        if points is not None:
            self.points_ = draw_points(self.ax_, points, self.data_name, **style)
        self.frame.apply(self.ax_)
        legend_over(self.ax_)
        return self


class VectorFieldDisplay(_PlaneDisplay):
    r"""Directions of a planar score, coloured by its norm.

    Arrows start on a grid and show the direction; their length grows with the logarithm of the norm
    only (scores are often hundreds of times larger in one corner than where the data are), the colour
    tells the norm.  Kink lines :math:`u^\top x + b = 0`, where the score of a network bends, are the
    bolder the larger \|u\| \|w\|.

    Parameters
    ----------
    score : callable, (n, 2) -> (n, 2)
        With its kink lines if it is a TwoLayerNetwork.
    X : array_like of shape (n, 2), optional
        Data to draw.
    limits : ((x low, x high), (y low, y high)), optional
        Default: around the data, without data around the kinks.
    n_arrows : int
        Arrows along the longer side.

    Attributes
    ----------
    positions, vectors : (n, 2), where the arrows stand (their middles) and the score there
    norms : (n,)
    frame : lower left and upper right corner
    ax_, figure_ : matplotlib Axes and Figure
    arrows_ : Quiver
    points_ : Line2D, the data, or None
    kinks_ : LineCollection, or None
    colorbar_ : Colorbar

    Raises
    ------
    ValueError
        If the score is not finite or of the wrong shape, or the data have not two columns.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from convexscore import TwoLayerNetwork
    >>> from convexscore.plotting import VectorFieldDisplay
    >>> net = TwoLayerNetwork([[1, 0]], [[-1, 0]], [0], skip=[[-1, 0], [0, -1]], offset=[0, 0])
    >>> display = VectorFieldDisplay.from_estimator(net, ax=Figure().subplots())
    >>> display.kinks_.get_label()
    '1 kink line'
    """

    def __init__(
        self,
        score: Callable[..., Any],
        X: ArrayLike | None = None,
        *,
        limits: ArrayLike | None = None,
        n_arrows: int = 24,
        data_name: str = "data",
    ) -> None:
        super().__init__(
            score if isinstance(score, TwoLayerNetwork) else None, X, limits, data_name
        )
        self.score = score
        columns, rows = grid_points(self.frame, check_count(n_arrows, name="n_arrows", minimum=2))
        self.positions: Floats = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
        self.vectors = check_scores(
            score(self.positions), self.positions, hint="Choose other limits."
        )
        self.norms: Floats = np.hypot(self.vectors[:, 0], self.vectors[:, 1])
        self._cell = self.frame.size / (len(columns), len(rows))

    @classmethod
    def from_score(
        cls, score: Callable[..., Any], X: ArrayLike | None = None, **options: Any
    ) -> Self:
        """Draw any function from points (n, 2) to vectors (n, 2); ``X`` or ``limits`` is needed.

        Options are as in :meth:`from_estimator`.
        """
        return cls._drawn(score, X, **options)

    def plot(self, *, ax: Axes | None = None, max_lines: int = 80, **arrow_options: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
        max_lines : int
            Draw the kink lines of at most so many neurons, the heaviest.
        **arrow_options
            Passed to ``Axes.quiver``.
        """
        ax = self._axes(ax)
        from matplotlib.colors import Normalize

        self.kinks_: Any = None
        if self.network is not None:
            self.kinks_ = draw_kink_lines(ax, self.network, self.frame, max_lines)
        top = float(np.quantile(self.norms, _TOP))
        options: dict[str, Any] = {"cmap": _dark_colors(), "norm": Normalize(0.0, top or 1.0)}
        options |= {
            "angles": "xy",
            "scale_units": "xy",
            "scale": 1.0,
            "pivot": "mid",
            "zorder": 3.0,
        }
        options |= {"width": 0.0034, "headwidth": 3.2, "headlength": 3.6, "headaxislength": 3.2}
        self.arrows_ = ax.quiver(
            *self.positions.T, *self._arrows().T, self.norms, **(options | arrow_options)
        )
        extend = "max" if self.norms.max() > top else "neither"
        self.colorbar_ = add_colorbar(ax, self.arrows_, self.frame, label="‖s(x)‖", extend=extend)
        return self._finish(color="0.45")

    def _arrows(self) -> Floats:
        """Direction on the paper, length by the logarithm of the norm, in units of the data."""
        unit = np.full(2, self.frame.size.max()) if self.frame.equal else self.frame.size
        on_paper = self.vectors / unit
        length = np.hypot(on_paper[:, 0], on_paper[:, 1])
        middle = float(np.median(self.norms[self.norms > 0.0])) if self.norms.any() else 1.0
        growth = np.log1p(self.norms / middle)
        share = _SHORTEST + (1.0 - _SHORTEST) * growth / (growth.max() or 1.0)
        wanted = _LONGEST * float((self._cell / unit).min()) * share
        arrows: Floats = on_paper / np.where(length > 0.0, length, 1.0)[:, None]
        return arrows * wanted[:, None] * unit


class LogDensityDisplay(_PlaneDisplay):
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
        network = network_of(network)
        super().__init__(network, X, limits, data_name)
        check_count(n_grid, name="n_grid", minimum=2)
        cells = [len(side) for side in grid_points(self.frame, n_grid)]
        # to the rim: cell centres would leave a white one
        self.columns: Floats = np.linspace(self.frame.low[0], self.frame.high[0], cells[0])
        self.rows: Floats = np.linspace(self.frame.low[1], self.frame.high[1], cells[1])
        values = network.log_density(np.stack(np.meshgrid(self.columns, self.rows), axis=-1))
        self.values: Floats = values - values.max()

    def plot(
        self, *, ax: Axes | None = None, levels: int | ArrayLike = 12, **contour_options: Any
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
        levels : int or array_like
            Number of bands between -12 and 0, or the increasing levels themselves.
            Everything below the lowest has one colour.
        **contour_options
            Passed to ``Axes.contourf``.
        """
        bounds = _levels(levels)
        ax = self._axes(ax)
        extend = "min" if self.values.min() < bounds[0] else "neither"
        options: dict[str, Any] = {"cmap": "viridis", "extend": extend, "levels": bounds}
        self.contours_ = ax.contourf(
            self.columns, self.rows, self.values, **(options | contour_options)
        )
        label = "log p(x) − largest value shown"
        self.colorbar_ = add_colorbar(ax, self.contours_, self.frame, label=label)
        style: dict[str, Any] = {"color": "white", "markeredgecolor": "0.2", "alpha": 0.9}
        return self._finish(markeredgewidth=0.4, markersize=3.5, **style)


def _dark_colors() -> Colormap:
    """Viridis without its yellow, which thin arrows on white would vanish in."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("dark", colormaps["viridis"](np.linspace(0, 0.87, 64)))


def _levels(levels: int | ArrayLike) -> Floats:
    if np.ndim(levels) == 0:
        return np.linspace(_LOWEST, 0.0, check_count(levels, name="levels") + 1)
    given = np.asarray(levels, dtype=np.float64)
    if given.ndim != 1 or given.size < 2 or not (np.diff(given) > 0).all():
        raise ValueError(
            f"levels must be a number of bands or at least two increasing values; got {levels!r}."
        )
    return given
