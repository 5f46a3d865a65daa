"""Hand-derived gradients of the training objective against finite differences and slow formulas."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from oracles import ACTIVATIONS

from convexscore.objectives import denoising, score_matching
from convexscore.objectives.standardization import Standardization
from convexscore.scores.activations import RELU, get_activation
from convexscore.training import FreshNoise, dense_loss
from convexscore.training.batches import columns_of, joined, rows_of
from convexscore.training.initialization import initial_parameters
from convexscore.training.line_loss import line_terms
from convexscore.training.loss import TrainingLoss
from convexscore.training.parameters import Layout, Weights, training_units
from convexscore.training.sources import Source

OBJECTIVES = ("score_matching", "denoising")
BOTH = (False, True)


def make_problem(objective, dim, *, n=23, weighted=False, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim)) * np.linspace(0.5, 2.0, dim) + np.linspace(-1.0, 1.0, dim)
    weights = rng.uniform(0.2, 3.0, size=n) if weighted else None
    if objective == "score_matching":
        return score_matching(x, sample_weight=weights)
    return denoising(x, noise=0.6, n_draws=1, sample_weight=weights, random_state=rng)


def make_loss(problem, activation="relu", skip=True, beta=1.0, *, width=5, conservative=False):
    layout = Layout(problem.dim, width, skip, conservative, get_activation(activation))
    return TrainingLoss(layout, beta, problem.divergence)


def full_batch(problem):
    return columns_of(rows_of(problem))


def batches(problem, size, fresh=None):
    """Without change of units."""
    return Source(problem, fresh, Standardization.identity(problem.dim), size)


def away_from_kinks(loss, problem, runs=1, *, margin=2e-4, seed=1):
    """Random parameters with every pre-activation at least ``margin`` from zero."""
    rng = np.random.default_rng(seed)
    points = np.column_stack([problem.points, np.ones(problem.n_samples)])
    rows = []
    while len(rows) < runs:
        theta = rng.normal(size=loss.layout.n_parameters)
        if np.abs(loss.layout.expand(theta[None]).inner[0] @ points.T).min() > margin:
            rows.append(theta)
    return np.array(rows)


def slow_data(network, problem):
    """By the definition, with the package's network object: shares no code with the kernels."""
    mass = np.ones(problem.n_samples) if problem.sample_weight is None else problem.sample_weight
    labels = 0.0 if problem.labels is None else problem.labels
    value = 0.5 * mass @ np.sum((network(problem.points) - labels) ** 2, axis=1)
    return value + problem.divergence * mass @ network.divergence(problem.points)


def slow_objective(loss, theta, problem):
    network = loss.layout.network(theta)
    return slow_data(network, problem) + loss.beta * network.weight_decay()


def central_differences(function, theta, step=1e-6):
    out = np.empty_like(theta)
    for k in range(len(theta)):
        ahead, behind = theta.copy(), theta.copy()
        ahead[k] += step
        behind[k] -= step
        out[k] = (function(ahead) - function(behind)) / (2 * step)
    return out


def assert_gradient(gradient, loss, theta, problem):
    wanted = central_differences(lambda t: slow_objective(loss, t, problem), theta)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("objective", "activation", "skip", "dim", "weighted", "beta", "conservative"),
    [
        *product(OBJECTIVES, ACTIVATIONS[:3], BOTH, (1, 2, 5), BOTH, (0.0, 1.7), [False]),
        *product(OBJECTIVES, ACTIVATIONS[:3], BOTH, (2, 5), [True], [1.3], [True]),
    ],
)
def test_gradient_and_values_in_all_cases(
    monkeypatch, objective, activation, skip, dim, weighted, beta, conservative
):
    if weighted:  # 23 points of 5 neurons in several blocks
        monkeypatch.setattr(dense_loss, "_BLOCK", 40)
    problem = make_problem(objective, dim, weighted=weighted)
    loss = make_loss(problem, activation, skip, beta, conservative=conservative)
    theta = away_from_kinks(loss, problem, runs=2)
    value, gradient = loss.gradient(theta, full_batch(problem))
    losses, path_losses = loss.values(theta, full_batch(problem))
    np.testing.assert_array_equal(losses, value)
    for run in range(2):
        network = loss.layout.network(theta[run])
        assert network.is_conservative(1e-12) or not conservative
        slow = slow_objective(loss, theta[run], problem)
        assert value[run] == pytest.approx(slow, rel=1e-12, abs=1e-10)
        slow = slow_data(network, problem) + beta * network.path_norm()
        assert path_losses[run] == pytest.approx(slow, rel=1e-12, abs=1e-10)
        assert_gradient(gradient[run], loss, theta[run], problem)


@pytest.mark.parametrize(
    ("objective", "activation", "dim"), list(product(OBJECTIVES, ACTIVATIONS, (1, 3)))
)
def test_rescaling_a_neuron_changes_the_weight_decay_only(objective, activation, dim):
    """Euler: u.du + b db - w.dw = beta (|u|^2 - |w|^2), so stationary neurons have |u| = |w|."""
    problem = make_problem(objective, dim)
    loss = make_loss(problem, activation, beta=1.7)
    theta = away_from_kinks(loss, problem)
    slopes = loss.layout.parts(loss.gradient(theta, full_batch(problem))[1])
    inner, outer, *_ = loss.layout.parts(theta)
    found = (inner * slopes[0]).sum(axis=2) - (outer * slopes[1]).sum(axis=2)
    wanted = 1.7 * ((inner[:, :, :-1] ** 2).sum(axis=2) - (outer**2).sum(axis=2))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_finite_differences_would_notice_a_missing_term():
    """Negative control: without the divergence term the same comparison fails."""
    problem = make_problem("score_matching", 2)
    loss = make_loss(problem, beta=1.7)
    theta = away_from_kinks(loss, problem)
    wrong = TrainingLoss(loss.layout, 1.7, 0.0).gradient(theta, full_batch(problem))[1]
    with pytest.raises(AssertionError):
        assert_gradient(wrong[0], loss, theta[0], problem)


def test_the_divergence_jumps_at_a_kink_and_its_gradient_does_not_know():
    """Score matching: moving a kink over one point changes the loss by w.u, at any speed."""
    problem = score_matching([[0.0], [1.0], [2.0]])
    loss = make_loss(problem, skip=False, beta=0.0, width=1)
    # kink just right and just left of the point at 1
    theta = np.array([[1.0, bias, -3.0, 0.5] for bias in (-1.0 - 1e-9, -1.0 + 1e-9)])
    value, gradient = loss.gradient(theta, full_batch(problem))
    assert value[1] - value[0] == pytest.approx(-3.0, abs=1e-6)
    # the slope in b is finite on both sides: outer weight times the residuals of the active points
    assert np.abs(gradient[:, 1]).max() < 20.0


@pytest.mark.parametrize(("divergence", "own_points"), list(product((0.0, 1.0), BOTH)))
def test_prefix_sums_on_the_line_equal_the_dense_sums(divergence, own_points):
    rng = np.random.default_rng(3)
    runs, m, n = 4, 7, 50
    shape = (runs, n, 1) if own_points else (n, 1)
    labels = np.zeros(shape) if divergence else rng.normal(size=shape)
    mass = rng.uniform(0.5, 2.0, size=shape[:-1])
    batch = columns_of(joined(rng.normal(size=shape), labels, mass))
    weights = Weights(
        rng.normal(size=(runs, m, 2)), rng.normal(size=(runs, m, 1)), rng.normal(size=(runs, 1, 2))
    )
    weights.inner[0, :3, 0] = 0.0  # neurons without inner weight are on or off everywhere
    fast_value, fast = line_terms(weights, batch, divergence)
    slow_value, slow = dense_loss.dense_terms(weights.exchanged(0.5, 0.5), batch, divergence)
    slow = weights.exchanged_back(slow, 0.5, 0.5)
    np.testing.assert_allclose(fast_value, slow_value, rtol=1e-12)
    for name in ("inner", "outer", "linear"):
        found, wanted = getattr(fast, name), getattr(slow, name)
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11 * np.abs(wanted).max())


def mean_is_zero(values):
    """All means within five standard errors; coordinates that never vary must be zero."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return np.all(np.abs(values.mean(axis=0)) <= 5.0 * error + 1e-9)


@pytest.mark.parametrize("dim", [1, 2])
def test_fresh_noise_has_the_expected_gradient(dim):
    """Noisy and smoothed labels have one expectation; another noise level has another."""
    x = np.random.default_rng(0).normal(size=(8, dim))
    means = []
    for labels, level in (("noisy", 0.7), ("smoothed", 0.7), ("smoothed", 0.8)):
        fresh = FreshNoise(x, noise=level, n_draws=25, labels=labels, random_state=0)
        loss = make_loss(fresh.problem, beta=0.5)
        theta = away_from_kinks(loss, fresh.problem, margin=0.0)
        source, streams = batches(fresh.problem, None, fresh), [np.random.default_rng(4)]
        drawn = [batch for _ in range(150) for batch in source.epoch(streams)]
        means.append(np.array([loss.gradient(theta, batch)[1][0] for batch in drawn]))
    noisy, smoothed, other = means
    assert mean_is_zero(noisy - smoothed) and not mean_is_zero(noisy - other)


@pytest.mark.parametrize("fixed", BOTH)
def test_batches_cover_every_noisy_point_once(fixed):
    x = np.arange(9.0)
    fresh = FreshNoise(x, noise=1e-3, n_draws=2, sample_weight=1.0 + x, random_state=0)
    source = batches(fresh.problem, 5, None if fixed else fresh)
    parts = list(source.epoch([np.random.default_rng(0), np.random.default_rng(1)]))
    assert [batch.size for batch in parts] == [5, 5, 5, 3]
    assert not np.array_equal(parts[0].points[0], parts[0].points[1])  # in another order
    for run in range(2):
        seen = np.sort(np.concatenate([batch.points[run, 0] for batch in parts]))
        np.testing.assert_allclose(seen, np.repeat(x, 2), atol=0.01)
        for batch in parts:
            np.testing.assert_array_equal(batch.points[run, 0], np.sort(batch.points[run, 0]))
            near = np.round(batch.points[run, 0])  # masses and labels follow their points
            np.testing.assert_allclose(batch.mass[run], (1.0 + near) * 18 / batch.size)
            noise = batch.points[run, 0] - near
            np.testing.assert_allclose(batch.labels[run, 0], -noise / 1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["data", "fan_in"])
@pytest.mark.parametrize(("dim", "conservative"), [(1, False), (3, False), (3, True)])
def test_initial_weights_are_finite_and_of_unit_size(name, dim, conservative):
    problem = make_problem("denoising", dim, n=60)
    units = training_units(problem)
    points = units.points(problem.points)
    layout = Layout(dim, 400, True, conservative, RELU)
    streams = np.random.default_rng(0).spawn(2)
    theta = initial_parameters(name, points, layout, units, streams)
    assert theta.shape == (2, layout.n_parameters) and np.isfinite(theta).all()
    assert not np.array_equal(theta[0], theta[1])
    network = layout.network(theta[0])
    assert 0.05 < np.sqrt(np.mean(network(points) ** 2)) < 20.0
    if name == "data":
        norms = [np.linalg.norm(part, axis=1) for part in (network.u, network.w)]
        np.testing.assert_allclose(norms[0], norms[1], rtol=1e-8)  # balanced
        z = points @ network.u.T + network.b
        bent = (z > 0).any(axis=0) & (z < 0).any(axis=0)
        assert bent.mean() > 0.95  # hardly a neuron is dead or linear on all points
