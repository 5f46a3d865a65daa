"""What metrics of two samples share: the checks of the input and sums over pairs, in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_points

# From row ranges of the two samples, the matrix of their pairs.
PairKernel: TypeAlias = Callable[[slice, slice], Floats]

# Pairs held at a time (8 MB): memory is the same for a hundred points and for twenty thousand.
_BLOCK_SIZE = 2**20


def check_samples(X: ArrayLike, Y: ArrayLike, names: tuple[str, str] = ("X", "Y")) -> Any:
    """Two samples of the same dimension as (n, d) and (m, d); one point each is enough."""
    first = check_points(X, name=names[0], min_distinct=1)
    second = check_points(Y, name=names[1], min_distinct=1)
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same number of columns; got "
            f"{first.shape[1]} and {second.shape[1]} (shapes {first.shape} and {second.shape}). "
            f"Points are rows: transpose the one that has them as columns."
        )
    return first, second


def check_unbiased(unbiased: Any, **samples: Floats) -> None:
    """A bool; the unbiased statistics average over pairs of different points."""
    if not isinstance(unbiased, bool | np.bool_):
        raise ValueError(f"unbiased must be True or False; got {unbiased!r}.")
    for name, points in samples.items():
        if unbiased and len(points) < 2:
            raise ValueError(
                f"{name} must hold at least 2 points with unbiased=True; got {len(points)}. Provide "
                f"more data or use unbiased=False."
            )


def mean_between(kernel: PairKernel, n: int, m: int) -> float:
    """The mean of ``kernel`` over all n m pairs of two samples."""
    rows = max(1, _BLOCK_SIZE // m)
    total = 0.0
    for start in range(0, n, rows):
        total += float(kernel(slice(start, min(start + rows, n)), slice(0, m)).sum())
    return total / (n * m)


def mean_within(kernel: PairKernel, n: int, *, unbiased: bool) -> float:
    """The mean of a symmetric ``kernel`` over all n² pairs of one sample, or the n (n - 1) of
    different points; every pair is computed once.
    """
    total = diagonal = 0.0
    start = 0
    while start < n:
        stop = min(n, start + max(1, _BLOCK_SIZE // (n - start)))
        values = kernel(slice(start, stop), slice(start, n))
        square = values[:, : stop - start]
        total += 2 * float(values.sum()) - float(square.sum())
        diagonal += float(np.trace(square))
        start = stop
    return (total - diagonal) / (n * (n - 1)) if unbiased else total / n**2
