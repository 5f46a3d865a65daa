"""Heat-bath (Gibbs) dynamics of spins, all chains at once, one random stream per 64 chains."""

from __future__ import annotations

import numpy as np

from convexscore._tools.random import RandomState, spawn_generators
from convexscore.targets.inputs import Floats

# As in the samplers: a generator a chain would cost more than the chain.
_STREAM_WIDTH = 64


def heat_bath(
    couplings: Floats, field: Floats, n: int, n_sweeps: int, random_state: RandomState
) -> Floats:
    """Final spins (n, d) of n chains started at uniform random spins.

    A chain's random numbers do not depend on n. Time O(n d²) a sweep, as d matrix-vector products.
    """
    dim = len(field)
    coupled = couplings - np.diag(np.diag(couplings))  # x_i² = 1: the diagonal is a constant
    generators = spawn_generators(random_state, -(-n // _STREAM_WIDTH))
    uniform = np.empty((len(generators), dim, _STREAM_WIDTH))

    def draw() -> Floats:
        for generator, out in zip(generators, uniform, strict=True):
            generator.random(out=out)
        return np.moveaxis(uniform, 1, 0).reshape(dim, -1)[:, :n]

    spins = np.where(draw() < 0.5, -1.0, 1.0)
    with np.errstate(over="ignore"):  # a huge field makes exp infinite and the choice certain
        for _ in range(n_sweeps):
            for i, u in enumerate(draw()):
                local = coupled[i] @ spins + field[i]
                # P(x_i = 1 | others) = 1 / (1 + exp(-2 local))
                spins[i] = np.where(u * (1.0 + np.exp(-2.0 * local)) < 1.0, 1.0, -1.0)
    return np.ascontiguousarray(spins.T)
