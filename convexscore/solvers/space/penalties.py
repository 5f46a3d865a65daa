r"""The two penalties of the restricted problem and their logarithmic smoothing.

Both follow one central path.  A cone constraint t >= ||w|| (or tau = -theta >= 0) gets a barrier of
weight mu, t is eliminated, and what is left is a smooth function that is within mu per group (up to a
constant) of the penalty.  ``dual`` are the multipliers of primal-dual Newton steps: keeping them as
variables of their own makes the curvature right long before the weights are (Chan, Golub, Mulet 1999,
for total variation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.base import norms

_TINY = np.finfo(float).tiny


@dataclass(frozen=True, eq=False)
class Curvature:
    """Gradient and curvature of a smoothed penalty: alpha_k (I - tau_k e_k e_k'), 0 <= tau_k < 1."""

    gradient: Floats
    alpha: Floats
    tau: Floats
    direction: Floats


def cut(rows: Floats, bound: float) -> Floats:
    """Rows shortened to at most that norm."""
    return rows / np.maximum(1.0, norms(rows) / bound)[:, None]


@dataclass(frozen=True, eq=False)
class NormPenalty:
    """beta * sum_k ||w_k||."""

    beta: float

    def value(self, weights: Floats) -> float:
        return self.beta * float(norms(weights).sum())

    def smoothed(self, weights: Floats, mu: float) -> float:
        root = np.hypot(mu, self.beta * norms(weights))
        return float((root - mu * np.log1p(root / mu)).sum())

    def curvature(self, weights: Floats, dual: Floats, mu: float) -> Curvature:
        size = norms(weights)
        root = np.hypot(mu, self.beta * size)
        alpha = self.beta**2 / (mu + root)
        direction = weights / np.maximum(size, _TINY)[:, None]
        along = np.einsum("kg,kg->k", dual, direction) / self.beta
        tau = np.clip(self.beta * size / root * along, 0.0, 1.0 - 1e-13)
        return Curvature(alpha[:, None] * weights, alpha, tau, direction)

    def dual_step(self, weights: Floats, dual: Floats, step: Floats, mu: float) -> Floats:
        root = np.hypot(mu, self.beta * norms(weights))
        slope = self.beta / np.maximum(root, _TINY)  # dt/dw = slope * w
        turned = slope * np.einsum("kg,kg->k", weights, step)
        alpha = self.beta**2 / (mu + root)
        out = (weights + step) * alpha[:, None] - dual * (turned * alpha / self.beta)[:, None]
        return cut(out, self.beta)

    def longest_step(self, weights: Floats, step: Floats) -> float:
        return 1.0

    def start(self, gradient: Floats, mu: float) -> tuple[Floats, Floats]:
        return np.zeros_like(gradient), cut(-gradient, 0.99 * self.beta)

    def active(self, weights: Floats, mu: float) -> NDArray[np.bool_]:
        return self.beta * norms(weights) > 10.0 * mu


@dataclass(frozen=True, eq=False)
class SignedPenalty:
    """sum_k cost_k |y_k| over y_k <= 0; some costs may be zero."""

    cost: Floats
    unit: float  # beta, the natural size of a multiplier

    def value(self, weights: Floats) -> float:
        return float(self.cost @ np.abs(weights[:, 0]))

    def smoothed(self, weights: Floats, mu: float) -> float:
        size = -weights[:, 0]
        return float(self.cost @ size - mu * np.log(size).sum())

    def curvature(self, weights: Floats, dual: Floats, mu: float) -> Curvature:
        size = -weights[:, 0]
        gradient = mu / size - self.cost
        zero = np.zeros_like(size)
        return Curvature(gradient[:, None], dual[:, 0] / size, zero, np.ones_like(weights))

    def dual_step(self, weights: Floats, dual: Floats, step: Floats, mu: float) -> Floats:
        size = -weights[:, 0]
        wanted = (mu + dual[:, 0] * step[:, 0]) / size
        return np.maximum(wanted, 0.02 * dual[:, 0])[:, None]

    def longest_step(self, weights: Floats, step: Floats) -> float:
        shrink = step[:, 0] / -weights[:, 0]
        return min(1.0, 0.98 / max(float(shrink.max(initial=0.0)), 1e-300))

    def start(self, gradient: Floats, mu: float) -> tuple[Floats, Floats]:
        cost = self.cost[len(self.cost) - len(gradient) :]  # the new columns are the last ones
        slack = np.maximum(cost - gradient[:, 0], 0.1 * self.unit)
        return -(mu / slack)[:, None], slack[:, None]

    def active(self, weights: Floats, mu: float) -> NDArray[np.bool_]:
        return -weights[:, 0] * self.unit > 10.0 * mu


Penalty: TypeAlias = NormPenalty | SignedPenalty
