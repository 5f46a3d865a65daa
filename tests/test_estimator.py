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
    fit_convex_score,
)
from convexscore.objectives import denoising
from convexscore.objectives.options import DiffusionOptions, PathOptions, ScoreOptions
from convexscore.selection.rules import LINE_RULE, fold_statistics
from convexscore.solvers.line.problem import prepare

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


def test_function_and_estimator_are_the_same():
    x = bimodal()
    options = {"activation": "abs", "skip": False, "beta": 6.0, "tol": 1e-9, "random_state": 1}
    fit = fit_convex_score(x, **options)
    assert isinstance(fit, ConvexScore)
    assert fit.get_params() == ConvexScore(**options).get_params()
    again = ConvexScore(**options)
    assert again.fit(x) is again
    assert largest_difference(fit, again) == 0.0


@pytest.mark.parametrize(
    ("estimator", "options"),
    [(ConvexScore, ScoreOptions), (ConvexDiffusion, DiffusionOptions)],
)
def test_options_are_said_once(estimator, options):
    """What a type checker knows of the functions is what the estimators take."""
    assert set(get_type_hints(options)) == set(estimator().get_params())
    assert set(PathOptions.__annotations__) < set(ScoreOptions.__annotations__)


def test_clone_and_parameters():
    fit = ConvexScore(beta=7.0, activation="abs", random_state=3).fit(bimodal())
    copy = clone(fit)
    assert copy.get_params() == fit.get_params()
    assert not hasattr(copy, "network_")
    copy.set_params(beta=9.0, skip=False)
    assert (copy.beta, copy.skip, fit.beta) == (9.0, False, 7.0)
    with pytest.raises(ValueError, match="Invalid parameter 'width'"):
        copy.set_params(width=100)
    # fitting changes no parameter
    before = copy.get_params()
    assert copy.fit(bimodal()).get_params() == before


def test_options_are_checked_when_fitting_not_before():
    wrong = ConvexScore(activation="tanh")
    with pytest.raises(ValueError, match="activation"):
        wrong.fit(bimodal())


def test_unfitted_estimator_says_so():
    for method in ("score_function", "divergence", "log_density", "density", "cdf", "ppf", "score"):
        with pytest.raises(NotFittedError):
            getattr(ConvexScore(), method)([0.5])
    for method in ("entropy", "sample"):
        with pytest.raises(NotFittedError):
            getattr(ConvexScore(), method)()


def test_failed_fit_leaves_no_half_fitted_estimator():
    unfitted = ConvexScore(beta=0.1)
    with pytest.raises(ValueError):
        unfitted.fit(bimodal())
    with pytest.raises(NotFittedError):
        unfitted.score_function(0.0)


@pytest.mark.slow
def test_scikit_learn_s_own_checks():
    """Denoising passes them all; score matching all that do not fit more columns than it has data for."""
    # A column as a plain (n,) vector is welcome here; scikit-learn wants it refused.
    # A dictionary as a cell is bad data: a ValueError here, a TypeError there.
    by_design = {"check_fit1d", "check_dtype_object"}
    estimator = ConvexScore(objective="denoising", noise=0.5, beta=9.0, tol=1e-2, random_state=0)
    results = check_estimator(estimator, on_fail=None, on_skip=None)
    surprising = [
        f"{result['check_name']}: {result['exception']}"
        for result in results
        if result["status"] == "failed"
        and result["check_name"] not in by_design
        and "cv = " not in str(result["exception"])  # it sets folds, which a fixed beta refuses
    ]
    assert surprising == []
    passed = {result["check_name"] for result in results if result["status"] == "passed"}
    assert len(passed) >= 35
    assert {"check_no_attributes_set_in_init", "check_parameters_default_constructible"} <= passed

    results = check_estimator(ConvexScore(beta=9.0), on_fail=None, on_skip=None)
    surprising = [
        f"{result['check_name']}: {result['exception']}"
        for result in results
        if result["status"] == "failed"
        and "score matching is unbounded below" not in str(result["exception"])
        and "UnboundedObjectiveError" not in str(result["exception"])
        # it sets folds, which a fixed beta refuses
        and "cv = " not in str(result["exception"])
        and result["check_name"] not in by_design
    ]
    assert surprising == []


def test_pipeline_with_a_scaler_is_the_affine_map_of_the_fit():
    x = np.exp(0.3 * bimodal())
    pipeline = make_pipeline(
        FunctionTransformer(np.log), StandardScaler(), ConvexScore(beta=8.0)
    ).fit(x[:, None])
    z = np.log(x)
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


def test_score_is_larger_for_the_better_model():
    x, fresh = bimodal(400), bimodal(4000, seed=1)
    good, gaussian = fit_convex_score(x, beta=15.0), fit_convex_score(x, beta=400.0)
    assert good.score(fresh) > gaussian.score(fresh) + 0.1
    scores = cross_val_score(ConvexScore(beta=15.0), x[:, None], cv=KFold(3, shuffle=True))
    assert scores.shape == (3,) and np.isfinite(scores).all()


def test_denoising_score_is_reproducible_and_best_near_the_true_score():
    x, fresh = bimodal(300), bimodal(300, seed=1)
    options = {"objective": "denoising", "noise": 0.5, "random_state": 0}
    good, flat = (fit_convex_score(x, beta=beta, **options) for beta in (20.0, 5000.0))
    assert good.score(fresh) == good.score(fresh)
    assert good.score(fresh) > flat.score(fresh) + 0.1


def test_score_uses_sample_weight():
    fit = fit_convex_score(bimodal(), beta=8.0)
    points, weight = np.array([-1.0, 0.5, 2.0]), np.array([1.0, 3.0, 2.0])
    repeated = np.repeat(points, weight.astype(int))
    assert fit.score(points, sample_weight=weight) == pytest.approx(fit.score(repeated), rel=1e-12)


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


@pytest.mark.parametrize("shape", [(), (1,), (7,), (7, 1), (2, 3), (0,), (2, 3, 4)])
def test_evaluations_keep_the_shape(shape):
    fit = fit_convex_score(bimodal(), beta=8.0)
    grid = np.random.default_rng(0).uniform(-4.0, 4.0, shape)
    for method in ("score_function", "divergence", "log_density", "density", "cdf"):
        assert np.shape(getattr(fit, method)(grid)) == shape
    assert np.shape(fit.ppf(np.random.default_rng(0).uniform(size=shape))) == shape


def test_sample_shape():
    fit = fit_convex_score(bimodal(), beta=8.0)
    assert fit.sample(random_state=0).shape == (1,)
    for method in ("exact", "langevin", "mala"):
        steps = {} if method == "exact" else {"n_steps": 3}
        assert fit.sample(7, method=method, random_state=0, **steps).shape == (7,)


def test_unknown_and_idle_options_of_samples_are_refused():
    fit = fit_convex_score(bimodal(), beta=8.0)
    with pytest.raises(TypeError, match=r"random_sate.*Did you mean random_state"):
        fit.sample(3, random_sate=0)
    for method, idle in (
        ("exact", {"n_steps": 3}),
        ("exact", {"step": 0.1}),
        ("exact", {"keep_trajectory": True}),
        ("exact", {"return_result": True}),
        ("langevin", {"keep_trajectory": True}),
    ):
        (name,) = idle
        with pytest.raises(ValueError, match=f"{name} = .* has no effect"):
            fit.sample(3, method=method, **idle)
    run = {"method": "langevin", "n_steps": 4, "random_state": 0}
    result = fit.sample(3, return_result=True, keep_trajectory=True, **run)
    assert result.trajectory.shape == (4, 3)
    assert np.array_equal(result.trajectory[-1], result.samples)
    assert np.array_equal(result.samples, fit.sample(3, **run))


IDLE = {
    "noise": (0.3, {}, "objective='denoising'"),
    "n_draws": (2, {}, "objective='denoising'"),
    "labels": ("noisy", {}, "objective='denoising'"),
    "standardize": ("columns", {}, "several columns"),
    "cv": (3, {"beta": 8.0}, "beta='cv'"),
    "n_betas": (9, {"beta": 8.0}, "beta='cv'"),
    "one_standard_error": (True, {"beta": 8.0}, "beta='cv'"),
    "n_starts": (9, {}, "three columns"),
}


@pytest.mark.parametrize("name", IDLE)
def test_an_option_without_effect_is_refused(name):
    value, others, needed = IDLE[name]
    with pytest.raises(ValueError, match=f"{name} = .*no effect.*needs.*{needed}"):
        fit_convex_score(bimodal(), **{"beta": 8.0, **others, name: value})


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


def test_noisy_labels_are_the_noise():
    x, noise = bimodal(40), 0.4
    fit = fit_convex_score(
        x, objective="denoising", noise=noise, n_draws=2, beta=4.0, random_state=0
    )
    np.testing.assert_allclose(
        fit.noisy_points_ + noise**2 * fit.noise_labels_, np.tile(x, 2), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("activation, skip", CASES)
def test_network_reproduces_the_score_matching_objective(activation, skip):
    x, beta = bimodal(40), 4.0
    weight = np.random.default_rng(1).uniform(0.5, 1.5, x.size)
    fit = fit_convex_score(x, beta=beta, activation=activation, skip=skip, sample_weight=weight)
    net = fit.network_
    loss = np.sum(weight * (0.5 * net(x) ** 2 + net.divergence(x)))
    objective = loss + beta * net.path_norm()
    assert objective == pytest.approx(fit.certificate_.objective, rel=1e-9)
    assert fit.noisy_points_ is None and fit.noise_labels_ is None
    np.testing.assert_allclose(fit.score_function(GRID), net(GRID), rtol=1e-9, atol=1e-9)


def test_network_has_a_skip_connection_exactly_when_asked():
    for activation, skip in CASES:
        net = fit_convex_score(bimodal(), beta=6.0, activation=activation, skip=skip).network_
        assert (net.skip is not None) == skip
        assert net.activation.name == activation
        np.testing.assert_array_equal(np.abs(net.u), 1.0)


# -------------------------------------------------------------------------------- randomness


def test_random_state_reproduces_and_differs():
    x = bimodal()

    def denoised(state):
        return fit_convex_score(
            x, objective="denoising", noise=0.5, beta=6.0, random_state=state
        ).noisy_points_

    first = denoised(0)
    assert np.array_equal(first, denoised(0))
    assert np.array_equal(first, denoised(np.random.default_rng(0)))
    assert not np.array_equal(first, denoised(1))
    assert not np.array_equal(denoised(None), denoised(None))
    generator = np.random.default_rng(0)
    assert not np.array_equal(denoised(generator), denoised(generator))


def test_cross_validation_is_reproducible_and_leaves_global_state_alone():
    x = bimodal()
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    fits = [fit_convex_score(x, random_state=0, cv=3, n_betas=8) for _ in range(2)]
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert fits[0].beta_ == fits[1].beta_
    for name in ("betas", "loss", "standard_error"):
        np.testing.assert_array_equal(*(getattr(fit.beta_selection_, name) for fit in fits))


def test_beta_by_cross_validation_fits_as_the_same_beta_given():
    x = bimodal()
    chosen = fit_convex_score(x, random_state=0)
    selection = chosen.beta_selection_
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
    mean, _ = fold_statistics(losses, weight)
    assert np.argmin(mean) == 3
    assert LINE_RULE.choose(losses, weight) == 1  # 1 to 2: a gain of 0.033 with an error of 0.067
    assert (
        LINE_RULE.choose(losses + np.array([[5.0], [-3.0], [9.0]]), weight) == 1
    )  # folds may differ
    steady = losses - np.array([0.0, 0.0, 0.1, 0.0])
    assert LINE_RULE.choose(steady, weight) == 2
    assert (
        LINE_RULE.choose(np.where(np.arange(4) > 1, np.nan, losses), weight) == 1
    )  # path not followed
    assert LINE_RULE.choose(losses[:, [0, 0]], weight) == 0


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
    assert weighted.certificate_.objective == pytest.approx(
        repeated.certificate_.objective, rel=1e-12
    )
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
    assert mapped.certificate_.objective * scale**2 == pytest.approx(
        fit.certificate_.objective, rel=1e-8
    )


def test_zero_weight_points_are_as_good_as_absent():
    x = bimodal()
    weight = np.ones(x.size)
    weight[::5] = 0.0
    fit = fit_convex_score(x, beta=5.0, sample_weight=weight)
    absent = fit_convex_score(x[weight > 0], beta=5.0)
    assert largest_difference(fit, absent) == 0.0


# ---------------------------------------------------------------------------- when there is no law


def not_integrable():
    """Absolute values without skip: outer slopes are opposite, so one tail rises."""
    x = np.random.default_rng(0).normal(size=60)
    return x, {"activation": "abs", "skip": False, "beta": 3.0}


def test_no_density_is_an_error_with_a_remedy_that_works():
    x, options = not_integrable()
    fit = fit_convex_score(x, **options)
    assert fit.piecewise_.left_slope > 1.0
    assert fit.piecewise_.right_slope == pytest.approx(-fit.piecewise_.left_slope, rel=1e-9)
    wanted = r"no density: left tail: slope \+.*Refit with constraint='density'.*'log-concave'"
    for call in (fit.log_density, fit.density, fit.cdf, fit.ppf):
        with pytest.raises(NotIntegrableError, match=wanted):
            call([0.5])
    for call in (fit.entropy, fit.sample, lambda: fit.sample(3, method="mala")):
        with pytest.raises(NotIntegrableError, match=wanted):
            call()
    # the score itself is available all the same
    assert np.isfinite(fit.score_function(GRID)).all()

    law = fit_convex_score(x, constraint="density", **options)
    assert law.certificate_.optimal
    assert law.piecewise_.left_slope <= 0.0 and law.piecewise_.right_slope <= 0.0
    assert float(law.cdf(law.ppf(0.2))) == pytest.approx(0.2, rel=1e-12)
    assert law.sample(5, random_state=0).shape == (5,)
    # a constraint can only cost
    assert law.certificate_.objective >= fit.certificate_.objective - 1e-9 * abs(
        fit.certificate_.objective
    )


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
    assert fit.certificate_.objective >= free.certificate_.objective - 1e-9 * abs(
        free.certificate_.objective
    )
    if beta < 30.0:
        # two modes need a rising score: the constraint binds on these data
        assert free.divergence(GRID).max() > 0.1
        assert fit.certificate_.objective > free.certificate_.objective + 1.0


def test_denoising_objective_of_the_estimator_is_the_public_one():
    x = bimodal(30)
    fit = fit_convex_score(x, objective="denoising", noise=0.3, beta=3.0, random_state=7)
    objective = denoising(x, noise=0.3, random_state=np.random.default_rng(7))
    assert np.array_equal(objective.points[:, 0], fit.noisy_points_)
    assert prepare(objective).data.size == np.unique(fit.noisy_points_).size
