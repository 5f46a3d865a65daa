"""A setting of the whole process that several threads want at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Lock
from typing import Any


class Shared:
    """A context manager held by any number of threads: entered by the first, left by the last.

    If each of them entered one of its own and put back what it found, uses that overlap in time would
    leave the setting behind for good.

    Parameters
    ----------
    make : callable
        Makes the context manager that changes the setting and puts it back.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make = make
        self._lock = Lock()
        self._users = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, the setting is changed."""
        with self._lock:
            if not self._users:
                self._setting = self._make()
                self._setting.__enter__()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._setting.__exit__(None, None, None)
