"""Conservative networks: their log-density against finite differences and direct sums."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from oracles import ACTIVATIONS, sigma

import convexscore.scores.potential as potential_module
from convexscore import PiecewiseLinearScore, TwoLayerNetwork


def ridge_network(rng, d, activation="relu", *, skip=True, n_neurons=6, scale=1.0):
    """s = sum y u sigma(u.x + b) + V x + c with u of many lengths, for x of size ``scale``."""
    length = 10.0 ** rng.uniform(-3, 3, size=(n_neurons, 1))
    u = rng.normal(size=(n_neurons, d)) * length
    y = rng.normal(size=(n_neurons, 1)) / length**2 / scale**2
    V = rng.normal(size=(d, d)) / scale**2
    return TwoLayerNetwork(
        u,
        y * u,
        rng.normal(size=n_neurons) * length[:, 0] * scale,
        skip=V + V.T if skip else None,
        offset=rng.normal(size=d) / scale,
        activation=activation,
    )


def slow_log_density(net, point):
    """The sum of the docstring, term by term, without the choice of the constant."""
    total = float(net.offset @ point)
    for u, w, b in zip(net.u, net.w, net.b, strict=True):
        y = float(u @ w) / float(u @ u)
        z = float(u @ point) + b
        total += 0.5 * y * z * sigma(net.activation, z)
    return total if net.skip is None else total + 0.5 * float(point @ net.skip @ point)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_score_is_the_gradient_of_the_log_density(d, activation, skip, scale):
    rng = np.random.default_rng(d)
    net = ridge_network(rng, d, activation, skip=skip, scale=scale)
    x = scale * rng.normal(size=(300, d))
    step = 1e-4 * scale
    # on one piece the log-density is quadratic: central differences are exact there
    distance = np.abs(x @ net.u.T + net.b) / np.linalg.norm(net.u, axis=1)
    x = x[distance.min(axis=1) > 2 * step]
    assert len(x) > 200
    assert net.is_conservative()
    moves = step * np.eye(d)
    ahead = net.log_density(x[:, None, :] + moves)
    behind = net.log_density(x[:, None, :] - moves)
    assert ahead.shape == (len(x), d)
    difference = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(difference, net(x), atol=2e-9 * np.abs(net(x)).max(), rtol=0)


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
def test_differences_equal_the_direct_sum(d, activation):
    rng = np.random.default_rng(10 + d)
    net = ridge_network(rng, d, activation)
    x = rng.normal(size=(40, d))
    slow = np.array([slow_log_density(net, point) for point in x])
    fast = net.log_density(x)
    np.testing.assert_allclose(fast - fast[0], slow - slow[0], atol=1e-11 * np.ptp(slow))


@pytest.mark.parametrize("d", [2, 5])
def test_jacobians_are_symmetric_only_for_conservative_networks(d):
    rng = np.random.default_rng(d)
    x = rng.normal(size=(30, d))
    net = ridge_network(rng, d)
    assert net.jacobian_asymmetry(x).max() < 1e-12
    other = replace(net, w=net.w[::-1])
    J = other.jacobian(x)
    slow = [np.linalg.norm(j - j.T, "fro") / np.linalg.norm(j, "fro") for j in J]
    np.testing.assert_allclose(other.jacobian_asymmetry(x), slow, atol=1e-14)
    assert max(slow) > 0.1 and not other.is_conservative()


def test_range_of_the_asymmetry():
    def of(V, factor=1.0):
        none = np.zeros((0, 2))
        net = TwoLayerNetwork(none, none, [], skip=factor * np.array(V), offset=[0, 0])
        return net.jacobian_asymmetry([[3.0, 4.0]]).tolist()

    assert of([[1.0, 2.0], [2.0, 5.0]]) == [0.0] == of([[0.0, 0.0], [0.0, 0.0]])
    for factor in (1e-200, 1.0, 1e200):
        assert of([[0.0, 1.0], [-1.0, 0.0]], factor) == pytest.approx([2.0])
        assert of([[1.0, 1.0], [-1.0, 1.0]], factor) == pytest.approx([np.sqrt(2)])


def test_one_column_is_always_conservative_and_agrees_with_the_exact_law():
    rng = np.random.default_rng(0)
    net = TwoLayerNetwork(
        rng.normal(size=5), -rng.uniform(size=5), rng.normal(size=5), skip=-2.0, offset=0.4
    )
    assert net.is_conservative()
    law: PiecewiseLinearScore = net.to_piecewise()
    x = np.linspace(-4, 4, 50)
    assert law.is_integrable
    np.testing.assert_allclose(np.ptp(net.log_density(x) - law.log_density(x)), 0.0, atol=1e-12)
    assert (net.jacobian_asymmetry(x) == 0.0).all()


def test_shapes_follow_those_of_the_divergence():
    rng = np.random.default_rng(0)
    for d, shapes in [(1, [(), (4,), (4, 1), (2, 3, 1)]), (3, [(3,), (4, 3), (2, 4, 3)])]:
        net = ridge_network(rng, d)
        for shape in shapes:
            x = rng.normal(size=shape)
            expected = net.divergence(x).shape
            assert net.log_density(x).shape == expected == net.jacobian_asymmetry(x).shape


def test_what_has_no_log_density_is_refused_with_the_worst_asymmetry():
    u, w = np.eye(3), -np.eye(3)
    w[1] = [0.0, -1.0, 1.0]
    net = TwoLayerNetwork(u, w, np.zeros(3), offset=np.zeros(3))
    with pytest.raises(
        ValueError, match=r"Jacobian is not symmetric.*neuron 1.* 0\.71.*constraint='gradient'"
    ):
        net.log_density(np.zeros((1, 3)))
    skew = TwoLayerNetwork(u, -u, np.zeros(3), skip=np.triu(np.ones((3, 3))), offset=np.zeros(3))
    with pytest.raises(ValueError, match=r"V is not symmetric \(largest \|V - V'\| is 1 of max"):
        skew.log_density(np.zeros((1, 3)))
    assert not net.is_conservative() and net.is_conservative(rtol=0.8)


@pytest.mark.parametrize("angle", [1e-8, 1e-10])
def test_small_angles_are_resolved(angle):
    u = np.array([[3e-120, 4e-120]])
    w = 1e200 * np.array([[0.6 - 0.8 * angle, 0.8 + 0.6 * angle]])
    net = TwoLayerNetwork(u, w, [0.0], offset=[0.0, 0.0])
    assert net.is_conservative() == (angle < 1e-9)
    assert net.is_conservative(rtol=2 * angle) and not net.is_conservative(rtol=angle / 2)


def test_dead_neurons_are_constants():
    u = [[0.0, 0.0], [1.0, 2.0], [1.0, 0.0]]
    w = [[1.0, -2.0], [0.0, 0.0], [-1.0, 0.0]]
    net = TwoLayerNetwork(u, w, [3.0, 1.0, 0.0], offset=[0.5, 0.0])
    assert net.is_conservative()
    # s = 3 (1, -2) + (1/2, 0) - e_1 max(x_1, 0)
    values = net.log_density([[0.0, 0.0], [2.0, 1.0]])
    assert values[1] - values[0] == pytest.approx(7.0 - 6.0 - 2.0)


def test_digits_survive_a_large_common_offset():
    rng = np.random.default_rng(4)
    near = ridge_network(rng, 3, n_neurons=8)
    shift = np.full(3, 1e7)
    far = replace(near, b=near.b - near.u @ shift, offset=near.offset - near.skip @ shift)
    x = rng.normal(size=(30, 3))
    expected = near.log_density(x) - near.log_density(x[:1])
    moved = far.log_density(x + shift) - far.log_density(x[:1] + shift)
    # rounding of data and biases is 1e-9 here, x'Vx/2 + c.x would leave 1e-2
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    naive = [slow_log_density(far, point) for point in x + shift]
    assert np.abs(np.subtract(naive, naive[0]) - expected).max() > 1e-3


def test_one_kink_far_out_leaves_the_digits_of_the_others():
    net = TwoLayerNetwork(
        [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]],
        [[-1.0, 0.0], [0.0, -1.0], [-1.0, -1.0], [1.0, 0.0]],
        [0.5, -0.2, 0.1, -1e15],
        skip=-np.eye(2),
        offset=[0.0, 0.0],
    )
    x = np.array([[0.0, 0.0], [1.0, 1.0]])
    values = net.log_density(x)
    slow = [slow_log_density(net, point) for point in x]
    assert values[1] - values[0] == pytest.approx(slow[1] - slow[0], abs=1e-12)


def test_blocks_and_copies(monkeypatch):
    rng = np.random.default_rng(5)
    net = ridge_network(rng, 2)
    x = rng.normal(size=(50, 2))
    whole = net.log_density(x), net.jacobian_asymmetry(x)
    monkeypatch.setattr(potential_module, "_BLOCK", 30)
    np.testing.assert_allclose(net.log_density(x), whole[0], rtol=1e-13)
    np.testing.assert_allclose(net.jacobian_asymmetry(x), whole[1], atol=1e-13)
    again = pickle.loads(pickle.dumps(net))
    np.testing.assert_array_equal(again.log_density(x), net.log_density(x))
