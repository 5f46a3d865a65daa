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

from pathlib import Path

import numpy as np
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


# ---------------------------------------------------------------------------------------- small data


def bimodal(n=60):
    """Two modes on the line."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(-2.0, 1.0, n - n // 3), rng.normal(2.0, 0.5, n // 3)])


def planar(n=40):
    """Two clouds in the plane."""
    rng = np.random.default_rng(3)
    points = rng.normal(size=(n, 2)) @ [[1.0, 0.4], [0.0, 0.6]]
    points[: n // 3] += 3.0
    return points


@pytest.fixture
def line_file(tmp_path, monkeypatch):
    """data.csv: an index, `bimodal` and weights, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{value!r},{1 + i % 3}" for i, value in enumerate(bimodal().tolist())]
    Path("data.csv").write_text("\n".join(["id,value,weight", *rows]) + "\n")
    return Path("data.csv")


@pytest.fixture
def plane_file(tmp_path, monkeypatch):
    """plane.csv: an index, `planar` (one name has a comma in it) and weights."""
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{a!r},{b!r},{1 + i % 3}" for i, (a, b) in enumerate(planar().tolist())]
    Path("plane.csv").write_text("\n".join(['id,height,"width, cm",weight', *rows]) + "\n")
    return Path("plane.csv")


def fails(capsys, *arguments):
    """A command that ends with exit code 2 and one line on stderr, which is returned."""
    from convexscore.cli import main

    assert main([str(argument) for argument in arguments]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("convexscore: error: ")
    return line


# ------------------------------------------------------------------------------------------- figures


@pytest.fixture
def no_side_effects(monkeypatch):
    """Nothing is shown, no setting changes; pyplot's figures are closed afterwards."""
    from matplotlib import pyplot, rcParams

    monkeypatch.setattr(pyplot, "show", lambda *_, **__: pytest.fail("show() was called"))
    before = dict(rcParams)
    yield
    pyplot.close("all")
    assert dict(rcParams) == before


@pytest.fixture
def ax():
    """Axes that pyplot does not know of."""
    from matplotlib.figure import Figure

    return Figure().subplots()


def png_size(data):
    """Width and height in pixels."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR"
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def legend(ax):
    """The labels in a legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]
