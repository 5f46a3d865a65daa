"""The training loop of SGD and Adam: all runs at once, those that blow up frozen."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from convexscore._tools.progress import progress_bar
from convexscore._tools.typing import Floats
from convexscore.training.history import History, Ints
from convexscore.training.optimizers import SGD, Adam
from convexscore.training.sources import Source


def descend(
    theta: Floats,
    optimizer: SGD | Adam,
    history: History,
    source: Source,
    *,
    rates: Floats,
    streams: Sequence[np.random.Generator],
    stream_of: Ints,
    progress: bool = False,
) -> Floats:
    """Train rows of parameters (R, p) in place.

    Parameters
    ----------
    rates : (R,) learning rates.
    streams : random streams of the restarts, from which their batches and noise are drawn.
    stream_of : (R,) the stream of each run.
    """
    n_epochs = history.epochs[-1]
    active = np.arange(len(theta))
    memory = np.zeros((optimizer.n_memories, *theta.shape))
    seconds, step = 0.0, 0
    value = history.keep(0, 0, theta, 0.0)
    active = active[history.alive(theta, value, active, 0)]
    with progress_bar(n_epochs, show=progress, description="training") as advance:
        for epoch in range(1, n_epochs + 1):
            began = perf_counter()
            for batch in source.epoch(streams) if active.size else ():
                now = theta[active]
                value, gradient = history.loss.gradient(now, batch.take(stream_of[active]))
                gradient *= history.per_sample
                factor = optimizer.factor(step, n_epochs * source.n_steps)
                step += 1
                change = optimizer.step(memory, gradient, factor * rates[active][:, None], step)
                moved = np.subtract(now, change, out=change)
                # a run that blows up keeps the last weights that were in range
                good = history.alive(moved, value, active, step)
                if not good.all():
                    moved, active, memory = moved[good], active[good], memory[:, good]
                theta[active] = moved
                if not active.size:
                    break
            seconds += perf_counter() - began
            advance(1)
            if epoch == history.epochs[len(history.records)]:
                value = history.keep(epoch, epoch * source.n_steps, theta, seconds)
                good = history.alive(theta[active], value[active], active, epoch * source.n_steps)
                active, memory = active[good], memory[:, good]
                if history.stops(epoch, value):
                    history.status[active] = "stopped by the callback"
                    break
    return theta
