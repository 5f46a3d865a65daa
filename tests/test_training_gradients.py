"""Hand-derived gradients of the training objective against finite differences and slow formulas."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from oracles import ACTIVATIONS

from convexscore import certify
from convexscore.objectives import ScoreObjective, denoising, score_matching
from convexscore.scores.activations import RELU, get_activation
from convexscore.training import FreshNoise
from convexscore.training.batches import columns_of, full_batch
from convexscore.training.dense_loss import Workspace, dense_terms
from convexscore.training.initialization import initial_parameters
from convexscore.training.line_loss import line_terms
from convexscore.training.loss import TrainingLoss
from convexscore.training.parameters import Layout, Units, Weights
from convexscore.training.sources import MiniBatches, NoisyEpochs

OBJECTIVES = ("score_matching", "denoising")
ACTIVATIONS = ACTIVATIONS[:3]
BOTH = (False, True)


def make_problem(objective, dim, *, n=23, weighted=False, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, dim)) * np.linspace(0.5, 2.0, dim) + np.linspace(-1.0, 1.0, dim)
    weights = rng.uniform(0.2, 3.0, size=n) if weighted else None
    if objective == "score_matching":
        return score_matching(x, sample_weight=weights)
    return denoising(x, noise=0.6, n_draws=1, sample_weight=weights, random_state=rng)


def make_loss(problem, activation, skip, beta, *, width=5, conservative=False):
    layout = Layout(problem.dim, width, skip, conservative)
    return TrainingLoss(layout, get_activation(activation), beta, problem.divergence)


def away_from_kinks(loss, problem, runs, *, margin=2e-4, seed=1):
    """Random parameters with every pre-activation at least ``margin`` from zero."""
    rng = np.random.default_rng(seed)
    points = np.column_stack([problem.points, np.ones(problem.n_samples)])
    rows = []
    while len(rows) < runs:
        theta = rng.normal(size=loss.layout.n_parameters)
        if np.abs(loss.layout.expand(theta[None]).inner[0] @ points.T).min() > margin:
            rows.append(theta)
    return np.array(rows)


def slow_objective(loss, theta, problem):
    """By the definition, with the package's network object: shares no code with the kernels."""
    units = Units.of(problem, rescale=False)
    network = units.network(loss.layout, theta, loss.activation)
    mass = np.ones(problem.n_samples) if problem.sample_weight is None else problem.sample_weight
    labels = 0.0 if problem.labels is None else problem.labels
    value = 0.5 * mass @ np.sum((network(problem.points) - labels) ** 2, axis=1)
    value += problem.divergence * mass @ network.divergence(problem.points)
    return value + loss.beta * network.weight_decay()


def central_differences(function, theta, step=1e-6):
    out = np.empty_like(theta)
    for k in range(len(theta)):
        ahead, behind = theta.copy(), theta.copy()
        ahead[k] += step
        behind[k] -= step
        out[k] = (function(ahead) - function(behind)) / (2 * step)
    return out


@pytest.mark.parametrize(
    ("objective", "activation", "skip", "dim", "weighted", "beta"),
    list(product(OBJECTIVES, ACTIVATIONS, BOTH, (1, 2, 5), BOTH, (0.0, 1.7))),
)
def test_gradient_and_value_in_all_cases(objective, activation, skip, dim, weighted, beta):
    problem = make_problem(objective, dim, weighted=weighted)
    loss = make_loss(problem, activation, skip, beta)
    theta = away_from_kinks(loss, problem, runs=2)
    value, gradient = loss.gradient(theta, full_batch(problem))
    for run in range(2):
        slow = slow_objective(loss, theta[run], problem)
        assert value[run] == pytest.approx(slow, rel=1e-12, abs=1e-10)
        wanted = central_differences(lambda t: slow_objective(loss, t, problem), theta[run])
        np.testing.assert_allclose(
            gradient[run], wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max()
        )


@pytest.mark.parametrize(
    ("objective", "activation", "skip", "dim"),
    list(product(OBJECTIVES, ACTIVATIONS, BOTH, (2, 5))),
)
def test_gradient_of_conservative_networks(objective, activation, skip, dim):
    problem = make_problem(objective, dim, weighted=True)
    loss = make_loss(problem, activation, skip, 1.3, conservative=True)
    theta = away_from_kinks(loss, problem, runs=1)
    network = Units.of(problem, False).network(loss.layout, theta[0], activation)
    assert network.is_conservative(1e-12)
    value, gradient = loss.gradient(theta, full_batch(problem))
    assert value[0] == pytest.approx(slow_objective(loss, theta[0], problem), rel=1e-12)
    wanted = central_differences(lambda t: slow_objective(loss, t, problem), theta[0])
    np.testing.assert_allclose(gradient[0], wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("objective", "activation", "dim"), list(product(OBJECTIVES, ACTIVATIONS, (1, 3)))
)
def test_rescaling_a_neuron_changes_the_weight_decay_only(objective, activation, dim):
    """Euler: u.du + b db - w.dw = beta (|u|^2 - |w|^2), so stationary neurons have |u| = |w|."""
    problem = make_problem(objective, dim)
    loss = make_loss(problem, activation, True, 1.7)
    theta = away_from_kinks(loss, problem, runs=1)
    slopes = loss.layout.parts(loss.gradient(theta, full_batch(problem))[1])
    inner, outer, _ = loss.layout.parts(theta)
    found = (inner * slopes[0]).sum(axis=2) - (outer * slopes[1]).sum(axis=2)
    wanted = 1.7 * ((inner[:, :, :-1] ** 2).sum(axis=2) - (outer**2).sum(axis=2))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)


def test_finite_differences_would_notice_a_missing_term():
    """Negative control: without the divergence term the same comparison fails."""
    problem = make_problem("score_matching", 2)
    loss = make_loss(problem, "relu", True, 1.7)
    theta = away_from_kinks(loss, problem, runs=1)
    wrong = TrainingLoss(loss.layout, RELU, 1.7, 0.0).gradient(theta, full_batch(problem))[1]
    wanted = central_differences(lambda t: slow_objective(loss, t, problem), theta[0])
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(wrong[0], wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize(("objective", "dim"), list(product(OBJECTIVES, (1, 2))))
def test_path_loss_is_what_certificates_evaluate(objective, dim):
    problem = make_problem(objective, dim, n=30)
    loss = make_loss(problem, "relu", True, 9.0)
    theta = away_from_kinks(loss, problem, runs=1)
    terms = loss.terms(theta, full_batch(problem))
    network = Units.of(problem, False).network(loss.layout, theta[0], "relu")
    certificate = certify(
        network, problem.points, beta=9.0, objective=objective, labels=problem.labels
    )
    assert terms.data[0] + 9.0 * terms.path_norm[0] == pytest.approx(
        certificate.objective, rel=1e-10
    )
    assert terms.decay[0] >= terms.path_norm[0]


def test_the_divergence_jumps_at_a_kink_and_its_gradient_does_not_know():
    """Score matching: moving a kink over one point changes the loss by w.u, at any speed."""
    problem = score_matching([[0.0], [1.0], [2.0]])
    loss = make_loss(problem, "relu", False, 0.0, width=1)
    values, slopes = [], []
    for bias in (-1.0 - 1e-9, -1.0 + 1e-9):  # kink just right and just left of the point at 1
        theta = np.array([[1.0, bias, -3.0, 0.5]])
        value, gradient = loss.gradient(theta, full_batch(problem))
        values.append(value[0])
        slopes.append(gradient[0, 1])
    assert values[1] - values[0] == pytest.approx(-3.0, abs=1e-6)
    # the slope in b is finite on both sides: outer weight times the residuals of the active points
    assert np.abs(slopes).max() < 20.0


@pytest.mark.parametrize(("objective", "own_points"), list(product(OBJECTIVES, BOTH)))
def test_prefix_sums_on_the_line_equal_the_dense_sums(objective, own_points):
    rng = np.random.default_rng(3)
    runs, m, n = 4, 7, 50
    shape = (runs, n, 1) if own_points else (n, 1)
    labels = rng.normal(size=shape) if objective == "denoising" else None
    batch = columns_of(rng.normal(size=shape), labels, rng.uniform(0.5, 2.0, size=shape[:-1]))
    weights = Weights(
        rng.normal(size=(runs, m, 2)), rng.normal(size=(runs, m, 1)), rng.normal(size=(runs, 1, 2))
    )
    weights.inner[0, :3, 0] = 0.0  # neurons without inner weight are on or off everywhere
    divergence = 1.0 if objective == "score_matching" else 0.0
    fast_value, fast = line_terms(weights, batch, divergence)
    exchanged = weights.exchanged(0.5, 0.5)
    slow_value, slow = dense_terms(exchanged, batch, divergence, Workspace())
    slow = weights.exchanged_back(slow, 0.5, 0.5)
    np.testing.assert_allclose(fast_value, slow_value, rtol=1e-12)
    for name in ("inner", "outer", "linear"):
        found, wanted = getattr(fast, name), getattr(slow, name)
        np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-11 * np.abs(wanted).max())
    for terms in (line_terms(weights, batch, divergence, gradient=False),
                  dense_terms(exchanged, batch, divergence, Workspace(), gradient=False)):  # fmt: skip
        np.testing.assert_allclose(terms[0], fast_value, rtol=1e-12)
        assert terms[1] is None


def test_large_problems_are_cut_into_blocks():
    """More pre-activations than a block holds: the same as two halves of the points."""
    rng = np.random.default_rng(0)
    problem = ScoreObjective(rng.normal(size=(3001, 3)), rng.normal(size=(3001, 3)), 0.0, None)
    loss = make_loss(problem, "relu", True, 0.0, width=61)
    theta = rng.normal(size=(3, loss.layout.n_parameters))
    value, gradient = loss.gradient(theta, full_batch(problem))
    sums = np.zeros_like(gradient)
    total = np.zeros(3)
    for part in (slice(0, 700), slice(700, None)):
        half = ScoreObjective(problem.points[part], problem.labels[part], 0.0, None)
        more, slope = loss.gradient(theta, full_batch(half))
        total += more
        sums += slope
    np.testing.assert_allclose(value, total, rtol=1e-12)
    np.testing.assert_allclose(gradient, sums, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1e-8, 0.0), (3e7, 1e9), (1e-3, -5.0)])
def test_rescaled_problem_is_the_same_problem(scale, offset):
    rng = np.random.default_rng(5)
    x = offset + scale * rng.normal(size=(40, 2))
    for problem in (score_matching(x), denoising(x, noise=0.3 * scale, random_state=0)):
        units = Units.of(problem, rescale=True)
        inside = units.problem(problem)
        assert np.abs(inside.points).max() < 8.0
        loss = make_loss(inside, "relu", True, 2.0)
        theta = away_from_kinks(loss, inside, runs=1)
        value = loss.gradient(theta, full_batch(inside))[0][0] * units.objective_unit
        network = units.network(loss.layout, theta[0], "relu")
        labels = 0.0 if problem.labels is None else problem.labels
        direct = 0.5 * np.sum((network(problem.points) - labels) ** 2)
        direct += problem.divergence * network.divergence(problem.points).sum()
        direct += 2.0 * network.weight_decay()
        assert value == pytest.approx(direct, rel=1e-6)
        back = units.parameters(loss.layout, network)
        np.testing.assert_allclose(back, theta[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("dim", "weighted"), list(product((1, 2), BOTH)))
def test_the_mean_gradient_of_the_batches_is_the_gradient(dim, weighted):
    problem = make_problem("denoising", dim, n=24, weighted=weighted)
    loss = make_loss(problem, "relu", True, 1.0)
    theta = away_from_kinks(loss, problem, runs=3)
    whole = loss.gradient(theta, full_batch(problem))
    streams = [np.random.default_rng(k) for k in range(3)]
    parts = [loss.gradient(theta, batch) for batch in MiniBatches(problem, 6).epoch(streams)]
    assert len(parts) == 4
    np.testing.assert_allclose(np.mean([value for value, _ in parts], axis=0), whole[0], rtol=1e-12)
    np.testing.assert_allclose(
        np.mean([slope for _, slope in parts], axis=0), whole[1], rtol=1e-10, atol=1e-10
    )
    assert np.abs(parts[0][1] - whole[1]).max() > 1e-2  # a single batch is another direction


def test_batches_of_unequal_size_are_unbiased():
    """The last batch is smaller: over many epochs every step still has the gradient as its mean."""
    problem = make_problem("denoising", 2, n=10)
    loss = make_loss(problem, "relu", True, 1.0)
    theta = away_from_kinks(loss, problem, runs=1)
    streams = [np.random.default_rng(0)]
    source = MiniBatches(problem, 4)
    last = [list(source.epoch(streams))[-1] for _ in range(3000)]
    assert last[0].size == 2
    values = np.array([loss.gradient(theta, batch)[1][0] for batch in last])
    _assert_mean(values, loss.gradient(theta, full_batch(problem))[1][0])
    wrong = np.array([v for v in values]) * (4 / 2)  # scaled by the wrong batch size
    with pytest.raises(AssertionError):
        _assert_mean(wrong, loss.gradient(theta, full_batch(problem))[1][0])


@pytest.mark.parametrize("dim", [1, 2])
def test_fresh_noise_has_the_expected_gradient(dim):
    """Noisy and smoothed labels have one expectation; another noise level has another."""
    x = np.random.default_rng(0).normal(size=(8, dim))
    means = {}
    for labels, level in (("noisy", 0.7), ("smoothed", 0.7), ("smoothed", 0.8)):
        source = FreshNoise(x, noise=level, n_draws=25, labels=labels, random_state=0)
        loss = make_loss(source.problem, "relu", True, 0.5)
        theta = away_from_kinks(loss, source.problem, runs=1, margin=0.0)
        epochs = NoisyEpochs(source, Units.of(source.problem, False), None)
        streams = [np.random.default_rng(4)]
        values = [
            loss.gradient(theta, batch)[1][0] for _ in range(150) for batch in epochs.epoch(streams)
        ]
        means[labels, level] = np.array(values)
    noisy = means["noisy", 0.7]
    _assert_mean(noisy - means["smoothed", 0.7], np.zeros(noisy.shape[1]))
    with pytest.raises(AssertionError):
        _assert_mean(noisy - means["smoothed", 0.8], np.zeros(noisy.shape[1]))


def test_fresh_noise_in_batches_covers_every_noisy_point_once():
    x = np.arange(9.0)
    source = FreshNoise(x, noise=1e-3, n_draws=2, sample_weight=1.0 + x, random_state=0)
    epochs = NoisyEpochs(source, Units.of(source.problem, False), 5)
    batches = list(epochs.epoch([np.random.default_rng(0), np.random.default_rng(1)]))
    assert [batch.size for batch in batches] == [5, 5, 5, 3]
    for run in range(2):
        seen = np.sort(np.concatenate([batch.points[run, 0] for batch in batches]))
        np.testing.assert_allclose(seen, np.repeat(x, 2), atol=0.01)
        for batch in batches:
            np.testing.assert_array_equal(batch.points[run, 0], np.sort(batch.points[run, 0]))
            near = np.round(batch.points[run, 0])  # masses and labels follow their points
            np.testing.assert_allclose(batch.mass[run], (1.0 + near) * 18 / batch.size)
            noise = batch.points[run, 0] - near
            np.testing.assert_allclose(batch.labels[run, 0], -noise / 1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", ["data", "fan_in", "he"])
@pytest.mark.parametrize(("dim", "conservative"), [(1, False), (3, False), (3, True)])
def test_initial_weights_are_finite_and_of_unit_size(name, dim, conservative):
    problem = make_problem("denoising", dim, n=60)
    units = Units.of(problem, True)
    inside = units.problem(problem)
    layout = Layout(dim, 400, True, conservative)
    streams = np.random.default_rng(0).spawn(2)
    theta = initial_parameters(name, inside.points, layout, units, streams, RELU)
    assert theta.shape == (2, layout.n_parameters) and np.isfinite(theta).all()
    assert not np.array_equal(theta[0], theta[1])
    network = units.network(layout, theta[0], "relu")
    size = np.sqrt(np.mean(network(problem.points) ** 2)) * units.scale
    assert 0.05 < size < 20.0
    if name == "data":
        norms = [np.linalg.norm(part, axis=1) for part in (network.u, network.w)]
        np.testing.assert_allclose(norms[0], norms[1], rtol=1e-8)  # balanced
        z = inside.points @ layout.expand(theta[:1]).inner[0, :, :-1].T
        z += layout.expand(theta[:1]).inner[0, :, -1]
        bent = (z > 0).any(axis=0) & (z < 0).any(axis=0)
        assert bent.mean() > 0.95  # hardly a neuron is dead or linear on all points


def _assert_mean(values, wanted):
    """All means within five standard errors; coordinates that never vary must be equal."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - wanted) <= 5.0 * error + 1e-9)
