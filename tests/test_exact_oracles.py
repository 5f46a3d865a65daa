"""The exact oracles against slow enumerations that share nothing with them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from convexscore.solvers.oracle_plane import PlaneOracle
from convexscore.solvers.oracle_result import NeuronSet

KINDS = [(False, 0), (True, 0), (True, -1)]


def _signs(pre, activation):
    return np.where(pre > 0, 1.0, -1.0 if activation == "abs" else 0.0)


def _limit(neurons, residual, u, pivot, sides):
    """h of the limit in which the points are on the given sides of the line u.(x - x_pivot) = 0."""
    sign = _signs(sides, neurons.activation)
    pre = (neurons.points - neurons.points[pivot]) @ u
    gradient = (sign * pre) @ residual + neurons.divergence * (sign @ neurons.mass) * u
    return float(neurons.measure(gradient[None], u[None])[0])


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


def enumerate_plane(neurons, residual, *, fine=25):
    """sup h: every pivot, every arc, the pivot on either side, the maximum by search in one angle."""
    points = neurons.points
    best = -np.inf
    for pivot in range(len(points)):
        for low, high in _arcs(points, pivot):
            middle = 0.5 * (low + high)
            pre = (points - points[pivot]) @ np.array([np.cos(middle), np.sin(middle)])
            at_pivot = np.abs(points - points[pivot]).max(axis=1) == 0
            for side in (1.0, -1.0):
                sides = np.where(at_pivot, side, pre)

                def h(angle, pivot=pivot, sides=sides):
                    u = np.array([np.cos(angle), np.sin(angle)])
                    return _limit(neurons, residual, u, pivot, sides)

                grid = np.linspace(low, high, fine if high - low > 0.1 else 7)
                values = [h(angle) for angle in grid]
                k = int(np.argmax(values))
                best = max(best, values[k])
                if 0 < k < len(grid) - 1:
                    found = minimize_scalar(
                        lambda a, h=h: -h(a),
                        bounds=(grid[k - 1], grid[k + 1]),
                        method="bounded",
                        options={"xatol": 1e-8},
                    )
                    best = max(best, -found.fun)
    return best


def search_plane(neurons, residual, n_angles=240, n_biases=160):
    """Largest h on a grid of lines."""
    angle = np.linspace(0.0, 2 * np.pi, n_angles, endpoint=False) + 1e-4
    u = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    reach = 1.05 * np.abs(neurons.points).max() * np.sqrt(2)
    b = np.linspace(-reach, reach, n_biases)
    all_u, all_b = np.repeat(u, n_biases, axis=0), np.tile(b, n_angles)
    return float(neurons.evaluate(residual, all_u, all_b).max())


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
    if name == "clusters":
        return rng.standard_normal((3, dim))[np.arange(n) % 3] + 1e-5 * rng.standard_normal((n, dim))
    raise AssertionError(name)


def _neurons(rng, points, divergence, activation, kind, masses=True):
    mass = rng.uniform(0.3, 2.0, len(points)) if masses else np.ones(len(points))
    return NeuronSet(points, mass, divergence, activation, kind[0], kind[1])


def _check_returned(neurons, residual, priced, rel=1e-7):
    np.testing.assert_allclose(np.linalg.norm(priced.u, axis=1), 1.0, atol=1e-14)
    assert np.all(np.diff(priced.value) <= 0)
    np.testing.assert_allclose(
        neurons.evaluate(residual, priced.u, priced.b), priced.value, rtol=1e-12
    )
    assert priced.value[0] == pytest.approx(priced.largest, rel=rel)


@pytest.mark.parametrize("cloud", ["random", "duplicates", "grid", "line", "two lines", "clusters"])
@pytest.mark.parametrize("activation", ["relu", "abs"])
@pytest.mark.parametrize("divergence", [0.0, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_plane_equals_enumeration(cloud, activation, divergence, kind):
    rng = np.random.default_rng(hash((cloud, activation, divergence, kind)) % 2**32 if 0 else 5)
    points = _cloud(cloud, rng, 2, 9 if cloud == "grid" else 7)
    neurons = _neurons(rng, points, divergence, activation, kind)
    for skip in (False, True) if cloud in ("random", "duplicates", "grid", "clusters") else (False,):
        residual = _residual(rng, neurons, skip)
        priced = PlaneOracle(neurons).price(residual, n_best=12)
        expected = enumerate_plane(neurons, residual)
        assert priced.exact
        assert priced.largest == pytest.approx(expected, rel=1e-9)
        assert search_plane(neurons, residual) <= priced.largest * (1 + 1e-12)
        _check_returned(neurons, residual, priced)
