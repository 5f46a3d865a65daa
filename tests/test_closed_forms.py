"""Closed forms of score matching (theory) against enumeration and against the solver."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import ACTIVATIONS, dense_columns, negative_slope, network_objective

from convexscore import fit_convex_score, smallest_beta
from convexscore.models import gaussian_regime
from convexscore.objectives import score_matching
from convexscore.solvers.oracles.ascent import AscentOracle
from convexscore.solvers.space.boundedness import boundedness
from convexscore.solvers.space.columns import SpaceCase
from convexscore.solvers.space.problem import prepare
from convexscore.solvers.space.solve import solve


def _thresholds_by_enumeration(x):
    """beta_1 and the skip thresholds from the full columns, one by one."""
    n, middle = len(x), x - x.mean()
    spread = middle @ middle
    out = {}
    for activation in ACTIVATIONS:
        values, k, _, _ = dense_columns(x, activation, 1.0)
        r = values.T @ middle / spread
        worst = 1.0
        for sign in (1.0, -1.0):
            room = 1.0 - sign * r
            usable = room > 1e-12
            worst = max(worst, (sign * (k - n * r))[usable].__truediv__(room[usable]).max())
        out[activation] = (worst, np.abs(k - n * r).max())
    return out


@pytest.mark.parametrize("seed", range(4))
def test_thresholds_equal_enumeration(seed):
    x = np.random.default_rng(seed).gamma(2.0, size=17)
    regime = gaussian_regime(x)
    by_hand = _thresholds_by_enumeration(x)
    for activation, (beta_1, beta_skip) in by_hand.items():
        assert regime.beta_1 == pytest.approx(beta_1, rel=1e-10)
        jump = 1.0 - negative_slope(activation)
        assert jump * regime.beta_skip == pytest.approx(beta_skip, rel=1e-10)
    assert regime.variance == pytest.approx(x.var())


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_skip_threshold_is_sharp_for_the_solver(activation):
    x = np.random.default_rng(3).gamma(2.0, size=60)
    regime = gaussian_regime(x)
    threshold = (1.0 - negative_slope(activation)) * regime.beta_skip
    above = fit_convex_score(x, activation=activation, beta=1.001 * threshold)
    below = fit_convex_score(x, activation=activation, beta=0.999 * threshold)
    assert above.certificate_.n_neurons == 0
    assert below.certificate_.n_neurons > 0
    grid = np.linspace(-2, 12, 50)
    assert np.allclose(above.score_function(grid), -(grid - x.mean()) / x.var(), rtol=1e-10)
    assert above.certificate_.objective == pytest.approx(regime.objective(2 * threshold, skip=True))
    assert above.certificate_.objective == pytest.approx(-len(x) / (2 * x.var()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gaussian_regime_without_skip(activation):
    x = np.random.default_rng(5).normal(size=50)
    regime = gaussian_regime(x)
    beta = 0.5 * (regime.beta_1 + 50)
    fit = fit_convex_score(x, activation=activation, skip=False, beta=beta)
    kappa = (50 - beta) / (50 * x.var())
    assert regime.kappa(beta) == pytest.approx(kappa)
    assert np.allclose(fit.score_function(x), -kappa * (x - x.mean()), atol=1e-10)
    assert fit.certificate_.objective == pytest.approx(-((50 - beta) ** 2) / (100 * x.var()))
    law = fit.piecewise_
    outer = -0.5 * kappa * (1.0 + negative_slope(activation))
    assert law.left_slope == pytest.approx(outer, abs=1e-12)
    assert law.right_slope == pytest.approx(outer, abs=1e-12)
    # just below beta_1 the score bends inside the data
    bent = fit_convex_score(x, activation=activation, skip=False, beta=0.98 * regime.beta_1)
    inside = np.linspace(x.min(), x.max(), 400)[1:-1]
    assert np.ptp(bent.divergence(inside)) > 1e-6
    straight = fit_convex_score(x, activation=activation, skip=False, beta=1.001 * regime.beta_1)
    assert np.ptp(straight.divergence(inside)) < 1e-10


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_solver_for_several_columns_has_the_closed_forms_of_one(activation, skip):
    """Shifted lines instead of kinks, a local search instead of sorting: the same numbers."""
    x = np.random.default_rng(3).gamma(2.0, size=30)
    x[:4] = x[0]  # four times: that many decide the boundedness
    problem = prepare(score_matching(x), SpaceCase(activation, skip, False, False))
    oracle = AscentOracle(problem.neurons, n_starts=16, random_state=np.random.default_rng(0))
    limit, exact = boundedness(problem, oracle), smallest_beta(x, activation=activation, skip=skip)
    jump = 1.0 - negative_slope(activation)
    assert exact == pytest.approx(4.0 * (jump if skip else min(jump, 1.0)), rel=1e-12)
    assert (limit.lower, limit.upper) == pytest.approx((exact, exact), rel=1e-3)
    regime = gaussian_regime(x)
    start = jump * regime.beta_skip if skip else regime.beta_1
    for beta in (1.01 * start, 29.0, 35.0):
        found = solve(problem, beta, oracle, tol=1e-6)
        known = -15.0 / x.var() if skip else -(max(30.0 - beta, 0.0) ** 2) / (60.0 * x.var())
        assert found.certificate.objective == pytest.approx(known, rel=1e-8, abs=1e-12)
        assert found.certificate.dual_objective == pytest.approx(known, rel=1e-6, abs=1e-12)
        kappa = 1.0 / x.var() if skip else regime.kappa(beta)
        np.testing.assert_allclose(found.network(x), -kappa * (x - x.mean()), atol=1e-6)
    below = solve(problem, 0.7 * start, oracle, tol=1e-6)
    options = {"activation": activation, "skip": skip, "constraint": None}
    line = fit_convex_score(x, beta=0.7 * start, **options)
    assert below.certificate.objective == pytest.approx(line.certificate_.objective, rel=1e-6)
    np.testing.assert_allclose(below.network(x), line.score_function(x), atol=1e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_zero_score_from_beta_n(activation):
    x = np.random.default_rng(6).normal(size=30)
    fit = fit_convex_score(x, activation=activation, skip=False, beta=30.0)
    assert np.abs(fit.score_function(x)).max() < 1e-12 and fit.certificate_.optimal
    assert fit.certificate_.objective == pytest.approx(0.0, abs=1e-12)
    assert np.abs(gaussian_regime(x).network(30.0, activation=activation)(x)).max() == 0.0


def test_family_of_optima_has_one_objective():
    x = np.random.default_rng(7).normal(size=40)
    regime = gaussian_regime(x)
    beta = 0.3 * regime.beta_1 + 0.7 * 40
    best = regime.objective(beta)
    for t in (0.0, 0.3, 0.5, 1.0):
        network = regime.network(beta, t=t)
        value = network_objective(network, x, np.zeros(40), beta, 1.0)
        assert value == pytest.approx(best, rel=1e-10)
        left, right = network.divergence([-50.0, 50.0])
        kappa = regime.kappa(beta)
        assert left == pytest.approx(-kappa * t, abs=1e-14)
        assert right == pytest.approx(-kappa * (1 - t), abs=1e-14)
    solver = fit_convex_score(x, skip=False, beta=beta).network_
    middle = regime.network(beta, t=0.5)
    grid = np.linspace(-6, 6, 99)
    assert np.allclose(solver(grid), middle(grid), atol=1e-10)
    for activation in ACTIVATIONS:
        even = regime.network(beta, activation=activation)
        value = network_objective(even, x, np.zeros(40), beta, 1.0)
        assert value == pytest.approx(best, rel=1e-10)
        outer = -0.5 * regime.kappa(beta) * (1.0 + negative_slope(activation))
        assert np.allclose(even.divergence([-50.0, 50.0]), outer)


def test_weights_are_repetitions():
    x, weights = np.array([0.0, 1.0, 2.5, 4.0]), np.array([2, 1, 3, 1])
    a, b = gaussian_regime(x, sample_weight=weights), gaussian_regime(np.repeat(x, weights))
    for name in ("beta_1", "beta_skip", "mean", "variance"):
        assert getattr(a, name) == pytest.approx(getattr(b, name))


def test_out_of_regime_is_refused():
    regime = gaussian_regime(np.random.default_rng(0).normal(size=20))
    with pytest.raises(ValueError, match="where the optimum stops being Gaussian"):
        regime.network(0.9 * regime.beta_1)
    with pytest.raises(ValueError, match="t must be in"):
        regime.network(20.0, t=1.5)
