r"""What a target is, and what noise does to it.

A *law* can be sampled and denoised; noise turns it into a *target*, which has a score:

.. math:: Z = a X + \sigma G, \quad G \sim N(0, I), \qquad
          \nabla \log q(z) = \frac{a\,E[X \mid Z = z] - z}{\sigma^2} \quad \text{(Tweedie)}.

So whoever can compute a posterior mean, exactly or not, has a score at every noise level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, spawn_generators
from convexscore._tools.validation import check_callable
from convexscore.schedules.levels import Level, by_row, check_noise
from convexscore.scores.noised import PosteriorMean, posterior_mean, tweedie_score
from convexscore.targets.inputs import Floats, as_points


@runtime_checkable
class Law(Protocol):
    """What every law offers, discrete ones included. All that a new model has to write.

    ``denoise(z, scale, sigma)`` is :math:`E[X | aX + \\sigma G = z]`, in the shape of ``z``;
    ``noised(scale, sigma)`` may simply return ``Noised(self, scale, sigma)``. Both take floats, or
    arrays (n,) with one level a row of z.
    """

    @property
    def dim(self) -> int: ...

    def sample(self, n: int, *, random_state: RandomState = None) -> Floats: ...

    def denoise(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats: ...

    def noised(self, scale: Level, sigma: Level) -> Target: ...


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
    scale, sigma : float or array (n,)
        scale >= 0 and sigma > 0; arrays give each of n points a level of its own, and all methods
        then take n points.
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
    scale: Level
    sigma: Level
    denoiser: PosteriorMean | None = None

    def __post_init__(self) -> None:
        scale, sigma = check_noise(self.scale, self.sigma)
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "sigma", sigma)
        if self.denoiser is not None:
            form, hint = "(z, scale, sigma) -> E[X | z]", "Pass the function itself."
            check_callable(self.denoiser, name="denoiser", form=form, hint=hint)

    @property
    def dim(self) -> int:
        return int(self.law.dim)

    def sample(self, n: int, *, random_state: RandomState = None) -> Floats:
        """n draws of X, scaled, plus noise; the first k do not depend on n if X's do not."""
        clean, noise = spawn_generators(random_state, 2)
        x = np.asarray(self.law.sample(n, random_state=clean), dtype=np.float64)
        signal = by_row(self.scale, x) * x
        return signal + by_row(self.sigma, x) * noise.standard_normal(x.shape)

    def score(self, x: ArrayLike) -> Floats:
        """Gradient of the log-density at x, in the shape of x."""
        z, shape = as_points(x, self.dim)
        mean = self._posterior_mean(z.reshape(shape), self.scale, self.sigma)
        return tweedie_score(z.reshape(shape), mean, self.scale, self.sigma)

    def log_density(self, x: ArrayLike) -> Floats:
        """Log-density (n,), if the law knows it."""
        exact = getattr(self.law, "noised_log_density", None)
        if exact is None:
            raise NotImplementedError(
                f"{type(self.law).__name__} gives no log-density of its noised law: it has no "
                f"noised_log_density(z, scale, sigma). Use score, or Langevin instead of MALA."
            )
        return exact(x, self.scale, self.sigma)

    def noised(self, scale: Level, sigma: Level) -> Noised:
        """More noise: the law of ``scale * Z + sigma * G``."""
        scale, sigma = check_noise(scale, sigma, noiseless=True)
        total = np.hypot(scale * self.sigma, sigma)
        return Noised(self.law, scale * self.scale, total, denoiser=self.denoiser)

    def denoise(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        r"""E[Z | b Z + τ G' = z], from the posterior mean m of X at the level of both noises.

        .. math:: a m + \frac{b \sigma^2}{b^2\sigma^2 + \tau^2}\,(z - b a m)
        """
        scale, sigma = check_noise(scale, sigma)
        rows, shape = as_points(z, self.dim, name="z")
        points = rows.reshape(shape)
        total = np.hypot(scale * self.sigma, sigma)
        mean = self._posterior_mean(points, scale * self.scale, total)
        clean, by = by_row(self.scale, points) * mean, by_row(scale, points)
        gain = by * by_row(self.sigma / total, points) ** 2
        return clean + gain * (points - by * clean)

    def _posterior_mean(self, z: Floats, scale: Level, sigma: Level) -> Floats:
        denoiser = self.law.denoise if self.denoiser is None else self.denoiser
        return posterior_mean(denoiser, z, scale, sigma)
