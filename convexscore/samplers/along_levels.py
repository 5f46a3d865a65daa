"""Samplers down a ladder of noise levels: Langevin at each, with or without a predictor."""

from __future__ import annotations

from typing import Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.samplers.along_times import VARIANCES
from convexscore.samplers.options import RunOptions
from convexscore.samplers.reverse import DiffusionResult, affine_step, run_reverse
from convexscore.schedules.levels import LevelScore, check_levels

_CORRECTOR_STEP = 0.1


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


def predictor_corrector(
    score: LevelScore,
    x0: ArrayLike | None,
    levels: ArrayLike,
    *,
    n_corrector: int = 1,
    corrector_step: float | None = None,
    variance: Literal["forward", "posterior"] = "forward",
    **run: Unpack[RunOptions],
) -> DiffusionResult:
    r"""Step down noise levels by reverse diffusion and correct by Langevin steps at each.

    From :math:`\sigma_i` to :math:`\sigma_{i+1}`, with :math:`\beta_i = \sigma_i^2 -
    \sigma_{i+1}^2`, the predictor is

    .. math:: x \leftarrow x + \beta_i\, s(x, \sigma_i) + \tau_i z, \qquad
        \tau_i^2 = \beta_i \quad\text{or}\quad \beta_i \sigma_{i+1}^2/\sigma_i^2,

    and the corrector, ``n_corrector`` times with :math:`\varepsilon = r \sigma_{i+1}^2`,

    .. math:: x \leftarrow x + \tfrac{\varepsilon}{2} s(x, \sigma_{i+1}) + \sqrt{\varepsilon}\, z.

    Parameters
    ----------
    score, x0, levels
        As in `annealed_langevin`; at least two levels.
    n_corrector : int
        Langevin steps per level, 0 for the predictor alone.
    corrector_step : float > 0, optional
        r, the corrector's step in units of σ², default 0.1; stable for data of any law if r < 4.
        The paper's :math:`2 (\rho\,\|z\| / \|s\|)^2`, in its convention half of ours, with the
        norms averaged over all chains is this with r = 4ρ² where \|s\| is √d/σ: its ρ = 0.16 is
        r = 0.1. A fixed r keeps every chain independent of those beside it.
    variance : {"forward", "posterior"}
        :math:`\tau_i^2`: the first, the paper's reverse diffusion, or the second, its ancestral
        sampling (right for a point mass).
    **run
        See `RunOptions`. One step is one predictor with its correctors.

    Returns
    -------
    DiffusionResult
        ``times`` are noise levels σ.

    Raises
    ------
    ChainDivergedError, ValueError, TypeError
        As in `ddpm`.

    References
    ----------
    Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, *Score-based generative modeling through
    stochastic differential equations*, ICLR 2021, Algorithms 2 and 4, appendices F and G.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.samplers import predictor_corrector
    >>> from convexscore.schedules import geometric_levels
    >>> score = lambda x, sigma: (2 * np.tanh(2 * x / sigma**2) - x) / sigma**2  # X in {-2, 2}
    >>> run = predictor_corrector(score, None, geometric_levels(10.0, 0.1, 60), n_samples=500,
    ...                           random_state=0)
    >>> bool(np.abs(np.abs(run.samples) - 2).max() < 1e-6)
    True
    """
    sigmas = check_levels(levels, at_least=2)
    check_count(n_corrector, name="n_corrector", minimum=0)
    ratio = _CORRECTOR_STEP if corrector_step is None else corrector_step
    ratio = check_positive(ratio, name="corrector_step", hint="It is in units of σ².")
    if corrector_step is not None and n_corrector == 0:
        raise ValueError("corrector_step has no effect with n_corrector=0. Leave one of them out.")
    check_choice(variance, VARIANCES, name="variance")
    beta = sigmas[:-1] ** 2 - sigmas[1:] ** 2
    tau2 = beta if variance == "forward" else beta * (sigmas[1:] / sigmas[:-1]) ** 2
    epsilon = ratio * sigmas[1:] ** 2
    predict = affine_step(score, sigmas[:-1], 1.0, beta, np.sqrt(tau2))
    correct = affine_step(score, sigmas[1:], 1.0, epsilon / 2, np.sqrt(epsilon))

    def step(k: int, x: Floats, z: Floats) -> Floats:
        x = predict(k, x, z)
        for j in range(1, n_corrector + 1):
            x = correct(k, x, z[:, j:])
        return x

    return run_reverse(
        predictor_corrector, score, x0, sigmas, step, n_normals=1 + n_corrector, is_time=False,
        given=run,
    )  # fmt: skip
