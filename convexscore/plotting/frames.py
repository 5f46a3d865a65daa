"""What the displays of the plane share: networks, frames, and the kink lines that cross them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_points
from convexscore.plotting.drawing import KINK_COLOR, check_fitted, limits_of
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.potential import middle_of_kinks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure

# Margin around the data, relative to their range.
_MARGIN = 0.15
# Axes get equal units unless one range is this many times the other.
_MOST_UNEQUAL = 5.0
# Clouds of more points are a blot; an even choice of rows shows the same.
_MAX_POINTS = 2_000
# More kink lines than this are drawn fainter.
_BUSY = 20
# Share of the width that a colorbar leaves to its axes.
_BESIDE_COLORBAR = 0.8


class Frame(NamedTuple):
    """Rectangle to draw in: lower left and upper right corner, each (2,)."""

    low: Floats
    high: Floats

    @property
    def size(self) -> Floats:
        return self.high - self.low

    @property
    def equal(self) -> bool:
        """Whether both axes get the same unit."""
        return float(self.size.max() / self.size.min()) <= _MOST_UNEQUAL

    def apply(self, ax: Axes) -> None:
        ax.set(xlim=(self.low[0], self.high[0]), ylim=(self.low[1], self.high[1]))
        ax.set(xlabel="x₁", ylabel="x₂")
        if self.equal:
            ax.set_aspect("equal", adjustable="box")


def network_of(fit: object) -> TwoLayerNetwork:
    """The planar network of a fit, or the network itself."""
    check_fitted(fit)
    network = fit if isinstance(fit, TwoLayerNetwork) else getattr(fit, "network_", None)
    if not isinstance(network, TwoLayerNetwork):
        raise TypeError(
            f"fit must be a fitted ConvexScore or a TwoLayerNetwork; got {type(fit).__name__}."
        )
    if network.dim != 2:
        raise ValueError(
            f"fit must be of two columns to be drawn in the plane; got {network.dim}. Fit two columns, "
            "for example X[:, :2]; for one there are ScoreDisplay, DensityDisplay and "
            "CertificateDisplay."
        )
    return network


def plane_points(X: ArrayLike) -> Floats:
    """Finite points (n, 2)."""
    points = check_points(X, name="X", min_distinct=1)
    if points.shape[1] != 2:
        raise ValueError(
            f"X must have shape (n, 2) to be drawn in the plane; got {points.shape}. Pass two "
            f"columns, for example X[:, :2]."
        )
    return points


def frame_of(
    limits: ArrayLike | None, points: Floats | None, network: TwoLayerNetwork | None
) -> Frame:
    """As given, ((x low, x high), (y low, y high)), else around the data, else around the kinks."""
    if limits is not None:
        return Frame(*limits_of(limits, 2).T)
    if points is not None:
        low, high = points.min(axis=0), points.max(axis=0)
    elif network is not None:
        low, high = _corners(network)
    else:
        raise ValueError("X or limits must be given: a plain function does not say where to look.")
    span = high - low
    span = np.where(span > 0.0, span, float(span.max()) or 1.0)
    middle = 0.5 * (low + high)
    half = (0.5 + _MARGIN) * span
    return Frame(middle - half, middle + half)


def _corners(network: TwoLayerNetwork) -> tuple[Floats, Floats]:
    """Where a network without data has something to see: its kinks, or two deviations of its law."""
    V = np.zeros((2, 2)) if network.skip is None else network.skip
    unit = network.unit_norm()
    middle = middle_of_kinks(unit.u, unit.b, V, unit.offset)
    # most of them: a kink far out would hide the others
    distance = np.abs(unit.u @ middle + unit.b)
    reach = 1.3 * float(np.quantile(distance, 0.9)) if distance.size else 0.0
    pull = float(np.abs(np.linalg.eigvals(V)).min())
    reach = max(reach, 2.0 / np.sqrt(pull) if pull > 0.0 else 0.0) or 1.0
    return middle - reach, middle + reach


def grid_points(frame: Frame, n: int) -> tuple[Floats, Floats]:
    """About n columns of a grid of (where units are equal, square) cells: centres on each axis."""
    columns, rows = n, n
    if frame.equal:
        widest = float(frame.size.max())
        columns, rows = (max(2, round(n * float(side) / widest)) for side in frame.size)
    step = frame.size / (columns, rows)
    return (
        frame.low[0] + step[0] * (np.arange(columns) + 0.5),
        frame.low[1] + step[1] * (np.arange(rows) + 0.5),
    )


def draw_kink_lines(ax: Axes, network: TwoLayerNetwork, frame: Frame, max_lines: int) -> Any:
    r"""Lines :math:`u_k^\top x + b_k = 0` of the heaviest neurons in the frame, the heavier the bolder.

    None without any.
    """
    from matplotlib.collections import LineCollection
    from matplotlib.colors import to_rgba

    check_count(max_lines, name="max_lines", minimum=0)
    unit = network.unit_norm()
    # from the middle of the frame, which keeps the digits of frames far from zero
    middle, half = 0.5 * (frame.low + frame.high), 0.5 * frame.size
    height = unit.u @ middle + unit.b
    index = np.flatnonzero(np.abs(height) < np.abs(unit.u) @ half)
    weight = np.linalg.norm(unit.w[index], axis=1)
    order = np.argsort(-weight, kind="stable")[:max_lines][::-1]
    if not order.size:
        return None
    u, foot = unit.u[index[order]], -height[index[order], None] * unit.u[index[order]]
    along = float(np.hypot(*half)) * np.stack([-u[:, 1], u[:, 0]], axis=1)
    segments = middle + np.stack([foot - along, foot + along], axis=1)
    # by size on the paper: roots, so that the lightest remain visible
    share = np.sqrt(weight[order] / weight.max())
    colors = np.tile(to_rgba(KINK_COLOR), (order.size, 1))
    # many of them would bury the arrows
    colors[:, 3] = (0.15 + 0.65 * share) * min(1.0, np.sqrt(_BUSY / order.size))
    total = len(index)
    label = f"{total} kink line{'s' * (total != 1)}"
    if order.size < total:
        label = f"{order.size} heaviest of {label}"
    style: dict[str, Any] = {"colors": colors, "linewidths": 0.4 + 1.3 * share, "label": label}
    lines = LineCollection(cast(Any, segments), zorder=1.5, **style)
    ax.add_collection(lines, autolim=False)
    return lines


def draw_points(ax: Axes, points: Floats, name: str, **options: Any) -> Any:
    """The data as small dots."""
    if len(points) > _MAX_POINTS:
        points = points[np.linspace(0, len(points) - 1, _MAX_POINTS).astype(int)]
    style: dict[str, Any] = {"markersize": 3.0, "color": "0.25", "alpha": 0.55, "zorder": 2.0}
    style |= {"markeredgewidth": 0.0, "linestyle": "none", "marker": "o", "label": name}
    (dots,) = ax.plot(*points.T, **(style | options))
    return dots


def add_colorbar(ax: Axes, drawn: Any, frame: Frame, **options: Any) -> Colorbar:
    """A colorbar as high as the axes will be, which equal units may make lower than their place."""
    figure = cast("Figure", ax.figure)
    box = ax.get_position(original=True)
    room = figure.bbox.height * box.height / (figure.bbox.width * box.width)
    height = float(_BESIDE_COLORBAR * frame.size[1] / frame.size[0] / room) if frame.equal else 1.0
    bar: Colorbar = figure.colorbar(drawn, ax=ax, shrink=min(1.0, height), **options)
    return bar


def legend_over(ax: Axes) -> None:
    """A legend in a strip above the axes, where it hides nothing."""
    from matplotlib.lines import Line2D

    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    # lines of many strengths: in the legend one of full strength
    full = Line2D([], [], color=KINK_COLOR, linewidth=1.3)
    plain = [full if hasattr(handle, "get_paths") else handle for handle in handles]
    place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}
    ax.legend(plain, labels, ncols=len(labels), fontsize="small", frameon=False, **place)
