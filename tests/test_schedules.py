"""Time grids, noise levels and the two families of scores, against formulas written out again."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convexscore.schedules import TimeGrid, exponential_grid, two_phase_grid, uniform_grid
from convexscore.schedules.levels import check_noise, geometric_levels, ve_level, vp, vp_time
from convexscore.scores import tweedie, ve_score_to_vp, vp_score_to_ve

MEAN, VARIANCE = np.array([1.0, -2.0]), np.array([0.3, 4.0])


def gaussian_score(x, scale, sigma):
    """Score of scale * X + sigma * G for X ~ N(MEAN, diag(VARIANCE))."""
    return -(x - scale * MEAN) / (scale**2 * VARIANCE + sigma**2)


def score_vp(x, t):
    return gaussian_score(x, np.exp(-t), np.sqrt(1 - np.exp(-2 * t)))


def score_ve(x, sigma):
    return gaussian_score(x, 1.0, sigma)


# ---- Grids -----------------------------------------------------------------------------------


def test_uniform_grid():
    grid = uniform_grid(3.0, 5, end=0.5)
    np.testing.assert_allclose(grid.times, [3, 2.5, 2, 1.5, 1, 0.5], rtol=1e-15)
    np.testing.assert_allclose(grid.steps, 0.5, rtol=1e-14)
    assert (grid.horizon, grid.end, grid.n_steps) == (3.0, 0.5, 5)
    assert uniform_grid(1.0, 2).end == 1e-3 and uniform_grid(1.0, 1, end=0).end == 0.0


@given(kappa=st.floats(1e-3, 3.0), n_uniform=st.integers(0, 40), n_geometric=st.integers(0, 40))
def test_two_phase_grid_is_the_papers(kappa, n_uniform, n_geometric):
    n_total = max(n_uniform + n_geometric, 1)
    grid = two_phase_grid(kappa, n_uniform, n_total)
    # MW23, Definition 1, in the time of the sampler.
    horizon = kappa * n_uniform + 1
    k = np.arange(n_total + 1)
    shrinking = horizon - (1 + kappa) ** (0.0 + n_uniform - k)
    sampler_times = np.where(k <= n_uniform, k * kappa, shrinking)
    np.testing.assert_allclose(horizon - grid.times, sampler_times, atol=1e-12 * horizon)
    assert grid.horizon == pytest.approx(horizon, rel=1e-15)
    assert grid.end == pytest.approx((1 + kappa) ** (n_uniform - n_total), rel=1e-12)
    # The condition of BDD23, T - t_{k+1} being our remaining time; it holds with equality, so the
    # rounding of the times themselves is the tolerance.
    bound = kappa * np.minimum(1, grid.times[1:])
    assert np.all(grid.steps <= bound + 4e-16 * horizon)
    # Negative control: half the kappa would be violated at every step.
    assert np.all(grid.steps > bound / 2)


@given(horizon=st.floats(0.01, 20.0), ratio=st.floats(1e-6, 0.9), n_steps=st.integers(1, 100))
def test_exponential_grid_steps_follow_the_remaining_time(horizon, ratio, n_steps):
    end = horizon * ratio
    grid = exponential_grid(horizon, n_steps, end=end)
    assert (grid.horizon, grid.end, grid.n_steps) == (horizon, end, n_steps)
    # kappa = integral of dt / min(1, t) over the grid, per step.
    above, below = max(horizon - 1, 0) - max(end - 1, 0), np.log(min(horizon, 1) / min(end, 1))
    kappa = (above + below) / n_steps
    bound = np.expm1(kappa) * np.minimum(1, grid.times[1:])
    assert np.all(grid.steps <= bound * (1 + 1e-9) + 1e-14)
    inside = grid.times[:-1] <= 1
    expected = np.expm1(kappa) * grid.times[1:][inside]
    np.testing.assert_allclose(grid.steps[inside], expected, rtol=1e-8, atol=1e-15)


def test_time_grid_is_frozen_and_readable():
    times = np.array([2.0, 1.0, 0.0])
    grid = TimeGrid(times)
    times[0] = 9
    assert grid.horizon == 2.0
    assert repr(grid) == "TimeGrid(horizon=2, end=0, n_steps=2)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        grid.times = times
    with pytest.raises(ValueError, match="read-only"):
        grid.times[0] = 3


# ---- Levels ----------------------------------------------------------------------------------


def test_vp_and_ve_levels():
    t = np.append(0.0, np.geomspace(1e-12, 15, 30))
    scale, sigma = vp(t)
    np.testing.assert_allclose(scale**2 + sigma**2, 1, rtol=1e-15)
    # Small times keep their digits: sigma^2 = 2 t - 2 t^2 + ...
    np.testing.assert_allclose(sigma[1], np.sqrt(2e-12), rtol=1e-11)
    np.testing.assert_allclose(ve_level(t), sigma / scale, rtol=1e-13)
    np.testing.assert_allclose(vp_time(ve_level(t)), t, rtol=1e-13)
    assert vp(t[9]) == (scale[9], sigma[9])
    assert [type(v) for v in (*vp(0.3), vp_time(1.0), ve_level(1.0))] == [float] * 4


def test_geometric_levels():
    levels = geometric_levels(7.0, 0.02, 9)
    assert (levels[0], levels[-1], len(levels)) == (7.0, 0.02, 9)
    np.testing.assert_allclose(levels[1:] / levels[:-1], (0.02 / 7) ** (1 / 8), rtol=1e-13)


# ---- Scores ----------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [1e-6, 0.05, 0.7, 4.0])
def test_ve_and_vp_scores_convert_into_each_other(t):
    x = np.random.default_rng(0).normal(size=(20, 2)) * 3
    np.testing.assert_allclose(ve_score_to_vp(score_ve)(x, t), score_vp(x, t), rtol=1e-9)
    sigma = ve_level(t)
    np.testing.assert_allclose(vp_score_to_ve(score_vp)(x, sigma), score_ve(x, sigma), rtol=1e-9)
    # Negative control: forgetting the factor 1/scale of the score.
    scale, _ = vp(t)
    wrong = score_ve(x / scale, sigma)
    assert np.abs(wrong / score_vp(x, t) - 1).max() == pytest.approx(1 - scale, rel=1e-6)


def test_tweedie_is_the_conditional_mean():
    scale, sigma = 0.4, 0.9
    z = np.random.default_rng(1).normal(size=(10, 2))
    gain = scale * VARIANCE / (scale**2 * VARIANCE + sigma**2)
    expected = MEAN + gain * (z - scale * MEAN)
    denoised = tweedie(lambda points: gaussian_score(points, scale, sigma), z, scale, sigma)
    np.testing.assert_allclose(denoised, expected, rtol=1e-12)


def by_loop(score, x, levels):
    return np.concatenate([score(x[i : i + 1], float(level)) for i, level in enumerate(levels)])


@pytest.mark.parametrize("shape", [(6,), (6, 1), (6, 2)])
def test_levels_may_be_one_a_row(shape):
    """Against the loop over rows, one number each."""
    x = np.random.default_rng(0).normal(size=shape)
    levels = np.array([0.1, 2.0, 1e-3, 0.4, 0.4, 1.0])

    def score(x, level):  # neither linear in x nor in the level
        level = level if np.ndim(level) == 0 else level.reshape(-1, *[1] * (x.ndim - 1))
        return np.sin(x + level) / level

    for convert in (ve_score_to_vp, vp_score_to_ve):
        both = convert(score)
        np.testing.assert_allclose(both(x, levels), by_loop(both, x, levels), rtol=1e-13)
        # Negative control: the levels of other rows.
        assert np.abs(both(x, levels) - by_loop(both, x, levels[::-1])).max() > 0.1
    scale = 1 / (1 + levels)
    means = tweedie(np.sin, x, scale, levels)
    slow = [tweedie(np.sin, x[i], scale[i], levels[i]) for i in range(6)]
    np.testing.assert_allclose(means, slow, rtol=1e-13)
    # One number for all rows of either.
    for scale, sigma in ((0.5, np.full(6, 2.0)), (np.full(6, 0.5), 2.0)):
        same = tweedie(np.sin, x, scale, sigma)
        np.testing.assert_array_equal(same, tweedie(np.sin, x, 0.5, 2.0))


# ---- Errors ----------------------------------------------------------------------------------

BAD_CALLS = [
    (lambda: TimeGrid([1.0]), r"times must be at least two strictly decreasing .* got \[1.\]"),
    (lambda: TimeGrid([1.0, 1.0, 0.5]), "strictly decreasing"),
    (lambda: TimeGrid([1.0, -0.5]), "numbers >= 0"),
    (lambda: TimeGrid([np.inf, 1.0]), "times must be finite; 1 of 2"),
    (lambda: TimeGrid([[2.0, 1.0]]), r"times must have shape \(K,\).* got shape \(1, 2\)"),
    (lambda: TimeGrid(["a", "b"]), "times must be numeric"),
    (lambda: uniform_grid(0, 3), "horizon must be finite and > 0; got 0"),
    (lambda: uniform_grid(1.0, 0), "n_steps must be an integer >= 1; got 0"),
    (lambda: uniform_grid(1.0, 3, end=1.0), "end must be < horizon; got end=1, horizon=1"),
    (lambda: uniform_grid(1.0, 3, end=-1), "end must be finite and >= 0; got -1"),
    (lambda: exponential_grid(1.0, 3, end=0), "end must be finite and > 0; got 0"),
    (lambda: two_phase_grid(0.0, 1, 2), "kappa must be finite and > 0; got 0"),
    (lambda: two_phase_grid(0.1, 3, 2), "n_total must be an integer >= 3; got 2"),
    (lambda: two_phase_grid(0.1, -1, 2), "n_uniform must be an integer >= 0; got -1"),
    (lambda: vp(-0.1), "t must be >= 0; got -0.1"),
    (lambda: vp([0.1, np.nan]), "t must be >= 0; got"),
    (lambda: vp_time(-1), "sigma_ve must be >= 0; got -1"),
    (lambda: geometric_levels(1.0, 2.0, 3), "sigma_min must be < sigma_max; .* Swap them"),
    (lambda: geometric_levels(2.0, 1.0, 1), "n must be an integer >= 2; got 1"),
    (lambda: geometric_levels(2.0, 0.0, 3), "sigma_min must be finite and > 0; got 0"),
    (lambda: tweedie(lambda z: z, 1.0, 0.0, 1.0), "scale must be finite and > 0; got 0"),
    (lambda: tweedie(lambda z: z, 1.0, 1.0, -1.0), "sigma must be finite and >= 0; got -1"),
    (lambda: tweedie(np.sin, np.ones(2), [1.0, 0.0], 1.0), "scale must be finite and > 0; got 0"),
    (lambda: tweedie(np.sin, np.ones((2, 3)), np.ones(3), 1.0), r"3 levels .* \(2, 3\)"),
    (lambda: tweedie(np.sin, np.ones(2), np.ones((2, 1)), 1.0), r"scale must have shape \(K,\)"),
    (lambda: tweedie(np.sin, np.ones(2), 1.0, [1.0, np.nan]), "sigma must be finite; 1 of 2"),
    (lambda: check_noise(1.0, True), "sigma must be a number >= 0; got True"),
    (lambda: check_noise(np.ones(2), np.ones(3)), r"got shapes \(2,\) and \(3,\)"),
    (lambda: check_noise(np.ones(2), [1.0, 0.0]), "sigma must be > 0 here; got sigma=0"),
    (lambda: check_noise([1.0, 0.0], [1.0, 0.0], noiseless=True), "or 0 with scale > 0"),
]


@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_errors_name_the_argument_and_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()
