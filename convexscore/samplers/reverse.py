"""What the samplers along noise levels share: the path, affine steps, start, run and result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, spawn_generators
from convexscore.samplers.noise import ChainNoise
from convexscore.samplers.options import NOT_OF_LEVELS, Floats, RunOptions, read_options
from convexscore.samplers.run import (
    Record,
    check_start,
    evaluate_at_start,
    evaluate_score,
    explosion_limit,
    refuse_divergence,
    run_steps,
)
from convexscore.schedules.levels import LevelScore, vp
from convexscore.schedules.time_grids import TimeGrid

# One step of a batch of chains: (k, x, z) -> x, with z of shape (m, n_normals, *x.shape[1:]).
BatchStep: TypeAlias = Callable[[int, Floats, Floats], Floats]

_DIVERGED = (
    "Either the steps are too long for the score at that noise level: take more or smaller steps, "
    "or end at more noise; or the score pushes outwards or is not a number out there."
)


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
    sampler: Callable[..., Any],
    score: LevelScore,
    x0: ArrayLike | None,
    path: LevelPath,
    step: BatchStep,
    n_normals: int,
    /,
    **given: Unpack[RunOptions],
) -> DiffusionResult:
    """Steps of batches of chains along a path of noise levels, then denoising if wanted.

    ``n_normals`` standard normal numbers per coordinate and step come from the chain's own stream;
    the start is drawn from another one, so that it has no part in the noise.
    """
    began = time.perf_counter()
    run = read_options(sampler, given, without=NOT_OF_LEVELS)
    start, noise = spawn_generators(run["random_state"], 2)
    x = _start(x0, path, run, start)
    batches = list(_batches(len(x), run["batch_size"]))
    limit = _limit_from_start(score, x, path, batches)
    thin, n_steps = run["thin"], path.n_steps
    record = Record(x, 3 + n_steps // thin, keep=run["keep_trajectory"])
    record.add(x, path.levels[0])

    def all_batches(k: int, x: Floats, normals: Floats) -> Floats:
        z = normals.reshape(len(x), n_normals, *x.shape[1:])
        new = np.empty_like(x)  # the callback may have kept the old one
        for rows in batches:
            new[rows] = step(k, x[rows], z[rows])
        return new

    def after_step(n_taken: int, x: Floats) -> None:
        where = f"step {n_taken} of {n_steps}, from {path.describe(n_taken - 1)}"
        refuse_divergence(x, limit, n_taken, where, cause=_DIVERGED)
        if n_taken % thin == 0:
            record.add(x, path.levels[n_taken])

    x, n_taken, stopped = run_steps(
        all_batches, x, n_steps, run, position=lambda x: x, noise=noise,
        n_normals=n_normals * x[0].size, after_step=after_step, description="levels",
    )  # fmt: skip
    if n_taken % thin:
        record.add(x, path.levels[n_taken])
    if run["final_denoising"] and not stopped:
        x = _denoised(score, x, path, batches)
        where = f"the final denoising step, from {path.describe(n_taken)}"
        refuse_divergence(x, limit, n_taken + 1, where, cause=_DIVERGED)
        record.add(x, 0.0)
    return DiffusionResult(x, record.states, record.labels, n_taken, time.perf_counter() - began)


def _start(x0: ArrayLike | None, path: LevelPath, run: RunOptions, state: RandomState) -> Floats:
    """The given states, or draws from the law of pure noise."""
    n, d = run["n_samples"], run["dim"]
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
    draws = ChainNoise(state, n, d or 1, 1).next_step()
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
