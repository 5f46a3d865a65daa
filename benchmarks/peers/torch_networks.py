"""PyTorch as an independent peer: the same networks by autograd and ``torch.optim.Adam``.  Optional.

Nothing here shares code with `convexscore.training`: gradients come from autograd, weights from
``torch.nn.Linear``, updates from ``torch.optim``, all in torch's single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.harness import Floats
from benchmarks.peers.silu_network import Weights
from convexscore import TwoLayerNetwork
from convexscore.objectives import ScoreObjective


def installed() -> bool:
    """Whether torch can be imported."""
    return find_spec("torch") is not None


@contextmanager
def one_thread() -> Iterator[Any]:
    """torch on one thread, as everybody else."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield torch
    finally:
        torch.set_num_threads(before)


# ---------------------------------------------------------------------- two layers
def train_two_layers(
    problem: ScoreObjective,
    *,
    beta: float,
    width: int,
    skip: bool,
    rate: float,
    batch: int,
    n_epochs: int,
    record: tuple[int, ...],
    seed: int,
) -> list[tuple[float, TwoLayerNetwork]]:
    r"""One run of Adam on mini-batches of B points; (seconds, network) at the epochs of ``record``.

    A step descends :math:`\frac1B\sum_i [\tfrac12\|s - l\|^2 + \delta\operatorname{tr}\nabla s]
    + \frac{\beta}{2n}\sum_j(\|u_j\|^2 + \|w_j\|^2)`, the objective over n on average, on standardised
    points, which is the same problem.  The clock stands still while networks are copied.
    """
    points = problem.points
    mean, scale = points.mean(axis=0), float(points.std())
    with one_thread() as torch:
        stream = torch.Generator().manual_seed(seed)
        x = torch.tensor((points - mean) / scale, dtype=torch.float32)
        labels = problem.labels
        target = None if labels is None else torch.tensor(labels * scale, dtype=torch.float32)
        n, d = x.shape
        layers = two_layers(torch, d, width, skip, stream)
        optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], lr=rate)
        kept, seconds = [], 0.0
        for epoch in range(n_epochs + 1):
            if epoch in record:
                kept.append((seconds, network_of(layers, mean, scale)))
            if epoch == n_epochs:
                return kept
            started = perf_counter()
            for rows in torch.randperm(n, generator=stream).split(batch):
                optimizer.zero_grad()
                at = None if target is None else target[rows]
                loss = objective(layers, x[rows], at, problem.divergence, beta / n)
                loss.backward()
                optimizer.step()
            seconds += perf_counter() - started
    raise AssertionError("the last epoch returns")


def two_layers(torch: Any, d: int, width: int, skip: bool, stream: Any) -> list[Any]:
    """Inner, outer and skip layer with torch's own initialisation: uniform in +-1 / sqrt(fan in)."""
    layers = [torch.nn.Linear(d, width), torch.nn.Linear(width, d)]
    if skip:
        layers.append(torch.nn.Linear(d, d, bias=False))
    with torch.no_grad():
        for layer in layers:
            bound = layer.in_features**-0.5
            for weight in layer.parameters():
                weight.uniform_(-bound, bound, generator=stream)
    return layers


def objective(layers: list[Any], x: Any, labels: Any, divergence: float, decay: float) -> Any:
    """Mean over the rows of the data part, and the weight decay."""
    inner, outer = layers[:2]
    before = inner(x)
    score = outer(before.relu())
    if len(layers) > 2:
        score = score + layers[2](x)
    rest = score if labels is None else score - labels
    loss = 0.5 * (rest * rest).sum() / len(x)
    if divergence:
        # tr grad s is the sum of w_j . u_j over the active neurons, and tr V
        each = (outer.weight.T * inner.weight).sum(dim=1)
        trace = ((before > 0).to(x.dtype) @ each).sum() / len(x)
        if len(layers) > 2:
            trace = trace + layers[2].weight.trace()
        loss = loss + divergence * trace
    squares = (inner.weight**2).sum() + (outer.weight**2).sum()
    return loss + 0.5 * decay * squares


def network_of(layers: list[Any], mean: Floats, scale: float) -> TwoLayerNetwork:
    """The package's network of the data's own units: s(x) = S((x - mean) / scale) / scale."""
    inner, outer = layers[:2]
    u, b = _array(inner.weight) / scale, _array(inner.bias)
    offset = _array(outer.bias) / scale
    V = None
    if len(layers) > 2:
        V = _array(layers[2].weight) / scale**2
        offset = offset - V @ mean
    return TwoLayerNetwork(u, _array(outer.weight).T / scale, b - u @ mean, skip=V, offset=offset)


def _array(weight: Any) -> Floats:
    return np.asarray(weight.detach().numpy(), dtype=np.float64)


# ---------------------------------------------------------------------- three layers
class SiluNet:
    """`silu_network.SiluNet` with torch's layers, autograd and Adam, from the same first weights."""

    def __init__(self, weights: Weights) -> None:
        import torch

        self._torch = torch
        parts: list[Any] = []
        for matrix, bias in zip(weights[::2], weights[1::2], strict=True):
            layer = torch.nn.Linear(*matrix.shape)
            with torch.no_grad():
                layer.weight.copy_(torch.as_tensor(matrix.T))
                layer.bias.copy_(torch.as_tensor(bias))
            parts += [layer, torch.nn.SiLU()]
        self._model = torch.nn.Sequential(*parts[:-1])
        self._optimizer = torch.optim.Adam(self._model.parameters())

    def __call__(self, x: Floats) -> Floats:
        return self._output(self._model, x)

    def step(self, x: Floats, delta: Floats, rate: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad()
        rest = self._model(self._tensor(x)) + self._tensor(delta)
        ((rest * rest).sum() / len(x)).backward()
        self._optimizer.step()

    def frozen(self) -> Callable[[Floats], Floats]:
        return partial(self._output, deepcopy(self._model))

    def _output(self, model: Any, x: Floats) -> Floats:
        with self._torch.no_grad():
            return np.asarray(model(self._tensor(x)).numpy(), dtype=np.float64)

    def _tensor(self, x: Floats) -> Any:
        return self._torch.as_tensor(x, dtype=self._torch.float32)
