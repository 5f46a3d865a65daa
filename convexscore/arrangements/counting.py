"""How many activation patterns there can be."""

from __future__ import annotations

from math import comb

from numpy.typing import ArrayLike

from convexscore._tools.validation import check_count
from convexscore.arrangements.hyperplanes import hyperplanes


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
    if n == 0 or rank == 0:
        return 1
    if rank >= n:
        return int(2**n)
    return 2 * sum(comb(n - 1, k) for k in range(rank))


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
