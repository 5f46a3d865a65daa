"""Other ways to a univariate score: kernel density, one Gaussian, a mixture by EM."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]
ScoreFunction = Callable[[Floats], Floats]

# Rows of a kernel matrix handled at once: it stays in the cache.
_BLOCK = 1 << 16


def silverman_bandwidth(x: Floats) -> float:
    """0.9 min(sd, IQR / 1.34) n^(-1/5)."""
    quartiles = np.quantile(x, [0.25, 0.75])
    spread = min(float(x.std(ddof=1)), float(quartiles[1] - quartiles[0]) / 1.34)
    return 0.9 * spread * x.size ** (-0.2)


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
    total = 0.0
    rows = max(1, _BLOCK // x.size)
    for start in range(0, x.size, rows):
        part = np.arange(start, min(start + rows, x.size))
        square = ((x[part, None] - x) / bandwidth) ** 2
        square[np.arange(part.size), part] = np.inf
        nearest = square.min(axis=1)
        sums = np.exp(-0.5 * (square - nearest[:, None])).sum(axis=1)
        total += float((np.log(sums) - 0.5 * nearest).sum())
    constant = np.log((x.size - 1) * bandwidth * np.sqrt(2.0 * np.pi))
    return total / x.size - float(constant)


def kernel_score(x: Floats, bandwidth: float) -> ScoreFunction:
    """Score of the Gaussian kernel density estimate."""

    def score(points: Floats) -> Floats:
        out = np.empty(points.size)
        rows = max(1, _BLOCK // x.size)
        for start in range(0, points.size, rows):
            gap = (x - points[start : start + rows, None]) / bandwidth
            square = gap * gap
            kernel = np.exp(-0.5 * (square - square.min(axis=1, keepdims=True)))
            out[start : start + rows] = np.einsum("ij,ij->i", kernel, gap) / kernel.sum(axis=1)
        return out / bandwidth

    return score


def gaussian_score(x: Floats) -> ScoreFunction:
    """Score of the Gaussian with the sample's mean and variance."""
    mean, variance = float(x.mean()), float(x.var())
    return lambda points: (mean - points) / variance


def em_mixture_score(
    x: Floats, *, max_components: int, n_init: int, seed: int
) -> tuple[ScoreFunction, int]:
    """Score of the Gaussian mixture of smallest BIC among EM fits, and its number of components."""
    from sklearn.mixture import GaussianMixture

    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EM that did not settle still has its likelihood
        for k in range(1, max_components + 1):
            fits.append(GaussianMixture(k, n_init=n_init, random_state=seed).fit(x[:, None]))
    best = min(fits, key=lambda fit: fit.bic(x[:, None]))
    means, variances = best.means_[:, 0], best.covariances_[:, 0, 0]

    def score(points: Floats) -> Floats:
        share = best.predict_proba(points[:, None])
        return (share * (means - points[:, None]) / variances).sum(axis=1)

    return score, int(best.n_components)
