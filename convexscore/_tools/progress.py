"""Progress bars: ``tqdm.auto`` where it is installed and asked for, nothing otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def _nothing(n: int) -> None:
    """Advance a bar that is not there."""


@contextmanager
def progress_bar(
    total: int | None, *, show: bool, description: str = ""
) -> Iterator[Callable[[int], object]]:
    """Open a progress bar and hand out the function that advances it.

    Parameters
    ----------
    total : int or None
        Number of steps to come, None when unknown.
    show : bool
        False: no bar and no import of tqdm.
    description : str
        Text in front of the bar.

    Yields
    ------
    callable
        ``advance(k)`` moves the bar by k steps; it does nothing without a bar.

    Warns
    -----
    UserWarning
        If a bar is wanted and tqdm is not installed; the work goes on without it.

    Examples
    --------
    >>> from convexscore._tools.progress import progress_bar
    >>> with progress_bar(3, show=False) as advance:
    ...     for _ in range(3):
    ...         advance(1)
    """
    bar_class = _tqdm() if show else None
    if bar_class is None:
        yield _nothing
        return
    with bar_class(total=total, desc=description or None) as bar:
        yield bar.update


def track(
    iterable: Iterable[T], *, show: bool, description: str = "", total: int | None = None
) -> Iterator[T]:
    """Iterate with a progress bar, or plainly when ``show`` is False or tqdm is missing.

    Examples
    --------
    >>> from convexscore._tools.progress import track
    >>> list(track(range(3), show=False))
    [0, 1, 2]
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with progress_bar(total, show=show, description=description) as advance:
        for item in iterable:
            yield item
            advance(1)


def _tqdm() -> Any:
    """The tqdm class, or None with a warning that says how to get it."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        warnings.warn(
            "progress=True needs tqdm, which is not installed; going on without a bar. "
            "Install it with: pip install 'convexscore[progress]'",
            UserWarning,
            stacklevel=4,
        )
        return None
    return tqdm
