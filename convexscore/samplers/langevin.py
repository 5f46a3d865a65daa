"""Chains on one score: unadjusted Langevin and MALA (Besag 1994; Roberts and Tweedie 1996)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import (
    check_callable,
    check_count,
    check_positive,
    check_returned,
)
from convexscore.samplers import run as loop
from convexscore.samplers.options import NOT_OF_CHAINS, RunOptions, read_options

Function: TypeAlias = Callable[[Floats], ArrayLike]

_LOW_ACCEPTANCE = 0.1


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
            f"thin must be at most n_steps - burn_in = {left}; got {run['thin']}. Lower it."
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
        move, x, n_steps, run, noise=run["random_state"], n_normals=n_normals, after_step=after_step
    )
    return LangevinResult(x, record.states, n_taken, time.perf_counter() - began, step, None)


def langevin(
    score: Function,
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


def mala(
    score: Function,
    log_density: Function,
    x0: ArrayLike,
    *,
    step: float,
    n_steps: int,
    **run: Unpack[RunOptions],
) -> LangevinResult:
    r"""Run many Metropolis-adjusted Langevin chains at once: no discretisation bias.

    The Langevin step :math:`x' = x + \tfrac{\varepsilon}{2} s(x) + \sqrt{\varepsilon} z` is a
    proposal, accepted with probability

    .. math:: \min\Big\{1, \frac{p(x')\, q(x | x')}{p(x)\, q(x' | x)}\Big\}, \qquad
        q(\cdot | x) = N\big(x + \tfrac{\varepsilon}{2} s(x), \varepsilon I\big),

    which leaves the law of ``log_density`` exactly invariant at every step size; the score only
    steers the proposals.

    Parameters
    ----------
    score : callable
        Takes all chains at once, returns an array of the same shape, in units of 1/x.
    log_density : callable
        :math:`\log p` up to a constant; takes all chains, returns one number a chain, shape
        (n_chains,). It may be −inf outside the support.
    x0 : array (n_chains,) or (n_chains, d)
        Initial states, inside the support.
    step : float > 0
        Step size ε, in squared units of x. An acceptance rate near 0.6 is efficient.
    n_steps : int
        Number of steps in all, burn-in included.
    **run
        See `RunOptions`.

    Returns
    -------
    LangevinResult
        As in `langevin`, with ``acceptance_rate``: the share of proposals accepted after burn-in.

    Raises
    ------
    ValueError, TypeError
        If an argument, or the shape of what ``score`` or ``log_density`` returns, is not as
        described, or if ``log_density`` is not finite at ``x0`` or +inf anywhere.

    Warns
    -----
    ConvergenceWarning
        If less than a tenth of the proposals is accepted: the chains hardly move. Either the
        step is too large or the law does not exist (``log_density`` rises in a tail).

    Notes
    -----
    A proposal at which ``log_density`` or ``score`` is not a number, or −inf, is rejected.

    References
    ----------
    G. O. Roberts and R. L. Tweedie, "Exponential convergence of Langevin distributions and their
    discrete approximations", Bernoulli 2 (1996), section 1.4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.samplers import mala
    >>> run = mala(lambda x: -x, lambda x: -x**2 / 2, np.zeros(4000), step=1.0, n_steps=30,
    ...            random_state=0)
    >>> bool(abs(run.samples.var() - 1) < 0.1)
    True
    """
    size, options = read_plan(mala, step, n_steps, run)
    x, burn_in = loop.check_start(x0), options["burn_in"]
    slope = loop.score_at_start(score, x)
    hint = "Without one, use langevin(score, x0, ...)."
    check_callable(log_density, name="log_density", form="x -> one number a chain", hint=hint)
    height = loop.check_finite_at_start(_evaluate_log_density(log_density, x), "log_density")
    limit, d = loop.explosion_limit(x, slope, size), x[0].size
    half, root, accepted = 0.5 * size, size**0.5, np.zeros(len(x), dtype=np.int64)

    def move(k: int, x: Floats, z: Floats) -> Floats:
        nonlocal slope, height
        forward = z[:, :d].reshape(x.shape)
        proposal = x + half * slope + root * forward
        new_slope = loop.evaluate_score(score, proposal)
        new_height = _evaluate_log_density(log_density, proposal)
        # The normal number that would lead back: q(x|x') and q(x'|x) are exp(-|z|²/2) of the two.
        backward = (x - proposal - half * new_slope) / root
        log_ratio = new_height - height + 0.5 * (_squared(forward) - _squared(backward))
        # −log of a uniform number is half the squared length of two normal ones: every chain uses
        # normal numbers only, d + 2 a step. NaN compares as false, that is, rejects.
        accept = log_ratio >= -0.5 * _squared(z[:, d:])
        accept &= np.isfinite(new_slope.reshape(len(x), -1)).all(axis=1)
        rows = accept if x.ndim == 1 else accept[:, None]
        slope, height = np.where(rows, new_slope, slope), np.where(accept, new_height, height)
        if k == burn_in:
            accepted[:] = 0
        accepted[accept] += 1
        return np.where(rows, proposal, x)

    result = run_chain(move, x, size, n_steps, options, n_normals=d + 2, limit=limit)
    # Stopped during burn-in: nothing else to report but the rate of burn-in itself.
    rate = float(accepted.mean() / (max(result.n_steps - burn_in, 0) or result.n_steps))
    if rate < _LOW_ACCEPTANCE:
        from convexscore._tools.exceptions import ConvergenceWarning  # imports sklearn: not free

        warnings.warn(
            f"mala accepted {rate:.2g} of the proposals, wanted at least {_LOW_ACCEPTANCE:g}; "
            f"{np.count_nonzero(accepted == 0)} of {len(x)} chains never moved. The samples "
            f"still depend on x0: lower step={size:g} or start where the density is not negligible.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return replace(result, acceptance_rate=rate)


def _squared(z: Floats) -> Floats:
    """|z|² of every chain."""
    return z * z if z.ndim == 1 else np.einsum("ij,ij->i", z, z)


def _evaluate_log_density(log_density: Function, x: Floats) -> Floats:
    value, n_chains = np.asarray(log_density(x)), len(x)
    if value.shape == x.shape == (n_chains, 1):
        value = value[:, 0]
    hint = "It is one number a chain: sum it over coordinates."
    value = check_returned(value, (n_chains,), name="log_density", hint=hint)
    n_poles = int(np.count_nonzero(np.isposinf(value)))
    if n_poles:
        raise ValueError(
            f"log_density must be < +inf; it is +inf for {n_poles} of {n_chains} chains. A density "
            f"with poles cannot be sampled with MALA."
        )
    return value
