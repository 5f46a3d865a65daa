"""Rows held elsewhere: the same fits from chunks, and every question against a dense computation."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore.objectives import ScoreObjective
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers import space
from convexscore.solvers.oracles.ascent import AscentOracle
from convexscore.solvers.oracles.base import Block
from convexscore.solvers.oracles.choice import make_oracle
from convexscore.solvers.oracles.plane import PlaneOracle
from convexscore.solvers.oracles.three_dimensions import SpaceOracle
from convexscore.solvers.space.boundedness import boundedness
from convexscore.solvers.space.certificate import certificate_of
from convexscore.solvers.space.columns import Columns, SpaceCase
from convexscore.solvers.space.dual import DualPoint
from convexscore.solvers.space.generation import improve
from convexscore.solvers.space.negative_skip import builds_skip
from convexscore.solvers.space.problem import SpaceProblem, prepare
from convexscore.solvers.space.restricted import add_columns, start
from convexscore.solvers.space.rows import MemoryRows, Rows
from convexscore.solvers.space.solve import largest_start, network_of, solve


class ChunkedRows(Rows):
    """Rows in several pieces; a handle is a list of arrays that nobody else may look at."""

    def __init__(self, rows: MemoryRows, n_chunks: int = 3) -> None:
        super().__init__(rows.case, rows.divergence)
        self.n_samples, self.dim = rows.n_samples, rows.dim
        parts = np.array_split(np.arange(self.n_samples), n_chunks)
        self.blocks = [Block(rows.block.points[p], rows.block.mass[p]) for p in parts]
        self.labels = [rows.labels[p] for p in parts]

    def collect(self, kernel, *fields):
        return [kernel(*given) for given in zip(self.blocks, *fields, strict=True)]

    def build(self, kernel, *fields):
        return self.collect(kernel, *fields)

    def take(self, indices):
        return np.concatenate([block.points for block in self.blocks])[indices]


KINDS = [(False, False), (True, False), (True, True)]


def every_case(test):
    """All kinds of networks and both objectives, with and without V and weights."""
    for names, values in (
        ("kind", KINDS), ("delta", [0.0, 1.0]), (("skip", "weights"), [(True, True), (False, False)])
    ):  # fmt: skip
        test = pytest.mark.parametrize(names, values)(test)
    return test


def _problem(d, delta, kind, skip, weights, *, n=60, activation="relu"):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(n, d)) * rng.uniform(0.5, 2.0, d)
    mass = rng.uniform(0.3, 2.0, n) if weights else None
    labels = None if delta else rng.normal(size=(n, d)) - x
    case = SpaceCase(activation, skip, *kind)
    problem = prepare(ScoreObjective(x, labels, delta, mass), case)
    return problem, SpaceProblem(ChunkedRows(problem.rows), problem.centre, problem.scale)


def _columns(d, seed=1, count=7):
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(count, d))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    line = np.arange(count) == 2
    return Columns(u, np.where(line, 0.0, rng.normal(size=count)), line)


def _dense(rows, columns):
    """Features, active masses, an orthonormal basis of c and V, roots of the masses."""
    block, root = rows.block, np.sqrt(rows.block.mass)[:, None]
    pre = block.points @ columns.u.T + columns.b
    value = np.where(columns.linear, pre, rows.case.activation.value(pre))
    slope = np.where(columns.linear, 1.0, rows.case.activation.derivative(pre))
    free = [np.ones((len(root), 1)), block.points] if rows.case.free_skip else [np.ones_like(root)]
    basis = np.linalg.qr(root * np.concatenate(free, axis=1))[0]
    return root * value, block.mass @ slope, basis, root


def _array(handle):
    return np.concatenate(handle) if isinstance(handle, list) else handle


@every_case
@pytest.mark.parametrize("activation", ["relu", "abs", "leaky_relu(0.2)"])
def test_every_question_against_dense_algebra(kind, delta, skip, weights, activation):
    d = 3
    problem, elsewhere = _problem(d, delta, kind, skip, weights, activation=activation)
    memory, columns = problem.rows, _columns(d)
    values, active, basis, root = _dense(memory, columns)
    outer = np.random.default_rng(3).normal(size=(len(columns), d))
    points, mass = memory.block.points, memory.block.mass
    for rows in (memory, elsewhere.rows):
        close = partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-11)
        triangle, moment = rows.moments()
        close(triangle.T @ triangle, (mass[:, None] * points).T @ points)
        close(moment, mass @ points)
        assert rows.total_mass == pytest.approx(mass.sum(), rel=1e-14)
        # features without what c and V fit
        measured = rows.measure(columns)
        projected = values - basis @ (basis.T @ values)
        close(rows.gram(measured, measured), projected.T @ projected)
        few = measured.keep(np.arange(3))
        close(rows.gram(measured, few), projected.T @ projected[:, :3])
        centred = values - basis[:, :1] @ (basis[:, :1].T @ values)
        close(rows.gram(measured, few, skip=False), centred.T @ centred[:, :3])
        joined = rows.measure(columns.keep([0])).join(rows.measure(columns.keep([1])))
        close(joined.free, measured.free[:2])
        # G of a residual, with the divergence
        start = rows.start()
        dense = _array(start)
        close(
            rows.gradient(start, measured),
            (values / root).T @ dense + delta * active[:, None] * columns.u,
        )
        close(rows.inner(start, rows.labels), (dense * _array(rows.labels) / mass[:, None]).sum())
        # columns that join, with the best c and V
        if not (kind[0] and skip):
            move = _array(rows.move(start, measured, outer)) - dense
            close(move, root * (projected @ outer))
        # projecting twice changes nothing, and what c and V fit is orthogonal to the rest
        once = rows.project(rows.labels)
        close(_array(rows.project(once)), _array(once))
        close(rows.coefficients(once)[0], 0.0)
        close(rows.take(np.array([0, n_last := rows.n_samples - 1])), points[[0, n_last]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delta", [0.0, 1.0])
@pytest.mark.parametrize("skip", [True, False])
def test_a_network_is_judged_by_its_own_outputs(kind, delta, skip):
    problem, elsewhere = _problem(3, delta, kind, skip, True)
    rng = np.random.default_rng(5)
    u = rng.normal(size=(4, 3))
    w = -np.abs(rng.normal(size=(4, 1))) * u if kind[0] else rng.normal(size=(4, 3))
    network = TwoLayerNetwork(
        u, w, rng.normal(size=4), skip=-np.eye(3) if skip else None, offset=np.ones(3)
    )
    block, labels = problem.rows.block, problem.rows.labels / problem.rows.block.mass[:, None]
    x = problem.centre + problem.scale * block.points
    raw = network(x) * problem.scale - labels
    loss = 0.5 * block.mass @ (raw**2).sum(axis=1)
    divergence = delta * problem.scale**2 * block.mass @ network.divergence(x)
    for each in (problem, elsewhere):
        residual, *terms = each.rows.judge(network, each.centre, each.scale)
        assert terms == pytest.approx([loss, divergence], rel=1e-13, abs=1e-13)
        # the residual is that of the start plus the neurons, whatever c and V the network has
        columns, outer, _, _ = each.columns_of(network)
        if builds_skip(each.rows):  # V <= 0 is no free parameter: it is part of the network
            columns = columns.join(Columns.lines(np.eye(3)))
            outer = np.concatenate([outer, -np.eye(3) * each.scale**2])
        rows = each.rows.move(each.rows.start(), each.rows.measure(columns), outer)
        np.testing.assert_allclose(_array(residual), _array(rows), atol=1e-11)


@every_case
@pytest.mark.parametrize("d", [3, 5, 10])
def test_the_restricted_problem_has_the_same_optimum(kind, delta, skip, weights, d):
    """Given neurons: objective and score agree, whoever holds the rows."""
    solved = []
    for problem in _problem(d, delta, kind, skip, weights):
        restricted = start(problem, 40.0 if delta else 5.0)
        columns = _columns(d, count=12).keep(np.arange(12) != 2)
        lines = Columns.lines(np.eye(d)) if builds_skip(problem.rows) else Columns.empty(d)
        add_columns(restricted, columns.join(lines), 1.0)
        restricted.minimise(1e-9)
        solved.append((restricted.value(), network_of(restricted)(np.eye(d))))
    (value, score), (again, other) = solved
    assert again == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(other, score, atol=1e-10 * np.abs(score).max())


@pytest.mark.slow
@every_case
@pytest.mark.parametrize("d", [2, 5])
def test_fits_do_not_know_who_holds_the_rows(d, delta, kind, skip, weights):
    """Both fits reach the tolerance, and a network is worth the same to whoever judges it.

    The networks of a local search may differ: where two neurons are equally good up to rounding, the
    order of a sum decides which one is taken.
    """
    tol = 1e-3
    problems = _problem(d, delta, kind, skip, weights)
    beta = (0.6 if delta else 0.5) * largest_start(problems[0], _searching(problems[0]))
    fits = [solve(p, beta, _searching(p), tol=tol, max_rounds=60) for p in problems]
    values = [fit.certificate.objective for fit in fits]
    assert all(fit.certificate.converged and not fit.certificate.exact for fit in fits)
    # a search that is not exact may be content a few tolerances early: both are near the same optimum
    assert values[0] == pytest.approx(values[1], rel=10 * tol)
    for fit, value in zip(fits, values, strict=True):
        for problem in problems:
            judged = certificate_of(problem, beta, fit.network, _searching(problem))
            assert judged.objective == pytest.approx(value, rel=1e-10)


def _searching(problem):
    return make_oracle(problem, n_starts=16, random_state=np.random.default_rng(0), local=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("delta", [0.0, 1.0])
@pytest.mark.parametrize("n", [40, 400])
@pytest.mark.parametrize("d", [2, 5])
def test_the_local_search_does_not_depend_on_the_order_of_sums(kind, delta, n, d):
    """The same neurons from one block of rows and from three, with points on many kinks."""
    found = []
    for problem in _problem(d, delta, kind, True, False, n=n):
        found.append(_searching(problem).price(problem.rows.start(), n_best=1))
    here, there = found
    assert there.largest == pytest.approx(here.largest, rel=1e-9)
    assert there.n_tried == here.n_tried


@pytest.mark.parametrize(("d", "oracle"), [(2, PlaneOracle), (3, SpaceOracle)])
def test_what_looks_at_pairs_of_points_says_when_they_are_elsewhere(d, oracle):
    _, elsewhere = _problem(d, 1.0, (False, False), True, False, n=12)
    with pytest.raises(ValueError, match=r"memory.*ChunkedRows.*AscentOracle"):
        oracle(elsewhere.neurons)
    assert isinstance(make_oracle(elsewhere, random_state=np.random.default_rng(0)), AscentOracle)
    with pytest.raises(ValueError, match=r"memory.*ChunkedRows"):
        boundedness(elsewhere, _searching(elsewhere))
    with pytest.raises(UnboundedObjectiveError, match=r"beta = 0\.1"):  # without a proof
        solve(elsewhere, 0.1, _searching(elsewhere))


def test_the_solver_asks_rows_for_everything():
    """Neither points nor anything else with one entry per row is read outside the rows."""
    for name in (
        "certificate", "design", "dual", "free_parameters", "generation", "master", "negative_skip",
        "penalties", "pricing", "restricted", "solve", "tidy",
    ):  # fmt: skip
        source = Path(space.__file__).with_name(f"{name}.py").read_text()
        for word in (".points", ".mass", "rows.block", "labels *", "root_mass"):
            assert word not in source, (name, word)


def test_an_inner_point_is_found_where_the_bound_exceeds_the_value():
    """A search that sees too little: its bounds are too high, and the rounds still end well."""
    problem, _ = _problem(3, 1.0, (False, False), True, False, n=70)
    oracle = _searching(problem)

    class Blind:
        neurons = oracle.neurons

        def price(self, residual, **options):
            return replace(oracle.price(residual, **options), largest=0.0)

    restricted = start(problem, 9.0)
    found = oracle.price(restricted.state.residual, n_best=20)
    add_columns(restricted, Columns.neurons(found.u, found.b), 1.0)
    inner = DualPoint(restricted.state.residual, 0.0)
    outcome = improve(restricted, Blind(), tol=-1.0, inner=inner, max_rounds=3)
    assert outcome.bounded and np.isfinite(restricted.value())
    assert restricted.state.mu > 0.0
