"""The Gaussian law, where everything is known in closed form.

Covariances are held by their eigenvectors: noise changes the eigenvalues only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count
from convexscore.schedules.levels import Level, by_row, check_noise
from convexscore.targets import inputs
from convexscore.targets.base import Noised

# Rows of every matrix product that turns draws.
_ROWS = 256


@dataclass(frozen=True, eq=False)
class Spectrum:
    """``n_laws`` covariances, or one shared by all: axes (L, d, d) in columns, variances (L, d)."""

    axes: Floats
    variances: Floats

    @property
    def is_shared(self) -> bool:
        return len(self.axes) == 1

    @property
    def is_round(self) -> bool:
        """Every covariance is a multiple of the identity, exactly: axes do not matter."""
        return bool((self.variances == self.variances[:, :1]).all())

    def refuse_singular(self, what: str) -> None:
        if (self.variances <= 0).any():
            raise ValueError(
                f"{what} needs a density, but a covariance is singular (an eigenvalue is 0). Use "
                f".noised(scale, sigma) with sigma > 0, which has one."
            )

    def matrices(self) -> Floats:
        """The covariances themselves, (L, d, d)."""
        return (self.axes * self.variances[:, None, :]) @ np.swapaxes(self.axes, 1, 2)

    def one(self, k: int) -> Spectrum:
        """That of law k."""
        k = 0 if self.is_shared else k
        return Spectrum(self.axes[k : k + 1], self.variances[k : k + 1])

    def noised(self, scale: Level, sigma: Level) -> Spectrum:
        return Spectrum(self.axes, scale**2 * self.variances + sigma**2)


def denoising_gain(variances: Floats, scale: Level, sigma: Level) -> Floats:
    """Eigenvalues of Cov(X, Z) Cov(Z)^-1 for Z = scale X + sigma G, from those of Cov(X)."""
    return scale * variances / (scale**2 * variances + sigma**2)


def read_covariances(value: ArrayLike, *, name: str, dim: int, n_laws: int = 1) -> Spectrum:
    """A number (isotropic), (d, d); for mixtures also (K,) isotropic each, or (K, d, d)."""
    array = inputs.finite_array(value, name=name, shape="of a number or matrices", ndim=range(4))
    shapes = [(), (dim, dim), (n_laws,), (n_laws, dim, dim)]
    if array.shape not in shapes:
        allowed = ", ".join("a number" if not s else f"shape {s}" for s in shapes)
        raise ValueError(
            f"{name} must be one of: {allowed}; got shape {array.shape}. A diagonal covariance is "
            f"numpy.diag(variances)."
        )
    if array.ndim < 2:
        variances = np.repeat(array.reshape(-1, 1), dim, axis=1)
        axes = np.broadcast_to(np.eye(dim), (len(variances), dim, dim))
    else:
        matrices = inputs.check_symmetric(array.reshape(-1, dim, dim), name=name)
        variances, axes = np.linalg.eigh(matrices)
    largest = np.abs(variances).max(axis=1, keepdims=True)
    if (variances < -1e-10 * largest).any():
        raise ValueError(
            f"{name} must be positive semi-definite; an eigenvalue is {variances.min():.3g}. Check "
            f"its signs, or raise the eigenvalues to 0."
        )
    # Rounding leaves eigenvalues of either sign where the exact one is zero.
    variances = np.where(variances <= dim * np.finfo(float).eps * largest, 0.0, variances)
    return Spectrum(axes, variances)


def turned(rows: Floats, axes: Floats) -> Floats:
    """rows @ axes', (n, d), where a row does not depend on how many there are after it.

    A matrix product handles the rows left over at the end of its blocks by code of its own, which
    may round another way: which rows these are depends on their number and on the processor.  All
    products here have one shape, the last one filled up with zeros.
    """
    n, d = rows.shape
    whole = np.zeros((-(-n // _ROWS), _ROWS, d))
    whole.reshape(-1, d)[:n] = rows
    return (whole @ axes.T).reshape(-1, d)[:n]


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Gaussian:
    r"""Gaussian law :math:`N(\mu, \Sigma)`; noise makes it :math:`N(a\mu, a^2\Sigma + \sigma^2 I)`.

    .. math:: s(x) = -\Sigma^{-1}(x - \mu), \qquad
              E[X | aX + \sigma G = z] = \mu + a\Sigma(a^2\Sigma + \sigma^2 I)^{-1}(z - a\mu)

    Parameters
    ----------
    mean : number or array (d,)
    covariance : number or array (d, d), default 1
        A number is the variance in every direction. It may be singular: then the law has no
        density, but its noised laws have.

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, a value is not finite, or the covariance is not symmetric and
        positive semi-definite; from ``score`` and ``log_density`` if it is singular.

    Notes
    -----
    One eigendecomposition, O(d³), on construction; ``noised`` is O(d), the rest O(n d²). In one
    dimension samples have shape (n,), and points of shape (n,) or (n, 1) are taken.

    References
    ----------
    Bishop (2006), *Pattern Recognition and Machine Learning*, section 2.3.3.

    Examples
    --------
    >>> from convexscore.targets import Gaussian
    >>> law = Gaussian([0.0, 1.0], [[2.0, 1.0], [1.0, 2.0]])
    >>> law.noised(0.5, 1.0).covariance
    array([[1.5 , 0.25],
           [0.25, 1.5 ]])
    >>> law.score([[0.0, 4.0]]).round(12)
    array([[ 1., -2.]])
    """

    mean: Floats
    _spectrum: Spectrum

    def __init__(self, mean: ArrayLike, covariance: ArrayLike = 1.0) -> None:
        centre = inputs.finite_array(mean, name="mean", shape="() or (d,)", ndim=(0, 1))
        spectrum = read_covariances(covariance, name="covariance", dim=centre.size)
        self.__dict__.update(mean=centre.reshape(-1), _spectrum=spectrum)

    @property
    def dim(self) -> int:
        return self.mean.size

    @property
    def covariance(self) -> Floats:
        """The covariance (d, d)."""
        return self._spectrum.matrices()[0]

    def sample(self, n: int, *, random_state: RandomState = None) -> Floats:
        """n draws, (n, d) or (n,) for d = 1; the first k do not depend on n."""
        rng = check_random_state(random_state)
        white = rng.standard_normal((check_count(n, name="n", minimum=0), self.dim))
        axes, variances = self._spectrum.axes[0], self._spectrum.variances[0]
        return inputs.natural_shape(self.mean + turned(white * np.sqrt(variances), axes))

    def score(self, x: ArrayLike) -> Floats:
        """Gradient of the log-density, in the shape of x."""
        self._spectrum.refuse_singular("score")
        points, shape = inputs.as_points(x, self.dim)
        return self._spread(points - self.mean, -1.0 / self._spectrum.variances[0]).reshape(shape)

    def log_density(self, x: ArrayLike) -> Floats:
        """Log-density, (n,)."""
        self._spectrum.refuse_singular("log_density")
        return self._noised_log_density(inputs.as_points(x, self.dim)[0], 1.0, 0.0)

    def noised(self, scale: Level, sigma: Level) -> Gaussian | Noised:
        """The law of ``scale * X + sigma * G``."""
        scale, sigma = check_noise(scale, sigma, noiseless=True)
        if isinstance(scale, float):
            return inputs.with_parts(
                self, mean=scale * self.mean, _spectrum=self._spectrum.noised(scale, sigma)
            )
        return Noised(self, scale, sigma)

    def denoise(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        """E[X | scale X + sigma G = z], in the shape of z."""
        scale, sigma = check_noise(scale, sigma)
        points, shape = inputs.as_points(z, self.dim, name="z")
        by, noise = by_row(scale, points), by_row(sigma, points)
        gain = denoising_gain(self._spectrum.variances[0], by, noise)
        return (self.mean + self._spread(points - by * self.mean, gain)).reshape(shape)

    def noised_log_density(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        """Log-density (n,) of ``scale * X + sigma * G``."""
        points, _ = inputs.as_points(z, self.dim, name="z")
        return self._noised_log_density(points, *check_noise(scale, sigma))

    def _noised_log_density(self, points: Floats, scale: Level, sigma: Level) -> Floats:
        by, noise = by_row(scale, points), by_row(sigma, points)
        total = by**2 * self._spectrum.variances[0] + noise**2
        parts = ((points - by * self.mean) @ self._spectrum.axes[0]) ** 2 / total + np.log(total)
        return -0.5 * (parts.sum(axis=1) + self.dim * inputs.LOG_2PI)

    def _spread(self, x: Floats, factors: Floats) -> Floats:
        """x times the matrix with our eigenvectors and the given eigenvalues."""
        axes = self._spectrum.axes[0]
        return ((x @ axes) * factors) @ axes.T

    def __repr__(self) -> str:
        return f"Gaussian(dim={self.dim})"
