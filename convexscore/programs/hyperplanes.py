"""Finite dictionaries of neurons: hyperplanes through data points and coordinate vectors."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore.programs.multivariate import as_point_matrix

FloatArray = NDArray[np.float64]

# Vectors of length one whose smallest singular value is below this span no hyperplane.
_DEPENDENT = 1e-9
# Kinks are moved by this much of the spread of the data to take a side of their points.
_NUDGE = 1e-10


def pair_dictionary(
    X: ArrayLike, *, both_orientations: bool = True, tie_variants: bool = False
) -> tuple[FloatArray, FloatArray]:
    r"""Return the neurons whose kinks are the hyperplanes through d data points.

    In the plane the lines through two points.  Not all optimal neurons are among them when
    :math:`\|u\|_2` is penalised: an upper bound that is easy to state.

    Parameters
    ----------
    X : array_like of shape (n, d)
        Points that lie in an affine subspace of dimension r < d get the hyperplanes through r
        points with normals in that subspace.
    both_orientations : bool
        Also -u, -b (ReLU needs both, for the absolute value they are the same function).
    tie_variants : bool
        For score matching: every hyperplane twice, moved by 1e-10 of the spread of the data so
        that in floating point the points on it are all active, or none of them.  Counts in
        between are convex combinations of these two.

    Returns
    -------
    u : ndarray of shape (m, d)
        Rows of Euclidean length 1.
    b : ndarray of shape (m,)
        For n points in general position m is :math:`\binom nd`, times two for each option.

    Raises
    ------
    ValueError
        If X is not a finite matrix with two different rows.

    Notes
    -----
    Time and memory O(m d^2).

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, section on two-dimensional data.

    Examples
    --------
    >>> u, b = pair_dictionary([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], both_orientations=False)
    >>> u.shape, abs(b).round(4).tolist()
    ((3, 2), [0.0, 0.0, 0.7071])
    """
    data = as_point_matrix("X", X)
    mean, length, points = _moved(data)
    _, singular, basis = np.linalg.svd(points, full_matrices=False)
    basis = basis[singular > _DEPENDENT * singular[0]]
    flat = points @ basis.T
    rows = np.column_stack([flat, np.ones(len(flat))])
    normals = _wedges(rows, len(rows), basis.shape[0])
    u, b = normals[:, :-1] @ basis, normals[:, -1]
    return _neurons(
        data,
        mean,
        length,
        np.column_stack([u, b]),
        order=2,
        both=both_orientations,
        tie_variants=tie_variants,
    )


def wedge_dictionary(
    X: ArrayLike,
    *,
    bias: bool = True,
    norm: str = "l1",
    orientations: str = "both",
    coordinates: bool = True,
    tie_variants: bool = False,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the neurons of the Clifford algebra programs (wedge products).

    With a bias :math:`(u, b)` is orthogonal to d of the vectors :math:`(x_i, 1)`,
    :math:`(e_k, 0)`, at least one of them a data point; without a bias u is orthogonal to d - 1
    of the :math:`x_i, e_k`.  So with a bias the hyperplanes run through j data points and are
    parallel to d - j coordinate axes: in the plane the lines through two points and the lines
    :math:`x_k = x_{ik}`.  The neuron is

    .. math:: \sigma\big(\star(x \wedge x_{j_1} \wedge \dots)\big) /
              \|\star(x_{j_1}\wedge\dots)\|.

    These are the vertices of the cells :math:`\{\|u\|_1 \le 1\} \cap` activation pattern, where a
    convex function has its maximum: hence exact for the penalty :math:`\|u\|_1\|w\|_2`.

    Parameters
    ----------
    X : array_like of shape (n, d)
    bias : bool
    norm : {"l1", "l2"}
        The norm of u that is scaled to one.
    orientations : {"both", "one"}
        "one" leaves out -u, -b: enough for the absolute value, not for ReLU.
    coordinates : bool
        False leaves out every hyperplane that uses a coordinate vector: no longer exact.
    tie_variants : bool
        As in :func:`pair_dictionary`; needs ``bias``, which moves.

    Returns
    -------
    u : ndarray of shape (m, d)
    b : ndarray of shape (m,)
        Zero without bias.

    Raises
    ------
    ValueError
        If an argument is not as described.

    Notes
    -----
    At most :math:`2\big(\binom{n+d}{d} - 1\big)` neurons with a bias and
    :math:`2\binom{n+d}{d-1}` without.

    References
    ----------
    Pilanci (2023), *From complexity to clarity*, arXiv 2309.16512, theorems for two and more
    dimensions; Zhang, Pilanci (2024), arXiv 2402.01965, multivariate denoising score matching.

    Examples
    --------
    >>> u, b = wedge_dictionary([[0.0, 0.0], [1.0, 2.0]], orientations="one")
    >>> (abs(u) @ [1, 1]).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    >>> sorted(map(tuple, abs(u).round(4).tolist()))
    [(0.0, 1.0), (0.0, 1.0), (0.6667, 0.3333), (1.0, 0.0), (1.0, 0.0)]
    """
    order = order_of(norm)
    if orientations not in ("both", "one"):
        raise ValueError(f"orientations must be 'both' or 'one', got {orientations!r}.")
    if tie_variants and not bias:
        raise ValueError("tie_variants=True needs bias=True: the bias is what is moved.")
    data = as_point_matrix("X", X)
    n, d = data.shape
    if bias:
        mean, length, points = _moved(data)
        rows = np.column_stack([points, np.ones(n)])
        axes = np.eye(d, d + 1)
    else:
        mean, length, points = np.zeros(d), 1.0, data
        rows, axes = points, np.eye(d)
    chosen = np.vstack([rows, axes]) if coordinates else rows
    normals = _wedges(chosen, n, d if bias else d - 1, needs_point=bias)
    if not bias:
        normals = np.column_stack([normals, np.zeros(len(normals))])
    return _neurons(
        data,
        mean,
        length,
        normals,
        order=order,
        both=orientations == "both",
        tie_variants=tie_variants,
    )


def order_of(norm: str) -> int:
    """1 or 2 for "l1" or "l2"."""
    if norm not in ("l1", "l2"):
        raise ValueError(f"norm must be 'l1' or 'l2', got {norm!r}.")
    return int(norm[1])


def _moved(data: FloatArray) -> tuple[FloatArray, float, FloatArray]:
    """Mean, spread and the points without them, so that thresholds have no unit."""
    shifted = data - data[0]
    mean = data[0] + shifted.mean(axis=0)
    points = data - mean
    length = float(np.sqrt(np.mean(points**2)))
    return mean, length, points / length


def _wedges(rows: FloatArray, n_points: int, size: int, *, needs_point: bool = True) -> FloatArray:
    """Unit vectors orthogonal to every independent choice of ``size`` rows, one of each pair."""
    if size == 0:
        return np.ones((1, rows.shape[1]))
    picks = np.array(list(combinations(range(len(rows)), size)), dtype=np.intp)
    picks = picks.reshape(-1, size)  # also when there are none
    if needs_point:
        picks = picks[np.any(picks < n_points, axis=1)]
    lengths = np.linalg.norm(rows, axis=1)
    picks = picks[np.all(lengths[picks] > 0, axis=1)]
    unit = rows / np.where(lengths > 0, lengths, 1.0)[:, np.newaxis]
    _, singular, right = np.linalg.svd(unit[picks])
    normals = right[singular[:, -1] > _DEPENDENT, -1]
    return _distinct(normals)


def _distinct(normals: FloatArray) -> FloatArray:
    """One of v and -v and of vectors that agree to rounding, as unit vectors."""
    rounded = np.round(normals, 9) + 0.0
    first = np.argmax(rounded != 0, axis=1)
    signs = np.sign(rounded[np.arange(len(rounded)), first])
    _, kept = np.unique(rounded * signs[:, np.newaxis] + 0.0, axis=0, return_index=True)
    kept = np.sort(kept)
    result: FloatArray = normals[kept] * signs[kept, np.newaxis]
    return result


def _neurons(
    data: FloatArray,
    mean: FloatArray,
    length: float,
    normals: FloatArray,
    *,
    order: int,
    both: bool,
    tie_variants: bool,
) -> tuple[FloatArray, FloatArray]:
    """From hyperplanes u.(x - mean)/length + b = 0 to neurons for the data."""
    u = np.where(np.abs(normals[:, :-1]) < 1e-14, 0.0, normals[:, :-1])
    b = length * normals[:, -1] - u @ mean
    size = np.linalg.norm(u, ord=order, axis=1)
    u, b = u / size[:, np.newaxis], b / size
    if both:
        u, b = np.vstack([u, -u]), np.concatenate([b, -b])
    if tie_variants:
        # Beyond rounding of u.x + b, also for data far from the origin.
        rounding = 64 * data.shape[1] * np.finfo(np.float64).eps * np.max(np.abs(data))
        step = max(_NUDGE * length, float(rounding))
        u, b = np.vstack([u, u]), np.concatenate([b + step, b - step])
    return u, b
