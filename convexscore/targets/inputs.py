"""What all targets share: shapes of points, noise levels, blocks of rows, read-only arrays."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# Temporaries of the targets hold at most this many numbers (8 MB), whatever the number of points.
_BLOCK = 1 << 20
LOG_2PI = float(np.log(2.0 * np.pi))


def as_points(x: ArrayLike, dim: int, *, name: str = "x") -> tuple[Floats, tuple[int, ...]]:
    """Points as rows (n, dim), and the shape in which the caller wants one vector a point back.

    One-dimensional targets take (n,) as well as (n, 1). Values are not checked: a score is called
    in every step of a chain, and the samplers look after what is not finite.
    """
    points = np.asarray(x)
    if points.dtype.kind not in "fiub":
        raise TypeError(
            f"{name} must hold real numbers; got an array of dtype {points.dtype}. Convert it to "
            f"float."
        )
    points = points.astype(np.float64, copy=False)
    if points.ndim == 1 and dim == 1:
        return points[:, None], points.shape
    if points.ndim != 2 or points.shape[1] != dim:
        allowed = "(n,) or (n, 1)" if dim == 1 else f"(n, {dim})"
        hint = "a single point is one row, x[None, :]" if dim > 1 else "ravel it"
        raise ValueError(
            f"{name} must have shape {allowed}, one point per row, for a target of dimension {dim}; "
            f"got shape {points.shape}. Reshape it: {hint}."
        )
    return points, points.shape


def natural_shape(points: Floats) -> Floats:
    """Samples (n, d) as chains want them: (n,) in one dimension."""
    return points[:, 0] if points.shape[1] == 1 else points


def check_level(scale: Any, sigma: Any, *, noiseless: bool = False) -> tuple[float, float]:
    """The pair of ``scale * X + sigma * G``; ``noiseless`` allows sigma = 0."""
    for name, value in (("scale", scale), ("sigma", sigma)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(
                f"{name} must be one real number >= 0; got {type(value).__name__}. A noise level "
                f"is the pair of scale * X + sigma * G."
            )
        if not (np.isfinite(float(value)) and float(value) >= 0):
            raise ValueError(
                f"{name} must be finite and >= 0; got {float(value):g}. At Ornstein-Uhlenbeck time "
                f"t use scale = exp(-t), sigma = sqrt(1 - exp(-2 t))."
            )
    if sigma == 0 and not (noiseless and scale > 0):
        allowed = "> 0, or 0 with scale > 0" if noiseless else "> 0"
        raise ValueError(
            f"sigma must be {allowed} here; got sigma=0, scale={float(scale):g}: there is no noise "
            f"to remove or no density to speak of. Use a small sigma such as 1e-4."
        )
    return float(scale), float(sigma)


def row_blocks(n: int, width: int) -> Iterator[slice]:
    """Slices of rows such that a temporary of ``width`` numbers a row stays within 8 MB."""
    rows = max(1, _BLOCK // max(1, width))
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def finite_array(value: ArrayLike, *, name: str) -> Floats:
    """A float copy whose entries are real and finite, read-only."""
    try:
        raw = np.asarray(value)
        array = np.array(raw, dtype=np.float64) if raw.dtype.kind in "fiub" else None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array of real numbers; got {value!r}.") from error
    if array is None:
        raise TypeError(
            f"{name} must be an array of real numbers; got dtype {raw.dtype}. Convert it to float."
        )
    if not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ValueError(
            f"{name} must be finite; {bad} of {array.size} values are NaN or infinity. "
            f"Remove or replace them."
        )
    array.flags.writeable = False
    return array


def check_symmetric(matrix: Floats, *, name: str) -> Floats:
    """Symmetric up to rounding over the last two axes; returned exactly symmetric."""
    transposed = np.swapaxes(matrix, -1, -2)
    asymmetry = float(np.abs(matrix - transposed).max(initial=0.0))
    if asymmetry > 1e-10 * float(np.abs(matrix).max(initial=0.0)):
        raise ValueError(
            f"{name} must be symmetric; entries differ from their mirror images by up to "
            f"{asymmetry:.3g}. Use (M + M.T) / 2 if that is what you mean."
        )
    symmetric = 0.5 * (matrix + transposed)
    symmetric.flags.writeable = False
    return symmetric
