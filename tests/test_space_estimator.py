"""Scores of several columns through the public call: symmetries, options, gradients, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from plane_oracles import Case, objective
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from convexscore import ConvexScore, NotIntegrableError, fit_convex_score, targets

CASES = list(itertools.product(["relu", "abs"], [True, False], [None, "gradient"]))


def moons(n=50, d=2, seed=0):
    """Two groups, one flat and one narrow."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    x[: n // 3] = 0.5 * x[: n // 3] + 2.0 * np.eye(d)[0]
    return x


def difference(fit, other, x):
    a, b = fit.score_function(x), other.score_function(x)
    return np.abs(a - b).max() / np.abs(a).max()


def same(fit, other, x, tol=2e-3):
    """Equal up to the accuracy of the fits: objectives, and the score where it is determined."""
    best = fit.certificate_.objective
    assert other.certificate_.objective == pytest.approx(best, rel=2e-6, abs=1e-9)
    assert difference(fit, other, x) < tol


# ---------------------------------------------------------------------------------------- symmetries


@pytest.mark.slow
@pytest.mark.parametrize(("activation", "skip", "constraint"), CASES)
def test_weights_are_repetitions_and_order_does_not_matter(activation, skip, constraint):
    x = moons(40)
    weight = np.random.default_rng(2).integers(0, 4, len(x))
    options = {"activation": activation, "skip": skip, "constraint": constraint}
    options |= {"beta": 14.0, "tol": 1e-6}
    weighted = fit_convex_score(x, sample_weight=weight, **options)
    seen = x[weight > 0]
    repeated = fit_convex_score(np.repeat(x, weight, axis=0), **options)
    same(weighted, repeated, seen)
    order = np.random.default_rng(3).permutation(len(x))
    same(weighted, fit_convex_score(x[order], sample_weight=weight[order], **options), seen)
    deleted = fit_convex_score(seen, sample_weight=weight[weight > 0], **options)
    assert difference(weighted, deleted, seen) == 0.0
    case = Case(seen, np.zeros_like(seen), 1.0, 14.0, activation, skip, mass=weight[weight > 0])
    assert objective(case, weighted.network_) == pytest.approx(
        weighted.certificate_.objective, rel=1e-9
    )
    # negative control: other weights give another score
    assert difference(fit_convex_score(x, **options), weighted, x) > 2e-2


@pytest.mark.parametrize(("activation", "skip", "constraint"), CASES)
@pytest.mark.parametrize(
    ("scale", "shift", "angle"),
    [(1e-8, 0.0, 0.0), (1e8, 0.0, 0.0), (1.0, 0.0, 0.7), (1.0, 1e6, 0.0), (1e3, [1e6, -3e5], 2.0)],
)
def test_equivariance_under_similarities(activation, skip, constraint, scale, shift, angle):
    x = moons(30)
    options = {"activation": activation, "skip": skip, "constraint": constraint}
    options |= {"beta": 10.0, "tol": 1e-6}
    fit = fit_convex_score(x, **options)
    Q = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mapped = fit_convex_score(scale * x @ Q.T + shift, **options)
    assert mapped.certificate_.optimal
    assert mapped.certificate_.objective * scale**2 == pytest.approx(
        fit.certificate_.objective, rel=2e-6
    )
    got = mapped.score_function(scale * x @ Q.T + shift) @ Q * scale
    wanted = fit.score_function(x)
    np.testing.assert_allclose(got, wanted, atol=2e-3 * np.abs(wanted).max())
    # the objective of the network itself, where offsets cost the most digits
    case = Case(scale * x @ Q.T + shift, np.zeros_like(x), 1.0, 10.0, activation, skip)
    assert objective(case, mapped.network_) == pytest.approx(
        mapped.certificate_.objective, rel=1e-9
    )


@pytest.mark.parametrize("mode", ["columns", "whitening"])
@pytest.mark.parametrize("goal", ["score_matching", "denoising"])
def test_standardised_fits_forget_units(mode, goal):
    """Per-column scalings for "columns", any affine map for "whitening": s_x = A' s_y(A x + t)."""
    x = moons(40) @ [[1.0, 0.0], [0.6, 0.4]]
    A = np.diag([1e4, 1e-3]) if mode == "columns" else np.array([[2.0, -50.0], [0.3, 0.1]])
    t = np.array([7.0, -3.0])
    if goal == "score_matching":
        options = {"beta": 6.0, "tol": 1e-6, "standardize": mode}
        fit, mapped = fit_convex_score(x, **options), fit_convex_score(x @ A.T + t, **options)
        got, wanted = mapped.score_function(x @ A.T + t) @ A, fit.score_function(x)
        np.testing.assert_allclose(got, wanted, atol=2e-3 * np.abs(wanted).max())
        plain = fit_convex_score(x, beta=6.0, tol=1e-6)
        assert difference(plain, fit, x) > 2e-2  # negative control
        return
    # the noise has the units of x: only the map back can be checked, on an objective of one's own
    fit = fit_convex_score(
        x, objective=goal, noise=0.4, beta=4.0, tol=1e-6, standardize=mode, random_state=0
    )
    to_z = fit.standardization_
    z, labels = to_z.points(fit.noisy_points_), to_z.labels(fit.noise_labels_)
    case = Case(z, labels, 0.0, 4.0, "relu", True)
    assert objective(case, to_z.network_forward(fit.network_)) == pytest.approx(
        fit.certificate_.objective, rel=1e-9
    )


@pytest.mark.parametrize("labels", ["noisy", "smoothed"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("draws", [1, 3])
def test_denoising_objective_is_the_reported_one(labels, weighted, draws):
    x = moons(25)
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(x)) if weighted else None
    options = {"n_draws": draws, "labels": labels, "sample_weight": weight, "random_state": 4}
    options |= {"objective": "denoising", "noise": 0.4, "beta": 6.0}
    fit = fit_convex_score(x, **options)
    assert fit.noisy_points_.shape == fit.noise_labels_.shape == (25 * draws, 2)
    mass = None if weight is None else np.tile(weight, draws)
    case = Case(fit.noisy_points_, fit.noise_labels_, 0.0, 6.0, "relu", True, mass=mass)
    for network in (fit.network_, fit.network_.balanced()):
        assert objective(case, network) == pytest.approx(fit.certificate_.objective, rel=1e-9)
    if labels == "noisy":
        clean = fit.noisy_points_ + 0.4**2 * fit.noise_labels_
        np.testing.assert_allclose(clean, np.tile(x, (draws, 1)), atol=1e-12)
    assert difference(fit, fit_convex_score(x, **options), x) == 0.0


# --------------------------------------------------------------------------- gradients and densities


@pytest.mark.parametrize(
    ("activation", "constraint"),
    [("relu", "gradient"), ("relu", "log-concave"), ("abs", "gradient")],
)
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("goal", ["score_matching", "denoising"])
def test_constrained_fits_are_gradients(activation, skip, constraint, goal):
    x = moons(40)
    fit = fit_convex_score(
        x, objective=goal, noise=0.4 if goal == "denoising" else None, constraint=constraint,
        activation=activation, skip=skip,
        beta=3.0 if goal == "denoising" else 12.0, random_state=2,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    grid = 3.0 * rng.normal(size=(500, 2))
    jacobian = fit.network_.jacobian(grid)
    size = np.abs(jacobian).max()
    assert np.abs(jacobian - np.swapaxes(jacobian, 1, 2)).max() <= 1e-12 * size
    assert fit.jacobian_asymmetry(grid).max() <= 1e-12
    assert fit.network_.is_conservative()
    np.testing.assert_allclose(
        fit.divergence(grid), np.trace(jacobian, axis1=1, axis2=2), atol=1e-12 * size
    )
    eps = 1e-5
    up, down = ([fit.log_density(grid + s * eps * e) for e in np.eye(2)] for s in (1, -1))
    slopes = (np.array(up) - down).T / (2 * eps)
    score = fit.score_function(grid)
    np.testing.assert_allclose(slopes, score, atol=2e-5 * max(np.abs(score).max(), size))
    if constraint == "gradient":
        return
    assert np.linalg.eigvalsh(jacobian).max() <= 1e-9 * size
    a, b = 4.0 * rng.normal(size=(2, 500, 2))
    share = rng.uniform(size=500)
    middle = share[:, None] * a + (1 - share)[:, None] * b
    chord = share * fit.log_density(a) + (1 - share) * fit.log_density(b)
    assert (fit.log_density(middle) - chord).min() >= -1e-9 * np.abs(chord).max()


def test_log_concave_costs_on_two_modes():
    """Negative control: without the constraint the score of two groups expands between them."""
    x = np.concatenate([moons(30, seed=1), moons(30, seed=2) + np.array([6.0, 0.0])])
    free = fit_convex_score(x, constraint="gradient", beta=6.0)
    law = fit_convex_score(x, constraint="log-concave", beta=6.0)
    assert np.linalg.eigvalsh(free.network_.jacobian(x)).max() > 0.1
    assert law.certificate_.objective > free.certificate_.objective + 1.0


def test_chains_from_a_conservative_gaussian_fit():
    """beta above the threshold: MALA from the Gaussian fit has the mean and covariance of the data."""
    x = moons(200) @ [[1.0, 0.4], [0.0, 0.8]] + [5.0, -2.0]
    fit = fit_convex_score(x, beta=300.0, constraint="gradient")
    assert fit.network_.n_neurons == 0
    n = 3000
    draws = fit.sample(n, method="mala", n_steps=300, random_state=1)
    sigma = np.cov(x.T, ddof=0)
    root = np.linalg.inv(np.linalg.cholesky(sigma))
    z = (draws - x.mean(axis=0)) @ root.T
    assert np.abs(z.mean(axis=0)).max() < 4.0 / np.sqrt(n)
    assert np.abs(np.cov(z.T) - np.eye(2)).max() < 4.0 * np.sqrt(2.0 / n)
    # the test has the power to see a wrong law: the same samples against twice the covariance
    assert np.abs(np.cov(z.T) / 2.0 - np.eye(2)).max() > 4.0 * np.sqrt(2.0 / n)
    langevin = fit.sample(n, n_steps=300, random_state=1)
    y = (langevin - x.mean(axis=0)) @ root.T
    assert np.abs(np.cov(y.T) - np.eye(2)).max() < 0.05 + 4.0 * np.sqrt(2.0 / n)


def test_langevin_warns_for_rotational_fields():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    fit = fit_convex_score(x, objective="denoising", noise=1.0, beta=0.5, tol=1e-2, random_state=3)
    assert np.median(fit.jacobian_asymmetry(x)) > 0.5
    with pytest.warns(UserWarning, match="far from a gradient.*constraint='gradient'"):
        fit.sample(3, n_steps=2, random_state=0)
    smooth = fit_convex_score(x, beta=100.0)
    assert smooth.sample(3, n_steps=2, random_state=0).shape == (3, 2)
    with pytest.raises(NotIntegrableError, match="constraint='gradient'"):
        fit.sample(3, method="mala")
    with pytest.raises(NotIntegrableError, match="constraint='gradient'"):
        fit.log_density(x)
    with pytest.raises(ValueError, match="method='exact' is for one column"):
        fit.sample(3, method="exact")


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.r_[[[np.nan, 0.0]], moons(9)]}, r"X must be finite; 1 of 20.*row 0"),
        ({"x": np.zeros((1, 2))}, r"X must hold at least 2 points; got 1"),
        ({"x": np.zeros((5, 0))}, r"X must have at least one column"),
        ({"x": np.ones((5, 2))}, r"X is constant"),
        ({"standardize": "rows"}, r"standardize must be one of None, 'columns', 'whitening'"),
        ({"constraint": "density"}, r"constraint='density' is for one column; got 2"),
        ({"beta": 0.3}, r"beta = 0.3 is too small: score matching is unbounded below.*denoising"),
        ({"n_starts": 0}, r"n_starts must be an integer >= 1; got 0"),
        ({"x": np.c_[moons(20), np.ones(20)], "standardize": "columns"}, r"column 2 .* constant"),
        ({"x": np.c_[moons(20), np.ones(20)]}, r"span only 2 dimensions.*denoising"),
        ({"x": moons(20, d=2).repeat(2, axis=1), "standardize": "whitening"}, r"rank 2"),
        ({"x": moons(3, d=5)}, r"its 3 rows span only 2 dimensions"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change, message):
    arguments = {"x": moons(40), "beta": 20.0} | change
    with pytest.raises(ValueError, match=message):
        fit_convex_score(arguments.pop("x"), **arguments)


def test_uneven_columns_bring_advice():
    with pytest.warns(UserWarning, match="very different spreads.*standardize='columns'"):
        fit_convex_score(
            moons(30) * [1.0, 1e5], beta=20.0, objective="denoising", noise=0.5, random_state=0
        )


def test_points_of_another_width_are_refused_later_on():
    fit = fit_convex_score(moons(30, d=3), beta=40.0)
    for call in (fit.score_function, fit.divergence, fit.jacobian_asymmetry, fit.score):
        with pytest.raises(ValueError, match=r"3 columns|3 features"):
            call(np.zeros((4, 2)))
    assert fit.score_function(np.zeros(3)).shape == (3,)
    for name in ("density", "cdf", "entropy"):
        with pytest.raises(NotIntegrableError, match="known for one column"):
            getattr(fit, name)(*([] if name == "entropy" else [np.zeros((1, 3))]))


# ------------------------------------------------------------------------------------- scikit-learn


def test_one_estimator_for_one_and_several_columns():
    estimator = ConvexScore(beta=15.0, constraint="gradient", standardize="columns")
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    failed = clone(estimator).set_params(beta=0.1)
    with pytest.raises(ValueError):
        failed.fit(moons(30))
    for unfitted in (copy, failed):
        with pytest.raises(NotFittedError):
            unfitted.score_function(np.zeros((1, 2)))
    assert copy.fit(moons(40)).n_features_in_ == 2
    assert copy.get_params() == estimator.get_params()
    copy.set_params(standardize=None, beta=30.0)
    copy.fit(moons(40)[:, 0])
    assert copy.n_features_in_ == 1 and hasattr(copy, "piecewise_")
    copy.fit(moons(40))
    assert copy.n_features_in_ == 2 and not hasattr(copy, "piecewise_")


def test_grid_search_over_beta():
    x = moons(60)
    search = GridSearchCV(ConvexScore(random_state=0), {"beta": [6.0, 10.0, 60.0]}, cv=3).fit(x)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and len(set(scores)) == 3
    assert search.best_estimator_.beta_ == search.best_params_["beta"]
    assert search.best_estimator_.network_.dim == 2
    assert np.isfinite(search.score(x))


# ------------------------------------------------------------------------------- cross-validation


def _mixture(n, seed):
    rng = np.random.default_rng(seed)
    left = rng.uniform(size=n) < 0.5
    return rng.normal(size=(n, 2)) * 0.8 + np.where(left, -2.0, 2.0)[:, None] * [1.0, 0.0]


LAW = targets.GaussianMixture([0.5, 0.5], [[-2.0, 0.0], [2.0, 0.0]], 0.64)


@pytest.mark.slow
@pytest.mark.parametrize("goal", ["score_matching", "denoising"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cross_validated_beta_is_near_the_best_of_its_path(goal, seed):
    """Fisher error against the true score within 1.5 of the best beta of the grid."""
    noise = 0.5 if goal == "denoising" else None
    options = {"objective": goal, "noise": noise, "random_state": seed, "tol": 1e-2}
    x, test = _mixture(120, seed), _mixture(2000, 99)
    if noise is not None:
        test = test + noise * np.random.default_rng(98).normal(size=test.shape)
    truth = LAW.noised(1.0, noise or 0.0).score(test)

    def error(fit):
        return np.mean((fit.score_function(test) - truth) ** 2) / np.mean(truth**2)

    chosen = fit_convex_score(x, cv=4, n_betas=10, **options)
    selection = chosen.beta_selection_
    tried = selection.betas[np.isfinite(selection.loss)]
    assert chosen.beta_ in tried
    errors = [error(fit_convex_score(x, beta=beta, **options)) for beta in tried]
    assert error(chosen) <= 1.5 * min(errors)
    # the choice matters: the worst of the same path, which ends soon after the best, is clearly worse
    assert max(errors) > 1.3 * min(errors)
