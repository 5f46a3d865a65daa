"""The fast univariate solver against the conic programs, non-convex training and itself."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import (
    ACTIVATIONS,
    conic_optimum,
    fit_with_data,
    negative_slope,
    network_objective,
)
from plane_oracles import Case, best_of_lbfgs

from convexscore import fit_convex_score, smallest_beta
from convexscore._tools.exceptions import (
    ConvergenceWarning,
    DataWarning,
    UnboundedObjectiveError,
)
from convexscore.programs import univariate_program

CASES = list(itertools.product(["score_matching", "denoising"], ACTIVATIONS, [True, False]))


def _data(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return {
        "normal": lambda: rng.normal(size=20),
        "three": lambda: rng.normal(size=3),
        "heavy": lambda: rng.standard_t(2, size=15),
        "ties": lambda: np.round(rng.normal(size=20), 1),
        "duplicates": lambda: np.repeat(rng.normal(size=6), [1, 3, 2, 1, 4, 1]),
        "clusters": lambda: np.r_[rng.normal(size=9), 8 + 0.2 * rng.normal(size=9)],
    }[kind]()


KINDS = ["normal", "three", "heavy", "ties", "duplicates", "clusters"]


@pytest.mark.parametrize(("objective", "activation", "skip"), CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_conic_program(objective, activation, skip, kind):
    seed = 10 * KINDS.index(kind) + 3
    x = _data(kind, seed)
    limit = smallest_beta(x, activation=activation, skip=skip)
    options = {"activation": activation, "skip": skip}
    for factor in (1.3, 3.0, 0.4 * len(x)):
        options["beta"] = factor * (limit if objective == "score_matching" else 0.22)
        # not the stream the data came from
        fit, points, _ = fit_with_data(x, objective, noise=0.4, random_state=seed + 100, **options)
        reference = univariate_program(points, labels=fit.noise_labels_, **options).value
        ours, certificate = fit.certificate_.objective, fit.certificate_
        # the conic solver's tolerance is absolute where the optimum is zero
        unit = max(abs(reference), 1e-3 * len(x) / x.var())
        assert abs(ours - reference) <= 1e-6 * unit
        assert ours <= reference + 1e-7 * unit  # above it by the conic error at most
        assert certificate.relative_gap <= 1e-8
        assert certificate.max_violation <= 1e-8
        assert certificate.dual_objective <= reference + 1e-7 * unit


@pytest.mark.parametrize("constraint", ["density", "log-concave"])
@pytest.mark.parametrize(("objective", "activation", "skip"), CASES)
def test_constrained_fits_equal_the_conic_program(objective, activation, skip, constraint):
    rng = np.random.default_rng(4)
    compared = 0
    for x in (
        np.r_[rng.normal(size=6), 4 + 0.5 * rng.normal(size=6)],
        -rng.exponential(size=12),
        rng.standard_t(2.5, size=12),
    ):
        options = {"constraint": constraint, "activation": activation, "skip": skip}
        for factor in (1.6, 4.0):
            limit = smallest_beta(x, activation=activation, skip=skip)
            beta = factor * limit if objective == "score_matching" else 0.3 * factor
            # single draws: the labels of pairs already point inwards
            draws = {"n_draws": 1} if objective == "denoising" else {}
            with warnings.catch_warnings():
                # an exactly flat tail may point outwards; the optimum is compared, not its law
                warnings.filterwarnings("ignore", ".*does not|.*without pointing", DataWarning)
                fit, points, labels = fit_with_data(
                    x, objective, noise=0.5, beta=beta, random_state=1, **draws, **options
                )
            law, margin = fit.piecewise_, 0.0
            outer = max(law.left_slope, law.right_slope)
            if skip and -1.001e-3 < outer * points.var() < 0.0:
                # where a flat tail would not point inwards the constraint is strict
                margin = 1e-3 / points.var()
            divergence = objective == "score_matching"
            reference = conic_optimum(
                points, labels, beta, divergence=divergence, margin=margin, **options
            )
            assert law.is_integrable or not skip
            assert fit.certificate_.relative_gap <= 1e-8
            assert outer <= 0.0
            if constraint == "log-concave":
                values = fit.score_function(np.linspace(x.min() - 1, x.max() + 1, 997))
                assert np.all(np.diff(values) <= 1e-9 * np.abs(values).max())
            if reference is None:  # the conic solver gave up at every tolerance
                continue
            compared += 1
            unit = max(abs(reference), 1e-3 * len(x) / x.var())
            assert abs(fit.certificate_.objective - reference) <= 1e-6 * unit
    assert compared >= 4


@pytest.mark.parametrize(("objective", "activation", "skip"), CASES)
def test_never_above_nonconvex_training(objective, activation, skip):
    x = np.random.default_rng(1).normal(size=12)
    options = {"activation": activation, "skip": skip}
    fit, *data = fit_with_data(x, objective, noise=0.5, beta=3.0, random_state=0, **options)
    points, labels = (rows[:, None] for rows in data)
    case = Case(points, labels, float(objective == "score_matching"), 3.0, activation, skip)
    trained = best_of_lbfgs(case, n_neurons=10, n_starts=12, seed=2)
    assert fit.certificate_.objective <= trained + 1e-9 * abs(trained)
    if objective == "denoising":
        # the search is a real competitor: it comes close; for score matching it does not, as the
        # optimum has kinks exactly at data points, where the gradient of the count is zero
        assert trained <= 1.05 * fit.certificate_.objective


@pytest.mark.parametrize(("objective", "activation", "skip"), CASES)
def test_network_reproduces_the_certified_objective(objective, activation, skip):
    x = np.round(np.random.default_rng(7).normal(size=60), 1)
    fit, points, labels = fit_with_data(
        x, objective, activation=activation, skip=skip, beta=15.0, noise=0.3, random_state=0
    )
    value = network_objective(
        fit.network_, points, labels, 15.0, float(objective == "score_matching")
    )
    assert value == pytest.approx(fit.certificate_.objective, rel=1e-9)
    assert np.allclose(fit.network_(points), fit.score_function(points), rtol=1e-9, atol=1e-9)
    balanced = fit.network_.balanced()
    assert np.allclose(np.abs(balanced.u), np.abs(balanced.w), rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-8, 1e8, 3.7])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_equivariance_under_affine_maps(scale, activation):
    halves = [np.random.default_rng(seed).normal(size=40) for seed in (2, 3)]
    x = np.r_[halves[0], 5 + halves[1]]
    base = fit_convex_score(x, activation=activation, beta=9.0)
    shift = 2.5 * scale
    moved = fit_convex_score(scale * x + shift, activation=activation, beta=9.0)
    grid = np.linspace(-4, 9, 301)
    expected = base.score_function(grid) / scale
    got = moved.score_function(scale * grid + shift)
    assert np.allclose(got, expected, rtol=1e-7, atol=1e-7 * np.abs(expected).max())
    value = moved.certificate_.objective * scale**2
    assert value == pytest.approx(base.certificate_.objective, rel=1e-9)
    assert moved.certificate_.n_neurons == base.certificate_.n_neurons
    flipped = fit_convex_score(-x, activation=activation, beta=9.0)
    assert np.allclose(flipped.score_function(-grid), -base.score_function(grid), atol=1e-8)


@pytest.mark.parametrize(("objective", "activation", "skip"), CASES)
def test_integer_weights_are_repetitions_and_order_is_irrelevant(objective, activation, skip):
    rng = np.random.default_rng(5)
    x, weights = rng.normal(size=30), rng.integers(0, 4, size=30)
    order = rng.permutation(30)
    options = {"activation": activation, "skip": skip, "beta": 8.0}

    def score_of(x, weights):
        if objective == "score_matching":
            return fit_convex_score(x, sample_weight=weights, **options).score_function
        # the noise must be the same: compare on given noisy points through the solver
        return _denoise_given(x, weights, options)

    grid = np.linspace(-3, 3, 101)
    reference = score_of(x, weights)(grid)
    for other in (score_of(np.repeat(x, weights), None), score_of(x[order], weights[order])):
        value = other(grid)
        assert np.allclose(value, reference, atol=1e-9 * (1 + np.abs(reference).max()))


def _denoise_given(x, weights, options):
    from convexscore.objectives import ScoreObjective
    from convexscore.solvers.line.cases import LineCase
    from convexscore.solvers.line.problem import prepare
    from convexscore.solvers.line.solve import solve

    labels = -np.sin(3 * x) - x
    weights = None if weights is None else weights.astype(float)
    if weights is not None:
        x, labels, weights = x[weights > 0], labels[weights > 0], weights[weights > 0]
    problem = prepare(ScoreObjective(x[:, None], labels[:, None], 0.0, weights))
    case = LineCase(options["activation"], options["skip"])
    return solve(problem, case, 0.05 * options["beta"]).score


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("skip", [True, False])
def test_boundedness_limit_is_refused_below_and_warned_above(activation, skip):
    x = np.array([0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.7, 2.0])
    expected = {"relu": (2.0, 2.0), "abs": (4.0, 3.0)}
    expected |= {"leaky_relu(0.3)": (1.4, 1.4), "leaky_relu(-0.6)": (3.2, 2.6)}
    limit = smallest_beta(x, activation=activation, skip=skip)
    assert limit == pytest.approx(expected[activation][0 if skip else 1], rel=1e-14)
    with pytest.raises(UnboundedObjectiveError, match=f"beta = .*limit {limit:g}"):
        fit_convex_score(x, activation=activation, skip=skip, beta=0.99 * limit)
    with pytest.raises(UnboundedObjectiveError, match="no minimiser"):
        fit_convex_score(x, activation=activation, skip=skip, beta=limit)
    with pytest.warns(DataWarning, match="just above the boundedness limit"):
        fit = fit_convex_score(x, activation=activation, skip=skip, beta=1.05 * limit)
    assert fit.certificate_.optimal
    assert fit_convex_score(x, activation=activation, skip=skip, beta=1.2 * limit)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("skip", [True, False])
def test_hundreds_of_kinks_are_certified(activation, skip):
    x = np.random.default_rng(0).normal(size=2000)
    beta = 2.4 * min(1.0, 1.0 - negative_slope(activation))
    fit = fit_convex_score(x, activation=activation, skip=skip, beta=beta)
    assert fit.certificate_.n_neurons > 150
    assert fit.certificate_.relative_gap <= 1e-8
    assert fit.certificate_.max_violation <= 1e-8


def test_large_data_use_cells_and_reach_the_same_optimum():
    from convexscore.objectives import score_matching
    from convexscore.solvers.line.cases import LineCase
    from convexscore.solvers.line.master import Master
    from convexscore.solvers.line.problem import prepare
    from convexscore.solvers.line.search import WarmStart, solve_line

    rng = np.random.default_rng(3)
    x = np.r_[rng.normal(size=20_000), 4 + 0.5 * rng.normal(size=15_000)]
    problem = prepare(score_matching(x))
    for case in (LineCase("relu", True), LineCase("abs", False)):
        beta = 1.5 * np.sqrt(len(x))
        coarse, _ = solve_line(problem.data, case, beta)
        cold = Master.start(problem.data, case.penalty(problem.data, beta, 0.0))
        plain, _ = solve_line(problem.data, case, beta, warm=WarmStart(cold, 0.0, None))
        a = problem.data.evaluate(coarse.knots, coarse.values)
        b = problem.data.evaluate(plain.knots, plain.values)
        assert np.abs(a - b).max() <= 1e-8
        assert coarse.progress.violation <= 1e-10


values = st.floats(-1e6, 1e6).map(lambda v: round(v, 3))


@given(
    x=st.lists(values, min_size=2, max_size=40),
    case=st.sampled_from(CASES),
    size=st.floats(0.3, 1.5),
)
def test_certificate_on_arbitrary_data(x, case, size):
    objective, activation, skip = case
    x = np.array(x)
    if np.ptp(x) == 0:
        return
    beta = max(size * len(x), 1.2 * smallest_beta(x, activation=activation, skip=skip))
    options = {"activation": activation, "skip": skip, "beta": beta}
    fit, _, _ = fit_with_data(x, objective, noise=0.3 * np.ptp(x), random_state=0, **options)
    certificate = fit.certificate_
    assert certificate.relative_gap <= 1e-8
    assert certificate.max_violation <= 1e-7
    assert certificate.gap >= -1e-8 * abs(certificate.objective)


def test_extreme_dynamic_range_is_reported_honestly():
    x = np.exp(5 * np.random.default_rng(0).normal(size=1500))  # 14 decades
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = fit_convex_score(x, beta=20.0)
    certificate = fit.certificate_
    unfinished = not certificate.optimal
    assert unfinished == any(issubclass(w.category, ConvergenceWarning) for w in caught)
    assert certificate.dual_objective <= certificate.objective


@pytest.mark.parametrize("constraint", ["density", "log-concave"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("skip", [True, False])
def test_large_constrained_fits_are_certified(constraint, activation, skip):
    rng = np.random.default_rng(8)
    x = np.r_[rng.normal(size=15_000), 5 + rng.normal(size=10_000)]
    fit = fit_convex_score(x, beta=300.0, activation=activation, skip=skip, constraint=constraint)
    assert fit.certificate_.relative_gap <= 1e-8
    assert fit.certificate_.max_violation <= 1e-8
    assert fit.piecewise_.is_integrable
    free = fit_convex_score(x, beta=300.0, activation=activation, skip=skip)
    assert fit.certificate_.objective >= free.certificate_.objective * (1 + 1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("constraint", ["density", "log-concave"])
def test_flat_tails_get_a_margin_and_so_a_density(activation, constraint):
    """Strong penalty on noisy labels: the best slope is zero and the score a constant."""
    rng = np.random.default_rng(0)
    strict, options = 0, {"activation": activation, "constraint": constraint}
    for _ in range(12):
        x = rng.normal(size=10)
        fit, points, labels = fit_with_data(
            x, "denoising", noise=0.2, n_draws=1, beta=8.0, random_state=rng, **options
        )
        law = fit.piecewise_
        assert law.is_integrable
        assert np.isfinite(fit.entropy())
        assert fit.certificate_.relative_gap <= 1e-8
        value = network_objective(fit.network_, points, labels, 8.0, 0.0)
        assert value == pytest.approx(fit.certificate_.objective, rel=1e-9)
        # a tail at the margin: others point inwards by themselves, however flat
        steepness = max(law.left_slope, law.right_slope) * points.var()
        if steepness == pytest.approx(-1e-3, rel=0.01):
            margin = 1e-3 / points.var()
            reference = conic_optimum(
                points, labels, 8.0, skip=True, divergence=0.0, margin=margin, **options
            )
            if reference is None:  # the conic solver gave up at every tolerance
                continue
            strict += 1
            assert value == pytest.approx(reference, rel=1e-6)
    assert strict >= 1
