"""Metropolis-adjusted Langevin algorithm (Besag 1994; Roberts and Tweedie 1996)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState
from convexscore.samplers.chain import (
    Callback,
    ChainPlan,
    Floats,
    LangevinResult,
    Score,
    check_start,
    evaluate_at_start,
    evaluate_score,
    explosion_limit,
    run_chains,
)

LogDensity: TypeAlias = Callable[[Floats], ArrayLike]

_LOW_ACCEPTANCE = 0.1


def mala(
    score: Score,
    log_density: LogDensity,
    x0: ArrayLike,
    *,
    step: float,
    n_steps: int,
    burn_in: int = 0,
    thin: int = 1,
    keep_trajectory: bool = False,
    random_state: RandomState = None,
    callback: Callback | None = None,
    progress: bool = False,
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
    n_steps, burn_in, thin, keep_trajectory, random_state, callback, progress
        As in `langevin`.

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
    plan = ChainPlan(
        step, n_steps, burn_in, thin, keep_trajectory, random_state, callback, progress
    )
    start = check_start(x0)
    slope = evaluate_at_start(score, start)
    height = _log_density_at_start(log_density, start)
    limit = explosion_limit(start, slope, step)
    half, root = 0.5 * float(step), float(step) ** 0.5
    d = start.shape[1] if start.ndim == 2 else 1
    accepted = np.zeros(len(start), dtype=np.int64)

    def transition(t: int, x: Floats, z: Floats) -> Floats:
        nonlocal slope, height
        if t == plan.burn_in:
            accepted[:] = 0
        forward = z[:, :d].reshape(x.shape)
        proposal = x + half * slope + root * forward
        new_slope = evaluate_score(score, proposal)
        new_height = _evaluate_log_density(log_density, proposal)
        # The normal number that would lead back: q(x|x') and q(x'|x) are exp(-|z|²/2) of the two.
        backward = (x - proposal - half * new_slope) / root
        log_ratio = new_height - height + 0.5 * (_squared(forward) - _squared(backward))
        # −log of a uniform number is half the squared length of two normal ones: every chain uses
        # normal numbers only, d + 2 a step. NaN compares as false, that is, rejects.
        accept = log_ratio >= -0.5 * _squared(z[:, d:])
        accept &= np.isfinite(new_slope.reshape(len(x), -1)).all(axis=1)
        accepted[accept] += 1
        rows = accept if x.ndim == 1 else accept[:, None]
        slope = np.where(rows, new_slope, slope)
        height = np.where(accept, new_height, height)
        return np.where(rows, proposal, x)

    result, n_after = run_chains(transition, start, plan, n_draws=d + 2, limit=limit)
    # Stopped during burn-in: nothing else to report but the rate of burn-in itself.
    rate = float(accepted.mean() / (n_after or result.n_steps))
    if rate < _LOW_ACCEPTANCE:
        _warn_low_acceptance(rate, int(np.count_nonzero(accepted == 0)), plan, len(start))
    return replace(result, acceptance_rate=rate)


def _squared(z: Floats) -> Floats:
    """|z|² of every chain."""
    return z * z if z.ndim == 1 else np.einsum("ij,ij->i", z, z)


def _evaluate_log_density(log_density: LogDensity, x: Floats) -> Floats:
    value = np.asarray(log_density(x), dtype=np.float64)
    n_chains = len(x)
    if value.shape == (n_chains, 1) and x.shape == (n_chains, 1):
        value = value[:, 0]
    if value.shape != (n_chains,):
        raise ValueError(
            f"log_density must return one number a chain, shape ({n_chains},), for an input of "
            f"shape {x.shape}; got shape {value.shape}. Sum it over coordinates."
        )
    n_poles = int(np.count_nonzero(np.isposinf(value)))
    if n_poles:
        raise ValueError(
            f"log_density must be < +inf; it is +inf for {n_poles} of {n_chains} chains. A density "
            f"with poles cannot be sampled with MALA."
        )
    return value


def _log_density_at_start(log_density: LogDensity, x0: Floats) -> Floats:
    if not callable(log_density):
        raise TypeError(
            f"log_density must be a callable x -> one number a chain; got "
            f"{type(log_density).__name__}. Without one, use langevin(score, x0, ...)."
        )
    value = _evaluate_log_density(log_density, x0)
    bad = int(np.count_nonzero(~np.isfinite(value)))
    if bad:
        raise ValueError(
            f"log_density must be finite at x0; it is not for {bad} of {len(x0)} chains. "
            f"Start inside the support of the law."
        )
    return value


def _warn_low_acceptance(rate: float, n_stuck: int, plan: ChainPlan, n_chains: int) -> None:
    from convexscore._tools.exceptions import ConvergenceWarning  # imports scikit-learn: not free

    warnings.warn(
        f"mala accepted {rate:.2g} of the proposals, wanted at least {_LOW_ACCEPTANCE:g}; "
        f"{n_stuck} of {n_chains} chains never moved. The samples still depend on x0: lower "
        f"step={plan.step:g} or start where the density is not negligible.",
        ConvergenceWarning,
        stacklevel=3,
    )
