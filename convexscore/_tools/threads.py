"""One BLAS thread where matrices are small."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from threading import Lock
from typing import Any

# Below this many numbers in the data the matrices of a fit are too small to share: several threads
# then wait for each other, on a busy machine a hundred times as long as they work.
_WORTH_SHARING = 100_000


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # scikit-learn depends on it

    return ThreadpoolController()


class _OneThread:
    """The limit, entered by any number of Python threads: set by the first, lifted by the last.

    The number of BLAS threads belongs to the process.  If each fit restored what it found, fits that
    overlap in time would leave the limit behind for good.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._limit: Any = None

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._limit = _controller().limit(limits=1, user_api="blas")
                self._limit.__enter__()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    self._limit.__exit__(None, None, None)
                    self._limit = None


_ONE_THREAD = _OneThread()


def threads_for(size: int) -> AbstractContextManager[Any]:
    """Context for linear algebra on data of ``size`` numbers."""
    return nullcontext() if size >= _WORTH_SHARING else _ONE_THREAD.held()
