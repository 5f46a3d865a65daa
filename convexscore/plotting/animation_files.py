"""Frames of a film as one file: a GIF, or an HTML page that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import io
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

_COLORS = 32  # flat colours: a small palette is not seen, and halves the file


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
