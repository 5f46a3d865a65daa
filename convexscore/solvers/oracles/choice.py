"""Which oracle prices the neurons of a problem."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.ascent import AscentOracle
from convexscore.solvers.oracles.base import Neurons, NeuronSet, Oracle, Priced
from convexscore.solvers.oracles.plane import PlaneOracle
from convexscore.solvers.oracles.three_dimensions import SpaceOracle
from convexscore.solvers.space.problem import SpaceProblem

# Largest samples for which every line (O(n^2) a call) or plane (O(n^3)) is looked at.
_PLANE_SIZE = 12_000
_SPACE_SIZE = 60
# Planar problems larger than this are priced on a sample of the lines while these violate clearly.
_PARTIAL_SIZE = 600
_SAMPLED_LINES = 150
_SAMPLED_SHARE = 12
_CLEAR = 1.1

DEFAULT_STARTS = 64


class PartialPlaneOracle:
    """Lines through a sample of the points as long as they violate clearly, then all of them.

    A pass over all lines costs O(n^2); far from the optimum any sizeable part of them shows violators
    that are nearly as bad.  The sample holds the points that the current kinks pass through.
    """

    def __init__(self, neurons: Neurons, random_state: np.random.Generator) -> None:
        self._all = PlaneOracle(neurons)
        self.neurons = self._all.neurons
        self._rng = random_state

    def price(
        self,
        residual: Floats,
        *,
        n_best: int,
        floor: float = 0.0,
        current: tuple[Floats, Floats] | None = None,
        effort: int = 1,
    ) -> Priced:
        n = self.neurons.n_samples
        if floor > 0.0 and current is not None:
            pivots = self._rng.choice(
                n, size=max(_SAMPLED_LINES, n // _SAMPLED_SHARE), replace=False
            )
            u, b = current
            if len(b):
                nearest = np.abs(self.neurons.points @ u.T + b).argmin(axis=0)
                pivots = np.union1d(pivots, nearest)
            found = self._all.price(residual, n_best=n_best, floor=floor, pivots=np.sort(pivots))
            if found.largest > _CLEAR * floor:
                return replace(found, complete=False)
        return self._all.price(residual, n_best=n_best, floor=floor)


def make_oracle(
    problem: SpaceProblem,
    *,
    n_starts: int = DEFAULT_STARTS,
    random_state: np.random.Generator,
    local: bool = False,
) -> Oracle:
    """Exact in the plane and for few points in space, else a local search from ``n_starts`` points.

    ``local`` asks for the local search whatever the dimension; so do rows that are not in memory.
    """
    neurons = problem.neurons
    local = local or not isinstance(neurons, NeuronSet)
    if not local and problem.rows.dim == 2 and problem.rows.n_samples <= _PLANE_SIZE:
        if problem.rows.n_samples > _PARTIAL_SIZE:
            return PartialPlaneOracle(neurons, random_state)
        return PlaneOracle(neurons)
    if not local and problem.rows.dim == 3 and problem.rows.n_samples <= _SPACE_SIZE:
        return SpaceOracle(neurons)
    return AscentOracle(neurons, n_starts=n_starts, random_state=random_state)
