"""A film: bars or a cloud of chains with their densities, and its frames as a GIF or an HTML page."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
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


@dataclass(frozen=True)
class Laws:
    """Densities to draw: ``final`` stays, ``at[k]`` belongs to frame k; either may be missing."""

    final: Density | None
    at: list[Density] | None


def laws_of(target: Any, schedule: str | None, levels: Floats | None, dim: int) -> Laws:
    """The densities of a law, or of a function of points and noise level, at those of the frames."""
    if target is None:
        return Laws(None, None)
    log_density = getattr(target, "log_density", None)
    if log_density is None:
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
        at_level = [partial(_at_level, target, level) for level in levels.tolist()]
        return Laws(None, [_density(log_density) for log_density in at_level])
    if getattr(target, "dim", dim) != dim:
        raise ValueError(
            f"target must have as many columns as are drawn, {dim}; it has {target.dim}. Leave it "
            f"out, or pass the law of those columns."
        )
    if schedule is None or levels is None:
        return Laws(_density(log_density), None)
    pairs = [vp(at) if schedule == "vp" else (1.0, at) for at in levels.tolist()]
    noised = [target if sigma == 0 else target.noised(scale, sigma) for scale, sigma in pairs]
    return Laws(_density(log_density), [_density(law.log_density) for law in noised])


def _at_level(target: Callable[[Floats, float], ArrayLike], level: float, x: Floats) -> ArrayLike:
    return target(x, level)


def _density(log_density: Callable[[Floats], ArrayLike]) -> Density:
    def density(x: Floats) -> Floats:
        values = np.asarray(log_density(x), dtype=np.float64)
        if values.shape != (len(x),):
            raise ValueError(
                f"target must return one log-density a point, shape ({len(x)},); got "
                f"{values.shape}."
            )
        return np.exp(values)

    return density


def axes_of(figsize: tuple[float, float], dpi: float) -> tuple[Figure, Axes]:
    """A figure that pyplot does not know of: nothing to show, nothing to close."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("animations need matplotlib: pip install matplotlib") from error
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
        given = np.asarray(limits, dtype=np.float64)
        given = given[None] if given.ndim == 1 else given
        if given.shape != (d, 2) or not np.isfinite(given).all() or (np.diff(given) <= 0).any():
            wanted = "(low, high)" if d == 1 else "((low, high), (low, high))"
            raise ValueError(f"limits must be {wanted}, increasing; got {limits!r}.")
        return given
    ends = np.quantile(states.reshape(-1, d), (_OUTSIDE, 1.0 - _OUTSIDE), axis=0).T
    span = ends[:, 1] - ends[:, 0]
    # chains that never move still get axes of some width
    floor = float(span.max()) or float(np.abs(ends).max()) or 1.0
    margin = np.where(span > 0.0, 0.06 * span, 0.5 * floor)[:, None]
    return ends + margin * [-1.0, 1.0]


def histogram_film(
    ax: Axes, states: Floats, window: Floats, bins: int, laws: Laws
) -> Callable[[int], None]:
    """Histogram of every frame, as densities of *all* chains, with the curves of the laws."""
    edges = np.linspace(window[0], window[1], bins + 1)
    counts = np.array([np.histogram(state, edges)[0] for state in states])
    heights = counts / (states.shape[1] * np.diff(edges))
    x = np.linspace(window[0], window[1], _CURVE_POINTS)
    top = float(heights.max())
    curves: list[Floats] = []
    if laws.at is not None:
        curves = [density(x) for density in laws.at]
        top = max(float(curve.max()) for curve in curves)
    if laws.final is not None:
        final = laws.final(x)
        ax.fill_between(x, final, color="0.85", linewidth=0.0, label="target")
        top = max(float(final.max()), top if curves else 0.0)
    bars = ax.stairs(heights[0], edges, fill=True, color=_CHAINS, alpha=0.55, label="chains")
    (line,) = ax.plot([], [], color=_LAW, linewidth=1.6)
    if curves:
        line.set_label("exact law at this noise level")
    # denoised states may be a few points: bars as high as they like, curves decide the axis
    ax.set(xlim=tuple(window), ylim=(0.0, 1.35 * top), xlabel="x", ylabel="density")
    ax.legend(loc="upper center", ncols=3, fontsize="small", frameon=False)

    def draw(k: int) -> None:
        bars.set_data(heights[k])
        if curves:
            line.set_data(x, curves[k])

    return draw


def cloud_film(ax: Axes, states: Floats, window: Floats, laws: Laws) -> Callable[[int], None]:
    """Cloud of every frame over the contours of the law."""
    first, second = np.linspace(window[:, 0], window[:, 1], _CELLS, axis=1)
    grid = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    (cloud,) = ax.plot(
        [], [], "o", color=_CHAINS, markersize=3.2, alpha=0.65, markeredgewidth=0.0, zorder=3.0
    )
    size = np.ptp(window, axis=1)
    if size.max() <= 5.0 * size.min():
        ax.set_aspect("equal", adjustable="box")

    def fill(density: Density) -> Any:
        values = density(grid).reshape(_CELLS, _CELLS)
        top = float(values.max())
        if not top > 0.0:  # all of the law lies outside the window
            return None
        return ax.contourf(
            first, second, values, levels=np.multiply(_SHARES, top), cmap="Blues",
            vmin=-0.1 * top, vmax=1.6 * top, zorder=0.0,
        )  # fmt: skip

    filled = fill(laws.final) if laws.final is not None and laws.at is None else None

    def draw(k: int) -> None:
        nonlocal filled
        if laws.at is not None:
            if filled is not None:
                filled.remove()
            filled = fill(laws.at[k])
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
    buffer = io.BytesIO()
    images[0].save(
        buffer, format="GIF", save_all=True, append_images=images[1:], duration=durations, loop=0
    )
    return buffer.getvalue()


def html_page(images: list[Image], fps: float, hold: float, title: str) -> str:
    """Frames, slider and button in one file that loads nothing."""
    frames = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, format="PNG", optimize=True)
        frames.append(base64.b64encode(buffer.getvalue()).decode())
    # several films in one notebook must not steal each other's slider
    name = "film-" + hashlib.sha256("".join(frames).encode()).hexdigest()[:12]
    each, last = round(1e3 / fps), round(1e3 * (1.0 / fps + hold))
    joined = ",\n".join(f'"{frame}"' for frame in frames)
    return f"""<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{escape(title)}</title></head>
<body>
<div id="{name}" style="display:inline-block; font:14px sans-serif">
<img alt="{escape(title)}" src="data:image/png;base64,{frames[0]}" width="{images[0].width}"
 height="{images[0].height}" style="display:block"><button type="button"
 style="width:5em">Pause</button>
<input type="range" aria-label="frame" min="0" max="{len(frames) - 1}" value="0"
 style="width:70%; vertical-align:middle">
</div>
<script>
(function () {{
  const root = document.getElementById("{name}");
  const image = root.querySelector("img"), button = root.querySelector("button");
  const slider = root.querySelector("input");
  const frames = [{joined}];
  let timer = null;
  function show(k) {{ image.src = "data:image/png;base64," + frames[k]; slider.value = k; }}
  function tick() {{
    show((Number(slider.value) + 1) % frames.length);
    timer = setTimeout(tick, Number(slider.value) === frames.length - 1 ? {last} : {each});
  }}
  function play() {{ button.textContent = "Pause"; timer = setTimeout(tick, {each}); }}
  function pause() {{ button.textContent = "Play"; clearTimeout(timer); timer = null; }}
  button.onclick = function () {{ if (timer === null) {{ play(); }} else {{ pause(); }} }};
  slider.oninput = function () {{ pause(); show(Number(slider.value)); }};
  play();
}})();
</script>
</body>
</html>
"""
