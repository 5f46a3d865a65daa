"""All activation patterns of data: how many, one by one, or together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_count
from convexscore.arrangements.arrangement import Arrangement, Cell
from convexscore.arrangements.cells import CellSearch, centre
from convexscore.arrangements.hyperplanes import Bools, Floats, Hyperplanes, hyperplanes

_Batch = tuple[Bools, Floats, Floats, Floats]


def count_patterns(n: int, rank: int) -> int:
    r"""Number of activation patterns of n points in general position.

    .. math:: 2 \sum_{k<r} \binom{n-1}{k},

    with r the rank of [X 1] (neurons with bias, r = d + 1 for n > d) or of X (without, r = d for
    n >= d); at most as many in any position.  An exact Python integer.  Without points, or with
    r = 0, there is one pattern.

    Parameters
    ----------
    n : int >= 0
        Number of points (different hyperplanes).
    rank : int >= 0

    Raises
    ------
    ValueError
        If ``n`` or ``rank`` is no integer >= 0.

    References
    ----------
    Cover (1965), function counting theorem; Zhang, Pilanci (2024), arXiv 2402.01965, and Pilanci,
    Ergen (2020), for the programs that sum over patterns.

    Examples
    --------
    >>> from convexscore.arrangements import count_patterns
    >>> count_patterns(8, 2), count_patterns(6, 3)       # in the plane and in space, no bias
    (16, 32)
    >>> count_patterns(100, 3)                            # in the plane with bias: n^2 - n + 2
    9902
    """
    n, rank = check_count(n, name="n", minimum=0), check_count(rank, name="rank", minimum=0)
    return max(1, 2 * sum(comb(n - 1, k) for k in range(min(n, rank))))


def pattern_bound(X: ArrayLike, *, bias: bool = True) -> int:
    r"""Upper bound on the number of activation patterns on X, attained in general position.

    :func:`count_patterns` for the number of different hyperplanes of the data (equal points count
    once; without bias points on one line through the origin count once and the origin not at all)
    and the numerical rank of [X 1] or X.

    Parameters
    ----------
    X : array_like of shape (n, d)
    bias : bool
        Whether neurons have a bias.

    Raises
    ------
    ValueError
        If X is not a finite real matrix.

    Examples
    --------
    >>> from convexscore.arrangements import enumerate_patterns, pattern_bound
    >>> X = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    >>> pattern_bound(X), len(enumerate_patterns(X))     # three points on a line, two equal
    (14, 12)
    """
    return count_patterns(*hyperplanes(X, bias).normals.shape)


def enumerate_patterns(
    X: ArrayLike, *, bias: bool = True, limit: int | None = 200_000
) -> Arrangement:
    r"""All activation patterns 1{X u + b >= 0} of generic neurons on the data.

    A pattern counts when an open set of neurons has it.  Patterns that only neurons on the boundary
    of a cell have (a hyperplane exactly through data points) are left out: equal points are active
    together, and a point at the origin is always active without bias.  In general position there
    are :math:`2\sum_{k<r}\binom{n-1}{k}`, with r the rank of [X 1] (bias) or X; duplicated,
    collinear and rank-deficient data have fewer, and the count is exact for them too.

    Plane without bias, or line with bias (r = 2): sweep over sorted angles.  Beyond: hyperplane by
    hyperplane, recursively (:math:`O(n^{r})` operations in all, which is the size of the result:
    :math:`O(n^{r-1})` patterns of n entries).

    Parameters
    ----------
    X : array_like of shape (n, d)
    bias : bool
        Whether neurons have a bias b.
    limit : int or None
        Refuse, before any work, when :func:`pattern_bound` is larger.  None: no limit.

    Returns
    -------
    Arrangement
        ``exact`` is True, except for data so close to a degenerate position (relative 1e-9) that
        cells are thinner than rounding; a DataWarning then says so.

    Raises
    ------
    ValueError
        If X is not a finite real matrix, there may be more than ``limit`` patterns, or X is so far
        from the origin that no pattern survives rounding.

    Notes
    -----
    Decisions are made in whitened coordinates, where hyperplanes at an angle below 1e-9 are one.
    All patterns returned were verified by evaluating X u + b.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965; Pilanci, Ergen (2020).  Deletion and restriction:
    Zaslavsky (1975).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.arrangements import enumerate_patterns, pattern_of
    >>> X = np.random.default_rng(0).standard_normal((6, 3))
    >>> cells = enumerate_patterns(X, bias=False)
    >>> len(cells)
    32
    >>> bool((pattern_of(X, cells.u, cells.b) == cells.patterns).all())
    True
    """
    planes = hyperplanes(X, bias)
    bound, (n, d) = count_patterns(*planes.normals.shape), planes.X.shape
    if limit is not None and bound > check_count(limit, name="limit"):
        shown = f"{bound:,}" if bound < 10**15 else f"about 10^{len(str(bound)) - 1}"
        raise ValueError(
            f"X with n = {n} points in d = {d} dimensions (rank {planes.rank}) may have {shown} "
            f"activation patterns; limit = {limit:,}. Draw some with sample_patterns, take the first "
            "of iter_patterns, pass fewer points, or raise limit= "
            f"(each pattern takes {n} bytes)."
        )
    search = CellSearch()
    batches = list(_batches(planes, search))
    return joined(batches, exact=search.complete, bias=planes.bias)


def iter_patterns(X: ArrayLike, *, bias: bool = True) -> Iterator[Cell]:
    """The cells of :func:`enumerate_patterns`, in the same order, one at a time.

    The time until the p-th cell grows with p, not with the number of all cells, so the first few are
    there at once however many there are.  Memory: the patterns met so far, one bit per entry.

    Parameters
    ----------
    X : array_like of shape (n, d)
    bias : bool

    Returns
    -------
    iterator of Cell
        ``pattern, u, b, margin`` of each.

    Raises
    ------
    ValueError
        If X is not a finite real matrix (at the call, not at the first cell).

    Examples
    --------
    >>> from itertools import islice
    >>> import numpy as np
    >>> from convexscore.arrangements import iter_patterns, pattern_bound
    >>> X = np.random.default_rng(0).standard_normal((500, 10))
    >>> pattern_bound(X) > 10**20
    True
    >>> len({cell.pattern.tobytes() for cell in islice(iter_patterns(X), 1000)})
    1000
    """
    planes = hyperplanes(X, bias)
    return (
        cell
        for batch in _batches(planes, CellSearch())
        for cell in joined([batch], exact=False, bias=planes.bias)
    )


def _batches(planes: Hyperplanes, search: CellSearch) -> Iterator[_Batch]:
    """Patterns and representatives, both cells of a pair in one batch; warns at the end."""
    empty = True
    for half in search.batches(planes.normals):
        if planes.rank == 0:
            both = half  # every neuron has the one pattern
        else:
            half = centre(half, planes.normals)
            both = np.stack([half, -half], axis=1).reshape(-1, planes.rank)
        batch, kept = verified(planes, *planes.neurons(both), planes.active(both))
        search.complete &= kept
        if batch[0].shape[0]:
            empty = False
            yield batch
    if empty:
        raise ValueError(
            "X is so far from the origin for its spread that no sign of X u + b holds in floating "
            "point. Centre the data: X - X.mean(axis=0)."
        )
    if not search.complete:
        from convexscore._tools.exceptions import DataWarning  # scikit-learn's import is slow

        warnings.warn(
            "X is within rounding of a degenerate position (nearly equal, nearly collinear or far "
            "from the origin for its spread): cells thinner than rounding may be missing, "
            "exact=False. Round the data, or centre them, to decide which ties are meant.",
            DataWarning,
            stacklevel=3,
        )


def verified(
    planes: Hyperplanes, u: Floats, b: Floats, expected: Bools | None = None
) -> tuple[_Batch, bool]:
    """Of given neurons those whose signs hold in floating point on X itself (and are as expected).

    The second value says whether all do.
    """
    X = planes.X
    value = u @ X.T + b[:, None]
    size = np.abs(u) @ np.abs(X).T + np.abs(b)[:, None]  # of the terms that were added
    doubt = 4.0 * (X.shape[1] + 2) * np.finfo(np.float64).eps
    patterns = value >= 0
    held = (np.abs(value) > doubt * size) | (planes.owner < 0)
    if expected is not None:
        held &= patterns == expected
    good = held.all(axis=1)
    margin = np.where(planes.owner < 0, np.inf, np.abs(value)).min(axis=1)
    return (patterns[good], u[good], b[good], margin[good]), bool(good.all())


def joined(batches: list[_Batch], *, exact: bool, bias: bool) -> Arrangement:
    """Patterns and representatives one after the other."""
    patterns, u, b, margin = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return Arrangement(patterns, u, b, margin, exact=exact, bias=bias)
