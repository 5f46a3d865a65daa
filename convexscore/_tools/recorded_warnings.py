"""Warnings of a piece of work as texts, also when several threads of one process work at once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from convexscore._tools.shared import Shared

_here = threading.local()  # the list that this thread records into


@contextmanager
def _recording() -> Iterator[None]:
    """Every warning goes to the list of its thread; without one it is shown as before."""
    show = warnings.showwarning

    def record(message: Warning | str, *where: Any, **options: Any) -> None:
        mine = getattr(_here, "messages", None)
        if mine is None:
            show(message, *where, **options)  # type: ignore[arg-type]
        else:
            mine.append(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = record  # type: ignore[assignment]
        yield


_RECORDER = Shared(_recording)


@contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    """Collect the warnings that this thread gives inside the block, instead of showing them.

    ``warnings.catch_warnings(record=True)`` changes the state of the whole process and puts back what it
    found, which between threads (joblib's "threading", Dask workers) may be the state of another one:
    warnings land in the wrong list, and the filters stay changed.  Here the first thread to enter
    changes the state and the last one to leave puts it back; in between each records its own, and
    warnings of threads that do not record are shown as usual.

    Yields
    ------
    list of str
        The messages, complete at the end of the block.

    Examples
    --------
    >>> import warnings
    >>> from convexscore._tools.recorded_warnings import recorded_warnings
    >>> with recorded_warnings() as messages:
    ...     warnings.warn("careful")
    >>> messages
    ['careful']
    """
    messages: list[str] = []
    outside = getattr(_here, "messages", None)
    _here.messages = messages
    try:
        with _RECORDER.held():
            yield messages
    finally:
        _here.messages = outside
