"""Leaky ReLU of any slope in every problem: of a z + b |z| the solvers know a and b only."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from oracles import conic_optimum, network_objective
from sklearn.base import clone

from convexscore import (
    ConvexScore,
    fit_convex_score,
    load,
    save,
    smallest_beta,
    training,
)
from convexscore.objectives import ScoreObjective
from convexscore.scores.activations import ABS, RELU, Activation, get_activation
from convexscore.solvers.line.cases import LineCase
from convexscore.solvers.line.problem import prepare
from convexscore.solvers.line.solve import solve

SLOPES = [-1.0, -0.7, -0.2, 0.0, 0.01, 0.4, 0.9]


# ---- the object and its spellings ---------------------------------------------------------------


@pytest.mark.parametrize("slope", SLOPES)
def test_everything_derives_from_odd_and_even_part(slope):
    sigma, z = Activation(slope), np.array([-2.5, -1e-3, 0.0, 1e-3, 3.0])
    np.testing.assert_allclose(sigma.value(z), sigma.odd * z + sigma.even * np.abs(z), rtol=1e-14)
    step = 1e-6
    ahead, behind = (sigma.value(z + s) - sigma.value(z) for s in (step, -step))
    np.testing.assert_allclose(sigma.derivative(z), ahead / step, rtol=1e-8)
    np.testing.assert_allclose(sigma.derivative(z, left=True), -behind / step, rtol=1e-8)
    assert sigma.slope_jump == sigma.derivative(0.0) - sigma.derivative(0.0, left=True)
    slopes = sigma.antiderivative(z + step) - sigma.antiderivative(z - step)
    np.testing.assert_allclose(slopes / (2 * step), sigma.value(z), atol=1e-6)
    assert get_activation(sigma.name) == get_activation(sigma) == sigma


def test_spellings():
    assert get_activation("relu") is RELU and get_activation("abs") is ABS
    assert get_activation("leaky_relu") == Activation(0.01)
    assert get_activation("leaky_relu(0.2)") == Activation(0.2) == get_activation(Activation(0.2))
    assert get_activation("leaky_relu(0)") == RELU and str(Activation(-0.5)) == "leaky_relu(-0.5)"
    assert RELU.value(z := np.array([-2.0, -0.0, 0.0, 3.0])).tolist() == [0, 0, 0, 3]
    assert ABS.value(z).tolist() == [2, 0, 0, 3]
    wrong = ["leaky_relu(1)", "leaky_relu(x)", "leaky_relu()", "leaky", "leaky_relu(-1.5)"]
    for name in (*wrong, "tanh", "ReLU", None, 3):
        with pytest.raises(ValueError, match=r"activation must be one of.*leaky_relu\(slope\)"):
            get_activation(name)
    for slope in (1.0, -1.1, np.nan, "0.1", None, True):
        with pytest.raises(ValueError, match=r"negative_slope must be a number in \[-1, 1\); got"):
            Activation(slope)


def test_object_and_name_are_one_option_and_survive_copies_and_files(tmp_path):
    x = np.random.default_rng(0).normal(size=40)
    fit = ConvexScore(activation=Activation(0.2), skip=False, beta=5.0).fit(x)
    named = fit_convex_score(x, activation="leaky_relu(0.2)", skip=False, beta=5.0)
    save(fit, tmp_path / "leaky.npz")
    grid = np.linspace(-4, 4, 99)
    expected = fit.score_function(grid)
    for other in (named, clone(fit).fit(x), load(tmp_path / "leaky.npz")):
        np.testing.assert_array_equal(other.score_function(grid), expected)
        assert other.network_.activation == Activation(0.2)
    assert "activation='leaky_relu(0.2)'" in repr(fit.network_)


# ---- the line -----------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [-1.0, -0.9, -0.6, -0.2, 0.0, 0.2, 0.6])
@pytest.mark.parametrize("constraint", [None, "density", "log-concave"])
def test_heavy_ends_and_heavy_inner_values_without_skip(slope, constraint):
    """Here the cheapest slope comes from neurons that face away from the data, or from pairs.

    With labels as well, so that slopes of both signs are wanted.
    """
    rng = np.random.default_rng(2)
    case, compared = LineCase(Activation(slope), False, constraint), 0
    for copies in ([3, 1, 1, 1, 1, 3], [1, 1, 6, 1, 1, 2], [4, 1, 6, 1, 1, 1], [5, 1, 1, 1, 1, 5]):
        x = np.repeat(np.sort(rng.normal(size=6)), copies)
        limit = smallest_beta(x, activation=Activation(slope), skip=False)
        for factor, rise in product((1.05, 1.4, 2.5), (0.0, 20.0)):
            beta, labels = factor * limit, rise * (x - x.mean())
            problem = prepare(ScoreObjective(x[:, None], labels[:, None], 1.0, None))
            fit = solve(problem, case, beta, tol=1e-10)
            certificate, law = fit.certificate, fit.score
            assert certificate.relative_gap <= 1e-8 and certificate.max_violation <= 1e-8
            value = network_objective(fit.network, x, labels, beta, 1.0)
            assert value == pytest.approx(certificate.objective, rel=1e-8)
            assert constraint is None or max(law.left_slope, law.right_slope) <= 0.0
            far = np.array([x.min() - 10.0, x.max() + 10.0])
            size = np.abs(law(x)).max()
            np.testing.assert_allclose(fit.network(far), law(far), rtol=1e-8, atol=1e-8 * size)
            optimum = conic_optimum(
                x, labels, beta, activation=Activation(slope), skip=False, divergence=1.0,
                constraint=constraint,
            )  # fmt: skip
            if optimum is not None:
                compared += 1
                unit = max(abs(optimum), 1e-3 * len(x) / x.var())
                assert value == pytest.approx(optimum, abs=2e-6 * unit)
    assert compared >= 18


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("constraint", [None, "density"])
def test_slope_to_0_is_relu_and_to_minus_1_the_absolute_value(skip, constraint):
    rng = np.random.default_rng(3)
    x = np.r_[rng.normal(size=30), 4 + 0.5 * rng.normal(size=20)]
    grid = np.linspace(-6, 9, 200)
    for slope, limit in ((1e-8, "relu"), (-1e-8, "relu"), (-1 + 1e-8, "abs")):
        options = {"skip": skip, "beta": 6.0, "constraint": constraint}
        near = fit_convex_score(x, activation=Activation(slope), **options)
        there = fit_convex_score(x, activation=limit, **options)
        assert near.certificate_.objective == pytest.approx(there.certificate_.objective, rel=1e-6)
        size = np.abs(there.score_function(x)).max()
        np.testing.assert_allclose(
            near.score_function(grid), there.score_function(grid), atol=1e-5 * size
        )


@pytest.mark.slow
@pytest.mark.parametrize("slope", [-1.0, -0.4, 0.3, 0.8])
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_with_skip_only_the_jump_of_the_slope_counts(slope, columns):
    """sigma(z) = (1 - slope) relu(z) + slope z and V absorbs the line."""
    x = np.random.default_rng(columns).normal(size=(30 // columns, columns)) ** 3
    options = {"objective": "denoising", "noise": 0.4, "random_state": 0, "tol": 1e-7}
    relu = fit_convex_score(x, beta=0.8, **options)
    leaky = fit_convex_score(x, activation=Activation(slope), beta=0.8 * (1.0 - slope), **options)
    value = relu.certificate_.objective
    assert leaky.certificate_.objective == pytest.approx(value, rel=3e-7)
    grid = np.random.default_rng(9).normal(size=(50, columns))
    expected = relu.score_function(grid)
    tol = 1e-9 if columns == 1 else 2e-2  # in space as exact as the duality gap permits
    np.testing.assert_allclose(
        leaky.score_function(grid), expected, atol=tol * np.abs(expected).max()
    )


# ---- space, training -----------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("d", [2, 5])
def test_log_concave_leaky_scores_have_negative_jacobians(d):
    """Every leaky ridge with y <= 0 bends the log-density down on both sides of its kink."""
    x = np.random.default_rng(d).normal(size=(60, d))
    fit = fit_convex_score(
        x, activation="leaky_relu(0.3)", skip=False, beta=2.0, objective="denoising", noise=0.5,
        constraint="log-concave", random_state=0,
        tol=1e-2,  # it holds for every network of this kind, however near the optimum
    )  # fmt: skip
    points = 3.0 * np.random.default_rng(0).normal(size=(200, d))
    assert np.linalg.eigvalsh(fit.network_.jacobian(points)).max() <= 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("constraint", [None, "gradient"])
def test_training_by_gradients_comes_close_and_never_below(d, constraint):
    x = np.random.default_rng(d).normal(size=(50, d))
    task = {
        "activation": "leaky_relu(0.3)", "skip": False, "beta": 4.0 * d, "objective": "denoising",
        "noise": 0.5, "constraint": constraint, "random_state": 0,
    }  # fmt: skip
    fit = fit_convex_score(x, tol=1e-6, **task)
    runs = training.train_score_network(x, width=30, optimizer="lbfgs", n_restarts=4, **task)
    assert runs.activation == Activation(0.3)
    assert -1e-6 < runs.gaps(fit).min() < 0.02
