"""The public door: what users pass becomes rows, and rows become what users passed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats


def as_rows(X: ArrayLike, d: int, *, model: str) -> tuple[Floats, tuple[int, ...]]:
    """Rows (n, d) of points in any accepted shape, and that shape.

    One column: any shape.  d columns: (..., d).

    Raises
    ------
    ValueError
        If X is not numeric or has another number of columns.
    """
    try:
        grid = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"X must be numeric; got {type(X).__name__}.") from error
    if d > 1 and (grid.ndim == 0 or grid.shape[-1] != d):
        found = grid.shape[-1] if grid.ndim else 0
        raise ValueError(
            f"X has {found} features, but {model} is expecting {d} features as input (one column for "
            f"each of the fit; the shape is {grid.shape})."
        )
    return grid.reshape(-1, d), grid.shape


def row_shape(shape: tuple[int, ...], d: int) -> tuple[int, ...]:
    """Shape of one number per row of points of this shape."""
    return shape if d == 1 else shape[:-1]


def squeezed(rows: Floats) -> Floats:
    """One column without its axis; several as they are."""
    return rows[..., 0] if rows.shape[-1] == 1 else rows
