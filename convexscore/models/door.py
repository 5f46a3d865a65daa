"""The public door: what users pass becomes rows, and rows become what users passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.samplers import DiffusionResult, LangevinResult
from convexscore.schedules.levels import Level, by_row

Result = TypeVar("Result", LangevinResult, DiffusionResult)


def as_rows(X: ArrayLike, d: int, *, model: str, name: str = "X") -> tuple[Floats, tuple[int, ...]]:
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
        raise ValueError(f"{name} must be numeric; got {type(X).__name__}.") from error
    if d > 1 and (grid.ndim == 0 or grid.shape[-1] != d):
        found = grid.shape[-1] if grid.ndim else 0
        raise ValueError(
            f"{name} has {found} features, but {model} is expecting {d} features as input (one column "
            f"for each of the fit; the shape is {grid.shape})."
        )
    return grid.reshape(-1, d), grid.shape


def row_shape(shape: tuple[int, ...], d: int) -> tuple[int, ...]:
    """Shape of one number per row of points of this shape."""
    return shape if d == 1 else shape[:-1]


def row_levels(level: Level, shape: tuple[int, ...], d: int) -> Level:
    """Noise of the rows of points of this shape: one number, or one for each point along the first axis.

    Raises
    ------
    ValueError
        If there are not as many levels as points.
    """
    if isinstance(level, float):
        return level
    points = np.empty(row_shape(shape, d))
    rows: Floats = np.broadcast_to(by_row(level, points), points.shape).ravel()
    return rows


def squeezed(rows: Floats) -> Floats:
    """One column without its axis; several as they are."""
    return rows[..., 0] if rows.shape[-1] == 1 else rows


def converted(result: Result, back: Callable[[Floats], Floats]) -> Result:
    """What a sampler returned, samples and trajectory as users know them."""
    trajectory = None if result.trajectory is None else back(result.trajectory)
    return replace(result, samples=back(result.samples), trajectory=trajectory)


def refuse_idle_trajectory(keep_trajectory: bool, return_result: bool) -> None:
    """Refuse to keep what nobody will see."""
    if keep_trajectory and not return_result:
        raise ValueError(
            "keep_trajectory = True has no effect without return_result=True, which returns the "
            "trajectory beside the samples."
        )
