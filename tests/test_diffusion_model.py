"""ConvexDiffusion: every level is an independent certified fit; scores, samples, units, errors."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from oracles import conic_optimum, softmax_labels
from scipy.stats import gmean
from sklearn.exceptions import NotFittedError

from convexscore import (
    ConvexDiffusion,
    certify,
    fit_convex_diffusion,
    fit_convex_score,
    metrics,
    targets,
)
from convexscore._tools.exceptions import ConvergenceWarning, SolverError
from convexscore.models.diffusion_sampling import SAMPLERS
from convexscore.objectives.objective import Denoising
from convexscore.schedules import exponential_grid, geometric_levels, vp, vp_time
from convexscore.solvers.certificate import Outcome
from convexscore.solvers.line.training import LineTraining
from convexscore.solvers.space.training import SpaceTraining

LINE = targets.GaussianMixture([0.6, 0.4], [-2.0, 2.0], [0.36, 0.16])
CASES = list(itertools.product(["relu", "abs", "leaky_relu(0.3)"], [True, False]))
GRID = np.linspace(-5.0, 5.0, 101)


def line(n=60, seed=0):
    return LINE.sample(n, random_state=seed)


def plane(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) @ [[0.9, 0.3], [0.0, 0.5]] + rng.choice([-2.0, 2.0], (n, 1))


def quick(data, **options):
    fixed = {"beta": 4.0, "n_draws": 3, "random_state": 0}
    if "levels" not in options:
        fixed["n_levels"] = 4
    return fit_convex_diffusion(data, **{**fixed, **options})


@pytest.fixture(scope="module")
def on_line():
    return quick(line())


@pytest.fixture(scope="module")
def on_plane():
    return quick(plane(), n_levels=3, n_draws=2, tol=1e-3)


@pytest.fixture(scope="module")
def good_model():
    """Enough data and levels that samples can be judged."""
    return fit_convex_diffusion(line(1500), n_levels=14, beta="rule", n_draws=4, random_state=0)


# --------------------------------------------------------------------- every level is its own problem


@pytest.fixture
def recorded(monkeypatch):
    """Every objective that a fit builds."""
    seen = []
    build = Denoising.build

    def recorder(self, *arguments):
        seen.append(build(self, *arguments))
        return seen[-1]

    monkeypatch.setattr(Denoising, "build", recorder)
    return seen


@pytest.mark.parametrize("labels", ["smoothed", "noisy"])
@pytest.mark.parametrize("activation, skip", CASES)
def test_levels_of_one_column_are_the_conic_optimum(recorded, labels, activation, skip):
    x = line(14)
    betas = [3.0, 2.0, 1.0]
    model = fit_convex_diffusion(
        x, levels=[3.0, 1.0, 0.3], schedule="ve", beta=betas, n_draws=2, labels=labels,
        activation=activation, skip=skip, random_state=0,
    )  # fmt: skip
    assert model.standardization_.name is None  # Z = X: networks and problems in the same units
    assert len(recorded) == len(model.networks_) == 3
    moves = []
    for k, (problem, level) in enumerate(zip(recorded, [3.0, 1.0, 0.3], strict=True)):
        points = problem.points
        delta = (points - np.tile(x[:, None], (2, 1))) / level
        moves.append(delta)
        wanted = softmax_labels(x[:, None], points, level)
        given = wanted if labels == "smoothed" else -delta / level
        np.testing.assert_allclose(problem.labels, given, rtol=1e-9, atol=1e-9)
        optimum = conic_optimum(
            points[:, 0], given[:, 0], betas[k], activation=activation, skip=skip, divergence=0.0
        )
        found = model.certificates_[k].certificate.objective
        assert found == pytest.approx(optimum, rel=1e-6, abs=1e-7)
        network = model.networks_[k]
        misfit = 0.5 * np.sum((network(points[:, 0]) - given[:, 0]) ** 2)
        assert misfit + betas[k] * network.path_norm() == pytest.approx(optimum, rel=1e-6, abs=1e-7)
        np.testing.assert_allclose(
            model.ladder_.scores[k](GRID[:, None])[:, 0], network(GRID), rtol=1e-8, atol=1e-9
        )
    # the same displacements at every level, standard normal ones
    np.testing.assert_allclose(moves[1], moves[0], atol=1e-9)
    np.testing.assert_allclose(moves[2], moves[0], atol=1e-9)
    assert 0.6 < np.std(moves[0]) < 1.4


@pytest.mark.parametrize(
    "options", [{}, {"activation": "abs", "skip": False, "constraint": "gradient"}]
)
def test_levels_of_the_plane_are_certified_from_outside(recorded, options):
    x, tol = plane(25), 1e-3
    model = fit_convex_diffusion(
        x, levels=[3.0, 0.5], schedule="ve", beta=[2.0, 1.0], n_draws=2, tol=tol, random_state=0,
        **options,
    )  # fmt: skip
    for k, problem in enumerate(recorded):
        level = model.levels_[k]
        wanted = softmax_labels(x, problem.points, level)
        np.testing.assert_allclose(problem.labels, wanted, rtol=1e-8, atol=1e-9)
        # negative control: the network of the other level does not solve this problem
        proof, other = (
            certify(
                network, problem.points, beta=model.betas_[k], objective="denoising", labels=wanted,
                tol=tol, skip=options.get("skip", True), constraint=options.get("constraint"),
            )
            for network in (model.networks_[k], model.networks_[1 - k])
        )  # fmt: skip
        row = model.certificates_[k].certificate
        assert proof.optimal and proof.relative_gap <= tol
        assert row.relative_gap <= tol and row.objective == pytest.approx(proof.objective, rel=1e-9)
        assert not other.optimal


def test_a_beta_of_one_level_changes_that_level_only():
    x = line()
    a, b = (quick(x, beta=betas) for betas in ([9.0, 6.0, 4.0, 2.0], [9.0, 6.0, 1.0, 2.0]))
    same = [np.array_equal(f(GRID), g(GRID)) for f, g in zip(a.networks_, b.networks_, strict=True)]
    assert same == [True, True, False, True]


def test_networks_are_scores_in_the_units_of_the_data(on_plane):
    x = plane(10, seed=1)
    for level, network in zip(on_plane.levels_, on_plane.networks_, strict=True):
        np.testing.assert_allclose(on_plane.ve_score(x, level), network(x), rtol=1e-8, atol=1e-9)


# ------------------------------------------------------------------------------------ the table


def test_table_of_certificates(on_line):
    table = on_line.certificates_
    assert len(table) == 4 and table.optimal
    assert np.array_equal(table["level"], on_line.levels_)
    assert np.array_equal(table["beta"], on_line.betas_)
    assert table["neurons"].tolist() == [f.certificate.n_neurons for f in table]
    assert (table["gap"] <= 1e-8).all() and (table["violation"] <= 1e-8).all()
    assert table["exact"].all() and (table["seconds"] > 0).all()
    assert set(table["outcome"]) == {"optimal"}
    columns = table.to_dict()
    assert list(columns) == list(table.COLUMNS)
    assert all(isinstance(column, list) and len(column) == 4 for column in columns.values())
    shown = repr(table).splitlines()
    assert shown[0].split() == list(table.COLUMNS) and len(shown) == 5
    assert len({len(row.rstrip()) for row in shown}) == 1
    with pytest.raises(KeyError, match=r"'width'.*level, beta"):
        table["width"]
    pandas = pytest.importorskip("pandas")
    assert pandas.DataFrame(columns).shape == (4, len(table.COLUMNS))


def fails(monkeypatch, failing, error):
    """Levels (by position, in serial fits) whose solver raises."""
    fit, calls = LineTraining.fit, itertools.count()

    def perhaps(self, *arguments, **named):
        if next(calls) in failing:
            raise error
        return fit(self, *arguments, **named)

    monkeypatch.setattr(LineTraining, "fit", perhaps)


def test_a_level_that_fails_is_left_out_and_named(monkeypatch):
    x = line()
    whole = quick(x)
    fails(monkeypatch, [1], FloatingPointError("no luck today"))
    lost = f"{whole.levels_[1]:.3g}"
    with pytest.warns(ConvergenceWarning, match=rf"1 of 4 noise levels.*levels {lost}\).*luck"):
        model = quick(x)
    table = model.certificates_
    assert len(table) == 4 and not table.optimal and not table.converged
    assert table["outcome"][1] == "failed: FloatingPointError: no luck today"
    assert np.isnan(table["gap"][1]) and table["neurons"][1] == 0 and not table["exact"][1]
    assert "no luck today" in repr(table)
    # the others are what they were, and the model works without the lost one
    keep = [0, 2, 3]
    assert np.array_equal(model.levels_, whole.levels_[keep])
    assert np.array_equal(model.betas_, whole.betas_[keep])
    for mine, k in zip(model.networks_, keep, strict=True):
        assert np.array_equal(mine(GRID), whole.networks_[k](GRID))
    assert np.isfinite(model.sample(50, n_steps=20, random_state=0)).all()
    assert np.isfinite(model.score_function(GRID, 0.3)).all()


def test_one_level_left_still_samples_and_none_is_an_error(monkeypatch):
    fails(monkeypatch, [1, 2, 3, 4, 5], ValueError("broken"))
    with pytest.warns(ConvergenceWarning, match="3 of 4 noise levels"):
        model = quick(line())
    assert len(model.levels_) == 1
    assert np.isfinite(model.score_function(GRID, 0.01)).all()
    assert np.isfinite(model.score_function(GRID, 4.0)).all()
    levels = {"levels": model.levels_, "n_steps": 5}
    assert np.isfinite(model.sample(9, method="annealed_langevin", **levels)).all()
    model = ConvexDiffusion(n_levels=2, beta=1.0, n_draws=1)
    with pytest.raises(SolverError, match=r"no noise level.*ValueError: broken"):
        model.fit(line())
    with pytest.raises(NotFittedError):
        model.score_function(0.0, 1.0)


def test_levels_short_of_the_tolerance_are_kept_with_a_warning(monkeypatch):
    fit = SpaceTraining.fit

    def stopped_early(self, *arguments, **named):
        done = fit(self, *arguments, **named)
        certificate = replace(done.certificate, relative_gap=0.25, outcome=Outcome.NOT_OPTIMAL)
        return replace(done, certificate=certificate)

    monkeypatch.setattr(SpaceTraining, "fit", stopped_early)
    with pytest.warns(ConvergenceWarning, match="2 of 2 noise levels.*gap 0.25"):
        model = quick(plane(15), n_levels=2, n_draws=1)
    table = model.certificates_
    assert len(model.levels_) == 2 and not table.optimal and not table.converged
    assert table["outcome"].tolist() == [str(Outcome.NOT_OPTIMAL)] * 2


# --------------------------------------------------------------------------- randomness and workers


def parts(model):
    return [part for net in model.networks_ for part in (net.u, net.w, net.b, net.offset, net.skip)]


@pytest.mark.parametrize("method", SAMPLERS)
def test_a_seed_is_a_sample_whatever_runs_beside_it(on_plane, method):
    how = {"method": method, "n_steps": 8}
    many = on_plane.sample(130, random_state=3, **how)
    np.testing.assert_array_equal(many, on_plane.sample(130, random_state=3, **how))
    few = on_plane.sample(40, random_state=3, **how)
    np.testing.assert_allclose(many[:40], few, rtol=1e-7, atol=1e-7)
    cut = on_plane.sample(130, random_state=3, batch_size=17, **how)
    np.testing.assert_allclose(many, cut, rtol=1e-7, atol=1e-7)
    assert not np.allclose(many, on_plane.sample(130, random_state=4, **how))


def test_random_states(on_line):
    def drawn(state=None):
        return on_line.sample(5, n_steps=4, random_state=state)

    before, generator = np.random.get_state()[1].copy(), np.random.default_rng(0)  # noqa: NPY002
    first, second = drawn(generator), drawn(generator)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, drawn(np.random.default_rng(0)))
    assert np.array_equal(*(drawn(np.random.RandomState(1)) for _ in range(2)))
    assert not np.array_equal(drawn(), drawn())
    quick(line(), beta="rule")
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# ----------------------------------------------------------------------------- symmetries of the data


def relative(a, b):
    return np.abs(a - b).max() / np.abs(b).max()


@pytest.mark.parametrize("schedule", ["vp", "ve"])
@pytest.mark.parametrize("scale, offset", [(1e8, 0.0), (1e-8, 0.0), (1.0, 1e6), (1e8, 3e9)])
def test_units_and_origin_of_a_column(schedule, scale, offset):
    x = line()
    options = {"schedule": schedule, "beta": "rule"}
    base, mapped = quick(x, **options), quick(scale * x + offset, **options)
    unit = 1.0 if schedule == "vp" else scale  # of t
    # an offset of a million spreads leaves ten digits of the data
    digits = 1e-12 * max(1.0, abs(offset) / scale) + 1e-9
    assert relative(mapped.betas_, base.betas_) < 1e3 * digits
    for t in (0.02, 0.3, 3.0):
        at = scale * GRID + offset
        got = mapped.score_function(at, t * unit) * scale
        assert relative(got, base.score_function(GRID, t)) < 1e4 * digits
        got = (mapped.denoise(at, t * unit) - offset) / scale
        assert relative(got, base.denoise(GRID, t)) < 1e4 * digits
    if schedule == "vp":
        how = {"n_steps": 20, "random_state": 0}
        y = (mapped.sample(60, **how) - offset) / scale
        assert relative(y, base.sample(60, **how)) < 1e5 * digits


@pytest.mark.parametrize("scale", [1e8, 1e-8])
def test_ve_levels_without_standardisation_sample_at_every_scale(scale):
    base, mapped = (quick(factor * line(200), schedule="ve") for factor in (1.0, scale))
    y, z = (
        model.sample(300, method="annealed_langevin", n_steps=10, random_state=0)
        for model in (base, mapped)
    )
    np.testing.assert_allclose(z / scale, y, rtol=1e-5, atol=1e-6)
    # the OU time of X itself is another clock at another scale, its samples are as good
    for model, factor in ((base, 1.0), (mapped, scale)):
        drawn = model.sample(300, method="ddpm", n_steps=100, random_state=0) / factor
        assert metrics.energy_distance(drawn, line(5000, seed=9)) < 0.05


@pytest.mark.parametrize("scale, offset", [(1e-8, 0.0), (1e8, 3e9)])
def test_units_and_origin_of_the_plane(on_plane, scale, offset):
    mapped = quick(scale * plane() + offset, n_levels=3, n_draws=2, tol=1e-3)
    at = plane(50, seed=5)
    for t in (0.05, 1.0):
        got = mapped.score_function(scale * at + offset, t) * scale
        # not the last bit: the search may stop at another network within the tolerance
        assert relative(got, on_plane.score_function(at, t)) < 0.05


@pytest.mark.slow
def test_rotations_change_no_more_than_another_seed():
    """The noise does not turn with the data, so equal fits are equal in law only."""
    x, angle = plane(60), 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    at = plane(100, seed=5)
    options = {"n_levels": 2, "n_draws": 10, "tol": 0.02}
    base, other = (quick(x, random_state=seed, **options) for seed in (0, 1))
    turned = quick(x @ turn.T, **options)
    assert np.allclose(turned.standardization_.matrix, base.standardization_.matrix)
    np.testing.assert_allclose(turned.levels_, base.levels_, rtol=1e-9)
    for t in (0.1, 0.5):
        wanted = base.score_function(at, t)
        seeds = np.sqrt(np.mean((other.score_function(at, t) - wanted) ** 2))
        back = turned.score_function(at @ turn.T, t) @ turn
        assert np.sqrt(np.mean((back - wanted) ** 2)) < 3.0 * seeds
        not_back = turned.score_function(at, t)  # negative control
        assert np.sqrt(np.mean((not_back - wanted) ** 2)) > 3.0 * seeds


# ------------------------------------------------------------------------------------------- weights


def test_weight_zero_is_absence_and_the_unit_of_weights_goes_to_beta():
    x = line()
    weight = np.random.default_rng(0).uniform(0.5, 2.0, x.size)
    weight[::4] = 0.0
    model = quick(x, sample_weight=weight, beta="rule")
    absent = quick(x[weight > 0], sample_weight=weight[weight > 0], beta="rule")
    assert all(np.array_equal(p, q) for p, q in zip(parts(model), parts(absent), strict=True))
    heavy = quick(x, sample_weight=5.0 * weight, beta="rule")
    np.testing.assert_allclose(heavy.betas_, 5.0 * model.betas_, rtol=1e-9)
    assert relative(heavy.score_function(GRID, 0.3), model.score_function(GRID, 0.3)) < 1e-7
    ones = quick(x, sample_weight=np.ones(x.size))
    assert relative(ones.score_function(GRID, 0.3), quick(x).score_function(GRID, 0.3)) < 1e-9


def test_integer_weights_are_repetitions_in_law():
    """The displacements differ, their number makes them irrelevant; beta counts noisy points."""
    x = line(40)
    weight = np.where(x > 0, 3, 1)
    options = {"levels": [3.0, 1.0, 0.4], "schedule": "ve", "beta": 2000.0, "n_draws": 400}
    weighted = quick(x, sample_weight=weight, **options)
    repeated = quick(np.repeat(x, weight), **options)
    plain = quick(x, **options)
    for sigma in (3.0, 0.6):
        wanted = repeated.score_function(GRID, sigma)
        assert relative(weighted.score_function(GRID, sigma), wanted) < 0.05
        assert relative(plain.score_function(GRID, sigma), wanted) > 0.08  # negative control
    # the Gaussian above the ladder has the weighted moments
    np.testing.assert_allclose(weighted.ladder_.mean, repeated.ladder_.mean)
    np.testing.assert_allclose(weighted.ladder_.covariance, repeated.ladder_.covariance)


# -------------------------------------------------------------------- scores and denoisers in context


@pytest.mark.slow
def test_vp_score_is_the_score_of_the_process_it_says(good_model):
    """Against the exact score of mu + e^-t (X - mu) + sqrt(1 - e^-2t) G / M."""
    to_z = good_model.standardization_
    mu, m = to_z.centre[0], to_z.matrix[0, 0]
    z_law = targets.GaussianMixture(LINE.weights, (LINE.means - mu) * m, LINE.covariances * m**2)
    for t in (0.02, 0.2, 1.0, 2.0):
        scale, sigma = vp(t)
        z = z_law.noised(scale, sigma).sample(2000, random_state=1)
        wanted = z_law.noised(scale, sigma).score(z) * m
        x = mu + z / m
        size = np.sqrt(np.mean(wanted**2))
        assert np.sqrt(np.mean((good_model.score_function(x, t) - wanted) ** 2)) < 0.15 * size
        clean = mu + z_law.denoise(z, scale, sigma) / m
        error = np.sqrt(np.mean((good_model.denoise(x, t) - clean) ** 2))
        assert error < 0.1 * x.std()
        if t <= 1.0:  # negative control: the score at another time
            wrong = good_model.score_function(x, t / 4)
            assert np.sqrt(np.mean((wrong - wanted) ** 2)) > 0.2 * size


@pytest.mark.parametrize("name", ["on_line", "on_plane"])
def test_vp_score_ve_score_and_denoiser_are_one_function(name, request):
    model = request.getfixturevalue(name)
    x = line(30, seed=2) if name == "on_line" else plane(30, seed=2)
    mu, m = model.standardization_.centre, np.diag(model.standardization_.matrix)[0]
    mu = mu[0] if name == "on_line" else mu
    for t in (0.0, 0.01, 0.4, 2.0, 5.0, 40.0):
        scale, sigma = vp(t)
        vp_score = model.score_function(x, t)
        y = mu + (x - mu) / scale
        np.testing.assert_allclose(
            vp_score, model.ve_score(y, sigma / scale) / scale, rtol=1e-7, atol=1e-9
        )
        if t < 10.0:  # beyond, the formula cancels; the method does not
            tweedie = mu + (x - mu + (sigma / m) ** 2 * vp_score) / scale
            np.testing.assert_allclose(model.denoise(x, t), tweedie, rtol=1e-6, atol=1e-6)
    centre = np.broadcast_to(mu, np.shape(x))
    np.testing.assert_allclose(model.denoise(x, 60.0), centre, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("t", [100.0, 800.0, 1e5])
def test_times_beyond_all_noise(on_line, t):
    scale = on_line.standardization_.matrix[0, 0]
    wanted = -scale * on_line.standardization_.points(GRID[:, None])[:, 0]
    np.testing.assert_allclose(on_line.score_function(GRID, t), wanted, rtol=1e-9)


def test_ve_denoiser_is_tweedie():
    model = quick(line(), schedule="ve")
    for sigma in (0.0, 0.05, 0.7, 8.0, 30.0):
        score = model.score_function(GRID, sigma)
        assert np.array_equal(score, model.ve_score(GRID, sigma))
        np.testing.assert_allclose(
            model.denoise(GRID, sigma), GRID + sigma**2 * score, rtol=1e-9, atol=1e-9
        )


def test_default_ladder_spans_the_data():
    model = quick(line(400), n_levels=7)
    ratios = model.levels_[1:] / model.levels_[:-1]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
    assert model.levels_[0] == pytest.approx(10.0)  # standard deviations
    assert 0.01 < model.levels_[-1] < 0.3
    # in time: from 0.5 log(101) to 0.5 log(1 + last^2)
    path = model.sample(2, n_steps=3, keep_trajectory=True, return_result=True).times
    assert path[0] == pytest.approx(0.5 * np.log(101.0)) and path[-1] == 0.0
    assert path[-2] == pytest.approx(0.5 * np.log1p(model.levels_[-1] ** 2))


@pytest.mark.slow
def test_fewer_levels_from_given_ends_and_draws():
    model = quick(line(), sigma_max=4.0, sigma_min=0.25, n_levels=5)
    np.testing.assert_allclose(model.levels_, [4.0, 2.0, 1.0, 0.5, 0.25])
    assert model.n_draws_ == 3
    assert quick(line(), n_draws=None, n_levels=2).n_draws_ == 50
    assert quick(line(1000), n_draws=None, n_levels=2).n_draws_ == 8
    assert quick(line(9000), n_draws=None, n_levels=2).n_draws_ == 2  # a pair at least


# --------------------------------------------------------------------------------------- samplers

HOW = {
    "ddpm": {},
    "ancestral": {},
    "probability_flow": {},
    "heun": {"n_steps": 60},
    "annealed_langevin": {"levels": geometric_levels(8.0, 0.1, 40), "n_steps": 12},
    "predictor_corrector": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", SAMPLERS)
def test_all_samplers_agree_with_the_law(good_model, method):
    n = 2000
    y = good_model.sample(n, method=method, random_state=1, **HOW[method])
    assert y.shape == (n,) and np.isfinite(y).all()
    others = good_model.sample(n, method="heun", n_steps=60, random_state=2)
    floor = metrics.noise_floor(metrics.kolmogorov_smirnov, LINE.sample, n, random_state=0)
    assert metrics.kolmogorov_smirnov(y, others) < 1.5 * floor.upper
    truth = LINE.sample(n, random_state=3)
    # 1500 training points are themselves a KS distance of 0.03 away
    assert metrics.kolmogorov_smirnov(y, truth) < 2.0 * floor.upper
    # negative control: a Gaussian of the same moments
    gaussian = np.random.default_rng(0).normal(LINE.mean, np.sqrt(LINE.covariance[0, 0]), n)
    assert metrics.kolmogorov_smirnov(gaussian, truth) > 3.0 * floor.upper


def test_ve_levels_in_the_units_of_the_data():
    x = 50.0 + 3.0 * line(400)
    levels = geometric_levels(60.0, 0.3, 12)
    model = quick(x, schedule="ve", levels=levels, beta="rule")
    assert np.array_equal(model.levels_, levels)
    x0 = 50.0 + 60.0 * np.random.default_rng(0).normal(size=800)
    y = model.sample(800, method="annealed_langevin", x0=x0, random_state=0)
    truth = 50.0 + 3.0 * line(20_000, seed=1)
    floor = np.mean([metrics.energy_distance(50.0 + 3.0 * line(400, seed=k), truth)
                     for k in range(2, 30)])  # fmt: skip
    assert metrics.energy_distance(y, truth) < 5.0 * floor
    gaussian = x.mean() + x.std() * np.random.default_rng(0).normal(size=800)
    assert metrics.energy_distance(gaussian, truth) > 10.0 * floor  # negative control
    one_start = model.sample(3, method="annealed_langevin", x0=x0[:3], n_steps=1, levels=[60.0],
                             step=1e-8, final_denoising=False, random_state=0)  # fmt: skip
    np.testing.assert_allclose(one_start, x0[:3], atol=1e-2)  # x0 is in units of X


@pytest.mark.parametrize("method", SAMPLERS)
@pytest.mark.parametrize("name", ["on_line", "on_plane"])
def test_results_and_trajectories_are_in_the_units_of_the_data(name, method, request):
    model = request.getfixturevalue(name)
    shift = 1000.0 if name == "on_line" else np.array([1000.0, -500.0])
    fine = {} if name == "on_line" else {"n_levels": 3, "n_draws": 2, "tol": 1e-3}
    moved = quick((line() if name == "on_line" else plane()) + shift, **fine)
    how = {"method": method, "n_steps": 4, "random_state": 0, "return_result": True}
    result = moved.sample(6, keep_trajectory=True, **how)
    shape = (6,) if name == "on_line" else (6, 2)
    assert result.samples.shape == shape and result.trajectory.shape[1:] == shape
    assert np.array_equal(result.trajectory[-1], result.samples)
    assert len(result.trajectory) == len(result.times) and result.times[-1] == 0.0
    reach = 12.0 * np.abs(model.sample(200, n_steps=10)).max()
    assert np.abs(result.trajectory - shift).max() < 6.0 * reach
    plain = moved.sample(6, **{**how, "return_result": False})
    assert np.array_equal(plain, result.samples)
    assert moved.sample(6, **how).trajectory is None


def test_start_in_the_units_of_the_data(on_plane):
    x0 = plane(7, seed=3)
    result = on_plane.sample(7, x0=x0, n_steps=3, keep_trajectory=True, return_result=True)
    np.testing.assert_allclose(result.trajectory[0], x0, rtol=1e-12)
    column = quick(line())
    for start in (line(5), line(5)[:, None], line(5).tolist()):
        result = column.sample(5, x0=start, n_steps=3, keep_trajectory=True, return_result=True)
        np.testing.assert_allclose(result.trajectory[0], np.ravel(start), rtol=1e-12)


def test_default_start_is_the_gaussian_with_the_moments(on_plane):
    result = on_plane.sample(4000, n_steps=1, final_denoising=False, keep_trajectory=True,
                             return_result=True, random_state=0)  # fmt: skip
    start = result.trajectory[0]
    scale, sigma = vp(vp_time(on_plane.levels_[0]))
    x, unit = plane(), on_plane.standardization_.inverse[0, 0]
    wanted = scale**2 * np.cov(x.T, bias=True) + sigma**2 * unit**2 * np.eye(2)
    error = 5.0 * np.sqrt(2.0 / 4000) * wanted.max()
    assert np.abs(np.cov(start.T) - wanted).max() < error
    # the process forgets towards the mean of the data, the centre of Z
    assert np.abs(start.mean(axis=0) - x.mean(axis=0)).max() < error
    assert on_plane.sample(1, n_steps=2).shape == (1, 2)
    assert quick(line()).sample(1, n_steps=2).shape == (1,)


# ------------------------------------------------------------------------------------------- shapes


SHAPES = [
    *[("on_line", shape) for shape in ((), (1,), (7,), (7, 1), (2, 3), (0,), (2, 3, 4))],
    *[("on_plane", shape) for shape in ((2,), (1, 2), (5, 2), (0, 2), (2, 3, 2))],
]


@pytest.mark.parametrize("name, shape", SHAPES)
def test_values_keep_the_shape(name, shape, request):
    model = request.getfixturevalue(name)
    x = np.random.default_rng(0).normal(size=shape)
    for call in (model.score_function, model.denoise, model.ve_score):
        assert np.shape(call(x, 0.3)) == shape
    if x.size and name == "on_plane":
        row = model.score_function(np.reshape(x, (-1, 2))[0], 0.3)
        np.testing.assert_allclose(row, np.reshape(model.score_function(x, 0.3), (-1, 2))[0])


@pytest.mark.slow
def test_few_points():
    for data in ([1.0, 2.0], [1.0, 2.0, 4.0], [[0.0, 1.0], [1.0, 0.0]]):
        for beta in (1.0, "rule", "cv"):
            model = fit_convex_diffusion(data, n_levels=2, beta=beta, n_draws=4, random_state=0)
            assert np.isfinite(model.sample(3, n_steps=5, random_state=0)).all()


def test_constant_and_dependent_columns_stay_what_they_are():
    x = line(40)
    for mode in ("columns", "whitening"):
        with pytest.raises(ValueError, match="column 1 of X is constant"):
            quick(np.column_stack([x, np.ones(40)]), standardize=mode)
    flat = quick(np.column_stack([x, np.full(40, 3.0)]), n_levels=2)
    y = flat.sample(20, n_steps=50, random_state=0)
    np.testing.assert_allclose(y[:, 1], 3.0, atol=0.05)
    twice = quick(np.column_stack([x, 2.0 * x]), n_levels=2)
    y = twice.sample(20, n_steps=50, random_state=0)
    np.testing.assert_allclose(y[:, 1], 2.0 * y[:, 0], atol=0.3)


def test_frames_bring_their_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(plane(), columns=["east", "north"])
    options = {"n_levels": 2, "n_draws": 1}
    model = quick(frame, **options)
    assert model.feature_names_in_.tolist() == ["east", "north"] and model.n_features_in_ == 2
    plain = quick(plane(), **options)
    assert np.array_equal(model.score_function(frame, 0.3), plain.score_function(plane(), 0.3))
    model.fit(plane())
    assert not hasattr(model, "feature_names_in_")
    assert model.fit(line()).sample(3, n_steps=2).shape == (3,) and model.n_features_in_ == 1
    series = quick(pandas.Series(line()))
    assert np.array_equal(series.score_function(GRID, 0.3), quick(line()).score_function(GRID, 0.3))


# --------------------------------------------------------------------------------- the estimator


def test_progress_bars(capsys):
    pytest.importorskip("tqdm")
    quick(line(), n_levels=3, beta="cv", progress=True)
    shown = capsys.readouterr().err
    for bar in ("gradient noise", "cross-validation", "noise levels"):
        assert bar in shown
    assert "3/3" in shown
    quick(line(), n_levels=3).sample(3, n_steps=2)
    assert capsys.readouterr().err == ""


# -------------------------------------------------------------------------------------- bad input

BAD_OPTIONS = [
    ({"schedule": "vpp"}, "schedule .*'vp', 've'; got 'vpp'"),
    ({"n_levels": 1}, "n_levels .*>= 2; got 1"),
    ({"n_levels": 2.5}, "n_levels .*integer.*2.5"),
    ({"levels": [1.0, 2.0]}, "levels .*at least 2 .*decreasing.*geometric_levels"),
    ({"levels": [1.0]}, "levels .*at least 2"),
    ({"levels": [2.0, 0.0]}, "levels .*sigma > 0"),
    ({"levels": ["a"]}, "levels must be numeric"),
    ({"levels": [2.0, 1.0], "sigma_max": 3.0}, "sigma_max = 3.0 has no effect with levels"),
    ({"levels": [2.0, 1.0], "sigma_min": 0.3}, "sigma_min = 0.3 has no effect with levels"),
    ({"levels": [2.0, 1.0], "n_levels": 2}, "n_levels = 2 has no effect with levels"),
    ({"sigma_max": 1e-3}, "sigma_max = 0.001 .*default sigma_min.*give sigma_min"),
    ({"sigma_max": -1.0}, "sigma_max .*> 0; got -1"),
    ({"sigma_max": "a"}, "sigma_max .*> 0; got 'a'"),
    ({"sigma_min": 0.0}, "sigma_min .*> 0; got 0"),
    ({"sigma_max": 1.0, "sigma_min": 2.0}, "sigma_min .*< sigma_max.*Swap them"),
    ({"beta": [1.0, 2.0]}, "beta .*3 of them, one per level.*got \\[1.0, 2.0\\]"),
    ({"beta": -1.0}, "beta .*got -1.0"),
    ({"beta": "auto"}, "beta .*'cv',.* 'rule', .*got 'auto'"),
    ({"beta": None}, "beta .*got None"),
    ({"n_draws": 0}, "n_draws .*>= 1; got 0"),
    ({"labels": "exact"}, "labels .*'noisy', 'smoothed'; got 'exact'"),
    ({"standardize": True}, "standardize .*'auto', 'scale', None.*got True"),
    ({"cv": 1, "beta": "cv"}, "cv .*>= 2; got 1"),
    ({"cv": 3}, "cv = 3 has no effect with beta = 1.0.*beta='cv'"),
    ({"cv": 3, "beta": "rule"}, "cv = 3 has no effect with beta = 'rule'.*beta='cv'"),
    ({"n_starts": 0}, "n_starts .*>= 1; got 0"),
    ({"n_starts": 9}, "n_starts = 9 has no effect.*three columns"),
    ({"n_jobs": 0}, "n_jobs"),
    ({"activation": "tanh"}, "activation .*'relu', 'abs'.*got 'tanh'"),
    ({"constraint": "convex"}, "constraint .*'density', 'gradient', 'log-concave'; got 'convex'"),
    ({"sample_weight": [1.0, 2.0]}, r"sample_weight .*\(60,\).*got \(2,\)"),
]


@pytest.mark.parametrize("options, message", BAD_OPTIONS, ids=[str(o)[:40] for o, _ in BAD_OPTIONS])
def test_bad_options_are_refused(options, message):
    short = {} if "levels" in options else {"n_levels": 3}
    with pytest.raises(ValueError, match=message):
        quick(line(), **{**short, "n_draws": 1, "beta": 1.0, **options})


@pytest.mark.slow
def test_starts_of_searches_are_refused_where_every_neuron_is_looked_at():
    small = {"n_levels": 2, "n_starts": 8}
    for beta in (4.0, "rule", "cv", "cv-per-level"):
        with pytest.raises(ValueError, match="n_starts = 8 has no effect"):
            quick(plane(), n_draws=2, beta=beta, **small)
    # they search: three columns, and folds of many noisy points in the plane
    assert quick(np.random.default_rng(0).normal(size=(30, 3)), **small).n_starts == 8
    many = {"n_draws": 40, "cv": 2, "tol": 0.5, **small}
    assert quick(plane(), beta="cv-per-level", **many).n_starts == 8
    with pytest.raises(ValueError, match="n_starts = 8 has no effect"):
        quick(plane(), beta="cv", **many)


def test_bad_data_are_refused():
    """As by ConvexScore: test_validation.py."""
    for data, message in (([1.0], "X .*at least 2 values; got 1"), ([1j, 2j], "Complex data not")):
        with pytest.raises(ValueError, match=message):
            quick(data)


BAD_SAMPLE = [
    ({"method": "langevin"}, "method .*'ddpm'.*got 'langevin'"),
    ({"n_steps": 0}, "n_steps .*>= 1; got 0"),
    ({"n_steps": 5, "grid": [2.0, 1.0]}, "n_steps = 5 has no effect with grid"),
    ({"grid": [1.0, 2.0]}, "times .*strictly decreasing"),
    ({"grid": [2.0, -1.0]}, "times .*strictly decreasing numbers >= 0"),
    ({"grid": [[2.0, 1.0]]}, r"grid .*\(1, 2\)"),
    ({"grid": "abc"}, "grid must be numeric"),
    ({"grid": []}, "grid .*not empty"),
    ({"grid": [np.nan, 1.0]}, "grid must be finite"),
    ({"levels": [2.0, 1.0]}, "levels = .*method='ddpm'.*'annealed_langevin' or 'predictor_corr"),
    ({"method": "annealed_langevin", "grid": [2.0, 1.0]}, "grid = .*'annealed_langevin'.*'heun'"),
    ({"method": "annealed_langevin", "levels": [1.0, 2.0]}, "levels .*decreasing"),
    ({"method": "annealed_langevin", "levels": "abc"}, "levels must be numeric"),
    ({"method": "annealed_langevin", "levels": []}, "levels .*not empty"),
    ({"method": "annealed_langevin", "step": -1.0}, "step .*> 0"),
    ({"method": "predictor_corrector", "levels": [2.0, 1.0], "n_steps": 7}, "n_steps = 7 .*levels"),
    ({"step": 0.1}, "step = 0.1 has no effect with method='ddpm'.*'annealed_langevin'"),
    ({"variance": "forward"}, "variance .*'ddpm'.*'ancestral' or 'predictor_corrector'"),
    ({"n_corrector": 2, "method": "heun"}, "n_corrector = 2 .*'heun'.*'predictor_corrector'"),
    ({"corrector_step": 0.1}, "corrector_step = 0.1 .*'ddpm'.*'predictor_corrector'"),
    ({"method": "ancestral", "variance": "both"}, "variance .*'both'"),
    ({"keep_trajectory": True}, "keep_trajectory = True has no effect without return_result"),
    ({"thin": 3, "return_result": True}, "thin=3 has no effect without a trajectory"),
    ({"x0": np.ones(4)}, r"x0 .*\(5, 1\), one row per chain; got \(4,\)"),
    ({"x0": np.ones((5, 2))}, r"x0 .*\(5, 1\).*got \(5, 2\)"),
    ({"x0": np.full(5, np.nan)}, "x0 must be finite"),
    ({"x0": ["a"] * 5}, "x0 must be numeric"),
    ({"batch_size": 0}, "batch_size .*>= 1"),
    ({"random_state": -1}, "random_state .*>= 0"),
    ({"n": 0}, "n must be .*>= 1; got 0"),
    ({"n": 2.5}, "n must be .*>= 1; got 2.5"),
]


@pytest.mark.parametrize("options, message", BAD_SAMPLE, ids=[str(o)[:50] for o, _ in BAD_SAMPLE])
def test_bad_requests_for_samples_are_refused(on_line, options, message):
    with pytest.raises(ValueError, match=message):
        on_line.sample(**{"n": 5, **options})


@pytest.mark.parametrize("option, meant", [
    ("variances", "variance"), ("random_sate", "random_state"), ("n_step", "n_steps"),
    ("return_results", "return_result"), ("keep_trajectories", "keep_trajectory"),
    ("sampler", "method"), ("burn_in", "burn_in"), ("n_samples", "n_samples"),
])  # fmt: skip
def test_unknown_options_of_samples_are_refused(on_line, option, meant):
    """Whatever the method; the message names one that is close, or what is allowed."""
    for method in ("ancestral", "annealed_langevin"):
        with pytest.raises(TypeError, match=rf"{option}\b.*\b{meant}|^{meant} has no effect"):
            on_line.sample(5, method=method, **{option: 1})


def test_options_of_single_methods_reach_them(on_line):
    how = {"n_steps": 6, "random_state": 0}
    for method, own in (
        ("ancestral", {"variance": "forward"}), ("annealed_langevin", {"step": 1e-3}),
        ("predictor_corrector", {"n_corrector": 2}), ("predictor_corrector", {"corrector_step": 0.3}),
        ("predictor_corrector", {"variance": "posterior"}),
    ):  # fmt: skip
        plain = on_line.sample(5, method=method, **how)
        assert not np.array_equal(on_line.sample(5, method=method, **own, **how), plain)
    ancestral = on_line.sample(5, method="ancestral", variance="posterior", **how)
    assert np.array_equal(ancestral, on_line.sample(5, method="ancestral", **how))
    grid, plain = exponential_grid(2.0, 6, end=0.01), on_line.sample(5, **how)
    own = [on_line.sample(5, grid=g, random_state=0) for g in (grid, grid.times.tolist())]
    assert np.array_equal(*own) and not np.array_equal(own[0], plain)


@pytest.mark.parametrize("t, message", [
    (-1.0, "t .*>= 0; got -1.*Ornstein"), (np.nan, "t must be finite"),
    ("a", "t must be a number >= 0; got 'a'"), (None, "t must be a number"),
    (True, "t must be a number"), (np.inf, "t must be finite"),
])  # fmt: skip
def test_bad_times_are_refused(on_line, t, message):
    for method in (on_line.score_function, on_line.denoise):
        with pytest.raises(ValueError, match=message):
            method(GRID, t)
    with pytest.raises(ValueError, match="sigma must be"):
        on_line.ve_score(GRID, t)


def test_bad_points_are_refused(on_line, on_plane):
    for method in (on_plane.score_function, on_plane.denoise, on_plane.ve_score):
        for x in (np.ones((3, 3)), np.ones(3), 1.0, np.ones((2, 2, 4))):
            with pytest.raises(ValueError, match=r"X .*ConvexDiffusion is expecting 2"):
                method(x, 0.3)
        with pytest.raises(ValueError, match="X must be finite"):
            method([np.nan, 1.0], 0.3)
        with pytest.raises(ValueError, match="X must be numeric"):
            method(["a", "b"], 0.3)
    with pytest.raises(ValueError, match="X must be finite; 1 of 2 values are NaN"):
        on_line.score_function([np.nan, 1.0], 0.3)
    with pytest.raises(ValueError, match=r"t must be .*>= 0.*noise sigma"):
        quick(line(), schedule="ve", n_levels=2).score_function(GRID, -1.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:beta='cv'")  # of the single fits: where their grids ended
@pytest.mark.parametrize("d", [1, 2])
def test_cross_validation_of_each_level_is_that_of_the_single_fit(d):
    rng = np.random.default_rng(5)
    X = np.where(rng.random((60, 1)) < 0.5, -2.0, 2.0) + 0.4 * rng.normal(size=(60, d))
    options = dict(schedule="ve", levels=[2.0, 0.5], n_draws=2, cv=3, random_state=3)
    model = fit_convex_diffusion(X, beta="cv-per-level", **options)
    assert model.factor_selection_ is None and model.certificates_.optimal
    again = fit_convex_diffusion(X, beta="cv-per-level", n_jobs=2, **options)
    assert np.array_equal(model.betas_, again.betas_)
    # what single fits choose with other folds and other noise: one beta scatters by ten, scores hardly
    seeds = range(3)
    models = [model, *(fit_convex_diffusion(X, beta="cv-per-level", **options | {"random_state": s})
                       for s in seeds[1:])]  # fmt: skip
    singles = [
        [
            fit_convex_score(
                X, objective="denoising", noise=level, n_draws=2, labels="smoothed", cv=3,
                random_state=seed, tol=None if d == 1 else 1e-2,
            )
            for seed in seeds
        ]
        for level in model.levels_
    ]  # fmt: skip
    for k, chosen in enumerate(singles):
        ratio = gmean([other.betas_[k] for other in models]) / gmean([fit.beta_ for fit in chosen])
        assert 1 / 10 < ratio < 10
        mine = np.mean([np.reshape(other.networks_[k](X), X.shape) for other in models], axis=0)
        size = np.sqrt(np.mean(mine**2))
        other_level, same_level = (
            np.sqrt(np.mean((np.mean([fit.score_function(X) for fit in fits], axis=0) - mine) ** 2))
            for fits in (singles[1 - k], chosen)
        )
        assert same_level < 0.1 * size
        assert other_level > 0.5 * size  # negative control
