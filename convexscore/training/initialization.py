"""Where training starts: random weights, or a network that is there already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.activations import Activation
from convexscore.scores.network import TwoLayerNetwork
from convexscore.training.parameters import Layout, Units, Weights

Floats = NDArray[np.float64]
Initialization: TypeAlias = str | TwoLayerNetwork | Sequence[TwoLayerNetwork]


def through_data(points: Floats, layout: Layout, rng: np.random.Generator) -> Weights:
    """Kinks through the data, neurons balanced: |u| = |w|.

    Directions are uniform; every kink passes through a random point between two data points, so that
    no neuron is born dead or linear on all data.  Outer weights of unit neurons are N(0, 1/m); V = 0,
    c = 0.
    """
    n, d, m = len(points), layout.dim, layout.width
    u = rng.standard_normal((m, d))
    u /= np.sqrt((u * u).sum(axis=1, keepdims=True))
    first, second = points[rng.integers(n, size=m)], points[rng.integers(n, size=m)]
    at = first + rng.random((m, 1)) * (second - first)
    w = rng.standard_normal((m, d)) / np.sqrt(m)
    if layout.conservative:  # w along u, of the same size
        w = np.sqrt((w * w).sum(axis=1, keepdims=True)) * u * rng.choice([-1.0, 1.0], size=(m, 1))
    root = np.sqrt(np.sqrt((w * w).sum(axis=1, keepdims=True)))
    inner = np.column_stack([u, -(u * at).sum(axis=1)]) * root
    return Weights(inner[None], (w / root)[None], np.zeros((1, d, d + 1)))


def fan_in(points: Floats, layout: Layout, rng: np.random.Generator) -> Weights:
    """Uniform in +-1/sqrt(fan-in) for every weight and bias, the habit of deep-learning frameworks."""
    d, m = layout.dim, layout.width
    inner = rng.uniform(-1.0, 1.0, size=(m, d + 1)) / np.sqrt(d)
    outer = rng.uniform(-1.0, 1.0, size=(m, d)) / np.sqrt(m)
    linear = rng.uniform(-1.0, 1.0, size=(d, d + 1)) / np.sqrt(d)
    linear[:, -1] *= np.sqrt(d / m)
    return Weights(inner[None], outer[None], linear[None])


def he(points: Floats, layout: Layout, rng: np.random.Generator) -> Weights:
    """Normal, u with variance 2/d, w with variance 1/m; biases, V and c zero (He et al. 2015)."""
    d, m = layout.dim, layout.width
    inner = np.zeros((m, d + 1))
    inner[:, :-1] = np.sqrt(2.0 / d) * rng.standard_normal((m, d))
    outer = rng.standard_normal((m, d)) / np.sqrt(m)
    return Weights(inner[None], outer[None], np.zeros((1, d, d + 1)))


_BY_NAME: dict[str, Callable[[Floats, Layout, np.random.Generator], Weights]] = {
    "data": through_data,
    "fan_in": fan_in,
    "he": he,
}


def initial_parameters(
    initialization: Initialization,
    points: Floats,
    layout: Layout,
    units: Units,
    streams: Sequence[np.random.Generator],
    activation: Activation,
) -> Floats:
    """Parameters (K, p) of the restarts; ``points`` are in the units of training."""
    if isinstance(initialization, str) and initialization in _BY_NAME:
        draw = _BY_NAME[initialization]
        return np.concatenate([layout.pack(draw(points, layout, rng)) for rng in streams])
    networks = given_networks(initialization)
    if networks is None:
        names = ", ".join(repr(name) for name in _BY_NAME)
        raise ValueError(
            f"initialization must be one of {names}, a TwoLayerNetwork, or one network per restart; "
            f"got {initialization!r}."
        )
    if len(networks) not in (1, len(streams)):
        raise ValueError(
            f"initialization has {len(networks)} networks for n_restarts = {len(streams)}; pass one "
            "network for all, or one per restart."
        )
    for network in networks:
        _check_network(network, layout, activation)
    rows = [units.parameters(layout, network) for network in networks]
    return np.array(rows if len(rows) == len(streams) else rows * len(streams))


def given_networks(initialization: Initialization) -> list[TwoLayerNetwork] | None:
    """The networks to start from, or None if weights are to be drawn."""
    if isinstance(initialization, TwoLayerNetwork):
        return [initialization]
    if isinstance(initialization, str) or not isinstance(initialization, Sequence):
        return None
    networks = [net for net in initialization if isinstance(net, TwoLayerNetwork)]
    return networks if len(networks) == len(initialization) > 0 else None


def _check_network(network: TwoLayerNetwork, layout: Layout, activation: Activation) -> None:
    found = (network.dim, network.n_neurons, network.activation)
    wanted = (layout.dim, layout.width, activation)
    if found != wanted:
        raise ValueError(
            f"initialization: a network of dimension {found[0]} with {found[1]} {found[2]} neurons "
            f"cannot start the training of dimension {wanted[0]} with {wanted[1]} {wanted[2]} neurons. "
            "Leave width=None, and match X and activation."
        )
    if network.skip is not None and network.skip.any() and not layout.skip:
        raise ValueError("initialization: the network has a skip connection; train with skip=True.")
    if layout.conservative and not network.is_conservative():
        raise ValueError("initialization: the network is no gradient; train with constraint=None.")
