"""The exact oracles against slow enumerations that share nothing with them."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from oracles import ACTIVATIONS, slope

from convexscore.solvers.oracles import plane
from convexscore.solvers.oracles.base import NeuronSet
from convexscore.solvers.oracles.three_dimensions import SpaceOracle

ORACLES = {2: plane.PlaneOracle, 3: SpaceOracle}
KINDS = [(False, 0), (True, 0), (True, -1)]
both_oracles = pytest.mark.parametrize("dim", ORACLES)
three_activations = pytest.mark.parametrize("activation", ACTIVATIONS[:3])


def _cells(points, pivot, rng):
    """Sign patterns of the open cells of directions about a pivot; in space those met at random."""
    p = points - points[pivot]
    p = p[np.abs(p).max(axis=1) > 0]
    if p.shape[1] == 2:
        cuts = np.sort(np.mod(np.arctan2(p[:, 1], p[:, 0]) + np.pi / 2, np.pi))
        width = np.diff(cuts, append=cuts[0] + np.pi)
        angle = (cuts + 0.5 * width)[width > 1e-8]  # the others are ties
        u = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    else:
        corners = np.array([np.cross(a, b) for a, b in combinations(p, 2)])
        corners = np.concatenate([corners, p, rng.standard_normal((60, 3))])
        corners = corners[np.linalg.norm(corners, axis=1) > 1e-9 * np.abs(p).max() ** 2]
        corners /= np.linalg.norm(corners, axis=1, keepdims=True)
        reach = 10.0 ** rng.uniform(-5, -1, (len(corners), 16, 1))
        u = (corners[:, None] + reach * rng.standard_normal((len(corners), 16, 3))).reshape(-1, 3)
    return np.unique(np.sign(np.concatenate([u, -u]) @ (points - points[pivot]).T), axis=0)


def enumerate_neurons(neurons, residual, rng):
    """sup h: every pivot, every cell, every face of the cell (inside, edges, corners) by eigenvectors."""
    points, best, dim = neurons.points, -np.inf, neurons.dim
    reach = np.abs(points).max()
    for pivot in range(len(points)):
        p = points - points[pivot]
        others = p[np.abs(p).max(axis=1) > 1e-12 * reach]
        normals = others / np.linalg.norm(others, axis=1, keepdims=True)
        edges = np.array([np.linalg.svd(e[None])[2][1:].T for e in normals])
        corners = [np.cross(a, b) for a, b in combinations(normals, 2)] if dim == 3 else []
        corners = [c / np.linalg.norm(c) for c in corners if np.linalg.norm(c) > 1e-9]
        for signs, side in product(_cells(points, pivot, rng), (1.0, -1.0)):
            sign = slope(neurons.activation, np.where(signs == 0, side, signs))
            matrix = residual.T @ (sign[:, None] * p)
            matrix += neurons.divergence * (sign @ neurons.mass) * np.eye(dim)
            form = 0.5 * (matrix + matrix.T) if neurons.conservative else matrix.T @ matrix
            inside = np.linalg.eigh(form)[1].T
            on_edges = np.linalg.eigh(edges.transpose(0, 2, 1) @ form @ edges)[1]
            on_edges = (edges @ on_edges).transpose(0, 2, 1).reshape(-1, dim)
            u = np.concatenate([inside, on_edges, np.array(corners).reshape(-1, dim)])
            u = np.concatenate([u, -u])
            u = u[((u @ p.T) * signs >= -1e-10 * reach).all(axis=1)]
            if len(u):
                best = max(best, float(neurons.measure(u @ matrix.T, u).max()))
    return best


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


def _star(rng, dim, n):
    """Three collinear points and others, in general position."""
    out = rng.integers(-4, 5, (n, dim)).astype(float)
    out[1], out[2] = out[0] + [1.0, 2.0, 1.0], out[0] - [2.0, 4.0, 2.0]
    return out


def _two_lines(rng, dim, n):
    t, odd = rng.permutation(n).astype(float), np.arange(n) % 2
    return np.pad(np.column_stack([t * (1 - odd), (t - 1) * odd]), [(0, 0), (0, dim - 2)])


def _clusters(rng, dim, n):
    centres = rng.standard_normal((3, dim))[np.arange(n) % 3]
    return centres + 1e-5 * rng.standard_normal((n, dim))


# Data sets of n points: generator, dimension, size.
CLOUDS = {
    "random": lambda rng, d, n: rng.standard_normal((n, d)),
    "duplicates": lambda rng, d, n: rng.standard_normal((n, d))[rng.integers(0, (2 * n) // 3, n)],
    "grid": lambda rng, d, n: 1.0 * rng.permutation(list(product(range(-1, 2), repeat=d)))[:n],
    "clusters": _clusters,
    "line": lambda rng, d, n: np.outer(rng.permutation(n) - 2.0, rng.integers(1, 4, d)),
    "two lines": _two_lines,
    "coplanar": lambda rng, d, n: rng.standard_normal((n, 2)) @ rng.integers(-2, 3, (2, d)),
    "star": _star,
}
ENUMERATED = [(2, 14, "random"), *((2, 8, name) for name in list(CLOUDS)[:6])]
ENUMERATED += [
    pytest.param(3, n, name, marks=pytest.mark.slow)
    for n, name in [(9, "random"), *((6, k) for k in CLOUDS)]
]
# Those on which the residual can be orthogonal to every affine function as well.
WITH_SKIP = [*product([2], list(CLOUDS)[:4]), (3, "random")]


def _neurons(rng, points, divergence, activation, kind=(False, 0), masses=True):
    mass = rng.uniform(0.3, 2.0, len(points)) if masses else np.ones(len(points))
    return NeuronSet(points, mass, divergence, activation, *kind)


def _check_returned(neurons, residual, priced, rel=1e-7):
    np.testing.assert_allclose(np.linalg.norm(priced.u, axis=1), 1.0, atol=1e-14)
    assert np.all(np.diff(priced.value) <= neurons.rounding(residual))  # equal ones in any order
    np.testing.assert_allclose(
        neurons.evaluate(residual, priced.u, priced.b), priced.value, rtol=1e-12
    )
    if priced.largest > 0.0:  # of leaky ridges with y <= 0 every measure may be negative
        assert priced.value[0] == pytest.approx(priced.largest, rel=rel)


@pytest.mark.parametrize(("dim", "n", "cloud"), ENUMERATED)
@three_activations
@pytest.mark.parametrize("divergence", [0.0, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_largest_equals_enumeration(dim, n, cloud, activation, divergence, kind):
    rng = np.random.default_rng(5 if dim == 2 else 7)
    points = CLOUDS[cloud](rng, dim, n)
    neurons = _neurons(rng, points, divergence, activation, kind)
    for skip in (False, True) if (dim, cloud) in WITH_SKIP else (False,):
        residual = _residual(rng, neurons, skip)
        priced = ORACLES[dim](neurons).price(residual, n_best=12)
        assert priced.exact
        expected = enumerate_neurons(neurons, residual, rng)
        assert priced.largest == pytest.approx(expected, rel=1e-9)
        _check_returned(neurons, residual, priced)


def test_maxima_inside_cells_and_on_edges_both_occur():
    """In some of these problems the best plane passes through one point, in others through two."""
    through = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        neurons = _neurons(rng, rng.standard_normal((8, 3)), 1.0, "relu", masses=False)
        priced = SpaceOracle(neurons).price(_residual(rng, neurons, seed % 2 == 0), n_best=1)
        pre = neurons.points @ priced.u[0] + priced.b[0]
        through.append(int((np.abs(pre) < 1e-6).sum()))
    assert {1, 2} <= set(through)


@both_oracles
@three_activations
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_scale_of_the_points(dim, activation, scale):
    rng = np.random.default_rng(3)
    points = rng.standard_normal((9, dim))
    one = _neurons(rng, points, 1.0, activation, masses=False)
    other = NeuronSet(points * scale, one.mass, 1.0, activation)
    residual = _residual(rng, one, False)
    before = ORACLES[dim](one).price(residual, n_best=5)
    after = ORACLES[dim](other).price(residual / scale, n_best=5)
    assert after.largest == pytest.approx(before.largest, rel=1e-12)
    expected = np.abs(before.b) * scale
    np.testing.assert_allclose(np.abs(after.b), expected, rtol=1e-7, atol=1e-9 * scale)
    _check_returned(other, residual / scale, after)


@both_oracles
@three_activations
def test_centred_grid_has_ties_blurred_by_rounding(dim, activation):
    """A grid that is collinear up to rounding only is priced as the exact grid."""
    rng = np.random.default_rng(2)
    grid = np.array(list(product(range(5 if dim == 2 else 3), repeat=dim)), dtype=float)
    exact = _neurons(rng, grid * (0.1 / 0.377), 1.0, activation)
    rough = NeuronSet((grid * 0.1 - 0.7312345) / 0.377, exact.mass, 1.0, activation)
    residual = _residual(rng, exact, False)
    priced, expected = (ORACLES[dim](one).price(residual, n_best=40) for one in (rough, exact))
    assert priced.largest == pytest.approx(expected.largest, rel=1e-10)
    _check_returned(rough, residual, priced)


@both_oracles
@three_activations
def test_one_location(dim, activation):
    """All points coincide: G = +-M u or 0."""
    for divergence in (0.0, 1.0):
        neurons = NeuronSet(np.full((2, dim), 0.7), np.array([1.0, 2.0]), divergence, activation)
        residual = np.array([[0.4] * dim, [-0.4] * dim])
        priced = ORACLES[dim](neurons).price(residual, n_best=2)
        assert priced.largest == pytest.approx(divergence * 3.0, abs=1e-12)
        if divergence:
            _check_returned(neurons, residual, priced)


def _closest(u, b):
    """The smallest distance between two of the neurons."""
    code = np.column_stack([u, b])
    return (np.abs(code[:, None] - code[None]).max(axis=2) + np.eye(len(code))).min()


@both_oracles
def test_returned_neurons(dim):
    """Distinct, above the floor, as many as asked for; the divergence counted as the limit counts."""
    rng = np.random.default_rng(8)
    neurons = _neurons(rng, rng.standard_normal((25, dim)), 1.0, "relu")
    residual = _residual(rng, neurons, True)
    pricing = ORACLES[dim](neurons)
    every, some = (pricing.price(residual, n_best=n_best) for n_best in (1000, 10))
    assert len(some.b) == 10
    np.testing.assert_allclose(some.value, every.value[:10])
    assert _closest(every.u, every.b) > 1e-7
    floor = float(0.5 * (some.value[4] + some.value[5]))
    above = pricing.price(residual, n_best=10, floor=floor)
    np.testing.assert_allclose(above.value, some.value[:5])
    nothing = pricing.price(residual, n_best=10, floor=2 * some.largest)
    assert nothing.u.shape == (0, dim)
    for other in (above, nothing):
        assert other.largest == pytest.approx(some.largest, rel=1e-14)
    apart = pricing.price(residual, n_best=1000, separation=0.2)
    assert _closest(apart.u, apart.b / np.abs(neurons.points).max()) > 0.2 - 1e-6
    assert apart.value[0] == pytest.approx(some.value[0], rel=1e-14)


@both_oracles
def test_some_pivots_give_a_lower_bound(dim):
    rng = np.random.default_rng(9)
    neurons = _neurons(rng, rng.standard_normal((20, dim)), 1.0, "abs")
    residual = _residual(rng, neurons, False)
    pricing = ORACLES[dim](neurons)
    whole = pricing.price(residual, n_best=3)
    # without the points that the best neurons pass through, of which there may be equal ones
    rounding = neurons.rounding(residual)
    best = whole.value >= whole.largest - rounding
    on_kink = np.abs(neurons.points @ whole.u[best].T + whole.b[best]) < 1e-8
    others = np.flatnonzero(~on_kink.any(axis=1))
    assert len(others) < 20
    few, most, all_of_them = (
        pricing.price(residual, n_best=3, pivots=np.array(p))
        for p in (others[:4], others, range(20))
    )
    assert [part.exact for part in (few, most, all_of_them)] == [False, False, True]
    # the same neuron has other neighbours in the matrix products, which may round it differently
    assert few.largest <= most.largest + rounding
    assert most.largest < whole.largest - rounding
    assert all_of_them.largest == whole.largest
    assert few.n_tried < most.n_tried < whole.n_tried


@pytest.mark.parametrize("divergence", [0.0, 1.0])
@pytest.mark.parametrize("memory", [4e8, 0.0, 2e5])
def test_memory_of_sorted_lines_changes_nothing(divergence, memory, monkeypatch):
    rng = np.random.default_rng(10)
    neurons = _neurons(rng, rng.standard_normal((150, 2)), divergence, "relu")
    residual = _residual(rng, neurons, False)
    first = plane.PlaneOracle(neurons).price(residual, n_best=20)
    monkeypatch.setattr(plane, "_MEMORY", memory)
    oracle = plane.PlaneOracle(neurons)
    for _ in range(2):
        again = oracle.price(residual, n_best=20)
        np.testing.assert_array_equal(again.value, first.value)
        np.testing.assert_array_equal(again.u, first.u)
        assert again.largest == first.largest


def test_small_measures_keep_their_digits():
    """A residual that nearly vanishes on most lines; h is not computed from squares."""
    rng = np.random.default_rng(13)
    neurons = _neurons(rng, rng.standard_normal((10, 2)), 0.0, "relu")
    residual = _residual(rng, neurons, True) * 1e-9
    priced = plane.PlaneOracle(neurons).price(residual, n_best=5)
    assert priced.largest == pytest.approx(enumerate_neurons(neurons, residual, rng), rel=1e-7)
