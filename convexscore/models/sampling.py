"""Samples of a fitted score: exact where the law is known, chains elsewhere."""

from __future__ import annotations

from typing import Any, Unpack

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.objectives.options import refuse_without_effect
from convexscore.samplers import LangevinResult, langevin, mala
from convexscore.samplers.options import NOT_OF_CHAINS, RunOptions, read_options
from convexscore.scores.base import Score

METHODS = ("exact", "langevin", "mala")
_N_STEPS = 2000


def sample_rows(score: Score, n: int, *, random_state: RandomState) -> Floats:
    """Exact samples as rows (n, d)."""
    return score.law().sample(n, random_state=random_state)[:, None]


def run_chains(
    score: Score,
    n: int,
    *,
    method: str,
    step: float | None,
    n_steps: int | None,
    **run: Unpack[RunOptions],
) -> LangevinResult:
    """Langevin or MALA chains from where the score says, one per sample; states are rows (n, d)."""
    rng = check_random_state(run.pop("random_state", None))
    rows, default_step = score.starts(n, rng)
    plan: dict[str, Any] = dict(
        step=default_step if step is None else check_positive(step, name="step"),
        n_steps=_N_STEPS if n_steps is None else n_steps,
        random_state=rng,
        **run,
    )
    if method == "langevin":
        score.warn_if_rotational()
        return langevin(score, rows, **plan)
    score.log_density(rows[:1])  # refuses a score without one before any work
    return mala(score, score.log_density, rows, **plan)


def check_plan(
    fit: Any,
    n: int,
    method: str | None,
    step: float | None,
    n_steps: int | None,
    run: RunOptions,
    return_result: bool,
) -> str:
    """The method to use; refuses options that nobody knows or that it does not read."""
    score: Score = fit.score_
    check_count(n, name="n")
    if method is None:
        method = "exact" if score.samples_exactly else "langevin"
    check_choice(method, METHODS, name="method")
    options = read_options(fit.sample, run, without=NOT_OF_CHAINS)
    if method == "exact":
        if not score.samples_exactly:
            raise ValueError(
                f"method='exact' is for one column; with {score.dim} use 'langevin', or 'mala' with "
                "constraint='gradient'."
            )
        given = {"step": step, "n_steps": n_steps, "return_result": return_result, **run}
        given.pop("random_state", None)
        for name, value in given.items():
            refuse_without_effect(name, value, "method='exact'", "method='langevin' or 'mala'")
    elif options["keep_trajectory"] and not return_result:
        raise ValueError(
            "keep_trajectory = True has no effect without return_result=True, which returns the "
            "trajectory beside the samples."
        )
    return method
