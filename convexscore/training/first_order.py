"""The training loop of SGD and Adam: all runs at once, those that blow up frozen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.progress import progress_bar
from convexscore.training.history import STOPPED, Callback, Clock, History
from convexscore.training.learning_rates import checked_factor, get_schedule
from convexscore.training.loss import TrainingLoss
from convexscore.training.optimizers import SGD, Adam
from convexscore.training.sources import EpochSource

Floats = NDArray[np.float64]


def descend(
    theta: Floats,
    loss: TrainingLoss,
    source: EpochSource,
    optimizer: SGD | Adam,
    history: History,
    *,
    rates: Floats,
    streams: Sequence[np.random.Generator],
    stream_of: NDArray[np.intp],
    n_epochs: int,
    per_sample: float,
    callback: Callback | None = None,
    progress: bool = False,
) -> Floats:
    """Train rows of parameters (R, p) in place.

    Parameters
    ----------
    rates : (R,) learning rates.
    streams : random streams of the restarts, from which their batches and noise are drawn.
    stream_of : (R,) the stream of each run.
    per_sample : gradients are multiplied by this before the optimiser sees them.
    """
    schedule = get_schedule(optimizer.schedule)
    n_steps = n_epochs * source.n_steps
    active = np.arange(len(theta))
    state = optimizer.start(theta.shape)
    clock, step = Clock(), 0
    active = history.keep(0, 0, theta, 0.0, active)
    with progress_bar(n_epochs, show=progress, description="training") as advance:
        for epoch in range(n_epochs):
            clock.start()
            if active.size:
                for batch in source.epoch(streams):
                    part = batch.of_runs(stream_of[active])
                    now = theta[active]
                    value, gradient = loss.gradient(now, part)
                    gradient *= per_sample
                    factor = checked_factor(schedule, step, n_steps)
                    change = optimizer.step(state, gradient, factor * rates[active][:, None])
                    np.subtract(now, change, out=change)
                    # a run that blows up keeps the last weights that were in range
                    bad = history.blown_up(value, active)
                    bad |= ~(np.abs(change).max(axis=1) <= history.weight_limit[active])
                    step += 1
                    if bad.any():
                        history.end(active[bad], value[bad], step)
                        change, active = change[~bad], active[~bad]
                        state.keep(~bad)
                    theta[active] = change
                    if not active.size:
                        break
            seconds = clock.stop()
            advance(1)
            if history.is_due(epoch + 1):
                left = history.keep(epoch + 1, (epoch + 1) * source.n_steps, theta, seconds, active)
                state.keep(np.isin(active, left))
                active = left
                if callback is not None and callback(epoch + 1, _losses(history)) is True:
                    history.status[active] = STOPPED
                    break
    return theta


def _losses(history: History) -> Floats:
    """The newest objectives (R,) for a callback, which cannot change them."""
    k = history.n_kept - 1
    losses: Floats = history.data[:, k] + history.loss.beta * history.decay[:, k]
    losses.flags.writeable = False
    return losses
