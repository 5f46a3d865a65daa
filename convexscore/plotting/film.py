"""A film: bars or a cloud of chains with their densities, and its frames as a GIF or an HTML page."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from functools import partial
from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.plotting.drawing import limits_of
from convexscore.schedules.levels import vp

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

Density = Callable[[Floats], Floats]

_MAX_POINTS = 1_000  # of a cloud; more are a blot, and a megabyte
_OUTSIDE = 0.002  # share of the states beyond either end of the axes
_CURVE_POINTS = 400
_CELLS = 90  # per axis, for the contours of a planar density
_SHARES = (0.03, 0.15, 0.3, 0.5, 0.7, 0.9, 1.0001)  # contour levels, of the highest density
_COLORS = 32  # flat colours: a small palette is not seen, and halves the file
_CHAINS, _LAW = "tab:orange", "tab:blue"


def laws_of(
    target: Any, schedule: str | None, levels: Floats | None, dim: int
) -> tuple[Density | None, list[Density]]:
    """Densities of a law, or of a function of points and noise level: one that stays, one a frame."""
    if target is None:
        return None, []
    if not hasattr(target, "log_density"):
        if not callable(target):
            raise TypeError(
                f"target must be a law with log_density(x) or a callable (x, level) -> log-density; "
                f"got {type(target).__name__}. A law on points has one after noise: "
                f"pass target.noised(1.0, sigma)."
            )
        if levels is None:
            raise ValueError(
                "target is a function of points and noise level, and the result has no times. Pass "
                "a law, or the result of a sampler along noise levels."
            )
        return None, [partial(_density, target, level=level) for level in levels.tolist()]
    if getattr(target, "dim", dim) != dim:
        raise ValueError(
            f"target must have as many columns as are drawn, {dim}; it has {target.dim}. Leave it "
            f"out, or pass the law of those columns."
        )
    final = partial(_density, target.log_density)
    if schedule is None or levels is None:
        return final, []
    pairs = [vp(at) if schedule == "vp" else (1.0, at) for at in levels.tolist()]
    noised = [target if sigma == 0 else target.noised(scale, sigma) for scale, sigma in pairs]
    return final, [partial(_density, law.log_density) for law in noised]


def _density(
    log_density: Callable[..., ArrayLike], x: Floats, level: float | None = None
) -> Floats:
    values = np.asarray(log_density(x) if level is None else log_density(x, level), np.float64)
    if values.shape != (len(x),):
        raise ValueError(
            f"target must return one log-density a point, shape ({len(x)},); got {values.shape}."
        )
    return np.exp(values)


def axes_of(figsize: tuple[float, float], dpi: float) -> tuple[Figure, Axes]:
    """A figure that pyplot does not know of: nothing to show, nothing to close."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def column_name(column: int) -> str:
    """x₁, x₂, ... as in the other figures."""
    return "x" + str(column + 1).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def window_of(limits: ArrayLike | None, states: Floats) -> Floats:
    """Range of every axis, (d, 2)."""
    d = states.shape[2]
    if limits is not None:
        return limits_of(limits, d)
    ends = np.quantile(states.reshape(-1, d), (_OUTSIDE, 1.0 - _OUTSIDE), axis=0).T
    span = ends[:, 1] - ends[:, 0]
    # chains that never move still get axes of some width
    floor = float(span.max()) or float(np.abs(ends).max()) or 1.0
    margin = np.where(span > 0.0, 0.06 * span, 0.5 * floor)[:, None]
    return ends + margin * [-1.0, 1.0]


def histogram_film(
    ax: Axes, states: Floats, window: Floats, bins: int, final: Density | None, at: list[Density]
) -> Callable[[int], None]:
    """Histogram of every frame, as densities of *all* chains, with the curves of the laws."""
    edges = np.linspace(window[0], window[1], bins + 1)
    counts = np.array([np.histogram(state, edges)[0] for state in states])
    heights = counts / (states.shape[1] * np.diff(edges))
    x = np.linspace(window[0], window[1], _CURVE_POINTS)
    curves = [density(x) for density in at]
    # denoised states may be a few points: bars as high as they like, curves decide the axis
    deciding = list(curves)
    if final is not None:
        deciding.append(final(x))
        ax.fill_between(x, deciding[-1], color="0.85", linewidth=0.0, label="target")
    top = float(np.max(deciding or heights))
    bars = ax.stairs(heights[0], edges, fill=True, color=_CHAINS, alpha=0.55, label="chains")
    (line,) = ax.plot([], [], color=_LAW, linewidth=1.6)
    if curves:
        line.set_label("exact law at this noise level")
    ax.set(xlim=tuple(window), ylim=(0.0, 1.35 * top), xlabel="x", ylabel="density")
    ax.legend(loc="upper center", ncols=3, fontsize="small", frameon=False)

    def draw(k: int) -> None:
        bars.set_data(heights[k])
        if curves:
            line.set_data(x, curves[k])

    return draw


def cloud_film(
    ax: Axes, states: Floats, window: Floats, final: Density | None, at: list[Density]
) -> Callable[[int], None]:
    """Cloud of every frame over the contours of the law."""
    first, second = np.linspace(window[:, 0], window[:, 1], _CELLS, axis=1)
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    style: dict[str, Any] = {"color": _CHAINS, "markersize": 3.2, "alpha": 0.65, "zorder": 3.0}
    (cloud,) = ax.plot([], [], "o", markeredgewidth=0.0, **style)
    size = np.ptp(window, axis=1)
    if size.max() <= 5.0 * size.min():
        ax.set_aspect("equal", adjustable="box")

    def fill(density: Density) -> None:
        for drawn in list(ax.collections):
            drawn.remove()
        values = density(grid).reshape(_CELLS, _CELLS)
        top = float(values.max())
        if top > 0.0:  # otherwise all of the law lies outside the window
            shades: dict[str, Any] = {"cmap": "Blues", "vmin": -0.1 * top, "vmax": 1.6 * top}
            levels = np.multiply(_SHARES, top)
            ax.contourf(first, second, values, levels=levels, zorder=0.0, **shades)

    if final is not None and not at:
        fill(final)

    def draw(k: int) -> None:
        if at:
            fill(at[k])
        cloud.set_data(*states[k, :_MAX_POINTS].T)
        ax.set(xlim=tuple(window[0]), ylim=tuple(window[1]))

    return draw


def snapshot(figure: Figure) -> Image:
    from PIL import Image

    canvas: Any = figure.canvas
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def share_palette(images: list[Image]) -> list[Image]:
    """All frames in the colours of the first, the middle and the last: small, and no flicker."""
    from PIL import Image

    width, height = images[0].size
    sample = Image.new("RGB", (width, 3 * height))
    for row, image in enumerate((images[0], images[len(images) // 2], images[-1])):
        sample.paste(image, (0, row * height))
    palette = sample.quantize(_COLORS, method=Image.Quantize.MEDIANCUT)
    colors = np.array(palette.getpalette() or [])[: 3 * _COLORS].reshape(-1, 3)
    colors[(colors >= 248).all(axis=1)] = 255  # Pillow would take the greyer of two whites
    palette.putpalette(colors.ravel().tolist())
    return [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]


def gif_bytes(images: list[Image], fps: float, hold: float) -> bytes:
    # hundredths of a second are all the format knows
    each = round(100.0 / fps) * 10
    durations = [each] * (len(images) - 1) + [each + round(100.0 * hold) * 10]
    film: dict[str, Any] = {"save_all": True, "append_images": images[1:], "loop": 0}
    return _encoded(images[0], "GIF", duration=durations, **film)


def html_page(images: list[Image], fps: float, hold: float, title: str) -> str:
    """Frames, slider and button in one file that loads nothing."""
    frames = [base64.b64encode(_encoded(image, "PNG", optimize=True)).decode() for image in images]
    page = resources.files("convexscore.plotting").joinpath("film.html")
    return Template(page.read_text(encoding="utf-8")).substitute(
        title=escape(title),
        # several films in one notebook must not steal each other's slider
        name="film-" + hashlib.sha256("".join(frames).encode()).hexdigest()[:12],
        first=frames[0],
        frames=",\n".join(f'"{frame}"' for frame in frames),
        last_frame=len(frames) - 1,
        width=images[0].width,
        height=images[0].height,
        each=round(1e3 / fps),
        hold=round(1e3 * (1.0 / fps + hold)),
    )


def _encoded(image: Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()
