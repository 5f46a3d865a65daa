"""Activation patterns of data in the plane: the data, and the cells of neurons they cut out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count
from convexscore.arrangements import Arrangement, enumerate_patterns
from convexscore.arrangements.hyperplanes import check_bias
from convexscore.arrangements.planar import cones, crossing_angles, wide_and_different
from convexscore.plotting.drawing import Display, subplots
from convexscore.plotting.frames import plane_points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEURON_COLORS = ("tab:red", "tab:orange", "tab:purple", "tab:green", "tab:brown", "tab:pink")
_MARK: dict[str, Any] = {"markersize": 8, "markeredgecolor": "white", "markeredgewidth": 1.2}
_MARK |= {"zorder": 4}
# Numbers beside the points are legible up to here.
_MAX_NUMBERED = 12


class ArrangementDisplay(Display):
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
        self.X = plane_points(X)
        self.bias = check_bias(bias)
        most = len(_NEURON_COLORS)
        if check_count(n_neurons, name="n_neurons", minimum=0) > most:
            raise ValueError(f"n_neurons must be at most {most}, one colour each; got {n_neurons}.")
        self.arrangement: Arrangement = enumerate_patterns(self.X, bias=self.bias)
        self.shown = wide_and_different(self.arrangement, n_neurons)

    @classmethod
    def from_data(cls, X: ArrayLike, **options: Any) -> Self:
        """Enumerate the patterns of data in the plane and draw them.

        Parameters
        ----------
        X : array_like of shape (n, 2)
        **options
            ``bias`` and ``n_neurons`` as for the class, the others as for :meth:`plot`.

        Raises
        ------
        ValueError
            If X is no finite real matrix (n, 2), or has too many patterns (some 450 points).
        """
        return cls._drawn(X, **options)

    def plot(
        self, *, ax: Axes | None = None, data_ax: Axes | None = None, cmap: str = "YlGnBu"
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
            For the cells.  Without it a new figure holds both panels.
        data_ax : Axes, optional
            For the data; left out when only ``ax`` is given.
        cmap : str
            Sequential colormap, of which the lighter three quarters are used.
        """
        if ax is None and data_ax is None:
            size: dict[str, Any] = {"figsize": (10.5, 4.4), "width_ratios": [1.0, 1.25]}
            _, (data_ax, ax) = subplots(1, 2, layout="constrained", **size)
        ax, self.data_ax_ = self._axes(ax), data_ax
        n, p = len(self.X), len(self.arrangement)
        self.cells_: list[Any] = []
        self.curves_: list[Any] = []
        self.marks_: list[Any] = []
        self.lines_: list[Any] = []
        self.points_: Any = None
        shade = _shades(n, cmap)
        draw = self._draw_offsets if self.bias else self._draw_cones
        draw(ax, shade)
        ax.set_title(f"{p} pattern{'s' * (p != 1)} of {n} point{'s' * (n != 1)}")
        ticks = np.arange(0, n + 1, -(-n // 10))
        self.colorbar_ = self.figure_.colorbar(shade, ax=ax, label="active points", ticks=ticks)
        self.colorbar_.minorticks_off()
        if data_ax is not None:
            self._draw_data(data_ax)
        return self

    def _draw_offsets(self, ax: Axes, shade: Any) -> None:
        """Bands between the sorted curves: everywhere the k-th from the top has k active points."""
        n, mean = len(self.X), self.X.mean(axis=0)
        middle = self.X - mean
        theta = crossing_angles(middle)
        degrees = np.degrees(theta)
        curves = np.sort(middle @ np.stack([np.cos(theta), np.sin(theta)]), axis=0)
        reach = 1.12 * (float(np.abs(curves).max()) or 1.0)
        edge = np.full((1, theta.size), reach)
        heights = np.concatenate([-edge, curves, edge])
        self.cells_ = [
            ax.fill_between(degrees, low, high, color=shade.to_rgba(n - k), linewidth=0.0)
            for k, (low, high) in enumerate(itertools.pairwise(heights))
        ]
        for i, point in enumerate(middle):
            value = point[0] * np.cos(theta) + point[1] * np.sin(theta)
            self.curves_ += ax.plot(degrees, value, color="0.2", linewidth=0.8)
            if n <= _MAX_NUMBERED:
                peak = float(np.arctan2(point[1], point[0])) % (2.0 * np.pi)
                _number(ax, i, np.degrees(peak), float(np.hypot(*point)))
        for color, u, b, _ in self._neurons():
            place = np.degrees(np.arctan2(u[1], u[0])) % 360.0
            self.marks_ += ax.plot(place, float(-b - u @ mean), "o", color=color, **_MARK)
        ax.set(xlim=(0.0, 360.0), ylim=(-reach, reach), xticks=range(0, 361, 90))
        ax.set(xlabel="direction θ of u (degrees)", ylabel="offset −b − u·mean(X)")

    def _draw_cones(self, ax: Axes, shade: Any) -> None:
        from matplotlib.patches import Wedge

        for start, end in cones(self.X):
            angle = np.radians(0.5 * (start + end))
            active = int((self.X @ np.array([np.cos(angle), np.sin(angle)]) >= 0).sum())
            wedge = Wedge((0.0, 0.0), 1.0, start, end, color=shade.to_rgba(active), linewidth=0.0)
            self.cells_.append(ax.add_patch(wedge))
        order = np.argsort(np.mod(np.arctan2(self.X[:, 1], self.X[:, 0]), np.pi), kind="stable")
        # numbers of neighbouring lines go to opposite ends
        turned = np.empty(order.size)
        turned[order] = np.where(np.arange(order.size) % 2, -1.06, 1.06)
        for i, point in enumerate(self.X):
            along = np.array([-point[1], point[0]]) / (float(np.hypot(*point)) or np.inf)
            if along[1] < 0:
                along = -along
            self.curves_ += ax.plot(*np.stack([-along, along], axis=1), color="0.2", linewidth=0.8)
            if len(self.X) <= _MAX_NUMBERED and along.any():
                _number(ax, i, *(turned[i] * along))
        for color, u, _, _ in self._neurons():
            self.marks_ += ax.plot(0.65 * u[0], 0.65 * u[1], "o", color=color, **_MARK)
        ax.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xlabel="u₁", ylabel="u₂", aspect="equal")

    def _draw_data(self, ax: Axes) -> None:
        """Data, and the marked neurons as lines with an arrow to the active side."""
        seen = self.X if self.bias else np.vstack([self.X, np.zeros(2)])
        low, high = seen.min(axis=0), seen.max(axis=0)
        span = float((high - low).max()) or 1.0
        middle, half = 0.5 * (low + high), 0.5 * np.maximum(high - low, 0.6 * span) + 0.2 * span
        low, high = middle - half, middle + half
        start = self.X.mean(axis=0) if self.bias else np.zeros(2)
        for color, u, b, active in self._neurons():
            foot = start - (u @ start + b) * u
            far = 4.0 * (span + np.abs(foot - middle).max())
            ends = foot + far * np.outer([-1.0, 1.0], [-u[1], u[0]])
            self.lines_ += ax.plot(*ends.T, color=color, linewidth=1.3, label=f"{active} active")
            arrow = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", xy=tuple(foot + 0.18 * span * u), xytext=tuple(foot), arrowprops=arrow)
        (self.points_,) = ax.plot(*self.X.T, "o", color="black", markersize=5, zorder=3)
        if len(self.X) <= _MAX_NUMBERED:
            for i, point in enumerate(self.X):
                _number(ax, i, point[0], point[1], shift=(6, 5))
        ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="x₁", ylabel="x₂")
        ax.set(aspect="equal", title="data and the marked neurons")
        if self.lines_:
            # below the axes, where it hides no point
            place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
            ax.legend(ncols=3, fontsize="small", frameon=False, **place)

    def _neurons(self) -> Iterator[tuple[str, Floats, float, int]]:
        """Colour, u, b and number of active points of the marked neurons."""
        all_of = self.arrangement
        for color, row in zip(_NEURON_COLORS, self.shown, strict=False):
            yield color, all_of.u[row], float(all_of.b[row]), int(all_of.patterns[row].sum())


def _shades(n: int, cmap: str) -> Any:
    """One colour for each number 0, ..., n; the darkest quarter would hide the curves."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    if cmap not in colormaps:
        raise ValueError(f"cmap must be the name of a matplotlib colormap; got {cmap!r}.")
    shades = ListedColormap(colormaps[cmap](np.linspace(0.0, 0.75, n + 1)))
    return ScalarMappable(BoundaryNorm(np.arange(-0.5, n + 1.0), n + 1), shades)


def _number(ax: Axes, i: int, x: float, y: float, shift: tuple[float, float] = (0.0, 0.0)) -> None:
    """The number of a point, legible over lines and shades."""
    from matplotlib.patheffects import withStroke

    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "small", "zorder": 5}
    style |= {"path_effects": [withStroke(linewidth=2.5, foreground="white")]}
    ax.annotate(str(i + 1), (x, y), xytext=shift, textcoords="offset points", **style)
