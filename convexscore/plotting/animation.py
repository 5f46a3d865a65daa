"""Chains on their way from noise to samples, saved as a GIF or as one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.plotting.film import (
    axes_of,
    cloud_film,
    column_name,
    gif_bytes,
    histogram_film,
    html_page,
    laws_of,
    share_palette,
    snapshot,
    window_of,
)

_SUFFIXES = (".gif", ".html")
_MAX_FPS = 50.0  # browsers play anything faster slowly


@dataclass(frozen=True)
class SavedAnimation:
    """What was written; shown as the animation itself at the end of a notebook cell.

    Attributes
    ----------
    path : Path
    states : tuple of int
        Which states of the trajectory the frames show, the first and the last among them.
    fps : float
        Frames per second.
    n_bytes : int
        Size of the file.
    """

    path: Path
    states: tuple[int, ...]
    fps: float
    n_bytes: int

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.states)

    def __repr__(self) -> str:
        return (
            f"SavedAnimation({str(self.path)!r}, {self.n_frames} frames, {self.fps:g} fps, "
            f"{self.n_bytes / 1e3:.0f} kB)"
        )

    def _repr_html_(self) -> str:
        if self.path.suffix.lower() == ".gif":
            data = base64.b64encode(self.path.read_bytes()).decode()
            return f'<img alt="chains" src="data:image/gif;base64,{data}">'
        page = self.path.read_text(encoding="utf-8")
        return page[page.index("<body>") + 6 : page.index("</body>")]


def animate_trajectory(
    result: Any,
    path: str | PathLike[str],
    *,
    target: Any = None,
    schedule: str | None = None,
    columns: int | Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    n_frames: int = 60,
    fps: float = 12.0,
    hold: float = 1.5,
    limits: ArrayLike | None = None,
    bins: int = 60,
    title: str = "",
    figsize: tuple[float, float] | None = None,
    dpi: float = 80.0,
) -> SavedAnimation:
    """Save the trajectory of many chains as a moving histogram (one column) or cloud (two).

    Parameters
    ----------
    result : DiffusionResult, LangevinResult or array (K, n) or (K, n, d)
        What a sampler returned with ``keep_trajectory=True``; or the K states themselves.
    path : str or path
        Ends in ``.gif``, or in ``.html`` for one page with a slider that needs no network.
    target : law or callable, optional
        A law with ``log_density``, as in `convexscore.targets`: its exact density is drawn with
        the chains. Or a function of points and noise level, ``target(x, level)``, that returns
        their log-density (m,) (normalised for one column): the density then moves with the chains.
    schedule : {"vp", "ve"}, optional
        What ``result.times`` are: OU times t of a VP sampler, or VE noise levels σ. With a law as
        ``target`` the density of the law *at that noise level* is drawn too and moves. For laws and
        chains in the same units: the process ``e^{-t} X + sqrt(1 - e^{-2t}) G``, or ``X + σ G``.
    columns : int or pair of int, optional
        Columns to draw; needed for d > 2.
    labels : sequence of str, optional
        One a state, drawn above it instead of its noise level.
    n_frames : int >= 2
        Frames, evenly chosen among the states, the first and the last included; fewer if there
        are not as many states.
    fps : float
        Frames per second, at most 50.
    hold : float >= 0
        Seconds for which the last frame stays before the film starts again.
    limits : (low, high), or a pair of them for two columns, optional
        Range of the axes. Default: 99.6 % of the states shown, plus a margin.
    bins : int
        Bars of the histogram.
    title : str
    figsize : (width, height), optional
        In inches; pixels are ``dpi`` times this. Default (6, 3.6), in the plane (5, 5).
    dpi : float

    Returns
    -------
    SavedAnimation
        ``path``, ``n_frames``, ``n_bytes``.

    Raises
    ------
    ValueError
        If no trajectory was kept, states are not finite, columns must be chosen, an option is
        not as described, or the suffix or the folder of ``path`` does not fit.
    TypeError
        If ``result`` has no trajectory, or ``target`` no log-density.

    Notes
    -----
    Frames share one palette of 32 colours; the file is written when all frames are drawn. A cloud
    shows the first 1000 chains, a histogram counts all. A GIF merges neighbouring frames that are
    equal.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from convexscore import samplers, schedules, scores, targets
    >>> from convexscore.plotting.animation import animate_trajectory
    >>> law = targets.GaussianMixture([0.8, 0.2], [-2.0, 2.0], 0.25)
    >>> run = samplers.ddpm(scores.vp_score(law), None, schedules.exponential_grid(4.0, 20),
    ...                     n_samples=500, keep_trajectory=True, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     film = animate_trajectory(
    ...         run, Path(folder) / "chains.gif", target=law, schedule="vp", n_frames=5
    ...     )
    >>> film.n_frames, film.n_bytes < 100_000
    (5, True)
    """
    place = _check_path(path)
    check_choice(schedule, (None, "vp", "ve"), name="schedule")
    n_frames = check_count(n_frames, name="n_frames", minimum=2)
    bins = check_count(bins, name="bins", minimum=2)
    fps = check_positive(fps, name="fps", hint="12 is smooth enough.")
    if fps > _MAX_FPS:
        raise ValueError(f"fps must be at most {_MAX_FPS:g}; got {fps:g}. Browsers slow it down.")
    hold = check_positive(hold, name="hold", strict=False)
    dpi = check_positive(dpi, name="dpi")
    trajectory, times = _trajectory_of(result)
    shown = _columns(trajectory, columns)
    chosen = np.unique(np.linspace(0, len(trajectory) - 1, n_frames).round().astype(int))
    states = trajectory[chosen].reshape(len(chosen), trajectory.shape[1], -1)[:, :, shown]
    finite = np.isfinite(states).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(
            f"the trajectory must be finite; state {chosen[np.argmin(finite)]} is not. Cut it there, "
            f"or find out why the chains diverge."
        )
    if schedule is not None and times is None:
        raise ValueError(
            f"schedule={schedule!r} says what result.times are; {type(result).__name__} has none. "
            f"Leave schedule out, or pass the result of a sampler along noise levels."
        )
    levels = None if times is None else times[chosen]
    captions = _captions(labels, levels, schedule, chosen, len(trajectory))
    laws = laws_of(target, schedule, levels, len(shown))

    figure, ax = axes_of(figsize or ((6.0, 3.6) if len(shown) == 1 else (5.0, 5.0)), dpi)
    window = window_of(limits, states)
    if len(shown) == 1:
        draw = histogram_film(ax, states[:, :, 0], window[0], bins, *laws)
    else:
        draw = cloud_film(ax, states, window, *laws)
        ax.set_ylabel(column_name(shown[1]))
    if trajectory.ndim == 3 and trajectory.shape[2] > 1:
        ax.set_xlabel(column_name(shown[0]))
    heading = f"{title}\n" if title else ""
    images = []
    for k, caption in enumerate(captions):
        draw(k)
        ax.set_title(heading + caption, fontsize="medium")
        images.append(snapshot(figure))
    images = share_palette(images)
    if place.suffix.lower() == ".gif":
        content = gif_bytes(images, fps, hold)
    else:
        content = html_page(images, fps, hold, title or "chains").encode()
    place.write_bytes(content)
    return SavedAnimation(place, tuple(chosen.tolist()), fps, len(content))


def _check_path(path: str | PathLike[str]) -> Path:
    place = Path(path)
    if place.suffix.lower() not in _SUFFIXES:
        raise ValueError(
            f"path must end in {' or '.join(_SUFFIXES)}; got {str(place)!r}. A GIF plays "
            f"everywhere, the page has a slider."
        )
    if not place.parent.is_dir():
        raise ValueError(f"the folder of path, {str(place.parent)!r}, does not exist. Create it.")
    return place


def _trajectory_of(result: Any) -> tuple[Floats, Floats | None]:
    """States (K, n) or (K, n, d), and their noise levels (K,) if the result has them."""
    if not (isinstance(result, np.ndarray) or hasattr(result, "trajectory")):
        raise TypeError(
            f"result must be what a sampler returned, or an array of states (K, n) or (K, n, d); "
            f"got {type(result).__name__}."
        )
    states, times = getattr(result, "trajectory", result), getattr(result, "times", None)
    if states is None:
        raise ValueError(
            "result must hold a trajectory; this one has None. Run the sampler with "
            "keep_trajectory=True."
        )
    states = np.asarray(states, dtype=np.float64)
    if states.ndim not in (2, 3) or len(states) < 2 or 0 in states.shape:
        raise ValueError(
            f"the trajectory must have shape (K, n) or (K, n, d) with K >= 2 states; got "
            f"{states.shape}. With keep_trajectory=True lower thin to keep more."
        )
    return states, None if times is None else np.asarray(times, dtype=np.float64)


def _columns(trajectory: Floats, columns: int | Sequence[int] | None) -> list[int]:
    d = trajectory.shape[2] if trajectory.ndim == 3 else 1
    if columns is None:
        if d > 2:
            raise ValueError(
                f"columns must be chosen for chains of {d} columns: a film shows one or two. Pass "
                f"for example columns=(0, 1)."
            )
        return list(range(d))
    given: list[Any] = list(columns) if isinstance(columns, Sequence) else [columns]
    whole = all(isinstance(c, Integral) and not isinstance(c, bool) for c in given)
    if not whole or len(given) not in (1, 2) or len(set(given)) < len(given):
        raise ValueError(f"columns must be one or two different integers; got {columns!r}.")
    if min(given) < 0 or max(given) >= d:
        raise ValueError(f"columns must be from 0 to {d - 1}; got {columns!r}.")
    return [int(c) for c in given]


def _captions(
    labels: Sequence[str] | None,
    levels: Floats | None,
    schedule: str | None,
    chosen: NDArray[np.intp],
    n_states: int,
) -> list[str]:
    """One line above every frame."""
    if labels is not None:
        if len(labels) != n_states:
            raise ValueError(
                f"labels must be one string for each of the {n_states} states; got {len(labels)}."
            )
        return [str(labels[k]) for k in chosen]
    if levels is None:
        return [f"state {k} of {n_states - 1}" for k in chosen]
    name = {"vp": "t", "ve": "σ", None: "noise level"}[schedule]
    return [f"{name} = {level:.3g}" for level in levels]
