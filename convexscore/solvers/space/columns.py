"""Which networks compete, and neurons as columns of the restricted problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.scores.activations import Activation, get_activation


@dataclass(frozen=True)
class SpaceCase:
    """Which networks compete."""

    activation: Activation
    skip: bool
    conservative: bool = False
    log_concave: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", get_activation(self.activation))

    @property
    def free_skip(self) -> bool:
        """Whether V is a free parameter; log-concave fits build it from negative rank-one terms."""
        return self.skip and not self.log_concave


@dataclass(frozen=True, eq=False)
class Columns:
    """Neurons as columns of the restricted problem.

    ``linear`` columns have the identity as activation, no bias and no cost: the rank-one terms of V in
    log-concave fits.
    """

    u: Floats
    b: Floats
    linear: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.b)

    @classmethod
    def empty(cls, dim: int) -> Columns:
        return cls.neurons(np.zeros((0, dim)), np.zeros(0))

    @classmethod
    def neurons(cls, u: Floats, b: Floats) -> Columns:
        return cls(u, b, np.zeros(len(b), dtype=bool))

    @classmethod
    def lines(cls, u: Floats) -> Columns:
        return cls(u, np.zeros(len(u)), np.ones(len(u), dtype=bool))

    def keep(self, which: NDArray) -> Columns:
        return Columns(self.u[which], self.b[which], self.linear[which])

    def join(self, other: Columns) -> Columns:
        return Columns(
            np.concatenate([self.u, other.u]),
            np.concatenate([self.b, other.b]),
            np.concatenate([self.linear, other.linear]),
        )
