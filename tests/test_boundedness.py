"""The boundedness threshold against one conic program on a dense dictionary, and its known properties."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from oracles import ACTIVATIONS, negative_slope, sigma, slope
from plane_oracles import solved

from convexscore import smallest_beta
from convexscore._tools.exceptions import ConvergenceWarning
from convexscore.objectives import ScoreObjective
from convexscore.solvers.oracles.ascent import AscentOracle
from convexscore.solvers.oracles.plane import PlaneOracle
from convexscore.solvers.space import boundedness as module
from convexscore.solvers.space.boundedness import boundedness
from convexscore.solvers.space.columns import Columns, SpaceCase
from convexscore.solvers.space.problem import prepare

CASES = list(itertools.product(ACTIVATIONS[:3], (False, True), (False, True)))


def cloud(n: int, d: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


def problem_of(x, activation="relu", skip=True, conservative=False, weights=None, lc=False):
    case = SpaceCase(activation, skip, conservative, lc)
    return prepare(ScoreObjective(np.asarray(x, float), None, 1.0, weights), case)


def dense_lines(x: np.ndarray, n_angles: int) -> tuple[np.ndarray, np.ndarray]:
    """Lines through every point: at fine angles, and just beside every other point; both sides."""
    grid = np.linspace(0.0, 2.0 * np.pi, n_angles, endpoint=False)
    u, b = [], []
    for j, pivot in enumerate(x):
        others = np.delete(x, j, axis=0) - pivot
        others = others[np.abs(others).max(axis=1) > 0]
        normal = np.arctan2(others[:, 1], others[:, 0]) + 0.5 * np.pi
        beside = [normal + turn + e for turn in (0.0, np.pi) for e in (-1e-8, 1e-8)]
        angle = np.concatenate([grid, *beside])
        direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        for nudge in (-1e-10, 1e-10):
            u.append(direction)
            b.append(nudge - direction @ pivot)
    return np.concatenate(u), np.concatenate(b)


def pieces(x, mass, u, b, activation):
    """sigma at the points (n, K) and the active mass (K,), written out."""
    pre = x @ u.T + b
    return sigma(activation, pre), mass @ slope(activation, pre, 1.0)


def conic_threshold(x, mass, activation, skip, conservative, n_angles):
    """min_r max_k |G_k| over a dense dictionary as one conic program."""
    import cvxpy as cp

    x = (x - mass @ x / mass.sum()) / x.std()
    u, b = dense_lines(x, n_angles)
    sigma, counts = pieces(x, mass, u, b, activation)
    R, top = cp.Variable(x.shape), cp.Variable()
    G = sigma.T @ R + counts[:, None] * u
    rules = [cp.sum(R, axis=0) == 0]
    if skip:
        moment = x.T @ R
        moment = 0.5 * (moment + moment.T) if conservative else moment
        rules.append(moment == -mass.sum() * np.eye(2))
    if conservative:
        rules.append(cp.abs(cp.sum(cp.multiply(G, u), axis=1)) <= top)
    else:
        rules.append(cp.norm(G, 2, axis=1) <= top)
    program = cp.Problem(cp.Minimize(top), rules)
    # lines 1e-8 apart make nearly equal constraints; the comparisons need 1e-5
    assert solved(program, (1e-8, 1e-7))
    return program.value


@pytest.mark.parametrize("activation, skip, conservative", CASES)
def test_a_conic_program_on_a_dense_dictionary_gives_the_same_threshold(
    activation, skip, conservative
):
    mass = np.array([0.5, 2.0, 1.0, 1.5, 0.7, 1.0, 1.0]) if skip != conservative else np.ones(7)
    x = cloud(7, seed=3)
    problem = problem_of(x, activation, skip, conservative, mass)
    limit = boundedness(problem, PlaneOracle(problem.neurons), tol=1e-5)
    conic = conic_threshold(x, mass, activation, skip, conservative, 90)
    assert limit.exact and limit.gap <= 1e-5
    assert limit.lower <= limit.upper
    # a finite dictionary bounds from below, and this one is dense
    assert conic <= limit.upper * (1 + 1e-5)
    assert conic == pytest.approx(limit.upper, rel=2e-3)
    constraint = "gradient" if conservative else None
    public = {"activation": activation, "skip": skip, "constraint": constraint, "tol": 1e-5}
    assert smallest_beta(x, sample_weight=mass, **public) == pytest.approx(limit.upper, rel=2e-5)


@pytest.mark.parametrize("activation, skip, conservative", CASES)
def test_the_residual_keeps_its_bound_and_moments_on_a_fine_grid(activation, skip, conservative):
    x = cloud(12, seed=5)
    problem = problem_of(x, activation, skip, conservative)
    limit = boundedness(problem, PlaneOracle(problem.neurons))
    z, R = problem.rows.block.points, limit.residual
    np.testing.assert_allclose(R.sum(axis=0), 0.0, atol=1e-10)
    if skip:
        moment = R.T @ z
        moment = 0.5 * (moment + moment.T) if conservative else moment
        np.testing.assert_allclose(moment, -12.0 * np.eye(2), atol=1e-9)
    u, b = dense_lines(z, 2000)
    sigma, counts = pieces(z, np.ones(12), u, b, activation)
    G = sigma.T @ R + counts[:, None] * u
    h = np.abs((G * u).sum(axis=1)) if conservative else np.linalg.norm(G, axis=1)
    assert h.max() <= limit.upper * (1 + 1e-9)
    assert h.max() >= limit.lower * (1 - 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("conservative", [False, True])
@pytest.mark.parametrize(
    "n, thickness, rounds", [(16, 1.0, 15), (50, 1.0, 25), (40, 0.1, 25), (40, 0.01, 25)]
)
def test_few_rounds_suffice_for_thin_data_too(n, thickness, rounds, conservative):
    x = cloud(n, seed=int(thickness < 1.0))
    problem = problem_of(x * [1.0, thickness], "relu", True, conservative)
    limit = boundedness(problem, PlaneOracle(problem.neurons))
    assert limit.gap <= 1e-3
    assert limit.n_rounds <= rounds
    if thickness < 1.0 and conservative:
        assert limit.lower > smallest_beta(x, constraint="gradient") + 0.5


def test_random_planar_data_have_the_thresholds_of_the_theory_page():
    for seed in range(5):
        for n in (6, 11, 16):
            x = cloud(n, seed=seed)
            # never below 2, the points of an edge of the hull
            assert 2.0 * (1 - 1e-9) <= smallest_beta(x, skip=False) <= 3.6
            assert 4.0 * (1 - 1e-9) <= smallest_beta(x, activation="abs") <= 7.2


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_with_skip_only_the_jump_of_the_slope_counts(activation):
    # sigma(z) = jump relu(z) + slope z and V absorbs the line: an absolute value costs two ReLUs
    x = cloud(10, seed=2)
    relu = smallest_beta(x, tol=1e-6)
    value = smallest_beta(x, activation=activation, tol=1e-6)
    assert value == pytest.approx((1.0 - negative_slope(activation)) * relu, rel=3e-6)


def test_the_unit_position_and_orientation_of_the_data_do_not_matter():
    x = cloud(9, seed=4)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    reference = smallest_beta(x, skip=False, tol=1e-6)
    moved = smallest_beta(1e4 * x @ turn + [3e4, -7e5], skip=False, tol=1e-6)
    assert moved == pytest.approx(reference, rel=1e-5)


def test_a_weight_is_a_number_of_copies_and_copies_raise_the_threshold():
    x = cloud(8, seed=6)
    counts = np.array([1, 3, 1, 2, 1, 1, 1, 1])
    weighted = smallest_beta(x, sample_weight=counts, tol=1e-5)
    repeated = smallest_beta(np.repeat(x, counts, axis=0), tol=1e-5)
    assert weighted == pytest.approx(repeated, rel=3e-5)
    assert weighted > smallest_beta(x, tol=1e-5) + 0.1
    doubled = smallest_beta(x, sample_weight=np.full(8, 2.0), tol=1e-5)
    assert doubled == pytest.approx(2 * smallest_beta(x, tol=1e-5), rel=3e-5)
    dropped = smallest_beta(x, sample_weight=[0, *[1] * 7], tol=1e-5)
    assert dropped == pytest.approx(smallest_beta(x[1:], tol=1e-5), rel=3e-5)


def test_a_decision_stops_early_on_the_right_side():
    problem = problem_of(cloud(30, seed=1))
    oracle = PlaneOracle(problem.neurons)
    limit = boundedness(problem, oracle)
    below = boundedness(problem, oracle, decide=0.7 * limit.lower)
    assert below.lower > 0.7 * limit.lower and below.n_rounds < limit.n_rounds
    above = boundedness(problem, oracle, decide=1.5 * limit.upper)
    assert above.upper < 1.5 * limit.upper and above.n_rounds <= limit.n_rounds
    h = oracle.price(above.residual, n_best=1).largest
    assert h == pytest.approx(above.upper, rel=1e-9)
    # neurons found before help; rank-one terms of V are none
    begun = limit.columns.join(Columns.lines(np.eye(2)))
    warm = boundedness(problem, oracle, start=begun)
    assert warm.n_rounds < limit.n_rounds and not warm.columns.linear.any()


def test_the_columns_alone_already_prove_the_lower_bound():
    """A network on the chosen neurons, zero on the data, whose divergence outweighs its cost."""
    import cvxpy as cp

    problem = problem_of(cloud(8, seed=9), skip=False)
    limit = boundedness(problem, PlaneOracle(problem.neurons), tol=1e-4)
    u, b = limit.columns.u, limit.columns.b
    sigma, counts = pieces(problem.rows.block.points, np.ones(8), u, b, "relu")
    W, c = cp.Variable(u.shape), cp.Variable((1, 2))
    gain = -cp.sum(cp.multiply(W, counts[:, None] * u))
    rules = [sigma @ W + np.ones((8, 1)) @ c == 0, cp.sum(cp.norm(W, 2, axis=1)) <= 1]
    program = cp.Problem(cp.Maximize(gain), rules)
    assert solved(program, (1e-8, 1e-7))
    assert program.value >= limit.lower * (1 - 1e-5)
    assert program.value <= limit.upper * (1 + 1e-5)


def test_three_dimensions_exact_and_by_local_search():
    x = cloud(8, 3, seed=2)
    exact = smallest_beta(x)
    assert exact >= 3.0 * (1 - 1e-3)  # a facet of the hull
    problem = problem_of(x)
    oracle = AscentOracle(problem.neurons, n_starts=32, random_state=np.random.default_rng(0))
    local = boundedness(problem, oracle)
    assert not local.exact
    assert local.lower <= exact * (1 + 1e-9)
    assert local.upper == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
def test_points_in_a_hyperplane(activation):
    flat = np.column_stack([cloud(6, 2), np.ones(6)])
    kwargs = {"activation": activation, "sample_weight": np.full(6, 0.5)}
    assert smallest_beta(flat, skip=False, **kwargs) == 3.0
    assert smallest_beta(flat, skip=False, constraint="gradient", **kwargs) == 3.0
    assert smallest_beta(flat, skip=True, **kwargs) == np.inf
    # nearly so: without skip the total weight is a bound for all data
    thin = flat + 1e-5 * cloud(6, 3, seed=1)
    assert smallest_beta(thin, skip=False, **kwargs) <= 3.0 * (1 + 1e-6)


def test_log_concave_fits_need_the_largest_mass_on_a_supporting_line():
    hexagon = np.array([[np.cos(t), np.sin(t)] for t in np.arange(6) * np.pi / 3])
    x = np.concatenate([hexagon, 0.3 * cloud(5, seed=1)])
    weights = np.array([1.0, 2.5, 1.0, 1.0, 1.0, 2.0, *np.full(5, 9.0)])
    for skip in (False, True):
        problem = problem_of(x, "relu", skip, True, weights, lc=True)
        limit = boundedness(problem, PlaneOracle(problem.neurons))
        assert (limit.lower, limit.upper) == pytest.approx((3.5, 3.5), rel=1e-8)
        moment = problem.rows.block.points.T @ limit.residual
        assert not skip or np.linalg.eigvalsh(moment)[-1] <= -weights.sum() * (1 - 1e-12)
        # no leaky neuron vanishes on the data
        leaky = problem_of(x, "leaky_relu(0.3)", skip, True, weights, lc=True)
        limit = boundedness(leaky, PlaneOracle(leaky.neurons))
        assert (limit.lower, limit.upper) == (0.0, 0.0)
        rows = limit.residual
        assert PlaneOracle(leaky.neurons).price(rows, n_best=1).largest <= 0.0


def test_denoising_has_no_limit():
    objective = ScoreObjective(cloud(5), cloud(5, seed=1), 0.0, None)
    problem = prepare(objective, SpaceCase("relu", True))
    limit = boundedness(problem, PlaneOracle(problem.neurons))
    assert (limit.lower, limit.upper, limit.gap) == (0.0, 0.0, 0.0)


def test_errors_name_the_argument_and_the_remedy():
    oracle = PlaneOracle(problem_of(cloud(20)).neurons)
    with pytest.raises(ValueError, match=r"n = 2001, d = 2, n d = 4002.*subsample"):
        boundedness(problem_of(cloud(2001)), oracle)
    for name, value, message in (
        ("activation", "tanh", r"must be one of 'relu', 'abs'.*; got 'tanh'"),
        ("skip", 1, "must be one of True, False; got 1"),
        ("tol", -1.0, "must be finite and > 0"),
    ):
        with pytest.raises(ValueError, match=f"{name} {message}"):
            smallest_beta(cloud(4), **{name: value})
    with pytest.raises(ValueError, match="conservative=True and an activation that never falls"):
        boundedness(problem_of(cloud(5), "abs", True, True, lc=True), oracle)


def test_bounds_that_do_not_meet_are_reported(monkeypatch):
    original = module.boundedness
    few = partial(original, max_rounds=2)
    monkeypatch.setattr("convexscore.solvers.space.training.boundedness", few)
    with pytest.warns(ConvergenceWarning, match="between .* and .*wanted to 0.001"):
        value = smallest_beta(cloud(12))
    problem = problem_of(cloud(12))
    assert value >= original(problem, PlaneOracle(problem.neurons)).lower
