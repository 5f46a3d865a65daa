"""What is written down while many networks are trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count
from convexscore.training.batches import Batch
from convexscore.training.loss import TrainingLoss

Ints: TypeAlias = NDArray[np.intp]
Callback: TypeAlias = Callable[[int, Floats], Any]

# A run has blown up when its objective is this many times the natural size, or the initial one ...
BLOW_UP = 1e8
# ... or a weight is this many times the largest initial one (or 1): its square is still in range.
LARGEST_WEIGHT = 1e12


def chosen_epochs(wanted: int | ArrayLike, n_epochs: int, name: str) -> set[int]:
    """Evenly spaced epochs (a number of them) or a list of epochs, checked."""
    if np.ndim(wanted) == 0:
        count = check_count(wanted, name=name, minimum=0)
        grid = np.linspace(0, n_epochs, min(count, n_epochs) + 1) if count else np.zeros(0)
        return {int(epoch) for epoch in np.round(grid)}
    epochs = np.asarray(wanted)
    whole = epochs.ndim == 1 and (epochs.dtype.kind in "iu" or not epochs.size)
    if not whole or not ((epochs >= 0) & (epochs <= n_epochs)).all():
        raise ValueError(
            f"{name} must be a number of epochs or a list of epochs between 0 and n_epochs = {n_epochs}; "
            f"got {wanted!r}. Pass for example {name}=20."
        )
    return {int(epoch) for epoch in epochs}


def log_epochs(n_epochs: int, count: int = 100) -> list[int]:
    """About ``count`` epochs evenly spaced on a logarithmic scale, for ``record`` and ``snapshots``.

    Examples
    --------
    >>> from convexscore.training import log_epochs
    >>> log_epochs(1000, 7)
    [0, 1, 4, 16, 63, 251, 1000]
    """
    check_count(n_epochs, name="n_epochs")
    check_count(count, name="count", minimum=2)
    grid = np.round(np.geomspace(1, n_epochs, count - 1)).astype(int)
    return [0, *(int(epoch) for epoch in np.unique(grid))]


class History:
    """Losses, times and snapshots of R runs at the planned epochs; all values stay finite.

    Parameters
    ----------
    theta : (R, p) initial parameters.
    batch : the fixed problem on which losses are reported.
    epochs, snapshots : after which epochs losses, and weights too, are kept; 0 is before the first.
    per_sample : gradients are multiplied by this before an optimiser sees them.
    """

    def __init__(
        self,
        theta: Floats,
        loss: TrainingLoss,
        batch: Batch,
        *,
        epochs: set[int],
        snapshots: set[int],
        per_sample: float,
        callback: Callback | None,
    ) -> None:
        self.loss, self.batch, self.per_sample = loss, batch, per_sample
        self.epochs, self.snapshots, self._callback = sorted(epochs), snapshots, callback
        self.records: list[tuple[int, int, Floats, Floats, Floats]] = []
        self.kept: list[tuple[int, Floats]] = []
        self.status = np.full(len(theta), "finished", dtype=object)
        self.ended_at = np.full(len(theta), -1, dtype=np.intp)
        self.weight_limit = LARGEST_WEIGHT * np.maximum(1.0, np.abs(theta).max(axis=1))
        size = _natural_size(batch, loss)
        self.limit = BLOW_UP * np.maximum(size, np.abs(loss.values(theta, batch)[0]))

    def alive(self, theta: Floats, value: Floats, runs: Ints, step: int) -> NDArray[np.bool_]:
        """Which of some runs go on; the others are marked as blown up, those with NaN included."""
        good = np.abs(value) <= self.limit[runs]
        good &= np.abs(theta).max(axis=1) <= self.weight_limit[runs]
        lost = runs[~good]
        # downwards the objective has no minimum
        down = value[~good] < -self.limit[lost]
        self.status[lost], self.ended_at[lost] = np.where(down, "unbounded", "diverged"), step
        return np.asarray(good)

    def keep(self, epoch: int, step: int, theta: Floats, seconds: float | Floats) -> Floats:
        """Write down all runs; returns their objectives (R,)."""
        losses, path_losses = self.loss.values(theta, self.batch)
        self.records.append((epoch, step, losses, path_losses, seconds + np.zeros(len(theta))))
        if epoch in self.snapshots:
            self.kept.append((epoch, theta.copy()))
        return losses

    def stops(self, number: int, losses: Floats) -> bool:
        """Whether the callback, which cannot change the objectives (R,), ends the training."""
        losses = losses.copy()
        losses.flags.writeable = False
        return self._callback is not None and self._callback(number, losses) is True


def _natural_size(batch: Batch, loss: TrainingLoss) -> float:
    """Half the squared labels, plus the divergence of the score of a Gaussian of the data's spread."""
    points, share = batch.points[:-1], batch.mass / batch.mass.sum()
    centred = points - (points @ share)[:, None]
    size = loss.layout.dim**2 / float((centred * centred).sum(axis=0) @ share)
    size += 0.5 * float((batch.labels * batch.labels).sum(axis=0) @ share)
    return size * float(batch.mass.sum())
