"""Chains on one score: their plan and their result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_positive
from convexscore.samplers.options import NOT_OF_CHAINS, RunOptions, read_options
from convexscore.samplers.run import Record, RunResult, diverged, is_within, run_steps


@dataclass(frozen=True, eq=False, repr=False)
class LangevinResult(RunResult):
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

    step: float
    acceptance_rate: float | None


def read_plan(
    sampler: Callable[..., Any], step: float, n_steps: int, given: RunOptions
) -> tuple[float, RunOptions]:
    """The step size and all run options, checked; ``sampler`` is for messages only."""
    run = read_options(sampler, given, without=NOT_OF_CHAINS)
    hint = "A tenth of the variance of the narrowest mode is a good start."
    size = check_positive(step, name="step", hint=hint)
    left = check_count(n_steps, name="n_steps") - run["burn_in"]
    if left <= 0:
        raise ValueError(
            f"burn_in must be smaller than n_steps, which counts all steps; got burn_in="
            f"{run['burn_in']}, n_steps={n_steps}. Use n_steps={run['burn_in']} + those wanted."
        )
    if run["keep_trajectory"] and run["thin"] > left:
        raise ValueError(
            f"thin must be at most n_steps - burn_in = {left} to keep any state; got "
            f"thin={run['thin']}. Lower thin or raise n_steps."
        )
    return size, run


def run_chain(
    move: Callable[[int, Floats, Floats], Floats],
    x: Floats,
    step: float,
    n_steps: int,
    run: RunOptions,
    *,
    n_normals: int,
    limit: float,
) -> LangevinResult:
    """Steps of chains on one score, from ``x`` on."""
    began, burn_in, thin = time.perf_counter(), run["burn_in"], run["thin"]
    record = Record(x, (n_steps - burn_in) // thin, keep=run["keep_trajectory"])

    def after_step(n_taken: int, x: Floats) -> None:
        if not is_within(x, limit):
            cause = (
                f"Either step={step:g} is too large (on a Gaussian of variance v it must be < 4 v): "
                f"lower step; or the score pushes outwards in a tail and belongs to no density."
            )
            raise diverged(x, limit, n_taken, f"step {n_taken}", cause)
        if n_taken > burn_in and (n_taken - burn_in) % thin == 0:
            record.add(x, n_taken)

    x, n_taken, _ = run_steps(
        move, x, n_steps, run, noise=run["random_state"], n_normals=n_normals,
        after_step=after_step, description="chains",
    )  # fmt: skip
    return LangevinResult(x, record.states, n_taken, time.perf_counter() - began, step, None)
