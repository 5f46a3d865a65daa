"""What the benchmarks solve and are judged by: laws, lassos, the plane, training cases, accuracy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from oracles import slopes
from plane_oracles import solved
from scipy.integrate import trapezoid
from scipy.stats import kurtosis

from benchmarks import convex_vs_sgd, high_dim_vs_adam, multitask_peers, score_accuracy
from benchmarks import spiral_overfit as overfit
from benchmarks.peers import accuracy_fits
from benchmarks.problems import lasso, laws, spiral, training_cases
from benchmarks.problems.training_cases import DSM, SM, Case, make_task
from convexscore import TwoLayerNetwork, certify, fit_convex_score
from convexscore.programs import univariate_matrices


# ---------------------------------------------------------------------- laws
@pytest.mark.parametrize("law", laws.ALL, ids=lambda law: law.name)
def test_score_density_and_samples_of_a_law_belong_together(law):
    x = law.sample(np.random.default_rng(0), 20_000)
    assert x.shape == ((20_000,) if law.dim == 1 else (20_000, law.dim))
    rows, s = x.reshape(-1, law.dim), law.score(x).reshape(-1, law.dim)
    inside = (
        np.quantile(x, [0.05, 0.3, 0.45, 0.6, 0.8, 0.95])[:, None] if law.dim == 1 else rows[:50]
    )

    def log_density(at):
        return law.log_density(at if law.dim > 1 else at[:, 0])

    found = law.score(inside if law.dim > 1 else inside[:, 0]).reshape(inside.shape)
    assert np.allclose(found, slopes(log_density, inside), atol=2e-5 if law.dim > 1 else 1e-6)
    # Stein: E s = 0 and E x s' = -I, each within five standard errors
    products = np.einsum("ni,nj->nij", rows, s) + np.eye(law.dim)
    for values in (s, products.reshape(len(x), -1)):
        assert (np.abs(values.mean(0)) < 5.0 * values.std(0) / np.sqrt(len(x)) + 1e-12).all()
    # and with a wrong score the same test fails
    wrong = np.einsum("ni,ni->ni", rows, 1.3 * s) + 1.0
    assert (np.abs(wrong.mean(0)) > 5.0 * wrong.std(0) / np.sqrt(len(x))).any()
    if law.dim == 1:
        grid = np.linspace(x.min() - 6.0, x.max() + 6.0, 400_001)
        grid = grid[grid > 0] if law.name.startswith("gamma") else grid
        assert trapezoid(np.exp(law.log_density(grid)), grid) == pytest.approx(1.0, abs=1e-4)


def test_products_have_independent_columns_of_the_right_law():
    x = laws.TEN[2].sample(np.random.default_rng(3), 20_000)
    assert np.abs(np.corrcoef(x.T) - np.eye(10)).max() < 0.04
    assert kurtosis(x, axis=0) == pytest.approx(3.0, abs=1.0)


# ---------------------------------------------------------------------- the line: a lasso
@pytest.mark.parametrize("skip", [False, True])
def test_lasso_problem_matches_the_dense_program(skip):
    problem = lasso.make_problem(50, skip, share=0.05, noise=0.5, seed=3)
    X, target, *_ = univariate_matrices(problem.noisy, labels=problem.labels, skip=skip)
    largest = np.abs(X.T @ target).max()
    assert lasso.beta_max(problem.noisy, problem.labels, skip) == pytest.approx(largest)
    # any coefficients: the network carries the lasso's value; without skip our dual point also
    # moves along the line and may prove more
    y = np.zeros(X.shape[1])
    y[[3, 60, 71]] = 0.1, -0.2, 0.05
    own = lasso.gap_to_optimum(problem, lasso.network_of(problem, y), "residual")
    textbook = lasso.lasso_gap(X, target, y, problem.beta)
    assert own <= textbook * (1 + 1e-9)
    assert not skip or own == pytest.approx(textbook, rel=1e-9)
    # and a poor solution is seen to be one
    for weights in (y, 0.0 * y):
        assert lasso.gap_to_optimum(problem, lasso.network_of(problem, weights)) > 1e-3


# ---------------------------------------------------------------------- the plane
def test_planar_problem_is_the_one_that_is_fitted():
    problem = spiral.make_problem(30, 0.05, 0.5, 3)
    fitted = spiral.fit(problem, 1e-6)
    assert np.array_equal(fitted.noisy_points_, problem.noisy)
    assert np.array_equal(fitted.noise_labels_, problem.labels)
    judged = spiral.judge(problem, fitted.network_)
    assert judged.objective == pytest.approx(fitted.certificate_.objective, rel=1e-12)
    # beta_max: no neuron above it, some below
    empty = TwoLayerNetwork(np.eye(2), np.zeros((2, 2)), np.zeros(2), offset=problem.labels.mean(0))
    above, below = (
        spiral.judge(replace(problem, beta=problem.largest_beta * share), empty).max_violation
        for share in (1 + 1e-9, 0.99)
    )
    assert above <= 0.0 < below


def test_spiral_starts_outside_and_leaves_out_its_middle():
    points = spiral.spiral()
    assert points.shape == (80, 2) and np.allclose(points[0], [10.0, 0.0])
    assert np.linalg.norm(points[-1]) == pytest.approx(2.1)
    assert np.allclose(points[5], 9.5 * np.sqrt(0.5) * np.ones(2))


def test_pair_columns_carry_the_value_of_the_network():
    planar = spiral.make_problem(15, 0.05, 0.5, 0)
    problem = multitask_peers.pair_problem(planar)
    assert problem.matrix.shape == (15, 15 * 14) and problem.matrix.flags.f_contiguous
    weights = np.zeros((210, 2))
    weights[[3, 50, 201]] = [[0.1, -0.2], [0.3, 0.0], [-0.1, 0.1]]
    judged = spiral.judge(planar, multitask_peers.network_of(problem, weights))
    assert multitask_peers.primal_value(problem, weights) == pytest.approx(judged.objective)
    # weak duality with any residual, and a bound that the whole plane can only lower
    dual = multitask_peers.dual_value(problem, problem.target - problem.matrix @ weights)
    assert dual <= spiral.fit(planar, 1e-8).certificate_.objective * 1.01
    assert judged.dual_objective <= dual * (1 + 1e-9)


def test_reference_of_the_finite_problem_is_sharp():
    import cvxpy as cp

    def conic(X, target, beta, tol):
        W = cp.Variable((X.shape[1], 2))
        loss = 0.5 * cp.sum_squares(X @ W - target) + beta * cp.sum(cp.norm(W, 2, axis=1))
        assert solved(cp.Problem(cp.Minimize(loss)), (1e-8, 1e-7))
        return np.where(np.abs(W.value) > 1e-6, W.value, 0.0) if tol > 1e-3 else W.value

    problem = multitask_peers.pair_problem(spiral.make_problem(14, 0.05, 0.5, 0))
    bound = multitask_peers.with_reference(problem, conic).dual
    exact = conic(problem.matrix, problem.target, problem.beta, 0.0)
    value = multitask_peers.primal_value(problem, exact)
    assert -1e-9 * value <= value - bound <= 1e-5 * value


def test_overfitted_levels_are_the_packages_problem_at_beta_over_noise():
    """Labels -delta at beta: the objective is noise^2 times that of -delta / noise at beta / noise."""
    noise, points = 0.1, spiral.spiral(12)
    level = overfit.fit_level(points, noise, overfit.Settings(12, 2, (noise,), tol=1e-7), 5)
    fitted = fit_convex_score(
        points, objective="denoising", noise=noise, n_draws=2, skip=False,
        beta=overfit.QUICK.beta / noise, tol=1e-7, random_state=5,
    )  # fmt: skip
    expected = noise**2 * fitted.certificate_.objective
    assert level.certificate.objective == pytest.approx(expected, rel=1e-6)
    at = fitted.noisy_points_
    assert np.allclose(level.network(at), noise * fitted.score_function(at), atol=1e-3)


# ---------------------------------------------------------------------- training cases
@pytest.mark.parametrize("d", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
def test_the_fit_minimises_what_the_networks_are_trained_on(d):
    task = make_task(Case(DSM, d, 40, 0.3), 5)
    fitted = training_cases.fit(task, 1e-3)
    noisy = fitted.noisy_points_.reshape(task.problem.points.shape)
    assert np.allclose(noisy, task.problem.points, rtol=1e-13, atol=1e-13)
    assert np.allclose(fitted.noise_labels_.reshape(noisy.shape), task.problem.labels, atol=1e-12)
    proof = certify(fitted.network_, task.problem.points, objective=DSM, labels=task.problem.labels,
                    beta=task.beta, skip=False, reference="residual")  # fmt: skip
    assert proof.objective == pytest.approx(fitted.certificate_.objective, rel=1e-10)


def test_data_and_noise_are_different_numbers():
    task = make_task(Case(DSM, 3, 200, 0.3), 0)
    noise = -training_cases.NOISE * task.problem.labels
    assert np.allclose(task.x + training_cases.NOISE * noise, task.problem.points)
    rng = np.random.default_rng(np.random.SeedSequence([0, 3, 200]).spawn(3)[0])
    assert not np.isin(noise.round(9), rng.standard_normal(2000).round(9)).any()
    settings = high_dim_vs_adam.Settings(50, 3, 1, 1, 1)
    assert high_dim_vs_adam.data(settings, 0).shape == (50, 3)
    numbers = np.random.default_rng(0).normal(size=(settings.centres, 3))
    assert not np.isin(numbers, high_dim_vs_adam.noise_stream(0).standard_normal((50, 3))).any()
    # negative control: what the same integer would draw repeats the numbers
    assert np.isin(numbers, np.random.default_rng(0).standard_normal((50, 3))).all()


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


@pytest.mark.slow
def test_lower_bound_is_the_lower_one_where_neurons_are_searched_for():
    task = make_task(Case(DSM, 4, 40, 0.3), 1)
    fitted = training_cases.fit(task, 1e-2)
    assert not fitted.certificate_.exact
    bound = training_cases.lower_bound(task, fitted, 64)
    assert bound <= fitted.certificate_.dual_objective
    fitted.certificate_ = replace(fitted.certificate_, dual_objective=bound + 1.0)
    assert training_cases.lower_bound(task, fitted, 64) <= bound + 1e-9 * abs(bound)


def test_checks_of_the_comparison_with_training_can_fail():
    good = {"gap, best of all runs": 0.1, "ours above it": -0.1, "tol": 1e-2, "certified": True}
    fits = [good | {"all neurons looked at": exact} for exact in (True, False)]
    wrong = {
        "above the certified lower bound": {"gap, best of all runs": -1e-6},
        "(ours - best of all runs)": {"ours above it": 2.0},
        "not certified": {"certified": False},
    }
    assert all(check.verdict == "PASS" for check in convex_vs_sgd._checks(fits))
    for text, change in wrong.items():
        checks = convex_vs_sgd._checks([{**fits[0], **change}, fits[1]])
        (failed,) = (check for check in checks if check.verdict == "FAIL")
        assert text in failed.text


# ---------------------------------------------------------------------- the accuracy of scores
def test_streams_of_data_noise_and_methods_differ_and_repeat():
    x = np.random.default_rng(0).normal(size=(50, 2))
    first, again = (
        accuracy_fits.Sample(x, np.random.SeedSequence(3), accuracy_fits.Effort()) for _ in range(2)
    )
    draws = [first.rng(name).normal() for name in accuracy_fits.METHODS]
    assert len(set(draws)) == len(draws)
    assert draws == [again.rng(name).normal() for name in accuracy_fits.METHODS]
    assert draws[0] == first.rng(accuracy_fits.METHODS[0]).normal()


def test_a_method_that_fails_is_recorded_and_counts_as_infinite(monkeypatch):
    def broken(method, sample):
        if method == accuracy_fits.KDE:
            raise ValueError("no bandwidth")
        return lambda at: -1.1 * at

    monkeypatch.setattr(score_accuracy, "fit", broken)
    law = laws.LAWS[0]
    rows = score_accuracy.one_sample(law.name, 300, 0, score_accuracy.QUICK, silu=True)
    (failed,) = (row for row in rows if row["failure"])
    assert failed["method"] == accuracy_fits.KDE
    assert failed["failure"] == "ValueError: no bandwidth"
    row = score_accuracy._row(law, 300, rows)
    assert row[accuracy_fits.KDE] == np.inf and row[accuracy_fits.SM] == pytest.approx(0.01)
