"""A fit from data to samples: the law belongs to the score, the chains run to the law."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from convexscore import fit_convex_score


@pytest.fixture(scope="module")
def fit():
    rng = np.random.default_rng(0)
    x = np.where(rng.random(600) < 0.4, rng.normal(-1.2, 0.6, 600), rng.normal(1.2, 0.8, 600))
    return fit_convex_score(x, beta=14.0)


def test_density_integrates_to_one_and_its_log_has_the_score_as_slope(fit):
    assert fit.network_.n_neurons >= 2
    low, high = fit.ppf([1e-9, 1 - 1e-9])

    def integral(function):
        return quad(function, low, high, limit=200, points=fit.piecewise_.knots)[0]

    total = integral(fit.density)
    assert total == pytest.approx(1 - 2e-9, abs=1e-8)
    grid = np.linspace(-3, 3, 41) + 1e-3
    slope = (fit.log_density(grid + 1e-5) - fit.log_density(grid - 1e-5)) / 2e-5
    assert np.allclose(slope, fit.score_function(grid), atol=1e-6)
    entropy = integral(lambda t: -fit.density(t) * fit.log_density(t))
    assert fit.entropy() == pytest.approx(entropy, abs=1e-6)


def test_exact_samples_follow_the_law_and_not_another(fit):
    samples = fit.sample(20_000, random_state=1)
    assert kstest(samples, fit.cdf).pvalue > 0.01
    assert kstest(1.05 * samples, fit.cdf).pvalue < 1e-4  # negative control
    assert np.array_equal(samples, fit.sample(20_000, random_state=1))


@pytest.mark.slow
def test_langevin_chains_reach_the_law_up_to_their_step(fit):
    small = fit.sample(4000, method="langevin", random_state=2, step=0.02, n_steps=1500)
    assert kstest(small, fit.cdf).pvalue > 1e-3
    # negative control: a step near the stability limit has visibly too large a variance
    coarse = fit.sample(4000, method="langevin", random_state=2, step=1.0, n_steps=300)
    assert kstest(coarse, fit.cdf).pvalue < 1e-8
    corrected = fit.sample(4000, method="mala", random_state=2, step=0.3, n_steps=1500)
    assert kstest(corrected, fit.cdf).pvalue > 0.01


def test_abs_without_skip_is_integrable_where_the_cost_permits():
    """The free choice among optima makes the outer slopes exactly flat, not flat up to rounding."""
    rng = np.random.default_rng(9)
    flat = 0
    for _ in range(10):
        x = np.concatenate([rng.normal(-2, 0.6, 120), rng.normal(1, 0.9, 180)])
        law = fit_convex_score(x, beta=25.0, activation="abs", skip=False).piecewise_
        assert law.left_slope == -law.right_slope or abs(law.left_slope + law.right_slope) < 1e-9
        assert law.left_slope == 0.0 or abs(law.left_slope) > 1e-9
        if law.left_slope == 0.0:
            flat += 1
            assert law.is_integrable
    assert flat >= 3
