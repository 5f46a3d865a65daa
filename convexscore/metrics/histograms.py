"""Metrics between distribution functions and histograms, in low dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_column, check_count
from convexscore.metrics.pairs import check_samples

Edges: TypeAlias = tuple[Floats, ...]

# Equal cells span these quantiles of the pooled sample; the outermost are unbounded. So one
# far point neither widens all cells nor is lost.
_INNER_QUANTILES = (0.005, 0.995)


def kolmogorov_smirnov(X: ArrayLike, Y: ArrayLike | Callable[[Floats], ArrayLike]) -> float:
    r"""Kolmogorov–Smirnov distance of two columns, or of a column and a distribution function.

    .. math:: \mathrm{KS} = \sup_t |F(t) - G(t)|

    Parameters
    ----------
    X : array (n,) or (n, 1)
    Y : array (m,) or (m, 1), or a callable
        A second sample, or the continuous distribution function of the law, such as ``fit.cdf``.

    Returns
    -------
    float
        In [0, 1]; unchanged by increasing maps of both columns. Times :math:`\sqrt{nm/(n + m)}`
        (:math:`\sqrt n` for a callable) it has Kolmogorov's law if the laws are equal.

    Raises
    ------
    ValueError
        If a sample is empty, not finite or has several columns, or if the callable returns another
        shape or values outside [0, 1].

    Examples
    --------
    >>> from convexscore.metrics import kolmogorov_smirnov
    >>> kolmogorov_smirnov([0.0, 1.0, 2.0, 3.0], [1.5, 2.5])
    0.5
    """
    x = np.sort(check_column(X, name="X", min_distinct=1))
    n = len(x)
    if callable(Y):
        cdf = np.asarray(Y(x), dtype=np.float64)
        if cdf.shape != x.shape or not ((cdf >= 0) & (cdf <= 1)).all():
            raise ValueError(
                f"Y must be a distribution function: values in [0, 1] of the shape it is given, "
                f"{x.shape}; got shape {cdf.shape}, values from {cdf.min():g} to {cdf.max():g}. "
                f"Pass for instance fit.cdf or scipy.stats.norm.cdf."
            )
        above, below = np.arange(1, n + 1) / n - cdf, cdf - np.arange(n) / n
        return float(max(above.max(), below.max()))
    y = np.sort(check_column(Y, name="Y", min_distinct=1))
    knots = np.concatenate([x, y])
    gap = np.searchsorted(x, knots, side="right") / n
    return float(np.abs(gap - np.searchsorted(y, knots, side="right") / len(y)).max())


def total_variation_grid(
    X: ArrayLike, Y: ArrayLike, *, bins: int | ArrayLike | Sequence[ArrayLike] | None = None
) -> float:
    r"""Total variation of the histograms of two samples on a common grid.

    .. math:: \mathrm{TV} = \tfrac12 \sum_c |p_c - q_c|

    with the shares p, q of the two samples in each cell c. The total variation of the laws is at
    least that of their cell probabilities; sampling noise adds about
    :math:`\sum_c \sqrt{p_c (1/n + 1/m) / (2\pi)}` at equal laws, so read it against its
    `noise_floor`.

    Parameters
    ----------
    X, Y : array (n,) or (n, 1) and (m,) or (m, 1), or (n, 2) and (m, 2)
        The samples; their sizes may differ.
    bins : int >= 1, edges, or None
        int: equal cells per axis between the 0.5 % and the 99.5 % quantile of the pooled sample,
        with two more, unbounded ones outside. Edges: an increasing array (1-D) or a pair of them
        (2-D); what lies outside is counted in unbounded outer cells, never dropped. None: int,
        :math:`\lceil 2 n^{1/(d+2)} \rceil` with n the size of the smaller sample.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If d > 2, if a sample is empty or not finite, if the dimensions differ, or if ``bins`` is
        not as described.

    Notes
    -----
    O((n + m) log(bins) + bins^d).

    Examples
    --------
    >>> from convexscore.metrics import total_variation_grid
    >>> total_variation_grid([0.1, 0.2, 1.2, 1.4], [0.3, 1.1, 1.3, 1.7], bins=[0, 1, 2])
    0.25
    """
    first, second = check_samples(X, Y)
    edges = grid_edges(first, second, bins)
    p, q = _cell_shares(first, edges), _cell_shares(second, edges)
    return float(0.5 * np.abs(p - q).sum())


def default_bins(n: int, d: int) -> int:
    """Cells per axis: few enough that the noise of their shares goes to zero with n."""
    return int(np.ceil(2 * n ** (1 / (d + 2))))


def grid_edges(first: Floats, second: Floats, bins: Any) -> Edges:
    """The inner edges of the common grid, one increasing array per axis."""
    d = first.shape[1]
    if d > 2:
        raise ValueError(
            f"X and Y must have 1 or 2 columns for a grid; got {d}. Cells are empty in higher "
            f"dimension: use energy_distance, mmd or sliced_w2, or pass two of the columns."
        )
    if bins is None:
        bins = default_bins(min(len(first), len(second)), d)
    if isinstance(bins, str) or not hasattr(bins, "__len__"):
        n_cells = check_count(bins, name="bins")
        pooled = np.concatenate([first, second])
        low, high = np.quantile(pooled, _INNER_QUANTILES, axis=0)
        # A point mass keeps a cell of its own.
        high = np.maximum(high, np.nextafter(low, np.inf))
        axes = [np.linspace(a, b, n_cells + 1) for a, b in zip(low, high, strict=True)]
        return tuple(np.unique(axis) for axis in axes)
    axes = [bins] if d == 1 else list(bins)
    if len(axes) != d:
        raise ValueError(
            f"bins must be an int or one array of edges per axis ({d}); got {len(axes)}. "
            f"For the plane pass a pair (edges_x, edges_y)."
        )
    return tuple(_check_edges(axis) for axis in axes)


def _check_edges(edges: Any) -> Floats:
    column = check_column(edges, name="bins", min_distinct=1)
    if not (np.diff(column) > 0).all():
        raise ValueError(
            f"bins must be strictly increasing edges; got {column.tolist()[:6]}... "
            f"Use numpy.unique(bins)."
        )
    return column


def _cell_shares(points: Floats, edges: Edges) -> Floats:
    shape = tuple(len(axis) + 1 for axis in edges)
    cells = tuple(
        np.searchsorted(axis, column, side="right")
        for axis, column in zip(edges, points.T, strict=True)
    )
    flat = np.ravel_multi_index(cells, shape)
    return np.bincount(flat, minlength=int(np.prod(shape))) / len(points)
