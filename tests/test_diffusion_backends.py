"""The levels give the same numbers to the last bit on whatever joblib backend they run."""

import dataclasses
import re
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from conftest import bimodal, planar

import convexscore
from convexscore import ConvexDiffusion, fit_convex_diffusion
from convexscore._tools.recorded_warnings import recorded_warnings

pytestmark = pytest.mark.slow


# All three kinds of jobs: gradient noise, folds (which carry their state from job to job), levels.
CASES = {
    "column": (bimodal(80), {"n_levels": 4, "n_draws": 5}),
    "plane": (planar(), {"n_levels": 3, "n_draws": 2, "tol": 0.05}),
}


def fit(name, **options):
    data, fixed = CASES[name]
    return ConvexDiffusion(beta="cv", cv=2, random_state=5, **fixed, **options).fit(data)


@pytest.fixture(scope="module")
def serial():
    return {name: fit(name, n_jobs=1) for name in CASES}


def fields(table):
    """Everything of a certificate but the time it took."""
    return [
        {**dataclasses.asdict(row.certificate), "seconds": 0.0, "messages": row.messages}
        for row in table
    ]


def assert_bitwise_equal(a, b):
    assert np.array_equal(a.levels_, b.levels_) and np.array_equal(a.betas_, b.betas_)
    np.testing.assert_array_equal(a.factor_selection_.loss, b.factor_selection_.loss)
    assert fields(a.certificates_) == fields(b.certificates_)
    for left, right in zip(a.networks_, b.networks_, strict=True):
        for part in ("u", "w", "b", "offset", "skip"):
            assert np.array_equal(getattr(left, part), getattr(right, part))
    how = {"n_steps": 10, "random_state": 1}
    assert np.array_equal(a.sample(150, **how), b.sample(150, **how))


def test_another_seed_gives_other_numbers(serial):
    """The comparison can fail."""
    other = fit("column", n_jobs=1).set_params(random_state=6).fit(bimodal(80))
    with pytest.raises(AssertionError):
        assert_bitwise_equal(serial["column"], other)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_backends_of_joblib(serial, name, backend):
    with joblib.parallel_config(backend=backend, n_jobs=2):
        assert_bitwise_equal(serial[name], fit(name))


# ------------------------------------------------------------------------------------------ Dask


@pytest.fixture(scope="module", params=["threads", "process"])
def cluster(request):
    """A cluster on this machine; yields whether its workers are processes of their own."""
    distributed = pytest.importorskip("distributed")
    processes = request.param == "process"
    with (
        distributed.LocalCluster(
            n_workers=1 if processes else 2,
            threads_per_worker=2 if processes else 1,
            processes=processes,
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client, processes


@pytest.mark.parametrize("name", CASES)
def test_dask(serial, cluster, name):
    with joblib.parallel_config(backend="dask"):
        model = fit(name)
    assert_bitwise_equal(serial[name], model)


def test_levels_do_run_on_the_cluster(cluster, monkeypatch):
    client, processes = cluster
    before = convexscore.models.diffusion.run_jobs
    ran = []

    def run_jobs(jobs, *, description, **options):
        # the same jobs, each told where it ran
        wrapped = [joblib.delayed(_where)(*job) for job in jobs]
        done = before(wrapped, description=description, **options)
        ran.extend((description, address) for address, _ in done)
        return [result for _, result in done]

    monkeypatch.setattr(convexscore.models.diffusion, "run_jobs", run_jobs)
    with joblib.parallel_config(backend="dask"):
        ConvexDiffusion(n_levels=4, beta="rule", random_state=0).fit(bimodal(80))
    workers = set(client.scheduler_info()["workers"])
    assert {address for _, address in ran} <= workers
    assert [name for name, _ in ran] == 4 * ["gradient noise"] + 4 * ["noise levels"]
    assert len(workers) == (1 if processes else 2)


def _where(function, args, kwargs):
    from distributed import get_worker

    return get_worker().address, function(*args, **kwargs)


def test_the_cluster_of_the_docs(serial, cluster):
    """Its lines on this cluster, with the address of the scheduler in place of the example's."""
    client, _ = cluster
    text = (Path(__file__).resolve().parents[1] / "docs" / "cluster.md").read_text(encoding="utf-8")
    [block] = re.findall(r"^```py\n(.*?)^```$", text, re.M | re.S)
    assert 'Client("tcp://scheduler:8786")' in block
    block = block.replace("tcp://scheduler:8786", client.scheduler.address)
    names = {"X": bimodal(18)}  # too few to cross-validate: quick
    try:
        exec(compile(block, "cluster.md", "exec"), names)
        expected = fit_convex_diffusion(names["X"], n_levels=10, random_state=0)
        assert np.array_equal(names["model"].betas_, expected.betas_)
        assert names["client"].scheduler.address == client.scheduler.address
    finally:
        if "client" in names:
            names["client"].close()


# --------------------------------------------------------------------------- warnings of threads


def test_threads_leave_the_warning_filters_alone():
    """The state of the process is that of before, whichever thread ends last."""
    filters, shown = list(warnings.filters), warnings.showwarning
    for _ in range(5):
        with joblib.parallel_config(backend="threading", n_jobs=3):
            ConvexDiffusion(n_levels=6, n_draws=2, beta=3.0, tol=0.05, random_state=0).fit(planar())
        assert warnings.filters == filters and warnings.showwarning is shown


def in_threads(block, n=8):
    """Starts all at once, each to end after another time; raises what failed."""
    barrier = threading.Barrier(n)

    def run(k):
        barrier.wait()
        block(k)

    with ThreadPoolExecutor(n) as pool:
        list(pool.map(run, range(n)))


def warn_in(recorder, k):
    with recorder() as caught:
        time.sleep(0.002 * (k % 3))
        for i in range(20):
            warnings.warn(f"{k}: {i}", UserWarning, stacklevel=1)
            time.sleep(0.0005)
    messages = [text if isinstance(text, str) else str(text.message) for text in caught]
    assert messages == [f"{k}: {i}" for i in range(20)]


def test_every_thread_records_its_own():
    filters, shown = list(warnings.filters), warnings.showwarning
    for _ in range(5):
        in_threads(lambda k: warn_in(recorded_warnings, k))
        assert warnings.filters == filters and warnings.showwarning is shown
    with pytest.raises(UserWarning, match="as before"):  # an error again, as pytest was told
        warnings.warn("as before", UserWarning, stacklevel=1)


def test_python_s_own_recorder_mixes_threads():
    """Negative control: what the above would catch."""

    def recorder():
        return warnings.catch_warnings(record=True)

    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        with pytest.raises(AssertionError):
            for _ in range(5):
                in_threads(lambda k: warn_in(recorder, k))


def test_recording_nests_and_survives_errors():
    with recorded_warnings() as outer:
        warnings.warn("one", UserWarning, stacklevel=1)
        with recorded_warnings() as inner:
            warnings.warn("two", UserWarning, stacklevel=1)
        warnings.warn("three", UserWarning, stacklevel=1)
    assert (outer, inner) == (["one", "three"], ["two"])
    with pytest.raises(ZeroDivisionError), recorded_warnings():
        raise ZeroDivisionError
    with pytest.raises(UserWarning):
        warnings.warn("as before", UserWarning, stacklevel=1)


def test_threads_that_do_not_record_show_their_warnings():
    with pytest.warns(UserWarning, match="from another thread"), recorded_warnings() as messages:
        in_threads(lambda _: warnings.warn("from another thread", UserWarning, stacklevel=1), 1)
    assert messages == []
