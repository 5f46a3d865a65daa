"""scikit-learn's MLPRegressor as a peer: Adam on the objective that the convex fit minimises.

It descends, per batch of B rows, 1/(2 B) ||f - l||^2 + alpha / (2 B) (||U||^2 + ||W||^2) without the
biases.  With alpha = beta B / n that is our objective over n on average over the batches, because the
least (||u||^2 + ||w||^2) / 2 of a neuron is ||u|| ||w||.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Floats, Row, once
from convexscore import TwoLayerNetwork


@dataclass(frozen=True, eq=False)
class Task:
    """What every side minimises."""

    noisy: Floats
    labels: Floats
    beta: float


def objective(task: Task, network: TwoLayerNetwork) -> float:
    """1/2 ||s - l||^2 + beta sum ||u|| ||w||, with the offset at its best for everybody."""
    rest = task.labels - network(task.noisy)
    rest = rest - rest.mean(axis=0)
    return 0.5 * float(np.einsum("nd,nd->", rest, rest)) + task.beta * network.path_norm()


def adam_run(task: Task, m: int, rate: float, seed: int, *, epochs: int, batch: int) -> Row:
    """One run of MLPRegressor, mapped to the package's network; in a process of its own or not."""
    from sklearn.neural_network import MLPRegressor

    batch = min(batch, len(task.noisy))
    model = MLPRegressor(
        hidden_layer_sizes=(m,),
        solver="adam",
        alpha=task.beta * batch / len(task.noisy),
        batch_size=batch,
        learning_rate_init=rate,
        max_iter=epochs,
        n_iter_no_change=epochs,  # all epochs
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged: the objective says how far
        timing, _ = once(lambda: model.fit(task.noisy, task.labels))
    return {
        "seed": seed,
        "learning rate": rate,
        "epochs": model.n_iter_,
        **timing.row,
        "objective": objective(task, network_of(model)),
    }


def network_of(model: Any) -> TwoLayerNetwork:
    """The network of a fitted MLPRegressor with one hidden layer."""
    (inner, outer), (b, offset) = model.coefs_, model.intercepts_
    return TwoLayerNetwork(inner.T, outer, b, offset=offset)
