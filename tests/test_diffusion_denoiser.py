"""A fitted diffusion model as a denoiser in the units of the data, and with a time for every row."""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from convexscore import ConvexDiffusion, fit_convex_diffusion, metrics, samplers, targets
from convexscore.denoisers import Denoiser
from convexscore.schedules import exponential_grid, geometric_levels, vp
from convexscore.scores import ve_score, vp_score

LINE = targets.GaussianMixture([0.6, 0.4], [48.0, 60.0], [3.0, 1.5])
PAIRS = [(1.0, 0.5), (0.8, 6.0), (0.3, 0.9), (2.0, 40.0), (1.0, 1e3), (1e-3, 5.0)]


def plane(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return 10.0 + rng.normal(size=(n, 2)) @ [[4.0, 1.0], [0.0, 2.0]] * rng.choice([1, 2], (n, 1))


def fit(data, **options):
    return fit_convex_diffusion(data, **{"beta": 4.0, "n_draws": 3, "random_state": 0, **options})


MODELS = {
    "line": lambda: fit(LINE.sample(200, random_state=0), n_levels=5),
    "line-ve": lambda: fit(LINE.sample(200, random_state=0), n_levels=5, schedule="ve"),
    "line-whitened": lambda: fit(
        LINE.sample(99, random_state=1), n_levels=3, standardize="whitening"
    ),
    "plane": lambda: fit(plane(), n_levels=4, tol=0.05),
    "plane-as-it-is": lambda: fit(plane() - 10.0, n_levels=4, tol=0.05, standardize=None),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    return MODELS[request.param]()


@pytest.fixture(scope="module")
def good_model():
    return fit(LINE.sample(1000, random_state=0), n_levels=12, beta="rule", n_draws=4)


def points(model, n, seed=3):
    return LINE.sample(n, random_state=seed) if model.n_features_in_ == 1 else plane(n, seed)


# ------------------------------------------------------------------------------------ as a denoiser


@pytest.mark.parametrize("scale, sigma", PAIRS)
def test_it_is_tweedie_of_the_models_own_scores(model, scale, sigma):
    """The noise of ve_score is sigma / M: a level of Z, which is ``unit`` times larger in X."""
    assert isinstance(model.denoiser, Denoiser)
    assert model.denoiser.dim == model.n_features_in_ and model.denoiser.report is None
    unit = model.standardization_.inverse[0, 0]
    rng = np.random.default_rng(0)
    z = scale * points(model, 30)
    z = z + sigma * rng.normal(size=z.shape)
    noise = sigma / scale
    score = model.ve_score(z / scale, noise / unit)
    mean = model.denoiser(z, scale, sigma)
    np.testing.assert_allclose(mean, z / scale + noise**2 * score, rtol=1e-6, atol=1e-6 * noise)
    # negative control: the level not divided by the unit
    if unit != 1.0 and sigma < 10.0:
        wrong = z / scale + noise**2 * model.ve_score(z / scale, noise)
        assert np.abs(wrong - mean).max() > 0.01 * unit


def test_where_the_units_are_those_of_the_data_it_is_the_models_own_denoiser_and_score():
    model = MODELS["plane-as-it-is"]()
    x = plane(20, seed=4) - 10.0
    own = ((vp_score, model.score_function), (ve_score, model.ve_score))
    for t in (0.01, 0.3, 2.0):
        np.testing.assert_allclose(model.denoiser(x, *vp(t)), model.denoise(x, t), rtol=1e-9)
        for family, score in own:
            got = family(model.denoiser)(x, t)
            np.testing.assert_allclose(got, score(x, t), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("d", [1, 2])
def test_against_the_exact_law_of_a_gaussian(d):
    mean, covariance = np.array([50.0, -20.0])[:d], np.array([[9.0, 2.0], [2.0, 4.0]])[:d, :d]
    X = targets.Gaussian(mean, covariance).sample(250, random_state=0)
    # a penalty that no neuron pays
    model = fit(X, n_levels=12, beta=1e9, n_draws=2)
    law = targets.Gaussian(np.atleast_1d(X.mean(axis=0)), np.atleast_2d(np.cov(X.T, bias=True)))
    shifted = targets.Gaussian(np.zeros(d), law.covariance)
    for scale, sigma in [(1.0, 1.0), (0.7, 2.0), (0.1, 1.0), (0.5, 30.0)]:
        z = law.noised(scale, sigma).sample(300, random_state=1)
        wanted, got = law.denoise(z, scale, sigma), model.denoiser(z, scale, sigma)
        spread = np.sqrt(np.mean((wanted - X.mean(axis=0)) ** 2)) + 1e-3
        assert np.sqrt(np.mean((got - wanted) ** 2)) < 0.1 * spread + 0.01
        # negative controls: the mean left out, the noise of Z taken for that of X
        assert np.abs(got - shifted.denoise(z, scale, sigma)).max() > 1.0
    wrong = model.denoiser(z, 1.0, 3.0) - law.denoise(z, 1.0, 1.0)
    assert np.sqrt(np.mean(wrong**2)) > 0.5


def test_no_noise_all_noise_and_no_signal(model):
    x = points(model, 9)
    np.testing.assert_allclose(model.denoiser(0.5 * x, 0.5, 0.0), x, rtol=1e-12)
    mean = model.standardization_.points_back(model.ladder_.mean[None, :])[0]
    for scale, sigma in [(0.0, 1.0), (1e-300, 1.0), (1e-20, 1e10), (1.0, 1e200)]:
        got = model.denoiser(sigma * x, scale, sigma)
        np.testing.assert_allclose(got, np.broadcast_to(mean, (9, mean.size)).reshape(x.shape))
    with pytest.raises(ValueError, match="sigma must be > 0, or 0 with scale > 0"):
        model.denoiser(x, 0.0, 0.0)


GRID, LEVELS = exponential_grid(6.0, 250, end=2e-3), geometric_levels(80.0, 0.3, 60)
RUNS = dict.fromkeys(("ddpm", "ancestral", "probability_flow", "heun"), (vp_score, GRID, {}))
RUNS["annealed_langevin"] = (ve_score, LEVELS, {"step": 0.01, "n_steps": 10})
RUNS["predictor_corrector"] = (ve_score, LEVELS, {})


@pytest.mark.parametrize("name", RUNS)
def test_every_sampler_runs_on_it(good_model, name):
    n = 1000
    family, path, how = RUNS[name]
    sampler, score = getattr(samplers, name), family(good_model.denoiser)
    y = sampler(score, None, path, n_samples=n, random_state=1, **how).samples
    floor = metrics.noise_floor(metrics.kolmogorov_smirnov, LINE.sample, n, random_state=0)
    truth = LINE.sample(n, random_state=3)
    assert metrics.kolmogorov_smirnov(y, truth) < 2.0 * floor.upper
    # negative control: a Gaussian of the same moments
    gaussian = np.random.default_rng(0).normal(LINE.mean[0], np.sqrt(LINE.covariance[0, 0]), n)
    assert metrics.kolmogorov_smirnov(gaussian, truth) > 2.5 * floor.upper


def test_the_flow_along_it_is_the_models_own():
    model = MODELS["plane-as-it-is"]()
    x0, grid = plane(12, seed=5) - 10.0, exponential_grid(3.0, 40, end=0.05)
    own = model.sample(12, method="heun", x0=x0, grid=grid)
    outside = samplers.heun(vp_score(model.denoiser), x0, grid).samples
    np.testing.assert_allclose(outside, own, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["columns", "whitening"])
def test_it_is_refused_where_the_fit_knows_other_noise(mode):
    model = fit(plane(), n_levels=2, standardize=mode, tol=0.1)
    with pytest.raises(AttributeError, match=rf"'{mode}'.*'scale' or None.*denoise\(X, t\)"):
        _ = model.denoiser
    assert not hasattr(model, "denoiser") and np.isfinite(model.denoise(plane(5), 0.3)).all()
    with pytest.raises(NotFittedError):
        _ = ConvexDiffusion().denoiser


def test_bad_points_and_levels_of_the_denoiser():
    denoiser = MODELS["plane"]().denoiser
    with pytest.raises(ValueError, match=r"z .*expecting 2.*\(4, 3\)"):
        denoiser(np.ones((4, 3)), 1.0, 1.0)
    with pytest.raises(ValueError, match="z must be numeric"):
        denoiser("ab", 1.0, 1.0)
    for scale, sigma in [(-1.0, 1.0), (1.0, -1.0), (np.nan, 1.0), ("a", 1.0), (1.0, [1.0, -2.0])]:
        with pytest.raises(ValueError, match=r"scale|sigma"):
            denoiser(np.ones((2, 2)), scale, sigma)
    with pytest.raises(ValueError, match=r"3 levels.*\(2,\)"):
        denoiser(np.ones((2, 2)), 1.0, np.ones(3))


# ------------------------------------------------------------------------------ a time for every row


def test_times_by_row_are_the_loop_over_the_rows(model):
    times = np.array([0.0, 0.01, 0.3, 0.3, 2.0, 7.0, 60.0, 1e-5, 0.7])
    x = points(model, len(times))
    scale, sigma = vp(times[1:])
    for name in ("score_function", "denoise", "ve_score"):
        call = getattr(model, name)
        rows = np.array([call(row, float(t)) for row, t in zip(x, times, strict=True)])
        np.testing.assert_allclose(call(x, times), rows, rtol=1e-9, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(call(x, times.tolist()), rows, rtol=1e-9, atol=1e-12)
        shuffled = call(x, times[::-1])  # negative control
        assert not np.allclose(shuffled, rows, rtol=1e-3)
        np.testing.assert_allclose(call(x, np.full(9, 0.3)), call(x, 0.3), rtol=1e-12)
        with pytest.raises(ValueError, match="4 levels"):
            call(x, times[:4])
        with pytest.raises(ValueError, match="must be finite and >= 0; got -1"):
            call(x, -np.ones(9))
    denoiser = model.denoiser
    rows = [denoiser(x[[k + 1]], float(scale[k]), float(sigma[k]))[0] for k in range(8)]
    np.testing.assert_allclose(denoiser(x[1:], scale, sigma), rows, rtol=1e-9)
    np.testing.assert_allclose(
        denoiser(x, 0.5, times), [denoiser(x[[k]], 0.5, float(t))[0] for k, t in enumerate(times)],
        rtol=1e-9,
    )  # fmt: skip
    score = vp_score(denoiser)
    wanted = [score(x[[k]], float(t))[0] for k, t in enumerate(times) if t > 0.0]
    np.testing.assert_allclose(score(x[1:], times[1:]), wanted, rtol=1e-6, atol=1e-9)


def test_times_go_with_the_first_axis():
    column, table = MODELS["line"](), MODELS["plane"]()
    times = np.array([0.1, 1.0])
    for model, shape in ((column, (2,)), (column, (2, 1)), (column, (2, 3)), (table, (2, 3, 2))):
        x = 50.0 + np.random.default_rng(0).normal(size=shape)
        got = model.score_function(x, times)
        assert got.shape == shape
        for k, t in enumerate(times):
            np.testing.assert_allclose(got[k], model.score_function(x[k], float(t)), rtol=1e-9)
    for model, x in ((column, 50.0), (table, np.ones(2))):  # a single point has one time
        with pytest.raises(ValueError, match="2 levels"):
            model.score_function(x, times)
