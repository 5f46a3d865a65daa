"""Chains on one score: unadjusted Langevin (Roberts and Tweedie 1996; Durmus and Moulines 2017)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Unpack

from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_positive
from convexscore.samplers import run as loop
from convexscore.samplers.options import NOT_OF_CHAINS, RunOptions, read_options


@dataclass(frozen=True, eq=False, repr=False)
class LangevinResult(loop.RunResult):
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
    record = loop.Record(x, (n_steps - burn_in) // thin, keep=run["keep_trajectory"])

    def after_step(n_taken: int, x: Floats) -> None:
        if not loop.is_within(x, limit):
            cause = (
                f"Either step={step:g} is too large (on a Gaussian of variance v it must be < 4 v): "
                f"lower step; or the score pushes outwards in a tail and belongs to no density."
            )
            raise loop.diverged(x, limit, n_taken, f"step {n_taken}", cause)
        if n_taken > burn_in and (n_taken - burn_in) % thin == 0:
            record.add(x, n_taken)

    x, n_taken, _ = loop.run_steps(
        move, x, n_steps, run, noise=run["random_state"], n_normals=n_normals,
        after_step=after_step, description="chains",
    )  # fmt: skip
    return LangevinResult(x, record.states, n_taken, time.perf_counter() - began, step, None)


def langevin(
    score: Callable[[Floats], ArrayLike],
    x0: ArrayLike,
    *,
    step: float,
    n_steps: int,
    **run: Unpack[RunOptions],
) -> LangevinResult:
    r"""Run many Langevin chains at once on any score.

    .. math:: x \leftarrow x + \tfrac{\varepsilon}{2} s(x) + \sqrt{\varepsilon}\, z, \qquad
        z \sim N(0, I)

    Parameters
    ----------
    score : callable
        Score of the law, :math:`s = \nabla \log p`; takes all chains at once and returns an array
        of the same shape, in units of 1/x.
    x0 : array (n_chains,) or (n_chains, d)
        Initial states.
    step : float > 0
        Step size ε, in squared units of x. See Notes for the price of a large one.
    n_steps : int
        Number of steps in all, burn-in included.
    **run
        Run options: random state, burn-in, trajectory, callback ..., see `RunOptions`.

    Returns
    -------
    LangevinResult
        ``samples`` (final states), ``trajectory``, ``n_steps``, ``step``, ``seconds``.

    Raises
    ------
    ChainDivergedError
        If a chain becomes non-finite or explodes: step too large, or a score whose tail pushes
        outwards. No NaN is ever returned.
    ValueError, TypeError
        If an argument, or the shape of what ``score`` returns, is not as described.

    Notes
    -----
    The chain's stationary law is not quite the law of the score. On a Gaussian :math:`N(\mu, v)`
    it is an AR(1) process with coefficient :math:`1 - \varepsilon/(2v)`, mean :math:`\mu` and
    stationary variance :math:`v / (1 - \varepsilon/(4v))`: ε = 0.04 v makes it one percent too
    wide, and it is stable for ε < 4 v only. Its memory is about 2v/ε steps. With several modes,
    v is the variance of the narrowest. `mala` removes the bias where a log-density is known.

    References
    ----------
    G. O. Roberts and R. L. Tweedie, "Exponential convergence of Langevin distributions and their
    discrete approximations", Bernoulli 2 (1996).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.samplers import langevin
    >>> run = langevin(lambda x: -x, np.zeros(4000), step=1.0, n_steps=30, random_state=0)
    >>> bool(abs(run.samples.var() - 4 / 3) < 0.15)  # 1 / (1 - 1/4), not 1
    True
    """
    size, options = read_plan(langevin, step, n_steps, run)
    if options["burn_in"] and not options["keep_trajectory"]:
        raise ValueError(
            f"burn_in={options['burn_in']} has no effect without a trajectory: samples are the final "
            f"states. Leave it out, or keep the states on the way with keep_trajectory=True."
        )
    start = loop.check_start(x0)
    limit = loop.explosion_limit(start, loop.score_at_start(score, start), size)
    half, root = 0.5 * size, size**0.5

    def move(k: int, x: Floats, z: Floats) -> Floats:
        return x + half * loop.evaluate_score(score, x) + root * z.reshape(x.shape)

    return run_chain(move, start, size, n_steps, options, n_normals=start[0].size, limit=limit)
