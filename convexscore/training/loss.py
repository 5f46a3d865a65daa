r"""The training objective of many networks at once: data part, activation, weight decay.

.. math:: \sum_i m_i\left[\tfrac12\|s(x_i) - l_i\|^2 + \delta\operatorname{tr}\nabla s(x_i)\right]
          + \tfrac\beta2\sum_j\left(\|u_j\|^2 + \|w_j\|^2\right)

The least weight decay of a function, over rescalings of its neurons, is
:math:`\beta\sum_j\|u_j\|\|w_j\|`, the penalty of the convex program.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.activations import Activation
from convexscore.training.batches import Batch
from convexscore.training.dense_loss import Workspace, dense_terms
from convexscore.training.line_loss import line_terms
from convexscore.training.parameters import Layout, Weights

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Terms:
    """The pieces of the objective, each (R,)."""

    data: Floats
    decay: Floats
    path_norm: Floats


@dataclass(frozen=True, eq=False)
class TrainingLoss:
    """Value and gradient for rows of parameters; holds no data."""

    layout: Layout
    activation: Activation
    beta: float
    divergence: float
    workspace: Workspace = field(default_factory=Workspace, repr=False)

    def gradient(self, theta: Floats, batch: Batch) -> tuple[Floats, Floats]:
        """Objective (R,) and its gradient (R, p)."""
        weights = self.layout.expand(theta)
        data, slopes = self._data(weights, batch, gradient=True)
        assert slopes is not None
        d = self.layout.dim
        u, w = weights.inner[:, :, :d], weights.outer
        if self.beta:
            slopes.inner[:, :, :d] += self.beta * u
            slopes.outer[...] += self.beta * w
        value = data + self.beta * _half_squares(u, w)
        return value, self.layout.pull_back(theta, slopes)

    def terms(self, theta: Floats, batch: Batch) -> Terms:
        """The pieces of the objective without gradient."""
        weights = self.layout.expand(theta)
        data, _ = self._data(weights, batch, gradient=False)
        u, w = weights.inner[:, :, : self.layout.dim], weights.outer
        norms = np.sqrt((u * u).sum(axis=2)) * np.sqrt((w * w).sum(axis=2))
        return Terms(data, _half_squares(u, w), norms.sum(axis=1))

    def _data(
        self, weights: Weights, batch: Batch, *, gradient: bool
    ) -> tuple[Floats, Weights | None]:
        # native is max(z, 0) on the line and |z| in space
        sigma, line = self.activation, self.layout.dim == 1
        exchange = (sigma.slope_jump, sigma.negative_slope) if line else (sigma.even, sigma.odd)
        if exchange == (1.0, 0.0):
            return self._native(weights, batch, gradient=gradient)
        value, slopes = self._native(weights.exchanged(*exchange), batch, gradient=gradient)
        if slopes is None:
            return value, None
        return value, weights.exchanged_back(slopes, *exchange)

    def _native(
        self, weights: Weights, batch: Batch, *, gradient: bool
    ) -> tuple[Floats, Weights | None]:
        if self.layout.dim == 1:
            return line_terms(weights, batch, self.divergence, gradient=gradient)
        return dense_terms(weights, batch, self.divergence, self.workspace, gradient=gradient)


def _half_squares(u: Floats, w: Floats) -> Floats:
    return np.asarray(0.5 * ((u * u).sum(axis=(1, 2)) + (w * w).sum(axis=(1, 2))))
