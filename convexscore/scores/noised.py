r"""From posterior means to scores and back (Tweedie), and from one kind of noise to the other.

.. math:: Z = \lambda X + \sigma G, \quad G \sim N(0, I), \qquad
          \nabla \log q(z) = \frac{\lambda\,E[X \mid Z = z] - z}{\sigma^2}

Variance preserving (VP) noise has :math:`\lambda = e^{-t}, \lambda^2 + \sigma^2 = 1`, variance exploding
(VE) noise :math:`\lambda = 1`. Wherever a noise level is asked for, it is one number, or an array
(n,) with one level a row of points.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore.schedules.levels import (
    Level,
    LevelScore,
    by_row,
    check_level,
    check_noise,
    ve_level,
    vp,
    vp_time,
)

Floats: TypeAlias = NDArray[np.float64]
# (z, scale, sigma) -> E[X | scale X + sigma G = z], exact or approximate, in the shape of z.
PosteriorMean: TypeAlias = Callable[[Floats, Any, Any], ArrayLike]
NoisedScore: TypeAlias = Callable[[ArrayLike, Any], Floats]


class CanBeNoised(Protocol):
    """Every law: ``noised(scale, sigma)`` has a ``score``."""

    def noised(self, scale: Level, sigma: Level) -> Any: ...


# ---- Tweedie -----------------------------------------------------------------------------------


def tweedie_score(z: Floats, mean: Floats, scale: Level, sigma: Level) -> Floats:
    """Score at z from the posterior mean of X there; its rounding is about 1e-16 \\|z\\| / σ²."""
    score: Floats = (by_row(scale, z) * mean - z) / by_row(sigma, z) ** 2
    return score


def tweedie_mean(z: Floats, score: Floats, scale: Level, sigma: Level) -> Floats:
    """Posterior mean of X at z from the score there."""
    mean: Floats = (z + by_row(sigma, z) ** 2 * score) / by_row(scale, z)
    return mean


def tweedie(
    score: Callable[[Floats], ArrayLike], z: ArrayLike, scale: Level, sigma: Level
) -> Floats:
    r"""Denoiser from a score (Tweedie's formula).

    .. math:: E[X \mid z] = \frac{z + \sigma^2 s(z)}{\lambda}, \qquad z = \lambda X + \sigma G

    Parameters
    ----------
    score : callable
        Score of the law of z; returns an array of the shape it is given.
    z : array_like
    scale, sigma : float or array (n,)
        λ > 0 and σ >= 0, for all z or one a row.

    References
    ----------
    B. Efron, "Tweedie's formula and selection bias", JASA 106 (2011).

    Examples
    --------
    >>> from convexscore.scores import tweedie
    >>> float(tweedie(lambda z: -z / 5.0, 10.0, 1.0, 2.0))  # X ~ N(0, 1), noise variance 4
    2.0
    """
    scale = check_level(scale, name="scale", strict=True, hint="It multiplies X; 1 for VE.")
    sigma = check_level(sigma, name="sigma")
    z = np.asarray(z, dtype=np.float64)
    return tweedie_mean(z, np.asarray(score(z), dtype=np.float64), scale, sigma)


def posterior_mean(denoiser: PosteriorMean, z: Floats, scale: Level, sigma: Level) -> Floats:
    """``denoiser(z, scale, sigma)``, refused if its shape is not that of ``z``."""
    mean = np.asarray(denoiser(z, scale, sigma), dtype=np.float64)
    if mean.shape != z.shape:
        raise ValueError(
            f"denoiser must return an array of the shape it is given, {z.shape}; got shape "
            f"{mean.shape}. It is the posterior mean of X, one row a point."
        )
    return mean


# ---- variance preserving and variance exploding ------------------------------------------------


def ve_score_to_vp(score_ve: LevelScore) -> LevelScore:
    r"""The VP family of scores, ``score(x, t)``, from the VE family, ``score(x, sigma)``.

    .. math:: s_{VP}(z, t) = s_{VE}(z/\lambda_t;\, \sigma_t/\lambda_t) / \lambda_t

    Examples
    --------
    >>> from convexscore.scores import ve_score_to_vp
    >>> score = ve_score_to_vp(lambda x, sigma: -x / (1 + sigma**2))  # of N(0, 1)
    >>> float(score(0.5, 2.0).round(12))
    -0.5
    """

    def score(x: Floats, t: Level) -> ArrayLike:
        scale = by_row(vp(t)[0], x)
        return np.asarray(score_ve(x / scale, ve_level(t))) / scale

    return score


def vp_score_to_ve(score_vp: LevelScore) -> LevelScore:
    r"""The VE family of scores, ``score(x, sigma)``, from the VP family; undoes `ve_score_to_vp`.

    .. math:: s_{VE}(x; \sigma) = \lambda\, s_{VP}(\lambda x, t), \qquad
        \lambda = e^{-t} = 1/\sqrt{1 + \sigma^2}

    Examples
    --------
    >>> from convexscore.scores import vp_score_to_ve
    >>> score = vp_score_to_ve(lambda x, t: -x)  # of N(0, 1)
    >>> float(score(3.0, 2.0).round(12))
    -0.6
    """

    def score(x: Floats, sigma: Level) -> ArrayLike:
        t = vp_time(sigma)
        scale = by_row(vp(t)[0], x)
        return np.asarray(score_vp(x * scale, t)) * scale

    return score


# ---- the scores of a law or a denoiser ---------------------------------------------------------


def vp_score(target: CanBeNoised | PosteriorMean) -> NoisedScore:
    r"""Score of a law under the Ornstein-Uhlenbeck (variance preserving) process.

    .. math:: (x, t) \mapsto \nabla \log q_t(x), \qquad
              q_t = \text{law of } e^{-t} X + \sqrt{1 - e^{-2t}}\, G

    Parameters
    ----------
    target : law or callable
        A law with ``noised(scale, sigma)``; or a denoiser ``(z, scale, sigma) -> E[X | z]``, exact
        or approximate, turned into a score by Tweedie's formula.

    Returns
    -------
    callable
        ``score(x, t)`` in the shape of x; t in units of the process, t >= 0, one number or one a
        row of x. t = 0 is the score of the law itself, for laws that have one.

    Raises
    ------
    TypeError
        If ``target`` is neither.

    References
    ----------
    Chen, Chewi, Li, Li, Salim, Zhang (2023), *Sampling is as easy as learning the score*, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import targets
    >>> from convexscore.scores import vp_score
    >>> score = vp_score(targets.Gaussian([1.0, 0.0], [[4.0, 0.0], [0.0, 1.0]]))
    >>> score(np.array([[2.0, 2.0]]), 0.0)
    array([[-0.25, -2.  ]])
    >>> score(np.array([[2.0, 2.0], [2.0, 2.0]]), [0.0, 50.0]).round(12)  # no noise, all noise
    array([[-0.25, -2.  ],
           [-2.  , -2.  ]])
    """
    at_noise = _score_at_noise(target)
    hint = "It is the time of all chains, or one a chain, (n,)."
    return lambda x, t: at_noise(x, *vp(check_level(t, name="t", hint=hint)))


def ve_score(target: CanBeNoised | PosteriorMean) -> NoisedScore:
    r"""Score of a law plus noise (variance exploding).

    .. math:: (x, \sigma) \mapsto \nabla \log q_\sigma(x), \qquad
              q_\sigma = \text{law of } X + \sigma G

    Parameters
    ----------
    target : law or callable
        As in `vp_score`.

    Returns
    -------
    callable
        ``score(x, sigma)`` in the shape of x; sigma one number or one a row of x.

    Raises
    ------
    TypeError
        If ``target`` is neither a law nor a callable.

    References
    ----------
    Song, Ermon (2019), *Generative modeling by estimating gradients of the data distribution*.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.scores import ve_score
    >>> posterior_mean = lambda z, scale, sigma: np.tanh(scale * z / sigma**2)  # of a fair coin
    >>> ve_score(posterior_mean)(np.array([0.0, 1.0]), 0.5).round(4)
    array([ 0.    , -0.0027])
    """
    at_noise = _score_at_noise(target)
    return lambda x, sigma: at_noise(x, *_exploding(sigma))


def _exploding(sigma: Any) -> tuple[Level, Level]:
    level = check_level(sigma, name="sigma", hint="It is the noise added to X itself.")
    return (1.0 if isinstance(level, float) else np.ones_like(level)), level


def _score_at_noise(target: Any) -> Callable[[ArrayLike, Level, Level], Floats]:
    noised = getattr(target, "noised", None)
    if noised is not None:
        return partial(_law_score, noised)
    if callable(target):
        return partial(_denoiser_score, target)
    raise TypeError(
        f"target must be a law with noised(scale, sigma) or a denoiser (z, scale, sigma) -> "
        f"E[X | z]; got {type(target).__name__}. See convexscore.targets."
    )


def _law_score(noised: Callable[..., Any], x: ArrayLike, scale: Level, sigma: Level) -> Floats:
    if isinstance(sigma, float) or sigma.all():
        score: Floats = noised(scale, sigma).score(x)
        return score
    # Rows without noise have the law's own score; both kinds of noise have scale 1 there.
    z, scales, quiet = np.asarray(x, dtype=np.float64), np.asarray(scale), sigma == 0
    by_row(sigma, z)
    scores = np.empty_like(z)
    scores[quiet] = noised(1.0, 0.0).score(z[quiet])
    if not quiet.all():
        scores[~quiet] = noised(scales[~quiet], sigma[~quiet]).score(z[~quiet])
    return scores


def _denoiser_score(denoiser: PosteriorMean, x: ArrayLike, scale: Level, sigma: Level) -> Floats:
    scale, sigma = check_noise(scale, sigma)
    z = np.asarray(x, dtype=np.float64)
    return tweedie_score(z, posterior_mean(denoiser, z, scale, sigma), scale, sigma)
