"""Certificates: valid for any network, recomputed from the data, tight at the optimum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracles import (
    ACTIVATIONS,
    conic_optimum,
    dense_columns,
    fit_with_data,
    network_objective,
    random_network,
    sigma,
    slope,
)

from convexscore import TwoLayerNetwork, certify

CASES = list(itertools.product(["score_matching", "denoising"], ACTIVATIONS, [True, False]))


def _problem(objective, seed=0, n=25):
    rng = np.random.default_rng(seed)
    x = np.r_[rng.normal(size=n // 2), 4 + rng.normal(size=n - n // 2)]
    if objective == "score_matching":
        return x, np.zeros(n), 1.0
    return x, rng.normal(size=n), 0.0


def _random_network(activation, skip, seed):
    return random_network(np.random.default_rng(seed), 1, activation, skip)


@pytest.mark.parametrize(("objective", "activation", "skip"), CASES)
@pytest.mark.parametrize("reference", ["solve", "residual"])
def test_any_network_is_bounded_below(objective, activation, skip, reference):
    x, labels, divergence = _problem(objective)
    beta = 6.0
    optimum = conic_optimum(
        x, labels, beta, activation=activation, skip=skip, divergence=divergence
    )
    given = {} if objective == "score_matching" else {"labels": labels}
    for seed in range(3):
        network = _random_network(activation, skip, seed)
        certificate = certify(
            network, x, beta=beta, objective=objective, skip=skip, reference=reference, **given
        )
        direct = network_objective(network, x, labels, beta, divergence)
        assert certificate.objective == pytest.approx(direct, rel=1e-10)
        assert certificate.dual_objective <= optimum + 1e-6 * abs(optimum)
        assert certificate.gap >= direct - optimum - 1e-6 * abs(optimum)
        assert not certificate.optimal
        assert certificate.exact
        if reference == "solve":
            assert certificate.dual_objective == pytest.approx(optimum, rel=1e-6)


@pytest.mark.parametrize(("objective", "activation", "skip"), CASES)
def test_fitted_networks_certify_again_from_scratch(objective, activation, skip):
    x, _, _ = _problem(objective, seed=3)
    fit, points, _ = fit_with_data(
        x, objective, activation=activation, skip=skip, beta=4.0, noise=0.4, random_state=0
    )
    given = {"beta": 4.0, "objective": objective, "labels": fit.noise_labels_, "skip": skip}
    again = certify(fit.network_, points, reference="residual", **given)
    assert again.optimal
    assert again.relative_gap <= 1e-8
    assert again.max_violation <= 1e-8
    # the balanced form is the same network: kinks within rounding of a point count as beside it
    balanced = certify(fit.network_.balanced(), points, **given)
    assert balanced.objective == pytest.approx(again.objective, rel=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("skip", [True, False])
def test_violation_is_the_maximum_over_all_neurons(activation, skip):
    """Brute force over a fine grid of kinks, data points and both tie counts included."""
    x, _, _ = _problem("score_matching", seed=1)
    network = _random_network(activation, skip, 5)
    beta = 7.0
    certificate = certify(network, x, beta=beta, skip=skip)
    residual = network(x)
    residual = residual - residual.mean()
    if skip:
        middle = x - x.mean()
        residual -= middle * (middle @ residual + len(x)) / (middle @ middle)
    else:
        # the slope multiplier must lie between the costs of a line; project as the dual does
        middle = x - x.mean()
        line = middle @ residual + len(x)
        up = beta - (slope(activation, 1.0) - slope(activation, -1.0))
        target = np.clip(line, -up, beta)
        residual += middle * (target - line) / (middle @ middle)
    kinks = np.unique(np.r_[np.linspace(x.min() - 3, x.max() + 3, 20_001), x])
    gap = x[:, None] - kinks[None, :]
    worst = 0.0
    for on_tie in (0.0, 1.0):
        for facing in (1.0, -1.0):
            counts = facing * slope(activation, facing * gap, on_tie).sum(0)
            g = residual @ sigma(activation, facing * gap) + counts
            worst = max(worst, np.abs(g).max())
    assert certificate.max_violation == pytest.approx(worst / beta - 1.0, rel=1e-9, abs=1e-9)


def test_dual_value_from_the_residual_equals_the_lasso_gap():
    """Denoising without skip is a plain lasso: its textbook duality gap is ours."""
    x, labels, _ = _problem("denoising", seed=2)
    network = _random_network("relu", False, 1)
    beta = 2.0
    certificate = certify(
        network, x, beta=beta, objective="denoising", labels=labels, reference="residual"
    )
    values = dense_columns(x, "relu", 0)[0]
    residual = network(x) - labels
    residual = residual - residual.mean()
    # the slope multiplier is limited to beta like every neuron's
    middle = x - x.mean()
    line = middle @ residual
    residual += middle * (np.clip(line, -beta, beta) - line) / (middle @ middle)
    bound = beta / np.abs(values.T @ residual).max()
    alpha = np.clip(-(residual @ labels) / (residual @ residual), -bound, bound)
    dual = -0.5 * alpha**2 * residual @ residual - alpha * residual @ labels
    assert certificate.dual_objective == pytest.approx(dual, rel=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_relative_gap_of_a_vanishing_objective_is_in_natural_units(shift):
    """The zero network has objective 0; its gap is closed form just below beta = n."""
    x = np.random.default_rng(4).normal(size=40)
    beta, n, variance = 38.0, 40, x.var()
    zero = TwoLayerNetwork([], [], [], offset=0.0)
    certificate = certify(zero, x + shift, beta=beta)
    gap = (n - beta) ** 2 / (2 * n * variance)
    assert certificate.objective == 0.0
    assert certificate.gap == pytest.approx(gap, rel=1e-6)
    assert certificate.relative_gap == pytest.approx(gap / (1e-6 * n / variance), rel=1e-6)
