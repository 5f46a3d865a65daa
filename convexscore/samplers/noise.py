"""Noise of many chains: standard normal numbers, one stream per chain."""

from __future__ import annotations

import numpy as np

from convexscore._tools.random import RandomState, spawn_generators
from convexscore._tools.typing import Floats

# Numbers a stream hands out a step, shared by neighbouring chains: a generator of its own for each
# of 10 000 one-dimensional chains costs ten times the arithmetic of the chain itself.
_STREAM_WIDTH = 64
# Noise is drawn this many numbers at a time (8 MB), whatever the number of chains and steps.
_BLOCK_SIZE = 2**20


class ChainNoise:
    """Standard normal numbers, step by step, in which every chain has a stream of its own.

    Chain i's numbers depend on the random state, on ``n_normals`` and on i: neither on how many
    chains run beside it nor on the block length. A child generator draws ``width * n_normals``
    numbers a step and deals them to ``width`` neighbouring chains, always all of them; ``width``
    depends on ``n_normals`` only and is 1 from 64 numbers a step on.
    """

    def __init__(
        self,
        random_state: RandomState,
        n_chains: int,
        n_normals: int,
        n_steps: int,
        *,
        block_size: int = _BLOCK_SIZE,
    ) -> None:
        width = max(1, _STREAM_WIDTH // n_normals)
        n_streams = -(-n_chains // width)
        per_step = n_streams * width * n_normals
        self._shape = (n_chains, n_normals)
        self._generators = spawn_generators(random_state, n_streams)
        self._length = min(max(1, block_size // per_step), n_steps)
        self._block = np.empty((n_streams, self._length, width * n_normals))
        self._next = self._length

    def next_step(self) -> Floats:
        """The next step's numbers, shape (n_chains, n_normals)."""
        if self._next == self._length:
            for generator, out in zip(self._generators, self._block, strict=True):
                generator.standard_normal(out=out)
            self._next = 0
        n_chains, n_normals = self._shape
        z = self._block[:, self._next].reshape(-1, n_normals)[:n_chains]
        self._next += 1
        return z
