r"""The score of a kernel exponential family, fitted by score matching: linear equations.

.. math:: s(x) = \nabla \log q_0(x) + \sum_{m=1}^M \alpha_m \nabla_x k(x, z_m), \qquad
          \min_\alpha\ \frac1n\sum_i\Big[\tfrac12\|s(x_i)\|^2 + \operatorname{tr}\nabla s(x_i)\Big]
          + \tfrac\lambda2\, \alpha^\top K \alpha

with the fitted Gaussian as :math:`q_0`, a Gaussian kernel of bandwidth h and centres z among the data.
Bandwidth and lambda are those of the smallest score-matching loss on held-out points.

Sriperumbudur, Fukumizu, Gretton, Hyvarinen, Kumar (2017), *Density estimation in infinite dimensional
exponential families*, JMLR 18; Sutherland, Strathmann, Arbel, Gretton (2018), *Efficient and principled
score estimation with Nystrom kernel exponential families*, AISTATS (the "lite" centres).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist, pdist

from benchmarks.harness import Floats

# Bandwidths in median distances of the (whitened) data, penalties in units of the mean of diag G.
BANDWIDTHS = tuple(2.0 ** np.arange(-3.5, 1.01, 0.75))
PENALTIES = tuple(10.0 ** np.arange(-7.0, 0.01, 1.0))
# Keeps the equations solvable where centres nearly coincide.
_RIDGE = 1e-10
# Numbers in one block of features.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class Moments:
    """The quadratic loss of the coefficients on some points: mean of 1/2 a' G a + h' a."""

    gram: Floats
    linear: Floats

    def loss(self, alpha: Floats) -> float:
        return float(0.5 * alpha @ self.gram @ alpha + self.linear @ alpha)


def kernel_family_score(
    x: Floats, *, n_centres: int = 300, folds: int = 3, rng: np.random.Generator
) -> tuple[Callable[[Floats], Floats], tuple[float, float]]:
    """Score of points as they are, and the chosen (bandwidth, lambda) for whitened data.

    Time O(n d M^2) for each bandwidth and fold, M centres.
    """
    points = x.reshape(len(x), -1)
    n = len(points)
    mean = points.mean(axis=0)
    root = np.linalg.cholesky(np.atleast_2d(np.cov(points.T, bias=True)))
    z = np.linalg.solve(root, (points - mean).T).T
    centres = z[rng.choice(n, size=min(n, n_centres), replace=False)]
    typical = float(np.median(pdist(z[:500])))
    parts = np.array_split(rng.permutation(n), folds)
    shares = np.array([len(part) for part in parts]) / n
    losses = np.full((len(BANDWIDTHS), len(PENALTIES)), np.inf)
    for b, width in enumerate(BANDWIDTHS):
        held = [moments(z[part], centres, width * typical) for part in parts]
        kernel = _kernel(centres, centres, width * typical)
        whole = _pooled(held, shares)
        for p, penalty in enumerate(PENALTIES):
            found = 0.0
            for k, (part, share) in enumerate(zip(held, shares, strict=True)):
                others = [j for j in range(folds) if j != k]
                train = _pooled([held[j] for j in others], shares[others] / (1.0 - share))
                alpha = solve(train, kernel, penalty * np.trace(whole.gram) / len(centres))
                found += share * part.loss(alpha)
            losses[b, p] = found
    b, p = np.unravel_index(int(np.argmin(losses)), losses.shape)
    width = BANDWIDTHS[b] * typical
    whole = moments(z, centres, width)
    penalty = float(PENALTIES[p] * np.trace(whole.gram) / len(centres))
    alpha = solve(whole, _kernel(centres, centres, width), penalty)

    def score(at: Floats) -> Floats:
        y = np.linalg.solve(root, (at.reshape(len(at), -1) - mean).T).T
        slope = family_score(y, centres, alpha, width)
        return np.linalg.solve(root.T, slope.T).T.reshape(at.shape)

    return score, (width, penalty)


def family_score(y: Floats, centres: Floats, alpha: Floats, width: float) -> Floats:
    """The score in whitened coordinates: that of N(0, I) and the kernels' gradients."""
    out = np.empty_like(y)
    rows = max(1, _BLOCK // len(centres))
    for start in range(0, len(y), rows):
        block = slice(start, start + rows)
        weighted = _kernel(y[block], centres, width) * alpha
        pull = weighted @ centres - weighted.sum(axis=1, keepdims=True) * y[block]
        out[block] = pull / width**2 - y[block]
    return out


def moments(x: Floats, centres: Floats, width: float) -> Moments:
    """Means over the points of grad k grad k' and of Laplacian k - x . grad k."""
    (n, d), size = x.shape, len(centres)
    gram, linear = np.zeros((size, size)), np.zeros(size)
    rows = max(1, _BLOCK // (size * d))
    for start in range(0, n, rows):
        part = x[start : start + rows]
        kernel = _kernel(part, centres, width)
        gap = centres[None] - part[:, None]
        slopes = (kernel[:, :, None] * gap / width**2).transpose(0, 2, 1).reshape(-1, size)
        gram += slopes.T @ slopes
        square = np.einsum("nmd,nmd->nm", gap, gap)
        laplacian = kernel * (square / width**4 - d / width**2)
        linear += laplacian.sum(axis=0) - part.reshape(-1) @ slopes
    return Moments(gram / n, linear / n)


def solve(loss: Moments, kernel: Floats, penalty: float) -> Floats:
    """Coefficients of smallest penalised loss."""
    matrix = loss.gram + penalty * kernel
    matrix[np.diag_indices_from(matrix)] += _RIDGE * np.trace(matrix) / len(matrix)
    return -cho_solve(cho_factor(matrix), loss.linear)


def _kernel(x: Floats, centres: Floats, width: float) -> Floats:
    return np.exp(-0.5 / width**2 * cdist(x, centres, "sqeuclidean"))


def _pooled(parts: list[Moments], shares: Floats) -> Moments:
    return Moments(
        sum(share * part.gram for share, part in zip(shares, parts, strict=True)),
        sum(share * part.linear for share, part in zip(shares, parts, strict=True)),
    )
