"""Activation patterns of data in the plane: the data, and the cells of neurons they cut out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_count
from convexscore.arrangements import Arrangement, enumerate_patterns
from convexscore.arrangements.hyperplanes import check_bias, check_points
from convexscore.arrangements.planar import cones, crossing_angles, wide_and_different
from convexscore.plotting.drawing import axes_and_figure, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.colors import BoundaryNorm, ListedColormap

_NEURON_COLORS = ("tab:red", "tab:orange", "tab:purple", "tab:green", "tab:brown", "tab:pink")
# Numbers beside the points are legible up to here.
_MAX_NUMBERED = 12


class ArrangementDisplay:
    r"""Cells of neurons with one activation pattern each, beside the data.

    Cells are drawn in the space of neurons, where every data point is a line and a cell is the set of
    all neurons that are active on the same points; its shade is the number of active points.

    * With bias a neuron is a line in the data plane, given by the direction theta of u and its offset
      :math:`-b - u^T \bar x` from the mean of the data.  Point x_i is the curve
      :math:`u(\theta)^T(x_i - \bar x)` of all lines through it; a neuron below it is active on x_i.
    * Without bias a neuron is u itself, point x_i the line :math:`\{u: x_i^T u = 0\}`, cells are cones.

    A few cells are marked, and their representative neurons drawn in the data plane in the same
    colour: the line on which the neuron switches and an arrow towards the side where it is active
    (without bias, the arrow is u).

    Parameters
    ----------
    X : array_like of shape (n, 2)
    bias : bool
        Whether neurons have a bias.
    n_neurons : int, 0 to 6
        How many cells to mark: wide ones, with different numbers of active points where possible.

    Attributes
    ----------
    arrangement : Arrangement, all patterns
    shown : (k,) rows of the arrangement that are marked
    ax_, data_ax_ : Axes of the cells and of the data (None when only ``ax`` was given)
    figure_ : Figure
    cells_ : list of artists, shaded by number of active points: with bias one band for every number
        n, ..., 0 (from below), without bias one wedge per cone
    curves_ : list of Line2D, one per data point
    marks_ : list of Line2D, marked cells
    points_ : Line2D, the data, or None
    lines_ : list of Line2D, lines in the data plane of marked neurons
    colorbar_ : Colorbar

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from convexscore.plotting import ArrangementDisplay
    >>> X = [[0.0, 0.0], [1.0, 0.2], [0.3, 1.0], [1.2, 1.1]]
    >>> display = ArrangementDisplay.from_data(X, ax=Figure().subplots())
    >>> display.ax_.get_title()
    '14 patterns of 4 points'
    """

    def __init__(self, X: ArrayLike, *, bias: bool = True, n_neurons: int = 4) -> None:
        self.X = check_points(X)
        if self.X.shape[1] != 2:
            raise ValueError(
                f"X must have shape (n, 2) to be drawn; got shape {self.X.shape}. Pass two columns, "
                "for example X[:, :2]; enumerate_patterns takes any number."
            )
        self.bias = check_bias(bias)
        most = len(_NEURON_COLORS)
        if check_count(n_neurons, name="n_neurons", minimum=0) > most:
            raise ValueError(f"n_neurons must be at most {most}, one colour each; got {n_neurons}.")
        self.arrangement: Arrangement = enumerate_patterns(self.X, bias=self.bias)
        self.shown = wide_and_different(self.arrangement, n_neurons)

    @classmethod
    def from_data(
        cls,
        X: ArrayLike,
        *,
        bias: bool = True,
        n_neurons: int = 4,
        ax: Axes | None = None,
        data_ax: Axes | None = None,
        cmap: str = "YlGnBu",
    ) -> ArrangementDisplay:
        """Enumerate the patterns of data in the plane and draw them.

        Parameters
        ----------
        X, bias, n_neurons
            As for the class.
        ax : Axes, optional
            For the cells.  Without it a new figure holds both panels.
        data_ax : Axes, optional
            For the data; left out when only ``ax`` is given.
        cmap : str
            Sequential colormap, of which the lighter three quarters are used.

        Raises
        ------
        ValueError
            If X is no finite real matrix (n, 2), or has too many patterns (some 450 points).
        """
        display = cls(X, bias=bias, n_neurons=n_neurons)
        return display.plot(ax=ax, data_ax=data_ax, cmap=cmap)

    def plot(
        self, *, ax: Axes | None = None, data_ax: Axes | None = None, cmap: str = "YlGnBu"
    ) -> ArrangementDisplay:
        """Draw; options as in :meth:`from_data`."""
        if ax is None and data_ax is None:
            _, (data_ax, ax) = subplots(
                1, 2, figsize=(10.5, 4.4), layout="constrained", width_ratios=[1.0, 1.25]
            )
        self.ax_, self.figure_ = axes_and_figure(ax)
        self.data_ax_ = data_ax
        n = self.X.shape[0]
        colors, norm = _shades(n, cmap)
        draw = self._draw_offsets if self.bias else self._draw_cones
        draw(colors, norm)
        p = len(self.arrangement)
        self.ax_.set_title(f"{p} pattern{'s' * (p != 1)} of {n} point{'s' * (n != 1)}")
        self.colorbar_ = self._add_colorbar(colors, norm)
        self.points_: Any = None
        self.lines_: list[Any] = []
        if data_ax is not None:
            self._draw_data(data_ax)
        return self

    def _draw_offsets(self, colors: ListedColormap, norm: BoundaryNorm) -> None:
        """Bands between the sorted curves: everywhere the k-th from the top has k active points."""
        n, middle = self.X.shape[0], self.X - self.X.mean(axis=0)
        theta = crossing_angles(middle)
        curves = np.sort(middle @ np.stack([np.cos(theta), np.sin(theta)]), axis=0)
        reach = 1.12 * (float(np.abs(curves).max()) or 1.0)
        edge = np.full((1, theta.size), reach)
        heights = np.concatenate([-edge, curves, edge])
        degrees = np.degrees(theta)
        self.cells_: list[Any] = [
            self.ax_.fill_between(
                degrees, heights[k], heights[k + 1], color=colors(norm(n - k)), linewidth=0.0
            )
            for k in range(n + 1)
        ]
        self.curves_: list[Any] = []
        for i, point in enumerate(middle):
            value = point[0] * np.cos(theta) + point[1] * np.sin(theta)
            self.curves_ += self.ax_.plot(degrees, value, color="0.2", linewidth=0.8)
            if n <= _MAX_NUMBERED:
                peak = float(np.arctan2(point[1], point[0])) % (2.0 * np.pi)
                _number(self.ax_, i, np.degrees(peak), float(np.hypot(*point)))
        self.marks_ = []
        for color, row in zip(_NEURON_COLORS, self.shown, strict=False):
            u, b = self.arrangement.u[row], self.arrangement.b[row]
            place = np.degrees(np.arctan2(u[1], u[0])) % 360.0
            self.marks_ += self._mark(place, float(-b - u @ self.X.mean(axis=0)), color)
        self.ax_.set(
            xlim=(0.0, 360.0),
            ylim=(-reach, reach),
            xticks=range(0, 361, 90),
            xlabel="direction θ of u (degrees)",
            ylabel="offset −b − u·mean(X)",
        )

    def _draw_cones(self, colors: ListedColormap, norm: BoundaryNorm) -> None:
        from matplotlib.patches import Wedge

        self.cells_, self.curves_, self.marks_ = [], [], []
        for start, end in cones(self.X):
            angle = np.radians(0.5 * (start + end))
            active = self.X @ np.array([np.cos(angle), np.sin(angle)]) >= 0
            wedge = Wedge((0.0, 0.0), 1.0, start, end, color=colors(norm(int(active.sum()))))
            wedge.set_linewidth(0.0)
            self.cells_.append(self.ax_.add_patch(wedge))
        order = np.argsort(np.mod(np.arctan2(self.X[:, 1], self.X[:, 0]), np.pi), kind="stable")
        # numbers of neighbouring lines go to opposite ends
        turned = np.empty(order.size)
        turned[order] = np.where(np.arange(order.size) % 2, -1.06, 1.06)
        for i, point in enumerate(self.X):
            length = float(np.hypot(*point)) or np.inf
            along = np.array([-point[1], point[0]]) / length
            if along[1] < 0:
                along = -along
            ends = np.stack([-along, along])
            self.curves_ += self.ax_.plot(ends[:, 0], ends[:, 1], color="0.2", linewidth=0.8)
            if self.X.shape[0] <= _MAX_NUMBERED and along.any():
                _number(self.ax_, i, turned[i] * along[0], turned[i] * along[1])
        for color, row in zip(_NEURON_COLORS, self.shown, strict=False):
            u = self.arrangement.u[row]
            self.marks_ += self._mark(0.65 * float(u[0]), 0.65 * float(u[1]), color)
        self.ax_.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xlabel="u₁", ylabel="u₂")
        self.ax_.set_aspect("equal")

    def _draw_data(self, ax: Axes) -> None:
        """Data, and the marked neurons as lines with an arrow to the active side."""
        seen = self.X if self.bias else np.vstack([self.X, np.zeros(2)])
        low, high = seen.min(axis=0), seen.max(axis=0)
        span = float((high - low).max()) or 1.0
        half = 0.5 * np.maximum(high - low, 0.6 * span) + 0.2 * span
        low, high = 0.5 * (low + high) - half, 0.5 * (low + high) + half
        start = self.X.mean(axis=0) if self.bias else np.zeros(2)
        for color, row in zip(_NEURON_COLORS, self.shown, strict=False):
            u, b = self.arrangement.u[row], self.arrangement.b[row]
            foot = start - (u @ start + b) * u
            far = 4.0 * (span + np.abs(foot - 0.5 * (low + high)).max())
            ends = foot + far * np.outer([-1.0, 1.0], [-u[1], u[0]])
            active = int(self.arrangement.patterns[row].sum())
            self.lines_ += ax.plot(
                ends[:, 0], ends[:, 1], color=color, linewidth=1.3, label=f"{active} active"
            )
            ax.annotate(
                "",
                xy=tuple(foot + 0.18 * span * u),
                xytext=tuple(foot),
                arrowprops={"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0},
            )
        (self.points_,) = ax.plot(
            self.X[:, 0], self.X[:, 1], "o", color="black", markersize=5, zorder=3
        )
        if self.X.shape[0] <= _MAX_NUMBERED:
            for i, point in enumerate(self.X):
                _number(ax, i, point[0], point[1], shift=(6, 5))
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="x₁", ylabel="x₂")
        ax.set_aspect("equal")
        ax.set_title("data and the marked neurons")
        if self.lines_:
            # below the axes, where it hides no point
            ax.legend(
                loc="upper center",
                bbox_to_anchor=(0.5, -0.14),
                ncols=3,
                fontsize="small",
                frameon=False,
            )

    def _mark(self, x: float, y: float, color: str) -> list[Any]:
        style: dict[str, Any] = {
            "markersize": 8,
            "markeredgecolor": "white",
            "markeredgewidth": 1.2,
            "zorder": 4,
        }
        return list(self.ax_.plot([x], [y], "o", color=color, **style))

    def _add_colorbar(self, colors: ListedColormap, norm: BoundaryNorm) -> Colorbar:
        from matplotlib.cm import ScalarMappable

        n = self.X.shape[0]
        step = -(-n // 10)
        bar = self.figure_.colorbar(
            ScalarMappable(norm, colors),
            ax=self.ax_,
            label="active points",
            ticks=np.arange(0, n + 1, step),
        )
        bar.minorticks_off()
        return bar


def _shades(n: int, cmap: str) -> tuple[ListedColormap, BoundaryNorm]:
    """One colour for each number 0, ..., n; the darkest quarter would hide the curves."""
    from matplotlib import colormaps
    from matplotlib.colors import BoundaryNorm, ListedColormap

    if cmap not in colormaps:
        raise ValueError(f"cmap must be the name of a matplotlib colormap; got {cmap!r}.")
    shades = colormaps[cmap](np.linspace(0.0, 0.75, n + 1))
    return ListedColormap(shades), BoundaryNorm(np.arange(-0.5, n + 1.0), n + 1)


def _number(ax: Axes, i: int, x: float, y: float, shift: tuple[float, float] = (0.0, 0.0)) -> None:
    """The number of a point, legible over lines and shades."""
    from matplotlib.patheffects import withStroke

    ax.annotate(
        str(i + 1),
        (x, y),
        xytext=shift,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize="small",
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
        zorder=5,
    )
