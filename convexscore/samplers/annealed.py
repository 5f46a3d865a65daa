"""Annealed Langevin dynamics (Song and Ermon 2019): Langevin down a ladder of noise levels."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_count, check_positive
from convexscore.samplers.options import RunOptions
from convexscore.samplers.reverse import DiffusionResult, affine_step, run_reverse
from convexscore.schedules.levels import LevelScore, check_levels


def annealed_langevin(
    score: LevelScore,
    x0: ArrayLike | None,
    levels: ArrayLike,
    *,
    step: float,
    n_steps: int,
    **run: Unpack[RunOptions],
) -> DiffusionResult:
    r"""Run Langevin dynamics at decreasing noise levels, with steps proportional to σ².

    For every level :math:`\sigma_1 > \dots > \sigma_L` repeat ``n_steps`` times

    .. math:: x \leftarrow x + \tfrac{\alpha_i}{2} s(x, \sigma_i) + \sqrt{\alpha_i}\, z, \qquad
        \alpha_i = \alpha\, (\sigma_i/\sigma_L)^2, \quad z \sim N(0, I).

    Parameters
    ----------
    score : callable
        ``score(x, sigma)``, the score of the law of :math:`X + \sigma G` (variance exploding); from
        a VP score by `convexscore.scores.vp_score_to_ve`, from a law by `convexscore.scores.ve_score`.
    x0 : array (n_chains,) or (n_chains, d), or None
        Initial states; None draws them from :math:`N(0, \sigma_1^2 I)`.
    levels : array_like (L,)
        Decreasing noise levels, see `convexscore.schedules.geometric_levels`.
    step : float > 0
        α, the step size at the *last* level, in squared units of x. Stable for data of any law if
        α < 4 σ_L²; a tenth of σ_L² keeps the bias (see `langevin`) near two percent.
    n_steps : int
        Steps per level.
    **run
        See `RunOptions`; the final denoising is :math:`x + \sigma_L^2 s(x, \sigma_L)`.

    Returns
    -------
    DiffusionResult
        ``n_steps`` counts the steps of all levels, ``times`` are noise levels σ.

    Raises
    ------
    ChainDivergedError, ValueError, TypeError
        As in `ddpm`.

    Notes
    -----
    Each level must be close enough to the next for its samples to be a good start there, and
    ``n_steps`` large enough to reach it: a level forgets with :math:`(1 - \alpha_i/2v_i)` a step,
    :math:`v_i = v + \sigma_i^2`. Modes get their right shares at the large levels only.

    References
    ----------
    Song, Ermon, *Generative modeling by estimating gradients of the data distribution*, NeurIPS
    2019, Algorithm 1; the final denoising step: Jolicoeur-Martineau et al., ICLR 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.samplers import annealed_langevin
    >>> from convexscore.schedules import geometric_levels
    >>> score = lambda x, sigma: (2 * np.tanh(2 * x / sigma**2) - x) / sigma**2  # X in {-2, 2}
    >>> run = annealed_langevin(score, None, geometric_levels(5.0, 0.1, 10), step=0.001, n_steps=20,
    ...                         n_samples=500, random_state=0)
    >>> bool(np.abs(np.abs(run.samples) - 2).max() < 1e-6)
    True
    """
    sigmas = check_levels(levels)
    size = check_positive(step, name="step", hint="A tenth of the last level squared is a start.")
    check_count(n_steps, name="n_steps")
    each = np.repeat(sigmas, n_steps)
    alpha = size * (each / sigmas[-1]) ** 2
    move = affine_step(score, each, 1.0, alpha / 2, np.sqrt(alpha))
    path = np.append(sigmas[:1], each)
    return run_reverse(annealed_langevin, score, x0, path, move, is_time=False, given=run)
