"""What the convex programs accept: one column, its weights, and a penalty."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def as_column(name: str, values: ArrayLike) -> FloatArray:
    """Return a finite float64 vector from shape (n,) or (n, 1)."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numeric, got {type(values).__name__}.") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (n,) or (n, 1), got {array.shape}.")
    if not np.all(np.isfinite(array)):
        count = int(np.sum(~np.isfinite(array)))
        raise ValueError(f"{name} must be finite, got {count} NaN or infinite values; drop them.")
    return array


def as_points(name: str, values: ArrayLike) -> FloatArray:
    """Return a column that has at least two distinct values."""
    column = as_column(name, values)
    n_distinct = len(np.unique(column))
    if n_distinct < 2:
        raise ValueError(
            f"{name} must hold at least 2 distinct values, got {n_distinct} in {len(column)} "
            "numbers; a score cannot be learned from a single point."
        )
    return column


def as_weights(sample_weight: ArrayLike | None, n_samples: int) -> FloatArray:
    """Return positive weights of shape (n,), ones when none are given."""
    if sample_weight is None:
        return np.ones(n_samples)
    weights = as_column("sample_weight", sample_weight)
    if weights.shape != (n_samples,):
        raise ValueError(f"sample_weight must have shape ({n_samples},), got {weights.shape}.")
    if np.any(weights <= 0):
        raise ValueError(
            f"sample_weight must be positive, got a minimum of {weights.min():g}; "
            "leave out samples of weight zero."
        )
    return weights


def as_beta(beta: float) -> float:
    """Return a finite penalty >= 0."""
    try:
        value = float(beta)
    except (TypeError, ValueError) as error:
        raise ValueError(f"beta must be a number >= 0, got {beta!r}.") from error
    if not np.isfinite(value) or value < 0:
        raise ValueError(f"beta must be a finite number >= 0, got {beta!r}.")
    return value
