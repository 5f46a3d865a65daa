"""Langevin and MALA against closed forms, a slow loop, and each other where one must fail."""

import dataclasses
import functools

import numpy as np
import pytest
from scipy import stats

from convexscore.samplers import ChainDivergedError, LangevinResult, langevin, mala
from convexscore.samplers.noise import ChainNoise

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


@functools.cache
def bimodal_cdf():
    grid = np.linspace(-10, 10, 40_001)
    mass = np.exp(bimodal_log_density(grid))
    total = np.concatenate([[0], np.cumsum((mass[1:] + mass[:-1]) / 2)])
    return lambda q: np.interp(q, grid, total / total[-1])


run_langevin = functools.partial(langevin, gaussian_score)
run_mala = functools.partial(mala, gaussian_score, gaussian_log_density)
SAMPLERS = [pytest.param(run_langevin, id="langevin"), pytest.param(run_mala, id="mala")]


def variance_p_value(samples, mean, variance):
    """Two-sided p-value of "independent N(mean, variance)" from the sum of squares."""
    tail = stats.chi2.cdf(((samples - mean) ** 2).sum() / variance, len(samples))
    return 2 * min(tail, 1 - tail)


# ---- Langevin: closed forms ------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0, 2.0, 3.5])
def test_ar1_stationary_variance(ratio):
    step = ratio * V
    stationary = V / (1 - step / (4 * V))
    rng = np.random.default_rng(11)
    x0 = rng.normal(MU, np.sqrt(stationary), size=40_000)
    run = run_langevin(x0, step=step, n_steps=80, random_state=1)
    assert variance_p_value(run.samples, MU, stationary) > OK
    assert stats.kstest(run.samples, stats.norm(MU, np.sqrt(stationary)).cdf).pvalue > OK
    # Negative control: the same test tells the chain's variance from the law's own.
    assert variance_p_value(run.samples, MU, V) < 1e-8


def test_variance_after_few_steps_from_a_point():
    step, n_steps = 1.0, 3
    rho = 1 - step / (2 * V)
    mean = MU + rho**n_steps * (10 - MU)
    variance = step * (1 - rho ** (2 * n_steps)) / (1 - rho**2)
    run = run_langevin(np.full(40_000, 10.0), step=step, n_steps=n_steps, random_state=2)
    assert abs(run.samples.mean() - mean) < 4.5 * np.sqrt(variance / 40_000)
    assert variance_p_value(run.samples, mean, variance) > OK
    assert variance_p_value(run.samples, mean, 1.1 * variance) < 1e-6


@pytest.mark.parametrize("step", [0.3, 1.0, 7.0])
def test_two_starts_with_the_same_noise_approach_at_the_ar1_rate(step):
    run_a = run_langevin(np.zeros(5), step=step, n_steps=6, random_state=3)
    run_b = run_langevin(np.full(5, 8.0), step=step, n_steps=6, random_state=3)
    rho = 1 - step / (2 * V)
    np.testing.assert_allclose(run_b.samples - run_a.samples, 8 * rho**6, rtol=1e-9)


def test_noise_scales_with_the_root_of_the_step():
    def walk(step):
        return langevin(np.zeros_like, np.zeros(50), step=step, n_steps=9, random_state=0).samples

    np.testing.assert_allclose(walk(4.0), 2 * walk(1.0), rtol=1e-12)
    assert variance_p_value(walk(1.0), 0, 9.0) > OK


def test_planar_gaussian_covariance():
    precision = np.array([[2.0, 0.9], [0.9, 1.0]])
    step, n = 1.2, 40_000
    covariance = np.linalg.inv(precision @ (np.eye(2) - step / 4 * precision))
    run = langevin(
        lambda x: -x @ precision, np.zeros((n, 2)), step=step, n_steps=60, random_state=4
    )
    # Whitened by the predicted covariance the sample covariance is the identity, ± sqrt(2/n).
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    deviation = np.abs(np.cov((run.samples @ root).T) - np.eye(2)).max()
    assert deviation < 5 * np.sqrt(2 / n)
    biased = np.abs(np.cov((run.samples @ np.linalg.cholesky(precision)).T) - np.eye(2)).max()
    assert biased > 20 * np.sqrt(2 / n)


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
    assert stats.kstest(run.samples, bimodal_cdf()).pvalue > OK
    unadjusted = langevin(bimodal_score, np.full(8000, -2.0), **options)
    assert stats.kstest(unadjusted.samples, bimodal_cdf()).pvalue < 1e-6
    unmixed = mala(
        bimodal_score, bimodal_log_density, np.full(8000, -2.0), **options | {"step": 0.01}
    )
    assert stats.kstest(unmixed.samples, bimodal_cdf()).pvalue < 1e-12


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


def test_mala_stays_inside_the_support():
    # Exponential law on x > 0: −inf outside; the walls are met often at this step.
    def log_density(x):
        return np.where(x > 0, -x, -np.inf)

    run = mala(lambda x: -np.ones_like(x), log_density, np.ones(8000), step=1.0, n_steps=120,
               random_state=9)  # fmt: skip
    assert run.samples.min() > 0
    assert stats.kstest(run.samples, stats.expon.cdf).pvalue > OK


def test_mala_rejects_proposals_that_are_not_a_number():
    def log_density(x):
        return np.where(np.abs(x) < 1, 0.0, np.nan)

    def score(x):
        return np.where(x < 0.5, 0.0, np.nan)

    run = mala(score, log_density, np.zeros(4000), step=0.5, n_steps=60, random_state=0)
    assert stats.kstest(run.samples, stats.uniform(-1, 1.5).cdf).pvalue > OK


def test_mala_in_the_plane():
    precision = np.array([[2.0, 0.9], [0.9, 1.0]])
    n = 20_000
    run = mala(
        lambda x: -x @ precision, lambda x: -np.einsum("ij,jk,ik->i", x, precision, x) / 2,
        np.zeros((n, 2)), step=1.2, n_steps=60, random_state=10,
    )  # fmt: skip
    white = run.samples @ np.linalg.cholesky(precision)
    assert np.abs(np.cov(white.T) - np.eye(2)).max() < 5 * np.sqrt(2 / n)


def test_mala_warns_when_nearly_all_proposals_are_rejected():
    from sklearn.exceptions import ConvergenceWarning

    with pytest.warns(ConvergenceWarning, match=r"accepted 0 of .* 50 of 50 chains never moved"):
        run = run_mala(np.zeros(50), step=100 * V, n_steps=60, random_state=0)
    assert run.acceptance_rate == 0.0
    np.testing.assert_array_equal(run.samples, 0.0)


# ---- One contract for both -------------------------------------------------------------------


@pytest.mark.parametrize("run", SAMPLERS)
@pytest.mark.parametrize("n_few", [3, 70])
def test_a_chain_does_not_depend_on_the_chains_beside_it(run, n_few):
    x0 = np.linspace(-1, 4, 200)
    options = dict(step=1.0, n_steps=25, random_state=12, keep_trajectory=True)
    many, few = run(x0, **options), run(x0[:n_few], **options)
    np.testing.assert_array_equal(many.trajectory[:, :n_few], few.trajectory)
    assert len(np.unique(many.samples)) == 200


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
def test_same_seed_same_result_and_column_shape(run):
    options = dict(step=1.0, n_steps=20)
    x0 = np.arange(6)
    first = run(x0, random_state=0, **options)
    np.testing.assert_array_equal(run(x0, random_state=0, **options).samples, first.samples)
    assert np.all(run(x0, random_state=1, **options).samples != first.samples)
    # Successive calls with one generator continue, they do not repeat.
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(run(x0, random_state=rng, **options).samples, first.samples)
    assert np.all(run(x0, random_state=rng, **options).samples != first.samples)


def test_column_and_flat_chains_are_the_same():
    x0 = np.arange(6.0)
    options = dict(step=1.0, n_steps=20, random_state=0)
    for run in (run_langevin, run_mala):
        flat, column = run(x0, **options), run(x0[:, None], **options)
        np.testing.assert_allclose(column.samples[:, 0], flat.samples, rtol=1e-12)


@pytest.mark.parametrize("run", SAMPLERS)
def test_trajectory_burn_in_and_thinning(run):
    options = dict(step=1.0, random_state=0, keep_trajectory=True)
    full = run(np.zeros((4, 1)), n_steps=20, **options)
    assert full.trajectory.shape == (20, 4, 1)
    np.testing.assert_array_equal(full.trajectory[-1], full.samples)
    thinned = run(np.zeros((4, 1)), n_steps=20, burn_in=5, thin=4, **options)
    np.testing.assert_array_equal(thinned.trajectory, full.trajectory[[8, 12, 16]])
    np.testing.assert_array_equal(thinned.samples, full.samples)
    assert run(np.zeros(4), n_steps=20, step=1.0).trajectory is None


@pytest.mark.parametrize("run", SAMPLERS)
def test_callback_sees_every_state_and_can_stop(run):
    seen = []

    def callback(step, x):
        assert not x.flags.writeable
        seen.append((step, x))
        return step == 7

    options = dict(step=1.0, n_steps=20, random_state=0, keep_trajectory=True, thin=2)
    stopped = run(np.zeros(3), callback=callback, **options)
    whole = run(np.zeros(3), **options)
    assert [step for step, _ in seen] == list(range(1, 8))
    assert stopped.n_steps == 7 and whole.n_steps == 20
    np.testing.assert_array_equal(stopped.trajectory, whole.trajectory[:3])
    np.testing.assert_array_equal([x for _, x in seen[1::2]], stopped.trajectory)
    np.testing.assert_array_equal(stopped.samples, seen[-1][1])


@pytest.mark.parametrize("run", SAMPLERS)
def test_result_is_frozen_and_readable(run):
    result = run(np.zeros(3), step=1, n_steps=5, random_state=0)
    assert isinstance(result, LangevinResult)
    assert result.step == 1.0 and result.seconds > 0
    assert (result.acceptance_rate is None) == (run is run_langevin)
    assert repr(result).startswith("LangevinResult(samples=array(3,), trajectory=None, n_steps=5")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.step = 2.0


def test_mala_acceptance_is_counted_after_burn_in():
    x0 = np.full(200, MU + 60 * np.sqrt(V))
    steps = []
    options = dict(step=2.2 * V, n_steps=40, random_state=0)
    late = run_mala(x0, burn_in=25, keep_trajectory=True, **options)
    full = run_mala(x0, keep_trajectory=True, callback=lambda t, x: steps.append(x), **options)
    moved = np.diff(full.trajectory, axis=0, prepend=x0[None]) != 0
    assert full.acceptance_rate == pytest.approx(moved.mean(), abs=1e-12)
    assert late.acceptance_rate == pytest.approx(moved[25:].mean(), abs=1e-12)
    early = run_mala(x0, burn_in=25, callback=lambda t, x: t == 10, **options)
    assert early.acceptance_rate == pytest.approx(moved[:10].mean(), abs=1e-12)


@pytest.mark.parametrize("run", SAMPLERS)
def test_progress_bar_runs_to_the_end(run, capsys):
    pytest.importorskip("tqdm")
    run(np.zeros(3), step=1.0, n_steps=5, progress=True)
    assert "5/5" in capsys.readouterr().err


@pytest.mark.parametrize("run", SAMPLERS)
def test_start_is_left_alone(run):
    x0 = np.zeros(3)
    run(x0, step=1.0, n_steps=2)
    np.testing.assert_array_equal(x0, 0)


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
    from sklearn.exceptions import ConvergenceWarning

    with pytest.warns(ConvergenceWarning, match=r"mala accepted 0\.0.* lower step"):
        mala(lambda x: x, lambda x: x**2 / 2, np.ones(5), step=0.1, n_steps=3000, random_state=0)


BAD_ARGUMENTS = [
    (dict(step=0.0), ValueError, "step must be finite and > 0; got 0"),
    (dict(step=np.nan), ValueError, "step must be finite and > 0; got nan"),
    (dict(step="1"), ValueError, "step must be a number > 0; got '1'"),
    (dict(n_steps=0), ValueError, "n_steps must be an integer >= 1; got 0"),
    (dict(n_steps=2.5), ValueError, r"n_steps must be an integer >= 1; got 2\.5"),
    (dict(burn_in=-1), ValueError, "burn_in must be an integer >= 0; got -1"),
    (dict(burn_in=10), ValueError, r"burn_in must be smaller than n_steps.*Use n_steps=10 \+"),
    (dict(thin=0), ValueError, "thin must be an integer >= 1; got 0"),
    (dict(thin=11, keep_trajectory=True), ValueError, "thin must be at most .* = 10"),
    (dict(thin=2), ValueError, "thin=2 has no effect .*keep_trajectory=True"),
    (dict(callback=3), TypeError, "callback must be None or a callable"),
    (dict(random_state="x"), TypeError, "random_state must be None"),
    (dict(x0=1.0), ValueError, r"x0 must have shape \(n_chains,\) .* numpy.full"),
    (dict(x0=np.zeros((0, 2))), ValueError, r"not empty; got shape \(0, 2\)"),
    (dict(x0=np.zeros((2, 2, 2))), ValueError, r"got shape \(2, 2, 2\)"),
    (dict(x0=np.array([0, np.inf, np.nan])), ValueError, "x0 must be finite; 2 of 3 values"),
    (dict(x0=np.array(["a"])), ValueError, "x0 must be numeric"),
    (dict(x0=np.array([1j])), ValueError, "x0 must be real"),
    (dict(random_sate=0), TypeError, "unexpected keyword random_sate.*mean random_state"),
    (dict(n_step=3), TypeError, "unexpected keyword n_step.*mean n_steps"),
    (dict(colour=3), TypeError, r"colour. Allowed are step, n_steps, .*burn_in\."),
    (dict(batch_size=3), TypeError, "batch_size has no effect on (langevin|mala).*noise levels"),
    (dict(final_denoising=False), TypeError, "final_denoising has no effect on"),
]


@pytest.mark.parametrize("run", SAMPLERS)
@pytest.mark.parametrize(("arguments", "error", "message"), BAD_ARGUMENTS)
def test_errors_name_the_argument_and_the_remedy(run, arguments, error, message):
    options = dict(x0=np.zeros(3), step=0.1, n_steps=10) | arguments
    with pytest.raises(error, match=message):
        run(options.pop("x0"), **options)


def test_burn_in_needs_something_to_be_left_out_of():
    with pytest.raises(ValueError, match=r"burn_in=5 has no effect .*keep_trajectory=True"):
        run_langevin(np.zeros(3), step=1.0, n_steps=9, burn_in=5)
    assert 0 < run_mala(np.zeros(9), step=1.0, n_steps=9, burn_in=5).acceptance_rate <= 1


def test_score_and_log_density_are_checked():
    options = dict(step=0.1, n_steps=3)
    x0 = np.zeros(3)
    with pytest.raises(TypeError, match=r"score must be a callable .* got ndarray"):
        langevin(np.zeros(3), x0, **options)
    with pytest.raises(ValueError, match=r"score must return .* \(3,\); got shape \(3, 1\)"):
        langevin(lambda x: x[:, None], x0, **options)
    with pytest.raises(ValueError, match=r"score must be finite at x0; .* 1 of 3 chains"):
        langevin(lambda x: np.where(np.arange(3) == 1, np.nan, x), x0, **options)
    with pytest.raises(TypeError, match=r"log_density must be a callable .* use langevin"):
        mala(gaussian_score, None, x0, **options)
    with pytest.raises(
        ValueError, match=r"log_density must return one .*\(3, 2\); got shape \(3, 2\)"
    ):
        mala(gaussian_score, gaussian_log_density, np.zeros((3, 2)), **options)
    with pytest.raises(ValueError, match=r"log_density must be finite at x0; .* 3 of 3 chains"):
        mala(gaussian_score, lambda x: np.full(3, -np.inf), x0, **options)
    with pytest.raises(ValueError, match=r"log_density must be < \+inf; it is \+inf for 2 of 3"):
        mala(gaussian_score, lambda x: np.array([0, np.inf, np.inf]), x0, **options)
