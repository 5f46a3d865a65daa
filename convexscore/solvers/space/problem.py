r"""One training problem in any dimension, in units where the points have unit spread.

.. math:: \min\ \sum_i m_i\left[\tfrac12\|s(z_i) - l_i\|^2 + \delta\,\mathrm{tr}\nabla s(z_i)\right]
          + \beta\sum_k\|w_k\|,\qquad s(z) = \sum_k w_k\sigma(u_k^\top z + b_k) + V z + c,

:math:`\|u_k\| = 1`.  With z = (x - centre) / scale, labels times scale and the score divided by it the
problem keeps its form with the same beta, and its value is divided by scale squared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.objectives.objective import ScoreObjective
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.oracles.base import Neurons, NeuronSet, norms
from convexscore.solvers.space.columns import Columns, SpaceCase
from convexscore.solvers.space.rows import MemoryRows, Rows


@dataclass(frozen=True, eq=False)
class SpaceProblem:
    """Standardised rows of one problem, and the way back to the data: x = centre + scale * z."""

    rows: Rows
    centre: Floats
    scale: float

    @property
    def case(self) -> SpaceCase:
        return self.rows.case

    @property
    def neurons(self) -> Neurons:
        """What an oracle searches; a `NeuronSet` where the rows are in memory."""
        case, rows = self.case, self.rows
        kind = (rows.divergence, case.activation, case.conservative, -1 if case.log_concave else 0)
        if isinstance(rows, MemoryRows):
            return NeuronSet(rows.block.points, rows.block.mass, *kind)
        return Neurons(rows, *kind)

    @property
    def gaussian_value(self) -> float:
        """Size of the objective of a Gaussian with the covariance of the points."""
        return 0.5 * self.rows.total_mass**2 * float((1.0 / self.rows.free.spread**2).sum())

    @property
    def natural_value(self) -> float:
        """Objectives smaller than this are judged against it: a millionth of that of a Gaussian."""
        return 1e-6 * self.rows.total_mass * self.rows.dim

    @property
    def objective_unit(self) -> float:
        """Objective in the units of the data over the objective in z."""
        return 1.0 / self.scale**2

    # ---- back to the data -----------------------------------------------------------------------
    def network(self, columns: Columns, weights: Floats, V: Floats, c: Floats) -> TwoLayerNetwork:
        """The network in the units of the data; ``weights`` (K, d) are outer weights for unit u."""
        lines = columns.linear
        V = V + weights[lines].T @ columns.u[lines]
        a2 = self.scale**2
        u, w = columns.u[~lines], weights[~lines] / a2
        b = self.scale * columns.b[~lines] - u @ self.centre
        skip = V / a2 if self.case.skip else None
        offset = c / self.scale - (V @ self.centre) / a2
        return TwoLayerNetwork(u, w, b, skip=skip, offset=offset, activation=self.case.activation)

    def columns_of(self, network: TwoLayerNetwork) -> tuple[Columns, Floats, Floats, Floats]:
        """Inverse of :meth:`network`: unit columns, outer weights, V and c for the points z."""
        length = norms(network.u)
        safe = np.where(length > 0.0, length, 1.0)
        u = network.u / safe[:, None]
        b = (network.b / safe + u @ self.centre) / self.scale
        w = network.w * (safe * self.scale**2)[:, None]
        V = (
            np.zeros((self.rows.dim, self.rows.dim))
            if network.skip is None
            else network.skip * self.scale**2
        )
        c = network.offset * self.scale
        if network.skip is not None:
            c = c + self.scale * (network.skip @ self.centre)
        dead = length == 0.0
        if dead.any():  # a constant: part of c
            constants = network.activation.value(network.b[dead])
            c = c + self.scale * constants @ network.w[dead]
        live = ~dead
        return Columns.neurons(u[live], b[live]), w[live], V, c


def prepare(objective: ScoreObjective, case: SpaceCase) -> SpaceProblem:
    """Centre and scale the data of an objective; O(n d)."""
    x = objective.points
    n, d = x.shape
    mass = np.ones(n) if objective.sample_weight is None else objective.sample_weight
    share = mass / mass.sum()
    # a first shift keeps the digits of data with a large common offset
    first = x[0]
    shifted = x - first
    centre = share @ shifted
    shifted -= centre
    spread = float(np.abs(shifted).max())
    scale = spread * float(np.sqrt((share @ (shifted / spread) ** 2).sum() / d)) if spread else 1.0
    labels = np.zeros((n, d)) if objective.labels is None else objective.labels * scale
    rows = MemoryRows(case, objective.divergence, shifted / scale, labels, mass)
    return SpaceProblem(rows, first + centre, scale)
