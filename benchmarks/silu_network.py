"""A deep peer: three layers of SiLU units trained by Adam on denoising score matching, in numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from time import process_time

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
Weights = list[Floats]

_MEMORY, _SQUARE_MEMORY, _TINY = 0.9, 0.999, 1e-8


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
    decay_over: int = 20_000,
    held_out: float = 0.15,
    look_every: int = 100,
    rng: np.random.Generator,
) -> Trained:
    r"""Minimise the mean of :math:`\|\varepsilon s(x + \varepsilon\delta) + \delta\|^2`, fresh noise.

    The network is d - width - width - d with two hidden SiLU layers (three layers of weights).  It is
    trained for ``seconds`` of processor time, at most ``decay_over`` steps, while the learning rate
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
    weights = initial_weights(z.shape[1], width, rng)
    first = [np.zeros_like(w) for w in weights]
    second = [np.zeros_like(w) for w in weights]
    best, smallest, best_step = [w.copy() for w in weights], np.inf, 0
    started, step = process_time(), 0
    while step < decay_over:
        used = max((process_time() - started) / seconds, step / decay_over)
        if used >= 1.0:
            break
        step += 1
        drawn = train[rng.integers(len(train), size=batch)]
        delta = rng.standard_normal(drawn.shape)
        _, gradient = loss_and_gradient(weights, drawn + level * delta, delta)
        now = rate * 0.5 * (1.0 + np.cos(np.pi * used))
        for w, g, m, v in zip(weights, gradient, first, second, strict=True):
            m += (1.0 - _MEMORY) * (g - m)
            v += (1.0 - _SQUARE_MEMORY) * (g * g - v)
            unbiased = v / (1.0 - _SQUARE_MEMORY**step)
            w -= now * m / (1.0 - _MEMORY**step) / (np.sqrt(unbiased) + _TINY)
        if step % look_every == 0:
            loss = float(np.mean((forward(weights, copies + level * shift) + shift) ** 2))
            if loss < smallest:
                best, smallest, best_step = [w.copy() for w in weights], loss, step

    def score(at: Floats) -> Floats:
        inside = (at.reshape(len(at), -1) - mean) / scale
        return (forward(best, inside) / (level * scale)).reshape(at.shape)

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
