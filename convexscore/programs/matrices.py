"""The matrices of the univariate convex programs, written as in the paper.

Every candidate neuron is a column: its values at the data and, for score matching, the sum of its
derivatives.  The optimal offset centres a column, the optimal skip connection removes its line.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore.programs.inputs import as_column, as_points, as_weights
from convexscore.scores.activations import Activation, get_activation

FloatArray = NDArray[np.float64]


def score_matching_matrices(
    x: ArrayLike,
    activation: str | Activation = "relu",
    skip: bool = False,
    *,
    sample_weight: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    r"""Return ``A`` and ``b`` of the score matching program
    :math:`\min_y \tfrac12\|Ay\|^2 + b^\top y + \beta\|y\|_1`.

    ReLU, with :math:`J = I - 11^\top/n` and :math:`[A_1]_{ij} = (x_i - x_j)_+`,
    :math:`[A_2]_{ij} = (x_j - x_i)_+`,

    .. math::
        A = J[A_1, A_1, A_2, A_2] \in \mathbb{R}^{n\times 4n}, \quad
        b = [1^\top C_1, 1^\top C_2, -1^\top C_3, -1^\top C_4],

    :math:`C_1 = 1\{x_i \ge x_j\}`, :math:`C_2 = 1\{x_i > x_j\}`,
    :math:`C_3 = 1\{x_i \le x_j\}`, :math:`C_4 = 1\{x_i < x_j\}`: a kink at a data point counts
    from both sides.  Absolute value: :math:`A = J[|x_i-x_j|, |x_i-x_j|] \in \mathbb{R}^{n\times
    2n}`, :math:`b = [\sum_i \mathrm{sgn}(x_i-x_j), -\sum_i \mathrm{sgn}(x_j-x_i)]` with
    :math:`\mathrm{sgn}(0) = 1`.  With skip connection, for :math:`\bar x = x - \mu`,
    :math:`A \leftarrow (I - \bar x\bar x^\top/\|\bar x\|^2)A` and
    :math:`b \leftarrow b - n A^\top\bar x/\|\bar x\|^2` (with the old ``A``).

    Parameters
    ----------
    x : array_like of shape (n,) or (n, 1)
        Data, at least two distinct values.
    activation : {"relu", "abs"}
    skip : bool
    sample_weight : array_like of shape (n,), optional
        Positive weights :math:`m_i`.  Sums become weighted sums and row ``i`` is multiplied by
        :math:`\sqrt{m_i}`, so that integer weights give the same program as repeated data.

    Returns
    -------
    A : ndarray of shape (n, k)
        In the unit of ``x``.
    b : ndarray of shape (k,)
        Without unit; ``k = 4n`` (ReLU) or ``2n`` (abs).

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate score matching (ReLU and absolute value,
    with and without skip connection).

    Examples
    --------
    >>> A, b = score_matching_matrices([0.0, 1.0], "relu")
    >>> A.shape, b.tolist()
    ((2, 8), [2.0, 1.0, 1.0, 0.0, -1.0, -2.0, 0.0, -1.0])
    """
    points = as_points("x", x)
    weights = as_weights(sample_weight, len(points))
    difference = points[:, np.newaxis] - points[np.newaxis, :]
    if get_activation(activation).name == "relu":
        right, left = np.maximum(difference, 0.0), np.maximum(-difference, 0.0)
        raw = np.hstack([right, right, left, left])
        slopes = np.hstack([difference >= 0, difference > 0, -1.0 * (difference <= 0),
                            -1.0 * (difference < 0)])  # fmt: skip
    else:
        raw = np.hstack([np.abs(difference), np.abs(difference)])
        slopes = np.hstack([np.where(difference >= 0, 1.0, -1.0),
                            -np.where(-difference >= 0, 1.0, -1.0)])  # fmt: skip
    A = _centre(raw, weights)
    b = weights @ slopes
    if skip:
        line = weighted_line(points, weights)
        b = b - weights.sum() / (line @ line) * (line @ A)
        A = _remove(A, line)
    return A, b


def denoising_matrices(
    x_noisy: ArrayLike,
    labels: ArrayLike,
    activation: str | Activation = "relu",
    skip: bool = False,
    *,
    sample_weight: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray]:
    r"""Return ``A`` and the target ``t`` of the denoising program, a plain lasso
    :math:`\min_y \tfrac12\|Ay - t\|^2 + \beta\|y\|_1`.

    .. math:: A = J[(\tilde x_i - \tilde x_j)_+, (\tilde x_j - \tilde x_i)_+], \qquad t = J l,

    for the absolute value :math:`A = J|\tilde x_i - \tilde x_j|`; with skip connection
    :math:`J \leftarrow J - \bar x\bar x^\top/\|\bar x\|^2`.

    Parameters
    ----------
    x_noisy : array_like of shape (n,) or (n, 1)
        Noisy points :math:`\tilde x_i = x_i + \varepsilon\delta_i`, two distinct values or more.
    labels : array_like of shape (n,) or (n, 1)
        Labels :math:`l_i`, in the paper :math:`-\delta_i/\varepsilon`.
    activation : {"relu", "abs"}
    skip : bool
    sample_weight : array_like of shape (n,), optional
        As in :func:`score_matching_matrices`.

    Returns
    -------
    A : ndarray of shape (n, k)
        ``k = 2n`` (ReLU) or ``n`` (abs).
    target : ndarray of shape (n,)

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate denoising score matching.

    Examples
    --------
    >>> A, target = denoising_matrices([0.0, 1.0, 3.0], [1.0, 0.0, -1.0], "abs")
    >>> A.shape, target.tolist()
    ((3, 3), [1.0, 0.0, -1.0])
    """
    points = as_points("x_noisy", x_noisy)
    target = as_column("labels", labels)
    if target.shape != points.shape:
        raise ValueError(
            f"labels must have one entry per noisy point, shape {points.shape}, got {target.shape}."
        )
    weights = as_weights(sample_weight, len(points))
    difference = points[:, np.newaxis] - points[np.newaxis, :]
    if get_activation(activation).name == "relu":
        raw = np.hstack([np.maximum(difference, 0.0), np.maximum(-difference, 0.0)])
    else:
        raw = np.abs(difference)
    A, t = _centre(raw, weights), _centre(target[:, np.newaxis], weights)
    if skip:
        line = weighted_line(points, weights)
        A, t = _remove(A, line), _remove(t, line)
    return A, t[:, 0]


def centred(values: FloatArray, weights: FloatArray) -> FloatArray:
    """Subtract the weighted mean, after a shift that keeps the digits of clustered values."""
    shifted = values - values[0]
    result: FloatArray = shifted - weights @ shifted / weights.sum()
    return result


def weighted_line(points: FloatArray, weights: FloatArray) -> FloatArray:
    """Return sqrt(m_i) (x_i - mu), the direction that the skip connection takes out."""
    return np.sqrt(weights) * centred(points, weights)


def _centre(columns: FloatArray, weights: FloatArray) -> FloatArray:
    means = weights @ columns / weights.sum()
    result: FloatArray = np.sqrt(weights)[:, np.newaxis] * (columns - means)
    return result


def _remove(columns: FloatArray, line: FloatArray) -> FloatArray:
    return columns - np.outer(line, (line @ columns) / (line @ line))
