"""Covariances by their eigenvectors: noise changes the eigenvalues only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convexscore.schedules.levels import Level
from convexscore.targets.inputs import Floats, check_symmetric, finite_array

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


def read_covariances(value: ArrayLike, *, name: str, dim: int, n_laws: int | None) -> Spectrum:
    """A number (isotropic), (d, d); for mixtures also (K,) isotropic each, or (K, d, d)."""
    array = finite_array(value, name=name, shape="of a number or matrices", ndim=range(4))
    k = 1 if n_laws is None else n_laws
    shapes = [(), (dim, dim)] + ([] if n_laws is None else [(k,), (k, dim, dim)])
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
        matrices = check_symmetric(array.reshape(-1, dim, dim), name=name)
        variances, axes = np.linalg.eigh(matrices)
    largest = np.abs(variances).max(axis=1, keepdims=True)
    if (variances < -1e-10 * largest).any():
        raise ValueError(
            f"{name} must be positive semi-definite; the smallest eigenvalue is "
            f"{float(variances.min()):.3g}. Check its sign and symmetry."
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
