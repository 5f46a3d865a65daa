"""TwoLayerNetwork against slow direct sums, finite differences and its own other weights."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from oracles import ACTIVATIONS, random_network, sigma, slopes

import convexscore.scores.evaluate as evaluate
from convexscore.scores import kinks as _kinks
from convexscore.scores.network import TwoLayerNetwork

CASES = list(itertools.product(ACTIVATIONS, (False, True)))


def unit_network(rng, activation="relu", skip=True, n_neurons=9, kinks=None):
    kinks = rng.normal(size=n_neurons) if kinks is None else np.asarray(kinks)
    u = rng.choice([-1.0, 1.0], size=len(kinks))
    slope = rng.normal() if skip else None
    w = rng.normal(size=len(kinks))
    return TwoLayerNetwork(u, w, -u * kinks, skip=slope, offset=0.3, activation=activation)


def slow_value(net, point):
    total = net.offset.copy()
    for u, w, b in zip(net.u, net.w, net.b, strict=True):
        total += w * sigma(net.activation, float(u @ point) + b)
    return total if net.skip is None else total + net.skip @ point


# ---- evaluation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "skip"), CASES)
@pytest.mark.parametrize("dim", [1, 3])
def test_value_and_derivatives_against_direct_sums_and_differences(rng, dim, activation, skip):
    net = random_network(rng, dim, activation, skip)
    x = rng.normal(size=(20, dim))
    np.testing.assert_allclose(net(x), [slow_value(net, p) for p in x], rtol=1e-13, atol=1e-13)
    expected = np.swapaxes(slopes(net, x, 1e-6), 1, 2)
    np.testing.assert_allclose(net.jacobian(x), expected, atol=1e-7)
    trace = np.trace(expected, axis1=1, axis2=2)
    np.testing.assert_allclose(net.divergence(x), trace, atol=1e-7)


@pytest.mark.parametrize(
    ("dim", "shape", "points"),
    [
        *((1, shape, shape) for shape in [(), (5,), (2, 3), (2, 3, 4), (0,)]),
        *((1, (n, 1), (n,)) for n in (5, 0)),
        *((2, (*lead, 2), lead) for lead in [(), (4,), (2, 3)]),
    ],
)
def test_shapes(rng, dim, shape, points):
    net = random_network(rng, dim)
    x = rng.normal(size=shape)
    assert net(x).shape == shape
    assert net.divergence(x).shape == points
    assert net.jacobian(x).shape == (*points, dim, dim)
    np.testing.assert_allclose(net(x).reshape(-1, dim), net(x.reshape(-1, dim)))


@pytest.mark.parametrize("dim", [1, 2])
def test_blocks_do_not_change_the_result(rng, dim, monkeypatch):
    net = random_network(rng, dim)
    x = rng.normal(size=(101, dim))
    whole = net(x), net.divergence(x), net.jacobian(x)
    monkeypatch.setattr(evaluate, "_BLOCK", 50)  # 15 blocks
    for a, b in zip((net(x), net.divergence(x), net.jacobian(x)), whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-14)


def test_no_neurons_is_a_line():
    net = TwoLayerNetwork([], [], [], skip=-2.5, offset=1.0)
    assert net.n_neurons == 0
    assert net([0.0, 3.0]).tolist() == [1.0, -6.5] == net(np.array([0, 3])).tolist()  # no integers
    assert net.divergence([0.0, 3.0]).tolist() == [-2.5, -2.5]
    assert net.path_norm() == net.weight_decay() == 0.0
    plane = TwoLayerNetwork(np.empty((0, 2)), np.empty((0, 2)), [], offset=[1.0, 2.0])
    assert plane(np.zeros((3, 2))).tolist() == [[1.0, 2.0]] * 3
    assert plane.balanced().n_neurons == plane.unit_norm().n_neurons == 0


# ---- kinks and sides ----------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_kink_nudged_by_one_rounding_keeps_its_side(rng, sign, scale):
    for point in np.concatenate([scale * rng.normal(size=50), [0.0]]):
        for side in (-1.0, 1.0):
            kink = np.nextafter(point, side * np.inf)
            net = TwoLayerNetwork([sign], [1.0], [-sign * kink], offset=0.0)
            active = sign * (point - kink) > 0
            assert net.divergence(point) == (sign if active else 0.0)


@pytest.mark.parametrize(("activation", "skip"), CASES)
def test_unit_and_balanced_weights_keep_function_and_sides(rng, activation, skip):
    net = unit_network(rng, activation, skip, n_neurons=200)
    kinks = net.breakpoints()
    around = np.concatenate([np.nextafter(kinks, -9), kinks, np.nextafter(kinks, 9)])
    balanced = net.balanced()
    for other in (balanced, balanced.unit_norm(), balanced.unit_norm().balanced()):
        np.testing.assert_allclose(other(around), net(around), rtol=0, atol=1e-12)
        np.testing.assert_allclose(other.path_norm(), net.path_norm(), rtol=1e-13)
        np.testing.assert_allclose(other.divergence(around), net.divergence(around), atol=1e-12)
    np.testing.assert_allclose(np.abs(balanced.u), np.abs(balanced.w), rtol=2e-12)
    np.testing.assert_allclose(balanced.weight_decay(), net.path_norm(), rtol=1e-13)
    assert set(np.abs(balanced.unit_norm().u.ravel())) == {1.0}
    np.testing.assert_array_equal(balanced.unit_norm().breakpoints(), kinks)


@pytest.mark.parametrize("dim", [1, 3])
def test_rescaling_arbitrary_weights(rng, dim):
    net = random_network(rng, dim)
    x = rng.normal(size=(50, dim))
    unit, balanced = net.unit_norm(), net.balanced()
    np.testing.assert_allclose(unit(x), net(x), atol=1e-13)
    np.testing.assert_allclose(balanced(x), net(x), atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(unit.u, axis=1), 1.0, rtol=1e-14)
    norms = np.linalg.norm(balanced.u, axis=1), np.linalg.norm(balanced.w, axis=1)
    np.testing.assert_allclose(*norms, rtol=1e-13)
    expected = np.sum(np.linalg.norm(net.u, axis=1) * np.linalg.norm(net.w, axis=1))
    for same in (net, unit, balanced):
        assert same.path_norm() == pytest.approx(expected, rel=1e-13)
    assert net.weight_decay() == pytest.approx((np.sum(net.u**2) + np.sum(net.w**2)) / 2)
    assert net.weight_decay() > expected


def test_dead_neurons_leave_and_their_constant_stays():
    net = TwoLayerNetwork([0.0, 1.0, 2.0], [3.0, 0.0, 1.0], [2.0, 5.0, -2.0], offset=1.0)
    for other in (net.unit_norm(), net.balanced()):
        assert other.n_neurons == 1
        assert other.offset.tolist() == [7.0]
        assert other([0.0, 3.0]).tolist() == net([0.0, 3.0]).tolist() == [7.0, 11.0]
    assert net.breakpoints().tolist() == [1.0]


def test_extreme_weights_do_not_overflow():
    net = TwoLayerNetwork([1e-200, 3e200], [2e200, 1e-200], [-1e-200, 3e200], offset=0.0)
    assert net.path_norm() == pytest.approx(5.0, rel=1e-14)
    np.testing.assert_allclose(net.balanced()([0.0, 2.0]), [3.0, 11.0], rtol=1e-13)
    np.testing.assert_allclose(net.unit_norm().w.ravel(), [2.0, 3.0], rtol=1e-14)


# ---- piecewise form -----------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "skip"), CASES)
@pytest.mark.parametrize("unit", [True, False])
def test_piecewise_form_is_the_same_function(rng, activation, skip, unit):
    net = unit_network(rng, activation, skip)
    net = net if unit else net.balanced()
    piecewise = net.to_piecewise()
    x = np.concatenate([rng.uniform(-5, 5, size=200), net.breakpoints()])
    np.testing.assert_allclose(piecewise(x), net(x), atol=1e-13)
    np.testing.assert_allclose(piecewise.derivative(x[:200]), net.divergence(x[:200]), atol=1e-11)
    np.testing.assert_allclose(piecewise.knots, net.breakpoints(), rtol=1e-15)


def test_piecewise_form_merges_kinks(rng):
    # Two neurons at 1, and a pair nudged to either side of 2: knots 1 and 2.
    kinks = [1.0, 1.0, np.nextafter(2.0, 9.0), np.nextafter(2.0, -9.0), 3.0]
    piecewise = unit_network(rng, kinks=kinks).to_piecewise()
    assert piecewise.knots.tolist() == [1.0, 2.0, 3.0]
    # The same around 0, where one rounding is 5e-324.
    pair = np.nextafter(0.0, [1.0, -1.0])
    net = unit_network(rng, kinks=[*pair, 5.0])
    assert net.to_piecewise().knots.tolist() == [0.0, 5.0]
    x = rng.normal(size=30)
    np.testing.assert_allclose(net.to_piecewise()(x), net(x), atol=1e-14)


@pytest.mark.parametrize("skip", [None, -0.5])
def test_piecewise_form_without_kinks_is_one_knot(skip):
    net = TwoLayerNetwork([0.0], [2.0], [3.0], skip=skip, offset=1.0)
    piecewise = net.to_piecewise()
    slope = 0.0 if skip is None else skip
    assert piecewise.knots.tolist() == [0.0]
    assert piecewise.values.tolist() == [7.0]
    assert (piecewise.left_slope, piecewise.right_slope) == (slope, slope)


def test_piecewise_values_survive_huge_cancelling_neurons():
    # Two steps of height 2^10, each made of two hinges of slope 2^30 that cancel beyond it.
    kinks = np.array([0.0, 2.0**-20, 1.0, 1.0 + 2.0**-20])
    w = 2.0**30 * np.array([1.0, -1.0, -1.0, 1.0])
    net = TwoLayerNetwork(np.ones(4), w, -kinks, offset=0.25)
    piecewise = net.to_piecewise()
    assert piecewise.values.tolist() == [0.25, 1024.25, 1024.25, 0.25]
    assert (piecewise.left_slope, piecewise.right_slope) == (0.0, 0.0)
    assert piecewise(1e6) == 0.25


def test_running_sums_keep_what_plain_sums_lose(rng):
    terms = np.concatenate([[1e16], rng.normal(size=99), [-1e16]])
    exact = np.sum(terms[1:-1])
    assert _kinks.running_sums(terms, [0.0])[-1] == pytest.approx(exact, rel=1e-14)
    assert abs(np.cumsum(terms)[-1] - exact) > 0.01


# ---- object -------------------------------------------------------------------------------------


def test_arrays_are_private_copies_and_read_only():
    w = np.array([1.0])
    net = TwoLayerNetwork([1.0], w, [0.0], offset=0.0, skip=1.0)
    w[0] = 9.0
    for same in (net, pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert same(1.0) == 2.0
        for array in (same.u, same.w, same.b, same.skip, same.offset):
            assert array.dtype == np.float64
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0.0
    with pytest.raises(AttributeError):
        net.w = w


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w": [1.0, 2.0]}, r"w must have shape \(1, 1\).*got \(2, 1\)"),
        ({"b": [1.0, 2.0]}, r"b must have shape \(1,\)"),
        ({"skip": np.eye(2)}, r"skip must have shape \(1, 1\)"),
        ({"offset": [0.0, 0.0]}, r"u must have shape \(1, 2\)"),
        ({"u": [[[1.0]]]}, r"u must have at most 2 axes"),
        ({"u": [np.nan]}, r"u must be finite"),
        ({"offset": np.inf}, r"offset must be finite"),
        ({"w": "one"}, r"w must be numeric"),
        ({"activation": "gelu"}, r"activation must be one of"),
    ],
)
def test_wrong_arguments_are_named(changes, message):
    arguments = {"u": [1.0], "w": [1.0], "b": [0.0], "offset": 0.0, **changes}
    with pytest.raises(ValueError, match=message):
        TwoLayerNetwork(**arguments)


@pytest.mark.parametrize("x", [0.0, np.zeros(2), np.zeros((5, 2))])
def test_wrong_dimensions_are_refused(rng, x):
    net = random_network(rng, 3)
    for method in (net, net.log_density):
        with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 3\)"):
            method(x)
    for name in ("breakpoints", "to_piecewise"):
        with pytest.raises(ValueError, match=f"{name} needs a network of dimension 1"):
            getattr(net, name)()


@pytest.fixture
def rng():
    return np.random.default_rng(5)
