"""One BLAS thread where matrices are small."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

from convexscore._tools.shared import Shared

# Below this many numbers in the data the matrices of a fit are too small to share: several threads
# then wait for each other, on a busy machine a hundred times as long as they work.
_WORTH_SHARING = 100_000


@lru_cache(maxsize=1)
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController  # scikit-learn depends on it

    return ThreadpoolController()


# The number of BLAS threads belongs to the process, and fits may overlap in time.
_ONE_THREAD = Shared(lambda: _controller().limit(limits=1, user_api="blas"))


def threads_for(size: int) -> AbstractContextManager[None]:
    """Context for linear algebra on data of ``size`` numbers."""
    return nullcontext() if size >= _WORTH_SHARING else _ONE_THREAD.held()
