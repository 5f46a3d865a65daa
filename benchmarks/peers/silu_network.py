"""A deep peer: three layers of SiLU units trained by Adam on denoising score matching.

The training loop takes any `Net`: the one here is numpy; `torch_networks.SiluNet` is the same in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from time import process_time
from typing import Protocol

import numpy as np
from scipy.special import expit

from benchmarks.harness import Floats

Weights = list[Floats]

_MEMORY, _SQUARE_MEMORY, _TINY = 0.9, 0.999, 1e-8


class Net(Protocol):
    """Noise level times score, and one step of Adam on mean ||net(x) + delta||^2."""

    def __call__(self, x: Floats) -> Floats: ...
    def step(self, x: Floats, delta: Floats, rate: float) -> None: ...
    def frozen(self) -> Callable[[Floats], Floats]: ...


class SiluNet:
    """Two hidden SiLU layers with hand-derived gradients."""

    def __init__(self, weights: Weights) -> None:
        self._weights = [w.copy() for w in weights]
        self._first = [np.zeros_like(w) for w in weights]
        self._second = [np.zeros_like(w) for w in weights]
        self._steps = 0

    def __call__(self, x: Floats) -> Floats:
        return forward(self._weights, x)

    def step(self, x: Floats, delta: Floats, rate: float) -> None:
        self._steps += 1
        _, gradient = loss_and_gradient(self._weights, x, delta)
        for w, g, m, v in zip(self._weights, gradient, self._first, self._second, strict=True):
            m += (1.0 - _MEMORY) * (g - m)
            v += (1.0 - _SQUARE_MEMORY) * (g * g - v)
            unbiased = v / (1.0 - _SQUARE_MEMORY**self._steps)
            w -= rate * m / (1.0 - _MEMORY**self._steps) / (np.sqrt(unbiased) + _TINY)

    def frozen(self) -> Callable[[Floats], Floats]:
        weights = [w.copy() for w in self._weights]
        return lambda x: forward(weights, x)


@dataclass(frozen=True)
class Trained:
    """The score of the best weights on held-out points, the steps done and the step of the best."""

    score: Callable[[Floats], Floats]
    steps: int
    best_step: int


def train_silu_score(
    x: Floats,
    *,
    noise: float,
    seconds: float,
    width: int = 128,
    batch: int = 256,
    rate: float = 2e-3,
    most_steps: int = 100_000,
    held_out: float = 0.15,
    look_every: int = 100,
    rng: np.random.Generator,
    net: Callable[[Weights], Net] = SiluNet,
) -> Trained:
    r"""Minimise the mean of :math:`\|\varepsilon s(x + \varepsilon\delta) + \delta\|^2`, fresh noise.

    The network is d - width - width - d with two hidden SiLU layers (three layers of weights).  It is
    trained for ``seconds`` of processor time, at most ``most_steps`` steps, while the learning rate
    falls along a cosine; the weights with the smallest loss on held-out points are kept.
    """
    points = x.reshape(len(x), -1)
    mean, scale = points.mean(axis=0), float(np.sqrt(points.var(axis=0).mean()))
    z, level = (points - mean) / scale, noise / scale
    order = rng.permutation(len(z))
    n_held = max(1, int(held_out * len(z)))
    held, train = z[order[:n_held]], z[order[n_held:]]
    # many displacements of each held-out point, the same at every look
    copies = np.repeat(held, max(1, 4000 // n_held), axis=0)
    shift = rng.standard_normal(copies.shape)
    model = net(initial_weights(z.shape[1], width, rng))
    best, smallest, best_step = model.frozen(), np.inf, 0
    started, step = process_time(), 0
    while step < most_steps:
        used = max((process_time() - started) / seconds, step / most_steps)
        if used >= 1.0:
            break
        step += 1
        drawn = train[rng.integers(len(train), size=batch)]
        delta = rng.standard_normal(drawn.shape)
        model.step(drawn + level * delta, delta, rate * 0.5 * (1.0 + np.cos(np.pi * used)))
        if step % look_every == 0:
            loss = float(np.mean((model(copies + level * shift) + shift) ** 2))
            if loss < smallest:
                best, smallest, best_step = model.frozen(), loss, step

    def score(at: Floats) -> Floats:
        inside = (at.reshape(len(at), -1) - mean) / scale
        return (best(inside) / (level * scale)).reshape(at.shape)

    return Trained(score, step, best_step)


def initial_weights(dim: int, width: int, rng: np.random.Generator) -> Weights:
    """Uniform in +-1 / sqrt(fan in): three matrices, each followed by its bias."""
    sizes = (dim, width, width, dim)
    out: Weights = []
    for rows, columns in pairwise(sizes):
        bound = rows**-0.5
        out += [rng.uniform(-bound, bound, (rows, columns)), rng.uniform(-bound, bound, columns)]
    return out


def forward(weights: Weights, x: Floats) -> Floats:
    """Noise level times score."""
    for k in (0, 2):
        x = x @ weights[k] + weights[k + 1]
        x = x * expit(x)
    return x @ weights[4] + weights[5]


def loss_and_gradient(weights: Weights, x: Floats, delta: Floats) -> tuple[float, Weights]:
    """Mean over rows of ||network(x) + delta||^2 and its gradient in every weight."""
    inputs, gates, sums = [x], [], []
    for k in (0, 2):
        total = inputs[-1] @ weights[k] + weights[k + 1]
        gate = expit(total)
        sums.append(total)
        gates.append(gate)
        inputs.append(total * gate)
    rest = inputs[-1] @ weights[4] + weights[5] + delta
    back = 2.0 * rest / len(x)
    gradient: Weights = []
    for layer in (2, 1, 0):
        gradient = [inputs[layer].T @ back, back.sum(axis=0), *gradient]
        if layer:
            gate, total = gates[layer - 1], sums[layer - 1]
            back = (back @ weights[2 * layer].T) * gate * (1.0 + total * (1.0 - gate))
    return float((rest**2).sum() / len(x)), gradient
