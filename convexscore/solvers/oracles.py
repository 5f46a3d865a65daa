"""Which oracle prices the neurons of a problem."""

from __future__ import annotations

import numpy as np

from convexscore.solvers.neuron_problem import NeuronProblem
from convexscore.solvers.oracle_ascent import AscentOracle
from convexscore.solvers.oracle_plane import PlaneOracle
from convexscore.solvers.oracle_result import Oracle
from convexscore.solvers.oracle_space import SpaceOracle

# Largest samples for which every line (O(n^2) a call) or plane (O(n^3)) is looked at.
_PLANE_SIZE = 12_000
_SPACE_SIZE = 60

DEFAULT_STARTS = 64


def make_oracle(
    problem: NeuronProblem,
    *,
    n_starts: int = DEFAULT_STARTS,
    random_state: np.random.Generator,
    local: bool = False,
) -> Oracle:
    """Exact in the plane and for few points in space, else a local search from ``n_starts`` points.

    ``local`` asks for the local search whatever the dimension.
    """
    neurons = problem.neurons
    if not local and problem.dim == 2 and problem.n_samples <= _PLANE_SIZE:
        return PlaneOracle(neurons)
    if not local and problem.dim == 3 and problem.n_samples <= _SPACE_SIZE:
        return SpaceOracle(neurons)
    return AscentOracle(neurons, n_starts=n_starts, random_state=random_state)
