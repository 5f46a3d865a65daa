"""ConvexScore as a scikit-learn estimator and as a function of its data."""

import itertools
from typing import get_type_hints

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from convexscore import (
    ConvexDiffusion,
    ConvexScore,
    NotIntegrableError,
    certify,
    fit_convex_diffusion,
    fit_convex_score,
)
from convexscore.objectives.options import DiffusionOptions, PathOptions, ScoreOptions
from convexscore.selection.rules import LINE_RULE, fold_statistics

CASES = list(itertools.product(["relu", "abs"], [True, False]))
GRID = np.linspace(-6.0, 6.0, 401)


def bimodal(n=90, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(-2.0, 1.0, n - n // 3), rng.normal(2.0, 0.5, n // 3)])


def largest_difference(fit, other, grid=GRID):
    """Relative to the size of the score."""
    a, b = fit.score_function(grid), other.score_function(grid)
    return np.abs(a - b).max() / np.abs(a).max()


# ------------------------------------------------------------------- the scikit-learn contract


def parts(fit):
    """All numbers of the networks of a fit."""
    networks = [fit.network_] if isinstance(fit, ConvexScore) else fit.networks_
    return [part for net in networks for part in (net.u, net.w, net.b, net.offset)]


def same(fit, other):
    return all(np.array_equal(p, q) for p, q in zip(parts(fit), parts(other), strict=True))


# function, estimator, the type of its options, options of a quick fit
ESTIMATORS = {
    "score": (
        fit_convex_score, ConvexScore, ScoreOptions,
        {"activation": "abs", "skip": False, "beta": 6.0, "tol": 1e-9, "random_state": 1},
    ),
    "diffusion": (
        fit_convex_diffusion, ConvexDiffusion, DiffusionOptions,
        {"n_levels": 2, "beta": 4.0, "schedule": "ve", "random_state": 0},
    ),
}  # fmt: skip
each_estimator = pytest.mark.parametrize(
    ("function", "estimator", "typed", "options"), ESTIMATORS.values(), ids=ESTIMATORS
)


@each_estimator
def test_function_and_estimator_are_the_same(function, estimator, typed, options):
    """What a type checker knows of the functions is what the estimators take."""
    assert set(get_type_hints(typed)) == set(estimator().get_params())
    x, weight = bimodal(), np.linspace(1.0, 2.0, 90)
    fit, again = function(x, sample_weight=weight, **options), estimator(**options)
    assert isinstance(fit, estimator) and fit.get_params() == again.get_params()
    assert again.fit(x, sample_weight=weight) is again and same(fit, again)
    with pytest.raises(TypeError, match="sampler"):
        function(x, sampler="ddpm")


def test_options_of_paths_are_options_of_fits():
    assert set(PathOptions.__annotations__) < set(ScoreOptions.__annotations__)


@each_estimator
def test_clone_and_parameters(function, estimator, typed, options):
    fit = function(bimodal(), **options)
    copied = clone(fit)
    assert copied.get_params() == fit.get_params() and not hasattr(copied, "n_features_in_")
    copied.set_params(beta=9.0, skip=True)
    assert (copied.beta, copied.skip, fit.beta) == (9.0, True, options["beta"])
    before = copied.get_params()
    assert copied.fit(bimodal()) is copied and copied.get_params() == before
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        copied.set_params(width=3)


@pytest.mark.parametrize("fails", ["not yet", "bad option", "unbounded"])
def test_unfitted_estimators_say_so(fails):
    """Also after a fit that failed; options are checked when fitting, not before."""
    score, model = ConvexScore(beta=0.1), ConvexDiffusion(beta=-1.0, n_levels=2)
    if fails == "bad option":
        score.set_params(activation="tanh")
    if fails != "not yet":
        for estimator, match in ((score, "activation|limit"), (model, "beta")):
            with pytest.raises(ValueError, match=match):
                estimator.fit(bimodal())
    on_points = ("score_function", "divergence", "log_density", "density", "cdf", "ppf", "score")
    calls = [lambda m=name: getattr(score, m)([0.5]) for name in on_points]
    for name in ("score_function", "denoise", "ve_score"):
        calls.append(lambda m=name: getattr(model, m)(0.5, 1.0))
    for call in (*calls, score.entropy, score.sample, lambda: model.sample(3)):
        with pytest.raises(NotFittedError):
            call()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "at_least", "accepted"),
    [
        (ConvexScore(objective="denoising", noise=0.5, beta=9.0, tol=1e-2, random_state=0), 35, ()),
        (ConvexDiffusion(n_levels=2, beta=40.0, n_draws=1, tol=0.1, random_state=0), 40, ()),
        # score matching does not fit more columns than it has data for
        (ConvexScore(beta=9.0), 0, ("is unbounded below", "UnboundedObjectiveError")),
    ],
)
def test_scikit_learn_s_own_checks(estimator, at_least, accepted):
    # A column as a plain (n,) vector is welcome here; scikit-learn wants it refused.
    # A dictionary as a cell is bad data: a ValueError here, a TypeError there.
    by_design = {"check_fit1d", "check_dtype_object"}
    accepted = (*accepted, "cv = ")  # it sets folds, which a fixed beta refuses
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    surprising = [
        f"{result['check_name']}: {result['exception']}"
        for result in results
        if result["status"] == "failed"
        and result["check_name"] not in by_design
        and not any(text in str(result["exception"]) for text in accepted)
    ]
    assert surprising == []
    passed = {result["check_name"] for result in results if result["status"] == "passed"}
    assert len(passed) >= at_least
    assert {"check_no_attributes_set_in_init", "check_parameters_default_constructible"} <= passed


def test_pipeline_with_a_scaler_is_the_affine_map_of_the_fit():
    x = np.exp(0.3 * bimodal())
    steps = (FunctionTransformer(np.log), StandardScaler(), ConvexScore(beta=8.0))
    pipeline, z = make_pipeline(*steps).fit(x[:, None]), np.log(x)
    direct = fit_convex_score(z, beta=8.0)
    a, t = z.std(), z.mean()
    standard = (GRID - t) / a
    np.testing.assert_allclose(
        pipeline[-1].score_function(standard) / a, direct.score_function(GRID), rtol=1e-9
    )
    # the held-out objective has the units of 1/x^2
    assert pipeline.score(x[:, None]) / a**2 == pytest.approx(direct.score(z), rel=1e-9)


def test_grid_search_over_beta_finds_the_best_held_out_objective():
    x = bimodal(150)
    betas = [2.0, 8.0, 300.0]
    folds = KFold(4, shuffle=True, random_state=0)
    search = GridSearchCV(ConvexScore(), {"beta": betas}, cv=folds).fit(x[:, None])
    by_hand = [
        np.mean([fit_convex_score(x[a], beta=beta).score(x[b]) for a, b in folds.split(x)])
        for beta in betas
    ]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], by_hand, rtol=1e-12)
    assert search.best_params_["beta"] == 8.0
    assert search.best_estimator_.certificate_.beta == 8.0
    assert search.best_score_ > search.cv_results_["mean_test_score"][2] + 0.1


def test_score_of_a_gaussian_fit_is_known():
    x, fresh = bimodal(400), bimodal(4000, seed=1)
    fit = fit_convex_score(x, beta=400.0)
    v, error = x.var(), np.mean((fresh - x.mean()) ** 2)
    assert 0.0 < fit.width_ < 0.2 * x.std()
    # s = -(x - mu)/v, and x is spread evenly over x +- blur, of variance blur^2 / 3
    expected = (1.0 - (error + fit.width_**2 / 3.0) / (2.0 * v)) / v
    assert fit.score(fresh) == pytest.approx(expected, rel=1e-9)


def test_score_is_minus_the_mean_of_the_blurred_objective():
    """Brute force: a fine grid over every blurred point."""
    fit, points = fit_convex_score(bimodal(), beta=4.0), bimodal(20, seed=1)
    share = (np.arange(2000) + 0.5) / 1000.0 - 1.0
    spread = points[:, None] + fit.width_ * share
    loss = 0.5 * fit.score_function(spread) ** 2 + fit.divergence(spread)
    # the grid misses the kinks, Simpson's rule those of the square: both by a little
    assert fit.score(points) == pytest.approx(-loss.mean(), rel=1e-3, abs=1e-3)
    plain = 0.5 * fit.score_function(points) ** 2 + fit.divergence(points)
    assert abs(fit.score(points) + plain.mean()) > 1e-2  # negative control


@pytest.mark.parametrize(
    "options", [{}, {"objective": "denoising", "noise": 0.5, "random_state": 0}]
)
def test_score_is_larger_for_the_better_model_and_reproducible(options):
    x, fresh = bimodal(400), bimodal(4000, seed=1)
    good, gaussian = (fit_convex_score(x, beta=beta, **options) for beta in (15.0, 4000.0))
    assert good.score(fresh) == good.score(fresh) > gaussian.score(fresh) + 0.1
    scores = cross_val_score(
        ConvexScore(beta=15.0, **options), x[:, None], cv=KFold(3, shuffle=True)
    )
    assert scores.shape == (3,) and np.isfinite(scores).all()


def test_score_uses_sample_weight(plain):
    weighted = plain.score([-1.0, 0.5, 2.0], sample_weight=[1.0, 3.0, 2.0])
    assert weighted == pytest.approx(plain.score([-1.0, 0.5, 0.5, 0.5, 2.0, 2.0]), rel=1e-12)


# ------------------------------------------------------------------------- shapes in and out


def test_column_vector_list_and_frame_are_the_same_data():
    pandas = pytest.importorskip("pandas")
    x = bimodal(30)
    given = [x, x[:, None], x.tolist(), pandas.Series(x), pandas.DataFrame({"x": x}), tuple(x)]
    fits = [fit_convex_score(data, beta=5.0) for data in given]
    assert all(largest_difference(fits[0], fit) == 0.0 for fit in fits)
    assert all(fit.n_features_in_ == 1 for fit in fits)


def test_input_is_not_changed():
    x = bimodal()
    x.setflags(write=False)
    fit_convex_score(x, beta=5.0, sample_weight=np.ones_like(x))


@pytest.fixture(scope="module")
def plain():
    return fit_convex_score(bimodal(), beta=8.0)


@pytest.mark.parametrize("shape", [(), (1,), (7,), (7, 1), (2, 3), (0,), (2, 3, 4)])
def test_evaluations_keep_the_shape(plain, shape):
    grid = np.random.default_rng(0).uniform(0.0, 1.0, shape)
    for method in ("score_function", "divergence", "log_density", "density", "cdf", "ppf"):
        assert np.shape(getattr(plain, method)(grid)) == shape


def test_sample_shape(plain):
    assert plain.sample(random_state=0).shape == (1,)
    for how in ({"method": "exact"}, {"method": "langevin", "n_steps": 3}, {"method": "mala"}):
        assert plain.sample(7, random_state=0, **how).shape == (7,)


def test_unknown_and_idle_options_of_samples_are_refused(plain):
    fit = plain
    with pytest.raises(TypeError, match=r"random_sate.*Did you mean random_state"):
        fit.sample(3, random_sate=0)
    idle = {"n_steps": 3, "step": 0.1, "keep_trajectory": True, "return_result": True}
    for name, value in idle.items():
        with pytest.raises(ValueError, match=f"{name} = .* has no effect"):
            fit.sample(3, method="exact", **{name: value})
    with pytest.raises(ValueError, match=r"keep_trajectory = .* has no effect"):
        fit.sample(3, method="langevin", keep_trajectory=True)
    run = {"method": "langevin", "n_steps": 4, "random_state": 0}
    result = fit.sample(3, return_result=True, keep_trajectory=True, **run)
    assert result.trajectory.shape == (4, 3)
    assert np.array_equal(result.trajectory[-1], result.samples)
    assert np.array_equal(result.samples, fit.sample(3, **run))


IDLE = {
    "noise": (0.3, "objective='denoising'"),
    "n_draws": (2, "objective='denoising'"),
    "labels": ("noisy", "objective='denoising'"),
    "standardize": ("columns", "several columns"),
    "cv": (3, "beta='cv'"),
    "n_betas": (9, "beta='cv'"),
    "one_standard_error": (True, "beta='cv'"),
    "n_starts": (9, "three columns"),
}


@pytest.mark.parametrize("name", IDLE)
def test_an_option_without_effect_is_refused(name):
    value, needed = IDLE[name]
    with pytest.raises(ValueError, match=f"{name} = .*no effect.*needs.*{needed}"):
        fit_convex_score(bimodal(), beta=8.0, **{name: value})


# ------------------------------------------------------------- the objective that was minimised


@pytest.mark.parametrize("activation, skip", CASES)
@pytest.mark.parametrize("labels", ["noisy", "smoothed"])
@pytest.mark.parametrize("weighted", [False, True])
def test_noisy_points_and_labels_reproduce_the_denoising_objective(
    activation, skip, labels, weighted
):
    x, draws, beta = bimodal(40), 3, 4.0
    weight = np.random.default_rng(1).uniform(0.5, 2.0, x.size) if weighted else None
    fit = fit_convex_score(
        x, objective="denoising", noise=0.4, n_draws=draws, labels=labels, beta=beta,
        activation=activation, skip=skip, sample_weight=weight, random_state=0,
    )  # fmt: skip
    assert fit.noisy_points_.shape == fit.noise_labels_.shape == (draws * x.size,)
    if labels == "noisy":  # the noise itself
        clean = fit.noisy_points_ + 0.4**2 * fit.noise_labels_
        np.testing.assert_allclose(clean, np.tile(x, draws), rtol=1e-12, atol=1e-12)
    per_term = np.ones(draws * x.size) if weight is None else np.tile(weight, draws)
    for score in (fit.score_function, fit.network_, fit.network_.balanced()):
        misfit = 0.5 * np.sum(per_term * (score(fit.noisy_points_) - fit.noise_labels_) ** 2)
        objective = misfit + beta * fit.network_.path_norm()
        assert objective == pytest.approx(fit.certificate_.objective, rel=1e-9)
    proof = certify(
        fit.network_, fit.noisy_points_, beta=beta, objective="denoising",
        labels=fit.noise_labels_, skip=skip, sample_weight=per_term,
    )  # fmt: skip
    assert proof.optimal
    assert proof.objective == pytest.approx(fit.certificate_.objective, rel=1e-9)


@pytest.mark.parametrize("activation, skip", CASES)
def test_network_reproduces_the_score_matching_objective(activation, skip):
    x, beta = bimodal(40), 4.0
    weight = np.random.default_rng(1).uniform(0.5, 1.5, x.size)
    fit = fit_convex_score(x, beta=beta, activation=activation, skip=skip, sample_weight=weight)
    net = fit.network_
    assert (net.skip is not None) == skip and net.activation.name == activation
    np.testing.assert_array_equal(np.abs(net.u), 1.0)
    loss = np.sum(weight * (0.5 * net(x) ** 2 + net.divergence(x)))
    objective = loss + beta * net.path_norm()
    assert objective == pytest.approx(fit.certificate_.objective, rel=1e-9)
    assert fit.noisy_points_ is None and fit.noise_labels_ is None
    np.testing.assert_allclose(fit.score_function(GRID), net(GRID), rtol=1e-9, atol=1e-9)


# -------------------------------------------------------------------------------- randomness


def test_random_state_reproduces_and_differs():
    def denoised(state):
        options = {"objective": "denoising", "noise": 0.5, "beta": 6.0}
        return fit_convex_score(bimodal(), random_state=state, **options).noisy_points_

    first, generator = denoised(0), np.random.default_rng(0)
    assert np.array_equal(first, denoised(0))
    assert np.array_equal(first, denoised(generator))
    assert not np.array_equal(first, denoised(generator))
    assert not np.array_equal(first, denoised(1))
    assert not np.array_equal(denoised(None), denoised(None))


def test_beta_by_cross_validation_is_reproducible_and_fits_as_the_same_beta_given():
    x, state = bimodal(), np.random.get_state()[1].copy()  # noqa: NPY002
    chosen, again = (fit_convex_score(x, random_state=0) for _ in range(2))
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    selection = chosen.beta_selection_
    for name in ("beta", "betas", "loss", "standard_error"):
        np.testing.assert_array_equal(*(getattr(s.beta_selection_, name) for s in (chosen, again)))
    assert chosen.beta_ == selection.beta >= selection.beta_min
    assert selection.betas.shape == selection.loss.shape == selection.standard_error.shape == (30,)
    assert (np.diff(selection.betas) < 0).all()
    assert selection.loss[selection.betas == selection.beta_min] == np.nanmin(selection.loss)
    given = fit_convex_score(x, beta=chosen.beta_)
    assert given.beta_selection_ is None
    assert largest_difference(chosen, given) == 0.0


def test_a_gain_of_cross_validation_must_exceed_its_error():
    # the last value wins on the mean because one fold was lucky; the second wins on every fold
    losses = np.array([[0.0, -1.0, -1.1, 0.2], [0.0, -1.1, -1.0, 0.1], [0.0, -0.9, -1.0, -4.9]])
    weight = np.ones(3)
    assert np.argmin(fold_statistics(losses, weight)[0]) == 3
    for given, chosen in (
        (losses, 1),  # 1 to 2: a gain of 0.033 with an error of 0.067
        (losses + np.array([[5.0], [-3.0], [9.0]]), 1),  # folds may differ
        (losses - np.array([0.0, 0.0, 0.1, 0.0]), 2),  # steady
        (np.where(np.arange(4) > 1, np.nan, losses), 1),  # path not followed
        (losses[:, [0, 0]], 0),
    ):
        assert LINE_RULE.choose(given, weight) == chosen


@pytest.mark.slow
def test_cross_validation_is_not_taken_in_by_lucky_points():
    """Normal samples: the rule saves a third of the mean error at the minimum of the curve."""
    rng = np.random.default_rng(0)
    fresh = rng.normal(size=5000)
    errors = []
    for k in range(24):
        x = rng.normal(size=300)
        fit = fit_convex_score(x, random_state=k)
        lowest = fit_convex_score(x, beta=fit.beta_selection_.beta_min)
        errors.append([np.mean((f.score_function(fresh) + fresh) ** 2) for f in (fit, lowest)])
    ours, naive = np.mean(errors, axis=0)
    assert ours < 0.8 * naive


def test_one_standard_error_rule_never_chooses_a_smaller_beta():
    x = bimodal()
    best, cautious = (
        fit_convex_score(x, random_state=0, one_standard_error=rule) for rule in (False, True)
    )
    selection = cautious.beta_selection_
    assert selection.beta_min == best.beta_selection_.beta_min
    assert cautious.beta_ >= best.beta_
    lowest = int(np.nanargmin(selection.loss))
    allowed = selection.loss[lowest] + selection.standard_error[lowest]
    assert selection.loss[selection.betas == cautious.beta_] <= allowed
    larger = selection.betas > cautious.beta_
    assert (selection.loss[larger] > allowed).all()


# ------------------------------------------------------------------------ symmetries of the data


@pytest.mark.parametrize("activation, skip", CASES)
@pytest.mark.parametrize("beta", [8.0, 15.0, 60.0])
def test_integer_weights_are_repetitions(activation, skip, beta):
    x = bimodal(60)
    weight = np.random.default_rng(2).integers(0, 4, x.size)
    options = {"activation": activation, "skip": skip, "beta": beta}
    weighted = fit_convex_score(x, sample_weight=weight, **options)
    repeated = fit_convex_score(np.repeat(x, weight), **options)
    assert largest_difference(weighted, repeated) < 1e-10
    wanted = pytest.approx(repeated.certificate_.objective, rel=1e-12)
    assert weighted.certificate_.objective == wanted
    # negative control: other weights give another score
    if beta < 60.0:
        assert largest_difference(fit_convex_score(x, **options), weighted) > 1e-3


@pytest.mark.parametrize("activation, skip", CASES)
@pytest.mark.parametrize("ties", [False, True])
def test_order_of_the_data_does_not_matter(activation, skip, ties):
    x = np.round(bimodal(80), 1) if ties else bimodal(80)
    rng = np.random.default_rng(3)
    weight = rng.uniform(0.2, 1.5, x.size)
    options = {"activation": activation, "skip": skip, "beta": 12.0}
    fit = fit_convex_score(x, sample_weight=weight, **options)
    for _ in range(3):
        order = rng.permutation(x.size)
        shuffled = fit_convex_score(x[order], sample_weight=weight[order], **options)
        assert largest_difference(fit, shuffled) < 1e-10


@pytest.mark.parametrize("activation, skip", CASES)
@pytest.mark.parametrize("scale, shift", [(1e-8, 0.0), (1e8, 3e8), (-1.0, 0.0), (2.0, 5.0)])
def test_equivariance(activation, skip, scale, shift):
    x = bimodal()
    options = {"activation": activation, "skip": skip, "beta": 5.0}
    fit, mapped = fit_convex_score(x, **options), fit_convex_score(scale * x + shift, **options)
    inside = np.linspace(x.min(), x.max(), 301)
    expected = fit.score_function(inside) / scale
    got = mapped.score_function(scale * inside + shift)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    wanted = pytest.approx(fit.certificate_.objective, rel=1e-8)
    assert mapped.certificate_.objective * scale**2 == wanted


def test_zero_weight_points_are_as_good_as_absent():
    x = bimodal()
    weight = np.ones(x.size)
    weight[::5] = 0.0
    fit = fit_convex_score(x, beta=5.0, sample_weight=weight)
    absent = fit_convex_score(x[weight > 0], beta=5.0)
    assert largest_difference(fit, absent) == 0.0


# ---------------------------------------------------------------------------- when there is no law


def test_no_density_is_an_error_with_a_remedy_that_works():
    """Absolute values without skip: outer slopes are opposite, so one tail rises."""
    x, options = np.random.default_rng(0).normal(size=60), {"activation": "abs", "skip": False}
    fit = fit_convex_score(x, beta=3.0, **options)
    assert fit.piecewise_.left_slope > 1.0
    assert fit.piecewise_.right_slope == pytest.approx(-fit.piecewise_.left_slope, rel=1e-9)
    wanted = r"no density: left tail: slope \+.*Refit with constraint='density'.*'log-concave'"
    on_points = (fit.log_density, fit.density, fit.cdf, fit.ppf)
    calls = [lambda call=call: call([0.5]) for call in on_points]
    for call in (*calls, fit.entropy, fit.sample, lambda: fit.sample(3, method="mala")):
        with pytest.raises(NotIntegrableError, match=wanted):
            call()
    # the score itself is available all the same
    assert np.isfinite(fit.score_function(GRID)).all()

    law = fit_convex_score(x, beta=3.0, constraint="density", **options)
    assert law.certificate_.optimal
    assert law.piecewise_.left_slope <= 0.0 and law.piecewise_.right_slope <= 0.0
    assert float(law.cdf(law.ppf(0.2))) == pytest.approx(0.2, rel=1e-12)
    assert law.sample(5, random_state=0).shape == (5,)
    # a constraint can only cost
    free = fit.certificate_.objective
    assert law.certificate_.objective >= free - 1e-9 * abs(free)


@pytest.mark.parametrize("activation, skip", CASES)
@pytest.mark.parametrize("beta", [3.0, 8.0, 30.0])
def test_log_concave_scores_do_not_increase(activation, skip, beta):
    x = bimodal()
    options = {"activation": activation, "skip": skip, "beta": beta}
    free = fit_convex_score(x, **options)
    fit = fit_convex_score(x, constraint="log-concave", **options)
    assert np.diff(fit.piecewise_.values).max(initial=-np.inf) <= 0.0
    assert fit.piecewise_.left_slope <= 0.0 and fit.piecewise_.right_slope <= 0.0
    assert fit.divergence(GRID).max() <= 0.0
    assert fit.certificate_.optimal
    best = free.certificate_.objective
    assert fit.certificate_.objective >= best - 1e-9 * abs(best)
    if beta < 30.0:
        # two modes need a rising score: the constraint binds on these data
        assert free.divergence(GRID).max() > 0.1
        assert fit.certificate_.objective > best + 1.0
