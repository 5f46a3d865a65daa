"""What all targets share: shapes of points, blocks of rows, read-only arrays."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import as_real, check_array

T = TypeVar("T")

# Temporaries of the targets hold at most this many numbers (8 MB), whatever the number of points.
_BLOCK = 1 << 20
LOG_2PI = float(np.log(2.0 * np.pi))


def as_points(x: ArrayLike, dim: int, *, name: str = "x") -> tuple[Floats, tuple[int, ...]]:
    """Points as rows (n, dim), and the shape in which the caller wants one vector a point back.

    One-dimensional targets take (n,) as well as (n, 1). Values are not checked: a score is called
    in every step of a chain, and the samplers look after what is not finite.
    """
    points = as_real(x, name, f"(n, {dim})")
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


def row_blocks(n: int, width: int) -> Iterator[slice]:
    """Slices of rows such that a temporary of ``width`` numbers a row stays within 8 MB."""
    rows = max(1, _BLOCK // max(1, width))
    for start in range(0, n, rows):
        yield slice(start, min(start + rows, n))


def finite_array(value: ArrayLike, *, name: str, shape: str, ndim: Container[int]) -> Floats:
    """A float copy whose entries are real and finite, read-only."""
    array = check_array(value, name=name, shape=shape, ndim=ndim)
    array.flags.writeable = False
    return array


def with_parts(law: T, **parts: Any) -> T:
    """The frozen law with other parts, which are not checked again."""
    other = object.__new__(type(law))
    other.__dict__.update(law.__dict__, **parts)
    return other


def check_symmetric(matrix: Floats, *, name: str) -> Floats:
    """Symmetric up to rounding over the last two axes; returned exactly symmetric."""
    transposed = np.swapaxes(matrix, -1, -2)
    asymmetry = float(np.abs(matrix - transposed).max(initial=0.0))
    if asymmetry > 1e-10 * float(np.abs(matrix).max(initial=0.0)):
        raise ValueError(
            f"{name} must be symmetric; it is not by up to {asymmetry:.3g}. Use (M + M.T) / 2."
        )
    symmetric = 0.5 * (matrix + transposed)
    symmetric.flags.writeable = False
    return symmetric
