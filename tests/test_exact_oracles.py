"""The exact oracles against slow enumerations that share nothing with them."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from oracles import ACTIVATIONS, slope
from scipy.optimize import minimize_scalar

from convexscore.solvers.oracles.base import NeuronSet
from convexscore.solvers.oracles.plane import PlaneOracle
from convexscore.solvers.oracles.three_dimensions import SpaceOracle

KINDS = [(False, 0), (True, 0), (True, -1)]


def _arcs(points, pivot):
    """Open arcs of directions of the lines through a point, exact ties merged."""
    p = points - points[pivot]
    p = p[np.abs(p).max(axis=1) > 0]
    cuts = np.mod(np.arctan2(p[:, 1], p[:, 0]) + np.pi / 2, np.pi)
    cuts = np.concatenate([cuts, cuts + np.pi])
    cuts = np.unique(np.round(np.mod(cuts, 2 * np.pi), 9))
    if len(cuts) and 2 * np.pi - cuts[-1] + cuts[0] < 1e-8:
        cuts = cuts[:-1]
    if not len(cuts):
        return [(0.0, 2 * np.pi)]
    return list(zip(cuts, np.append(cuts[1:], cuts[0] + 2 * np.pi), strict=True))


def enumerate_plane(neurons, residual):
    """sup h: every pivot, every arc, the pivot on either side, the maximum by search in one angle."""
    points, best = neurons.points, -np.inf
    for pivot in range(len(points)):
        p = points - points[pivot]
        at_pivot = np.abs(p).max(axis=1) == 0
        for (low, high), side in product(_arcs(points, pivot), (1.0, -1.0)):
            middle = 0.5 * (low + high)
            sides = np.where(at_pivot, side, p @ np.array([np.cos(middle), np.sin(middle)]))
            sign = slope(neurons.activation, sides)
            matrix = residual.T @ (sign[:, None] * p)
            matrix += neurons.divergence * (sign @ neurons.mass) * np.eye(2)

            def h(angles, matrix=matrix):
                u = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(-1, 2)
                return neurons.measure(u @ matrix.T, u)

            grid = np.linspace(low, high, 100)
            values = h(grid)
            k = int(np.argmax(values))
            best = max(best, float(values[k]))
            if values[k] > best - 0.01 * abs(best):
                near = (grid[max(k - 1, 0)], grid[min(k + 1, len(grid) - 1)])
                found = minimize_scalar(
                    lambda a, h=h: -float(h(a)[0]),
                    bounds=near,
                    method="bounded",
                    options={"xatol": 1e-8},
                )
                best = max(best, -found.fun)
    return best


def _cells(points, pivot, rng):
    """Sign patterns of the open cells of directions about a pivot, from corners and at random."""
    p = points - points[pivot]
    p = p[np.abs(p).max(axis=1) > 0]
    corners = [np.cross(a, b) for a, b in combinations(p, 2)]
    corners += list(p) + list(rng.standard_normal((60, 3)))
    u = []
    for corner in corners:
        size = np.linalg.norm(corner)
        if size < 1e-9 * np.abs(p).max() ** 2:
            continue
        near = corner / size + 10.0 ** rng.uniform(-5, -1, (16, 1)) * rng.standard_normal((16, 3))
        u += [near, -near]
    signs = np.sign((points - points[pivot]) @ np.concatenate(u).T).T
    return np.unique(signs, axis=0)


def enumerate_space(neurons, residual, rng):
    """sup h: every pivot, every cell, every face of the cell (inside, edges, corners) by eigenvectors."""
    points, best = neurons.points, -np.inf
    reach = np.abs(points).max()
    for pivot in range(len(points)):
        p = points - points[pivot]
        others = p[np.abs(p).max(axis=1) > 1e-12 * reach]
        normals = others / np.linalg.norm(others, axis=1, keepdims=True)
        edges = np.array([np.linalg.svd(e[None])[2][1:].T for e in normals]).reshape(-1, 3, 2)
        corners = [np.cross(a, b) for a, b in combinations(normals, 2)]
        corners = [c / np.linalg.norm(c) for c in corners if np.linalg.norm(c) > 1e-9]
        for signs, side in product(_cells(points, pivot, rng), (1.0, -1.0)):
            sides = np.where(signs == 0, side, signs)
            sign = slope(neurons.activation, sides)
            matrix = residual.T @ (sign[:, None] * p)
            matrix += neurons.divergence * (sign @ neurons.mass) * np.eye(3)
            form = 0.5 * (matrix + matrix.T) if neurons.conservative else matrix.T @ matrix
            inside = np.linalg.eigh(form)[1].T
            on_edges = np.linalg.eigh(edges.transpose(0, 2, 1) @ form @ edges)[1]
            on_edges = (edges @ on_edges).transpose(0, 2, 1).reshape(-1, 3)
            u = np.concatenate([inside, on_edges, np.array(corners).reshape(-1, 3)])
            u = np.concatenate([u, -u])
            u = u[((u @ p.T) * signs >= -1e-10 * reach).all(axis=1)]
            if len(u):
                best = max(best, float(neurons.measure(u @ matrix.T, u).max()))
    return best


def search(neurons, residual, rng, n=20000):
    """Largest h of random neurons."""
    u = rng.standard_normal((n, neurons.dim))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    reach = 1.05 * np.linalg.norm(neurons.points, axis=1).max()
    return float(neurons.evaluate(residual, u, rng.uniform(-reach, reach, n)).max())


def _residual(rng, neurons, skip):
    """Rows that add up to zero; with ``skip`` also orthogonal to every affine function."""
    points, delta = neurons.points, neurons.divergence
    n = len(points)
    residual = rng.standard_normal(points.shape) * rng.uniform(0.2, 2.0, (n, 1))
    basis = np.column_stack([np.ones(n), points]) if skip else np.ones((n, 1))
    target = np.zeros((basis.shape[1], neurons.dim))
    if skip:
        target[1:] = -delta * neurons.mass.sum() * np.eye(neurons.dim)
    return residual + np.linalg.lstsq(basis.T, target - basis.T @ residual, rcond=None)[0]


def _cloud(name, rng, dim, n):
    if name == "random":
        return rng.standard_normal((n, dim))
    if name == "duplicates":
        return rng.standard_normal((n, dim))[rng.integers(0, (2 * n) // 3, n)]
    if name == "grid":
        return rng.permutation(list(product(range(-1, 2), repeat=dim)))[:n].astype(float)
    if name == "line":
        return np.outer(rng.permutation(n) - 2.0, rng.integers(1, 4, dim))
    if name == "two lines":
        t = rng.permutation(n).astype(float)
        odd = np.arange(n) % 2
        out = np.zeros((n, dim))
        out[:, 0], out[:, 1] = t * (1 - odd), (t - 1) * odd
        return out
    if name == "coplanar":
        return rng.standard_normal((n, 2)) @ rng.integers(-2, 3, (2, dim)).astype(float)
    if name == "star":  # three collinear points and others, in general position
        out = rng.integers(-4, 5, (n, dim)).astype(float)
        out[1], out[2] = out[0] + [1.0, 2.0, 1.0], out[0] - [2.0, 4.0, 2.0]
        return out
    if name == "clusters":
        return rng.standard_normal((3, dim))[np.arange(n) % 3] + 1e-5 * rng.standard_normal(
            (n, dim)
        )
    raise AssertionError(name)


def _neurons(rng, points, divergence, activation, kind, masses=True):
    mass = rng.uniform(0.3, 2.0, len(points)) if masses else np.ones(len(points))
    return NeuronSet(points, mass, divergence, activation, kind[0], kind[1])


def _rounding(neurons, residual):
    """What the order of the additions may change in h: n + d + 2 units of the terms' sizes in sum.

    A term is a residual times |u.x + b|, at most twice the reach of the points.
    """
    n, d = neurons.points.shape
    reach = np.linalg.norm(neurons.points, axis=1).max()
    size = 2 * reach * np.linalg.norm(residual, axis=1).sum()
    size += neurons.divergence * neurons.mass.sum()
    return (n + d + 2) * np.finfo(float).eps * size


def _check_returned(neurons, residual, priced, rel=1e-7):
    np.testing.assert_allclose(np.linalg.norm(priced.u, axis=1), 1.0, atol=1e-14)
    assert np.all(np.diff(priced.value) <= _rounding(neurons, residual))  # equal ones in any order
    np.testing.assert_allclose(
        neurons.evaluate(residual, priced.u, priced.b), priced.value, rtol=1e-12
    )
    if priced.largest > 0.0:  # of leaky ridges with y <= 0 every measure may be negative
        assert priced.value[0] == pytest.approx(priced.largest, rel=rel)


EXACT_SKIP = ("random", "duplicates", "grid", "clusters")


@pytest.mark.parametrize("cloud", ["random", "duplicates", "grid", "line", "two lines", "clusters"])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("divergence", [0.0, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_plane_equals_enumeration(cloud, activation, divergence, kind):
    rng = np.random.default_rng(5)
    points = _cloud(cloud, rng, 2, 8 if cloud in ("grid", "duplicates") else 6)
    neurons = _neurons(rng, points, divergence, activation, kind)
    for skip in (False, True) if cloud in EXACT_SKIP else (False,):
        residual = _residual(rng, neurons, skip)
        priced = PlaneOracle(neurons).price(residual, n_best=12)
        assert priced.exact
        expected = enumerate_plane(neurons, residual)
        assert priced.largest == pytest.approx(expected, rel=1e-9, abs=1e-8)  # angles to 1e-9
        assert search(neurons, residual, rng) <= priced.largest * (1 + 1e-12) + 1e-14
        _check_returned(neurons, residual, priced)


SPACE_CLOUDS = ["random", "duplicates", "grid", "line", "two lines", "clusters", "coplanar", "star"]


@pytest.mark.slow
@pytest.mark.parametrize("cloud", SPACE_CLOUDS)
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("divergence", [0.0, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_space_equals_enumeration(cloud, activation, divergence, kind):
    rng = np.random.default_rng(7)
    points = _cloud(cloud, rng, 3, 6)
    neurons = _neurons(rng, points, divergence, activation, kind)
    for skip in (False, True) if cloud == "random" else (False,):
        residual = _residual(rng, neurons, skip)
        priced = SpaceOracle(neurons).price(residual, n_best=12)
        assert priced.exact
        assert priced.largest == pytest.approx(enumerate_space(neurons, residual, rng), rel=1e-8)
        assert search(neurons, residual, rng) <= priced.largest * (1 + 1e-12)
        _check_returned(neurons, residual, priced)


def test_maxima_inside_cells_and_on_edges_both_occur():
    """In some of these problems the best plane passes through one point, in others through two."""
    through = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        neurons = _neurons(rng, rng.standard_normal((8, 3)), 1.0, "relu", (False, 0), masses=False)
        priced = SpaceOracle(neurons).price(_residual(rng, neurons, seed % 2 == 0), n_best=1)
        pre = neurons.points @ priced.u[0] + priced.b[0]
        through.append(int((np.abs(pre) < 1e-6).sum()))
    assert {1, 2} <= set(through)


@pytest.mark.parametrize(("dim", "oracle"), [(2, PlaneOracle), (3, SpaceOracle)])
@pytest.mark.parametrize("divergence", [0.0, 1.0])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
def test_no_local_ascent_gets_higher(dim, oracle, divergence, activation):
    """Climb from the best random neurons by ever smaller random steps."""
    rng = np.random.default_rng(11)
    for skip in (False, True):
        neurons = _neurons(rng, rng.standard_normal((14, dim)), divergence, activation, (False, 0))
        residual = _residual(rng, neurons, skip)
        largest = oracle(neurons).price(residual, n_best=1).largest
        u = rng.standard_normal((3000, dim))
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        b = rng.uniform(-3, 3, len(u))
        value = neurons.evaluate(residual, u, b)
        for step in np.geomspace(0.3, 1e-5, 60):
            top = np.argsort(-value)[:40]
            u, b = np.repeat(u[top], 10, axis=0), np.repeat(b[top], 10)
            moved = np.arange(len(b)) % 10 > 0
            u = u + step * moved[:, None] * rng.standard_normal(u.shape)
            b = b + step * moved * rng.standard_normal(len(b))
            u /= np.linalg.norm(u, axis=1, keepdims=True)
            value = neurons.evaluate(residual, u, b)
            assert value.max() <= largest * (1 + 1e-12)
        assert value.max() >= largest * 0.999


@pytest.mark.parametrize("oracle", [PlaneOracle, SpaceOracle])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scale_of_the_points(oracle, activation, scale):
    rng = np.random.default_rng(3)
    dim = 2 if oracle is PlaneOracle else 3
    points = rng.standard_normal((9, dim))
    one = _neurons(rng, points, 1.0, activation, (False, 0), masses=False)
    other = NeuronSet(points * scale, one.mass, 1.0, activation)
    residual = _residual(rng, one, False)
    before = oracle(one).price(residual, n_best=5)
    after = oracle(other).price(residual / scale, n_best=5)
    assert after.largest == pytest.approx(before.largest, rel=1e-12)
    expected = np.abs(before.b) * scale
    np.testing.assert_allclose(np.abs(after.b), expected, rtol=1e-7, atol=1e-9 * scale)
    _check_returned(other, residual / scale, after)


@pytest.mark.parametrize("oracle", [PlaneOracle, SpaceOracle])
def test_centred_grid_has_ties_blurred_by_rounding(oracle):
    """A grid that is collinear up to rounding only is priced as the exact grid."""
    rng = np.random.default_rng(2)
    dim, side = (2, 5) if oracle is PlaneOracle else (3, 3)
    grid = np.array(list(product(range(side), repeat=dim)), dtype=float)
    blurred = (grid * 0.1 - 0.7312345) / 0.377
    for activation in ACTIVATIONS[:3]:
        exact = _neurons(rng, grid, 1.0, activation, (False, 0))
        rough = NeuronSet(blurred, exact.mass, 1.0, activation)
        residual = _residual(rng, exact, False)
        ratio = 0.1 / 0.377
        priced = oracle(rough).price(residual, n_best=40)
        scaled = oracle(NeuronSet(grid * ratio, exact.mass, 1.0, activation))
        expected = scaled.price(residual, n_best=1).largest
        assert priced.largest == pytest.approx(expected, rel=1e-10)
        _check_returned(rough, residual, priced)


@pytest.mark.parametrize("oracle", [PlaneOracle, SpaceOracle])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
def test_one_location(oracle, activation):
    """All points coincide: G = +-M u or 0."""
    dim = 2 if oracle is PlaneOracle else 3
    points = np.ones((2, dim)) * 0.7
    for divergence in (0.0, 1.0):
        neurons = NeuronSet(points, np.array([1.0, 2.0]), divergence, activation)
        residual = np.array([[0.4] * dim, [-0.4] * dim])
        priced = oracle(neurons).price(residual, n_best=2)
        assert priced.largest == pytest.approx(divergence * 3.0, abs=1e-12)
        if divergence:
            _check_returned(neurons, residual, priced)


@pytest.mark.parametrize("oracle", [PlaneOracle, SpaceOracle])
def test_returned_neurons(oracle):
    """Distinct, above the floor, as many as asked for; the divergence counted as the limit counts."""
    rng = np.random.default_rng(8)
    dim = 2 if oracle is PlaneOracle else 3
    neurons = _neurons(rng, rng.standard_normal((25, dim)), 1.0, "relu", (False, 0))
    residual = _residual(rng, neurons, True)
    pricing = oracle(neurons)
    every = pricing.price(residual, n_best=1000)
    some = pricing.price(residual, n_best=10)
    assert len(some.b) == 10
    np.testing.assert_allclose(some.value, every.value[:10])
    code = np.column_stack([every.u, every.b])
    gap = np.abs(code[:, None] - code[None]).max(axis=2) + np.eye(len(code))
    assert gap.min() > 1e-7
    floor = float(0.5 * (some.value[4] + some.value[5]))
    above = pricing.price(residual, n_best=10, floor=floor)
    np.testing.assert_allclose(above.value, some.value[:5])
    assert above.largest == pytest.approx(some.largest, rel=1e-14)
    nothing = pricing.price(residual, n_best=10, floor=2 * some.largest)
    assert nothing.u.shape == (0, dim)
    assert nothing.largest == pytest.approx(some.largest, rel=1e-14)
    apart = pricing.price(residual, n_best=1000, separation=0.2)
    code = np.column_stack([apart.u, apart.b / np.abs(neurons.points).max()])
    gap = np.abs(code[:, None] - code[None]).max(axis=2) + np.eye(len(code))
    assert gap.min() > 0.2 - 1e-6
    assert apart.value[0] == pytest.approx(some.value[0], rel=1e-14)


@pytest.mark.parametrize("oracle", [PlaneOracle, SpaceOracle])
def test_some_pivots_give_a_lower_bound(oracle):
    rng = np.random.default_rng(9)
    dim = 2 if oracle is PlaneOracle else 3
    neurons = _neurons(rng, rng.standard_normal((20, dim)), 1.0, "abs", (False, 0))
    residual = _residual(rng, neurons, False)
    pricing = oracle(neurons)
    whole = pricing.price(residual, n_best=3)
    # without the points that the best neurons pass through, of which there may be equal ones
    rounding = _rounding(neurons, residual)
    best = whole.value >= whole.largest - rounding
    on_kink = np.abs(neurons.points @ whole.u[best].T + whole.b[best]) < 1e-8
    others = np.flatnonzero(~on_kink.any(axis=1))
    assert len(others) < 20
    parts = [
        pricing.price(residual, n_best=3, pivots=np.array(p))
        for p in (others[:4], others, range(20))
    ]
    assert [part.exact for part in parts] == [False, False, True]
    # the same neuron has other neighbours in the matrix products, which may round it differently
    assert parts[0].largest <= parts[1].largest + rounding
    assert parts[1].largest < whole.largest - rounding
    assert parts[2].largest == whole.largest
    assert parts[0].n_tried < parts[1].n_tried < whole.n_tried


@pytest.mark.parametrize("divergence", [0.0, 1.0])
def test_plane_memory_threads_and_blocks_change_nothing(divergence):
    rng = np.random.default_rng(10)
    neurons = _neurons(rng, rng.standard_normal((150, 2)), divergence, "relu", (False, 0))
    residual = _residual(rng, neurons, False)
    reference = PlaneOracle(neurons)
    first = reference.price(residual, n_best=20)
    for oracle in (
        reference,
        PlaneOracle(neurons, memory=0.0),
        PlaneOracle(neurons, memory=2e5),
        PlaneOracle(neurons, n_threads=2),
    ):
        again = oracle.price(residual, n_best=20)
        np.testing.assert_array_equal(again.value, first.value)
        np.testing.assert_array_equal(again.u, first.u)
        assert again.largest == first.largest


@pytest.mark.parametrize("kind", KINDS)
def test_plane_deep_adds_local_maxima(kind):
    rng = np.random.default_rng(12)
    neurons = _neurons(rng, rng.standard_normal((40, 2)), 1.0, "relu", kind)
    residual = _residual(rng, neurons, True)
    pricing = PlaneOracle(neurons)
    plain = pricing.price(residual, n_best=30)
    deep = pricing.price(residual, n_best=30, deep=True)
    assert deep.largest == pytest.approx(plain.largest, rel=1e-14)
    assert len(deep.b) == 30
    assert np.all(deep.value >= plain.value * (1 - 1e-7))
    np.testing.assert_allclose(neurons.evaluate(residual, deep.u, deep.b), deep.value, rtol=1e-12)


def test_small_measures_keep_their_digits():
    """A residual that nearly vanishes on most lines; h is not computed from squares."""
    rng = np.random.default_rng(13)
    neurons = _neurons(rng, rng.standard_normal((10, 2)), 0.0, "relu", (False, 0))
    residual = _residual(rng, neurons, True) * 1e-9
    priced = PlaneOracle(neurons).price(residual, n_best=5)
    assert priced.largest == pytest.approx(enumerate_plane(neurons, residual), rel=1e-7)


def test_errors_name_the_argument():
    flat, solid = np.zeros((3, 2)), np.eye(3)
    with pytest.raises(ValueError, match=r"neurons must have points in the plane.*\(3, 3\)"):
        PlaneOracle(NeuronSet(solid, np.ones(3), 0.0, "relu"))
    with pytest.raises(ValueError, match=r"neurons must have points in space.*\(3, 2\)"):
        SpaceOracle(NeuronSet(flat, np.ones(3), 0.0, "relu"))
    with pytest.raises(ValueError, match="max_points=2"):
        SpaceOracle(NeuronSet(solid, np.ones(3), 0.0, "relu"), max_points=2)
    with pytest.raises(ValueError, match="n_threads"):
        PlaneOracle(NeuronSet(flat, np.ones(3), 0.0, "relu"), n_threads=0)
    for oracle, points in ((PlaneOracle, flat), (SpaceOracle, solid)):
        with pytest.raises(ValueError, match="n_best"):
            oracle(NeuronSet(points, np.ones(3), 0.0, "relu")).price(0 * points, n_best=0)
