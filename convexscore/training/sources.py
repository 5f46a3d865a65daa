"""What training sees: a fixed problem, its mini-batches, or noise drawn afresh every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.random import RandomState
from convexscore._tools.validation import check_weighted_points
from convexscore.objectives.objective import DEFAULT_DRAWS, ScoreObjective, denoising
from convexscore.objectives.smoothed_labels import smoothed_score
from convexscore.training.batches import Batch, columns_of, full_batch
from convexscore.training.parameters import Units

Floats = NDArray[np.float64]


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

    def __post_init__(self) -> None:
        problem = denoising(
            self.X,
            noise=self.noise,
            n_draws=self.n_draws,
            labels=self.labels,
            sample_weight=self.sample_weight,
            random_state=self.random_state,
        )
        points, weights = check_weighted_points(self.X, self.sample_weight)
        object.__setattr__(self, "problem", problem)
        object.__setattr__(self, "X", points)
        object.__setattr__(self, "sample_weight", weights)


class EpochSource:
    """Batches of one epoch, for the streams of all restarts."""

    n_steps: int  # per epoch

    def epoch(self, streams: Sequence[np.random.Generator]) -> Iterator[Batch]:
        """The batches; all streams draw, so that none depends on which runs are still alive."""
        raise NotImplementedError


class WholeProblem(EpochSource):
    """All points, every step."""

    def __init__(self, problem: ScoreObjective) -> None:
        self.n_steps = 1
        self._batch = full_batch(problem)

    def epoch(self, streams: Sequence[np.random.Generator]) -> Iterator[Batch]:
        yield self._batch


class MiniBatches(EpochSource):
    """A random order of the points in every epoch and stream, cut into batches.

    Masses are multiplied by n / batch size: every batch is a uniform sample without replacement, and
    its gradient has the gradient on all points as its mean.
    """

    def __init__(self, problem: ScoreObjective, batch_size: int) -> None:
        self._problem = problem
        weights = problem.sample_weight
        self._mass = np.ones(problem.n_samples) if weights is None else weights
        self._cuts = _cuts(problem.n_samples, batch_size)
        self.n_steps = len(self._cuts)

    def epoch(self, streams: Sequence[np.random.Generator]) -> Iterator[Batch]:
        points, labels = self._problem.points, self._problem.labels
        order = np.stack([rng.permutation(len(points)) for rng in streams])
        for cut in self._cuts:
            rows = order[:, cut]
            mass = self._mass[rows] * (len(points) / rows.shape[1])
            yield columns_of(points[rows], None if labels is None else labels[rows], mass)


class NoisyEpochs(EpochSource):
    """New noise for every point in every epoch and stream, then batches or all points."""

    def __init__(self, source: FreshNoise, units: Units, batch_size: int | None) -> None:
        self._clean = (np.asarray(source.X) - units.centre) / units.scale
        self._noise = source.noise / units.scale
        self._smoothed = source.labels == "smoothed"
        self._draws = source.n_draws
        weights = None if source.sample_weight is None else np.asarray(source.sample_weight)
        self._weights = weights
        mass = np.ones(len(self._clean)) if weights is None else weights
        self._mass = np.tile(mass, self._draws)
        total = self._mass.size
        self._batch_size = total if batch_size is None else batch_size
        self._cuts = _cuts(total, self._batch_size)
        self.n_steps = len(self._cuts)

    def epoch(self, streams: Sequence[np.random.Generator]) -> Iterator[Batch]:
        drawn = [self._draw(rng) for rng in streams]
        points = np.stack([noisy for noisy, _, _ in drawn])
        labels = np.stack([target for _, target, _ in drawn])
        mass = np.stack([weight for _, _, weight in drawn])
        for cut in self._cuts:
            part = mass[:, cut]
            yield columns_of(points[:, cut], labels[:, cut], part * (mass.shape[1] / part.shape[1]))

    def _draw(self, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        """Noisy points, labels and masses of one stream, in random order if there are batches."""
        delta = rng.standard_normal((self._draws, *self._clean.shape))
        noisy = (self._clean + self._noise * delta).reshape(-1, self._clean.shape[1])
        if self._smoothed:
            target = smoothed_score(
                self._clean, noisy, noise=self._noise, sample_weight=self._weights
            )
        else:
            target = (-delta / self._noise).reshape(noisy.shape)
        if len(self._cuts) == 1:
            return noisy, target, self._mass
        order = rng.permutation(len(noisy))
        return noisy[order], target[order], self._mass[order]


def make_source(
    problem: ScoreObjective, fresh: FreshNoise | None, units: Units, batch_size: int | None
) -> EpochSource:
    """The source of the batches; ``problem`` is in the units of training."""
    if fresh is not None:
        return NoisyEpochs(fresh, units, batch_size)
    if batch_size is None or batch_size >= problem.n_samples:
        return WholeProblem(problem)
    return MiniBatches(problem, batch_size)


def check_problem(problem: ScoreObjective | FreshNoise) -> ScoreObjective:
    """The fixed problem of what a user passes to `train`, checked."""
    if isinstance(problem, FreshNoise):
        return problem.problem
    if not isinstance(problem, ScoreObjective):
        raise TypeError(
            f"problem must be a ScoreObjective or FreshNoise; got {type(problem).__name__}. Build one "
            "with objectives.score_matching(X), objectives.denoising(X, noise=...) or "
            "training.FreshNoise(X, noise=...), or call train_score_network(X, ...)."
        )
    return problem


def _cuts(n: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, n, size)]
