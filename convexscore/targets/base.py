r"""What a target is, and what noise does to it.

A *law* can be sampled and denoised; noise turns it into a *target*, which has a score:

.. math:: Z = a X + \sigma G, \quad G \sim N(0, I), \qquad
          \nabla \log q(z) = \frac{a\,E[X \mid Z = z] - z}{\sigma^2} \quad \text{(Tweedie)}.

So whoever can compute a posterior mean, exactly or not, has a score at every noise level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import hypot
from numbers import Real
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, spawn_generators
from convexscore.schedules.levels import vp
from convexscore.targets.inputs import Floats, as_points, check_level

Denoiser: TypeAlias = Callable[[Floats, float, float], ArrayLike]
TimeScore: TypeAlias = Callable[[ArrayLike, float], Floats]


@runtime_checkable
class Law(Protocol):
    """What every law offers, discrete ones included. All that a new model has to write.

    ``denoise(z, scale, sigma)`` is :math:`E[X | aX + \\sigma G = z]`, in the shape of ``z``;
    ``noised(scale, sigma)`` may simply return ``Noised(self, scale, sigma)``.
    """

    @property
    def dim(self) -> int: ...

    def sample(self, n: int, *, random_state: RandomState = None) -> Floats: ...

    def denoise(self, z: ArrayLike, scale: float, sigma: float) -> Floats: ...

    def noised(self, scale: float, sigma: float) -> Target: ...


@runtime_checkable
class Target(Law, Protocol):
    """A law with a density: ``score(x)`` in the shape of x, ``log_density(x)`` of shape (n,)."""

    def score(self, x: ArrayLike) -> Floats: ...

    def log_density(self, x: ArrayLike) -> Floats: ...


@dataclass(frozen=True, eq=False)
class Noised:
    r"""The law of ``scale * X + sigma * G``, its score built from a denoiser by Tweedie's formula.

    .. math:: s(z) = \big(a\, m(z; a, \sigma) - z\big) / \sigma^2

    Parameters
    ----------
    law : Law
        The law of X: anything with ``dim``, ``sample(n, random_state=)`` and
        ``denoise(z, scale, sigma)``.
    scale : float >= 0
    sigma : float > 0
    denoiser : callable, optional
        ``denoiser(z, scale, sigma)``, the posterior mean or an approximation of it (mean field,
        TAP, AMP); ``law.denoise`` if None. Shapes as ``law.denoise``.

    Raises
    ------
    ValueError, TypeError
        If a level is not a number as above, or points do not have ``law.dim`` columns.

    Notes
    -----
    ``log_density`` needs ``law.noised_log_density(z, scale, sigma)`` and is exact where that is;
    it does not integrate an approximate denoiser. Noise on noise is noise on the original law:
    ``noised(b, tau)`` is the level ``(b scale, hypot(b sigma, tau))``, nothing is nested.
    Rounding of the score is about 1e-16 |z| / sigma².

    References
    ----------
    Efron (2011), *Tweedie's formula and selection bias*; Mei, Wu (2023), arXiv 2309.11420,
    section 2.

    Examples
    --------
    A coin with values ±1, written down in three lines:

    >>> import numpy as np
    >>> from convexscore.targets import Noised
    >>> class Coin:
    ...     dim = 1
    ...     def sample(self, n, *, random_state=None):
    ...         return np.random.default_rng(random_state).choice([-1.0, 1.0], size=n)
    ...     def denoise(self, z, scale, sigma):
    ...         return np.tanh(scale * z / sigma**2)
    >>> law = Noised(Coin(), 0.8, 0.6)
    >>> law.score(np.array([0.0, 0.8])).round(3)
    array([ 0.   , -0.123])
    """

    law: Any
    scale: float
    sigma: float
    denoiser: Denoiser | None = None

    def __post_init__(self) -> None:
        scale, sigma = check_level(self.scale, self.sigma)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "sigma", sigma)
        if self.denoiser is not None and not callable(self.denoiser):
            raise TypeError(
                f"denoiser must be None or a callable (z, scale, sigma) -> E[X | z]; got "
                f"{type(self.denoiser).__name__}. Pass the function itself."
            )

    @property
    def dim(self) -> int:
        return int(self.law.dim)

    def sample(self, n: int, *, random_state: RandomState = None) -> Floats:
        """n draws of X, scaled, plus noise; the first k do not depend on n if X's do not."""
        clean, noise = spawn_generators(random_state, 2)
        x = self.scale * np.asarray(self.law.sample(n, random_state=clean), dtype=np.float64)
        return x + self.sigma * noise.standard_normal(x.shape)

    def score(self, x: ArrayLike) -> Floats:
        """Gradient of the log-density at x, in the shape of x."""
        return self._tweedie(x, self.scale, self.sigma)

    def log_density(self, x: ArrayLike) -> Floats:
        """Log-density (n,), if the law knows it."""
        exact = getattr(self.law, "noised_log_density", None)
        if exact is None:
            raise NotImplementedError(
                f"{type(self.law).__name__} gives no log-density of its noised law: it has no "
                f"noised_log_density(z, scale, sigma). Use score, or Langevin instead of MALA."
            )
        return exact(x, self.scale, self.sigma)

    def noised(self, scale: float, sigma: float) -> Noised:
        """More noise: the law of ``scale * Z + sigma * G``."""
        scale, sigma = check_level(scale, sigma, noiseless=True)
        level = scale * self.scale, hypot(scale * self.sigma, sigma)
        return Noised(self.law, *level, denoiser=self.denoiser)

    def denoise(self, z: ArrayLike, scale: float, sigma: float) -> Floats:
        r"""E[Z | b Z + τ G' = z], from the posterior mean m of X at the level of both noises.

        .. math:: a m + \frac{b \sigma^2}{b^2\sigma^2 + \tau^2}\,(z - b a m)
        """
        scale, sigma = check_level(scale, sigma)
        points, shape = as_points(z, self.dim, name="z")
        total = hypot(scale * self.sigma, sigma)
        clean = self.scale * self._posterior_mean(points.reshape(shape), scale * self.scale, total)
        gain = scale * (self.sigma / total) ** 2
        return clean + gain * (points.reshape(shape) - scale * clean)

    def _posterior_mean(self, z: Floats, scale: float, sigma: float) -> Floats:
        denoiser = self.law.denoise if self.denoiser is None else self.denoiser
        return evaluate_denoiser(denoiser, z, scale, sigma)

    def _tweedie(self, x: ArrayLike, scale: float, sigma: float) -> Floats:
        points, shape = as_points(x, self.dim)
        z = points.reshape(shape)
        return (scale * self._posterior_mean(z, scale, sigma) - z) / sigma**2


def evaluate_denoiser(denoiser: Denoiser, z: Floats, scale: float, sigma: float) -> Floats:
    """``denoiser(z, scale, sigma)``, refused if its shape is not that of ``z``."""
    mean = np.asarray(denoiser(z, scale, sigma), dtype=np.float64)
    if mean.shape != z.shape:
        raise ValueError(
            f"denoiser must return an array of the shape it is given, {z.shape}; got shape "
            f"{mean.shape}. It is the posterior mean of X, one row a point."
        )
    return mean


def vp_score(target: Law | Denoiser) -> TimeScore:
    r"""Score of a law under the Ornstein-Uhlenbeck (variance preserving) process.

    .. math:: (x, t) \mapsto \nabla \log q_t(x), \qquad
              q_t = \text{law of } e^{-t} X + \sqrt{1 - e^{-2t}}\, G

    Parameters
    ----------
    target : Law or callable
        A law with ``noised(scale, sigma)``; or a denoiser ``(z, scale, sigma) -> E[X | z]``, exact
        or approximate, turned into a score by Tweedie's formula.

    Returns
    -------
    callable
        ``score(x, t)`` in the shape of x; t in units of the process, t >= 0. t = 0 is the score
        of the law itself, for laws that have one.

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
    >>> score = targets.vp_score(targets.Gaussian([1.0, 0.0], [[4.0, 0.0], [0.0, 1.0]]))
    >>> score(np.array([[2.0, 2.0]]), 0.0)
    array([[-0.25, -2.  ]])
    >>> score(np.array([[2.0, 2.0]]), 50.0).round(12)  # all noise
    array([[-2., -2.]])
    """
    at_level = _score_of_level(target)

    def score(x: ArrayLike, t: float) -> Floats:
        if isinstance(t, bool) or not isinstance(t, Real) or not (np.isfinite(t) and t >= 0):
            raise ValueError(
                f"t must be one finite time >= 0; got {t!r}. All chains share the time of a step."
            )
        return at_level(x, *vp(float(t)))

    return score


def ve_score(target: Law | Denoiser) -> TimeScore:
    r"""Score of a law plus noise (variance exploding).

    .. math:: (x, \sigma) \mapsto \nabla \log q_\sigma(x), \qquad
              q_\sigma = \text{law of } X + \sigma G

    Parameters
    ----------
    target : Law or callable
        As in `vp_score`.

    Returns
    -------
    callable
        ``score(x, sigma)`` in the shape of x.

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
    >>> from convexscore.targets import ve_score
    >>> posterior_mean = lambda z, scale, sigma: np.tanh(scale * z / sigma**2)  # of a fair coin
    >>> ve_score(posterior_mean)(np.array([0.0, 1.0]), 0.5).round(4)
    array([ 0.    , -0.0027])
    """
    at_level = _score_of_level(target)
    return lambda x, sigma: at_level(x, 1.0, sigma)


def _score_of_level(target: Law | Denoiser) -> Callable[[ArrayLike, float, float], Floats]:
    noised = getattr(target, "noised", None)
    if noised is not None:
        return lambda x, scale, sigma: noised(scale, sigma).score(x)
    if not callable(target):
        raise TypeError(
            f"target must be a law with noised(scale, sigma) or a denoiser (z, scale, sigma) -> "
            f"E[X | z]; got {type(target).__name__}. See convexscore.targets."
        )

    def score(x: ArrayLike, scale: float, sigma: float) -> Floats:
        scale, sigma = check_level(scale, sigma)
        z = np.asarray(x, dtype=np.float64)
        return (scale * evaluate_denoiser(target, z, scale, sigma) - z) / sigma**2

    return score
