"""The programs in several dimensions against each other and against brute force over neurons."""

from __future__ import annotations

from functools import partial
from math import comb

import numpy as np
import pytest
from oracles import negative_slope, sigma, slope
from plane_oracles import ACTIVATION_SKIP, CASES, LEAKY, PAPER_CASES, TIGHT
from plane_oracles import training_objective as objective

from convexscore import ConvergenceWarning, SolverError, UnboundedObjectiveError
from convexscore.arrangements import enumerate_patterns, pattern_of
from convexscore.programs import (
    SolverChoice,
    dictionary_limit,
    dictionary_program,
    neuron_dictionary,
    nuclear_program,
    pattern_program,
    smallest_beta,
    univariate_program,
)

_RNG = np.random.default_rng(4)
X = _RNG.normal(size=(7, 2))
L = _RNG.normal(size=(7, 2))
SM_BETA, DSM_BETA = 6.5, 0.4


# ---- the slow, obvious side ---------------------------------------------------------------------


def circle(n_angles, order=2):
    """Directions in the plane of norm one."""
    angle = 2 * np.pi * np.arange(n_angles) / n_angles
    u = np.column_stack([np.cos(angle), np.sin(angle)])
    return u / np.linalg.norm(u, ord=order, axis=1)[:, None]


def through_points(u, points):
    """All directions with the kink at every point: between points the measure is convex in b."""
    return np.repeat(u, len(points), axis=0), -(u @ points.T).ravel()


def largest_gradient(program, points, labels, u, b, act="relu"):
    """max |G(u, b)| over given neurons, without labels at an exact tie counted from both sides."""
    residual = program.network(points) - (0.0 if labels is None else labels)
    best = 0.0
    for side in (1e-9, -1e-9) if labels is None else (0.0,):
        pre = points @ u.T + b + side
        G = sigma(act, pre).T @ residual
        if labels is None:
            G = G + np.sum(slope(act, pre), axis=0)[:, None] * u
        best = max(best, float(np.max(np.linalg.norm(G, axis=1))))
    return best


def clifford(points, *, labels=None, bias=True, norm="l1", **options):
    """The Clifford program; both sides of every hyperplane for score matching."""
    neurons = neuron_dictionary(points, "clifford", bias=bias, tie_variants=labels is None)
    return dictionary_program(points, neurons, labels=labels, norm=norm, **options)


def labels_of(sm):
    return None if sm else L


def beta_of(sm):
    return SM_BETA if sm else DSM_BETA


# ---- dictionaries of hyperplanes ----------------------------------------------------------------


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_tie_variants_count_the_points_on_the_plane_all_or_none(shift):
    points = X + shift
    u, b = neuron_dictionary(points)
    on_plane = np.abs(points @ u.T + b) < 1e-8
    nudged_u, nudged_b = neuron_dictionary(points, tie_variants=True)
    active = points @ nudged_u.T + nudged_b >= 0
    m = len(b)
    assert active.shape[1] == 2 * m
    assert np.all(active[:, :m][on_plane])
    assert not np.any(active[:, m:][on_plane])
    np.testing.assert_array_equal(active[:, :m][~on_plane], active[:, m:][~on_plane])


def test_degenerate_points_give_the_hyperplanes_of_their_own_space():
    line = np.outer([0.0, 1.0, 3.0, 3.0], [1.0, 2.0, 2.0])  # on a line in space, one repeated
    u, _ = neuron_dictionary(line, both_orientations=False)
    assert u.shape == (3, 3)
    np.testing.assert_allclose(np.abs(u), np.tile(np.array([1.0, 2.0, 2.0]) / 3, (3, 1)))
    grid = np.array([[i, j] for i in range(3) for j in range(3)], dtype=float)
    assert len(neuron_dictionary(grid, both_orientations=False)[1]) == 20


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["clifford", "pairs"])
@pytest.mark.parametrize("d", [1, 2, 3])
def test_hyperplanes_are_orthogonal_to_points_and_axes(d, kind, bias):
    n = 6
    points = np.random.default_rng(d).normal(size=(n, d))
    u, b = neuron_dictionary(points, kind, bias=bias)
    # Choices of d (or d - 1) vectors, those without a point do not fix a bias.  Without a bias,
    # in the plane the axes are hyperplanes too; in space pairs of axes give the third.
    expected = comb(n + d, d) - 1 if bias else comb(n + d, d - 1)
    if kind == "pairs":
        expected = comb(n, d) if bias else comb(n, d - 1)
    elif bias and d > 1:  # x_k = x_ik is found from every point once, as wanted
        assert np.sum(np.count_nonzero(u, axis=1) == 1) == 2 * n * d
    assert len(b) == 2 * expected
    assert bias or not np.any(b)
    np.testing.assert_allclose(np.linalg.norm(u, axis=1), 1.0, rtol=1e-12)
    touches = np.sum(np.abs(points @ u.T + b) < 1e-10, axis=0)
    flat = np.sum(np.abs(u) < 1e-10, axis=1) if kind == "clifford" else 0
    assert np.all(touches + flat == (d if bias else d - 1))
    one_sided, _ = neuron_dictionary(points, kind, bias=bias, both_orientations=False)
    np.testing.assert_array_equal(u, np.vstack([one_sided, -one_sided]))
    if kind == "pairs" and bias:  # far from the origin too, every choice of points once
        u, b = neuron_dictionary(points + 1e3, both_orientations=False)
        on_plane = np.abs((points + 1e3) @ u.T + b) < 1e-9
        assert len(np.unique(on_plane, axis=1).T) == len(b) == expected
        assert np.all(on_plane.sum(axis=0) == d)


# ---- fixed dictionaries -------------------------------------------------------------------------


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_one_column_gives_the_univariate_programs(sm, act, skip):
    x, labels = 3 * X[:, 0], None if sm else L[:, 0] / 3
    options = {"beta": 2.6 if sm else 0.5, "labels": labels, "activation": act, "skip": skip}
    options |= {"sample_weight": None if sm else [1, 3, 2, 1, 2, 1, 1]}
    expected = univariate_program(x, **options)
    pairs = dictionary_program(x, neuron_dictionary(x, tie_variants=sm), **options)
    patterns = [] if sm else [pattern_program(x, **options)]
    for program in [pairs, clifford(x, **options), *patterns]:
        assert program.value == pytest.approx(expected.value, rel=1e-6)
        np.testing.assert_allclose(program.fitted, expected.fitted, atol=2e-4)


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_network_has_the_value_and_satisfies_optimality(sm, act, skip):
    beta, labels = beta_of(sm), labels_of(sm)
    u, b = neuron_dictionary(X, tie_variants=sm)
    u, b = 3.0 * u, 3.0 * b  # the length of u must not matter
    options = {"beta": beta, "labels": labels, "activation": act, "skip": skip}
    program = dictionary_program(X, (u, b), **options)
    net = program.network
    assert (program.status, program.accuracy, program.solver) == ("optimal", 1e-9, "CLARABEL")
    assert program.weights.shape == u.shape
    assert net.n_neurons < len(b)
    assert (net.skip is not None) == skip
    assert objective(net, X, beta, labels) == pytest.approx(program.value, rel=1e-6)
    assert program.scale * program.problem.value + program.constant == program.value
    np.testing.assert_allclose(net(X), program.fitted, atol=1e-5)
    # |G| <= beta on the dictionary, and the free parameters are stationary.
    residual = net(X) - (0.0 if sm else L)
    pre = X @ u.T + b
    G = sigma(act, pre).T @ residual / 3
    if sm:
        G = G + np.sum(slope(act, pre, 1.0), axis=0)[:, None] * u / 3
    assert np.max(np.linalg.norm(G, axis=1)) <= beta * (1 + 1e-5)
    np.testing.assert_allclose(residual.sum(axis=0), 0.0, atol=1e-5)
    if skip:
        moment = residual.T @ X + (len(X) * np.eye(2) if sm else 0.0)
        np.testing.assert_allclose(moment, 0.0, atol=1e-4)


# Which program solves points and labels, and how well.
def solve_line(x, labels, **options):
    return univariate_program(x, labels=labels, **options)


def solve_pairs(points, labels, *, neurons=None, **options):
    neurons = neuron_dictionary(points, tie_variants=labels is None) if neurons is None else neurons
    return dictionary_program(points, neurons, labels=labels, **options)


@pytest.mark.parametrize(("sm", "act", "skip"), PAPER_CASES)
@pytest.mark.parametrize(("d", "rel", "atol"), [(1, 1e-8, 1e-4), (2, 1e-7, 1e-3)])
def test_integer_weights_equal_repetition(d, rel, atol, sm, act, skip):
    weight = np.array([1, 3, 2, 1, 2, 1, 1])
    points, labels = (X, L) if d == 2 else (X[:, 0], L[:, 0])
    options = {"activation": act, "skip": skip}
    least = smallest_beta(X[:, 0], sample_weight=weight, **options) if d == 1 else 15.0
    options["beta"] = 1.3 * least if sm else DSM_BETA
    # the same neurons
    same = {"neurons": neuron_dictionary(X, tie_variants=sm)} if d == 2 else {}
    solve = partial(solve_pairs if d == 2 else solve_line, **options, **same)
    again = None if sm else np.repeat(labels, weight, axis=0)
    repeated = solve(np.repeat(points, weight, axis=0), again)
    labels = None if sm else labels
    weighted = solve(points, labels, sample_weight=weight)
    assert weighted.value == pytest.approx(repeated.value, rel=rel, abs=1e-8)
    first = np.concatenate([[0], np.cumsum(weight)[:-1]])
    np.testing.assert_allclose(weighted.fitted, repeated.fitted[first], atol=atol)
    found = objective(weighted.network, points, options["beta"], labels, mass=weight)
    assert found == pytest.approx(weighted.value, rel=10 * rel, abs=1e-7 if d == 2 else 0.0)
    assert d == 2 or abs(solve(points, labels).value / weighted.value - 1) > 0.01


TURN = np.array([[0.6, -0.8], [0.8, 0.6]])
MAPS = [(1, 1e-8, np.eye(1)), (1, -3.0, np.eye(1)), (1, 1e8, np.eye(1)), (2, 50.0, TURN)]


@pytest.mark.parametrize(("sm", "act", "skip"), PAPER_CASES)
@pytest.mark.parametrize(("d", "a", "turn"), MAPS)
def test_equivariant_under_scale_shift_and_rotation(d, a, turn, sm, act, skip):
    """x -> a (Q x + t): s by 1/a, the same beta for score matching and for labels times 1/a."""
    points, labels = X[:, :d], None if sm else L[:, :d]
    beta = DSM_BETA if not sm else SM_BETA if d == 2 else 1.3 * (1 + skip)
    solve = partial(solve_pairs if d == 2 else solve_line, beta=beta, activation=act, skip=skip)
    plain = solve(points, labels)
    moved = a * (points @ turn.T + [20.0, -20.0][:d])
    other = solve(moved, None if sm else labels @ turn.T / a)
    rel, atol = (1e-6, 1e-3) if d == 2 else (1e-8, 1e-4)
    assert other.value * a**2 == pytest.approx(plain.value, rel=rel)
    np.testing.assert_allclose(a * other.fitted, plain.fitted @ turn.T, atol=atol)


@pytest.mark.parametrize("sm", [True, False])
def test_with_skip_only_the_even_part_of_the_activation_matters(sm):
    """a z + b|z|, and the line is free: |z| = 2 max(z, 0) - z is ReLU at half the penalty."""
    neurons = neuron_dictionary(X, tie_variants=sm)
    beta, options = 3.0 if sm else DSM_BETA, {"labels": labels_of(sm), "skip": True}
    relu = dictionary_program(X, neurons, beta=beta, **options)
    assert relu.network.n_neurons > 0
    for act, factor in (("abs", 2.0), (LEAKY, 0.8)):
        other = dictionary_program(X, neurons, beta=factor * beta, activation=act, **options)
        assert other.value == pytest.approx(relu.value, rel=1e-7)
        np.testing.assert_allclose(other.fitted, relu.fitted, atol=1e-3)


def test_without_offset_the_score_vanishes_where_neurons_do():
    neurons = circle(12), np.zeros(12)
    program = dictionary_program(X, neurons, beta=0.1, labels=L, offset=False, skip=True)
    assert program.network.offset.tolist() == [0.0, 0.0]
    assert "offset" not in program.variables
    assert objective(program.network, X, 0.1, L) == pytest.approx(program.value, rel=1e-6)
    assert program.value > dictionary_program(X, neurons, beta=0.1, labels=L).value


@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_beta_below_the_limit_of_the_dictionary_is_refused(act, skip):
    neurons = neuron_dictionary(X, tie_variants=True)
    options = {"activation": act, "skip": skip}
    limit = dictionary_limit(X, neurons, **options)
    # A facet of the hull has d points: its ReLU vanishes on the data, its divergence need not.
    assert act == LEAKY or 2.0 - 1e-6 <= limit < 8.0
    if skip:  # see above: proportional to the even part
        relu = dictionary_limit(X, neurons, skip=True)
        assert limit == pytest.approx((1 - negative_slope(act)) * relu, rel=1e-5)
    with pytest.raises(UnboundedObjectiveError, match=f"beta must be larger than {limit:.3g}"):
        dictionary_program(X, neurons, beta=0.8 * limit, **options)
    program = dictionary_program(X, neurons, beta=1.1 * limit, **options)
    assert objective(program.network, X, 1.1 * limit) == pytest.approx(program.value, rel=1e-5)


def test_skip_on_collinear_points_and_free_gates_are_unbounded():
    points = np.outer([0.0, 1.0, 3.0, 4.0], [1.0, 1.0])
    neurons = neuron_dictionary(points, tie_variants=True)
    assert dictionary_limit(points, neurons, skip=True) == np.inf
    with pytest.raises(UnboundedObjectiveError, match="no beta is large enough"):
        dictionary_program(points, neurons, beta=50.0, skip=True)
    with pytest.raises(UnboundedObjectiveError, match=r"relaxation .* gives no lower bound"):
        nuclear_program(X[:4], beta=3.0, bounded_bias=False)


# ---- Clifford programs --------------------------------------------------------------------------


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_clifford_l1_is_exact_in_the_plane(sm, act, skip):
    beta, labels = 5.0 if sm and not skip else beta_of(sm), labels_of(sm)
    program = clifford(X, beta=beta, labels=labels, activation=act, skip=skip)
    found = objective(program.network, X, beta, labels, order=1)
    assert found == pytest.approx(program.value, rel=1e-7)
    u, b = through_points(circle(1500, order=1), X)
    assert largest_gradient(program, X, labels, u, b, act) <= beta * (1 + 1e-5)
    assert program.network.n_neurons > 0 or sm


def test_clifford_l1_is_exact_without_bias_and_in_space():
    program = clifford(X, beta=0.2, labels=L, bias=False, offset=False)
    u = circle(5_000, order=1)
    assert largest_gradient(program, X, L, u, np.zeros(len(u))) <= 0.2 * (1 + 1e-5)
    assert np.all(program.network.b == 0)
    assert program.network.n_neurons > 1

    rng = np.random.default_rng(3)
    points, labels = rng.normal(size=(6, 3)), rng.normal(size=(6, 3))
    u = rng.normal(size=(5_000, 3)) * (rng.uniform(size=(5_000, 3)) < 0.7)
    u = u[np.any(u != 0, axis=1)]
    u, b = through_points(u / np.sum(np.abs(u), axis=1)[:, None], points)
    for target, beta in ((labels, 0.3), (None, 4.5)):
        program = clifford(points, beta=beta, labels=target)
        assert program.network.n_neurons > 1
        assert 0.9 * beta < largest_gradient(program, points, target, u, b) <= beta * (1 + 1e-5)


@pytest.mark.parametrize("act", ["relu", "abs"])
def test_clifford_needs_coordinates_and_for_relu_without_skip_both_orientations(act):
    """Increase of the optimum over three data sets, in percent."""
    without, one_sided, one_sided_skip = [], [], []
    for seed in range(3):
        points, labels = np.random.default_rng(seed).normal(size=(2, 8, 2))

        def value(kind="clifford", both=True, skip=False, points=points, labels=labels):
            neurons = neuron_dictionary(points, kind, both_orientations=both)
            return dictionary_program(
                points, neurons, beta=0.5, labels=labels, activation=act, skip=skip, norm="l1"
            ).value

        exact, with_skip = value(), value(skip=True)
        without.append(100 * (value("pairs") / exact - 1))
        one_sided.append(100 * (value(both=False) / exact - 1))
        one_sided_skip.append(100 * (value(skip=True, both=False) / with_skip - 1))
    assert min(without) > -1e-5 and max(without) > 0.5
    # A left-facing ReLU is a right-facing one minus a line, which only the skip has for nothing.
    np.testing.assert_allclose(one_sided_skip, 0.0, atol=1e-5)
    if act == "relu":
        assert max(one_sided) > 0.5
    else:
        np.testing.assert_allclose(one_sided, 0.0, atol=1e-5)


# ---- bounds in order ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sm", "act", "skip"),
    [(True, "relu", False), (False, "relu", False), (False, "abs", True), (False, LEAKY, False)],
)
def test_nuclear_below_dense_grid_below_pairs_and_clifford(sm, act, skip):
    points, labels = X[:5], None if sm else L[:5]
    options = {"beta": 4.5 if sm else 0.3, "labels": labels, "activation": act, "skip": skip}
    u, b = through_points(circle(60), points)
    if sm:
        u, b = np.vstack([u, u]), np.concatenate([b + 1e-9, b - 1e-9])
    pairs = neuron_dictionary(points, tie_variants=sm)
    both = np.vstack([u, pairs[0]]), np.append(b, pairs[1])
    exact = dictionary_program(points, both, **options).value
    slack = 1e-6 * abs(exact)
    assert exact <= dictionary_program(points, pairs, **options).value + slack
    # The grid may miss the best of the wedges by the curvature of G over half a step.
    assert exact <= clifford(points, norm="l2", **options).value + 1e-3 * abs(exact)
    lower = nuclear_program(points, **options)
    assert lower.status == "optimal"
    assert lower.accuracy <= 1e-6  # where rounding does not allow 1e-8
    assert lower.network is None
    assert lower.weights.shape[1:] == (2, 2)
    assert lower.value <= exact + slack
    if not sm:
        assert lower.value > 0.2 * exact
        literal = nuclear_program(points[:4], bounded_bias=False, **options | {"labels": L[:4]})
        assert literal.value == pytest.approx(0.0, abs=1e-6)


def test_nuclear_without_bias_is_a_lower_bound_and_weights_count_as_repetition():
    options = {"beta": 0.3, "offset": False}
    dense = dictionary_program(X, (circle(400), np.zeros(400)), labels=L, **options).value
    lower = nuclear_program(X, labels=L, bias=False, **options)
    assert 0.2 * dense < lower.value <= dense * (1 + 1e-6)
    weight = np.array([1, 2, 1, 1, 3, 1, 1])
    few = enumerate_patterns(X, bias=False).patterns[::3]
    options |= {"bias": False}
    weighted = nuclear_program(X, labels=L, patterns=few, sample_weight=weight, **options)
    repeated = nuclear_program(
        np.repeat(X, weight, axis=0),
        labels=np.repeat(L, weight, axis=0),
        patterns=np.repeat(few, weight, axis=1),
        **options,
    )
    assert weighted.value == pytest.approx(repeated.value, rel=1e-5)
    assert nuclear_program(X, labels=L, patterns=few, **options).value >= lower.value


# ---- cones with penalty -------------------------------------------------------------------------


@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_cones_of_one_output_are_the_optimum_over_all_neurons(act, skip):
    points, target = X + 5, L[:, 0] - 2
    options = {"beta": 0.25, "labels": target, "activation": act, "skip": skip}
    program = pattern_program(points, **options)
    net = program.network
    assert program.status == "optimal"
    np.testing.assert_allclose(np.linalg.norm(net.u, axis=1), 1.0, rtol=1e-12)
    assert not np.any(net.w[:, 1])  # the output without label
    assert not np.any(net(points)[:, 1])
    residual = net(points)[:, 0] - target
    by_hand = 0.5 * residual @ residual + 0.25 * np.sum(np.abs(net.w))
    assert by_hand == pytest.approx(program.value, rel=1e-6)
    u, b = through_points(circle(1000), points)
    both = np.column_stack([target, np.zeros(7)])
    assert 0.99 * 0.25 < largest_gradient(program, points, both, u, b, act) <= 0.25 * (1 + 1e-4)
    # Some patterns: an upper bound.  No cones: a lower bound.
    some = pattern_program(points, patterns=enumerate_patterns(points).patterns[::2], **options)
    assert some.value >= program.value * (1 - 1e-7)
    if not skip:
        options["labels"] = target[:4]
        lower = nuclear_program(points[:4], **options).value
        exact = pattern_program(points[:4], **options).value
        assert 0.2 * exact < lower <= exact * (1 + 1e-6)


def test_cones_of_two_outputs_are_an_upper_bound():
    """Outer weights along the axes only, and each pays for itself."""
    both = pattern_program(X, beta=0.25, labels=L)
    one_by_one = sum(pattern_program(X, beta=0.25, labels=column).value for column in L.T)
    assert both.value == pytest.approx(one_by_one, rel=1e-6)
    assert objective(both.network, X, 0.25, L) == pytest.approx(both.value, rel=1e-6)
    u, b = through_points(circle(120), X)
    assert both.value > dictionary_program(X, (u, b), beta=0.25, labels=L).value


def test_cones_without_bias_are_optimal_too():
    program = pattern_program(X, beta=0.1, labels=L[:, 1], bias=False, offset=False)
    u, both = circle(5_000), L[:, [1, 1]] * [1.0, 0.0]
    assert 0.09 < largest_gradient(program, X, both, u, np.zeros(len(u))) <= 0.1 * (1 + 1e-4)
    assert np.all(program.network.b == 0)
    assert not np.any(program.network.offset)


# ---- patterns without penalty -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sm", "act", "skip", "bias"),
    [(*case.values, bias) for case in CASES for bias in (True, False)][:20],
)
def test_gates_equal_cones_and_least_squares(sm, act, skip, bias):
    rng = np.random.default_rng(5)
    points = rng.normal(size=(20, 2)) + 0.3
    patterns = pattern_of(points, rng.normal(size=(2, 2)), rng.normal(size=2) * bias)
    labels = rng.normal(size=(20, 2))
    target = None if sm else labels
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=20)
    options = {"patterns": patterns, "bias": bias, "activation": act, "skip": skip}
    gated, exact = (
        pattern_program(points, labels=target, kind=kind, sample_weight=weight, **options)
        for kind in ("gated", "cone")
    )
    # By normal equations: 1/2 W'HW - W'g for each output.
    ones = np.ones((20, 1))
    inputs = np.hstack([points, ones]) if bias else points
    factors = [np.where(pattern, 1.0, negative_slope(act)) for pattern in patterns]
    blocks = [f[:, None] * inputs for f in factors] + [ones] + ([points] if skip else [])
    design, mass = np.hstack(blocks), weight[:, None]
    right, constant = design.T @ (mass * labels), 0.5 * np.sum(mass * labels**2)
    if sm:
        traces = [weight @ f * np.eye(inputs.shape[1], 2) for f in factors]
        line = [weight.sum() * np.eye(2)] if skip else []
        right, constant = -np.vstack([*traces, np.zeros((1, 2)), *line]), 0.0
    inverse = np.linalg.pinv(design.T @ (mass * design), rcond=1e-11)
    value = constant - 0.5 * np.sum(right * (inverse @ right))
    for program in (gated, exact):
        assert program.value == pytest.approx(value, rel=1e-6)
        assert program.scale * program.problem.value == pytest.approx(program.value)
        net = program.network
        assert net.n_neurons <= 3 * len(program.patterns)
        assert objective(net, points, 0.0, target, mass=weight) == pytest.approx(
            program.value, rel=1e-5
        )
        np.testing.assert_allclose(net(points), program.fitted, atol=1e-5)
        assert program.weights.shape == (len(program.patterns), 2, 2)


def test_all_patterns_interpolate_and_have_unbounded_score_matching():
    few = X[:5]
    for act in ("relu", "abs", LEAKY):
        program = pattern_program(few, labels=L[:5], kind="gated", activation=act)
        assert program.value == pytest.approx(0.0, abs=1e-8)
        np.testing.assert_allclose(program.network(few), L[:5], atol=1e-4)
    for kind in ("gated", "cone"):
        with pytest.raises(UnboundedObjectiveError, match=r"unbounded below with \d+ patterns"):
            pattern_program(few, kind=kind)


def test_the_pattern_active_everywhere_gives_the_gaussian_score():
    options = {"patterns": np.ones((1, 7), bool), "kind": "gated"}
    program = pattern_program(X, **options)
    centred = X - X.mean(axis=0)
    covariance = centred.T @ centred / 7
    assert program.value == pytest.approx(-3.5 * np.trace(np.linalg.inv(covariance)), rel=1e-8)
    np.testing.assert_allclose(program.weights[0], -np.linalg.inv(covariance), atol=1e-6)
    skip = pattern_program(X, skip=True, **options)
    assert skip.value == pytest.approx(program.value, rel=1e-7)
    # A leaky ReLU that is inactive everywhere is a line as well.
    none = {"patterns": np.zeros((1, 7), bool), "kind": "gated", "activation": LEAKY}
    program = pattern_program(X, **none)
    np.testing.assert_allclose(program.network(X), skip.fitted, atol=1e-6)
    slopes = program.network.jacobian(X[0])
    np.testing.assert_allclose(slopes, -np.linalg.inv(covariance), atol=1e-6)


# ---- solvers and input --------------------------------------------------------------------------

NEURONS = neuron_dictionary(X)
SOME = enumerate_patterns(X).patterns[:6]
CALLS = {
    "line": lambda **o: univariate_program(X[:, 0], beta=3.0, **o),
    "line dsm": lambda **o: univariate_program(X[:, 0], beta=0.3, labels=L[:, 0], **o),
    "dictionary": lambda **o: dictionary_program(X, NEURONS, beta=0.3, labels=L, **o),
    "dictionary sm": lambda **o: dictionary_program(X, NEURONS, beta=7.0, **o),
    "gated": lambda **o: pattern_program(X, labels=L, kind="gated", patterns=SOME, **o),
    "cone": lambda **o: pattern_program(X, labels=L, patterns=SOME, **o),
    "nuclear": lambda **o: nuclear_program(X, beta=0.3, labels=L, patterns=SOME, **o),
    "regression": lambda **o: pattern_program(X, beta=0.3, labels=L[:, 0], patterns=SOME, **o),
}


@pytest.mark.parametrize("name", CALLS)
def test_solver_failures_are_raised_and_inaccurate_answers_warn(name):
    run = CALLS[name]
    with pytest.raises(SolverError, match=r"'NO_SUCH' ended with status 'solver_error'"):
        run(solver="NO_SUCH")
    if name != "gated":  # a least squares problem is solved in one step
        with pytest.raises(SolverError, match=r"'CLARABEL' ended with status 'user_limit'"):
            run(solver=SolverChoice(options={"max_iter": 1}))
        with pytest.warns(ConvergenceWarning, match="status 'optimal_inaccurate'") as record:
            program = run(solver=SolverChoice(options={"max_iter": 100, **TIGHT}))
        assert record[0].filename == __file__
        assert program.status == "optimal_inaccurate" and np.isnan(program.accuracy)
        assert program.value == pytest.approx(run().value, rel=1e-4, abs=1e-6)


U, B = NEURONS
GOOD = {
    dictionary_program: {"X": X, "neurons": (U, B), "beta": 1, "labels": L},
    pattern_program: {"X": X, "labels": L},
    nuclear_program: {"X": X, "beta": 1, "labels": L},
    neuron_dictionary: {"X": X},
    univariate_program: {"x": X[:, 0], "beta": 1, "labels": L[:, 0]},
}
BAD = [
    (dictionary_program, {"labels": L[:3]}, r"labels must have shape \(7, k\), k <= 2"),
    (dictionary_program, {"X": X[[0, 0]], "labels": L[:2]}, "X is constant"),
    (dictionary_program, {"beta": -1}, "beta must be finite and >= 0; got -1"),
    (dictionary_program, {"neurons": (U[:, :1], B)}, r"u of shape \(m, 2\).*\(42, 1\)"),
    (dictionary_program, {"neurons": (U, B[1:])}, r"b of shape \(m,\).*\(41,\)"),
    (dictionary_program, {"neurons": (0 * U, B)}, "no zero rows, got 42"),
    (dictionary_program, {"norm": "L1"}, "norm must be one of 'l1', 'l2'"),
    (dictionary_program, {"labels": None, "sample_weight": [1.0]}, "sample_weight must have shape"),
    (pattern_program, {"offset": False}, "offset=False needs bias=False"),
    (pattern_program, {"patterns": [[True]]}, r"pattern must have shape \(7,\)"),
    (pattern_program, {"patterns": [[2] * 7]}, "pattern must .* be boolean"),
    (pattern_program, {"patterns": [[0] * 7]}, "at least one point active"),
    (pattern_program, {"labels": np.ones((7, 3))}, r"labels must have shape \(7, k\), k <= 2"),
    (pattern_program, {"kind": "gates"}, "kind must be one of 'cone', 'gated'; got 'gates'"),
    (pattern_program, {"beta": 0.5, "kind": "gated"}, "beta=0.5 needs labels and kind='cone'"),
    (pattern_program, {"beta": 0.5, "labels": None}, "beta=0.5 needs labels and kind='cone'"),
    (nuclear_program, {"labels": L[:2]}, r"labels must have shape \(7, k\)"),
    (neuron_dictionary, {"X": [[1.0, 2.0]]}, "X must hold at least 2 points"),
    (neuron_dictionary, {"kind": "wedges"}, "kind must be one of 'pairs', 'clifford'"),
    (neuron_dictionary, {"bias": False, "tie_variants": True}, "needs bias=True"),
    (univariate_program, {"x": X}, r"x must have shape \(n,\) or \(n, 1\).*\(7, 2\)"),
    (univariate_program, {"x": [1.0, 1.0]}, r"x is constant \(1, 2 times\)"),
    (univariate_program, {"labels": [1.0, 2.0]}, r"labels must have shape \(7,\).*\(2,\)"),
    (univariate_program, {"labels": [np.inf] * 7}, "labels must be finite"),
    (univariate_program, {"beta": -1.0}, "beta must be finite and >= 0; got -1"),
    (univariate_program, {"beta": -1.0, "labels": None}, "beta must be finite and >= 0; got -1"),
    (univariate_program, {"beta": "large"}, "beta must be a number >= 0; got 'large'"),
    (univariate_program, {"sample_weight": [1.0, 1.0]}, r"sample_weight must have shape \(7,\)"),
    (
        univariate_program,
        {"sample_weight": [0.0, *[1.0] * 6]},
        "sample_weight must be positive; got 0",
    ),
    (univariate_program, {"activation": "tanh"}, "activation must be one of .*'tanh'"),
]


@pytest.mark.parametrize(("call", "changes", "message"), BAD)
def test_wrong_input_is_named(call, changes, message):
    with pytest.raises(ValueError, match=message):
        call(**{**GOOD[call], **changes})


def test_a_pattern_of_no_neuron_is_refused():
    square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    exclusive_or = [[True, False, True, False]]
    with pytest.raises(ValueError, match=r"2 of 4 points active .* no open cell"):
        pattern_program(square, labels=square, kind="gated", patterns=exclusive_or)
