"""Patterns of neurons and neurons of patterns."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from convexscore.arrangements.arrangement import check_pattern
from convexscore.arrangements.enumeration import verified
from convexscore.arrangements.hyperplanes import SAME, Bools, Floats, check_points, hyperplanes


def pattern_of(X: ArrayLike, u: ArrayLike, b: ArrayLike = 0.0) -> Bools:
    r"""Activation pattern 1{X u + b >= 0} of one or several neurons.

    Parameters
    ----------
    X : array_like of shape (n, d)
    u : array_like of shape (d,) or (m, d)
    b : float or array_like of shape (m,)

    Returns
    -------
    (n,) or (m, n) bool
        A point on the hyperplane itself is active.

    Raises
    ------
    ValueError
        If the shapes do not fit.

    Examples
    --------
    >>> from convexscore.arrangements import pattern_of
    >>> pattern_of([[0.0, 0.0], [1.0, 0.0], [3.0, 1.0]], [1.0, 0.0], -1.0).tolist()
    [False, True, True]
    """
    points = check_points(X)
    weights, biases = np.asarray(u, dtype=np.float64), np.asarray(b, dtype=np.float64)
    d, m = points.shape[1], weights.shape[:-1]
    if len(m) > 1 or weights.shape[-1:] != (d,) or biases.shape not in ((), m):
        raise ValueError(
            f"u must have shape ({d},) or (m, {d}) for X with {d} columns, and b be a number or have "
            f"shape (m,), one per neuron; got shapes {weights.shape} and {biases.shape}."
        )
    return np.asarray(weights @ points.T + biases[..., None] >= 0)


def neuron_of_pattern(
    X: ArrayLike, pattern: ArrayLike, *, bias: bool = True
) -> tuple[Floats, float] | None:
    r"""A neuron strictly inside the cell of a pattern, or None if no open cell has the pattern.

    The linear program

    .. math:: \max_{v, t}\; t \quad\text{s.t.}\quad s_i z_i^T v \ge t,\; -1 \le v_k \le 1,
              \qquad s_i = 2 D_{ii} - 1,

    with z_i the rows of [X 1] (bias) or X in whitened coordinates, at unit length.  One program with
    r + 1 variables and at most n rows, solved by HiGHS.

    Parameters
    ----------
    X : array_like of shape (n, d)
    pattern : array_like of shape (n,), bool
    bias : bool

    Returns
    -------
    (u, b) with u (d,) of length 1 and b float (0 without bias), or None
        None also when the pattern separates equal points, or says that a point at the origin is
        inactive without bias.

    Raises
    ------
    ValueError
        If X is not a finite real matrix or ``pattern`` no boolean vector of its length.

    Examples
    --------
    >>> from convexscore.arrangements import neuron_of_pattern, pattern_of
    >>> square = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    >>> u, b = neuron_of_pattern(square, [True, True, False, False])
    >>> pattern_of(square, u, b).tolist()
    [True, True, False, False]
    >>> neuron_of_pattern(square, [True, False, True, False]) is None   # exclusive or
    True
    """
    from scipy.optimize import linprog

    planes = hyperplanes(X, bias)
    wanted = check_pattern(pattern, planes.X.shape[0])
    used = planes.owner >= 0
    if not wanted[~used].all():
        return None
    owner, side = planes.owner[used], (wanted ^ planes.flipped)[used]
    active = np.zeros(planes.normals.shape[0], dtype=bool)
    active[owner] = side
    if (active[owner] != side).any():
        return None  # equal points told apart
    v = np.zeros(planes.rank)
    if planes.rank:
        rows = planes.normals * np.where(active, -1.0, 1.0)[:, None]
        cost = np.append(np.zeros(planes.rank), -1.0)
        result = linprog(
            cost,
            A_ub=np.column_stack([rows, np.ones(rows.shape[0])]),
            b_ub=np.zeros(rows.shape[0]),
            bounds=[(-1.0, 1.0)] * planes.rank + [(0.0, None)],
            method="highs",
        )
        if result.x is None or result.x[-1] <= SAME:
            return None
        v = result.x[:-1]
    (_, u, b, _), fits = verified(planes, *planes.neurons(v[None, :]), wanted)
    return (u[0], float(b[0])) if fits else None
