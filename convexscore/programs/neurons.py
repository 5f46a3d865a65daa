"""Finite dictionaries of neurons: hyperplanes through data points and coordinate vectors."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.validation import check_choice, check_points

FloatArray = NDArray[np.float64]

# Vectors of length one whose smallest singular value is below this span no hyperplane.
_DEPENDENT = 1e-9
# Kinks are moved by this much of the spread of the data to take a side of their points.
_NUDGE = 1e-10


def neuron_dictionary(
    X: ArrayLike,
    kind: str = "pairs",
    *,
    bias: bool = True,
    both_orientations: bool = True,
    tie_variants: bool = False,
) -> tuple[FloatArray, FloatArray]:
    r"""Return the neurons whose kinks are hyperplanes through data points.

    **"pairs"**: the hyperplanes through d points, in the plane the lines through two.  Not all
    optimal neurons are among them: an upper bound that is easy to state.  Points that lie in an
    affine subspace of dimension r < d get the hyperplanes through r points with normals in it.

    **"clifford"**: the wedge products of the Clifford algebra programs.  :math:`(u, b)` is
    orthogonal to d of the vectors :math:`(x_i, 1)`, :math:`(e_k, 0)`, at least one of them a data
    point, so the hyperplanes run through j points and are parallel to d - j coordinate axes: in the
    plane the lines through two points and the lines :math:`x_k = x_{ik}`.  The neuron is

    .. math:: \sigma\big(\star(x \wedge x_{j_1} \wedge \dots)\big) /
              \|\star(x_{j_1}\wedge\dots)\|.

    These are the vertices of the cells :math:`\{\|u\|_1 \le 1\} \cap` activation pattern, where a
    convex function has its maximum: hence exact for the penalty :math:`\|u\|_1\|w\|_2`
    (``norm="l1"`` of :func:`dictionary_program`).

    Parameters
    ----------
    X : array_like of shape (n, d)
    kind : {"pairs", "clifford"}
    bias : bool
        Without, the hyperplanes run through the origin: u is orthogonal to d - 1 of the
        :math:`x_i` (and :math:`e_k`), and b is zero.
    both_orientations : bool
        Also -u, -b, the same function only for the absolute value.
    tie_variants : bool
        For score matching, with bias: every hyperplane twice, moved by 1e-10 of the spread of the
        data so that in floating point the points on it are all active, or none of them.  Counts in
        between are convex combinations of these two.

    Returns
    -------
    u : ndarray of shape (m, d)
        Rows of Euclidean length 1.
    b : ndarray of shape (m,)
        For n points in general position m is :math:`\binom nd` for pairs and
        :math:`\binom{n+d}{d} - 1` for "clifford" (without bias :math:`\binom{n}{d-1}` and
        :math:`\binom{n+d}{d-1}`), times two for each option.

    Raises
    ------
    ValueError
        If X is not a finite matrix with two different rows, or an option is not as described.

    Notes
    -----
    Time and memory O(m d^2).

    References
    ----------
    Pilanci (2023), *From complexity to clarity*, arXiv 2309.16512, theorems for two and more
    dimensions; Zhang, Pilanci (2024), arXiv 2402.01965, section on two-dimensional data and
    multivariate denoising score matching.

    Examples
    --------
    >>> u, b = neuron_dictionary([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], both_orientations=False)
    >>> u.shape, abs(b).round(4).tolist()
    ((3, 2), [0.0, 0.0, 0.7071])
    >>> u, b = neuron_dictionary([[0.0, 0.0], [1.0, 2.0]], "clifford", both_orientations=False)
    >>> sorted(map(tuple, abs(u).round(4).tolist()))
    [(0.0, 1.0), (0.0, 1.0), (0.8944, 0.4472), (1.0, 0.0), (1.0, 0.0)]
    """
    check_choice(kind, ("pairs", "clifford"), name="kind")
    if tie_variants and not bias:
        raise ValueError("tie_variants=True needs bias=True: the bias is what is moved.")
    data = check_points(X)
    mean, length = np.zeros(data.shape[1]), 1.0
    if bias:  # in coordinates without unit
        mean = data[0] + (data - data[0]).mean(axis=0)
        length = float(np.sqrt(np.mean((data - mean) ** 2)))
    points = (data - mean) / length
    basis = np.eye(data.shape[1])
    if kind == "pairs":
        _, singular, right = np.linalg.svd(points, full_matrices=False)
        basis = right[singular > _DEPENDENT * singular[0]]
    rank = len(basis)
    axes = np.eye(rank) if kind == "clifford" else np.empty((0, rank))
    vectors = np.vstack([points @ basis.T, axes])
    if bias:
        vectors = np.column_stack([vectors, np.arange(len(vectors)) < len(points)])
    normals = _wedges(vectors, len(points), rank - (not bias), needs_point=bias)
    u = normals[:, :rank] @ basis
    u = np.where(np.abs(u) < 1e-14, 0.0, u)
    b = length * normals[:, rank] - u @ mean if bias else np.zeros(len(u))
    size = np.linalg.norm(u, axis=1)
    u, b = u / size[:, np.newaxis], b / size
    if both_orientations:
        u, b = np.vstack([u, -u]), np.concatenate([b, -b])
    if tie_variants:
        # Beyond rounding of u.x + b, also for data far from the origin.
        rounding = 64 * data.shape[1] * np.finfo(np.float64).eps * np.max(np.abs(data))
        step = max(_NUDGE * length, float(rounding))
        u, b = np.vstack([u, u]), np.concatenate([b + step, b - step])
    return u, b


def _wedges(rows: FloatArray, n_points: int, size: int, *, needs_point: bool) -> FloatArray:
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
    return _distinct(right[singular[:, -1] > _DEPENDENT, -1])


def _distinct(normals: FloatArray) -> FloatArray:
    """One of v and -v and of vectors that agree to rounding, as unit vectors."""
    rounded = np.round(normals, 9) + 0.0
    first = np.argmax(rounded != 0, axis=1)
    signs = np.sign(rounded[np.arange(len(rounded)), first])
    _, kept = np.unique(rounded * signs[:, np.newaxis] + 0.0, axis=0, return_index=True)
    kept = np.sort(kept)
    return np.asarray(normals[kept] * signs[kept, np.newaxis])
