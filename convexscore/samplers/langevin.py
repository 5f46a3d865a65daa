"""Unadjusted Langevin algorithm (Roberts and Tweedie 1996; theory: Durmus and Moulines 2017)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Unpack

from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.samplers import run as loop
from convexscore.samplers.chain import LangevinResult, read_plan, run_chain
from convexscore.samplers.options import RunOptions


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
