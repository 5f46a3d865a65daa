"""What all chain samplers share: the plan, the loop, the checks, the result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.progress import progress_bar
from convexscore._tools.random import RandomState
from convexscore.samplers.noise import ChainNoise

Floats: TypeAlias = NDArray[np.float64]
Score: TypeAlias = Callable[[Floats], ArrayLike]
Callback: TypeAlias = Callable[[int, Floats], Any]
Transition: TypeAlias = Callable[[int, Floats, Floats], Floats]

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


@dataclass(frozen=True, eq=False)
class LangevinResult:
    """Where the chains ended and, if asked for, how they got there.

    Attributes
    ----------
    samples : ndarray, shape of ``x0``
        Final states, one per chain: independent of each other given ``x0``.
    trajectory : ndarray (n_kept, *x0.shape) or None
        Every ``thin``-th state after ``burn_in``; None without ``keep_trajectory=True``.
    n_steps : int
        Steps taken, burn-in included; fewer than asked for if the callback stopped the run.
    step : float
        Step size ε, in squared units of x.
    acceptance_rate : float or None
        Share of proposals accepted after burn-in, over all chains (MALA); None if the sampler
        accepts every step (unadjusted Langevin).
    seconds : float
        Wall time.
    """

    samples: Floats
    trajectory: Floats | None
    n_steps: int
    step: float
    acceptance_rate: float | None
    seconds: float

    def __repr__(self) -> str:
        kept = "None" if self.trajectory is None else f"array{self.trajectory.shape}"
        rate = "None" if self.acceptance_rate is None else f"{self.acceptance_rate:.3f}"
        return (
            f"{type(self).__name__}(samples=array{self.samples.shape}, trajectory={kept}, "
            f"n_steps={self.n_steps}, step={self.step:g}, acceptance_rate={rate}, "
            f"seconds={self.seconds:.3g})"
        )


@dataclass(frozen=True)
class ChainPlan:
    """The options common to all chain samplers, checked on construction."""

    step: float
    n_steps: int
    burn_in: int
    thin: int
    keep_trajectory: bool
    random_state: RandomState
    callback: Callback | None
    progress: bool

    def __post_init__(self) -> None:
        check_step(self.step)
        check_count("n_steps", self.n_steps, at_least=1)
        check_count("burn_in", self.burn_in, at_least=0)
        check_count("thin", self.thin, at_least=1)
        if self.burn_in >= self.n_steps:
            raise ValueError(
                f"burn_in must be smaller than n_steps, which counts all steps; got "
                f"burn_in={self.burn_in}, n_steps={self.n_steps}. Use n_steps={self.burn_in} + "
                f"the number of steps wanted after burn-in."
            )
        if self.keep_trajectory and self.n_kept == 0:
            raise ValueError(
                f"thin must be at most n_steps - burn_in = {self.n_steps - self.burn_in} to keep "
                f"any state; got thin={self.thin}. Lower thin or raise n_steps."
            )
        check_callback(self.callback)

    @property
    def n_kept(self) -> int:
        return (self.n_steps - self.burn_in) // self.thin


def check_start(x0: ArrayLike) -> Floats:
    """Initial states as a fresh float array of shape (n_chains,) or (n_chains, d)."""
    start = np.asarray(x0)
    if start.dtype.kind not in "fiub":
        raise TypeError(
            f"x0 must hold real numbers; got an array of dtype {start.dtype}. Convert it to float."
        )
    if start.ndim not in (1, 2) or start.size == 0:
        raise ValueError(
            f"x0 must have shape (n_chains,) or (n_chains, d), not empty; got shape {start.shape}. "
            f"For n chains from one point a use numpy.full(n, a)."
        )
    start = np.array(start, dtype=np.float64, order="C")
    bad = int(np.count_nonzero(~np.isfinite(start)))
    if bad:
        raise ValueError(
            f"x0 must be finite; got {bad} non-finite of {start.size} values. "
            f"Remove those chains or give them another start."
        )
    return start


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
    bad = _count_chains(~np.isfinite(value))
    if bad:
        raise ValueError(
            f"score must be finite at x0; it is not for {bad} of {len(x0)} chains. "
            f"Start inside the support of the law."
        )
    return value


def run_chains(
    transition: Transition, x0: Floats, plan: ChainPlan, *, n_draws: int, limit: float
) -> tuple[LangevinResult, int]:
    """Apply ``transition(t, x, z) -> x`` for t = 0, 1, ...; also return the steps after burn-in.

    ``z`` has shape (n_chains, n_draws): standard normal, a chain's row from its own stream. A
    state beyond ``limit`` in absolute value, or not finite, raises `ChainDivergedError`.
    """
    began = time.perf_counter()
    noise = ChainNoise(plan.random_state, len(x0), n_draws, plan.n_steps)
    kept = np.empty((plan.n_kept, *x0.shape)) if plan.keep_trajectory else None
    x, n_taken, n_kept = x0, 0, 0
    with progress_bar(plan.n_steps, show=plan.progress, description="chains") as advance:
        while n_taken < plan.n_steps:
            # Overflow in a diverging score is reported below, once and with its remedy.
            with np.errstate(over="ignore", invalid="ignore"):
                x = transition(n_taken, x, noise.next_step())
            n_taken += 1
            _check_range(x, limit, n_taken, plan.step)
            after = n_taken - plan.burn_in
            if kept is not None and after > 0 and after % plan.thin == 0:
                kept[n_kept] = x
                n_kept += 1
            advance(1)
            if plan.callback is not None and plan.callback(n_taken, read_only(x)):
                break
    result = LangevinResult(
        samples=x,
        trajectory=None if kept is None else kept[:n_kept],
        n_steps=n_taken,
        step=float(plan.step),
        acceptance_rate=None,
        seconds=time.perf_counter() - began,
    )
    return result, max(n_taken - plan.burn_in, 0)


def explosion_limit(x0: Floats, score_at_start: Floats, step: float) -> float:
    """The |x| beyond which a chain counts as diverged, from the problem's own length scales."""
    scale = np.abs(x0).max() + np.sqrt(step) + step * np.abs(score_at_start).max()
    return float(_EXPLOSION * scale)


def _check_range(x: Floats, limit: float, n_taken: int, step: float) -> None:
    # Written so that NaN fails too; the exact count is worth computing only on failure.
    if is_within(x, limit):
        return
    chains = chains_beyond(x, limit)
    raise ChainDivergedError(
        f"the run diverged at step {n_taken}: {len(chains)} of {len(x)} chains are non-finite or "
        f"beyond |x| = {limit:.3g}. Either step={step:g} is too large (on a Gaussian of variance v "
        f"it must be < 4 v): lower step; or the score pushes outwards in a tail and belongs to no "
        f"density.",
        step=n_taken,
        chains=chains,
    )


def is_within(x: Floats, limit: float) -> bool:
    """Whether all values are numbers of at most ``limit`` in absolute value."""
    return bool(x.max() <= limit and x.min() >= -limit)


def chains_beyond(x: Floats, limit: float) -> tuple[int, ...]:
    """Indices of the chains with a value beyond ``limit`` or not a number."""
    bad = ~(np.abs(x) <= limit).reshape(len(x), -1).all(axis=1)
    return tuple(int(i) for i in np.flatnonzero(bad))


def _count_chains(bad: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(bad.reshape(len(bad), -1).any(axis=1)))


def read_only(x: Floats) -> Floats:
    """A view that cannot be written to."""
    view = x.view()
    view.flags.writeable = False
    return view


def check_step(
    step: float,
    *,
    name: str = "step",
    unit: str = "in squared units of x",
    hint: str = "A tenth of the variance of the narrowest mode is a good start.",
) -> None:
    """A step size is one finite number > 0."""
    if isinstance(step, bool) or not isinstance(step, Real):
        raise TypeError(
            f"{name} must be one real number > 0; got {type(step).__name__}. "
            f"Pass the step size {unit}."
        )
    if not (np.isfinite(step) and step > 0):
        raise ValueError(f"{name} must be finite and > 0; got {step}. {hint}")


def check_callback(callback: Callback | None) -> None:
    """A callback is None or callable."""
    if callback is not None and not callable(callback):
        raise TypeError(
            f"callback must be None or a callable callback(step, x); got "
            f"{type(callback).__name__}. Pass the function itself, not its result."
        )


def check_count(name: str, value: int, *, at_least: int) -> None:
    """An integer of at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"{name} must be an int >= {at_least}; got {type(value).__name__} ({value!r}). "
            f"Convert it with int()."
        )
    if value < at_least:
        raise ValueError(
            f"{name} must be an int >= {at_least}; got {value}. Use {at_least} or more."
        )
