"""Mixtures of Gaussians: closed under noise, with exact scores and posterior means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from convexscore._tools.random import RandomState, spawn_generators
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count
from convexscore.schedules.levels import Level, by_row, check_noise
from convexscore.targets import gaussian, inputs
from convexscore.targets.base import Noised

# Temporaries are this many times smaller than the 8 MB of other targets: they stay in cache.
_SPREAD = 16


@dataclass(frozen=True, eq=False, init=False, repr=False)
class GaussianMixture:
    r"""Mixture :math:`\sum_k w_k N(\mu_k, \Sigma_k)` with full covariances.

    .. math:: s(x) = -\sum_k \pi_k(x)\, \Sigma_k^{-1}(x - \mu_k), \qquad
              \pi_k(x) \propto w_k\, N(x; \mu_k, \Sigma_k)

    and after noise the same with :math:`a\mu_k` and :math:`a^2\Sigma_k + \sigma^2 I`.

    Parameters
    ----------
    weights : array (K,)
        Numbers >= 0, divided by their sum.
    means : array (K, d), or (K,) in one dimension
    covariances : number, array (K,), (d, d) or (K, d, d)
        One variance for all, one variance a component, one matrix for all, one a component. Zero
        is allowed: the components are then points, and the noised law is the kernel density
        estimate whose score a denoiser learns when it memorises its data.

    Raises
    ------
    ValueError, TypeError
        If the shapes do not fit, a value is not finite, a weight is negative or a covariance is
        not symmetric and positive semi-definite; from ``score`` and ``log_density`` if one is
        singular.

    Notes
    -----
    Weights :math:`\pi_k` are formed in log space: far points and tiny noise are fine. Time
    O(n K d) with one covariance or round ones, O(n K d²) otherwise; memory 0.5 MB a temporary.

    References
    ----------
    Mei, Wu (2023), arXiv 2309.11420, section 2 (Tweedie); Shah, Chen, Klivans (2023), arXiv
    2307.01178 (mixtures along the Ornstein-Uhlenbeck process).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.targets import GaussianMixture
    >>> law = GaussianMixture([0.5, 0.5], [-2.0, 2.0], 1.0)
    >>> law.score([0.0, 1.0, 50.0]).round(4)
    array([  0.    ,   0.9281, -48.    ])
    >>> law.noised(0.6, 0.8).score([1.0]).round(4)  # components N(-1.2, 1), N(1.2, 1)
    array([0.0004])
    """

    weights: Floats
    means: Floats
    _spectrum: gaussian.Spectrum

    def __init__(self, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> None:
        shares = _read_weights(weights)
        centres = inputs.finite_array(means, name="means", shape="(K, d) or (K,)", ndim=(1, 2))
        centres = centres[:, None] if centres.ndim == 1 else centres
        if len(centres) != len(shares):
            raise ValueError(
                f"means must have shape ({len(shares)}, d), one row a weight; got shape "
                f"{np.shape(means)}. Give as many means as weights."
            )
        k, dim = centres.shape
        spectrum = gaussian.read_covariances(covariances, name="covariances", dim=dim, n_laws=k)
        self.__dict__.update(weights=shares, means=centres, _spectrum=spectrum)

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def covariances(self) -> Floats:
        """Covariances of the components, (K, d, d)."""
        matrices = self._spectrum.matrices()
        return np.repeat(matrices, self.n_components // len(matrices), axis=0)

    @property
    def mean(self) -> Floats:
        """Mean of the mixture, (d,)."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Floats:
        """Covariance of the mixture, (d, d)."""
        spread = self.means - self.mean
        within = np.tensordot(self.weights, self.covariances, axes=1)
        return within + (spread * self.weights[:, None]).T @ spread

    def sample(self, n: int, *, random_state: RandomState = None) -> Floats:
        """n draws, (n, d) or (n,) for d = 1; the first k do not depend on n."""
        n = check_count(n, name="n", minimum=0)
        choice, noise = spawn_generators(random_state, 2)
        cumulative = np.cumsum(self.weights)
        which = np.searchsorted(cumulative, cumulative[-1] * choice.random(n), side="right")
        x = noise.standard_normal((n, self.dim))
        spectrum = self._spectrum
        for k, axes in enumerate(spectrum.axes):
            rows = slice(None) if spectrum.is_shared else which == k
            x[rows] = gaussian.turned(x[rows] * np.sqrt(spectrum.variances[k]), axes)
        return inputs.natural_shape(x + self.means[which])

    def score(self, x: ArrayLike) -> Floats:
        """Gradient of the log-density, in the shape of x."""
        self._spectrum.refuse_singular("score")
        points, shape = inputs.as_points(x, self.dim)
        offsets = np.zeros_like(self.means)
        return self._blend(points, offsets, -1.0 / self._spectrum.variances).reshape(shape)

    def log_density(self, x: ArrayLike) -> Floats:
        """Log-density, (n,)."""
        self._spectrum.refuse_singular("log_density")
        points, _ = inputs.as_points(x, self.dim)
        out = np.empty(len(points))
        for rows in self._blocks(points):
            _, top, total = _shares_of(self._log_parts(points[rows]))
            out[rows] = top + np.log(total)
        return out

    def noised(self, scale: Level, sigma: Level) -> GaussianMixture | Noised:
        """The law of ``scale * X + sigma * G``."""
        scale, sigma = check_noise(scale, sigma, noiseless=True)
        if isinstance(scale, float):
            return self._noised(scale, sigma)
        return Noised(self, scale, sigma)

    def _noised(self, scale: Level, sigma: Level) -> GaussianMixture:
        spectrum = self._spectrum.noised(scale, sigma)
        return inputs.with_parts(self, means=scale * self.means, _spectrum=spectrum)

    def denoise(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        """E[X | scale X + sigma G = z], in the shape of z."""
        scale, sigma = check_noise(scale, sigma)
        points, shape = inputs.as_points(z, self.dim, name="z")
        if isinstance(scale, float):
            gains = gaussian.denoising_gain(self._spectrum.variances, scale, sigma)
            return self._noised(scale, sigma)._blend(points, self.means, gains).reshape(shape)
        return self._posterior_by_row(points, scale, sigma)[1].reshape(shape)

    def noised_log_density(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        """Log-density (n,) of ``scale * X + sigma * G``."""
        scale, sigma = check_noise(scale, sigma)
        if isinstance(scale, float):
            return self._noised(scale, sigma).log_density(z)
        return self._posterior_by_row(inputs.as_points(z, self.dim, name="z")[0], scale, sigma)[0]

    def _posterior_by_row(self, z: Floats, scale: Level, sigma: Level) -> tuple[Floats, Floats]:
        """log q(z) and E[X | z] with a level a row, component by component."""
        by_row(scale, z)
        a, b, spectrum = np.asarray(scale), np.asarray(sigma), self._spectrum
        any_law = gaussian.Gaussian(self.means[0])
        laws = [
            inputs.with_parts(any_law, mean=mean, _spectrum=spectrum.one(k))
            for k, mean in enumerate(self.means)
        ]
        logs, means = np.empty(len(z)), np.zeros_like(z)
        for rows in self._blocks(z):
            noisy = z[rows], a[rows], b[rows]
            parts = np.array([law.noised_log_density(*noisy) for law in laws])
            shares, top, total = _shares_of(parts + self._log_weights()[:, None])
            logs[rows] = top + np.log(total)
            for share, law in zip(shares, laws, strict=True):
                means[rows] += share[:, None] * law.denoise(*noisy)
        return logs, means

    def _blocks(self, x: Floats) -> Iterator[slice]:
        return inputs.row_blocks(len(x), _SPREAD * max(self.n_components, self.dim))

    def _blend(self, x: Floats, offsets: Floats, factors: Floats) -> Floats:
        """Posterior average of ``offsets_k + Q_k diag(factors_k) Q_k' (x - mu_k)``."""
        out, spectrum = np.empty(x.shape), self._spectrum
        for rows in self._blocks(x):
            block = x[rows]
            shares, _, _ = _shares_of(self._log_parts(block))
            if spectrum.is_round and spectrum.is_shared:
                factor = factors[0, 0]
                out[rows] = factor * block + shares.T @ (offsets - factor * self.means)
            elif spectrum.is_round:
                # Differences from the mean: an offset of all data costs no digits.
                factor = factors[:, :1]
                about = (block - self.mean) * (factor.T @ shares).T
                out[rows] = about + shares.T @ (offsets - factor * (self.means - self.mean))
            elif spectrum.is_shared:
                axes, deviation = spectrum.axes[0], block - shares.T @ self.means
                out[rows] = shares.T @ offsets + ((deviation @ axes) * factors[0]) @ axes.T
            else:
                out[rows] = shares.T @ offsets
                for k, axes in enumerate(spectrum.axes):
                    deviation = ((block - self.means[k]) @ axes) * factors[k]
                    out[rows] += shares[k][:, None] * (deviation @ axes.T)
        return out

    def _log_weights(self) -> Floats:
        with np.errstate(divide="ignore"):  # a component of weight 0 has log-weight -inf
            return np.log(self.weights)

    def _log_parts(self, x: Floats) -> Floats:
        """log w_k + log N(x; mu_k, Sigma_k), (K, n): sums over few components are fast this way."""
        axes, variances = self._spectrum.axes, self._spectrum.variances
        factor: float | Floats = -0.5
        # Distances by differences of whitened points: differences of squares lose all digits at
        # small noise.
        if self._spectrum.is_round:
            parts = _squared_distances(self.means, x)
            factor = -0.5 / variances[:, :1]
        elif self._spectrum.is_shared:
            roots = np.sqrt(variances[0])
            parts = _squared_distances((self.means @ axes[0]) / roots, (x @ axes[0]) / roots)
        else:
            parts = np.empty((self.n_components, len(x)))
            for k, roots in enumerate(np.sqrt(variances)):
                white = ((x - self.means[k]) @ axes[k]) / roots
                np.einsum("ij,ij->i", white, white, out=parts[k])
        determinants = np.log(variances).sum(axis=1)
        heights = self._log_weights() - 0.5 * (determinants + self.dim * inputs.LOG_2PI)
        parts *= factor
        parts += heights[:, None]
        return parts

    def __repr__(self) -> str:
        return f"GaussianMixture(n_components={self.n_components}, dim={self.dim})"


def _shares_of(parts: Floats) -> tuple[Floats, Floats, Floats]:
    """exp(parts), (K, n), as shares of its sum over k; the sum, (n,), is exp(top) total."""
    top = parts.max(axis=0)
    parts -= top
    shares = np.exp(parts, out=parts)
    total = shares.sum(axis=0)
    shares /= total
    return shares, top, total


def _squared_distances(centres: Floats, x: Floats) -> Floats:
    """(K, n)."""
    if x.shape[1] > 1:
        return cdist(centres, x, "sqeuclidean")
    gaps = centres - x.T
    gaps *= gaps
    return gaps


def _read_weights(weights: ArrayLike) -> Floats:
    shares = inputs.finite_array(weights, name="weights", shape="(K,), one a component", ndim=(1,))
    if (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(
            f"weights must be >= 0 and not all 0; got {shares[np.argmin(shares)]:g} as the "
            f"smallest. They are divided by their sum, so any positive scale will do."
        )
    shares = shares / shares.sum()
    shares.flags.writeable = False
    return shares
