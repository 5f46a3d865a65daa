"""Where training starts: random weights, or a network that is there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice
from convexscore.objectives.standardization import Standardization
from convexscore.scores.network import TwoLayerNetwork
from convexscore.training.parameters import Layout

Initialization: TypeAlias = str | TwoLayerNetwork


def through_data(points: Floats, layout: Layout, rng: np.random.Generator) -> TwoLayerNetwork:
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
    return TwoLayerNetwork(
        u * root, w / root, -(u * at).sum(axis=1) * root[:, 0], offset=np.zeros(d)
    )


def fan_in(points: Floats, layout: Layout, rng: np.random.Generator) -> TwoLayerNetwork:
    """Uniform in +-1/sqrt(fan-in) for every weight and bias, the habit of deep-learning frameworks."""
    d, m = layout.dim, layout.width
    inner = rng.uniform(-1.0, 1.0, size=(m, d + 1)) / np.sqrt(d)
    outer = rng.uniform(-1.0, 1.0, size=(m, d)) / np.sqrt(m)
    linear = rng.uniform(-1.0, 1.0, size=(d, d + 1)) / np.sqrt(d)
    offset = linear[:, -1] * np.sqrt(d / m)
    return TwoLayerNetwork(inner[:, :-1], outer, inner[:, -1], skip=linear[:, :-1], offset=offset)


_BY_NAME = {"data": through_data, "fan_in": fan_in}


def initial_parameters(
    initialization: Initialization,
    points: Floats,
    layout: Layout,
    units: Standardization,
    streams: Sequence[np.random.Generator],
) -> Floats:
    """Parameters (K, p) of the restarts; ``points`` are in the units of training."""
    if isinstance(initialization, TwoLayerNetwork):
        _check_network(initialization, layout)
        return np.array([layout.pack(units.network_forward(initialization))] * len(streams))
    check_choice(initialization, tuple(_BY_NAME), name="initialization")
    draw = _BY_NAME[initialization]
    return np.array([layout.pack(draw(points, layout, rng)) for rng in streams])


def _check_network(network: TwoLayerNetwork, layout: Layout) -> None:
    found = (network.dim, network.n_neurons, network.activation)
    wanted = (layout.dim, layout.width, layout.activation)
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
