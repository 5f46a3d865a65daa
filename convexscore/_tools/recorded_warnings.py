"""Warnings of a piece of work as texts, also when several threads of one process work at once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_here = threading.local()  # the list that this thread records into
_active: list[warnings.catch_warnings[None]] = []  # the one set-up, while anybody records
_users = 0


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
    _enter()
    try:
        yield messages
    finally:
        _leave()
        _here.messages = outside


def _enter() -> None:
    global _users
    with _lock:
        if not _users:
            state = warnings.catch_warnings()
            state.__enter__()
            show = warnings.showwarning

            def record(message: Warning | str, *where: Any, **options: Any) -> None:
                mine = getattr(_here, "messages", None)
                if mine is None:
                    show(message, *where, **options)  # type: ignore[arg-type]
                else:
                    mine.append(str(message))

            warnings.simplefilter("always")
            warnings.showwarning = record  # type: ignore[assignment]
            _active.append(state)
        _users += 1


def _leave() -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            _active.pop().__exit__(None, None, None)
