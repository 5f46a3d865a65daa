"""Langevin and MALA against closed forms, a slow loop, and each other where one must fail."""

import functools

import numpy as np
import pytest
from scipy import stats
from sklearn.exceptions import ConvergenceWarning

from convexscore.samplers import ChainDivergedError, langevin, mala
from convexscore.samplers.noise import ChainNoise
from convexscore.targets import LineLaw

MU, V = 3.0, 2.5
OK = 1e-4  # a right sampler gives a smaller p-value with one seed in ten thousand


def gaussian_score(x):
    return -(x - MU) / V


def gaussian_log_density(x):
    return -((x - MU) ** 2) / (2 * V)


def bimodal_score(x):
    """Continuous and piecewise linear: x inside [-1, 1], then towards the modes ±2."""
    return np.where(np.abs(x) <= 1, x, np.sign(x) * 2 - x)


def bimodal_log_density(x):
    a = np.abs(x)
    return np.where(a <= 1, a**2 / 2, 1 - (a - 2) ** 2 / 2)


bimodal_cdf = LineLaw(bimodal_log_density, (-10.0, 10.0), breaks=[-1.0, 0.0, 1.0]).cdf
run_langevin = functools.partial(langevin, gaussian_score)
run_mala = functools.partial(mala, gaussian_score, gaussian_log_density)
SAMPLERS = [pytest.param(run_langevin, id="langevin"), pytest.param(run_mala, id="mala")]


# ---- Both in the plane ------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [langevin, mala])
def test_planar_gaussian_covariance(sampler):
    precision, step, n = np.array([[2.0, 0.9], [0.9, 1.0]]), 1.2, 40_000
    functions = [lambda x: -x @ precision, lambda x: -((x @ precision) * x).sum(axis=1) / 2]
    start, how = np.zeros((n, 2)), dict(step=step, n_steps=60, random_state=4)
    samples = sampler(*functions[: 1 + (sampler is mala)], start, **how).samples
    biased = precision @ (np.eye(2) - step / 4 * precision)
    # The covariance, whitened by the predicted one, from the identity; in units of the error.
    exact, other = (
        np.abs(np.cov((samples @ np.linalg.cholesky(p)).T) - np.eye(2)).max() / np.sqrt(2 / n)
        for p in ((precision, biased) if sampler is mala else (biased, precision))
    )
    assert exact < 5 and other > 20


# ---- Langevin: closed forms ------------------------------------------------------------------


def variance_p_value(samples, mean, variance):
    """Two-sided p-value of "independent N(mean, variance)" from the sum of squares."""
    tail = stats.chi2.cdf(((samples - mean) ** 2).sum() / variance, len(samples))
    return 2 * min(tail, 1 - tail)


@pytest.mark.parametrize(
    ("step", "n_steps", "start"),
    [*((ratio * V, 80, None) for ratio in (0.25, 0.5, 1.0, 2.0, 3.5)), (1.0, 3, 10.0)],
)
def test_langevin_on_a_gaussian_is_an_ar1_process(step, n_steps, start):
    """Stationary with variance V / (1 - step / (4 V)); after few steps from a point still smaller."""
    n, stationary, shrunk = 40_000, V / (1 - step / (4 * V)), (1 - step / (2 * V)) ** n_steps
    mean, variance, x0 = MU + shrunk * (10.0 - MU), (1 - shrunk**2) * stationary, np.full(n, 10.0)
    if start is None:
        mean, variance = MU, stationary
        x0 = np.random.default_rng(11).normal(mean, np.sqrt(variance), size=n)
    samples = run_langevin(x0, step=step, n_steps=n_steps, random_state=1).samples
    assert abs(samples.mean() - mean) < 4.5 * np.sqrt(variance / n)
    assert variance_p_value(samples, mean, variance) > OK
    assert stats.kstest(samples, stats.norm(mean, np.sqrt(variance)).cdf).pvalue > OK
    # Negative controls: the law's own variance, a tenth more.
    for wrong in (V, 1.1 * variance):
        assert variance_p_value(samples, mean, wrong) < 1e-6


# ---- MALA ------------------------------------------------------------------------------------


def test_mala_is_unbiased_where_langevin_is_not():
    options = dict(step=2 * V, n_steps=60, burn_in=20, random_state=5)
    law = stats.norm(MU, np.sqrt(V)).cdf
    run = run_mala(np.zeros(10_000), **options)
    assert stats.kstest(run.samples, law).pvalue > OK
    biased = run_langevin(np.zeros(10_000), **options | {"burn_in": 0})
    assert stats.kstest(biased.samples, law).pvalue < 1e-12
    # The proposal is N(MU, 2V) whatever the state: the rate of this independence sampler is a
    # plane integral.
    assert run.acceptance_rate == pytest.approx(_independence_rate(), abs=0.003)


def _independence_rate():
    # log ratio = (x² − x'²)/(4v) with x ~ N(0, v), x' ~ N(0, 2v); E min(1, exp(log ratio)).
    z, w = np.polynomial.hermite_e.hermegauss(200)
    x, y = np.meshgrid(z, z * np.sqrt(2))
    return (np.outer(w, w) * np.minimum(1, np.exp((x**2 - y**2) / 4))).sum() / w.sum() ** 2


def test_mala_on_a_bimodal_law():
    options = dict(step=1.5, n_steps=150, random_state=6)
    run = mala(bimodal_score, bimodal_log_density, np.full(8000, -2.0), **options)
    assert stats.kstest(run.samples, bimodal_cdf).pvalue > OK
    unadjusted = langevin(bimodal_score, np.full(8000, -2.0), **options)
    assert stats.kstest(unadjusted.samples, bimodal_cdf).pvalue < 1e-6
    slow = options | {"step": 0.01}
    unmixed = mala(bimodal_score, bimodal_log_density, np.full(8000, -2.0), **slow)
    assert stats.kstest(unmixed.samples, bimodal_cdf).pvalue < 1e-12


def test_mala_needs_no_true_score():
    # The score only steers: a wrong one costs acceptance, not correctness.
    run = mala(
        lambda x: 0.4 * gaussian_score(x) + 0.3, gaussian_log_density, np.zeros(8000),
        step=V, n_steps=100, random_state=7,
    )  # fmt: skip
    assert stats.kstest(run.samples, stats.norm(MU, np.sqrt(V)).cdf).pvalue > OK


def test_mala_equals_a_slow_loop():
    step, n_chains, n_steps, seed = 1.3, 5, 40, 8
    run = mala(
        bimodal_score, bimodal_log_density, np.linspace(-2, 2, n_chains),
        step=step, n_steps=n_steps, random_state=seed, keep_trajectory=True,
    )  # fmt: skip
    noise = ChainNoise(seed, n_chains, 3, n_steps)
    x, n_accepted = list(np.linspace(-2, 2, n_chains)), 0
    for t in range(n_steps):
        z = noise.next_step()
        for i in range(n_chains):
            centre = x[i] + step / 2 * bimodal_score(x[i])
            y = centre + np.sqrt(step) * z[i, 0]
            back = y + step / 2 * bimodal_score(y)
            ratio = np.exp(bimodal_log_density(y) - bimodal_log_density(x[i]))
            ratio *= stats.norm(back, np.sqrt(step)).pdf(x[i])
            ratio /= stats.norm(centre, np.sqrt(step)).pdf(y)
            if np.exp(-(z[i, 1] ** 2 + z[i, 2] ** 2) / 2) <= ratio:
                x[i], n_accepted = y, n_accepted + 1
        np.testing.assert_allclose(run.trajectory[t], x, atol=1e-12)
    assert run.acceptance_rate == pytest.approx(n_accepted / (n_chains * n_steps), rel=1e-12)
    assert 0.3 < run.acceptance_rate < 1


@pytest.mark.parametrize(
    ("score", "log_density", "step", "law"),
    [
        # −inf outside the support, which is left often at this step.
        (lambda x: -np.ones_like(x), lambda x: np.where(x > 0, -x, -np.inf), 1.0, stats.expon()),
        # Neither is a number everywhere.
        (
            lambda x: np.where(x < 0.5, 0.0, np.nan),
            lambda x: np.where(np.abs(x) < 1, 0.0, np.nan),
            0.5,
            stats.uniform(-1, 1.5),
        ),
    ],
)
def test_mala_rejects_what_is_outside_or_not_a_number(score, log_density, step, law):
    run = mala(score, log_density, np.full(8000, 0.4), step=step, n_steps=120, random_state=9)
    low, high = law.support()
    assert low < run.samples.min() and run.samples.max() < high
    assert stats.kstest(run.samples, law.cdf).pvalue > OK


def test_mala_warns_when_nearly_all_proposals_are_rejected():
    with pytest.warns(ConvergenceWarning, match=r"accepted 0 of .* 50 of 50 chains never moved"):
        run = run_mala(np.zeros(50), step=100 * V, n_steps=60, random_state=0)
    assert run.acceptance_rate == 0.0
    np.testing.assert_array_equal(run.samples, 0.0)


# ---- Noise, trajectories, acceptance ---------------------------------------------------------


@pytest.mark.parametrize(("n_chains", "n_normals"), [(7, 1), (150, 3), (4, 100)])
def test_noise_does_not_depend_on_blocks_and_is_standard_normal(n_chains, n_normals):
    def draw(**options):
        noise = ChainNoise(13, n_chains, n_normals, 50, **options)
        return np.array([noise.next_step().copy() for _ in range(50)])

    whole = draw()
    assert whole.shape == (50, n_chains, n_normals)
    np.testing.assert_array_equal(draw(block_size=1), whole)
    np.testing.assert_array_equal(draw(block_size=7 * 64 * 3), whole)
    assert len(np.unique(whole)) == whole.size
    assert stats.kstest(whole.ravel(), stats.norm.cdf).pvalue > OK


@pytest.mark.parametrize("run", SAMPLERS)
def test_trajectory_burn_in_and_thinning(run):
    options = dict(step=1.0, random_state=0, keep_trajectory=True)
    full = run(np.zeros((4, 1)), n_steps=20, **options)
    assert full.trajectory.shape == (20, 4, 1)
    assert (full.acceptance_rate is None) == (run is run_langevin)
    np.testing.assert_array_equal(full.trajectory[-1], full.samples)
    thinned = run(np.zeros((4, 1)), n_steps=20, burn_in=5, thin=4, **options)
    np.testing.assert_array_equal(thinned.trajectory, full.trajectory[[8, 12, 16]])
    np.testing.assert_array_equal(thinned.samples, full.samples)
    assert run(np.zeros(4), n_steps=20, step=1.0).trajectory is None


def test_mala_acceptance_is_counted_after_burn_in():
    x0, options = np.full(200, MU + 60 * np.sqrt(V)), dict(step=2.2 * V, n_steps=40, random_state=0)
    late = run_mala(x0, burn_in=25, keep_trajectory=True, **options)
    full = run_mala(x0, keep_trajectory=True, **options)
    moved = np.diff(full.trajectory, axis=0, prepend=x0[None]) != 0
    assert full.acceptance_rate == pytest.approx(moved.mean(), abs=1e-12)
    assert late.acceptance_rate == pytest.approx(moved[25:].mean(), abs=1e-12)
    early = run_mala(x0, burn_in=25, callback=lambda t, x: t == 10, **options)
    assert early.acceptance_rate == pytest.approx(moved[:10].mean(), abs=1e-12)


# ---- Divergence and errors -------------------------------------------------------------------


def test_step_beyond_the_stability_limit_is_reported_not_returned():
    run_langevin(np.zeros(10), step=3.99 * V, n_steps=500, random_state=0)
    with pytest.raises(ChainDivergedError, match=r"at step \d+: \d+ of 10 chains .* lower step"):
        run_langevin(np.zeros(10), step=5 * V, n_steps=500, random_state=0)


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_outward_score_diverges_and_scale_does_not_matter(scale):
    def outward(x):  # Gaussian for x < 1, pushing outwards beyond
        return np.where(x < scale, -x, x - 2 * scale) / scale**2

    options = dict(step=0.1 * scale**2, n_steps=3000, random_state=0)
    with pytest.raises(ChainDivergedError, match=r"the score pushes outwards in a tail"):
        langevin(outward, np.zeros(40), **options)
    fine = langevin(lambda x: -x / scale**2, np.zeros(40), **options).samples / scale
    unit = langevin(lambda x: -x, np.zeros(40), **options | {"step": 0.1}).samples
    np.testing.assert_allclose(fine, unit, rtol=1e-9)


def test_divergence_counts_chains_and_names_the_step():
    # A drift of one a step and nearly no noise: chains 1 and 2 reach the hole in step 3.
    def score(x):
        return np.where(x > 2.5, np.nan, [0.0, 2e6, 2e6])

    with pytest.raises(ChainDivergedError, match="at step 4: 2 of 3 chains"):
        langevin(score, np.zeros(3), step=1e-6, n_steps=10, random_state=0)


def test_mala_on_a_law_that_does_not_exist_stalls_with_a_warning():
    with pytest.warns(ConvergenceWarning, match=r"mala accepted 0\.0.* lower step"):
        mala(lambda x: x, lambda x: x**2 / 2, np.ones(5), step=0.1, n_steps=3000, random_state=0)


def test_burn_in_needs_something_to_be_left_out_of():
    with pytest.raises(ValueError, match=r"burn_in=5 has no effect .*keep_trajectory=True"):
        run_langevin(np.zeros(3), step=1.0, n_steps=9, burn_in=5)
    assert 0 < run_mala(np.zeros(9), step=1.0, n_steps=9, burn_in=5).acceptance_rate <= 1


@pytest.mark.parametrize(
    ("log_density", "x0", "error", "message"),
    [
        (None, np.zeros(3), TypeError, r"log_density must be a callable .* use langevin"),
        (gaussian_log_density, np.zeros((3, 2)), ValueError, r"must return .*\(3,\); got shape \(3, 2\)"),
        (lambda x: np.full(3, -np.inf), np.zeros(3), ValueError, "finite at x0; .* 3 of 3 chains"),
        (lambda x: np.array([0, np.inf, np.inf]), np.zeros(3), ValueError, r"\+inf for 2 of 3"),
    ],
)  # fmt: skip
def test_log_density_is_checked(log_density, x0, error, message):
    with pytest.raises(error, match=message):
        mala(gaussian_score, log_density, x0, step=0.1, n_steps=3)
