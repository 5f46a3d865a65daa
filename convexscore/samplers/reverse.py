"""What the samplers along noise levels share: affine steps, start, run and result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, spawn_generators
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_callable
from convexscore.samplers import run as loop
from convexscore.samplers.noise import ChainNoise
from convexscore.samplers.options import NOT_OF_LEVELS, RunOptions, read_options
from convexscore.schedules.levels import LevelScore, vp

# One step of a batch of chains: (k, x, z) -> x, with z of shape (m, n_normals, *x.shape[1:]).
BatchStep: TypeAlias = Callable[[int, Floats, Floats], Floats]

_DIVERGED = (
    "Either the steps are too long for the score at that noise level: take more or smaller steps, "
    "or end at more noise; or the score pushes outwards or is not a number out there."
)


@dataclass(frozen=True, eq=False, repr=False)
class DiffusionResult(loop.RunResult):
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

    times: Floats | None


def affine_step(
    score: LevelScore, levels: Floats, keep: ArrayLike, drift: Floats, noise: Floats | None = None
) -> BatchStep:
    """Step x ← keep x + drift s(x, level) + noise z with one coefficient of each a step."""
    level, b = levels.tolist(), drift.tolist()
    a = np.broadcast_to(keep, len(b)).tolist()
    c = None if noise is None else noise.tolist()

    def step(k: int, x: Floats, z: Floats) -> Floats:
        new = a[k] * x
        new += b[k] * loop.evaluate_score(score, x, level[k])
        if c is not None:
            new += c[k] * z[:, 0]
        return new

    return step


def run_reverse(
    sampler: Callable[..., Any],
    score: LevelScore,
    x0: ArrayLike | None,
    levels: Floats,
    step: BatchStep,
    /,
    *,
    n_normals: int = 1,
    is_time: bool,
    given: RunOptions,
) -> DiffusionResult:
    """Steps of batches of chains along noise levels, then denoising if wanted.

    ``levels`` (K+1,), start included, are OU times, or VE noise σ. ``n_normals`` standard normal
    numbers per coordinate and step come from the chain's own stream; the start is drawn from another
    one, so that it has no part in the noise.
    """
    began, name, n_steps = time.perf_counter(), "t" if is_time else "sigma", len(levels) - 1
    run = read_options(sampler, given, without=NOT_OF_LEVELS)
    hint = "Pass a function of the chains and their noise level."
    form = f"(x, {name}) -> score of the shape of x"
    check_callable(score, name="score", form=form, hint=hint)
    start, noise = spawn_generators(run["random_state"], 2)
    (_, first), (scale, last) = [vp(s) if is_time else (1.0, s) for s in levels[[0, -1]].tolist()]
    # VP: N(0, I), the limit of the process. VE: the data are negligible against the noise.
    x = _start(x0, 1.0 if is_time else first, run, start)
    size, thin = run["batch_size"], run["thin"]
    batches = [slice(i, min(i + size, len(x))) for i in range(0, len(x), size)]

    def by_batch(step: BatchStep, k: int, x: Floats, z: Floats) -> Floats:
        new = np.empty_like(x)  # the callback may have kept the old one
        for rows in batches:
            new[rows] = step(k, x[rows], z[rows])
        return new

    def move(k: int, x: Floats, normals: Floats) -> Floats:
        return by_batch(step, k, x, normals.reshape(len(x), n_normals, *x.shape[1:]))

    def after_step(n_taken: int, x: Floats) -> None:
        if not loop.is_within(x, limit):
            where = f"step {n_taken} of {n_steps}, from {name} = {levels[n_taken - 1]:.3g}"
            raise loop.diverged(x, limit, n_taken, where, _DIVERGED)
        if n_taken % thin == 0:
            record.add(x, levels[n_taken])

    at_start = by_batch(lambda k, x, z: loop.evaluate_score(score, x, float(levels[0])), 0, x, x)
    # σ² s at the start is as far as the score itself wants to go.
    limit = loop.explosion_limit(x, loop.check_finite_at_start(at_start, "score"), first**2)
    record = loop.Record(x, 3 + n_steps // thin, keep=run["keep_trajectory"])
    record.add(x, levels[0])
    x, n_taken, stopped = loop.run_steps(
        move, x, n_steps, run, noise=noise, n_normals=n_normals * x[0].size, after_step=after_step
    )
    if n_taken % thin:
        record.add(x, levels[n_taken])
    if run["final_denoising"] and not stopped:
        if last > 0:  # Tweedie: E[X | state], from the score at the last level
            tweedie = affine_step(score, levels[-1:], 1 / scale, np.array([last**2 / scale]))
            with np.errstate(over="ignore", invalid="ignore"):
                x = by_batch(tweedie, 0, x, x)
        if not loop.is_within(x, limit):
            where = f"the final denoising step, from {name} = {levels[-1]:.3g}"
            raise loop.diverged(x, limit, n_taken + 1, where, _DIVERGED)
        record.add(x, 0.0)
    seconds = time.perf_counter() - began
    return DiffusionResult(x, record.states, n_taken, seconds, record.labels)


def _start(x0: ArrayLike | None, std: float, run: RunOptions, state: RandomState) -> Floats:
    """The given states, or draws from the law of pure noise."""
    n, d = run["n_samples"], run["dim"]
    if x0 is not None:
        if n is not None or d is not None:
            raise ValueError(
                f"n_samples and dim describe a start drawn from noise, x0 is given; got "
                f"n_samples={n}, dim={d}. Leave them out, or pass x0=None."
            )
        return loop.check_start(x0)
    if n is None:
        raise ValueError(
            "x0=None needs n_samples, the number of chains; got n_samples=None. Pass n_samples "
            "(and dim for chains of shape (n_samples, dim)), or the initial states as x0."
        )
    draws = std * ChainNoise(state, n, d or 1, 1).next_step()
    return draws[:, 0] if d is None else draws
