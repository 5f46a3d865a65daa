"""The loop of all samplers, and what it needs: checked starts and scores, divergence, records."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.progress import progress_bar
from convexscore._tools.random import RandomState
from convexscore._tools.validation import check_array
from convexscore.samplers.noise import ChainNoise
from convexscore.samplers.options import Floats, RunOptions

Score: TypeAlias = Callable[[Floats], ArrayLike]
# What the chains are in: their positions, or positions and what is known about them.
State = TypeVar("State")

# A chain beyond this many times the start's own length scale has exploded, not explored.
_EXPLOSION = 1e8


class ChainDivergedError(RuntimeError):
    """A chain left every reasonable range; the message says when, how many, and what to do.

    Attributes
    ----------
    step : int or None
        The step, counted from 1, after which it was seen.
    chains : tuple of int
        Indices of the chains concerned.
    """

    def __init__(
        self, message: str, *, step: int | None = None, chains: tuple[int, ...] = ()
    ) -> None:
        super().__init__(message)
        self.step = step
        self.chains = chains


class Record:
    """States of a trajectory and their labels, allocated once; nothing without trajectory."""

    def __init__(self, x: Floats, most: int, *, keep: bool) -> None:
        self._states = np.empty((most, *x.shape)) if keep else None
        self._labels = np.empty(most)
        self._count = 0

    def add(self, x: Floats, label: float) -> None:
        if self._states is not None:
            self._states[self._count] = x
            self._labels[self._count] = label
            self._count += 1

    @property
    def states(self) -> Floats | None:
        return None if self._states is None else self._states[: self._count]

    @property
    def labels(self) -> Floats | None:
        return None if self._states is None else self._labels[: self._count]


def run_steps(
    step: Callable[[int, State, Floats], State],
    state: State,
    n_steps: int,
    run: RunOptions,
    *,
    position: Callable[[State], Floats],
    noise: RandomState,
    n_normals: int,
    after_step: Callable[[int, Floats], None],
    description: str,
) -> tuple[State, int, bool]:
    """Apply ``step(k, state, z) -> state`` for k = 0, 1, ...; also steps taken, whether stopped.

    ``z`` has shape (n_chains, n_normals): standard normal, a chain's row from its own stream.
    ``after_step(n_taken, x)`` looks at the positions before anybody else: it keeps them, or raises.
    """
    n_chains, stopped, n_taken = len(position(state)), False, 0
    nothing = np.empty((n_chains, 0))
    normals = ChainNoise(noise, n_chains, n_normals, n_steps) if n_normals else None
    with progress_bar(n_steps, show=run["progress"], description=description) as advance:
        while n_taken < n_steps and not stopped:
            # Overflow in a diverging score is reported below, once and with its remedy.
            with np.errstate(over="ignore", invalid="ignore"):
                z = nothing if normals is None else normals.next_step()
                state = step(n_taken, state, z)
            n_taken += 1
            x = position(state)
            after_step(n_taken, x)
            advance(1)
            if run["callback"] is not None:
                stopped = bool(run["callback"](n_taken, _read_only(x)))
    return state, n_taken, stopped


def check_start(x0: ArrayLike) -> Floats:
    """Initial states as a fresh float array of shape (n_chains,) or (n_chains, d)."""
    shape = "(n_chains,) or (n_chains, d)"
    if np.ndim(x0) == 0:
        shape += " (for n chains from one point a: numpy.full(n, a))"
    return check_array(x0, name="x0", shape=shape, ndim=(1, 2))


def evaluate_score(score: Score, x: Floats) -> Floats:
    """``score(x)`` as a float array, refused if its shape is not that of ``x``."""
    value = np.asarray(score(x), dtype=np.float64)
    if value.shape != x.shape:
        raise ValueError(
            f"score must return an array of the shape it is given, {x.shape}; got shape "
            f"{value.shape}. For x0 of shape (n_chains,) it is called with (n_chains,), for "
            f"(n_chains, d) with (n_chains, d)."
        )
    return value


def evaluate_at_start(score: Score, x0: Floats) -> Floats:
    """The score at the initial states, which must be finite."""
    if not callable(score):
        raise TypeError(
            f"score must be a callable x -> score of the same shape; got {type(score).__name__}. "
            f"Pass for instance fit.score_function."
        )
    value = evaluate_score(score, x0)
    bad = chains_beyond(value, np.finfo(float).max)
    if bad:
        raise ValueError(
            f"score must be finite at x0; it is not for {len(bad)} of {len(x0)} chains. "
            f"Start inside the support of the law."
        )
    return value


def explosion_limit(x0: Floats, score_at_start: Floats, step: float) -> float:
    """The |x| beyond which a chain counts as diverged, from the problem's own length scales."""
    scale = np.abs(x0).max() + np.sqrt(step) + step * np.abs(score_at_start).max()
    return float(_EXPLOSION * scale)


def refuse_divergence(
    x: Floats, limit: float, n_taken: int, where: str, *, cause: str, shown: int = 5
) -> None:
    """Raise `ChainDivergedError` if a value is beyond ``limit`` in absolute value or not a number."""
    # Written so that NaN fails too; the exact chains are worth finding only on failure.
    if x.max() <= limit and x.min() >= -limit:
        return
    chains = chains_beyond(x, limit)
    named = ", ".join(str(i) for i in chains[:shown]) + (", ..." if len(chains) > shown else "")
    raise ChainDivergedError(
        f"the run diverged at {where}: {len(chains)} of {len(x)} chains ({named}) are non-finite "
        f"or beyond |x| = {limit:.3g}. {cause}",
        step=n_taken,
        chains=chains,
    )


def chains_beyond(x: Floats, limit: float) -> tuple[int, ...]:
    """Indices of the chains with a value beyond ``limit`` or not a number."""
    within = (np.abs(x) <= limit).reshape(len(x), -1).all(axis=1)
    return tuple(int(i) for i in np.flatnonzero(~within))


def _read_only(x: Floats) -> Floats:
    view = x.view()
    view.flags.writeable = False
    return view
