"""The loop of all samplers, and what it needs: checked starts and scores, divergence, records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.progress import progress_bar
from convexscore._tools.random import RandomState
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_array, check_callable, check_returned
from convexscore.samplers.noise import ChainNoise
from convexscore.samplers.options import RunOptions

# A chain beyond this many times the start's own length scale has exploded, not explored.
_EXPLOSION = 1e8
_SHOWN_CHAINS = 5


class ChainDivergedError(RuntimeError):
    """A chain left every reasonable range; the message says when, how many, and what to do.

    Attributes
    ----------
    step : int or None
        The step, counted from 1, after which it was seen.
    chains : tuple of int
        Indices of the chains concerned.
    """

    step: int | None = None
    chains: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class RunResult:
    """What every run returns; it prints shapes instead of arrays."""

    samples: Floats
    trajectory: Floats | None
    n_steps: int
    seconds: float

    def __repr__(self) -> str:
        shown = ", ".join(f"{f.name}={_short(getattr(self, f.name))}" for f in fields(self))
        return f"{type(self).__name__}({shown})"


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"array{value.shape}"
    return f"{value:.3g}" if isinstance(value, float) else repr(value)


class Record:
    """States of a trajectory and their labels, allocated once; nothing without trajectory."""

    states: Floats | None = None
    labels: Floats | None = None

    def __init__(self, x: Floats, most: int, *, keep: bool) -> None:
        self._space = (np.empty((most, *x.shape)), np.empty(most)) if keep else None
        self._count = 0

    def add(self, x: Floats, label: float) -> None:
        if self._space is not None:
            states, labels = self._space
            states[self._count], labels[self._count] = x, label
            self._count += 1
            self.states, self.labels = states[: self._count], labels[: self._count]


def run_steps(
    step: Callable[[int, Floats, Floats], Floats],
    x: Floats,
    n_steps: int,
    run: RunOptions,
    *,
    noise: RandomState,
    n_normals: int,
    after_step: Callable[[int, Floats], None],
) -> tuple[Floats, int, bool]:
    """Apply ``step(k, x, z) -> x`` for k = 0, 1, ...; also steps taken, whether stopped.

    ``z`` has shape (n_chains, n_normals): standard normal, a chain's row from its own stream.
    ``after_step(n_taken, x)`` looks at the positions before anybody else: it keeps them, or raises.
    """
    stopped, n_taken, z = False, 0, np.empty((len(x), 0))
    normals = ChainNoise(noise, len(x), n_normals, n_steps) if n_normals else None
    with progress_bar(n_steps, show=run["progress"], description="steps") as advance:
        while n_taken < n_steps and not stopped:
            # Overflow in a diverging score is reported below, once and with its remedy.
            with np.errstate(over="ignore", invalid="ignore"):
                if normals is not None:
                    z = normals.next_step()
                x = step(n_taken, x, z)
            n_taken += 1
            after_step(n_taken, x)
            advance(1)
            if run["callback"] is not None:
                seen = x.view()
                seen.flags.writeable = False
                stopped = bool(run["callback"](n_taken, seen))
    return x, n_taken, stopped


def check_start(x0: ArrayLike) -> Floats:
    """Initial states as a fresh float array of shape (n_chains,) or (n_chains, d)."""
    shape = "(n_chains,) or (n_chains, d)"
    if np.ndim(x0) == 0:
        shape += " (for n chains from one point a: numpy.full(n, a))"
    return check_array(x0, name="x0", shape=shape, ndim=(1, 2))


def evaluate_score(score: Callable[..., ArrayLike], x: Floats, *level: float) -> Floats:
    """``score(x, *level)`` as a float array, refused if its shape is not that of ``x``."""
    hint = "It is given the chains in the shape of x0, and returns that shape."
    return check_returned(score(x, *level), x.shape, name="score", hint=hint)


def check_finite_at_start(value: Floats, name: str) -> Floats:
    """What a score or a log-density is at the initial states."""
    bad = chains_beyond(value, np.finfo(float).max)
    if bad:
        raise ValueError(
            f"{name} must be finite at x0; it is not for {len(bad)} of {len(value)} chains. "
            f"Start inside the support of the law."
        )
    return value


def score_at_start(score: Callable[[Floats], ArrayLike], x0: Floats) -> Floats:
    """The score of one law at the initial states."""
    hint = "Pass for instance fit.score_function."
    check_callable(score, name="score", form="x -> score of the same shape", hint=hint)
    return check_finite_at_start(evaluate_score(score, x0), "score")


def explosion_limit(x0: Floats, score_at_start: Floats, step: float) -> float:
    """The |x| beyond which a chain counts as diverged, from the problem's own length scales."""
    scale = np.abs(x0).max() + np.sqrt(step) + step * np.abs(score_at_start).max()
    return float(_EXPLOSION * scale)


def is_within(x: Floats, limit: float) -> bool:
    """Whether all values are numbers of at most ``limit`` in absolute value."""
    return bool(x.max() <= limit and x.min() >= -limit)


def chains_beyond(x: Floats, limit: float) -> tuple[int, ...]:
    """Indices of the chains with a value beyond ``limit`` or not a number."""
    within = (np.abs(x) <= limit).reshape(len(x), -1).all(axis=1)
    return tuple(np.flatnonzero(~within).tolist())


def diverged(x: Floats, limit: float, n_taken: int, where: str, cause: str) -> ChainDivergedError:
    """The error of a run that `is_within` its limit no more."""
    chains = chains_beyond(x, limit)
    named = ", ".join(map(str, chains[:_SHOWN_CHAINS]))
    error = ChainDivergedError(
        f"the run diverged at {where}: {len(chains)} of {len(x)} chains "
        f"({named}{', ...' * (len(chains) > _SHOWN_CHAINS)}) are non-finite or beyond "
        f"|x| = {limit:.3g}. {cause}"
    )
    error.step, error.chains = n_taken, chains
    return error
