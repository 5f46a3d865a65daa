"""What the samplers along noise levels share: options, start, loop over batches, result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.progress import progress_bar
from convexscore._tools.random import RandomState, spawn_generators
from convexscore.samplers.chain import (
    Callback,
    ChainDivergedError,
    Floats,
    chains_beyond,
    check_callback,
    check_count,
    check_start,
    evaluate_at_start,
    evaluate_score,
    explosion_limit,
    is_within,
    read_only,
)
from convexscore.samplers.noise import ChainNoise
from convexscore.schedules import LevelScore, TimeGrid, vp

# One step of a batch of chains: (k, x, z) -> x, with z of shape (m, n_normals, *x.shape[1:]).
BatchStep: TypeAlias = Callable[[int, Floats, Floats], Floats]

# Chains per call of the score: small enough that a hundred neurons of all of them stay in cache,
# large enough that the call itself costs nothing.
BATCH_SIZE = 4096
_SHOWN_CHAINS = 5


@dataclass(frozen=True, eq=False)
class DiffusionResult:
    """Where the chains ended and, if asked for, how they got there.

    Attributes
    ----------
    samples : ndarray (n_chains,) or (n_chains, d)
        Final states, one per chain: independent of each other given the start.
    trajectory : ndarray (n_kept, *samples.shape) or None
        The start, every ``thin``-th state, the last state and, after a denoising step, the
        samples; None without ``keep_trajectory=True``.
    times : ndarray (n_kept,) or None
        Noise level of each state of the trajectory: the remaining OU time t, for samplers over VE
        levels the σ whose law the state is drawn towards; 0 after the denoising step.
    n_steps : int
        Steps taken, the denoising step not counted; fewer than planned if the callback stopped
        the run.
    seconds : float
        Wall time.
    """

    samples: Floats
    trajectory: Floats | None
    times: Floats | None
    n_steps: int
    seconds: float

    def __repr__(self) -> str:
        kept = "None" if self.trajectory is None else f"array{self.trajectory.shape}"
        return (
            f"{type(self).__name__}(samples=array{self.samples.shape}, trajectory={kept}, "
            f"n_steps={self.n_steps}, seconds={self.seconds:.3g})"
        )


@dataclass(frozen=True, kw_only=True)
class ReverseOptions:
    """The options common to all samplers along noise levels, checked on construction."""

    n_samples: int | None
    dim: int | None
    denoise: bool
    random_state: RandomState
    batch_size: int
    keep_trajectory: bool
    thin: int
    callback: Callback | None
    progress: bool

    def __post_init__(self) -> None:
        if self.n_samples is not None:
            check_count("n_samples", self.n_samples, at_least=1)
        if self.dim is not None:
            check_count("dim", self.dim, at_least=1)
        check_count("batch_size", self.batch_size, at_least=1)
        check_count("thin", self.thin, at_least=1)
        check_callback(self.callback)


@dataclass(frozen=True, eq=False)
class LevelPath:
    """Noise levels of the states, start included, (K+1,): OU times, or VE noise σ."""

    levels: Floats
    is_time: bool

    @classmethod
    def of_grid(cls, grid: TimeGrid) -> LevelPath:
        return cls(grid.times, is_time=True)

    @property
    def n_steps(self) -> int:
        return len(self.levels) - 1

    def noise_law(self, k: int) -> tuple[float, float]:
        """(scale, sigma) of the state after k steps."""
        level = float(self.levels[k])
        return vp(level) if self.is_time else (1.0, level)

    def describe(self, k: int) -> str:
        return f"{'t' if self.is_time else 'sigma'} = {self.levels[k]:.3g}"


def evaluate_at(score: LevelScore, x: Floats, level: float) -> Floats:
    """``score(x, level)`` as a float array, refused if its shape is not that of ``x``."""
    return evaluate_score(lambda points: score(points, level), x)


def affine_step(
    score: LevelScore, levels: Floats, keep: Floats, drift: Floats, noise: Floats | None
) -> BatchStep:
    """Step x ← keep x + drift s(x, level) + noise z with one coefficient of each a step."""
    level, a, b = levels.tolist(), keep.tolist(), drift.tolist()
    c = None if noise is None else noise.tolist()

    def step(k: int, x: Floats, z: Floats) -> Floats:
        new = a[k] * x
        new += b[k] * evaluate_at(score, x, level[k])
        if c is not None:
            new += c[k] * z[:, 0]
        return new

    return step


def run_reverse(
    score: LevelScore,
    x0: ArrayLike | None,
    path: LevelPath,
    step: BatchStep,
    options: ReverseOptions,
    *,
    n_normals: int,
) -> DiffusionResult:
    """Apply ``step`` for k = 0, 1, ... to batches of chains, then denoise if wanted.

    ``n_normals`` standard normal numbers per coordinate and step come from the chain's own stream;
    the start is drawn from another one, so that it has no part in the noise.
    """
    began = time.perf_counter()
    start_state, noise_state = spawn_generators(options.random_state, 2)
    x = _start(x0, path, options, start_state)
    batches = list(_batches(len(x), options.batch_size))
    limit = _limit_from_start(score, x, path, batches)
    n_draws = n_normals * x[0].size
    noise = ChainNoise(noise_state, len(x), n_draws, path.n_steps) if n_draws else None
    normals = np.empty((len(x), 0))
    record = _Record(path, options, x)
    n_taken, stopped = 0, False
    with progress_bar(path.n_steps, show=options.progress, description="levels") as advance:
        while n_taken < path.n_steps and not stopped:
            if noise is not None:
                normals = noise.next_step()
            z = normals.reshape(len(x), n_normals, *x.shape[1:])
            new = np.empty_like(x)  # the callback may have kept the old one
            # Overflow in a diverging score is reported below, once and with its remedy.
            with np.errstate(over="ignore", invalid="ignore"):
                for rows in batches:
                    new[rows] = step(n_taken, x[rows], z[rows])
            x, n_taken = new, n_taken + 1
            if not is_within(x, limit):
                raise _diverged(x, limit, f"step {n_taken} of {path.n_steps}", path, n_taken)
            record.after_step(n_taken, x)
            advance(1)
            if options.callback is not None:
                stopped = bool(options.callback(n_taken, read_only(x)))
    record.at_end(n_taken, x)
    if options.denoise and not stopped:
        x = _denoised(score, x, path, batches)
        if not is_within(x, limit):
            raise _diverged(x, limit, "the final denoising step", path, n_taken + 1)
        record.add(x, 0.0)
    trajectory, times = record.kept()
    return DiffusionResult(x, trajectory, times, n_taken, time.perf_counter() - began)


class _Record:
    """The trajectory, allocated once; empty unless asked for."""

    def __init__(self, path: LevelPath, options: ReverseOptions, x: Floats) -> None:
        self._levels, self._thin, self._count = path.levels, options.thin, 0
        self._states = None
        if options.keep_trajectory:
            most = 3 + path.n_steps // options.thin
            self._states = np.empty((most, *x.shape))
            self._times = np.empty(most)
            self.add(x, float(path.levels[0]))

    def after_step(self, n_taken: int, x: Floats) -> None:
        if n_taken % self._thin == 0:
            self.add(x, float(self._levels[n_taken]))

    def at_end(self, n_taken: int, x: Floats) -> None:
        if n_taken % self._thin:
            self.add(x, float(self._levels[n_taken]))

    def add(self, x: Floats, level: float) -> None:
        if self._states is not None:
            self._states[self._count] = x
            self._times[self._count] = level
            self._count += 1

    def kept(self) -> tuple[Floats | None, Floats | None]:
        if self._states is None:
            return None, None
        return self._states[: self._count], self._times[: self._count]


def _start(
    x0: ArrayLike | None, path: LevelPath, options: ReverseOptions, random_state: RandomState
) -> Floats:
    """The given states, or draws from the law of pure noise."""
    n, d = options.n_samples, options.dim
    if x0 is not None:
        if n is not None or d is not None:
            raise ValueError(
                f"n_samples and dim describe a start drawn from noise, x0 is given; got "
                f"n_samples={n}, dim={d}. Leave them out, or pass x0=None."
            )
        return check_start(x0)
    if n is None:
        raise ValueError(
            "x0=None needs n_samples, the number of chains; got n_samples=None. Pass n_samples "
            "(and dim for chains of shape (n_samples, dim)), or the initial states as x0."
        )
    draws = ChainNoise(random_state, n, d or 1, 1).next_step()
    # VP: N(0, I), the limit of the process. VE: the data are negligible against the noise.
    std = 1.0 if path.is_time else float(path.levels[0])
    start: Floats = std * (draws[:, 0] if d is None else draws)
    return start


def _batches(n_chains: int, size: int) -> Iterator[slice]:
    for first in range(0, n_chains, size):
        yield slice(first, min(first + size, n_chains))


def _limit_from_start(score: LevelScore, x: Floats, path: LevelPath, batches: list[slice]) -> float:
    """The |x| of an explosion; σ² s at the start is as far as the score itself wants to go."""
    if not callable(score):
        name = "t" if path.is_time else "sigma"
        raise TypeError(
            f"score must be a callable (x, {name}) -> score of the shape of x; got "
            f"{type(score).__name__}. Pass a function of the chains and their noise level."
        )
    level, variance = float(path.levels[0]), path.noise_law(0)[1] ** 2

    def at_first_level(points: Floats) -> Floats:
        values = np.empty_like(points)
        for rows in batches:
            values[rows] = evaluate_at(score, points[rows], level)
        return values

    return explosion_limit(x, evaluate_at_start(at_first_level, x), variance)


def _denoised(score: LevelScore, x: Floats, path: LevelPath, batches: list[slice]) -> Floats:
    """Tweedie: E[X | state], from the score at the last level."""
    scale, sigma = path.noise_law(-1)
    if sigma == 0:
        return x
    step = affine_step(
        score, path.levels[-1:], np.array([1 / scale]), np.array([sigma**2 / scale]), None
    )
    new = np.empty_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in batches:
            new[rows] = step(0, x[rows], x[rows])
    return new


def _diverged(
    x: Floats, limit: float, where: str, path: LevelPath, n_taken: int
) -> ChainDivergedError:
    chains = chains_beyond(x, limit)
    named = ", ".join(str(i) for i in chains[:_SHOWN_CHAINS])
    more = ", ..." if len(chains) > _SHOWN_CHAINS else ""
    return ChainDivergedError(
        f"the run diverged at {where}, from {path.describe(n_taken - 1)}: {len(chains)} of "
        f"{len(x)} chains ({named}{more}) are non-finite or beyond |x| = {limit:.3g}. Either the "
        f"steps are too long for the score at that noise level: take more or smaller steps, or "
        f"end at more noise; or the score pushes outwards or is not a number out there.",
        step=n_taken,
        chains=chains,
    )
