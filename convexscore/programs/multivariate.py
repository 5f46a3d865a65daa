"""Points and labels in several dimensions: checked, standardised, mapped back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore.programs.inputs import as_beta, as_weights
from convexscore.scores.network import TwoLayerNetwork

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Standardised:
    r"""A problem in units in which its numbers are of order one.

    With :math:`x = \mu + a x'`, :math:`l = \bar l + r l'` and :math:`s = \bar l + r s'` the
    objective is :math:`r^2` times the same objective of the primed quantities with
    :math:`\beta' = \beta/(ra)`.  Score matching has :math:`r = 1/a`, so beta stays.

    Attributes
    ----------
    raw : (n, d) points as given.
    points : (n, d) points x'.
    labels : (n, k) labels l', zeros for score matching.
    mass : (n,) sample weights.
    divergence : 1.0 for score matching, 0.0 for denoising.
    beta : the penalty beta'.
    mean : (d,) mu, zero when the program has no offset that could take it up.
    length : a
    rate : r
    label_mean : (k,)
    """

    raw: FloatArray
    points: FloatArray
    labels: FloatArray
    mass: FloatArray
    divergence: float
    beta: float
    mean: FloatArray
    length: float
    rate: float
    label_mean: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)"""
        return self.points.shape[0], self.points.shape[1]

    @property
    def root(self) -> FloatArray:
        """Factor of every row, (n, 1): the square root of its weight."""
        return np.sqrt(self.mass)[:, np.newaxis]

    @property
    def total(self) -> float:
        return float(self.mass.sum())

    @property
    def slope(self) -> float:
        """Unit of an outer weight or of a skip matrix: r / a."""
        return self.rate / self.length

    def line(
        self, offset: FloatArray, skip: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Offset and skip matrix (k, d) in the unit of the data."""
        constant = self.label_mean + self.rate * offset
        if skip is None:
            return constant, None
        matrix = self.slope * skip
        return constant - matrix @ self.mean, matrix

    def network(
        self,
        u: FloatArray,
        w: FloatArray,
        b: FloatArray,
        *,
        offset: FloatArray,
        skip: FloatArray | None,
        activation: str,
    ) -> TwoLayerNetwork:
        """Network with neurons in the unit of the data, offset and skip in standardised ones."""
        constant, matrix = self.line(offset, skip)
        return TwoLayerNetwork(u, w, b, skip=matrix, offset=constant, activation=activation)

    def bias_of(self, u: FloatArray, b: FloatArray) -> FloatArray:
        """Biases for the data of neurons u.x' + b: a (u.x' + b) = u.x + (a b - u.mu)."""
        biases: FloatArray = self.length * b - u @ self.mean
        return biases


def as_matrix(name: str, values: ArrayLike) -> FloatArray:
    """Return a finite float64 matrix from shape (n, d) or (n,)."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be a numeric array (n, d), got {type(values).__name__}."
        ) from error
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must have shape (n, d) with n, d >= 1, got {array.shape}.")
    if not np.all(np.isfinite(array)):
        count = int(np.sum(~np.isfinite(array)))
        raise ValueError(f"{name} must be finite, got {count} NaN or infinite values; drop them.")
    return array


def as_point_matrix(name: str, values: ArrayLike) -> FloatArray:
    """Return a matrix with at least two distinct rows."""
    array = as_matrix(name, values)
    if np.all(array == array[0]):
        raise ValueError(
            f"{name} must hold at least 2 distinct points, got {len(array)} equal to "
            f"{array[0].tolist()}; a score cannot be learned from a single point."
        )
    return array


def as_labels(labels: ArrayLike, shape: tuple[int, int], *, any_width: bool = False) -> FloatArray:
    """Return labels of the shape of the points, or with ``any_width`` only of their length."""
    target = as_matrix("labels", labels)
    fits = target.shape[0] == shape[0] if any_width else target.shape == shape
    if not fits:
        wanted = f"({shape[0]}, k)" if any_width else f"{shape}"
        raise ValueError(
            f"labels must have shape {wanted}, one row per point, got {np.shape(labels)}."
        )
    return target


def standardise(
    points: FloatArray,
    labels: FloatArray | None,
    beta: float,
    sample_weight: ArrayLike | None,
    *,
    centre: bool,
) -> Standardised:
    """Put a problem into natural units; without labels it is score matching.

    ``centre`` says that an offset (and for neurons a bias) takes up the means.
    """
    n, d = points.shape
    mass = as_weights(sample_weight, n)
    penalty = as_beta(beta)
    # After a shift that keeps the digits of points far from the origin.
    shifted = points - points[0]
    mean = points[0] + mass @ shifted / mass.sum() if centre else np.zeros(d)
    moved = points - mean
    length = float(np.sqrt(mass @ np.sum(moved**2, axis=1) / (mass.sum() * d)))
    if labels is None:
        target, label_mean, rate = np.zeros((n, d)), np.zeros(d), 1.0 / length
    else:
        width = labels.shape[1]
        label_mean = mass @ labels / mass.sum() if centre else np.zeros(width)
        target = labels - label_mean
        rate = float(np.sqrt(mass @ np.sum(target**2, axis=1) / (mass.sum() * width)))
        rate = rate or 1.0 / length
        target = target / rate
    return Standardised(
        raw=points,
        points=moved / length,
        labels=target,
        mass=mass,
        divergence=1.0 if labels is None else 0.0,
        beta=penalty / (rate * length),
        mean=mean,
        length=length,
        rate=rate,
        label_mean=label_mean,
    )
