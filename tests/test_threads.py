"""The limit on BLAS threads is lifted by the last of overlapping fits."""

from threading import Barrier, Thread

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from convexscore._tools.threads import threads_for


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.fixture
def two_threads():
    """BLAS with two threads, whatever the number of this run."""
    assert np.ones((2, 2)) @ np.ones(2) is not None  # BLAS is loaded
    with threadpool_limits(limits=2, user_api="blas"):
        yield


@pytest.mark.usefixtures("two_threads")
def test_overlapping_contexts_restore_the_number_of_threads():
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


@pytest.mark.usefixtures("two_threads")
def test_large_data_are_left_alone():
    before = blas_threads()
    with threads_for(10**6):
        assert blas_threads() == before and max(before) == 2
    with threads_for(10):
        assert set(blas_threads()) == {1}
