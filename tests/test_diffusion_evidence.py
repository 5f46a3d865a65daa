"""Samplers, targets and metrics together: exact scores must give exact laws, wrong ones must not.

The pieces have tests of their own against slow oracles; here they meet.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from convexscore import TwoLayerNetwork, fit_convex_score, metrics, targets
from convexscore.objectives import denoising
from convexscore.samplers import (
    ancestral,
    annealed_langevin,
    ddpm,
    heun,
    langevin,
    predictor_corrector,
    probability_flow,
)
from convexscore.schedules import (
    exponential_grid,
    geometric_levels,
    ve_level,
    vp,
    vp_time,
)
from convexscore.scores import ve_score, vp_score, vp_score_to_ve

OK = 1e-4  # a right sampler fails with one seed in ten thousand at most
N = 20_000

LINE = targets.GaussianMixture([0.5, 0.2, 0.3], [-3.0, 0.0, 2.0], [0.25, 0.09, 0.5])
PLANE = targets.GaussianMixture(
    [0.5, 0.2, 0.3],
    [[-2.0, 0.0], [1.0, 2.0], [2.0, -1.5]],
    [[[0.5, 0.3], [0.3, 0.4]], [[0.3, 0.0], [0.0, 0.9]], [[0.4, -0.2], [-0.2, 0.2]]],
)
GLASS = targets.Ising.sherrington_kirkpatrick(10, 0.8, field=0.1, random_state=0)


def with_weights(law, weights):
    return targets.GaussianMixture(weights, law.means, law.covariances)


def on_grid(sampler, n_steps=300, **fixed):
    grid = exponential_grid(5.5, n_steps, end=2e-3)
    return lambda law, **options: sampler(vp_score(law), None, grid, **fixed, **options)


def on_levels(sampler, levels, **fixed):
    return lambda law, **options: sampler(ve_score(law), None, levels, **fixed, **options)


# Enough steps that what discretisation leaves is below what 20 000 points can see.
SAMPLERS = {
    "ddpm": on_grid(ddpm),
    "ancestral": on_grid(ancestral),
    "ancestral, forward variance": on_grid(ancestral, variance="forward"),
    "probability_flow": on_grid(probability_flow, 600),
    "heun": on_grid(heun, 60),
    "annealed_langevin": on_levels(
        annealed_langevin, geometric_levels(12.0, 0.06, 60), step=0.1 * 0.06**2, n_steps=16
    ),
    "predictor_corrector": on_levels(
        predictor_corrector, geometric_levels(30.0, 0.03, 300), corrector_step=0.05
    ),
}
every_sampler = pytest.mark.parametrize("run", SAMPLERS.values(), ids=SAMPLERS.keys())


def energy_p_value(x, y):
    """Upper bound on the p-value of equal laws, of the energy distance of two samples.

    In the limit nm/(n + m) times the distance is a sum of squared normals of mean E|X - X'|, whose
    tail beyond c times its mean is at most that of one squared normal beyond c (Székely, Bakirov
    2003, for p-values below 0.215): true whatever the law is.
    """
    n, m = len(x), len(y)
    half = len(y) // 2
    mean_gap = np.linalg.norm((y[:half] - y[half : 2 * half]).reshape(half, -1), axis=1).mean()
    statistic = n * m / (n + m) * metrics.energy_distance(x, y) / mean_gap
    return float(stats.chi2.sf(statistic, 1))


# ---- an exact score gives the exact law ----------------------------------------------------------


def test_energy_test_is_valid_and_sees_five_percent():
    """The oracle itself: under equal laws its p-values are not small, and it has power."""
    rngs = np.random.default_rng(0).spawn(300)
    values = [energy_p_value(LINE.sample(400, random_state=r), LINE.sample(300, random_state=r))
              for r in rngs]  # fmt: skip
    for level in (0.2, 0.1, 0.05):  # a bound: at most as many as asked for
        count = np.sum(np.array(values) < level)
        assert stats.binom.sf(count - 1, len(values), level) > OK
    x = LINE.sample(N, random_state=1)
    wrong = with_weights(LINE, [0.45, 0.25, 0.3])
    assert energy_p_value(x, LINE.sample(N, random_state=2)) > OK
    assert energy_p_value(x, wrong.sample(N, random_state=2)) < OK


@pytest.mark.slow
@every_sampler
def test_every_sampler_passes_the_energy_test(run):
    samples = run(LINE, n_samples=N, random_state=3).samples
    truth = LINE.sample(N, random_state=4)
    assert energy_p_value(samples, truth) > OK
    floor = metrics.noise_floor(metrics.energy_distance, LINE.sample, N, n_repeats=40,
                                quantile=0.99, random_state=5)  # fmt: skip
    assert metrics.energy_distance(samples, truth) < 2.5 * floor.upper
    # Negative control: samples drawn with the score of wrong weights.
    wrong = run(with_weights(LINE, [0.44, 0.2, 0.36]), n_samples=N, random_state=3).samples
    assert energy_p_value(wrong, truth) < OK
    assert metrics.energy_distance(wrong, truth) > 5 * floor.upper


@pytest.mark.slow
def test_planar_mixture_with_full_covariances_passes_the_energy_test():
    samples = on_grid(ddpm, 200)(PLANE, n_samples=N, dim=2, random_state=3).samples
    assert energy_p_value(samples, PLANE.sample(N, random_state=4)) > OK
    few, wrong = samples[:6000], with_weights(PLANE, [0.42, 0.28, 0.3])
    assert energy_p_value(few, wrong.sample(6000, random_state=4)) < OK
    # Each covariance counts too: the same law with round components of the same size.
    blurred = targets.GaussianMixture(
        PLANE.weights, PLANE.means, np.trace(PLANE.covariances, axis1=1, axis2=2) / 2
    )
    direction = np.array([1.0, 1.0]) / np.sqrt(2)  # along which the first component is long
    first, other = samples @ direction, blurred.sample(N, random_state=4) @ direction
    assert stats.ks_2samp(first, other).pvalue < OK
    assert stats.ks_2samp(first, PLANE.sample(N, random_state=4) @ direction).pvalue > OK


def test_langevin_keeps_the_shares_of_its_start_and_noise_levels_repair_them():
    law = targets.GaussianMixture([0.15, 0.85], [-3.0, 3.0], 0.3)
    start = np.random.default_rng(0).normal(size=4000)
    stuck = langevin(law.score, start, step=0.06, n_steps=500, random_state=1).samples
    grid = exponential_grid(5.0, 250, end=1e-2)
    free = ddpm(vp_score(law), start, grid, random_state=1).samples
    error = 4 * np.sqrt(0.15 * 0.85 / 4000)
    # A chain stays on the side where it starts of the point at which both modes weigh the same.
    basin = np.mean(start < np.log(0.15 / 0.85) / (2 * 3.0 / 0.3))
    assert abs(np.mean(stuck < 0) - basin) < 0.05 and np.mean(stuck < 0) > 0.35
    assert abs(np.mean(free < 0) - 0.15) < error
    # Within its modes Langevin is right: it is the shares that it misses.
    right = stuck[stuck > 0]
    assert abs(right.mean() - 3) < 0.05 and abs(right.var() / 0.3 - 1) < 0.15


# ---- spins ---------------------------------------------------------------------------------------


def spins_of(law, n_steps):
    grid = exponential_grid(6.0, n_steps, end=1e-2)
    score = vp_score(law)
    return ddpm(score, None, grid, n_samples=N, dim=law.dim, random_state=7).samples


def largest_error_of_correlations(spins):
    """In standard errors of as many exact samples."""
    off = ~np.eye(GLASS.dim, dtype=bool)
    error = np.abs(spins.T @ spins / N - GLASS.correlations)[off]
    return float((error / np.sqrt((1 - GLASS.correlations[off] ** 2) / N)).max())


@pytest.mark.slow
def test_ddpm_with_the_exact_score_samples_a_spin_glass():
    samples = spins_of(GLASS, 250)
    # The denoising step ends at spins: nothing is left to round but the last bits.
    assert np.abs(np.abs(samples) - 1).max() < 1e-6
    spins = targets.round_to_spins(samples)
    distance = targets.spin_total_variation(spins, GLASS)
    assert abs(distance.value - distance.floor) < 4 * distance.deviation
    # As exact samples do.
    exact = targets.spin_total_variation(GLASS.sample(N, random_state=8), GLASS)
    assert abs(distance.value - exact.value) < 6 * distance.deviation
    mean_error = (spins.mean(0) - GLASS.mean) / np.sqrt((1 - GLASS.mean**2) / N)
    assert np.abs(mean_error).max() < 4.5
    assert largest_error_of_correlations(spins) < 4.5
    # A quarter of the steps: correlations some six percent too weak. They tell, where the floor of
    # the total variation over 1024 states (0.06 here) hardly does.
    coarse = targets.round_to_spins(spins_of(GLASS, 60))
    assert largest_error_of_correlations(coarse) > 5.5


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong",
    [
        targets.Ising(0.85 * GLASS.couplings, GLASS.field),  # hotter
        targets.Ising(GLASS.couplings, 0.0),  # no field
    ],
    ids=["hotter", "no field"],
)
def test_a_wrong_spin_glass_is_told_apart(wrong):
    distance = targets.spin_total_variation(targets.round_to_spins(spins_of(wrong, 60)), GLASS)
    assert distance.value > distance.floor + 6 * distance.deviation


# ---- scores of noised laws -----------------------------------------------------------------------


@pytest.mark.parametrize("law", [LINE, PLANE, targets.spiral(), GLASS], ids=repr)
def test_scores_along_the_process_solve_its_fokker_planck_equation(law):
    """For dX = -X dt + sqrt(2) dB: d/dt log q = d + x.s + div s + |s|^2, s from the package,
    the time derivative and the divergence by finite differences: score, density and schedule fit.
    """
    score = vp_score(law)
    for t in (0.05, 0.4, 2.0):
        x = law.noised(*vp(t)).sample(20, random_state=0)
        points = x.reshape(len(x), -1)
        h, e = 1e-4, 1e-4 * np.eye(points.shape[1])

        def log_density(s, x=x):
            return law.noised(*vp(s)).log_density(x)

        rate = (8 * (log_density(t + h) - log_density(t - h))
                - log_density(t + 2 * h) + log_density(t - 2 * h)) / (12 * h)  # fmt: skip
        divergence = sum(
            (score((points + e[j]).reshape(x.shape), t) - score((points - e[j]).reshape(x.shape), t))
            .reshape(points.shape)[:, j] / (2 * h)
            for j in range(points.shape[1])
        )  # fmt: skip
        s = score(x, t).reshape(points.shape)
        expected = law.dim + (points * s).sum(1) + divergence + (s**2).sum(1)
        scale = 1 + np.abs(divergence) + (s**2).sum(1)
        assert np.abs((rate - expected) / scale).max() < 1e-5
        # Negative control: the reverse drift x + s instead of x + 2 s in disguise.
        assert np.abs((rate - expected + (s**2).sum(1)) / scale).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("law", [LINE, PLANE, GLASS], ids=repr)
@pytest.mark.parametrize("level", [(1.0, 0.8), (0.6, 0.8)])
def test_denoiser_is_the_best_prediction(law, level):
    """Tweedie by samples: what E[X|z] leaves of X is uncorrelated with every function of z."""
    scale, sigma = level
    x = law.sample(40_000, random_state=1)
    z = scale * x + sigma * np.random.default_rng(0).normal(size=x.shape)
    points = z.reshape(len(z), -1)

    def largest_deviation(denoised):
        rest = (x - denoised).reshape(points.shape)
        features = [np.ones(len(z)), *points.T, *np.tanh(3 * points.T), np.cos(points.sum(1))]
        products = np.stack([f[:, None] * rest for f in features])
        return float(np.abs(products.mean(1) / products.std(1)).max() * np.sqrt(len(z)))

    assert largest_deviation(law.denoise(z, scale, sigma)) < 5.5
    # Negative controls: the score of a tenth more noise, and the best linear prediction.
    other = (z + sigma**2 * law.noised(scale, 1.1 * sigma).score(z)) / scale
    assert largest_deviation(other) > 8
    normal = targets.Gaussian(law.mean, law.covariance).denoise(points, scale, sigma)
    assert largest_deviation(normal.reshape(x.shape)) > 8


# ---- denoising score matching is score matching at a noise level ---------------------------------


def networks_to_compare(x, noise):
    """Fitted at two penalties, random, and zero."""
    d = x[0].size
    rng = np.random.default_rng(5)
    options = dict(objective="denoising", noise=noise, random_state=0, tol=1e-3 if d > 1 else None)
    few = x[:400]
    u, w, b = rng.normal(size=(12, d)), 0.3 * rng.normal(size=(12, d)), rng.normal(size=12)
    return {
        "fitted": fit_convex_score(few, beta=5.0, **options).score_function,
        "fitted, nearly linear": fit_convex_score(few, beta=200.0, **options).score_function,
        "random": TwoLayerNetwork(u, w, b, offset=np.ones(d), skip=-0.5 * np.eye(d)),
        "zero": np.zeros_like,
    }  # fmt: skip


@pytest.mark.parametrize("law", [LINE, PLANE], ids=["line", "plane"])
def test_denoising_loss_is_score_matching_plus_a_constant(law):
    """E|s(z) - l|^2 = E|s(z) - s*(z)|^2 + d/eps^2 - E|s*(z)|^2 for every s (Vincent 2011)."""
    noise, n = 0.7, 100_000
    x = law.sample(n, random_state=0)
    problem = denoising(x, noise=noise, n_draws=1, random_state=1)
    z, labels = problem.points.reshape(x.shape), problem.labels
    exact = law.noised(1.0, noise)
    size = law.dim / noise**2
    true_score, wrong_score = exact.score(z), law.noised(1.0, 1.25 * noise).score(z)

    def squares(a):
        return (a.reshape(n, -1) ** 2).sum(1)

    def excess(values, reference):
        """Mean of DSM - ESM + |s*|^2 - d/eps^2 in standard errors."""
        found = squares(values - labels.reshape(x.shape)) - squares(values - reference)
        found += squares(reference) - size
        return float(found.mean() / found.std() * np.sqrt(n))

    wrong = []
    for name, score in networks_to_compare(x, noise).items():
        values = np.asarray(score(z))
        assert abs(excess(values, true_score)) < 4.5, name
        wrong.append(abs(excess(values, wrong_score)))
        # ESM as the metric of the package has it.
        divergence = metrics.fisher_divergence(score, exact.score, z)
        assert divergence == pytest.approx(squares(values - true_score).mean(), rel=1e-12)
    assert wrong[-1] < 4.5  # with s = 0 both sides are |l|^2 and the reference does not matter
    assert min(wrong[:-1]) > 8  # negative control: any other score is told apart by it


# ---- one contract for real scores ----------------------------------------------------------------

NETWORK = TwoLayerNetwork(
    *np.random.default_rng(0).normal(size=(2, 40, 2)) * [[[1.0]], [[0.02]]],
    np.random.default_rng(1).normal(size=40), skip=-np.eye(2), offset=[0.1, -0.2],
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("law", [NETWORK, PLANE, GLASS], ids=["network", "mixture", "spins"])
@pytest.mark.parametrize("sampler", [ddpm, ancestral, heun, annealed_langevin, predictor_corrector])
def test_samples_do_not_depend_on_the_batch_or_the_other_chains(law, sampler):
    times, how = (
        exponential_grid(4.0, 25, end=1e-2),
        dict(n_samples=60, dim=law.dim, random_state=3),
    )
    score = (lambda x, t: NETWORK(x)) if law is NETWORK else vp_score(law)
    if sampler in (annealed_langevin, predictor_corrector):
        score, times = vp_score_to_ve(score), geometric_levels(5.0, 0.1, 15)
        how |= dict(step=1e-3, n_steps=3) if sampler is annealed_langevin else {}
    whole = sampler(score, None, times, **how).samples
    # Matrix products of other sizes round differently; nothing else may differ.
    for other in ({"batch_size": 1}, {"batch_size": 7}, {"batch_size": 32}, {"n_samples": 11}):
        found = sampler(score, None, times, **how | other).samples
        np.testing.assert_allclose(found, whole[: len(found)], rtol=1e-9, atol=1e-10)
    another = sampler(score, None, times, **how | {"random_state": 4}).samples
    assert np.abs(another - whole).max() > 0.1


@pytest.mark.parametrize("activation", ["relu", "abs"])
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("m", [0, 1, 40, 70_000])
def test_network_as_samplers_call_it_is_its_formula(m, dim, activation):
    """Blocks, buffers and the bias as a column of a matrix product change roundings only."""
    rng = np.random.default_rng(m + dim)
    u, w, b = rng.normal(size=(m, dim)), rng.normal(size=(m, dim)), rng.normal(size=m)
    skip, offset = rng.normal(size=(dim, dim)), rng.normal(size=dim)
    x = 3 * rng.normal(size=(5 if m > 1000 else 4000, dim))
    z = x @ u.T + b
    neurons = (np.abs(z) if activation == "abs" else np.where(z > 0, z, 0)) @ w
    size = 1 + np.abs(z) @ np.abs(w)
    for given, line in ((skip, x @ skip.T), (None, 0.0)):
        net = TwoLayerNetwork(u, w, b, skip=given, offset=offset, activation=activation)
        assert (np.abs(net(x) - neurons - line - offset) <= 1e-13 * size).all()
        assert net(x[:0]).shape == (0, dim)
        np.testing.assert_allclose(net(x[3]), net(x)[3], rtol=1e-11, atol=1e-12)
        np.testing.assert_array_equal(net(np.asfortranarray(x)), net(x))
        np.testing.assert_allclose(net(x[::-1])[::-1], net(x), rtol=1e-11, atol=1e-11)
        assert np.isnan(net(np.full((2, dim), np.nan))).all() or m == 0


@pytest.mark.parametrize("size", [2.0**-27, 2.0**27])
def test_units_of_the_data_do_not_matter(size):
    """Data in other units, from 1e-8 to 1e8: the same chains in these units."""
    law, scaled = PLANE, targets.GaussianMixture(
        PLANE.weights, size * PLANE.means, size**2 * PLANE.covariances
    )  # fmt: skip
    levels = geometric_levels(8.0, 0.1, 25)
    options = dict(n_samples=50, dim=2, random_state=0)
    for sampler, plain, unit in (
        (annealed_langevin, dict(step=1e-3, n_steps=3), dict(step=1e-3 * size**2, n_steps=3)),
        (predictor_corrector, {}, {}),
    ):
        here = sampler(ve_score(law), None, levels, **plain, **options).samples
        there = sampler(ve_score(scaled), None, size * levels, **unit, **options).samples
        np.testing.assert_allclose(there / size, here, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
def test_the_same_path_in_both_parametrisations():
    """Probability flow has no noise: in VE coordinates it is the same curve, up to the steps."""
    times = exponential_grid(3.0, 4000, end=0.05).times
    start = np.linspace(-2, 2, 9)
    flow = heun(vp_score(LINE), start, times, final_denoising=False).samples
    # dx/dsigma = -sigma s(x, sigma), by midpoint steps along the same levels.
    score, x = ve_score(LINE), start / vp(3.0)[0]
    levels = ve_level(times)
    np.testing.assert_allclose(vp_time(levels), times, rtol=1e-12)
    for high, low in itertools.pairwise(levels):
        middle = (high + low) / 2
        half = x - (middle - high) * high * score(x, high)
        x = x - (low - high) * middle * score(half, middle)
    np.testing.assert_allclose(x * vp(0.05)[0], flow, atol=2e-4)
    assert np.abs(x * vp(0.05)[0] - start).max() > 0.3  # it went somewhere
