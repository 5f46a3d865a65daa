"""The unit of beta: gradient noise against brute force, and the factor that multiplies it."""

import sys

import numpy as np
import pytest
from oracles import sigma

from convexscore import ConvexDiffusion, fit_convex_diffusion, targets
from convexscore.objectives import denoising
from convexscore.objectives.options import make_problem
from convexscore.objectives.smoothed_labels import smoothed_score
from convexscore.selection.gradient_noise import gradient_noise
from convexscore.selection.ladder import FACTORS, anchors
from convexscore.selection.ladder_betas import RULE_FACTOR, betas_from, explicit_betas

REPLICATES = 9


def problem_of(noise, **more):
    return make_problem(objective="denoising", noise=noise, **{"labels": "smoothed", **more})


def replicate_residuals(x, objective, weights, seed):
    """Noisy points, their masses and the residuals of all replicates, by definition."""
    n, noise, n_draws = len(x), objective.noise, objective.n_draws
    rng = np.random.default_rng(seed)
    built = denoising(
        x, noise=noise, n_draws=n_draws, labels=objective.labels, sample_weight=weights,
        random_state=rng,
    )  # fmt: skip
    multipliers = rng.standard_normal((n, REPLICATES))
    weights = np.ones(n) if weights is None else weights
    mass = np.tile(weights, n_draws)
    residuals = []
    for xi in multipliers.T:
        if objective.labels == "noisy":
            mean = smoothed_score(x, built.points, noise=noise, sample_weight=weights)
            residuals.append(np.tile(xi, n_draws)[:, None] * (built.labels - mean))
            continue
        # the derivative of the label in the weights of the points, by central differences
        h = 1e-4
        up, down = (
            smoothed_score(x, built.points, noise=noise, sample_weight=weights * (1 + step * xi))
            for step in (h, -h)
        )
        residuals.append((up - down) / (2 * h))
    return built.points, mass, residuals


def without_free_part(y, mass, residual, skip):
    """What is left after offset and, with skip, linear part are at their best."""
    free = np.column_stack([np.ones(len(y)), y]) if skip else np.ones((len(y), 1))
    root = np.sqrt(mass)[:, None]
    best = np.linalg.lstsq(root * free, root * residual, rcond=None)[0]
    return residual - free @ best


def largest_gradient(y, mass, residual, activation, skip, directions):
    """Largest |sum_k m_k r_k sigma(u.y_k + b)| over directions and kinks at points and between."""
    rest = mass[:, None] * without_free_part(y, mass, residual, skip)
    best = 0.0
    for u in directions:
        along = np.sort(y @ u)
        kinks = np.concatenate([along, 0.5 * (along[1:] + along[:-1])])
        z = (y @ u)[:, None] - kinks
        for sign in (1.0, -1.0):
            values = sigma(activation, sign * z)
            best = max(best, np.linalg.norm(values.T @ rest, axis=1).max())
    return best


def brute_force(x, problem, weights=None, seed=0, directions=((1.0,),)):
    y, mass, residuals = replicate_residuals(x, problem.objective, weights, seed)
    rest = problem.case.activation.name, problem.case.skip, np.asarray(directions)
    return np.median([largest_gradient(y, mass, r, *rest) for r in residuals])


@pytest.mark.parametrize("labels", ["smoothed", "noisy"])
@pytest.mark.parametrize(
    "activation, skip", [("relu", True), ("abs", True), ("relu", False), ("leaky_relu(0.3)", False)]
)
def test_gradient_noise_on_the_line_is_brute_force(labels, activation, skip):
    x = np.random.default_rng(1).normal(size=(30, 1))
    for noise, weighted in ((0.3, False), (2.0, True)):
        weights = np.random.default_rng(2).uniform(0.5, 2.0, 30) if weighted else None
        problem = problem_of(noise, n_draws=2, labels=labels, activation=activation, skip=skip)
        got = gradient_noise(x, problem, sample_weight=weights, rng=np.random.default_rng(0))
        assert got == pytest.approx(brute_force(x, problem, weights), rel=1e-6)
        # negative control: the multipliers of another seed
        assert got != pytest.approx(brute_force(x, problem, weights, seed=1), rel=1e-2)


@pytest.mark.slow
def test_gradient_noise_in_the_plane_is_brute_force():
    x = np.random.default_rng(1).normal(size=(25, 2)) * [1.0, 0.6]
    angles = np.linspace(0.0, np.pi, 721)
    directions = np.column_stack([np.cos(angles), np.sin(angles)])
    for labels in ("smoothed", "noisy"):
        problem = problem_of(0.4, n_draws=1, labels=labels)
        got = gradient_noise(x, problem, rng=np.random.default_rng(0))
        assert got == pytest.approx(brute_force(x, problem, directions=directions), rel=0.02)


def mean_noise(x, problem, repeats=6):
    return np.mean(
        [gradient_noise(x, problem, rng=np.random.default_rng(k)) for k in range(repeats)]
    )


@pytest.mark.slow
def test_noise_grows_like_the_root_of_n_and_like_the_draws():
    x = np.random.default_rng(0).normal(size=(800, 1))
    base = mean_noise(x[:200], problem_of(0.2, n_draws=4), 25)
    # one median scatters by a fifth, the mean of 25 by a twentieth
    assert mean_noise(x, problem_of(0.2, n_draws=4), 25) / base == pytest.approx(2.0, rel=0.2)
    assert mean_noise(x[:200], problem_of(0.2, n_draws=12), 25) / base == pytest.approx(3, rel=0.2)


@pytest.mark.slow
def test_a_part_of_many_points_stands_for_all(monkeypatch):
    x = np.random.default_rng(0).normal(size=(3000, 1))
    problem = problem_of(0.2, n_draws=1)
    part = mean_noise(x, problem, repeats=15)
    # the room shows the function under the module's name
    module = sys.modules["convexscore.selection.gradient_noise"]
    monkeypatch.setattr(module, "_MOST_POINTS", 10_000)
    assert part == pytest.approx(mean_noise(x, problem, repeats=15), rel=0.2)


def test_noise_has_no_unit_and_the_scale_of_the_weights():
    x = np.random.default_rng(0).normal(size=(60, 1))

    def noise(scale, **weights):
        problem = problem_of(0.3 * scale, n_draws=2)
        return gradient_noise(scale * x, problem, rng=np.random.default_rng(0), **weights)

    for scale in (1e-8, 1e8):
        assert noise(scale) == pytest.approx(noise(1.0), rel=1e-6)
    heavy = noise(1.0, sample_weight=np.full(60, 7.0))
    assert heavy == pytest.approx(7.0 * noise(1.0), rel=1e-9)


def test_noisy_labels_are_noisier_until_the_draws_average_them():
    x = np.random.default_rng(0).normal(size=(200, 1))

    def excess(n_draws):
        smoothed, noisy = (
            mean_noise(x, problem_of(0.5, labels=labels, n_draws=n_draws), 12)
            for labels in ("smoothed", "noisy")
        )
        return noisy / smoothed

    assert excess(1) > 1.5
    assert excess(20) < 1.3


# ----------------------------------------------------------------------------------- from noise to beta


def test_rule_is_a_multiple_of_the_noise():
    x = np.random.default_rng(0).normal(size=120)
    # one simulation scatters by half at the largest level: means of many
    models = [
        fit_convex_diffusion(x, n_levels=3, beta="rule", n_draws=2, random_state=seed)
        for seed in range(16)
    ]
    model = models[0]
    z = model.standardization_.points(x[:, None])
    betas = np.mean([other.betas_ for other in models], axis=0)
    for level, beta in zip(model.levels_, betas, strict=True):
        unit = mean_noise(z, problem_of(float(level), n_draws=2), repeats=32)
        assert beta == pytest.approx(RULE_FACTOR * unit, rel=0.35)
    assert model.factor_selection_ is None


def test_levels_without_noise_get_the_smallest_other():
    assert betas_from(0.5, [4.0, 2.0, 0.0]).tolist() == [2.0, 1.0, 1.0]
    assert betas_from(0.5, [4.0, 2.0, 1e-15]).tolist() == [2.0, 1.0, 1.0]
    assert betas_from(0.5, [0.0, 0.0]).tolist() == [0.5, 0.5]


def test_explicit_betas():
    assert explicit_betas("rule", 3) is None and explicit_betas("cv", 3) is None
    assert explicit_betas(2, 3).tolist() == [2.0, 2.0, 2.0]
    assert explicit_betas([3.0, 2.0, 1.0], 3).tolist() == [3.0, 2.0, 1.0]


@pytest.mark.parametrize("one_column", [True, False])
def test_anchors_span_the_ladder(one_column):
    for count in (2, 3, 7, 20, 50):
        chosen = anchors(count, one_column=one_column)
        assert chosen[0] == 0 and chosen[-1] == count - 1
        assert (np.diff(chosen) > 0).all() and len(chosen) <= 10


@pytest.mark.slow
def test_cross_validation_wants_more_neurons_where_there_are_modes():
    three = targets.GaussianMixture([1, 1, 1], [-4.0, 0.0, 4.0], 0.25)

    def factor(law, seed):
        model = ConvexDiffusion(n_levels=5, n_draws=2, random_state=seed)
        return model.fit(law.sample(200, random_state=seed)).factor_selection_.factor

    one, many = (
        np.exp(np.mean([np.log(factor(law, seed)) for seed in range(3)]))
        for law in (targets.Gaussian([0.0], [[1.0]]), three)
    )
    assert many < 0.7 * one


def test_selection_says_what_it_saw():
    x = targets.GaussianMixture([1, 1], [-2.0, 2.0], 0.1).sample(100, random_state=0)
    model = ConvexDiffusion(n_levels=4, n_draws=3, random_state=0).fit(x)
    seen = model.factor_selection_
    assert seen.factors.shape == seen.loss.shape == seen.standard_error.shape == FACTORS.shape
    assert seen.factor in seen.factors and np.array_equal(seen.levels, model.levels_)
    followed = np.isfinite(seen.loss)
    assert followed[: followed.sum()].all() and followed.sum() >= 3
    chosen = seen.loss[seen.factors == seen.factor][0]
    assert chosen <= np.nanmin(seen.loss) + 0.05 * (seen.loss[0] - np.nanmin(seen.loss))
    assert "factor=" in repr(seen) and "4 levels" in repr(seen)
    # the betas are the factor times what the rule multiplies with its own
    rule = ConvexDiffusion(n_levels=4, n_draws=3, beta="rule", random_state=0).fit(x)
    np.testing.assert_allclose(model.betas_ / seen.factor, rule.betas_ / RULE_FACTOR, rtol=1e-12)


@pytest.mark.parametrize(("n", "cv"), [(19, 3), (30, 16)])
def test_few_points_fall_back_to_the_rule(n, cv):
    x = np.random.default_rng(0).normal(size=n)
    model = ConvexDiffusion(n_levels=2, n_draws=2, cv=cv, random_state=0).fit(x)
    assert model.factor_selection_ is None


def test_a_fold_may_hold_one_point_many_times():
    x = np.concatenate([np.ones(50), [2.0]])
    model = ConvexDiffusion(n_levels=3, n_draws=2, random_state=0).fit(x)
    assert model.certificates_.optimal
    plane = fit_convex_diffusion(
        x[:, None] * [1.0, 2.0], n_levels=2, n_draws=2, beta="rule", random_state=0
    )
    assert plane.certificates_.optimal
    assert (plane.betas_ > 1e-6).all()  # noise of rounding is no penalty
