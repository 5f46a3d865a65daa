"""Local-ascent pricing against brute force in the plane and slow optimisers beyond it."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import ACTIVATIONS, slope
from scipy.optimize import minimize

from convexscore.solvers.oracles.ascent import AscentOracle
from convexscore.solvers.oracles.base import NeuronSet

KINDS = [(False, 0), (True, 0), (True, -1)]


def make_problem(
    rng,
    n,
    d,
    activation,
    divergence,
    conservative=False,
    sign=0,
    *,
    skip=True,
    scale=1.0,
    masses=False,
):
    points = rng.standard_normal((n, d))
    points = scale * (points - points.mean(axis=0))
    mass = rng.uniform(0.5, 2.0, n) if masses else np.ones(n)
    residual = mass[:, None] * rng.standard_normal((n, d))
    residual -= residual.mean(axis=0)
    if skip:  # the optimality conditions of a free linear term
        target = points.T @ residual + divergence * mass.sum() * np.eye(d)
        residual -= points @ np.linalg.lstsq(points.T @ points, target, rcond=None)[0]
    return NeuronSet(points, mass, divergence, activation, conservative, sign), residual


def plane_supremum(neurons, residual):
    """Every line through a point of the plane: each arc of its directions, both sides of it."""
    points, best = neurons.points, 0.0
    for j in range(len(points)):
        offset = points - points[j]
        there = np.linalg.norm(offset, axis=1) < 1e-12
        normal = np.arctan2(offset[~there, 1], offset[~there, 0]) + 0.5 * np.pi
        ends = np.unique(np.mod(np.concatenate([normal, normal + np.pi]), 2 * np.pi))
        for left, right in zip(ends, np.append(ends[1:], ends[0] + 2 * np.pi), strict=True):
            middle = 0.5 * (left + right)
            active = offset @ [np.cos(middle), np.sin(middle)] > 0
            for counted in (0.0, 1.0):
                on = np.where(there, counted, active)
                slopes = slope(neurons.activation, on - 0.5)
                matrix = (slopes[:, None] * residual).T @ offset
                matrix += neurons.divergence * (slopes @ neurons.mass) * np.eye(2)
                form = 0.5 * (matrix + matrix.T) if neurons.conservative else matrix.T @ matrix
                axes = np.linalg.eigh(form)[1]
                angles = np.arctan2(axes[1], axes[0])
                inside = left + np.mod(np.append(angles, angles + np.pi) - left, 2 * np.pi)
                theta = np.concatenate([[left, right], inside[inside < right]])
                u = np.stack([np.cos(theta), np.sin(theta)], axis=1)
                value = np.einsum("kd,de,ke->k", u, form, u)
                if not neurons.conservative:
                    value = np.sqrt(np.maximum(value, 0.0))
                best = max(best, np.max(value if neurons.sign else np.abs(value)))
    return best


def search(neurons, residual, *, seed=0, n_best=5, floor=0.0, n_starts=64):
    oracle = AscentOracle(neurons, n_starts=n_starts, random_state=np.random.default_rng(seed))
    priced = oracle.price(residual, n_best=n_best, floor=floor)
    assert not priced.exact
    assert priced.u.shape == (len(priced.b), neurons.dim)
    np.testing.assert_allclose(np.linalg.norm(priced.u, axis=1), 1.0, rtol=1e-12)
    # equal neurons, up to n + d + 2 units of the sizes of the terms of h, come in an order of their own
    size = np.abs(residual).sum() * 2 * np.linalg.norm(neurons.points, axis=1).max()
    size += neurons.divergence * neurons.mass.sum()
    equal = (sum(neurons.points.shape) + 2) * np.finfo(float).eps * size
    assert np.all(np.diff(priced.value) <= equal)
    assert len(priced.b) == 0 or 0 <= priced.largest - priced.value[0] <= equal
    # One at a time, so that the products are formed in another order.
    alone = [
        neurons.evaluate(residual, u[None], np.array([b]))[0]
        for u, b in zip(priced.u, priced.b, strict=True)
    ]
    np.testing.assert_allclose(alone, priced.value, rtol=1e-9, atol=1e-12 * abs(priced.largest))
    return priced


@pytest.mark.slow
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("divergence", [0.0, 1.0])
def test_plane_against_every_line(activation, divergence):
    rng = np.random.default_rng(11)
    ratio = []
    for j in range(24):
        conservative, sign = KINDS[j % 3]
        neurons, residual = make_problem(
            rng, 4 + j // 2, 2, activation, divergence, conservative, sign, skip=j % 2 == 0,
            scale=10.0 ** rng.uniform(-3, 3), masses=j % 4 < 2,
        )  # fmt: skip
        ratio.append(search(neurons, residual).largest / plane_supremum(neurons, residual))
    assert max(ratio) <= 1 + 1e-9
    assert np.mean(np.array(ratio) >= 1 - 1e-3) >= 0.95
    assert min(ratio) > 0.9


def slow_search(neurons, residual, rng, starts):
    """BFGS with numerical gradients, then Nelder-Mead, from random hyperplanes."""
    d, points = neurons.dim, neurons.points

    def negative(v):
        norm = np.linalg.norm(v[:d])
        return -neurons.evaluate(residual, v[None, :d] / norm, v[d:] / norm)[0]

    u = rng.standard_normal((20 * starts, d))
    u /= np.linalg.norm(u, axis=1)[:, None]
    b = -np.einsum("kd,kd->k", u, points[rng.integers(len(points), size=len(u))])
    order = np.argsort(-neurons.evaluate(residual, u, b))[:starts]
    best = 0.0
    for j in order:
        found = minimize(negative, np.append(u[j], b[j]), method="L-BFGS-B")
        best = max(best, -found.fun)
        if found.fun < -0.97 * best:
            polished = minimize(negative, found.x, method="Nelder-Mead", options={"maxiter": 300})
            best = max(best, -polished.fun)
    return best


@pytest.mark.slow
@pytest.mark.parametrize("d", [3, 5, 10])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
def test_beats_a_slow_optimiser_in_more_dimensions(d, activation):
    rng = np.random.default_rng(d)
    for divergence, (conservative, sign) in zip((0.0, 1.0, 1.0), KINDS, strict=True):
        neurons, residual = make_problem(
            rng, 40, d, activation, divergence, conservative, sign, skip=False
        )
        slow = slow_search(neurons, residual, rng, 8)
        assert search(neurons, residual).largest >= 0.999 * slow


def test_same_seed_same_answer_and_fresh_starts_in_every_call():
    neurons, residual = make_problem(np.random.default_rng(1), 200, 10, "relu", 1.0)
    first, second = (AscentOracle(neurons, random_state=np.random.default_rng(4)) for _ in "ab")
    for _ in range(2):
        one, two = first.price(residual, n_best=5), second.price(residual, n_best=5)
        np.testing.assert_array_equal(one.u, two.u)
        np.testing.assert_array_equal(one.b, two.b)
        np.testing.assert_array_equal(one.value, two.value)
    other = search(neurons, residual, seed=5)
    assert other.u.shape != one.u.shape or not np.array_equal(other.u, one.u)


def test_remembers_what_it_found_and_takes_the_current_neurons():
    neurons, residual = make_problem(np.random.default_rng(2), 300, 8, "relu", 1.0)
    thorough = search(neurons, residual, n_starts=400)
    oracle = AscentOracle(neurons, n_starts=4, random_state=np.random.default_rng(0))
    poor = oracle.price(residual, n_best=3)
    again = oracle.price(residual, n_best=3)
    assert again.largest >= poor.largest * (1 - 1e-9)
    told = oracle.price(residual, n_best=3, current=(thorough.u, thorough.b))
    assert told.largest >= thorough.largest * (1 - 1e-9)
    assert (poor.n_tried, thorough.n_tried) == (4, 400)


def test_returns_distinct_neurons_above_the_floor():
    neurons, residual = make_problem(np.random.default_rng(3), 60, 4, "abs", 0.0)
    everything = search(neurons, residual, n_best=30)
    lifted = np.column_stack([everything.u, everything.b])
    for sign in (1.0, -1.0):  # |u.x + b| is the same neuron with the other sign
        gap = np.abs(lifted[:, None] - sign * lifted[None]).max(axis=2)
        assert np.all(gap[~np.eye(len(gap), dtype=bool)] > 1e-4)
    floor = 0.5 * (everything.value[1] + everything.value[2])
    above = search(neurons, residual, n_best=30, floor=floor)
    assert len(above.b) and np.all(above.value > floor)
    nothing = search(neurons, residual, floor=2 * everything.largest)
    assert nothing.u.shape == (0, 4) and nothing.largest == pytest.approx(everything.largest)


@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("divergence", [0.0, 1.0])
def test_mass_two_is_the_point_twice(activation, divergence):
    rng = np.random.default_rng(6)
    points = rng.standard_normal((9, 2))
    mass = np.array([2.0, 1, 1, 2, 1, 1, 1, 2, 1])
    residual = rng.standard_normal((9, 2)) * mass[:, None]
    residual -= mass[:, None] * residual.sum(axis=0) / mass.sum()
    repeat = np.repeat(np.arange(9), mass.astype(int))
    weighted = NeuronSet(points, mass, divergence, activation)
    twice = NeuronSet(points[repeat], np.ones(12), divergence, activation)
    copied = (residual / mass[:, None])[repeat]
    one, two = search(weighted, residual), search(twice, copied)
    expected = plane_supremum(weighted, residual)
    assert [one.largest, two.largest] == pytest.approx([expected] * 2, rel=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("divergence", [0.0, 1.0])
@pytest.mark.parametrize(("conservative", "sign"), KINDS)
def test_points_without_full_rank(divergence, conservative, sign):
    rng = np.random.default_rng(8)
    # A line in space, in coordinates of which one is constant.
    line = rng.standard_normal(15)
    line -= line.mean()
    points = np.zeros((15, 3))
    points[:, 1] = line
    residual = rng.standard_normal((15, 3))
    residual -= residual.mean(axis=0)
    neurons = NeuronSet(points, np.ones(15), divergence, "relu", conservative, sign)
    slow = slow_search(neurons, residual, rng, 8)
    assert search(neurons, residual).largest >= 0.999 * slow
    few = rng.standard_normal((4, 10))
    few -= few.mean(axis=0)
    neurons = NeuronSet(few, np.ones(4), divergence, "abs", conservative, sign)
    residual = rng.standard_normal((4, 10))
    residual -= residual.mean(axis=0)
    slow = slow_search(neurons, residual, rng, 8)
    assert search(neurons, residual).largest >= 0.999 * slow


def test_one_dimension_is_a_scan_of_the_biases():
    rng = np.random.default_rng(9)
    neurons, residual = make_problem(rng, 30, 1, "relu", 1.0, skip=False)
    biases = np.concatenate([-neurons.points[:, 0] + e for e in (-1e-10, 1e-10)])
    biases = np.concatenate([biases, -biases])
    u = np.repeat([[1.0], [-1.0]], 60, axis=0)
    assert search(neurons, residual).largest == pytest.approx(
        neurons.evaluate(residual, u, biases).max(), rel=1e-8
    )


def test_one_point_has_no_violator():
    neurons = NeuronSet(np.zeros((1, 3)), np.ones(1), 0.0, "relu")
    priced = search(neurons, np.zeros((1, 3)))
    assert priced.largest == 0.0 and len(priced.b) == 0
    assert search(neurons, np.zeros((1, 3)), n_starts=1).n_tried == 1
