"""Optimal transport between samples: exact on the line, on random lines, and in space with POT."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice, check_count
from convexscore.metrics.pairs import check_samples

# Numbers of projected points held at a time (32 MB).
_BLOCK_SIZE = 2**22
# Largest cost matrix handed to the network simplex (0.8 GB); beyond, it also takes many minutes.
_MAX_PAIRS = 10**8
_MAX_SIMPLEX_STEPS = 10**8


def wasserstein(X: ArrayLike, Y: ArrayLike, *, p: int = 2) -> float:
    r"""Wasserstein distance W1 or W2 of two samples.

    .. math:: W_p^p = \min_{\pi} E_\pi \|X - Y\|^p = \int_0^1 |F^{-1}(q) - G^{-1}(q)|^p\,dq
        \quad\text{(one dimension)}

    over all couplings π of the two empirical laws.

    Parameters
    ----------
    X, Y : array (n, d) and (m, d), or (n,) and (m,)
        The samples; their sizes may differ.
    p : 1 or 2

    Returns
    -------
    float
        In units of x (the p-th root is taken).

    Raises
    ------
    ImportError
        If d > 1 and POT is not installed.
    ValueError
        If a sample is empty or not finite, if the dimensions differ, if ``p`` is another number, or
        if d > 1 and n m > 10⁸.
    SolverError
        If the network simplex of POT does not finish (d > 1).

    Notes
    -----
    One dimension: O((n + m) log(n + m)). More: exact transport by POT's network simplex, O(n m)
    memory and roughly O(n³) time. There the distance between two *true* samples decays like
    :math:`n^{-1/d}` only: never read a value without its `noise_floor`.

    Examples
    --------
    >>> from convexscore.metrics import wasserstein
    >>> wasserstein([0.0, 1.0], [2.0, 3.0, 2.0, 3.0], p=1)
    2.0
    """
    first, second = check_samples(X, Y)
    check_choice(p, (1, 2), name="p")
    if first.shape[1] == 1:
        value = _line_cost(np.sort(first.T), np.sort(second.T), p)[0]
    else:
        value = _space_cost(first, second, p)
    return float(max(value, 0.0) ** (1 / p))


def sliced_w2(
    X: ArrayLike, Y: ArrayLike, *, n_projections: int = 128, random_state: RandomState = 0
) -> float:
    r"""Sliced W2 distance: the root mean square of W2 along random directions.

    .. math:: \mathrm{SW}_2^2 = E_\theta\, W_2^2(\theta^T X, \theta^T Y), \qquad
        \theta \text{ uniform on the sphere}

    Each one-dimensional W2 is exact, unequal sizes included. In one dimension it is W2.

    Parameters
    ----------
    X, Y : array (n, d) and (m, d), or (n,) and (m,)
        The samples; their sizes may differ.
    n_projections : int >= 1
        Number of directions; the relative error of the average is of order 1/√n_projections.
    random_state : None, int, Generator or RandomState
        Draws the directions. The default is a fixed seed, so that values are comparable.

    Returns
    -------
    float
        In units of x. A shift of one sample by v adds :math:`\|v\|^2/d` to its square.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, the dimensions differ or ``n_projections`` is not an
        integer >= 1.

    Notes
    -----
    O(n_projections ((n + m) (log(n + m) + d))).

    References
    ----------
    N. Bonneel, J. Rabin, G. Peyré, H. Pfister, "Sliced and Radon Wasserstein barycenters of
    measures", J. Math. Imaging Vision 51 (2015).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.metrics import sliced_w2
    >>> x = np.random.default_rng(0).normal(size=(500, 2))
    >>> bool(abs(sliced_w2(x, x + [3.0, 4.0], n_projections=2000) - 5 / 2**0.5) < 0.1)
    True
    """
    first, second = check_samples(X, Y)
    n_projections = check_count(n_projections, name="n_projections")
    generator = check_random_state(random_state)
    d = first.shape[1]
    if d == 1:
        return float(_line_cost(np.sort(first.T), np.sort(second.T), 2)[0] ** 0.5)
    directions = generator.standard_normal((n_projections, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    width = max(1, _BLOCK_SIZE // (len(first) + len(second)))
    total = 0.0
    for start in range(0, n_projections, width):
        along = directions[start : start + width]
        x, y = np.sort(along @ first.T), np.sort(along @ second.T)
        total += float(_line_cost(x, y, 2).sum())
    return float((total / n_projections) ** 0.5)


def _line_cost(x: Floats, y: Floats, p: int) -> Floats:
    """W_p^p of each pair of rows of x (k, n) and y (k, m), each row sorted."""
    n, m = x.shape[1], y.shape[1]
    if n == m:
        return np.mean(np.abs(x - y) ** p, axis=1)
    # Both quantile functions are constant between the levels i/n and j/m; in units of 1/(n m) the
    # levels are integers, so that equal ones are recognised.
    levels = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    share = np.diff(levels, prepend=0) / (n * m)
    gap = x.take((levels - 1) // m, axis=1) - y.take((levels - 1) // n, axis=1)
    return np.abs(gap) ** p @ share


def _space_cost(first: Floats, second: Floats, p: int) -> float:
    n, m = len(first), len(second)
    if n * m > _MAX_PAIRS:
        raise ValueError(
            f"X and Y must have at most {_MAX_PAIRS:.0e} pairs of points in more than one "
            f"dimension; got {n} x {m}. Use random parts of them, or sliced_w2."
        )
    ot = _import_pot()
    cost = cdist(first, second, "euclidean" if p == 1 else "sqeuclidean")
    uniform = np.full(n, 1 / n), np.full(m, 1 / m)
    value, log = ot.emd2(*uniform, cost, numItermax=_MAX_SIMPLEX_STEPS, log=True)
    if log.get("warning"):
        from convexscore._tools.exceptions import SolverError  # scikit-learn: a second to import

        raise SolverError(
            f"the transport problem of {n} x {m} points was not solved: {log['warning']}. "
            f"Use random parts of the samples, or sliced_w2."
        )
    return float(value)


def _import_pot() -> Any:
    try:
        return import_module("ot")
    except ImportError as error:
        raise ImportError(
            "wasserstein in more than one dimension needs POT, which is not installed. Install it "
            "with: pip install 'convexscore[transport]' (or pip install POT), or use sliced_w2."
        ) from error
