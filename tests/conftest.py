"""Shared test set-up: no display, one BLAS thread, reproducible property tests, slow tests first."""

import os

# Before anything imports pyplot.
os.environ["MPLBACKEND"] = "Agg"
# Before anything imports numpy, and for the processes that tests start.  Tests run in one worker per
# core: with a thread per core in each of them, threads would wait for each other, on matrices too
# small to share.  Whoever sets another number, to test that it changes nothing, gets it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("convexscore", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("convexscore")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """``-n auto``: the cores this process may use, not those that the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def pytest_collection_modifyitems(items):
    """Slow tests first, in their order: a worker that came to them last would work on alone."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
