"""The restricted problem: free parameters, columns and the Newton master against explicit algebra."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import ACTIVATIONS
from plane_oracles import Case, conic_optimum, neuron_columns

from convexscore.objectives import ScoreObjective
from convexscore.solvers.space.columns import Columns, SpaceCase
from convexscore.solvers.space.design import Design
from convexscore.solvers.space.penalties import NormPenalty
from convexscore.solvers.space.problem import prepare
from convexscore.solvers.space.restricted import add_columns, start
from convexscore.solvers.space.rows import MemoryRows

KINDS = ["vector", "conservative", "log-concave"]


def _problem(activation="relu", skip=True, kind="vector", *, d=2, n=15, delta=1.0, weighted=True):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(n, d)) * rng.uniform(0.5, 2.0, size=d)
    labels = None if delta else rng.normal(size=(n, d))
    mass = rng.uniform(0.3, 2.0, size=n) if weighted else None
    case = SpaceCase(activation, skip, kind != "vector", kind == "log-concave")
    return prepare(ScoreObjective(x, labels, delta, mass), case)


def _neurons(d, count, seed, spread=1.0):
    """Unit neurons; a small ``spread`` makes them nearly collinear."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=d) + spread * rng.normal(size=(count, d))
    b = 0.3 + spread * rng.normal(size=count)
    return Columns.neurons(u / np.linalg.norm(u, axis=1, keepdims=True), b)


def _case(problem, beta):
    c = problem.case
    block = problem.rows.block
    labels = problem.rows.labels / block.mass[:, None]
    return Case(
        block.points, labels, problem.rows.divergence, beta, c.activation, c.skip,
        c.conservative, c.log_concave, block.mass,
    )  # fmt: skip


# ---------------------------------------------------------------------------------- free parameters


def _free_basis(points, mass, skip, symmetric):
    """Explicit weighted fields of c and V as columns (n d, p), with the trace of each V."""
    n, d = points.shape
    fields, traces = [np.tile(unit, (n, 1)) for unit in np.eye(d)], [0.0] * d
    for unit in np.eye(d * d).reshape(-1, d, d) if skip else ():
        V = unit + unit.T if symmetric else unit
        fields.append(points @ V.T)
        traces.append(np.trace(V))
    root = np.sqrt(mass)[:, None]
    return np.stack([(root * f).ravel() for f in fields], axis=1), np.array(traces)


def _points(d, rank, n=14, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d))
    mass = rng.uniform(0.2, 3.0, size=n)
    return points - mass @ points / mass.sum(), mass


@pytest.mark.parametrize(("d", "rank"), [(2, 2), (3, 3), (3, 1), (4, 2), (3, 0)])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
def test_projection_is_least_squares(d, rank, skip, symmetric):
    points, mass = _points(d, rank)
    root = np.sqrt(mass)[:, None]
    case = SpaceCase("relu", skip, symmetric)
    memory = MemoryRows(case, 1.0, points, np.zeros_like(points), mass)
    free = memory.free
    assert free.rank == rank
    basis, _ = _free_basis(points, mass, skip, symmetric)
    rows = np.random.default_rng(1).normal(size=points.shape)
    best = np.linalg.lstsq(basis, rows.ravel(), rcond=1e-10)[0]
    expected = rows - (basis @ best).reshape(rows.shape)
    np.testing.assert_allclose(memory.project(root * rows), root * expected, atol=1e-12)
    # the coefficients give the same fit as parameters of the network
    V, c = free.values(free.fitted(memory.coefficients(root * rows)))
    assert V.any() == (skip and rank > 0)
    assert not symmetric or np.abs(V - V.T).max() <= 1e-13 * np.abs(V).max()
    np.testing.assert_allclose(rows - root * (points @ V.T + c), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS[:2])
@pytest.mark.parametrize("d", [2, 3])
def test_start_without_neurons_is_the_gaussian(kind, d):
    """No neurons: V = -Sigma^-1 for score matching, whatever the mass; value -M tr(Sigma^-1) / 2."""
    problem = _problem(kind=kind, d=d)
    M, z = problem.rows.total_mass, problem.rows.block.points
    sigma = (z * problem.rows.block.mass[:, None]).T @ z / M
    restricted = start(problem, 1.0)
    wanted = -np.linalg.inv(sigma)
    assert restricted.value() == pytest.approx(0.5 * M * np.trace(wanted), rel=1e-12)
    rows = restricted.state.residual / problem.rows.block.mass[:, None]
    np.testing.assert_allclose(rows, z @ wanted, atol=1e-12)


# ------------------------------------------------------------------------------------------ columns


def _unit_fields(design):
    """Weighted rows (n, d) of every single parameter, from ``move``."""
    nothing, units = np.zeros_like(design.rows.labels), np.eye(design.linear.size)
    fields = [design.move(nothing, unit.reshape(design.linear.shape)) for unit in units]
    return np.stack(
        [(f / np.sqrt(design.rows.block.mass)[:, None]).ravel() for f in fields], axis=1
    )


@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delta", [0.0, 1.0])
@pytest.mark.parametrize("d", [2, 3])
def test_design_agrees_with_explicit_columns(activation, skip, kind, delta, d):
    problem = _problem(activation, skip, kind, d=d, delta=delta)
    columns = _neurons(d, 9, seed=4)
    # in two portions, and one column dropped in between
    measured = problem.rows.measure(columns)
    design = Design.empty(problem.rows).add(measured.keep(np.arange(5))).keep(np.arange(5) != 2)
    design = design.add(measured.keep(np.arange(5, 9)))
    columns = columns.keep(np.arange(9) != 2)
    block, root = problem.rows.block, np.sqrt(problem.rows.block.mass)[:, None]
    pre = block.points @ columns.u.T + columns.b
    case = _case(problem, 1.0)
    values, counts = case.value(pre), block.mass @ case.slope(pre, 1.0)
    basis, traces = _free_basis(block.points, block.mass, problem.case.free_skip, kind != "vector")
    wanted, linear = [], []
    for k in range(len(columns)):
        for out in np.eye(d) if kind == "vector" else columns.u[k : k + 1]:
            field = (root * np.outer(values[:, k], out)).ravel()
            best = np.linalg.lstsq(basis, field, rcond=None)[0]
            wanted.append(field - basis @ best)
            trace = counts[k] * columns.u[k] @ out - problem.rows.total_mass * traces @ best
            linear.append(delta * trace)
    wanted = np.stack(wanted, axis=1)
    np.testing.assert_allclose(_unit_fields(design), wanted, atol=1e-12)
    np.testing.assert_allclose(design.linear.ravel(), linear, atol=1e-11)
    np.testing.assert_allclose(
        np.kron(design.gram, np.eye(design.linear.shape[1])), wanted.T @ wanted, atol=1e-11
    )
    rows = np.random.default_rng(0).normal(size=problem.rows.block.points.shape)
    rows = problem.rows.project(root * rows) + problem.rows.start(labels=False)
    expected = wanted.T @ (rows / root).ravel() + linear
    np.testing.assert_allclose(design.gradient(rows).ravel(), expected, atol=1e-11)
    weights = np.random.default_rng(1).normal(size=design.linear.shape)
    outer = design.outer_weights(weights)
    np.testing.assert_array_equal(outer, weights if kind == "vector" else weights * columns.u)


# ------------------------------------------------------------------------------------------- master


def _minimised(problem, columns, beta, mu_end=1e-12):
    restricted = start(problem, beta)
    if problem.case.log_concave and problem.case.skip:
        # V <= 0 from rank-one terms in enough directions to span the optimum in the plane
        angle = np.linspace(0.0, np.pi, 200, endpoint=False)
        columns = columns.join(Columns.lines(np.stack([np.cos(angle), np.sin(angle)], axis=1)))
    add_columns(restricted, columns, 1.0)
    restricted.minimise(mu_end)
    return restricted


@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delta", [0.0, 1.0])
@pytest.mark.parametrize("spread", [1.0, 1e-2])
def test_master_reaches_the_conic_optimum(activation, skip, kind, delta, spread):
    """Random and nearly collinear dictionaries (condition numbers of the Gram matrix above 1e6)."""
    problem = _problem(activation, skip, kind, delta=delta)
    columns = _neurons(2, 40, seed=7, spread=spread)
    beta = 4.0 if delta else 0.3
    case = _case(problem, beta)
    restricted = _minimised(problem, columns, beta)
    optimum = conic_optimum(case, neuron_columns(case, columns.u, columns.b))
    scale = max(1.0, abs(optimum))
    # rank-one terms of a grid of directions leave V a little above its optimum
    grid = 1e-3 if kind == "log-concave" and skip else 0.0
    assert -2e-7 * scale <= restricted.value() - optimum <= (2e-7 + grid) * scale
    assert restricted.state.n_steps < 120
    # the residual that was updated step by step is the one of the weights
    again = restricted.design.move(start(problem, beta).state.residual, restricted.state.weights)
    np.testing.assert_allclose(restricted.state.residual, again, atol=1e-9 * scale)


def test_master_satisfies_the_optimality_conditions_to_high_accuracy():
    """KKT of the group lasso: ||g_k|| <= beta, and g_k = -beta w_k / ||w_k|| where w_k != 0."""
    problem = _problem(d=3, n=40)
    beta = 5.0
    restricted = _minimised(problem, _neurons(3, 120, seed=3), beta, mu_end=1e-14)
    design, state = restricted.design, restricted.state
    gradient = design.gradient(state.residual)
    size = np.linalg.norm(gradient, axis=1)
    active = np.linalg.norm(state.weights, axis=1) > 1e-6
    assert 3 <= active.sum() < 60
    assert size.max() <= beta * (1 + 1e-7)
    w = state.weights[active]
    np.testing.assert_allclose(
        gradient[active], -beta * w / np.linalg.norm(w, axis=1, keepdims=True), atol=1e-5 * beta
    )
    assert np.linalg.norm(state.weights[~active], axis=1).sum() < 1e-6


def test_warm_start_reaches_the_same_optimum_and_copies_of_columns_do_no_harm():
    problem = _problem(n=30)
    columns = _neurons(2, 30, seed=5)
    beta = 3.0
    cold = _minimised(problem, columns, beta)
    doubled = _minimised(problem, columns.join(columns), beta)
    assert doubled.value() == pytest.approx(cold.value(), abs=1e-8)
    warm = _minimised(problem, columns.keep(np.arange(20)), beta, mu_end=1e-4)
    add_columns(warm, columns.keep(np.arange(20, 30)), 1e-4)
    warm.minimise(1e-12)
    assert warm.value() == pytest.approx(cold.value(), abs=1e-8)
    np.testing.assert_allclose(warm.state.residual, cold.state.residual, atol=1e-4)


def test_unbounded_restricted_problem_is_noticed():
    """Far too small a penalty: the objective falls through the floor, without overflow."""
    problem = _problem("abs", n=8)
    x = problem.rows.block.points
    along = x[1:] - x[:1]
    u = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1)[:, None]
    b = -(u @ x[0])
    columns = Columns.neurons(np.concatenate([u, u]), np.concatenate([b + 1e-9, b - 1e-9]))
    restricted = start(problem, 1e-3)
    add_columns(restricted, columns, 1.0)
    restricted.minimise(1e-9, floor=-1e6)
    assert restricted.value() < -1e6


@pytest.mark.parametrize("excess", [0.1, -0.1])
def test_bounds_above_the_value_are_not_taken_for_an_accuracy(excess):
    """A search that is not exact may overshoot; a negative smoothing makes all weights NaN."""
    restricted = _minimised(_problem(d=3, n=40), _neurons(3, 20, seed=3), 5.0)
    value = restricted.value()
    untold = restricted.scale(value, -np.inf, excess)
    assert untold > 0.0 and restricted.scale(value, value - 1e-6, excess) == pytest.approx(1e-6)
    assert restricted.scale(value, value + 1.0, excess) == untold
    assert restricted.scale(value, value, excess) == untold


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_smoothed_penalty_and_curvature_are_derivatives(beta):
    """Gradient and Hessian of the smoothed norm by finite differences, at the exact multiplier."""
    rng = np.random.default_rng(0)
    penalty, mu = NormPenalty(beta), 0.3
    w = rng.normal(size=(1, 3))
    found = penalty.curvature(w, np.zeros_like(w), mu)
    eps = 1e-6
    for k in range(3):
        step = eps * np.eye(3)[k : k + 1]
        slope = (penalty.smoothed(w + step, mu) - penalty.smoothed(w - step, mu)) / (2 * eps)
        assert found.gradient[0, k] == pytest.approx(slope, rel=1e-7)
    exact = penalty.curvature(w, found.gradient, mu)
    either = [
        [penalty.curvature(w + eps * s * e, w, mu).gradient[0] for s in (1, -1)] for e in np.eye(3)
    ]
    hessian = np.array([(up - down) / (2 * eps) for up, down in either])
    e = exact.direction[0]
    model = exact.alpha[0] * (np.eye(3) - exact.tau[0] * np.outer(e, e))
    np.testing.assert_allclose(model, hessian, rtol=1e-6, atol=1e-9)


def test_minimise_leaves_its_start_unchanged():
    restricted = start(_problem(), 1.0)
    add_columns(restricted, _neurons(2, 5, seed=1), 1.0)
    before = restricted.state
    kept = [np.copy(value) for value in vars(before).values()]
    restricted.minimise(1e-6)
    for value, copy in zip(vars(before).values(), kept, strict=True):
        np.testing.assert_array_equal(value, copy)
