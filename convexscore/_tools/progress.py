"""Progress bars: ``tqdm.auto`` where it is installed and asked for, nothing otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    total: int, *, show: bool, description: str = ""
) -> Iterator[Callable[[int], object]]:
    """Open a progress bar and hand out the function that advances it.

    Parameters
    ----------
    total : int
        Number of steps to come.
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
    if show:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            show = False
            warnings.warn(
                "progress=True needs tqdm, which is not installed; going on without a bar. "
                "Install it with: pip install 'convexscore[progress]'",
                UserWarning,
                stacklevel=3,
            )
    if not show:
        yield lambda n: None
        return
    with tqdm(total=total, desc=description or None) as bar:
        yield bar.update
