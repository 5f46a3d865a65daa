"""Univariate denoising as a lasso: the problem, networks of its solutions, and their gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.harness import Floats
from benchmarks.problems.laws import TWO_HUMPS
from convexscore import TwoLayerNetwork, certify
from convexscore.objectives import denoising


@dataclass(frozen=True)
class Problem:
    """One denoising problem; the same seed makes the fit draw the same noise."""

    x: Floats
    noisy: Floats
    labels: Floats
    beta: float
    skip: bool
    noise: float
    seed: int


def make_problem(n: int, skip: bool, *, share: float, noise: float, seed: int) -> Problem:
    """Data, noise and beta = share * beta_max, in O(n log n)."""
    x = TWO_HUMPS.sample(np.random.default_rng(seed), n)
    drawn = denoising(x, noise=noise, n_draws=1, random_state=seed)
    assert drawn.labels is not None
    noisy, labels = drawn.points[:, 0], drawn.labels[:, 0]
    beta = share * beta_max(noisy, labels, skip)
    return Problem(x, noisy, labels, beta, skip, noise, seed)


def beta_max(noisy: Floats, labels: Floats, skip: bool) -> float:
    """Smallest beta whose optimum has no neuron: the largest |column . target|, by prefix sums."""
    order = np.argsort(noisy)
    x, target = noisy[order] - noisy.mean(), labels[order] - labels.mean()
    if skip:
        target = target - x * (x @ target) / (x @ x)
    # sum over i <= k of (x_k - x_i) t_i; the right-facing hinge differs by sum t x, zero with skip
    left = x * np.cumsum(target) - np.cumsum(x * target)
    right = left + x @ target
    return float(max(np.abs(left).max(), np.abs(right).max()))


def network_of(problem: Problem, coefficients: Floats) -> TwoLayerNetwork:
    """The network of a lasso solution: right-facing hinges first, best offset and skip slope."""
    keep = np.flatnonzero(coefficients)
    keep = keep if keep.size else np.array([0])
    n = problem.noisy.size
    u = np.where(keep < n, 1.0, -1.0)[:, None]
    b = -u[:, 0] * problem.noisy[keep % n]
    w = coefficients[keep][:, None]
    bare = TwoLayerNetwork(u, w, b, offset=0.0)
    rest = problem.labels - bare(problem.noisy)
    slope = 0.0
    if problem.skip:
        line = problem.noisy - problem.noisy.mean()
        slope = float(line @ rest / (line @ line))
        rest = rest - slope * problem.noisy
    skip = slope if problem.skip else None
    return TwoLayerNetwork(u, w, b, skip=skip, offset=float(rest.mean()))


def gap_to_optimum(problem: Problem, network: TwoLayerNetwork, reference: str = "solve") -> float:
    """Relative duality gap: to the best dual point, or to the one made of the own residual."""
    certificate = certify(
        network,
        problem.noisy,
        objective="denoising",
        labels=problem.labels,
        beta=problem.beta,
        skip=problem.skip,
        reference=reference,
    )
    return float(certificate.relative_gap)


def lasso_gap(X: Floats, target: Floats, coefficients: Floats, beta: float) -> float:
    """The textbook relative duality gap of a lasso solution, from the dense matrix alone."""
    residual = target - X @ coefficients
    primal = 0.5 * residual @ residual + beta * np.abs(coefficients).sum()
    dual = residual * min(1.0, beta / np.abs(X.T @ residual).max())
    return float((primal - (dual @ target - 0.5 * dual @ dual)) / primal)
