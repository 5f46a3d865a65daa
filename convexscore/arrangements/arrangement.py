"""A set of activation patterns with a neuron for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import diags_array

from convexscore.arrangements.hyperplanes import Bools, Floats


class Cell(NamedTuple):
    """One activation pattern and a neuron that has it.

    ``pattern`` (n,) bool; ``u`` (d,) of length 1; ``b`` float (0 without bias); ``margin``, the
    distance from the neuron's hyperplane to the nearest data point.
    """

    pattern: Bools
    u: Floats
    b: float
    margin: float


@dataclass(frozen=True, eq=False, repr=False)
class Arrangement:
    r"""Activation patterns D = diag(1{X u + b >= 0}) and a representative neuron of each.

    Attributes
    ----------
    patterns : (p, n) bool, no two rows equal
    u : (p, d) representative neurons, \|u_j\|_2 = 1, strictly inside their cells
    b : (p,) their biases, 0 without bias
    margin : (p,) distance from each representative's hyperplane to the nearest data point, in the
        units of the data, positive (points at the origin left out when there is no bias)
    exact : bool
        These are all patterns (up to the tolerance said in :func:`enumerate_patterns`).
    bias : bool

    Examples
    --------
    >>> from convexscore.arrangements import enumerate_patterns
    >>> cells = enumerate_patterns([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> cells
    Arrangement(8 patterns of 3 points in 2 dimensions, with bias, exact)
    >>> [True, False, True] in cells
    True
    >>> u, b = cells.neuron_of([True, False, True])
    >>> bool(u @ [0.0, 1.0] + b > 0)
    True
    """

    patterns: Bools
    u: Floats
    b: Floats
    margin: Floats
    exact: bool
    bias: bool

    def __post_init__(self) -> None:
        for array in (self.patterns, self.u, self.b, self.margin):
            array.setflags(write=False)

    @property
    def n_active(self) -> np.ndarray:
        """Number of active points of each pattern, (p,)."""
        return np.asarray(self.patterns.sum(axis=1))

    def diagonals(self, *, signed: bool = False, dense: bool = False) -> Iterator[Any]:
        """The n x n diagonal matrices D of the papers, one at a time.

        Parameters
        ----------
        signed : bool
            2D - I (absolute value) instead of D (ReLU).
        dense : bool
            numpy arrays instead of ``scipy.sparse.dia_array``.

        Yields
        ------
        scipy.sparse.dia_array or ndarray of shape (n, n), float

        Examples
        --------
        >>> from convexscore.arrangements import enumerate_patterns
        >>> cells = enumerate_patterns([[1.0, 0.0], [0.0, 1.0]], bias=False)
        >>> sorted(D.diagonal().tolist() for D in cells.diagonals())
        [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
        """
        rows = np.where(self.patterns, 1.0, -1.0 if signed else 0.0)
        return (np.diag(row) if dense else diags_array(row) for row in rows)

    def index(self, pattern: ArrayLike) -> int:
        """Row of a pattern.

        Raises
        ------
        ValueError
            If ``pattern`` is no boolean vector (n,), or is not among the patterns.
        """
        row = self._rows.get(self._key(pattern))
        if row is None:
            may_exist = "It may exist all the same: see neuron_of_pattern."
            raise ValueError(
                f"pattern with {np.count_nonzero(pattern)} active points is not among the {len(self)} "
                f"patterns. {'No open cell of neurons has it.' if self.exact else may_exist}"
            )
        return row

    def neuron_of(self, pattern: ArrayLike) -> tuple[Floats, float]:
        """Representative neuron (u, b) of a pattern; errors as in :meth:`index`."""
        row = self.index(pattern)
        return self.u[row], float(self.b[row])

    def __len__(self) -> int:
        return int(self.patterns.shape[0])

    def __iter__(self) -> Iterator[Cell]:
        for pattern, u, b, margin in zip(self.patterns, self.u, self.b, self.margin, strict=True):
            yield Cell(pattern, u, float(b), float(margin))

    def __contains__(self, pattern: object) -> bool:
        return self._key(pattern) in self._rows

    def __repr__(self) -> str:
        (p, n), d = self.patterns.shape, self.u.shape[1]
        return (
            f"Arrangement({p} pattern{'s' * (p != 1)} of {n} point{'s' * (n != 1)} in {d} "
            f"dimension{'s' * (d != 1)}, {'with' if self.bias else 'without'} bias, "
            f"{'exact' if self.exact else 'a sample'})"
        )

    @cached_property
    def _rows(self) -> dict[bytes, int]:
        packed = np.packbits(self.patterns, axis=1)
        return {row.tobytes(): place for place, row in enumerate(packed)}

    def _key(self, pattern: Any) -> bytes:
        return np.packbits(check_pattern(pattern, self.patterns.shape[1])).tobytes()


def check_pattern(pattern: ArrayLike, n: int) -> Bools:
    """A boolean vector (n,); zeros and ones will do."""
    raw = np.asarray(pattern)
    if raw.shape != (n,) or not np.isin(raw, (0, 1)).all():
        raise ValueError(
            f"pattern must have shape ({n},), one entry per data point, and be boolean (or 0 and 1); "
            f"got shape {raw.shape} and {raw.dtype}. For 2D - I pass pattern > 0."
        )
    return raw.astype(bool)
