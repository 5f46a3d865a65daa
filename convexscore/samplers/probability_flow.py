"""Probability flow: the deterministic reverse of noising, by exponential Euler or Heun."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.samplers.options import RunOptions
from convexscore.samplers.reverse import DiffusionResult, affine_step, run_reverse
from convexscore.samplers.run import evaluate_score
from convexscore.schedules.levels import LevelScore
from convexscore.schedules.time_grids import GridLike, as_time_grid


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
