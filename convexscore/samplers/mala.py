"""Metropolis-adjusted Langevin algorithm (Besag 1994; Roberts and Tweedie 1996)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_callable, check_returned
from convexscore.samplers import run as loop
from convexscore.samplers.langevin import LangevinResult, read_plan, run_chain
from convexscore.samplers.options import RunOptions

Function: TypeAlias = Callable[[Floats], ArrayLike]

_LOW_ACCEPTANCE = 0.1


class MalaState(NamedTuple):
    """Positions of the chains with the score, of their shape, and the log-density, (n_chains,)."""

    x: Floats
    slope: Floats
    height: Floats


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
    start, burn_in = loop.check_start(x0), options["burn_in"]
    slope = loop.score_at_start(score, start)
    hint = "Without one, use langevin(score, x0, ...)."
    check_callable(log_density, name="log_density", form="x -> one number a chain", hint=hint)
    height = loop.check_finite_at_start(_evaluate_log_density(log_density, start), "log_density")
    state, accepted = MalaState(start, slope, height), np.zeros(len(start), dtype=np.int64)

    def move(k: int, x: Floats, z: Floats) -> Floats:
        nonlocal state
        state, moved = mala_step(score, log_density, size, state, z)
        if k == burn_in:
            accepted[:] = 0
        accepted[moved] += 1
        return state.x

    limit, n_normals = loop.explosion_limit(start, slope, size), start[0].size + 2
    result = run_chain(move, start, size, n_steps, options, n_normals=n_normals, limit=limit)
    # Stopped during burn-in: nothing else to report but the rate of burn-in itself.
    rate = float(accepted.mean() / (max(result.n_steps - burn_in, 0) or result.n_steps))
    if rate < _LOW_ACCEPTANCE:
        from convexscore._tools.exceptions import ConvergenceWarning  # imports sklearn: not free

        warnings.warn(
            f"mala accepted {rate:.2g} of the proposals, wanted at least {_LOW_ACCEPTANCE:g}; "
            f"{np.count_nonzero(accepted == 0)} of {len(start)} chains never moved. The samples "
            f"still depend on x0: lower step={size:g} or start where the density is not negligible.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return replace(result, acceptance_rate=rate)


def mala_step(
    score: Function, log_density: Function, step: float, state: MalaState, z: Floats
) -> tuple[MalaState, NDArray[np.bool_]]:
    """One step from ``z`` (n_chains, d + 2), standard normal; also which chains moved."""
    half, root = 0.5 * step, step**0.5
    x, slope, height = state
    d = x[0].size
    forward = z[:, :d].reshape(x.shape)
    proposal = x + half * slope + root * forward
    new = MalaState(
        proposal, loop.evaluate_score(score, proposal), _evaluate_log_density(log_density, proposal)
    )
    # The normal number that would lead back: q(x|x') and q(x'|x) are exp(-|z|²/2) of the two.
    backward = (x - proposal - half * new.slope) / root
    log_ratio = new.height - height + 0.5 * (_squared(forward) - _squared(backward))
    # −log of a uniform number is half the squared length of two normal ones: every chain uses
    # normal numbers only, d + 2 a step. NaN compares as false, that is, rejects.
    accept = log_ratio >= -0.5 * _squared(z[:, d:])
    accept &= np.isfinite(new.slope.reshape(len(x), -1)).all(axis=1)
    rows = accept if x.ndim == 1 else accept[:, None]
    moved = MalaState(
        np.where(rows, proposal, x),
        np.where(rows, new.slope, slope),
        np.where(accept, new.height, height),
    )
    return moved, accept


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
