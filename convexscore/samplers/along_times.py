"""Samplers back along the Ornstein–Uhlenbeck process: DDPM, random or along its probability flow."""

from __future__ import annotations

from typing import Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice
from convexscore.samplers.options import RunOptions
from convexscore.samplers.reverse import DiffusionResult, affine_step, run_reverse
from convexscore.samplers.run import evaluate_score
from convexscore.schedules.levels import LevelScore, vp
from convexscore.schedules.time_grids import GridLike, as_time_grid

VARIANCES = ("posterior", "forward")


def ddpm(
    score: LevelScore, x0: ArrayLike | None, grid: GridLike, **run: Unpack[RunOptions]
) -> DiffusionResult:
    r"""Run the reverse Ornstein–Uhlenbeck process with the score frozen within each step.

    .. math:: x \leftarrow e^{\gamma_k} x + 2(e^{\gamma_k} - 1)\, s(x, t_k)
        + \sqrt{e^{2\gamma_k} - 1}\; z, \qquad z \sim N(0, I), \quad \gamma_k = t_k - t_{k+1}

    Parameters
    ----------
    score : callable
        ``score(x, t)``, the score of the law of :math:`e^{-t} X + \sqrt{1 - e^{-2t}}\, G`; takes
        many chains and one OU time, returns an array of the shape of ``x``, in units of 1/x. From
        a law or a denoiser by `convexscore.scores.vp_score`.
    x0 : array (n_chains,) or (n_chains, d), or None
        Initial states at time ``grid.horizon``; None draws them from :math:`N(0, I)`.
    grid : TimeGrid or array_like (K+1,)
        Decreasing remaining times, see `convexscore.schedules`.
    **run
        Run options: the number of chains, random state, trajectory, final denoising, callback ...,
        see `RunOptions`.

    Returns
    -------
    DiffusionResult
        ``samples``, ``trajectory`` and its ``times``, ``n_steps``, ``seconds``.

    Raises
    ------
    ChainDivergedError
        If a chain becomes non-finite or explodes; ``step`` and ``chains`` of the error say when
        and which. No NaN is ever returned.
    ValueError, TypeError
        If an argument, or the shape of what ``score`` returns, is not as described.

    Notes
    -----
    Errors come from the start (:math:`e^{-T}`), the steps (first order in their length relative to
    min(1, t)) and the score. Time and noise are O(K n d) besides K + 2 calls of the score.

    References
    ----------
    Chen, Chewi, Li, Li, Salim, Zhang, *Sampling is as easy as learning the score: theory for
    diffusion models with minimal data assumptions*, ICLR 2023, equation (5).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.samplers import ddpm
    >>> from convexscore.schedules import exponential_grid
    >>> def score(x, t):  # X uniform on {-2, 2}
    ...     scale, sigma = np.exp(-t), np.sqrt(1 - np.exp(-2 * t))
    ...     return (scale * 2 * np.tanh(2 * scale * x / sigma**2) - x) / sigma**2
    >>> run = ddpm(score, None, exponential_grid(4.0, 60), n_samples=500, random_state=0)
    >>> bool(np.abs(np.abs(run.samples) - 2).max() < 1e-6)
    True
    """
    line = as_time_grid(grid)
    gamma = line.steps
    noise = np.sqrt(np.expm1(2 * gamma))
    step = affine_step(score, line.times[:-1], np.exp(gamma), 2 * np.expm1(gamma), noise)
    return run_reverse(ddpm, score, x0, line.times, step, is_time=True, given=run)


def ancestral(
    score: LevelScore,
    x0: ArrayLike | None,
    grid: GridLike,
    *,
    variance: Literal["posterior", "forward"] = "posterior",
    **run: Unpack[RunOptions],
) -> DiffusionResult:
    r"""Run ancestral DDPM: each state is drawn given the last one and the denoised guess of X.

    With :math:`\alpha = e^{-\gamma_k}` the forward process from :math:`t_{k+1}` to :math:`t_k`
    multiplies by α and adds noise of variance :math:`1 - \alpha^2`; its reversal is

    .. math:: x \leftarrow \tfrac1\alpha \big(x + (1 - \alpha^2)\, s(x, t_k)\big) + \tau_k z,
        \qquad \tau_k^2 = (1 - \alpha^2)\, \frac{\sigma_{k+1}^2}{\sigma_k^2}
        \quad\text{or}\quad 1 - \alpha^2.

    Parameters
    ----------
    score, x0, grid
        As in `ddpm`.
    variance : {"posterior", "forward"}
        :math:`\tau_k^2`: that of the state given the last one and a *known* X (the first, right
        for a point mass), or that of the forward noise (the second, right for X normal with unit
        variance).
    **run
        See `RunOptions`.

    Returns
    -------
    DiffusionResult

    Raises
    ------
    ChainDivergedError, ValueError, TypeError
        As in `ddpm`.

    Notes
    -----
    With ``variance="posterior"`` the final denoising is the ancestral step to time 0.

    References
    ----------
    Ho, Jain, Abbeel, *Denoising diffusion probabilistic models*, NeurIPS 2020, equations (6), (7),
    (11) and section 3.2, with :math:`\bar\alpha = e^{-2t}`.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.samplers import ancestral
    >>> def score(x, t):  # X = 3
    ...     return (3 * np.exp(-t) - x) / (1 - np.exp(-2 * t))
    >>> run = ancestral(score, None, [4.0, 2.0, 0.5, 0.0], n_samples=5, random_state=0)
    >>> run.samples.round(9).tolist()
    [3.0, 3.0, 3.0, 3.0, 3.0]
    """
    line = as_time_grid(grid)
    check_choice(variance, VARIANCES, name="variance")
    growth, tau2 = np.exp(line.steps), -np.expm1(-2 * line.steps)
    drift = growth * tau2
    if variance == "posterior":
        sigma = vp(line.times)[1]
        tau2 = tau2 * (sigma[1:] / sigma[:-1]) ** 2
    step = affine_step(score, line.times[:-1], growth, drift, np.sqrt(tau2))
    return run_reverse(ancestral, score, x0, line.times, step, is_time=True, given=run)


def probability_flow(
    score: LevelScore, x0: ArrayLike | None, grid: GridLike, **run: Unpack[RunOptions]
) -> DiffusionResult:
    r"""Follow the probability flow by exponential Euler: first order in the step.

    The flow :math:`dx = (x + s(x, t))\, d\tau`, :math:`t = T - \tau`, carries the law at time T to
    the laws at all smaller times without noise; with the score frozen within each step

    .. math:: x \leftarrow e^{\gamma_k} x + (e^{\gamma_k} - 1)\, s(x, t_k).

    Parameters
    ----------
    score, x0, grid
        As in `ddpm`. All randomness is in the start.
    **run
        See `RunOptions`.

    Returns
    -------
    DiffusionResult

    Raises
    ------
    ChainDivergedError, ValueError, TypeError
        As in `ddpm`.

    Notes
    -----
    ``final_denoising=False`` ends at the law of time δ, whose variance is about
    :math:`\sigma_\delta^2` above that of X; denoising leaves it about as much below.

    References
    ----------
    Song, Sohl-Dickstein, Kingma, Kumar, Ermon, Poole, *Score-based generative modeling through
    stochastic differential equations*, ICLR 2021, equation (13), for the OU process.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.samplers import probability_flow
    >>> from convexscore.schedules import uniform_grid
    >>> run = probability_flow(lambda x, t: -x, [1.0, -2.0], uniform_grid(3.0, 10),
    ...                        final_denoising=False)
    >>> run.samples.round(12).tolist()  # N(0, 1) does not change, nor do its points
    [1.0, -2.0]
    """
    line = as_time_grid(grid)
    step = affine_step(score, line.times[:-1], np.exp(line.steps), np.expm1(line.steps))
    return run_reverse(
        probability_flow, score, x0, line.times, step, n_normals=0, is_time=True, given=run
    )


def heun(
    score: LevelScore, x0: ArrayLike | None, grid: GridLike, **run: Unpack[RunOptions]
) -> DiffusionResult:
    r"""Follow the probability flow by exponential Heun: second order, two scores a step.

    An exponential Euler step to :math:`x'` predicts; then the score is taken as linear in time
    between the two ends and the linear equation solved exactly:

    .. math:: x' = e^{\gamma} x + (e^{\gamma} - 1)\, s(x, t_k), \qquad
        x \leftarrow x' + \frac{e^{\gamma} - 1 - \gamma}{\gamma}
        \big(s(x', t_{k+1}) - s(x, t_k)\big).

    Parameters
    ----------
    score, x0, grid
        As in `probability_flow`. The score is also evaluated at the end of the grid: for δ = 0
        the law's own score must exist.
    **run
        See `RunOptions`.

    Returns
    -------
    DiffusionResult

    Raises
    ------
    ChainDivergedError, ValueError, TypeError
        As in `ddpm`.

    References
    ----------
    Cox, Matthews, *Exponential time differencing for stiff systems*, J. Comput. Phys. 176 (2002),
    equations (20)-(22) (ETD2RK), on the flow of Song et al. (ICLR 2021), equation (13).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.samplers import heun
    >>> from convexscore.schedules import uniform_grid
    >>> score = lambda x, t: -x / (1 + 3 * np.exp(-2 * t))  # X ~ N(0, 4)
    >>> run = heun(score, [1.0], uniform_grid(2.0, 100, end=0.0))
    >>> exact = 2 / np.sqrt(1 + 3 * np.exp(-4))  # ratio of the standard deviations
    >>> bool(abs(run.samples[0] - exact) < 1e-3)
    True
    """
    line = as_time_grid(grid)
    times, gamma = line.times.tolist(), line.steps
    growth, first = np.exp(gamma).tolist(), np.expm1(gamma).tolist()
    second = ((np.expm1(gamma) - gamma) / gamma).tolist()

    def step(k: int, x: Floats, z: Floats) -> Floats:
        here = evaluate_score(score, x, times[k])
        new = growth[k] * x
        new += first[k] * here
        there = evaluate_score(score, new, times[k + 1])
        # Not in place: a score may hand out the array it was given.
        return new + second[k] * (there - here)

    return run_reverse(heun, score, x0, line.times, step, n_normals=0, is_time=True, given=run)
