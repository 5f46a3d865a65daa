"""Other ways to a score: kernel density, one Gaussian, a mixture by EM.

Data are (n,), or (n, d) with d > 1; scores take and return the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.spatial.distance import cdist

from benchmarks.harness import Floats

ScoreFunction = Callable[[Floats], Floats]

# Rows of a kernel matrix handled at once: it stays in the cache.
_BLOCK = 1 << 16
# EM stops adding components after this many without a smaller BIC.
_PATIENCE = 3


def silverman_bandwidth(x: Floats) -> float:
    """One column: 0.9 min(sd, IQR / 1.34) n^(-1/5).  Several: for whitened data, sd = 1."""
    n = len(x)
    if x.ndim == 1:
        quartiles = np.quantile(x, [0.25, 0.75])
        spread = min(float(x.std(ddof=1)), float(quartiles[1] - quartiles[0]) / 1.34)
        return 0.9 * spread * n ** (-0.2)
    d = x.shape[1]
    return float((4.0 / (n * (d + 2.0))) ** (1.0 / (d + 4.0)))


def cross_validated_bandwidth(x: Floats) -> float:
    """Largest leave-one-out likelihood, over 1/30 to 3 times Silverman's bandwidth."""
    start = silverman_bandwidth(x)
    grid = np.linspace(np.log(start / 30.0), np.log(3.0 * start), 16)
    loss = [-leave_one_out_likelihood(x, float(np.exp(h))) for h in grid]
    best = int(np.argmin(loss))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda h: -leave_one_out_likelihood(x, float(np.exp(h))),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-2},
    )
    return float(np.exp(found.x))


def leave_one_out_likelihood(x: Floats, bandwidth: float) -> float:
    """Mean log-density of each point under the kernel estimate from the others."""
    points = _columns(x) / bandwidth
    n, d = points.shape
    total = 0.0
    rows = max(1, _BLOCK // n)
    for start in range(0, n, rows):
        part = np.arange(start, min(start + rows, n))
        square = cdist(points[part], points, "sqeuclidean")
        square[np.arange(part.size), part] = np.inf
        nearest = square.min(axis=1)
        sums = np.exp(-0.5 * (square - nearest[:, None])).sum(axis=1)
        total += float((np.log(sums) - 0.5 * nearest).sum())
    constant = np.log(n - 1) + d * np.log(bandwidth * np.sqrt(2.0 * np.pi))
    return total / n - float(constant)


def kernel_score(x: Floats, bandwidth: float) -> ScoreFunction:
    """Score of the kernel density estimate with round Gaussian kernels."""
    centres = _columns(x)

    def score(points: Floats) -> Floats:
        at = _columns(points)
        out = np.empty_like(at)
        rows = max(1, _BLOCK // len(centres))
        for start in range(0, len(at), rows):
            y = at[start : start + rows]
            square = cdist(y, centres, "sqeuclidean") / bandwidth**2
            kernel = np.exp(-0.5 * (square - square.min(axis=1, keepdims=True)))
            mean = (kernel @ centres) / kernel.sum(axis=1, keepdims=True)
            out[start : start + rows] = mean - y
        return (out / bandwidth**2).reshape(points.shape)

    return score


def whitened(x: Floats, fit: Callable[[Floats], ScoreFunction]) -> ScoreFunction:
    """``fit`` on whitened columns, its score mapped back; one column is left as it is."""
    if x.ndim == 1:
        return fit(x)
    mean = x.mean(axis=0)
    root = np.linalg.cholesky(np.cov(x.T))  # x = mean + root z
    to_z = np.linalg.inv(root)
    score = fit((x - mean) @ to_z.T)
    return lambda points: score((points - mean) @ to_z.T) @ to_z


def gaussian_score(x: Floats) -> ScoreFunction:
    """Score of the Gaussian with the sample's mean and covariance."""
    mean = x.mean(axis=0)
    if x.ndim == 1:
        variance = float(x.var())
        return lambda points: (mean - points) / variance
    precision = np.linalg.inv(np.cov(x.T, bias=True))
    return lambda points: (mean - points) @ precision


def em_mixture_score(
    x: Floats, *, max_components: int, n_init: int, seed: int
) -> tuple[ScoreFunction, int]:
    """Score of the Gaussian mixture of smallest BIC among EM fits, and its number of components."""
    from sklearn.mixture import GaussianMixture

    points = _columns(x)
    best, smallest, since = None, np.inf, 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EM that did not settle still has its likelihood
        for k in range(1, max_components + 1):
            fit = GaussianMixture(k, n_init=n_init, random_state=seed).fit(points)
            bic = fit.bic(points)
            since = 0 if bic < smallest else since + 1
            if bic < smallest:
                best, smallest = fit, bic
            if since == _PATIENCE:
                break
    assert best is not None
    means, precisions = best.means_, best.precisions_

    def score(at: Floats) -> Floats:
        share = best.predict_proba(_columns(at))
        out = np.zeros_like(_columns(at))
        for part, mean, precision in zip(share.T, means, precisions, strict=True):
            out += part[:, None] * ((mean - _columns(at)) @ precision)
        return out.reshape(at.shape)

    return score, int(best.n_components)


def _columns(x: Floats) -> Floats:
    return x[:, None] if x.ndim == 1 else x
