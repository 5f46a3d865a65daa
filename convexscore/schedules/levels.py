"""Noise levels: their two parametrisations, ladders of them, and levels that differ by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_positive
from convexscore.schedules.time_grids import as_line, shown

# A noise level of all rows, or (n,), one a row.
Level: TypeAlias = float | Floats
# Score of a family of noised laws: (x, t) with t the OU time, or (x, sigma) with VE noise sigma.
LevelScore: TypeAlias = Callable[[Floats, Any], ArrayLike]

_TIME_HINT = "Times are in units in which the Ornstein–Uhlenbeck process forgets as exp(-t)."
_PAIR_HINT = "At time t use scale = exp(-t), sigma = sqrt(1 - exp(-2 t)); arrays have one a row."


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
        raise ValueError(f"sigma_min must be < sigma_max; got {low:g} and {top:g}. Swap them.")
    return np.geomspace(top, low, n)


def check_levels(levels: ArrayLike, *, at_least: int = 1) -> Floats:
    """VE noise levels as a float array, strictly decreasing and positive."""
    values = as_line("levels", levels)
    if len(values) < at_least or not values[-1] > 0 or not (np.diff(values) < 0).all():
        raise ValueError(
            f"levels must be at least {at_least} strictly decreasing noise levels sigma > 0; got "
            f"{shown(values)}. Use geometric_levels(sigma_max, sigma_min, n)."
        )
    return values


def check_level(value: Any, *, name: str, strict: bool = False, hint: str = "") -> Level:
    """A finite noise level >= 0 (> 0 if strict): a float, or an array (n,) with one a row."""
    if isinstance(value, float) or np.ndim(value) == 0:
        number = value[()] if isinstance(value, np.ndarray) else value
        return check_positive(number, name=name, strict=strict, hint=hint)
    levels = as_line(name, value)
    check_positive(float(levels.min()), name=name, strict=strict, hint=hint)
    return levels


def check_noise(scale: Any, sigma: Any, *, noiseless: bool = False) -> tuple[Level, Level]:
    """The pair of ``scale * X + sigma * G``: two floats, or two arrays (n,) with one pair a row.

    ``noiseless`` allows sigma = 0.
    """
    scale = check_level(scale, name="scale", hint=_PAIR_HINT)
    sigma = check_level(sigma, name="sigma", hint=_PAIR_HINT)
    if isinstance(scale, float) and isinstance(sigma, float):
        silent = sigma == 0 and not (noiseless and scale > 0)
    else:
        if np.ndim(scale) and np.ndim(sigma) and np.shape(scale) != np.shape(sigma):
            raise ValueError(
                f"scale and sigma must have one number for all rows or one a row; got shapes "
                f"{np.shape(scale)} and {np.shape(sigma)}. Give as many of one as of the other."
            )
        scale, sigma = np.broadcast_arrays(scale, sigma)
        silent = bool(((sigma == 0) & ((scale == 0) | (not noiseless))).any())
    if silent:
        allowed = "> 0, or 0 with scale > 0" if noiseless else "> 0"
        raise ValueError(
            f"sigma must be {allowed} here; got sigma=0: there is no noise to remove or no "
            f"density to speak of. Use a small sigma such as 1e-4."
        )
    return scale, sigma


def by_row(level: Level, x: ArrayLike) -> Level:
    """A level as a factor of the rows of x, shape (n,) or (n, d): a float, or one a row.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.schedules.levels import by_row
    >>> by_row(np.array([1.0, 2.0]), np.zeros((2, 3))).shape
    (2, 1)
    """
    if isinstance(level, float):
        return level
    shape = np.shape(x)
    if level.shape != shape[:1]:
        raise ValueError(
            f"noise levels must be one number or one a row; got {len(level)} levels for points "
            f"of shape {shape}. Repeat them, or pass one number."
        )
    return level.reshape(-1, *[1] * (len(shape) - 1))


def _as_levels(name: str, value: ArrayLike, hint: str) -> Floats:
    levels = np.asarray(value, dtype=np.float64)
    # Written so that NaN fails too.
    if not (levels >= 0).all():
        raise ValueError(f"{name} must be >= 0; got {shown(levels)}. {hint}")
    return levels
