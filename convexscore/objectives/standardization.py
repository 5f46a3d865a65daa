r"""Affine standardisation z = M (x - mu) of points, and networks carried between x and z.

If :math:`s_z` is the score of the law of z, the score of the law of x is

.. math:: s_x(x) = M^\top s_z(M(x - \mu)),

the chain rule for :math:`\log p_x(x) = \log p_z(M(x - \mu)) + \log|\det M|`.  Fits in x and in z
agree only for multiples of rotations: otherwise the quadratic, the divergence and the penalty of
a problem in z weigh directions differently, which is what standardising is for.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice, check_weighted_points
from convexscore.objectives.objective import ScoreObjective
from convexscore.scores.network import TwoLayerNetwork

MODES = (None, "scale", "columns", "whitening")

# A column whose values differ by fewer rounding units of the largest is constant.
_CONSTANT_ULPS = 8.0


@dataclass(frozen=True, eq=False)
class Standardization:
    r"""The map :math:`z = M(x - \mu)` and what it does to points, labels, networks and problems.

    Attributes
    ----------
    centre : (d,) the point mu that goes to zero, in units of x.
    matrix : (d, d) the matrix M, in 1 / units of x.
    inverse : (d, d) its inverse.
    name : the mode it was made with.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.objectives.standardization import standardization
    >>> x = np.array([[1.0, 100.0], [1.0, 300.0], [5.0, 100.0], [5.0, 300.0]])
    >>> made = standardization(x, "columns")
    >>> made.centre.tolist(), made.points(x).tolist()
    ([3.0, 200.0], [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    """

    centre: Floats
    matrix: Floats
    inverse: Floats
    name: str | None = None

    @classmethod
    def identity(cls, dim: int) -> Standardization:
        """Everything as it is."""
        return cls(np.zeros(dim), np.eye(dim), np.eye(dim))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return int(self.centre.size)

    def points(self, x: ArrayLike) -> Floats:
        """Points (..., d) in standard units, z = M (x - mu)."""
        array = self._rows("x", x)
        return array if self.name is None else (array - self.centre) @ self.matrix.T

    def points_back(self, z: ArrayLike) -> Floats:
        """Points (..., d) in the units of the data, x = M^-1 z + mu."""
        array = self._rows("z", z)
        return array if self.name is None else array @ self.inverse.T + self.centre

    def labels(self, scores: ArrayLike) -> Floats:
        """Scores (..., d) in x as scores in z, l_z = M^-T l_x."""
        array = self._rows("scores", scores)
        return array if self.name is None else array @ self.inverse

    def labels_back(self, scores: ArrayLike) -> Floats:
        """Scores (..., d) in z as scores in x, l_x = M^T l_z."""
        array = self._rows("scores", scores)
        return array if self.name is None else array @ self.matrix

    def network_back(self, network: TwoLayerNetwork) -> TwoLayerNetwork:
        r"""The network in x that is the score of x where ``network`` is the score of z.

        :math:`u_x = M^\top u_z`, :math:`b_x = b_z - u_x^\top\mu`, :math:`w_x = M^\top w_z`,
        :math:`V_x = M^\top V_z M`, :math:`c_x = M^\top c_z - V_x\mu`; not of unit norm in general.
        A network with ``w = y u`` and symmetric ``V`` stays one.
        """
        if self.name is None:
            return network
        return _carried(network, self.matrix.T, -self.centre)

    def network_forward(self, network: TwoLayerNetwork) -> TwoLayerNetwork:
        """The network in z for a network in x; the inverse of :meth:`network_back`."""
        if self.name is None:
            return network
        # The bias moves first, by the weights of x: b_z = b_x + u_x.mu, c_z = M^-T (c_x + V_x mu).
        centre, skip = self.centre, network.skip
        offset = network.offset if skip is None else network.offset + skip @ centre
        moved = replace(network, b=network.b + network.u @ centre, offset=offset)
        return _carried(moved, self.inverse.T, np.zeros(self.dim))

    def objective(self, objective: ScoreObjective) -> ScoreObjective:
        """The problem of the transformed points and labels, for the score of z.

        The same divergence weight: score matching on z, or denoising with noise of covariance
        ``noise^2 M M'``.  Its population optimum is the score of z, hence mapped back that of x.
        """
        labels = None if objective.labels is None else self.labels(objective.labels)
        return replace(objective, points=self.points(objective.points), labels=labels)

    def objective_back(self, objective: ScoreObjective) -> ScoreObjective:
        """The problem in the units of the data, of one in standard units."""
        if self.name is None:
            return objective
        labels = None if objective.labels is None else self.labels_back(objective.labels)
        return replace(objective, points=self.points_back(objective.points), labels=labels)

    def _rows(self, name: str, value: ArrayLike) -> Floats:
        array = np.asarray(value, dtype=np.float64)
        if array.ndim == 0 or array.shape[-1] != self.dim:
            raise ValueError(
                f"{name} must have shape (..., {self.dim}), one point per row; got {array.shape}. "
                "Pass points with as many columns as the standardised data."
            )
        return array


def standardization(
    X: ArrayLike, mode: str | None, *, sample_weight: ArrayLike | None = None
) -> Standardization:
    r"""The standardisation of some data.

    Parameters
    ----------
    X : array_like of shape (n,) or (n, d)
    mode : {None, "scale", "columns", "whitening"}
        ``None`` leaves everything as it is.  ``"scale"`` subtracts the mean and divides all columns
        by one number, the root of their mean variance, which rotations do not change.
        ``"columns"`` subtracts the mean of each column and
        divides by its standard deviation.  ``"whitening"`` in addition makes the columns
        uncorrelated, :math:`M = C^{-1/2}D^{-1}` with the standard deviations D and the symmetric
        root of the correlation matrix C, so that :math:`M\hat\Sigma M^\top = I`.
    sample_weight : array_like of shape (n,), optional
        Weights of mean and covariance.

    Returns
    -------
    Standardization

    Raises
    ------
    ValueError
        If a column is constant, or for whitening the columns are linearly dependent, up to
        rounding.

    Notes
    -----
    Whitened data of :math:`Ax + a` are a rotation of those of :math:`x` for every invertible A;
    ``"columns"`` forgets the units of each column.  O(n d^2) time and O(n d) memory.

    References
    ----------
    Kessy, Lewin, Strimmer (2018), *Optimal whitening and decorrelation*, section 3 (ZCA-cor),
    arXiv 1512.00809.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.objectives.standardization import standardization
    >>> x = np.random.default_rng(0).normal(size=(50, 2)) @ [[1e4, 2.0], [0.0, 0.1]]
    >>> z = standardization(x, "whitening").points(x)
    >>> bool(np.allclose(np.cov(z.T, ddof=0), np.eye(2)))
    True
    """
    check_choice(mode, MODES, name="standardize")
    points, weights = check_weighted_points(X, sample_weight)
    n, d = points.shape
    if mode is None:
        return Standardization.identity(d)
    share = np.full(n, 1.0 / n) if weights is None else weights / weights.sum()
    # Relative to a data point, so that a large offset costs the mean no digits.
    centre = points[0] + share @ (points - points[0])
    standard = points - centre
    largest = np.abs(standard).max(axis=0)
    rounding = np.finfo(float).eps * np.abs(points).max(axis=0)
    if mode == "scale":
        unit = 2.0 ** round(np.log2(largest.max()))
        scale = unit * float(np.sqrt((share @ (standard / unit) ** 2).mean()))
        return Standardization(centre, np.eye(d) / scale, np.eye(d) * scale, mode)
    _refuse_constant_columns(points, largest <= _CONSTANT_ULPS * rounding, mode)
    # Powers of two keep the squares of tiny and huge columns in range.
    unit = 2.0 ** np.round(np.log2(largest))
    standard /= unit
    deviation = np.sqrt(share @ standard**2)
    standard /= deviation
    deviation *= unit
    if mode == "columns":
        return Standardization(centre, np.diag(1.0 / deviation), np.diag(deviation), mode)
    standard *= np.sqrt(share)[:, None]
    _, spread, axes = np.linalg.svd(np.linalg.qr(standard, mode="r"), full_matrices=False)
    noise = max(len(points), d) * np.finfo(float).eps + 4.0 * float((rounding / deviation).max())
    _refuse_dependent_columns(points, int((spread > noise * spread[0]).sum()))
    matrix = (axes.T / spread) @ axes / deviation
    inverse = deviation[:, None] * ((axes.T * spread) @ axes)
    return Standardization(centre, matrix, inverse, mode)


def _carried(net: TwoLayerNetwork, by: Floats, shift: Floats) -> TwoLayerNetwork:
    """Inner and outer weights multiplied by a matrix, biases moved by the rounded new weights."""
    u = net.u @ by.T
    skip, offset = None, by @ net.offset
    if net.skip is not None:
        skip = by @ net.skip @ by.T
        if np.array_equal(net.skip, net.skip.T):
            skip = 0.5 * (skip + skip.T)
        offset = offset + skip @ shift
    return replace(net, u=u, w=net.w @ by.T, b=net.b + u @ shift, skip=skip, offset=offset)


def _refuse_constant_columns(points: Floats, constant: NDArray[np.bool_], mode: str) -> None:
    if constant.any():
        index = np.flatnonzero(constant).tolist()
        raise ValueError(
            f"standardize={mode!r} needs columns that vary, but column {index[0]} of X is constant up "
            f"to rounding ({points[0, index[0]]:g}). Drop what is constant, for example "
            f"np.delete(X, {reprlib.repr(index)}, axis=1), or use standardize=None."
        )


def _refuse_dependent_columns(points: Floats, rank: int) -> None:
    n, d = points.shape
    if rank < d:
        raise ValueError(
            f"standardize='whitening' needs linearly independent columns, but X ({n} rows, {d} columns) "
            f"has rank {rank} after centring. Use standardize='columns', drop {d - rank} dependent "
            f"columns, or reduce X to {rank} columns by PCA."
        )
