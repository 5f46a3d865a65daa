"""The comparison with gradient training is on one problem, kind to the peers, and can fail."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import (  # noqa: E402
    convex_vs_sgd,
    gradient_peers,
    high_dim_vs_adam,
    torch_peers,
    training_cases,
)
from benchmarks.gradient_peers import Effort, Peer  # noqa: E402
from benchmarks.training_cases import DSM, SM, Case, make_task  # noqa: E402
from convexscore import TwoLayerNetwork, certify  # noqa: E402

TINY = convex_vs_sgd.Settings(
    (Case(SM, 1, 60, 0.2), Case(DSM, 2, 40, 0.3)),
    Effort(40, 40, 20, restarts=3, sweep_restarts=2, outside_runs=2, rates=(0.1, 0.01), records=8),
    fit_repeats=1,
)


# ---------------------------------------------------------------------- one problem for all sides
@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_fit_minimises_what_the_networks_are_trained_on(d):
    task = make_task(Case(DSM, d, 40, 0.3), 5)
    fitted = training_cases.fit(task, 1e-3)
    noisy = fitted.noisy_points_.reshape(task.problem.points.shape)
    assert np.allclose(noisy, task.problem.points, rtol=1e-13, atol=1e-13)
    assert np.allclose(fitted.noise_labels_.reshape(noisy.shape), task.problem.labels, atol=1e-12)
    proof = certify(fitted.network_, task.problem.points, objective=DSM, labels=task.problem.labels,
                    beta=task.beta, skip=False, reference="residual", n_starts=8)  # fmt: skip
    assert proof.objective == pytest.approx(fitted.certificate_.objective, rel=1e-10)


def test_data_and_noise_are_different_numbers():
    task = make_task(Case(DSM, 3, 200, 0.3), 0)
    noise = -training_cases.NOISE * task.problem.labels
    assert np.allclose(task.x + training_cases.NOISE * noise, task.problem.points)
    rng = np.random.default_rng(np.random.SeedSequence([0, 3, 200]).spawn(3)[0])
    data = rng.standard_normal(2000)
    assert len(np.intersect1d(noise.round(9), data.round(9))) == 0
    # negative control: one integer for both repeats the numbers
    one, two = (np.random.default_rng(7).standard_normal(600) for _ in range(2))
    assert len(np.intersect1d(one.round(9), two.round(9))) == 600


def test_cases_of_one_size_share_data_and_noise():
    wide, small = make_task(Case(DSM, 1, 50, 0.3, 4), 0), make_task(Case(DSM, 1, 50, 0.1), 0)
    plain = make_task(Case(SM, 1, 50, 0.3), 0)
    assert np.array_equal(wide.problem.points, small.problem.points)
    assert np.array_equal(wide.x, plain.x) and np.array_equal(plain.problem.points, plain.x)
    assert wide.beta == pytest.approx(3.0 * small.beta)
    assert not np.array_equal(wide.x, make_task(Case(DSM, 1, 50, 0.3), 1).x)


@pytest.mark.parametrize(("objective", "d"), [(SM, 1), (DSM, 1), (SM, 2), (DSM, 2)])
def test_largest_beta_is_where_the_first_neuron_comes(objective, d):
    task = make_task(Case(objective, d, 40, 1.0), 2)
    above = training_cases.fit(replace(task, beta=task.beta * 1.001), 1e-8)
    below = training_cases.fit(replace(task, beta=task.beta * 0.97), 1e-8)
    assert above.network_.path_norm() <= 1e-9 < below.network_.path_norm()


def test_high_dimensional_benchmark_draws_noise_from_its_own_stream():
    settings = high_dim_vs_adam.Settings(50, 3, 1, 1, 1)
    data = high_dim_vs_adam.data(settings, 0)
    numbers = np.random.default_rng(0).normal(size=(settings.centres, 3))
    noise = high_dim_vs_adam.noise_stream(0).standard_normal((50, 3))
    assert not np.isin(numbers, noise).any()
    same = np.random.default_rng(0).standard_normal((50, 3))  # what the same integer would draw
    assert np.isin(numbers, same).all()
    assert data.shape == noise.shape


# ---------------------------------------------------------------------- what is said of the peers
def peer(objectives, seconds):
    return Peer("x", 0.1, np.array(objectives), np.array(seconds), 1.0, 1.0, 0.0)


def test_expected_seconds_are_those_of_restarting_until_success():
    runs = peer(
        [[9.0, 5.0, 1.0], [9.0, 0.5, 1.5], [9.0, 8.0, 7.0], [9.0, 6.0, 5.0]], [0.0, 2.0, 5.0]
    )
    assert runs.success(1.0) == 0.5 and runs.one_run == 5.0
    rng = np.random.default_rng(0)
    arrival = {0: 5.0, 1: 2.0}
    totals = []
    for _ in range(20_000):
        spent, run = 0.0, rng.integers(4)
        while run not in arrival:
            spent, run = spent + 5.0, rng.integers(4)
        totals.append(spent + arrival[run])
    error = np.std(totals) / np.sqrt(len(totals))
    assert abs(runs.expected_seconds(1.0) - np.mean(totals)) < 5.0 * error
    assert runs.expected_seconds(0.1) is None
    assert runs.best.tolist() == [1.0, 0.5, 7.0, 5.0]


def test_sklearn_objective_is_ours_in_the_units_of_the_data(monkeypatch):
    """Standardised points are the same problem: the objective of the network mapped back."""
    task = make_task(Case(DSM, 2, 40, 0.3), 3)
    points, scale = task.problem.points, task.problem.points.std()
    rng = np.random.default_rng(0)
    u, w, b = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=4)

    def fake(inside, m, rate, seed, settings):
        network = TwoLayerNetwork(u, w, b, offset=np.zeros(2))
        return {"objective": high_dim_vs_adam.objective(inside, network), "seconds": 1.0}

    monkeypatch.setattr(high_dim_vs_adam, "adam_run", fake)
    found = gradient_peers._sklearn(task.problem, task.beta, 4, TINY.effort, 0)
    outside = TwoLayerNetwork(u / scale, w / scale, b - u @ points.mean(axis=0) / scale,
                              offset=np.zeros(2))  # fmt: skip
    raw = high_dim_vs_adam.Task(points, task.problem.labels, task.beta)
    assert found.best == pytest.approx(high_dim_vs_adam.objective(raw, outside), rel=1e-12)


# ---------------------------------------------------------------------- the report
@pytest.fixture(scope="module")
def report():
    return convex_vs_sgd.run(TINY, 0)


def test_report_is_consistent(report):
    fits, rows = report.tables["Convex fits"], report.tables["Trained by gradients"]
    assert all(check.verdict == "PASS" for check in report.checks if not check.timing)
    for row in rows:
        assert -1e-9 <= row["gap, best run"] <= row["10 %"] <= row["median"] <= row["90 %"]
        assert row["within 0.1%"] <= row["within 1.0%"] <= 1.0
        assert (row["to 1.0% (s)"] == "never") == (row["within 1.0%"] == 0.0)
    by_case = {
        case.label: {r["method"] for r in rows if r["case"] == case.label} for case in TINY.cases
    }
    assert "Adam, scikit-learn" not in by_case[TINY.cases[0].label]
    assert "Adam, scikit-learn" in by_case[TINY.cases[1].label] and len(by_case) == 2
    for fit in fits:
        assert fit["width trained"] >= fit["neurons"] and fit["lower bound"] <= fit["objective"]
        assert fit["gap"] <= fit["tol"] or not fit["all neurons looked at"]
    json.loads(report.as_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    has_torch = torch_peers.installed()  # left out with a note, or a peer in every case
    assert any("torch left out" in note for note in report.notes) is not has_torch
    assert all(("Adam, torch" in methods) is has_torch for methods in by_case.values())


def test_checks_can_fail(report):
    fits = report.tables["Convex fits"]
    wrong = {
        "above the certified lower bound": {"gap, best of all runs": -1e-6},
        "(ours - best of all runs)": {"ours above it": 2.0},
        "not certified": {"certified": False},
    }
    for name, change in wrong.items():
        checks = convex_vs_sgd._checks([{**fits[0], **change}, *fits[1:]])
        (check,) = (check for check in checks if name in check.text)
        assert check.verdict == "FAIL"
        assert sum(c.verdict == "FAIL" for c in checks if not c.timing) == 1


def test_lower_bound_is_the_lower_one_where_neurons_are_searched_for():
    task = make_task(Case(DSM, 4, 40, 0.3), 1)
    fitted = training_cases.fit(task, 1e-2)
    assert not fitted.certificate_.exact
    bound = training_cases.lower_bound(task, fitted, 64)
    assert bound <= fitted.certificate_.dual_objective
    fitted.certificate_ = replace(fitted.certificate_, dual_objective=bound + 1.0)
    assert training_cases.lower_bound(task, fitted, 64) <= bound + 1e-9 * abs(bound)


def test_figure_has_three_panels_at_most_and_two_tables(report):
    fig = convex_vs_sgd.draw(report)
    titles = [axes.get_title() for axes in fig.axes]
    assert sum(title.startswith("share of restarts within") for title in titles) == 2
    assert {case.label for case in TINY.cases} <= set(titles)
