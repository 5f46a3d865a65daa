"""Noise schedules as pure functions: time grids, noise levels, and the maps between the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.validation import check_count, check_positive
from convexscore.schedules.time_grids import (
    as_line,
    shown,
)

Floats: TypeAlias = NDArray[np.float64]
# Score of a family of noised laws: (x, t) with t the OU time, or (x, sigma) with VE noise sigma.
LevelScore: TypeAlias = Callable[[Floats, float], ArrayLike]

_TIME_HINT = "Times are in units in which the Ornstein–Uhlenbeck process forgets as exp(-t)."


def vp(t: ArrayLike) -> tuple[Any, Any]:
    r"""(scale, sigma) of the Ornstein–Uhlenbeck process at time t ("variance preserving").

    .. math:: X_t = e^{-t} X_0 + \sqrt{1 - e^{-2t}}\, G

    Parameters
    ----------
    t : float or array_like >= 0

    Returns
    -------
    scale, sigma : float or ndarray of the shape of ``t``

    Examples
    --------
    >>> from convexscore.schedules import vp
    >>> vp(0.0)
    (1.0, 0.0)
    """
    time = _as_levels("t", t, _TIME_HINT)
    scale, sigma = np.exp(-time), np.sqrt(-np.expm1(-2 * time))
    return (float(scale), float(sigma)) if time.ndim == 0 else (scale, sigma)


def vp_time(sigma_ve: ArrayLike) -> Any:
    r"""OU time at which :math:`\sigma_t/\lambda_t` is the VE noise: :math:`\tfrac12\log(1+\sigma^2)`.

    Examples
    --------
    >>> from convexscore.schedules import ve_level, vp_time
    >>> round(vp_time(ve_level(0.7)), 12)
    0.7
    """
    sigma = _as_levels("sigma_ve", sigma_ve, "It is the noise added to X itself.")
    time = 0.5 * np.log1p(sigma**2)
    return float(time) if time.ndim == 0 else time


def ve_level(t: ArrayLike) -> Any:
    r"""VE noise of OU time t, :math:`\sigma_t/\lambda_t = \sqrt{e^{2t} - 1}`; undoes `vp_time`.

    Examples
    --------
    >>> import math
    >>> from convexscore.schedules import ve_level
    >>> round(ve_level(math.log(2) / 2), 12)
    1.0
    """
    time = _as_levels("t", t, _TIME_HINT)
    sigma = np.sqrt(np.expm1(2 * time))
    return float(sigma) if time.ndim == 0 else sigma


def geometric_levels(sigma_max: float, sigma_min: float, n: int) -> Floats:
    r"""VE noise levels :math:`\sigma_{\max} = \sigma_1 > \dots > \sigma_n = \sigma_{\min}`, equal ratios.

    Parameters
    ----------
    sigma_max, sigma_min : float > 0
        In units of the data: about their largest distance; well below the narrowest feature.
    n : int >= 2

    References
    ----------
    Song, Ermon, *Generative modeling by estimating gradients of the data distribution*, 2019.

    Examples
    --------
    >>> from convexscore.schedules import geometric_levels
    >>> geometric_levels(8.0, 1.0, 4).round(12).tolist()
    [8.0, 4.0, 2.0, 1.0]
    """
    top = check_positive(sigma_max, name="sigma_max", hint="Take the diameter of the data.")
    low = check_positive(sigma_min, name="sigma_min", hint="Take a tenth of the finest feature.")
    n = check_count(n, name="n", minimum=2)
    if not low < top:
        raise ValueError(
            f"sigma_min must be < sigma_max; got sigma_min={low:g}, sigma_max={top:g}. "
            f"Swap them; for one level pass [sigma] to the sampler."
        )
    return np.geomspace(top, low, n)


def ve_score_to_vp(score_ve: LevelScore) -> LevelScore:
    r"""The VP family of scores, ``score(x, t)``, from the VE family, ``score(x, sigma)``.

    .. math:: s_{VP}(z, t) = s_{VE}(z/\lambda_t;\, \sigma_t/\lambda_t) / \lambda_t

    Examples
    --------
    >>> from convexscore.schedules import ve_score_to_vp
    >>> score = ve_score_to_vp(lambda x, sigma: -x / (1 + sigma**2))  # of N(0, 1)
    >>> float(score(0.5, 2.0).round(12))
    -0.5
    """

    def score(x: Floats, t: float) -> ArrayLike:
        scale, _ = vp(t)
        return np.asarray(score_ve(x / scale, ve_level(t))) / scale

    return score


def vp_score_to_ve(score_vp: LevelScore) -> LevelScore:
    r"""The VE family of scores, ``score(x, sigma)``, from the VP family; undoes `ve_score_to_vp`.

    .. math:: s_{VE}(x; \sigma) = \lambda\, s_{VP}(\lambda x, t), \qquad
        \lambda = e^{-t} = 1/\sqrt{1 + \sigma^2}

    Examples
    --------
    >>> from convexscore.schedules import vp_score_to_ve
    >>> score = vp_score_to_ve(lambda x, t: -x)  # of N(0, 1)
    >>> float(score(3.0, 2.0).round(12))
    -0.6
    """

    def score(x: Floats, sigma: float) -> ArrayLike:
        t = vp_time(sigma)
        scale, _ = vp(t)
        return np.asarray(score_vp(x * scale, t)) * scale

    return score


def tweedie(
    score: Callable[[Floats], ArrayLike], z: ArrayLike, scale: float, sigma: float
) -> Floats:
    r"""Denoiser from a score (Tweedie's formula).

    .. math:: E[X \mid z] = \frac{z + \sigma^2 s(z)}{\lambda}, \qquad z = \lambda X + \sigma G

    Parameters
    ----------
    score : callable
        Score of the law of z; returns an array of the shape it is given.
    z : array_like
    scale, sigma : float
        λ > 0 and σ >= 0.

    References
    ----------
    B. Efron, "Tweedie's formula and selection bias", JASA 106 (2011).

    Examples
    --------
    >>> from convexscore.schedules import tweedie
    >>> float(tweedie(lambda z: -z / 5.0, 10.0, 1.0, 2.0))  # X ~ N(0, 1), noise variance 4
    2.0
    """
    scale = check_positive(scale, name="scale", hint="It multiplies X; 1 for VE.")
    sigma = check_positive(sigma, name="sigma", strict=False)
    z = np.asarray(z, dtype=np.float64)
    denoised: Floats = (z + sigma**2 * np.asarray(score(z), dtype=np.float64)) / scale
    return denoised


def check_levels(levels: ArrayLike, *, at_least: int = 1) -> Floats:
    """VE noise levels as a float array, strictly decreasing and positive."""
    values = as_line("levels", levels)
    if len(values) < at_least or not values[-1] > 0 or not (np.diff(values) < 0).all():
        raise ValueError(
            f"levels must be at least {at_least} strictly decreasing noise levels sigma > 0; got "
            f"{shown(values)}. Use geometric_levels(sigma_max, sigma_min, n)."
        )
    return values


def _as_levels(name: str, value: ArrayLike, hint: str) -> Floats:
    levels = np.asarray(value, dtype=np.float64)
    # Written so that NaN fails too.
    if not (levels >= 0).all():
        raise ValueError(f"{name} must be >= 0; got {shown(levels)}. {hint}")
    return levels
