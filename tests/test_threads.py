"""The limit on BLAS threads is lifted by the last of overlapping fits."""

import os
import subprocess
import sys
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
from threadpoolctl import threadpool_info

from convexscore._tools.threads import threads_for


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def overlapping_fits():
    """Two fits that overlap in time: the limit holds until the second one is done."""
    assert np.ones((2, 2)) @ np.ones(2) is not None  # BLAS is loaded
    before = blas_threads()
    assert max(before) == 2
    started, leave_first, leave_last = Barrier(3), Barrier(2), Barrier(2)

    def fit(leave):
        with threads_for(10):
            started.wait()
            leave.wait()

    workers = [Thread(target=fit, args=(leave,)) for leave in (leave_first, leave_last)]
    for worker in workers:
        worker.start()
    started.wait()
    both = blas_threads()
    leave_first.wait()
    workers[0].join()
    one = blas_threads()  # one fit is still at work
    leave_last.wait()
    workers[1].join()
    assert set(both) == set(one) == {1}
    assert blas_threads() == before


def test_overlapping_fits_restore_the_number_of_threads():
    """In a fresh process: threads of tests that came before may own the limit, and BLAS may have one."""
    two = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "2")
    code = "import test_threads; test_threads.overlapping_fits()"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True,
                   env={**os.environ, **two})  # fmt: skip


def test_large_data_are_left_alone():
    before = blas_threads()
    with threads_for(10**6):
        assert blas_threads() == before
    with threads_for(10):
        assert set(blas_threads()) == {1}
