"""Mixtures of Gaussians: closed under noise, with exact scores and posterior means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from convexscore._random import RandomState, spawn_generators
from convexscore._validation import check_count
from convexscore.targets._inputs import (
    LOG_2PI,
    Floats,
    as_points,
    check_level,
    finite_array,
    natural_shape,
    row_blocks,
)
from convexscore.targets._spectrum import Spectrum, read_covariances, refuse_singular


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
    O(n K d) with a shared covariance, O(n K d²) otherwise; memory 8 MB a temporary.

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
    _spectrum: Spectrum

    def __init__(self, weights: ArrayLike, means: ArrayLike, covariances: ArrayLike) -> None:
        shares = _read_weights(weights)
        centres = finite_array(means, name="means")
        centres = centres[:, None] if centres.ndim == 1 else centres
        if centres.ndim != 2 or len(centres) != len(shares) or centres.size == 0:
            raise ValueError(
                f"means must have shape ({len(shares)}, d), one row a weight; got shape "
                f"{np.shape(means)}. Give as many means as weights."
            )
        k, dim = centres.shape
        spectrum = read_covariances(covariances, name="covariances", dim=dim, n_laws=k)
        self._set(shares, centres, spectrum)

    def _set(self, weights: Floats, means: Floats, spectrum: Spectrum) -> None:
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "means", means)
        object.__setattr__(self, "_spectrum", spectrum)

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def covariances(self) -> Floats:
        """Covariances of the components, (K, d, d)."""
        return np.broadcast_to(
            self._spectrum.matrices(), (self.n_components, self.dim, self.dim)
        ).copy()

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
        for label, axes, variances in self._covariance_groups():
            rows = slice(None) if label is None else which == label
            x[rows] = (x[rows] * np.sqrt(variances)) @ axes.T
        return natural_shape(x + self.means[which])

    def score(self, x: ArrayLike) -> Floats:
        """Gradient of the log-density, in the shape of x."""
        refuse_singular(self._spectrum, "score")
        points, shape = as_points(x, self.dim)
        offsets = np.zeros_like(self.means)
        return self._blend(points, offsets, -1.0 / self._spectrum.variances).reshape(shape)

    def log_density(self, x: ArrayLike) -> Floats:
        """Log-density, (n,)."""
        refuse_singular(self._spectrum, "log_density")
        points, _ = as_points(x, self.dim)
        out = np.empty(len(points))
        for rows in row_blocks(len(points), max(self.n_components, self.dim)):
            parts = self._log_parts(points[rows])
            top = parts.max(axis=1)
            out[rows] = top + np.log(np.exp(parts - top[:, None]).sum(axis=1))
        return out

    def responsibilities(self, x: ArrayLike) -> Floats:
        """Posterior probabilities of the components, (n, K)."""
        refuse_singular(self._spectrum, "responsibilities")
        return self._shares(as_points(x, self.dim)[0])

    def noised(self, scale: float, sigma: float) -> GaussianMixture:
        """The law of ``scale * X + sigma * G``."""
        scale, sigma = check_level(scale, sigma, noiseless=True)
        law = object.__new__(GaussianMixture)
        law._set(self.weights, scale * self.means, self._spectrum.noised(scale, sigma))
        return law

    def denoise(self, z: ArrayLike, scale: float, sigma: float) -> Floats:
        """E[X | scale X + sigma G = z], in the shape of z."""
        scale, sigma = check_level(scale, sigma)
        points, shape = as_points(z, self.dim, name="z")
        gains = self._spectrum.denoising_gain(scale, sigma)
        return self.noised(scale, sigma)._blend(points, self.means, gains).reshape(shape)

    def _covariance_groups(self) -> Iterator[tuple[int | None, Floats, Floats]]:
        """(component, axes, variances); component None if all share one covariance."""
        spectrum = self._spectrum
        for k, (axes, variances) in enumerate(zip(spectrum.axes, spectrum.variances, strict=True)):
            yield (None if spectrum.is_shared else k), axes, variances

    def _blend(self, x: Floats, offsets: Floats, factors: Floats) -> Floats:
        """Posterior average of ``offsets_k + Q_k diag(factors_k) Q_k' (x - mu_k)``."""
        out = np.empty_like(x)
        for rows in row_blocks(len(x), max(self.n_components, self.dim)):
            block = x[rows]
            shares = self._shares(block)
            total = shares @ offsets
            for k, axes, _ in self._covariance_groups():
                if k is None:
                    deviation = block - shares @ self.means
                    total += ((deviation @ axes) * factors[0]) @ axes.T
                else:
                    deviation = ((block - self.means[k]) @ axes) * factors[k]
                    total += shares[:, [k]] * (deviation @ axes.T)
            out[rows] = total
        return out

    def _shares(self, x: Floats) -> Floats:
        parts = self._log_parts(x)
        parts -= parts.max(axis=1, keepdims=True)
        shares = np.exp(parts, out=parts)
        shares /= shares.sum(axis=1, keepdims=True)
        return shares

    def _log_parts(self, x: Floats) -> Floats:
        """log w_k + log N(x; mu_k, Sigma_k), (n, K)."""
        parts = np.empty((len(x), self.n_components))
        for k, axes, variances in self._covariance_groups():
            roots = np.sqrt(variances)
            # Distances by differences of whitened points: differences of squares lose all digits
            # at small noise.
            if k is None:
                parts = cdist((x @ axes) / roots, (self.means @ axes) / roots, "sqeuclidean")
            else:
                white = ((x - self.means[k]) @ axes) / roots
                parts[:, k] = np.einsum("ij,ij->i", white, white)
        parts += self._spectrum.log_determinants() + self.dim * LOG_2PI
        parts *= -0.5
        with np.errstate(divide="ignore"):  # a component of weight 0 has log-weight -inf
            parts += np.log(self.weights)
        return parts

    def __repr__(self) -> str:
        return f"GaussianMixture(n_components={self.n_components}, dim={self.dim})"


def _read_weights(weights: ArrayLike) -> Floats:
    shares = finite_array(weights, name="weights")
    if shares.ndim != 1 or shares.size == 0:
        raise ValueError(
            f"weights must have shape (K,), one number a component; got shape {shares.shape}."
        )
    if (shares < 0).any() or not shares.sum() > 0:
        raise ValueError(
            f"weights must be >= 0 and not all 0; got {shares[np.argmin(shares)]:g} as the "
            f"smallest. They are divided by their sum, so any positive scale will do."
        )
    shares = shares / shares.sum()
    shares.flags.writeable = False
    return shares
