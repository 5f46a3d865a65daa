r"""The training objective of many networks at once: data part, activation, weight decay.

.. math:: \sum_i m_i\left[\tfrac12\|s(x_i) - l_i\|^2 + \delta\operatorname{tr}\nabla s(x_i)\right]
          + \tfrac\beta2\sum_j\left(\|u_j\|^2 + \|w_j\|^2\right)

The least weight decay of a function, over rescalings of its neurons, is
:math:`\beta\sum_j\|u_j\|\|w_j\|`, the penalty of the convex program.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.training.batches import Batch
from convexscore.training.dense_loss import dense_terms
from convexscore.training.line_loss import line_terms
from convexscore.training.parameters import Layout, Weights


@dataclass(frozen=True, eq=False)
class TrainingLoss:
    """Value and gradient for rows of parameters; holds no data."""

    layout: Layout
    beta: float
    divergence: float

    def gradient(self, theta: Floats, batch: Batch) -> tuple[Floats, Floats]:
        """Objective (R,) and its gradient (R, p)."""
        weights = self.layout.expand(theta)
        data, slopes = self._data(weights, batch)
        u, w = weights.inner[:, :, :-1], weights.outer
        slopes.inner[:, :, :-1] += self.beta * u
        slopes.outer[...] += self.beta * w
        return data + self.beta * _half_squares(u, w), self.layout.pull_back(theta, slopes)

    def values(self, theta: Floats, batch: Batch) -> tuple[Floats, Floats]:
        """Objective (R,), and with the path norm in place of the weight decay."""
        weights = self.layout.expand(theta)
        data, _ = self._data(weights, batch)
        u, w = weights.inner[:, :, :-1], weights.outer
        norms = np.sqrt((u * u).sum(axis=2)) * np.sqrt((w * w).sum(axis=2))
        return data + self.beta * _half_squares(u, w), data + self.beta * norms.sum(axis=1)

    def _data(self, weights: Weights, batch: Batch) -> tuple[Floats, Weights]:
        sigma = self.layout.activation
        if self.layout.dim == 1:  # native is max(z, 0) on the line and |z| in space
            terms, share, line = line_terms, sigma.slope_jump, sigma.negative_slope
        else:
            terms, share, line = dense_terms, sigma.even, sigma.odd
        if (share, line) == (1.0, 0.0):
            return terms(weights, batch, self.divergence)
        value, slopes = terms(weights.exchanged(share, line), batch, self.divergence)
        return value, weights.exchanged_back(slopes, share, line)


def _half_squares(u: Floats, w: Floats) -> Floats:
    return np.asarray(0.5 * ((u * u).sum(axis=(1, 2)) + (w * w).sum(axis=(1, 2))))
