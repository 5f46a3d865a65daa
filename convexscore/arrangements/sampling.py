"""Activation patterns of random neurons."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.validation import check_count
from convexscore.arrangements.arrangement import Arrangement
from convexscore.arrangements.cells import unseen
from convexscore.arrangements.enumeration import joined, verified
from convexscore.arrangements.hyperplanes import SAME, Floats, Hyperplanes, hyperplanes

_BLOCK = 1 << 21


def sample_patterns(
    X: ArrayLike,
    n_directions: int = 1000,
    *,
    bias: bool = True,
    random_state: RandomState = None,
) -> Arrangement:
    r"""Different activation patterns among those of random neurons.

    Directions u are Gaussian after whitening the data, so that no column or correlation dominates.
    With bias, the threshold -b is put uniformly inside a gap between successive values of x_i . u,
    the gap drawn with equal chances among all of them (the two outside included): every number of
    active points is as likely as any other.  Wide cells are found more often than narrow ones.
    O(n_directions n (d + log n)) time; patterns take n_directions n bytes at most.

    Parameters
    ----------
    X : array_like of shape (n, d)
    n_directions : int
        Number of neurons drawn; patterns met more than once are kept once, so fewer may come back.
    bias : bool
    random_state : None, int, Generator or RandomState

    Returns
    -------
    Arrangement
        With ``exact=False``; patterns in the order in which they were met.

    Raises
    ------
    ValueError
        If X is not a finite real matrix or ``n_directions`` no integer >= 1.

    References
    ----------
    Mishkin, Sahiner, Pilanci (2022), fast convex optimisation of ReLU networks by sampled gates.

    Examples
    --------
    >>> from convexscore.arrangements import sample_patterns
    >>> X = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    >>> sample_patterns(X, 200, random_state=0)
    Arrangement(8 patterns of 3 points in 2 dimensions, with bias, a sample)
    """
    planes = hyperplanes(X, bias)
    count = check_count(n_directions, name="n_directions")
    rng = check_random_state(random_state)
    block = max(1, _BLOCK // planes.X.shape[0])
    seen: set[bytes] = set()
    parts = []
    for start in range(0, count, block):
        drawn = _draw(planes, min(block, count - start), rng)
        (patterns, u, b, margin), _ = verified(planes, *drawn)
        fresh = unseen(patterns, seen)
        parts.append((patterns[fresh], u[fresh], b[fresh], margin[fresh]))
    return joined(parts, exact=False, bias=planes.bias)


def _draw(planes: Hyperplanes, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Random neurons (count, d), (count,), with their hyperplanes away from the data."""
    d = planes.X.shape[1]
    u = rng.standard_normal((count, planes.rank)) @ planes.back.T
    if not u.any():  # one point, or all at the origin without bias
        u = rng.standard_normal((count, d))
    u /= np.linalg.norm(u, axis=1)[:, None]
    if not planes.bias:
        return u, np.zeros(count)
    values = np.sort(u @ planes.X.T, axis=1)
    width = values[:, -1:] - values[:, :1]
    beyond = np.where(width > 0, width, 1.0 + np.abs(values[:, :1]))
    edges = np.column_stack([values[:, :1] - beyond, values, values[:, -1:] + beyond])
    gaps = np.diff(edges, axis=1)
    # equal points, also when rounding tells their values apart, leave no gap to choose
    usable = gaps > SAME * beyond
    gap = np.where(usable, rng.random(gaps.shape), -1.0).argmax(axis=1)
    row = np.arange(count)
    share = rng.uniform(0.1, 0.9, count)
    return u, -(edges[row, gap] + share * gaps[row, gap])
