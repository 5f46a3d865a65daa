r"""The laws :math:`q_t` along the Ornstein–Uhlenbeck process, and what Girsanov's theorem says.

With :math:`I(t) = E\,s_t(X_t)^2` and :math:`a = e^{-(t_k - t)}`, for a chain whose score is frozen at
:math:`t_k`,

.. math:: E\,|s_{t_k}(X_{t_k}) - s_t(X_t)|^2 = I(t) - (2a - 1)\, I(t_k), \qquad
    \int_{t_{k+1}}^{t_k} I(t)\, dt = H(q_{t_k}) - H(q_{t_{k+1}}) + \gamma_k

(the first because :math:`E[s_t(X_t) | X_{t_k}] = a\, s_{t_k}(X_{t_k})`, the second is de Bruijn's
identity for the entropy H). So the bounds of the theorems are computed, not estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.ddpm_errors.line_densities import (
    REACH,
    EvenGrid,
    bulk,
    kullback_leibler,
    resolved,
)
from convexscore.ddpm_errors.transition import Start, score_at
from convexscore.schedules.levels import LevelScore, vp
from convexscore.schedules.time_grids import TimeGrid

# Spacing of nodes in units of the noise of q_t, and how many nodes are enough to begin with where
# the noise is much finer than the law.
_FINENESS = 0.25
_FIRST_NODES = 1024


class Marginals:
    """The laws q_t, t >= end, of a one-dimensional law: densities, intervals, nodes."""

    def __init__(self, law: Any, end: float) -> None:
        self._law = law
        self.end = end
        self._interval = bulk(self.at(end))

    def at(self, t: float) -> Any:
        return self._law.noised(*vp(float(t)))

    def log_density(self, t: float, x: Floats) -> Floats:
        return np.asarray(self.at(t).log_density(x), dtype=np.float64)

    def interval(self, t: float) -> tuple[float, float]:
        """Where q_t has its mass: X_t is a scaled draw at the last time plus noise."""
        scale, sigma = vp(max(0.0, float(t) - self.end))
        low, high = self._interval
        return scale * low - REACH * sigma, scale * high + REACH * sigma

    def nodes(self, t: float) -> tuple[EvenGrid, Floats]:
        """Nodes and density there, checked to integrate to 1."""
        low, high = self.interval(t)
        spacing = max(_FINENESS * vp(float(t))[1], (high - low) / _FIRST_NODES)
        target = self.at(t)
        return resolved(target.log_density, low, high, spacing, name=f"the law at time {t:g}")

    def start(self, t: float) -> Start:
        low, high = self.interval(t)
        return Start(self.at(t).log_density, low, high, width=vp(float(t))[1])


@dataclass(frozen=True)
class Divergences:
    """Per source of error its part of the bound on KL, and what the theorems' terms are made of.

    Attributes
    ----------
    start : KL(q_T || N(0, 1))
    steps : sum over k of the integral of E |s_{t_k}(X_{t_k}) - s_t(X_t)|²
    score : sum over k of the step times E |estimate - s|² at t_k
    cross : twice the same sum over the product of both errors
    last : KL(q_end || N(0, 1))
    second_moment : E X_end²
    lipschitz : (K,) largest slope of the score at t_k
    """

    start: float
    steps: float
    score: float
    cross: float
    last: float
    second_moment: float
    lipschitz: Floats


def divergences(
    marginals: Marginals, exact: LevelScore, estimate: LevelScore | None, grid: TimeGrid
) -> Divergences:
    """Everything in one walk down the grid; each level costs its nodes times two scores."""
    entropy, fisher, slope, error, product = (np.zeros(grid.n_steps + 1) for _ in range(5))
    start = last = moment = 0.0
    for k, t in enumerate(grid.times):
        nodes, q = marginals.nodes(float(t))
        x, weights = nodes.points, nodes.spacing * q
        entropy[k] = -np.sum(weights * np.log(np.where(q > 0, q, 1.0)))
        if k in (0, grid.n_steps):
            normal = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
            seen = q > 0
            log_ratio = np.log(q[seen]) + 0.5 * x[seen] ** 2 + 0.5 * np.log(2 * np.pi)
            value = float((weights[seen] * log_ratio).sum())
            # the form without cancellation, where the normal density is not yet zero
            close = kullback_leibler(q, normal, nodes.spacing)
            value = close if close < 1.0 else value
            start, last = (value, last) if k == 0 else (start, value)
            moment = float((weights * x**2).sum())
        if k == grid.n_steps:
            break
        s = score_at(exact, x, float(t))
        fisher[k] = (weights * s**2).sum()
        slope[k] = np.abs(np.diff(s)).max() / nodes.spacing
        if estimate is not None:
            off = score_at(estimate, x, float(t)) - s
            error[k], product[k] = (weights * off**2).sum(), (weights * off * s).sum()
    gamma = grid.steps
    frozen = -2 * np.expm1(-gamma) - gamma  # integral of 2 a - 1 over a step
    steps = np.sum(-np.diff(entropy) + gamma - fisher[:-1] * frozen)
    return Divergences(
        start=start,
        steps=max(0.0, float(steps)),
        score=float(gamma @ error[:-1]),
        cross=float(2 * (gamma + np.expm1(-gamma)) @ product[:-1]),
        last=last,
        second_moment=moment,
        lipschitz=slope[:-1],
    )


def reversed_from_normal(marginals: Marginals, horizon: float, x: Floats, log_q: Floats) -> Floats:
    r"""Density of the exact reverse process started from N(0, 1) instead of :math:`q_T`.

    .. math:: p(x) = q_\delta(x) \int \frac{N(z; 0, 1)}{q_T(z)}\, N(z; a x, 1 - a^2)\, dz, \qquad
        a = e^{-(T - \delta)}

    because the reverse process draws :math:`X_\delta` given :math:`X_T`: no steps, no error.
    """
    scale, sigma = vp(horizon - marginals.end)
    low, high = marginals.interval(horizon)
    grid = EvenGrid.covering(
        min(low, -REACH - 2.0), max(high, REACH + 2.0), 0.5 * _FINENESS * min(sigma, 1.0)
    )
    z = grid.points
    log_ratio = -0.5 * z**2 - marginals.log_density(horizon, z) - np.log(2 * np.pi * sigma)
    out = np.empty(x.shape)
    rows = max(1, (1 << 20) // grid.n)
    for first in range(0, x.size, rows):
        block = slice(first, first + rows)
        log = log_ratio - 0.5 * ((z - scale * x[block, None]) / sigma) ** 2
        top = log.max(axis=1)
        total = np.log(grid.spacing * np.exp(log - top[:, None]).sum(axis=1))
        out[block] = np.exp(top + total + log_q[block])
    return out
