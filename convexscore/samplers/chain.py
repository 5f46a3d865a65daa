"""Chains on one score: their plan and their result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convexscore._tools.validation import check_count, check_positive
from convexscore.samplers.options import NOT_OF_CHAINS, Floats, RunOptions, read_options
from convexscore.samplers.run import Record, State, refuse_divergence, run_steps


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
    """Step size and number of steps of a chain with all run options."""

    step: float
    n_steps: int
    run: RunOptions

    @classmethod
    def read(
        cls, sampler: Callable[..., Any], step: float, n_steps: int, given: RunOptions
    ) -> ChainPlan:
        run = read_options(sampler, given, without=NOT_OF_CHAINS)
        hint = "A tenth of the variance of the narrowest mode is a good start."
        plan = cls(check_positive(step, name="step", hint=hint), n_steps, run)
        check_count(n_steps, name="n_steps")
        burn_in, thin = run["burn_in"], run["thin"]
        if burn_in >= n_steps:
            raise ValueError(
                f"burn_in must be smaller than n_steps, which counts all steps; got "
                f"burn_in={burn_in}, n_steps={n_steps}. Use n_steps={burn_in} + the number of "
                f"steps wanted after burn-in."
            )
        if run["keep_trajectory"] and plan.n_kept == 0:
            raise ValueError(
                f"thin must be at most n_steps - burn_in = {n_steps - burn_in} to keep any state; "
                f"got thin={thin}. Lower thin or raise n_steps."
            )
        return plan

    @property
    def n_kept(self) -> int:
        return (self.n_steps - self.run["burn_in"]) // self.run["thin"]


def run_chain(
    plan: ChainPlan,
    step: Callable[[int, State, Floats], State],
    state: State,
    *,
    position: Callable[[State], Floats],
    n_normals: int,
    limit: float,
) -> LangevinResult:
    """Steps of chains on one score, from ``state`` on."""
    began = time.perf_counter()
    run = plan.run
    record = Record(position(state), plan.n_kept, keep=run["keep_trajectory"])

    def after_step(n_taken: int, x: Floats) -> None:
        refuse_divergence(
            x, limit, n_taken, f"step {n_taken}",
            cause=f"Either step={plan.step:g} is too large (on a Gaussian of variance v it must be "
            f"< 4 v): lower step; or the score pushes outwards in a tail and belongs to no "
            f"density.",
        )  # fmt: skip
        after = n_taken - run["burn_in"]
        if after > 0 and after % run["thin"] == 0:
            record.add(x, n_taken)

    state, n_taken, _ = run_steps(
        step, state, plan.n_steps, run, position=position, noise=run["random_state"],
        n_normals=n_normals, after_step=after_step, description="chains",
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return LangevinResult(position(state), record.states, n_taken, plan.step, None, seconds)
