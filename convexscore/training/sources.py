"""What training sees: a fixed problem, its mini-batches, or noise drawn afresh every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_weighted_points
from convexscore.objectives.objective import DEFAULT_DRAWS, ScoreObjective, denoising
from convexscore.objectives.smoothed_labels import smoothed_score
from convexscore.objectives.standardization import Standardization
from convexscore.training.batches import Batch, columns_of, joined, rows_of


@dataclass(frozen=True, eq=False)
class FreshNoise:
    r"""Denoising score matching whose noise is drawn afresh in every epoch, for every restart.

    Training then descends the expectation over the noise; losses are reported on one fixed draw,
    ``problem``, the same as ``objectives.denoising`` makes with this ``random_state``.

    Parameters
    ----------
    X : array_like of shape (n,) or (n, d)
    noise : float
        Noise level epsilon > 0 in the units of X.
    n_draws : int
        Noisy copies of each point per epoch, and in ``problem``.
    labels : {"noisy", "smoothed"}
        As in `convexscore.objectives.denoising`.  Smoothed ones cost O(n^2 d) per epoch and restart.
    sample_weight : array_like of shape (n,), optional
    random_state : None, int, Generator or RandomState
        Noise of ``problem``.

    Attributes
    ----------
    problem : ScoreObjective
        The fixed draw on which losses are reported.

    Examples
    --------
    >>> from convexscore.training import FreshNoise
    >>> source = FreshNoise([0.0, 1.0, 3.0], noise=0.5, n_draws=2, random_state=0)
    >>> source.problem.points.shape
    (6, 1)
    """

    X: ArrayLike
    noise: float
    n_draws: int = DEFAULT_DRAWS
    labels: str = "noisy"
    sample_weight: ArrayLike | None = None
    random_state: RandomState = None
    problem: ScoreObjective = field(init=False)
    points: Floats = field(init=False, repr=False)
    weights: Floats | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        points, weights = check_weighted_points(self.X, self.sample_weight)
        problem = denoising(
            self.X,
            noise=self.noise,
            n_draws=self.n_draws,
            labels=self.labels,
            sample_weight=self.sample_weight,
            random_state=self.random_state,
        )
        for name, value in {"points": points, "weights": weights, "problem": problem}.items():
            object.__setattr__(self, name, value)


class Source:
    """Batches of one epoch: all points, or points in a random order of each stream cut into batches.

    With `FreshNoise` every stream draws new noise in every epoch.  Masses are multiplied by n / batch
    size: every batch is a uniform sample without replacement, and its gradient has the gradient on all
    points as its mean.
    """

    def __init__(
        self,
        problem: ScoreObjective,
        fresh: FreshNoise | None,
        units: Standardization,
        batch_size: int | None,
    ) -> None:
        """``problem`` is in the units of training, ``fresh`` in those of the data."""
        self._rows = rows_of(problem)
        self._whole = columns_of(self._rows)
        self._fresh = fresh
        if fresh is not None:
            self._clean = units.points(fresh.points)
            self._noise = fresh.noise * float(units.matrix[0, 0])
        n = problem.n_samples
        size = n if batch_size is None else min(batch_size, n)
        self._cuts = [slice(start, start + size) for start in range(0, n, size)]
        self.n_steps = len(self._cuts)  # per epoch

    def epoch(self, streams: Sequence[np.random.Generator]) -> Iterator[Batch]:
        """The batches; all streams draw, so that none depends on which runs are still alive."""
        n, whole = len(self._rows), self.n_steps == 1
        if self._fresh is None and whole:
            yield self._whole
            return
        rows = np.broadcast_to(self._rows, (len(streams), *self._rows.shape))
        if self._fresh is not None:
            rows = np.stack([self._drawn(self._fresh, rng) for rng in streams])
        order = np.stack([np.arange(n) if whole else rng.permutation(n) for rng in streams])
        runs = np.arange(len(streams))[:, None]
        for cut in self._cuts:
            part = rows[runs, order[:, cut]]
            yield columns_of(part, n / part.shape[1])

    def _drawn(self, fresh: FreshNoise, rng: np.random.Generator) -> Floats:
        """Noisy rows of one stream."""
        delta = rng.standard_normal((fresh.n_draws, *self._clean.shape))
        noisy = (self._clean + self._noise * delta).reshape(-1, self._clean.shape[1])
        labels = (-delta / self._noise).reshape(noisy.shape)
        if fresh.labels == "smoothed":
            labels = smoothed_score(
                self._clean, noisy, noise=self._noise, sample_weight=fresh.weights
            )
        return joined(noisy, labels, self._rows[:, -1])
