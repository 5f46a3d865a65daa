"""The limit on BLAS threads is lifted by the last of overlapping fits."""

from threading import Barrier, Thread

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from convexscore._tools.threads import threads_for


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_overlapping_contexts_restore_the_number_of_threads():
    assert np.ones((2, 2)) @ np.ones(2) is not None  # BLAS is loaded
    before = blas_threads()
    if max(before) < 2:
        pytest.skip("BLAS has one thread here: there is nothing to limit")
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


def test_large_data_are_left_alone():
    before = blas_threads()
    with threads_for(10**6):
        assert blas_threads() == before
    with threads_for(10):
        assert set(blas_threads()) == {1}
