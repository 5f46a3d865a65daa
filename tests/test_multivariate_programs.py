"""The multivariate reference programs against each other and against brute force over neurons."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from convexscore import programs
from convexscore._tools.exceptions import ConvergenceWarning, SolverError, UnboundedObjectiveError
from convexscore.arrangements import enumerate_patterns, pattern_of

_RNG = np.random.default_rng(4)
X = _RNG.normal(size=(7, 2))
L = _RNG.normal(size=(7, 2))
SM_BETA, DSM_BETA = 6.5, 0.4
ACTIVATION_SKIP = [(act, skip) for act in ("relu", "abs") for skip in (False, True)]
CASES = [
    pytest.param(sm, act, skip, id=f"{'sm' if sm else 'dsm'}-{act}{'-skip' if skip else ''}")
    for sm in (True, False)
    for act, skip in ACTIVATION_SKIP
]


# ---- the slow, obvious side ---------------------------------------------------------------------


def sigma(act, z):
    return np.maximum(z, 0.0) if act == "relu" else np.abs(z)


def sigma_prime(act, z):
    return np.where(z >= 0, 1.0, 0.0 if act == "relu" else -1.0)


def objective(net, points, beta, labels=None, *, order=2, mass=1.0):
    """The training objective by its definition; without labels score matching."""
    score = sigma(net.activation, points @ net.u.T + net.b) @ net.w + net.offset
    divergence = sigma_prime(net.activation, points @ net.u.T + net.b) @ np.sum(net.u * net.w, 1)
    if net.skip is not None:
        score = score + points @ net.skip.T
        divergence = divergence + np.trace(net.skip)
    if labels is None:
        per_sample = 0.5 * np.sum(score**2, axis=1) + divergence
    else:
        per_sample = 0.5 * np.sum((score - labels) ** 2, axis=1)
    sizes = np.linalg.norm(net.u, ord=order, axis=1) * np.linalg.norm(net.w, axis=1)
    return float(np.sum(mass * per_sample) + beta * np.sum(sizes))


def circle(n_angles, order=2):
    """Directions in the plane of norm one."""
    angle = 2 * np.pi * np.arange(n_angles) / n_angles
    u = np.column_stack([np.cos(angle), np.sin(angle)])
    return u / np.linalg.norm(u, ord=order, axis=1)[:, None]


def through_points(u, points):
    """All directions with the kink at every point: between points the measure is convex in b."""
    return np.repeat(u, len(points), axis=0), -(u @ points.T).ravel()


def largest_gradient(residual, points, u, b, act, *, sm):
    """max |G(u, b)| over given neurons, at an exact tie counted from both sides."""
    best = 0.0
    for side in (1e-9, -1e-9) if sm else (0.0,):
        pre = points @ u.T + b + side
        G = sigma(act, pre).T @ residual
        if sm:
            G = G + np.sum(sigma_prime(act, pre), axis=0)[:, None] * u
        best = max(best, float(np.max(np.linalg.norm(G, axis=1))))
    return best


def dictionary(sm, *args, **options):
    """One of the two dictionary programs: (points, labels, beta, u, b)."""
    points, labels, beta, u, b = args
    if sm:
        return programs.dictionary_score_matching(points, beta, u, b, **options)
    return programs.dictionary_denoising(points, labels, beta, u, b, **options)


def clifford(sm, points, labels, beta, **options):
    if sm:
        return programs.clifford_score_matching(points, beta, **options)
    return programs.clifford_denoising(points, labels, beta, **options)


def beta_of(sm):
    return SM_BETA if sm else DSM_BETA


# ---- dictionaries of hyperplanes ----------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(5, 1), (6, 2), (6, 3)])
def test_pair_dictionary_has_every_hyperplane_through_d_points(n, d):
    points = 1e3 + np.random.default_rng(d).normal(size=(n, d))
    u, b = programs.pair_dictionary(points, both_orientations=False)
    assert u.shape == (comb(n, d), d)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1.0, rtol=1e-12)
    on_plane = np.abs(points @ u.T + b) < 1e-9
    assert on_plane.sum(axis=0).tolist() == [d] * comb(n, d)
    assert len(np.unique(on_plane, axis=1).T) == comb(n, d)
    both = programs.pair_dictionary(points)
    assert len(both[1]) == 2 * comb(n, d)
    np.testing.assert_array_equal(both[0][comb(n, d) :], -u)


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_tie_variants_count_the_points_on_the_plane_all_or_none(shift):
    points = X + shift
    u, b = programs.pair_dictionary(points)
    on_plane = np.abs(points @ u.T + b) < 1e-8
    nudged_u, nudged_b = programs.pair_dictionary(points, tie_variants=True)
    active = points @ nudged_u.T + nudged_b >= 0
    m = len(b)
    assert active.shape[1] == 2 * m
    assert np.all(active[:, :m][on_plane])
    assert not np.any(active[:, m:][on_plane])
    np.testing.assert_array_equal(active[:, :m][~on_plane], active[:, m:][~on_plane])


def test_degenerate_points_give_the_hyperplanes_of_their_own_space():
    line = np.outer([0.0, 1.0, 3.0, 3.0], [1.0, 2.0, 2.0])  # on a line in space, one repeated
    u, _ = programs.pair_dictionary(line, both_orientations=False)
    assert u.shape == (3, 3)
    np.testing.assert_allclose(np.abs(u), np.tile(np.array([1.0, 2.0, 2.0]) / 3, (3, 1)))
    grid = np.array([[i, j] for i in range(3) for j in range(3)], dtype=float)
    assert len(programs.pair_dictionary(grid, both_orientations=False)[1]) == 20


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_wedge_dictionary_is_orthogonal_to_points_and_axes(d, bias):
    n = 6
    points = np.random.default_rng(d).normal(size=(n, d))
    u, b = programs.wedge_dictionary(points, bias=bias)
    # Choices of d (or d - 1) vectors, those without a point do not fix a bias.  Without a bias,
    # in the plane the axes are hyperplanes too; in space pairs of axes give the third.
    expected = comb(n + d, d) - 1 if bias else comb(n + d, d - 1)
    if bias and d > 1:  # x_k = x_ik is found from every point once, as wanted
        assert np.sum(np.count_nonzero(u, axis=1) == 1) == 2 * n * d
    assert len(b) == 2 * expected
    np.testing.assert_allclose(np.sum(np.abs(u), axis=1), 1.0, rtol=1e-12)
    touches = np.sum(np.abs(points @ u.T + b) < 1e-10, axis=0)
    flat = np.sum(np.abs(u) < 1e-10, axis=1)
    assert np.all(touches + flat == (d if bias else d - 1))
    euclidean, _ = programs.wedge_dictionary(points, bias=bias, norm="l2", orientations="one")
    assert len(euclidean) == expected
    np.testing.assert_allclose(np.linalg.norm(euclidean, axis=1), 1.0, rtol=1e-12)


# ---- fixed dictionaries -------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["dictionary", "clifford"])
@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_one_column_gives_the_univariate_programs(sm, act, skip, program):
    x, labels = 3 * X[:, 0], L[:, 0] / 3
    beta = 2.6 if sm else 0.5
    univariate = ("score_matching_" if sm else "denoising_") + act + ("_skip" if skip else "")
    arguments = (x, beta) if sm else (x, labels, beta)
    expected = getattr(programs, univariate)(*arguments)
    if program == "dictionary":
        neurons = programs.pair_dictionary(x, tie_variants=sm)
        found = dictionary(sm, x, labels, beta, *neurons, activation=act, skip=skip)
    else:
        found = clifford(sm, x, labels, beta, activation=act, skip=skip)
    assert found.value == pytest.approx(expected.value, rel=1e-6)
    np.testing.assert_allclose(found.network(x), expected.network(x), atol=2e-4)


@pytest.mark.parametrize("conservative", [False, True])
@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_network_has_the_value_and_satisfies_optimality(sm, act, skip, conservative):
    beta = beta_of(sm)
    u, b = programs.pair_dictionary(X, tie_variants=sm)
    u, b = 3.0 * u, 3.0 * b  # the length of u must not matter
    program = dictionary(sm, X, L, beta, u, b, activation=act, skip=skip, conservative=conservative)
    net = program.network
    assert program.status == "optimal"
    assert program.weights.shape == u.shape
    assert net.n_neurons < len(b)
    assert (net.skip is not None) == skip
    found = objective(net, X, beta, None if sm else L)
    assert found == pytest.approx(program.value, rel=1e-6)
    assert program.scale * program.problem.value + program.constant == program.value
    # |G| <= beta on the dictionary, and the free parameters are stationary.
    residual = net(X) - (0.0 if sm else L)
    pre = X @ u.T + b
    G = sigma(act, pre).T @ residual / 3
    if sm:
        G = G + np.sum(sigma_prime(act, pre), axis=0)[:, None] * u / 3
    measure = np.abs(np.sum(G * u, axis=1)) / 3 if conservative else np.linalg.norm(G, axis=1)
    assert np.max(measure) <= beta * (1 + 1e-5)
    np.testing.assert_allclose(residual.sum(axis=0), 0.0, atol=1e-5)
    if skip:
        moment = residual.T @ X + (len(X) * np.eye(2) if sm else 0.0)
        moment = moment + moment.T if conservative else moment
        np.testing.assert_allclose(moment, 0.0, atol=1e-4)
    if conservative:
        jacobian = net.jacobian(X)
        np.testing.assert_allclose(jacobian, np.swapaxes(jacobian, 1, 2), atol=1e-9)
        free = dictionary(sm, X, L, beta, u, b, activation=act, skip=skip).value
        assert program.value > free - 1e-7 * abs(free)


@pytest.mark.parametrize("sm", [True, False])
def test_log_concave_fits_have_a_negative_semidefinite_jacobian(sm):
    u, b = programs.pair_dictionary(X, tie_variants=sm)
    options = {"skip": True, "conservative": True}
    beta = SM_BETA if sm else 0.1
    free = dictionary(sm, X, L, beta, u, b, **options)
    concave = dictionary(sm, X, L, beta, u, b, sign=-1, **options)
    assert concave.value >= free.value - 1e-7
    assert objective(concave.network, X, beta, None if sm else L) == pytest.approx(
        concave.value, rel=1e-6
    )
    # in the cells next to the points: at a point itself several kinks meet and rounding picks a side
    around = (X[:, np.newaxis] + 1e-3 * circle(48)).reshape(-1, 2)
    assert np.max(np.linalg.eigvalsh(concave.network.jacobian(around))) < 1e-7
    if not sm:
        assert concave.value > free.value + 0.01
        assert np.max(np.linalg.eigvalsh(free.network.jacobian(around))) > 0.01


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_integer_weights_equal_repetition(sm, act, skip):
    weight = np.array([1, 3, 2, 1, 2, 1, 1])
    u, b = programs.pair_dictionary(X, tie_variants=sm)
    beta = 20.0 if sm else DSM_BETA
    options = {"activation": act, "skip": skip}
    weighted = dictionary(sm, X, L, beta, u, b, sample_weight=weight, **options)
    again = np.repeat(X, weight, axis=0), np.repeat(L, weight, axis=0)
    repeated = dictionary(sm, *again, beta, u, b, **options)
    assert weighted.value == pytest.approx(repeated.value, rel=1e-7, abs=1e-8)
    np.testing.assert_allclose(weighted.network(X), repeated.network(X), atol=1e-3)
    found = objective(weighted.network, X, beta, None if sm else L, mass=weight)
    assert found == pytest.approx(weighted.value, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_equivariant_under_scale_shift_and_rotation(sm, act, skip):
    """x -> a Q x + t: s by 1/a, the same beta for score matching and for labels times 1/a."""
    a, turn = 50.0, np.array([[0.6, -0.8], [0.8, 0.6]])
    moved, labels = a * X @ turn.T + [1e3, -1e3], L @ turn.T / a
    options = {"activation": act, "skip": skip}
    beta = beta_of(sm)
    plain = dictionary(sm, X, L, beta, *programs.pair_dictionary(X, tie_variants=sm), **options)
    neurons = programs.pair_dictionary(moved, tie_variants=sm)
    other = dictionary(sm, moved, labels, beta, *neurons, **options)
    assert other.value * a**2 == pytest.approx(plain.value, rel=1e-6)
    np.testing.assert_allclose(a * other.network(moved), plain.network(X) @ turn.T, atol=1e-3)


@pytest.mark.parametrize("sm", [True, False])
def test_with_skip_abs_is_relu_at_half_the_penalty(sm):
    """|z| = 2 max(z, 0) - z, and the line is free."""
    neurons = programs.pair_dictionary(X, tie_variants=sm)
    beta = 3.0 if sm else DSM_BETA
    relu = dictionary(sm, X, L, beta, *neurons, skip=True)
    both = dictionary(sm, X, L, 2 * beta, *neurons, skip=True, activation="abs")
    assert relu.network.n_neurons > 0
    assert both.value == pytest.approx(relu.value, rel=1e-7)
    np.testing.assert_allclose(both.network(X), relu.network(X), atol=1e-3)


def test_without_offset_the_score_vanishes_where_neurons_do():
    u = circle(12)
    program = programs.dictionary_denoising(X, L, 0.1, u, np.zeros(12), offset=False, skip=True)
    assert program.network.offset.tolist() == [0.0, 0.0]
    assert "offset" not in program.variables
    assert objective(program.network, X, 0.1, L) == pytest.approx(program.value, rel=1e-6)
    assert program.value > programs.dictionary_denoising(X, L, 0.1, u, np.zeros(12)).value


@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_beta_below_the_limit_of_the_dictionary_is_refused(act, skip):
    u, b = programs.pair_dictionary(X, tie_variants=True)
    options = {"activation": act, "skip": skip}
    limit = programs.dictionary_limit(X, u, b, **options)
    # A facet of the hull has d points: its ReLU vanishes on the data, its divergence need not.
    assert 2.0 - 1e-6 <= limit < 8.0
    if act == "abs" and skip:
        relu = programs.dictionary_limit(X, u, b, skip=True)
        assert limit == pytest.approx(2 * relu, rel=1e-5)
    with pytest.raises(UnboundedObjectiveError, match=f"beta must be larger than {limit:.3g}"):
        programs.dictionary_score_matching(X, 0.8 * limit, u, b, **options)
    program = programs.dictionary_score_matching(X, 1.1 * limit, u, b, **options)
    assert objective(program.network, X, 1.1 * limit) == pytest.approx(program.value, rel=1e-5)


def test_skip_on_collinear_points_is_unbounded_for_every_beta():
    points = np.outer([0.0, 1.0, 3.0, 4.0], [1.0, 1.0])
    u, b = programs.pair_dictionary(points, tie_variants=True)
    assert programs.dictionary_limit(points, u, b, skip=True) == np.inf
    with pytest.raises(UnboundedObjectiveError, match="no beta is large enough"):
        programs.dictionary_score_matching(points, 50.0, u, b, skip=True)


# ---- Clifford programs --------------------------------------------------------------------------


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_clifford_l1_is_exact_in_the_plane(sm, act, skip):
    beta = 5.0 if sm and not skip else beta_of(sm)
    program = clifford(sm, X, L, beta, activation=act, skip=skip)
    found = objective(program.network, X, beta, None if sm else L, order=1)
    assert found == pytest.approx(program.value, rel=1e-7)
    residual = program.network(X) - (0.0 if sm else L)
    u, b = through_points(circle(3000, order=1), X)
    assert largest_gradient(residual, X, u, b, act, sm=sm) <= beta * (1 + 1e-5)
    assert program.network.n_neurons > 0 or sm


def test_clifford_l1_is_exact_without_bias_and_in_space():
    residual = X.copy()
    program = programs.clifford_denoising(X, L, 0.2, bias=False, offset=False)
    residual = program.network(X) - L
    u = circle(20_000, order=1)
    assert largest_gradient(residual, X, u, np.zeros(len(u)), "relu", sm=False) <= 0.2 * (1 + 1e-5)
    assert np.all(program.network.b == 0)
    assert program.network.n_neurons > 1

    rng = np.random.default_rng(3)
    points, labels = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    u = rng.normal(size=(20_000, 3)) * (rng.uniform(size=(20_000, 3)) < 0.7)
    u = u[np.any(u != 0, axis=1)]
    u, b = through_points(u / np.sum(np.abs(u), axis=1)[:, None], points)
    for sm, beta in ((False, 0.3), (True, 4.5)):
        program = clifford(sm, points, labels, beta)
        residual = program.network(points) - (0.0 if sm else labels)
        assert program.network.n_neurons > 1
        largest = largest_gradient(residual, points, u, b, "relu", sm=sm)
        assert 0.9 * beta < largest <= beta * (1 + 1e-5)


@pytest.mark.parametrize("act", ["relu", "abs"])
def test_clifford_needs_coordinates_and_for_relu_without_skip_both_orientations(act):
    """Increase of the optimum over three data sets, in percent."""
    without, one_sided, one_sided_skip = [], [], []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        points, labels = rng.normal(size=(2, 8, 2))

        def value(points=points, labels=labels, **options):
            return programs.clifford_denoising(points, labels, 0.5, activation=act, **options).value

        exact, with_skip = value(), value(skip=True)
        without.append(100 * (value(coordinates=False) / exact - 1))
        one_sided.append(100 * (value(orientations="one") / exact - 1))
        one_sided_skip.append(100 * (value(skip=True, orientations="one") / with_skip - 1))
    assert max(without) > 0.5
    assert min(without) > -1e-5
    # A left-facing ReLU is a right-facing one minus a line, which only the skip has for nothing.
    np.testing.assert_allclose(one_sided_skip, 0.0, atol=1e-5)
    if act == "relu":
        assert max(one_sided) > 0.5
    else:
        np.testing.assert_allclose(one_sided, 0.0, atol=1e-5)


# ---- bounds in order ----------------------------------------------------------------------------


@pytest.mark.parametrize(("sm", "act", "skip"), [CASES[i].values for i in (0, 4, 7)])
def test_nuclear_below_dense_grid_below_pairs_and_clifford(sm, act, skip):
    points, labels = X[:6], L[:6]
    beta = 4.5 if sm else 0.3
    options = {"activation": act, "skip": skip}
    u, b = through_points(circle(120), points)
    if sm:
        u, b = np.vstack([u, u]), np.concatenate([b + 1e-9, b - 1e-9])
    dense = dictionary(sm, points, labels, beta, u, b, **options)
    pairs_u, pairs_b = programs.pair_dictionary(points, tie_variants=sm)
    both = dictionary(
        sm, points, labels, beta, np.vstack([u, pairs_u]), np.append(b, pairs_b), **options
    )
    pairs = dictionary(sm, points, labels, beta, pairs_u, pairs_b, **options)
    wedges = clifford(sm, points, labels, beta, norm="l2", **options)
    exact = min(both.value, dense.value)
    slack = 1e-6 * abs(exact)
    if sm:
        lower = programs.nuclear_score_matching(points, beta, **options)
    else:
        lower = programs.nuclear_denoising(points, labels, beta, **options)
    assert lower.network is None
    assert lower.weights.shape[1:] == (2, 2)
    assert lower.value <= exact + slack
    assert exact <= pairs.value + slack
    # The grid may miss the best of the wedges by the curvature of G over half a step.
    assert exact <= wedges.value + 1e-3 * abs(exact)
    if not sm:
        assert lower.value > 0.2 * exact
        literal = programs.nuclear_denoising(points, labels, beta, bounded_bias=False, **options)
        assert literal.value == pytest.approx(0.0, abs=1e-6)


def test_nuclear_without_bias_is_a_lower_bound_and_weights_count_as_repetition():
    u = circle(400)
    dense = programs.dictionary_denoising(X, L, 0.3, u, np.zeros(400), offset=False).value
    lower = programs.nuclear_denoising(X, L, 0.3, bias=False, offset=False)
    assert 0.2 * dense < lower.value <= dense * (1 + 1e-6)
    weight = np.array([1, 2, 1, 1, 3, 1, 1])
    few = enumerate_patterns(X, bias=False).patterns[::3]
    options = {"bias": False, "offset": False}
    weighted = programs.nuclear_denoising(
        X, L, 0.3, patterns=few, sample_weight=weight, **options
    ).value
    repeated = programs.nuclear_denoising(
        np.repeat(X, weight, axis=0),
        np.repeat(L, weight, axis=0),
        0.3,
        patterns=np.repeat(few, weight, axis=1),
        **options,
    ).value
    assert weighted == pytest.approx(repeated, rel=1e-5)
    assert programs.nuclear_denoising(X, L, 0.3, patterns=few, **options).value >= lower.value


def test_nuclear_score_matching_says_when_it_gives_no_bound():
    with pytest.raises(UnboundedObjectiveError, match=r"relaxation .* gives no lower bound"):
        programs.nuclear_score_matching(X[:5], 3.0, bounded_bias=False)


# ---- the exact program of a scalar output -------------------------------------------------------


@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_pattern_regression_is_the_optimum_over_all_neurons(act, skip):
    points, target, beta = X + 5, L[:, 0] - 2, 0.25
    program = programs.pattern_regression(points, target, beta, activation=act, skip=skip)
    net = program.network
    assert program.status == "optimal"
    np.testing.assert_allclose(np.linalg.norm(net.u, axis=1), 1.0, rtol=1e-12)
    residual = net(points) - target
    by_hand = 0.5 * residual @ residual + beta * np.sum(np.abs(net.w))
    assert by_hand == pytest.approx(program.value, rel=1e-6)
    u, b = through_points(circle(4000), points)
    largest = largest_gradient(residual[:, None], points, u, b, act, sm=False)
    assert 0.99 * beta < largest <= beta * (1 + 1e-4)
    # Some patterns: an upper bound.  No cones: a lower bound.
    every = enumerate_patterns(points).patterns
    some = programs.pattern_regression(
        points, target, beta, activation=act, skip=skip, patterns=every[::2]
    )
    assert some.value >= program.value * (1 - 1e-7)
    if not skip:
        lower = programs.nuclear_denoising(points, target, beta, activation=act).value
        assert 0.2 * program.value < lower <= program.value * (1 + 1e-6)


@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_pattern_regression_in_one_dimension_is_the_univariate_program(act, skip):
    x, target, weight = X[:, 0], L[:, 0], np.array([1, 3, 2, 1, 2, 1, 1])
    univariate = getattr(programs, f"denoising_{act}" + ("_skip" if skip else ""))
    expected = univariate(x, target, 0.3, sample_weight=weight)
    found = programs.pattern_regression(
        x, target, 0.3, activation=act, skip=skip, sample_weight=weight
    )
    assert found.value == pytest.approx(expected.value, rel=1e-7)
    np.testing.assert_allclose(found.network(x), expected.network(x), atol=1e-4)


def test_pattern_regression_without_bias_is_optimal_too():
    program = programs.pattern_regression(X, L[:, 1], 0.1, bias=False, offset=False)
    residual = program.network(X) - L[:, 1]
    u = circle(20_000)
    largest = largest_gradient(residual[:, None], X, u, np.zeros(len(u)), "relu", sm=False)
    assert 0.09 < largest <= 0.1 * (1 + 1e-4)
    assert np.all(program.network.b == 0)
    assert program.network.offset == 0.0


# ---- patterns without penalty -------------------------------------------------------------------


def some_patterns(count, seed, bias=True):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(20, 2)) + 0.3
    u, b = rng.normal(size=(count, 2)), rng.normal(size=count) * bias
    return points, rng.normal(size=(20, 2)), pattern_of(points, u, b)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_gated_equals_exact_and_least_squares(sm, act, skip, bias):
    points, labels, patterns = some_patterns(2, seed=5, bias=bias)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=20)
    options = {"patterns": patterns, "bias": bias, "activation": act, "skip": skip}
    kind = "score_matching" if sm else "denoising"
    arguments = (points,) if sm else (points, labels)
    gated, exact = (
        getattr(programs, f"{name}_{kind}")(*arguments, sample_weight=weight, **options)
        for name in ("gated", "cone")
    )
    # By normal equations: 1/2 W'HW - W'g for each output.
    ones = np.ones((20, 1))
    inputs = np.hstack([points, ones]) if bias else points
    factors = [p.astype(float) if act == "relu" else 2.0 * p - 1 for p in patterns]
    blocks = [f[:, None] * inputs for f in factors] + [ones] + ([points] if skip else [])
    design = np.hstack(blocks)
    value = 0.0
    for k in range(2):
        if sm:
            counts = [(weight @ f) * np.eye(inputs.shape[1])[k] for f in factors]
            line = [weight.sum() * np.eye(2)[k]] if skip else []
            right, constant = -np.concatenate([*counts, [0.0], *line]), 0.0
        else:
            right = design.T @ (weight * labels[:, k])
            constant = 0.5 * weight @ labels[:, k] ** 2
        hessian = design.T @ (weight[:, None] * design)
        value += constant - 0.5 * right @ np.linalg.pinv(hessian, rcond=1e-11) @ right
    assert gated.value == pytest.approx(value, rel=1e-6)
    assert exact.value == pytest.approx(value, rel=1e-6)
    for program in (gated, exact):
        assert program.scale * program.problem.value == pytest.approx(program.value)
        net = program.network
        assert net.n_neurons <= 3 * len(program.patterns)
        assert objective(net, points, 0.0, None if sm else labels, mass=weight) == pytest.approx(
            program.value, rel=1e-5
        )
        np.testing.assert_allclose(net(points), program.fitted, atol=1e-5)
        assert program.weights.shape == (len(program.patterns), 2, 2)


def test_all_patterns_interpolate_and_have_unbounded_score_matching():
    program = programs.gated_denoising(X, L)
    assert program.value == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose(program.network(X), L, atol=1e-4)
    for solve in (programs.gated_score_matching, programs.cone_score_matching):
        with pytest.raises(UnboundedObjectiveError, match=r"unbounded below with \d+ patterns"):
            solve(X)


def test_the_pattern_active_everywhere_gives_the_gaussian_score():
    program = programs.gated_score_matching(X, patterns=np.ones((1, 7), bool))
    centred = X - X.mean(axis=0)
    covariance = centred.T @ centred / 7
    assert program.value == pytest.approx(-3.5 * np.trace(np.linalg.inv(covariance)), rel=1e-8)
    np.testing.assert_allclose(program.weights[0], -np.linalg.inv(covariance), atol=1e-6)
    skip = programs.gated_score_matching(X, patterns=np.ones((1, 7), bool), skip=True)
    assert skip.value == pytest.approx(program.value, rel=1e-7)


# ---- solvers and input --------------------------------------------------------------------------


def calls():
    u, b = programs.pair_dictionary(X)
    some = enumerate_patterns(X).patterns[:6]
    return {
        "dictionary": lambda **o: programs.dictionary_denoising(X, L, 0.3, u, b, **o),
        "dictionary sm": lambda **o: programs.dictionary_score_matching(X, 7.0, u, b, **o),
        "clifford": lambda **o: programs.clifford_denoising(X, L, 0.3, **o),
        "clifford sm": lambda **o: programs.clifford_score_matching(X, 7.0, **o),
        "gated": lambda **o: programs.gated_denoising(X, L, patterns=some, **o),
        "cone": lambda **o: programs.cone_denoising(X, L, patterns=some, **o),
        "nuclear": lambda **o: programs.nuclear_denoising(X, L, 0.3, patterns=some, **o),
        "regression": lambda **o: programs.pattern_regression(X, L[:, 0], 0.3, patterns=some, **o),
    }


@pytest.mark.parametrize("name", calls())
def test_solver_failures_are_raised_and_inaccurate_answers_warn(name):
    run = calls()[name]
    with pytest.raises(SolverError, match=r"'NO_SUCH' ended with status 'solver_error'"):
        run(solver="NO_SUCH")
    if name != "gated":  # a least squares problem is solved in one step
        with pytest.raises(SolverError, match=r"'CLARABEL' ended with status 'user_limit'"):
            run(max_iter=1)
        tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-30)
        with pytest.warns(ConvergenceWarning, match="status 'optimal_inaccurate'") as record:
            run(max_iter=100, **tight)
        assert record[0].filename == __file__


U, B = programs.pair_dictionary(X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: programs.dictionary_denoising(X, L[:3], 1, U, B),
            r"labels must have shape \(7, 2\)",
        ),
        (lambda: programs.dictionary_denoising(X * np.nan, L, 1, U, B), "points must be finite"),
        (lambda: programs.dictionary_denoising(X[:1], L[:1], 1, U, B), "2 distinct points"),
        (lambda: programs.dictionary_denoising(X, L, -1, U, B), "beta must be a finite number"),
        (
            lambda: programs.dictionary_denoising(X, L, 1, U[:, :1], B),
            r"u must have shape \(m, 2\)",
        ),
        (lambda: programs.dictionary_denoising(X, L, 1, U, B[1:]), "b must hold 42 finite"),
        (lambda: programs.dictionary_denoising(X, L, 1, 0 * U, B), "no zero rows, got 42"),
        (lambda: programs.dictionary_denoising(X, L, 1, U, B, sign=-1), "needs constraint='gradient'"),
        (lambda: programs.dictionary_denoising(X, L, 1, U, B, sign=1), "sign must be 0"),
        (lambda: programs.dictionary_denoising(X, L, 1, U, B, activation="tanh"), "activation"),
        (
            lambda: programs.dictionary_score_matching(X, 1, U, B, sample_weight=[1.0]),
            "sample_weight must have shape",
        ),
        (lambda: programs.pair_dictionary([[1.0, 2.0]]), "X must hold at least 2 distinct"),
        (lambda: programs.wedge_dictionary(X, norm="max"), "norm must be 'l1' or 'l2'"),
        (lambda: programs.wedge_dictionary(X, orientations="two"), "orientations must be"),
        (lambda: programs.wedge_dictionary(X, bias=False, tie_variants=True), "needs bias=True"),
        (lambda: programs.clifford_denoising(X, L, 1, norm="L1"), "norm must be"),
        (lambda: programs.gated_denoising(X, L, offset=False), "offset=False needs bias=False"),
        (lambda: programs.gated_denoising(X, L, patterns=[[True]]), r"patterns must .* \(p, 7\)"),
        (lambda: programs.gated_denoising(X, L, patterns=[[2] * 7]), "patterns must be boolean"),
        (lambda: programs.gated_denoising(X, L, patterns=[[0] * 7]), "at least one point active"),
        (lambda: programs.pattern_regression(X, L, 1), r"\(7, 1\)"),
        (lambda: programs.nuclear_denoising(X, L[:2], 1), r"\(7, k\)"),
    ],
)
def test_wrong_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_pattern_of_no_neuron_is_refused():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    exclusive_or = [[True, False, True, False]]
    with pytest.raises(ValueError, match=r"2 of 4 points active .* no open cell"):
        programs.gated_denoising(square, square, patterns=exclusive_or)
