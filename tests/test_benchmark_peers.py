"""Whom the benchmarks compare with: each peer does what it is said to do, and is treated kindly."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from oracles import slope_at, slopes
from scipy.stats import gaussian_kde, multivariate_normal

from benchmarks import convex_vs_sgd
from benchmarks.harness import Timing
from benchmarks.peers import (
    gradient,
    kernel_family,
    lasso,
    mlp,
    multitask,
    scores,
    silu_network,
    tolerance,
    torch_networks,
)
from benchmarks.problems import laws
from benchmarks.problems.training_cases import DSM, SM, Case, make_task
from benchmarks.score_accuracy import fisher_error
from convexscore import TwoLayerNetwork, certify
from convexscore.objectives import denoising, score_matching
from convexscore.training import train


# ---------------------------------------------------------------------- kernels, mixtures
def test_kernel_scores_are_gradients_of_kernel_densities():
    x = np.array([-1.0, 0.2, 0.9, 3.0])
    at, h = np.array([[-2.0], [0.0], [1.7], [40.0]]), 0.4

    def log_density(points):
        return np.logaddexp.reduce(-0.5 * ((points - x) / h) ** 2, axis=1)

    found = scores.kernel_score(x, h)(at[:, 0])
    assert np.allclose(found, slopes(log_density, at)[:, 0], rtol=1e-6)
    # several columns, whitened: that of scipy
    x = np.random.default_rng(0).normal(size=(60, 2)) @ np.array([[1.0, 0.0], [0.8, 0.5]]) + 3.0
    score = scores.whitened(x, lambda z: scores.kernel_score(z, scores.silverman_bandwidth(z)))
    reference = gaussian_kde(x.T, bw_method="silverman")
    at = x[:10] + 0.1
    assert np.allclose(score(at), slopes(lambda y: reference.logpdf(y.T), at), atol=1e-5)


def test_bandwidth_cross_validation_finds_the_maximum_of_the_left_out_likelihood():
    x = np.random.default_rng(1).normal(size=300)
    at = scores.leave_one_out_likelihood
    others = scores.silverman_bandwidth(x) * np.geomspace(0.04, 2.9, 60)
    assert at(x, scores.cross_validated_bandwidth(x)) >= max(at(x, h) for h in others) - 1e-5
    for points in (np.array([[0.0], [1.0], [3.0]]), np.random.default_rng(1).normal(size=(12, 3))):
        n, h = len(points), 0.6
        kept = [np.mean([multivariate_normal.pdf(points[i], points[j], h**2)
                         for j in range(n) if j != i]) for i in range(n)]  # fmt: skip
        given = points if points.shape[1] > 1 else points[:, 0]
        assert at(given, h) == pytest.approx(np.log(kept).mean())


@pytest.mark.slow
def test_gaussian_and_mixture_peers_recover_their_own_laws():
    x = laws.TWO_HUMPS.sample(np.random.default_rng(0), 4000)
    score, components = scores.em_mixture_score(x, max_components=3, n_init=1, seed=0)
    grid = np.linspace(-4, 4, 9)
    assert components == 2 and np.abs(score(grid) - laws.TWO_HUMPS.score(grid)).max() < 0.4
    assert scores.gaussian_score(x)(x.mean() + x.std()) == pytest.approx(-1 / x.std())
    gaussian, mixture = laws.PLANAR[0], laws.TEN[1]
    x, at = (gaussian.sample(np.random.default_rng(k), 4000) for k in (0, 1))
    assert fisher_error(gaussian, scores.gaussian_score(x), at) < 0.005
    x, at = (mixture.sample(np.random.default_rng(k), 4000) for k in (0, 1))
    score, components = scores.em_mixture_score(x, max_components=5, n_init=1, seed=2)
    assert components == 3 and fisher_error(mixture, score, at) < 0.1
    # one Gaussian is not enough for three
    assert fisher_error(mixture, scores.gaussian_score(x), at) > 0.1


def test_kernel_family_minimises_the_score_matching_loss():
    rng = np.random.default_rng(0)
    x, centres, width = rng.normal(size=(40, 2)), rng.normal(size=(7, 2)), 0.9
    alpha = rng.normal(size=7)

    def density(y):  # log of the unnormalised density
        square = ((y[:, None] - centres) ** 2).sum(-1)
        return np.exp(-0.5 * square / width**2) @ alpha - 0.5 * (y**2).sum(1)

    def score(y, a):
        return kernel_family.family_score(y, centres, a, width)

    assert np.allclose(score(x, alpha), slopes(density, x), atol=1e-6)

    def loss(a):
        trace = sum(slopes(lambda y, j=j: score(y, a)[:, j], x)[:, j] for j in range(2))
        return float(np.mean(0.5 * (score(x, a) ** 2).sum(1) + trace))

    found = kernel_family.moments(x, centres, width)
    assert found.loss(alpha) == pytest.approx(loss(alpha) - loss(np.zeros(7)), abs=1e-6)
    best = kernel_family.solve(found, np.eye(7), 1e-3)
    penalised = [found.loss(a) + 5e-4 * a @ a for a in best + 0.01 * rng.normal(size=(20, 7))]
    assert found.loss(best) + 5e-4 * best @ best < min(penalised)


def test_kernel_family_learns_a_ring():
    law = laws.PLANAR[1]
    x, at = law.sample(np.random.default_rng(0), 1000), law.sample(np.random.default_rng(1), 4000)
    score, _ = kernel_family.kernel_family_score(x, n_centres=150, rng=np.random.default_rng(2))
    assert fisher_error(law, score, at) < 0.4 < 0.8
    assert 0.8 < fisher_error(law, scores.gaussian_score(x), at)


# ---------------------------------------------------------------------- solvers of lassos
def test_missing_peers_are_skipped_with_the_reason(monkeypatch):
    solvers, missing = lasso.available(("scikit-learn",))
    assert list(solvers) == ["scikit-learn"] and missing == {}
    monkeypatch.setattr(lasso, "find_spec", lambda name: None)
    solvers, missing = lasso.available(("celer", "skglm"))
    assert solvers == {} and set(missing) == {"celer", "skglm"}
    assert "pip install" in missing["celer"]


def test_multitask_solvers_that_fail_are_left_out_with_the_reason(monkeypatch):
    def broken(X, target, beta, tol):
        raise AttributeError("no such method")

    monkeypatch.setattr(multitask, "find_spec", lambda name: None if name == "celer" else 1)
    monkeypatch.setattr(multitask, "_SOLVERS", {"celer": broken, "skglm": broken})
    solvers, missing = multitask.available()
    assert solvers == {} and "pip install" in missing["celer"]
    assert "AttributeError: no such method" in missing["skglm"]
    monkeypatch.setitem(multitask._SOLVERS, "skglm", lambda *problem: np.zeros((2, 2)))
    assert "wrong answer" in multitask.available()[1]["skglm"]
    assert "another problem" in multitask.pyscnn_reason()
    monkeypatch.setattr(multitask, "find_spec", lambda name: None)
    assert "pip install pyscnn" in multitask.pyscnn_reason()


def test_solvers_are_timed_at_the_loosest_tolerance_that_reaches_the_gap(monkeypatch):
    ladder = SimpleNamespace(gap=1e-2, loosest_tol=0.1, tightest_tol=2e-4, patience=60.0)
    found = tolerance.climb(lambda tol: np.array([0.0, tol]), lambda w: w[1], ladder)
    assert found.tol == pytest.approx(0.01) and found.row["reached"] and found.row["neurons"] == 1
    never = tolerance.climb(lambda tol: np.array([[1.0, tol]]), lambda w: 1.0, ladder)
    assert not never.row["reached"] and never.tol == pytest.approx(10**-3.5)
    slow = Timing(61.0, 61.0, 61.0, 61.0, 1)
    monkeypatch.setattr(tolerance, "measure", lambda call, **options: (slow, call()))
    assert tolerance.climb(lambda tol: np.array([tol]), lambda w: 1.0, ladder).tol == 0.1


# ---------------------------------------------------------------------- training by gradients
def test_adam_descends_the_objective_it_is_judged_by(monkeypatch):
    """The weight decay given to MLPRegressor makes its gradient that of the objective over n."""
    from sklearn.neural_network import MLPRegressor

    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    beta, seen = 2.0, {}
    original = MLPRegressor._backprop

    def record(self, *arguments):
        result = original(self, *arguments)
        if not seen:
            parts = (*self.coefs_, *self.intercepts_, arguments[0])
            seen.update(zip("UWbcX", (part.copy() for part in parts), strict=True))
            seen["gradient"] = [g.copy() for g in result[1]]
        return result

    monkeypatch.setattr(MLPRegressor, "_backprop", record)
    row = mlp.adam_run(mlp.Task(X, labels, beta), 4, 1e-3, 0, epochs=1, batch=40)
    assert row["epochs"] == 1 and row["objective"] > 0.0
    order = [int(np.flatnonzero((X == x).all(axis=1))[0]) for x in seen["X"]]
    assert sorted(order) == list(range(40))

    def value():
        rest = np.maximum(X @ seen["U"] + seen["b"], 0.0) @ seen["W"] + seen["c"] - labels
        return (0.5 * (rest**2).sum() + 0.5 * beta * sum((seen[k] ** 2).sum() for k in "UW")) / 40

    for which, name, index in ((0, "U", (1, 2)), (1, "W", (3, 0))):
        slope = slope_at(value, seen[name], index)
        assert seen["gradient"][which][index] == pytest.approx(slope, rel=1e-5)


def test_sklearn_objective_is_ours_in_the_units_of_the_data(monkeypatch):
    """Standardised points are the same problem: the objective of the network mapped back."""
    task = make_task(Case(DSM, 2, 40, 0.3), 3)
    points, scale = task.problem.points, task.problem.points.std()
    rng = np.random.default_rng(0)
    u, w, b = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)), rng.normal(size=4)

    def fake(inside, *run, **options):
        network = TwoLayerNetwork(u, w, b, offset=np.zeros(2))
        return {"objective": mlp.objective(inside, network), "seconds": 1.0}

    monkeypatch.setattr(mlp, "adam_run", fake)
    effort = gradient.Effort(40, 40, 20, restarts=3, sweep_restarts=2, outside_runs=2)
    found = gradient._sklearn(task.problem, task.beta, 4, effort, 0)
    outside = TwoLayerNetwork(u / scale, w / scale, b - u @ points.mean(axis=0) / scale,
                              offset=np.zeros(2))  # fmt: skip
    raw = mlp.Task(points, task.problem.labels, task.beta)
    assert found.best == pytest.approx(mlp.objective(raw, outside), rel=1e-12)


def test_expected_seconds_are_those_of_restarting_until_success():
    objectives = [[9.0, 5.0, 1.0], [9.0, 0.5, 1.5], [9.0, 8.0, 7.0], [9.0, 6.0, 5.0]]
    seconds = np.array([0.0, 2.0, 5.0])
    runs = gradient.Peer("x", 0.1, np.array(objectives), seconds, 1.0, 1.0, 0.0)
    assert runs.success(1.0) == 0.5 and runs.one_run == 5.0
    assert runs.expected_seconds(0.1) is None and runs.best.tolist() == [1.0, 0.5, 7.0, 5.0]
    rng, arrival, totals = np.random.default_rng(0), {0: 5.0, 1: 2.0}, []
    for _ in range(20_000):
        spent, run = 0.0, rng.integers(4)
        while run not in arrival:
            spent, run = spent + 5.0, rng.integers(4)
        totals.append(spent + arrival[run])
    error = np.std(totals) / np.sqrt(len(totals))
    assert abs(runs.expected_seconds(1.0) - np.mean(totals)) < 5.0 * error


@pytest.mark.slow
def test_rows_of_the_comparison_with_training_are_consistent():
    effort = gradient.Effort(40, 40, 20, restarts=3, sweep_restarts=2, outside_runs=2,
                             rates=(0.1, 0.01), records=8)  # fmt: skip
    cases = (Case(SM, 1, 60, 0.2), Case(DSM, 2, 40, 0.3))
    report = convex_vs_sgd.run(convex_vs_sgd.Settings(cases, effort, fit_repeats=1), 0)
    fits, rows = report.tables["Convex fits"], report.tables["Trained by gradients"]
    for row in rows:
        assert -1e-9 <= row["gap, best run"] <= row["10 %"] <= row["median"] <= row["90 %"]
        assert row["within 0.1%"] <= row["within 1.0%"] <= 1.0
        assert (row["to 1.0% (s)"] == "never") == (row["within 1.0%"] == 0.0)
    for fit in fits:
        assert fit["width trained"] >= fit["neurons"] and fit["lower bound"] <= fit["objective"]
        assert fit["gap"] <= fit["tol"] or not fit["all neurons looked at"]
    has_torch = torch_networks.installed()  # left out with a note, or a peer in every case
    assert any("torch left out" in note for note in report.notes) is not has_torch
    for case, has_sklearn in zip(cases, (False, True), strict=True):
        methods = {row["method"] for row in rows if row["case"] == case.label}
        assert ("Adam, scikit-learn" in methods, "Adam, torch" in methods) == (
            has_sklearn, has_torch)  # fmt: skip
    titles = [axes.get_title() for axes in convex_vs_sgd.draw(report).axes]
    assert sum(title.startswith("share of restarts within") for title in titles) == 2
    assert {case.label for case in cases} <= set(titles)


def test_silu_gradient_is_that_of_its_loss():
    rng = np.random.default_rng(0)
    weights = silu_network.initial_weights(2, 5, rng)
    x, delta = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    _, gradients = silu_network.loss_and_gradient(weights, x, delta)
    for w, g in zip(weights, gradients, strict=True):
        assert w.shape == g.shape
        index = tuple(rng.integers(size) for size in w.shape)
        slope = slope_at(lambda: silu_network.loss_and_gradient(weights, x, delta)[0], w, index)
        assert g[index] == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.slow
def test_silu_network_learns_and_its_units_follow_the_data():
    x, at = np.random.default_rng(0).normal(size=400), np.linspace(-2, 2, 41)
    one, far = (
        silu_network.train_silu_score(
            scale * x, noise=0.4 * scale, rng=np.random.default_rng(1), seconds=60.0, width=32,
            most_steps=600,
        )
        for scale in (1.0, 1e6)
    )  # fmt: skip
    assert one.steps == 600
    assert np.mean((one.score(at) + at / 1.16) ** 2) < 0.1 * np.mean(at**2)
    assert np.allclose(1e6 * far.score(1e6 * at), one.score(at), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------- the same with torch
def make_problem(x, objective):
    return score_matching(x) if objective == SM else denoising(x, noise=0.5, random_state=0)


@pytest.mark.parametrize("objective", [SM, DSM])
def test_objective_of_a_network_is_that_of_the_certificate(objective):
    problem = make_problem(np.random.default_rng(0).normal(size=(40, 2)), objective)
    network = train(problem, beta=6.0, width=5, n_epochs=20, random_state=0).best
    proof = certify(network, problem.points, beta=6.0, objective=objective, labels=problem.labels)
    assert gradient.objective(problem, network, 6.0) == pytest.approx(proof.objective, rel=1e-10)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("objective", [SM, DSM])
def test_autograd_has_the_value_and_gradient_of_our_objective(objective, skip):
    torch = pytest.importorskip("torch")
    stream = torch.Generator().manual_seed(0)
    problem = make_problem(np.random.default_rng(1).normal(size=(30, 3)), objective)
    layers = [layer.double() for layer in torch_networks.two_layers(torch, 3, 6, skip, stream)]
    labels = None if problem.labels is None else torch.tensor(problem.labels)
    beta, n = 4.0, len(problem.points)
    at = torch.tensor(problem.points)
    loss = torch_networks.objective(layers, at, labels, problem.divergence, beta / n)
    loss.backward()

    def value():
        network = torch_networks.network_of(layers, np.zeros(3), 1.0)
        least = gradient.objective(problem, network, beta)
        return least + beta * (network.weight_decay() - network.path_norm())

    assert loss.item() * n == pytest.approx(value(), rel=1e-12)
    for layer in layers:
        for weight in layer.parameters():
            index = (0,) * weight.ndim
            with torch.no_grad():
                slope = slope_at(value, weight, index)
            assert n * weight.grad[index].item() == pytest.approx(slope, rel=1e-4, abs=1e-4)


def test_torch_networks_reach_the_certified_optimum_and_never_pass_it():
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = 50.0 + 7.0 * np.concatenate([rng.normal(-2, 0.5, 60), rng.normal(2, 0.5, 60)])
    problem = denoising(x, noise=4.0, random_state=1)  # far from standardised units
    options = {"beta": 40.0, "width": 32, "skip": True, "rate": 1e-2, "batch": 40, "seed": 3,
               "n_epochs": 800}  # fmt: skip
    runs = torch_networks.train_two_layers(problem, record=(0, 800), **options)
    values = [gradient.objective(problem, network, 40.0) for _, network in runs]
    network = runs[-1][1]
    proof = certify(network, x=problem.points[:, 0], beta=40.0, objective=DSM,
                    labels=problem.labels[:, 0], reference="solve")  # fmt: skip
    bound = proof.dual_objective
    assert bound * (1.0 - 1e-9) <= values[-1] < 1.01 * bound < values[0]
    again = torch_networks.train_two_layers(problem, record=(800,), **options)
    assert np.array_equal(again[0][1].u, network.u)
    assert runs[0][0] == 0.0 < runs[1][0]


def test_silu_networks_of_numpy_and_torch_take_the_same_steps():
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    weights = silu_network.initial_weights(2, 16, rng)
    ours, theirs = silu_network.SiluNet(weights), torch_networks.SiluNet(weights)
    at = rng.normal(size=(50, 2))
    before = theirs.frozen()
    for _ in range(30):
        x, delta = rng.normal(size=(64, 2)), rng.normal(size=(64, 2))
        ours.step(x, delta, 3e-3)
        theirs.step(x, delta, 3e-3)
    assert np.abs(ours(at) - theirs(at)).max() < 1e-4
    # and the steps changed something; what was frozen stays as it was
    assert np.abs(ours(at) - before(at)).max() > 0.05
    assert np.abs(before(at) - silu_network.forward(weights, at)).max() < 1e-5
