"""Jobs for whatever backend of joblib is active."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from joblib import Parallel
from joblib.parallel import get_active_backend

from convexscore._tools.progress import progress_bar

# What ``joblib.delayed`` makes.
Job: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class RunJobs(Protocol):
    """`run_jobs` with its workers and its bar chosen."""

    def __call__(self, jobs: Sequence[Job], *, description: str) -> list[Any]: ...


def run_jobs(
    jobs: Sequence[Job],
    *,
    n_jobs: int | None,
    progress: bool,
    description: str,
) -> list[Any]:
    """Results of joblib jobs in order, with the backend that is active (loky unless chosen).

    The bar moves with every result where the backend hands them out one by one.
    """
    backend, _ = get_active_backend()
    one_by_one = getattr(backend, "supports_return_generator", False)
    results = Parallel(n_jobs=n_jobs, return_as="generator" if one_by_one else "list")(jobs)
    collected = []
    with progress_bar(len(jobs), show=progress, description=description) as advance:
        for result in results:
            collected.append(result)
            advance(1)
    return collected
