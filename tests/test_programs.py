"""The papers' convex programs against brute force on the network's own objective."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy.optimize import linprog

from convexscore import programs
from convexscore._tools.exceptions import ConvergenceWarning, SolverError, UnboundedObjectiveError
from convexscore.scores.network import TwoLayerNetwork

# (score matching?, activation, skip): the paper's eight cases.
CASES = [
    pytest.param(sm, act, skip, id=f"{'sm' if sm else 'dsm'}-{act}{'-skip' if skip else ''}")
    for sm in (True, False)
    for act in ("relu", "abs")
    for skip in (False, True)
]
ACTIVATION_SKIP = [(act, skip) for act in ("relu", "abs") for skip in (False, True)]
_RNG = np.random.default_rng(11)
DATA = {
    "normal": _RNG.normal(size=15),
    "ties": np.array([0.0, 0.0, 1.0, 1.0, 1.0, 2.5, 3.0, 3.0, 4.0, 4.0]),
    "three": np.array([0.0, 1.0, 5.0]),
    "two": np.array([-1.0, 2.0]),
    "heavy": 100.0 * _RNG.standard_t(1.2, size=14),
    "clusters": np.concatenate([_RNG.normal(size=7) * 1e-2, 5 + _RNG.normal(size=7) * 1e-2]),
    "far": 1e6 + 1e-2 * _RNG.normal(size=12),
}


def solve(sm, act, skip, x, beta, labels, **options):
    name = ("score_matching_" if sm else "denoising_") + act + ("_skip" if skip else "")
    arguments = (x, beta) if sm else (x, labels, beta)
    return getattr(programs, name)(*arguments, **options)


def make_labels(x, seed=3):
    return np.random.default_rng(seed).normal(size=len(x)) / np.std(x)


def some_beta(sm, act, skip, x, labels, factor=1.3, weight=None):
    """A beta with a handful of neurons, in the admissible range."""
    if sm:
        return factor * programs.smallest_beta(x, act, skip, sample_weight=weight)
    total = len(x) if weight is None else np.sum(weight)
    return 0.03 * factor * total * np.std(x) * np.std(labels)


def objective(net, x, beta, labels, sm, weight=1.0):
    """The training objective, straight from its definition."""
    residual = net(x) - (0.0 if sm else labels)
    per_sample = 0.5 * residual**2 + (net.divergence(x) if sm else 0.0)
    return float(np.sum(weight * per_sample) + beta * np.sum(np.abs(net.u) * np.abs(net.w)))


def with_best_line(u, w, kinks, x, labels, sm, act, skip, weight):
    """Network with the offset (and skip) that minimise the objective, by normal equations."""
    hidden = TwoLayerNetwork(u, w, -np.asarray(u) * kinks, offset=0.0, activation=act)
    centre = np.mean(x)
    basis = np.column_stack([np.ones_like(x), x - centre] if skip else [np.ones_like(x)])
    wanted = -hidden(x) if sm else labels - hidden(x)
    right = basis.T @ (weight * wanted)
    if sm and skip:
        right[1] -= np.sum(weight)  # the divergence of the line
    line = np.linalg.solve(basis.T @ (weight[:, None] * basis), right)
    slope = line[1] if skip else None
    offset = line[0] - (line[1] * centre if skip else 0.0)
    return TwoLayerNetwork(u, w, -np.asarray(u) * kinks, skip=slope, offset=offset, activation=act)


# ---- matrices -----------------------------------------------------------------------------------

# Blocks of columns: orientation of u and side of the kink, from the indicators in the paper.
BLOCKS = {
    (True, "relu"): [(1, -1), (1, 1), (-1, 1), (-1, -1)],
    (True, "abs"): [(1, -1), (1, 1)],
    (False, "relu"): [(1, 0), (-1, 0)],
    (False, "abs"): [(1, 0)],
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("data", ["normal", "ties", "three"])
@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_every_column_is_the_objective_of_its_neuron(sm, act, skip, data, weighted):
    x = DATA[data]
    labels = make_labels(x)
    weight = np.random.default_rng(1).uniform(0.5, 3, len(x)) if weighted else np.ones(len(x))
    if sm:
        A, b = programs.score_matching_matrices(x, act, skip, sample_weight=weight)
        target = np.zeros(len(x))
        mean = weight @ x / weight.sum()
        constant = -(weight.sum() ** 2) / (2 * weight @ (x - mean) ** 2) if skip else 0.0
    else:
        A, target = programs.denoising_matrices(x, labels, act, skip, sample_weight=weight)
        b, constant = np.zeros(A.shape[1]), 0.0
    blocks = BLOCKS[sm, act]
    assert A.shape == (len(x), len(blocks) * len(x))
    column = 0
    for sign, side in blocks:
        for point in x:
            kink = np.nextafter(point, side * np.inf) if side else point
            for size in (1.0, -2.0):
                net = with_best_line([float(sign)], [size], kink, x, labels, sm, act, skip, weight)
                fit = 0.5 * np.sum((size * A[:, column] - target) ** 2)
                expected = objective(net, x, 0.0, labels, sm, weight)
                found = fit + size * b[column] + constant
                assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)
            column += 1


def test_matrices_of_three_points_by_hand():
    A, b = programs.score_matching_matrices([0.0, 1.0, 2.0], "relu")
    right = np.array([[0, 0, 0], [1, 0, 0], [2, 1, 0]]) - np.array([1, 1 / 3, 0])
    left = np.array([[0, 1, 2], [0, 0, 1], [0, 0, 0]]) - np.array([0, 1 / 3, 1])
    np.testing.assert_allclose(A, np.hstack([right, right, left, left]), atol=1e-15)
    assert b.tolist() == [3, 2, 1, 2, 1, 0, -1, -2, -3, 0, -1, -2]
    A, b = programs.score_matching_matrices([0.0, 1.0, 2.0], "abs")
    both = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]]) - np.array([1, 2 / 3, 1])
    np.testing.assert_allclose(A, np.hstack([both, both]), atol=1e-15)
    assert b.tolist() == [3, 1, -1, 1, -1, -3]


@pytest.mark.parametrize("one_sided", [False, True])
@pytest.mark.parametrize("act", ["relu", "abs"])
def test_column_neurons_have_the_column_values_and_derivatives(act, one_sided):
    # Neighbouring floats included: there the kink cannot move and must not.
    x = np.array([-3.0, -1.0, 0.0, 1.0, 1.0, np.nextafter(1.0, 2.0), np.nextafter(1.0, 0.0), 2.0])
    u, kinks = programs.column_neurons(x, act, one_sided=one_sided)
    if one_sided:
        A, b = programs.score_matching_matrices(x, act)
    else:
        A, _ = programs.denoising_matrices(x, np.zeros(8), act)
        b = None
    assert u.shape == kinks.shape == (A.shape[1],)
    for k in range(A.shape[1]):
        net = TwoLayerNetwork(u[k], 1.0, -u[k] * kinks[k], offset=0.0, activation=act)
        np.testing.assert_allclose(net(x) - np.mean(net(x)), A[:, k], atol=1e-14)
        if b is not None:
            assert np.sum(net.divergence(x)) == b[k]


# ---- optimum and network ------------------------------------------------------------------------


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_network_attains_the_optimal_value_and_no_neighbour_is_better(sm, act, skip, data):
    x = DATA[data]
    labels = make_labels(x)
    rng = np.random.default_rng(2)
    for factor in (1.05, 2.0):
        beta = some_beta(sm, act, skip, x, labels, factor)
        program = solve(sm, act, skip, x, beta, labels)
        assert program.status == "optimal"
        net, value = program.network, program.value
        assert net.activation == act
        assert (net.skip is not None) == skip
        assert program.n_neurons == net.n_neurons <= len(program.weights)
        # V x is rounded to 1e-16 |V x|, so data far from 0 cost digits (only with a skip).
        loss = np.finfo(float).eps * np.max(np.abs(x)) / np.std(x) * len(x)
        size = max(abs(value), 1e-3 * len(x) / np.var(x))
        assert objective(net, x, beta, labels, sm) == pytest.approx(
            value, abs=size * max(1e-7, 10 * loss)
        )
        # Move kinks off the data, change weights, add neurons: never below the optimum.
        for scale in (1e-3, 0.1, 1.0):
            u = np.append(net.u[:, 0], rng.choice([-1.0, 1.0], size=2))
            kinks = np.append(-net.u[:, 0] * net.b, rng.choice(x, size=2))
            kinks = kinks + scale * np.std(x) * rng.normal(size=len(u))
            w = np.append(net.w[:, 0], [0.0, 0.0])
            w = w + scale / np.var(x) * rng.normal(size=len(u))
            other = with_best_line(u, w, kinks, x, labels, sm, act, skip, np.ones(len(x)))
            assert objective(other, x, beta, labels, sm) >= value - 1e-7 * size


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_weights_satisfy_the_optimality_conditions(sm, act, skip):
    """|A'r + b| <= beta everywhere and = beta with the opposite sign on active columns."""
    x = DATA["normal"]
    labels = make_labels(x)
    beta = some_beta(sm, act, skip, x, labels)
    y = solve(sm, act, skip, x, beta, labels).weights
    if sm:
        A, b = programs.score_matching_matrices(x, act, skip)
        gradient = A.T @ (A @ y) + b
    else:
        A, target = programs.denoising_matrices(x, labels, act, skip)
        gradient = A.T @ (A @ y - target)
    assert np.max(np.abs(gradient)) <= beta * (1 + 1e-6)
    active = np.abs(y) > 1e-4 * np.max(np.abs(y))
    assert 1 <= np.sum(active) < len(x)
    np.testing.assert_allclose(gradient[active], -beta * np.sign(y[active]), rtol=1e-5)


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_problem_and_value_agree_through_scale_and_constant(sm, act, skip):
    x = 7.0 * DATA["three"]
    labels = make_labels(x)
    program = solve(sm, act, skip, x, some_beta(sm, act, skip, x, labels), labels)
    assert program.scale * program.problem.value + program.constant == pytest.approx(program.value)
    assert program.variables["y"].shape == program.weights.shape
    assert program.solver == "CLARABEL"
    assert "problem" not in repr(program)


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_integer_weights_equal_repetition(sm, act, skip):
    x = DATA["normal"][:8]
    labels = make_labels(x)
    weight = np.array([1, 3, 2, 1, 1, 2, 4, 1])
    beta = some_beta(sm, act, skip, x, labels, weight=weight)
    weighted = solve(sm, act, skip, x, beta, labels, sample_weight=weight)
    repeated = solve(sm, act, skip, np.repeat(x, weight), beta, np.repeat(labels, weight))
    assert weighted.value == pytest.approx(repeated.value, rel=1e-8)
    found = objective(weighted.network, x, beta, labels, sm, weight)
    assert found == pytest.approx(weighted.value, rel=1e-8)
    np.testing.assert_allclose(weighted.network(x), repeated.network(x), rtol=1e-4, atol=1e-4)
    plain = solve(sm, act, skip, x, beta, labels)
    assert abs(plain.value / weighted.value - 1) > 0.01


@pytest.mark.parametrize("scale", [1e-8, -3.0, 1e8])
@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_equivariant_under_scale_and_shift(sm, act, skip, scale):
    x = DATA["normal"]
    labels = make_labels(x)
    beta = some_beta(sm, act, skip, x, labels)
    plain = solve(sm, act, skip, x, beta, labels)
    moved = solve(sm, act, skip, scale * (x + 2), beta, labels / scale)
    assert moved.value * scale**2 == pytest.approx(plain.value, rel=1e-8)
    scores = scale * moved.network(scale * (x + 2))
    np.testing.assert_allclose(scores, plain.network(x), rtol=1e-4, atol=1e-4)


def test_column_vectors_and_permutations_change_nothing():
    x, labels = DATA["normal"], make_labels(DATA["normal"])
    order = np.random.default_rng(0).permutation(len(x))
    plain = programs.denoising_relu(x, labels, 0.5)
    for shaped in (
        programs.denoising_relu(x[:, None], labels[:, None], 0.5),
        programs.denoising_relu(x[order], labels[order], 0.5),
    ):
        assert shaped.value == pytest.approx(plain.value, rel=1e-9)
        np.testing.assert_allclose(shaped.network(x), plain.network(x), atol=1e-5)


def test_optimum_of_nearly_coincident_points_with_weights_of_1e9():
    """Interior-point steps stall here in natural units; the larger units are needed."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=6) * 1e-5, 5 + rng.normal(size=6) * 1e-5])
    program = programs.score_matching_relu(x, 1.05)
    assert program.status == "optimal"
    assert program.scale * np.var(x) > 1.0 + 1e-9  # a larger unit was needed
    assert np.max(np.abs(program.weights)) > 1e8
    assert objective(program.network, x, 1.05, None, True) == pytest.approx(program.value, rel=1e-6)
    # r = Ay is dual feasible and has the same value: so the optimum is the true one.
    A, b = programs.score_matching_matrices(x, "relu")
    r = A @ program.weights
    assert np.max(np.abs(A.T @ r + b)) <= 1.05 * (1 + 1e-3)
    assert -0.5 * r @ r == pytest.approx(program.value, rel=1e-5)


# ---- closed forms -------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["relu", "abs"])
def test_large_beta_without_skip_gives_the_zero_score(act):
    x = DATA["normal"]
    program = solve(True, act, False, x, len(x) + 0.5, None)
    assert program.value == pytest.approx(0.0, abs=1e-8)
    assert program.n_neurons == 0
    assert np.max(np.abs(program.network(x))) < 1e-8


@pytest.mark.parametrize("act", ["relu", "abs"])
@pytest.mark.parametrize("data", ["normal", "three", "ties"])
def test_gaussian_regime_without_skip(act, data):
    x = DATA[data]
    n, v = len(x), np.var(x)
    beta = 0.97 * n
    program = solve(True, act, False, x, beta, None)
    assert program.value == pytest.approx(-((n - beta) ** 2) / (2 * n * v), rel=1e-6)
    kappa = (n - beta) / (n * v)
    np.testing.assert_allclose(program.network(x), -kappa * (x - x.mean()), atol=1e-6 / v**0.5)


@pytest.mark.parametrize("act", ["relu", "abs"])
@pytest.mark.parametrize("data", ["normal", "three", "ties", "heavy", "far"])
def test_large_beta_with_skip_gives_the_gaussian_score(act, data):
    x = DATA[data]
    program = solve(True, act, True, x, 2.0 * len(x), None)
    assert program.value == pytest.approx(-len(x) / (2 * np.var(x)), rel=1e-9)
    assert program.n_neurons == 0
    grid = np.linspace(x.min(), x.max(), 9)
    expected = -(grid - x.mean()) / np.var(x)
    np.testing.assert_allclose(program.network(grid), expected, atol=1e-6 * np.max(expected))


@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_large_beta_denoising_gives_mean_or_regression_line(act, skip):
    x, labels = DATA["normal"], make_labels(DATA["normal"])
    program = solve(False, act, skip, x, 1e4, labels)
    line = np.polyval(np.polyfit(x, labels, int(skip)), x)
    assert program.n_neurons == 0
    assert program.value == pytest.approx(0.5 * np.sum((labels - line) ** 2), rel=1e-9)
    np.testing.assert_allclose(program.network(x), line, atol=1e-9)


@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_denoising_without_penalty_interpolates(act, skip):
    x, labels = np.array([0.0, 1.0, 3.0, 4.0]), np.array([1.0, -1.0, 2.0, 0.0])
    program = solve(False, act, skip, x, 0.0, labels)
    assert program.value == pytest.approx(0.0, abs=1e-8)
    np.testing.assert_allclose(program.network(x), labels, atol=1e-4)


def test_constant_labels_need_no_neuron():
    program = programs.denoising_relu([0.0, 1.0, 2.0], [3.0, 3.0, 3.0], 0.1)
    assert program.value == pytest.approx(0.0, abs=1e-9)
    assert program.network([0.5, 7.0]).tolist() == [3.0, 3.0]


# ---- boundedness --------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("act", "skip"), ACTIVATION_SKIP)
def test_smallest_beta_is_the_value_of_its_linear_program(act, skip, weighted):
    """max -b'y over Ay = 0, |y|_1 <= 1, on data with random ties."""
    rng = np.random.default_rng(8)
    for _ in range(6):
        x = rng.integers(0, 6, size=9).astype(float)
        weight = rng.uniform(0.2, 4.0, size=9) if weighted else np.ones(9)
        A, b = programs.score_matching_matrices(x, act, skip, sample_weight=weight)
        found = linprog(
            np.concatenate([b, -b]),
            A_eq=np.hstack([A, -A]),
            b_eq=np.zeros(9),
            A_ub=np.ones((1, 2 * len(b))),
            b_ub=[1.0],
        )
        limit = programs.smallest_beta(x, act, skip, sample_weight=weight)
        assert limit == pytest.approx(-found.fun, rel=1e-6)


@pytest.mark.parametrize(
    ("data", "act", "skip", "limit"),
    [
        ("normal", "relu", False, 1.0),
        ("normal", "relu", True, 1.0),
        ("normal", "abs", False, 1.0),
        ("normal", "abs", True, 2.0),
        ("ties", "relu", False, 2.0),
        ("ties", "relu", True, 2.0),
        ("ties", "abs", False, 3.0),
        ("ties", "abs", True, 4.0),
    ],
)
def test_beta_below_the_limit_is_refused_and_above_it_solved(data, act, skip, limit):
    x = DATA[data]
    assert programs.smallest_beta(x, act, skip) == limit
    with pytest.raises(UnboundedObjectiveError, match=f"beta must be at least {limit:g}"):
        solve(True, act, skip, x, 0.999 * limit, None)
    assert np.isfinite(solve(True, act, skip, x, 1.001 * limit, None).value)


# ---- solvers ------------------------------------------------------------------------------------


def test_another_solver_gets_its_options():
    x, beta = DATA["normal"], 4.0
    loose = programs.score_matching_relu(x, beta, solver="SCS", eps=1e-7, max_iters=50_000)
    exact = programs.score_matching_relu(x, beta)
    assert (loose.solver, loose.status) == ("SCS", "optimal")
    assert loose.problem.solver_stats.solver_name == "SCS"
    assert loose.value == pytest.approx(exact.value, rel=1e-3)
    assert loose.value != exact.value


@pytest.mark.parametrize(("sm", "act", "skip"), CASES)
def test_solver_failure_is_raised_with_its_status(sm, act, skip):
    x = DATA["normal"]
    with pytest.raises(SolverError, match=r"'CLARABEL' ended with status 'user_limit'.*beta"):
        solve(sm, act, skip, x, 3.0, make_labels(x), max_iter=1)


def test_unknown_solver_is_an_error():
    with pytest.raises(SolverError, match=r"'NO_SUCH' ended with status 'solver_error': The"):
        programs.score_matching_abs(DATA["three"], 2.0, solver="NO_SUCH")


def test_an_inaccurate_answer_warns():
    x = DATA["normal"]
    # Tolerances that no solver reaches, and a generous definition of "almost".
    options = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-30)
    with pytest.warns(ConvergenceWarning, match="status 'optimal_inaccurate'") as record:
        program = programs.score_matching_relu(x, 4.0, max_iter=30, **options)
    assert record[0].filename == __file__
    assert program.status == "optimal_inaccurate"
    assert program.value == pytest.approx(programs.score_matching_relu(x, 4.0).value, rel=1e-4)


def test_cvxpy_is_imported_only_when_a_program_is_solved():
    code = (
        "import sys, convexscore.programs as p\n"
        "p.score_matching_matrices([0.0, 1.0])\n"
        "assert 'cvxpy' not in sys.modules\n"
        "p.denoising_abs([0.0, 1.0], [1.0, 0.0], 0.1)\n"
        "assert 'cvxpy' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((3, 2))}, r"x_noisy must have shape \(n,\) or \(n, 1\), got \(3, 2\)"),
        ({"x": 1.0}, r"x_noisy must have shape"),
        ({"x": [1.0, np.nan, 2.0]}, r"x_noisy must be finite, got 1 NaN"),
        ({"x": [1.0, 1.0, 1.0]}, r"x_noisy must hold at least 2 distinct values, got 1 in 3"),
        ({"x": []}, r"x_noisy must hold at least 2 distinct values, got 0 in 0"),
        ({"x": ["a", "b", "c"]}, r"x_noisy must be numeric"),
        ({"labels": [1.0, 2.0]}, r"labels must have one entry per noisy point"),
        ({"labels": [1.0, 2.0, np.inf]}, r"labels must be finite"),
        ({"beta": -1.0}, r"beta must be a finite number >= 0, got -1.0"),
        ({"beta": np.nan}, r"beta must be a finite number >= 0"),
        ({"beta": "large"}, r"beta must be a number >= 0, got 'large'"),
        ({"sample_weight": [1.0, 1.0]}, r"sample_weight must have shape \(3,\), got \(2,\)"),
        ({"sample_weight": [1.0, 0.0, 1.0]}, r"sample_weight must be positive, got a minimum of 0"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    given = {"x": [0.0, 1.0, 2.0], "labels": [1.0, 0.0, 1.0], "beta": 1.0, **changes}
    weight = given.get("sample_weight")
    with pytest.raises(ValueError, match=message):
        programs.denoising_relu(given["x"], given["labels"], given["beta"], sample_weight=weight)
    if "labels" not in changes:
        with pytest.raises(ValueError, match=message.replace("x_noisy", "x")):
            programs.score_matching_abs_skip(given["x"], given["beta"], sample_weight=weight)


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation must be one of"):
        programs.score_matching_matrices([0.0, 1.0], "tanh")


def test_public_names_exist():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in programs.__all__:
            assert getattr(programs, name) is not None
