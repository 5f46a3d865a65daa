"""What is written down while many networks are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from time import perf_counter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.validation import check_count
from convexscore.training.batches import Batch
from convexscore.training.loss import TrainingLoss

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Callback: TypeAlias = Callable[[int, Floats], Any]

FINISHED, CONVERGED, STALLED, DIVERGED, UNBOUNDED, STOPPED = range(6)
STATUSES = ("finished", "converged", "stalled", "diverged", "unbounded", "stopped by the callback")

# A run has blown up when its objective is this many times the natural size, or the initial one ...
BLOW_UP = 1e8
# ... or a weight is this many times the largest initial one (or 1): its square is still in range.
LARGEST_WEIGHT = 1e12


class Clock:
    """Seconds spent on training: stands still while losses are written down."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._since: float | None = None

    def start(self) -> None:
        self._since = perf_counter()

    def stop(self) -> float:
        """Stand still; returns the seconds so far."""
        if self._since is not None:
            self._elapsed += perf_counter() - self._since
            self._since = None
        return self._elapsed


@dataclass(frozen=True)
class Plan:
    """After which epochs losses and weights are kept; 0 is before the first."""

    epochs: tuple[int, ...]
    snapshots: frozenset[int]

    @classmethod
    def of(cls, n_epochs: int, record: int | ArrayLike, snapshots: int | ArrayLike) -> Plan:
        """From numbers of evenly spaced epochs, or the epochs themselves; the last is always kept."""
        kept = {*chosen_epochs(snapshots, n_epochs, "snapshots"), n_epochs}
        epochs = {0, n_epochs, *chosen_epochs(record, n_epochs, "record"), *kept}
        return cls(tuple(sorted(epochs)), frozenset(kept))


def chosen_epochs(wanted: int | ArrayLike, n_epochs: int, name: str) -> list[int]:
    """Evenly spaced epochs (a number of them) or a list of epochs, checked."""
    if isinstance(wanted, Integral) and not isinstance(wanted, bool):
        count = check_count(wanted, name=name, minimum=0)
        if count == 0:
            return []
        return [
            int(epoch) for epoch in np.round(np.linspace(0, n_epochs, min(count, n_epochs) + 1))
        ]
    epochs = np.asarray(wanted)
    if epochs.ndim != 1 or epochs.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be a number of epochs or a list of integer epochs; got {wanted!r}. Pass for "
            f"example {name}=20."
        )
    if epochs.size and not (epochs.min() >= 0 and epochs.max() <= n_epochs):
        raise ValueError(
            f"{name} holds epochs {epochs.min()} to {epochs.max()}; with n_epochs = {n_epochs} they "
            f"must lie between 0 and {n_epochs}."
        )
    return [int(epoch) for epoch in epochs]


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
    """Losses, times and snapshots of R runs at the planned epochs; all values stay finite."""

    def __init__(self, plan: Plan, loss: TrainingLoss, batch: Batch, theta: Floats) -> None:
        runs = len(theta)
        self.plan, self.loss, self.batch = plan, loss, batch
        shape = (runs, len(plan.epochs))
        self.data, self.decay, self.path_norm = np.empty(shape), np.empty(shape), np.empty(shape)
        self.seconds = np.zeros(shape)
        self.steps = np.zeros(len(plan.epochs), dtype=np.intp)
        self.snapshots: list[Floats] = []
        self.snapshot_epochs: list[int] = []
        self.n_kept = 0
        self.status = np.full(runs, FINISHED)
        self.ended_at = np.full(runs, -1, dtype=np.intp)
        self.limit = np.full(runs, np.inf)
        self.weight_limit = LARGEST_WEIGHT * np.maximum(1.0, np.abs(theta).max(axis=1))
        size = _natural_size(batch, loss)
        self.limit = BLOW_UP * np.maximum(size, np.abs(self.objective(theta)))

    def objective(self, theta: Floats) -> Floats:
        """The objective on the fixed problem (R,)."""
        terms = self.loss.terms(theta, self.batch)
        return terms.data + self.loss.beta * terms.decay

    def blown_up(self, value: Floats, runs: Ints) -> NDArray[np.bool_]:
        """Whether objectives are beyond every plausible value, NaN included."""
        return np.asarray(~(np.abs(value) <= self.limit[runs]))

    def end(self, runs: Ints, value: Floats, step: int) -> None:
        """Runs that blew up: downwards the objective has no minimum."""
        self.status[runs] = np.where(value < -self.limit[runs], UNBOUNDED, DIVERGED)
        self.ended_at[runs] = step

    def is_due(self, epoch: int) -> bool:
        """Whether something is to be kept after this epoch."""
        return self.n_kept < len(self.plan.epochs) and self.plan.epochs[self.n_kept] == epoch

    def keep(self, epoch: int, step: int, theta: Floats, seconds: float, active: Ints) -> Ints:
        """Write down all runs; returns the active runs without those found to have blown up."""
        k = self.n_kept
        terms = self.loss.terms(theta, self.batch)
        self.data[:, k], self.decay[:, k] = terms.data, terms.decay
        self.path_norm[:, k] = terms.path_norm
        self.steps[k], self.seconds[:, k] = step, seconds
        if epoch in self.plan.snapshots:
            self.snapshots.append(theta.copy())
            self.snapshot_epochs.append(epoch)
        self.n_kept += 1
        value = (terms.data + self.loss.beta * terms.decay)[active]
        bad = self.blown_up(value, active)
        if bad.any():
            self.end(active[bad], value[bad], step)
        return active[~bad]


def _natural_size(batch: Batch, loss: TrainingLoss) -> float:
    """Half the squared labels, plus the divergence of the score of a Gaussian of the data's spread."""
    points, share = batch.points[:-1], batch.mass / batch.mass.sum()
    centred = points - (points @ share)[:, None]
    size = loss.layout.dim**2 / float((centred * centred).sum(axis=0) @ share)
    if batch.labels is not None:
        size += 0.5 * float((batch.labels * batch.labels).sum(axis=0) @ share)
    return size * float(batch.mass.sum())
