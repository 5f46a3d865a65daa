"""What a pricing oracle is asked and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.activations import Activation, get_activation

Floats = NDArray[np.float64]

# Pre-activations are formed in blocks of at most this many numbers (16 MB).
_BLOCK = 1 << 21


@dataclass(frozen=True, eq=False)
class Priced:
    """Neurons that violate optimality most.

    Attributes
    ----------
    u : (k, d) unit inner weights.
    b : (k,) biases.
    value : (k,) the measure h of each, decreasing; equal ones, up to rounding, in an order of their
        neurons' own.
    largest : supremum of h over all neurons (``exact``) or the largest of those tried.
    exact : whether ``largest`` is the supremum over every neuron.
    n_tried : starts of a local search, or lines and planes looked at.
    complete : False where the oracle looked at a part only because that part held violators enough;
        ``largest`` is then no bound at all.
    """

    u: Floats
    b: Floats
    value: Floats
    largest: float
    exact: bool
    n_tried: int
    complete: bool = True


@dataclass(frozen=True, eq=False)
class NeuronSet:
    r"""Which neurons compete, and how their gradient is measured.

    With residual rows :math:`R_i = m_i (s(x_i) - l_i)` a unit neuron has the gradient
    :math:`G = \sum_i R_i \sigma(u^\top x_i + b) + \delta N u`,
    :math:`N = \sum_i m_i \sigma'(u^\top x_i + b)`, and the measure

    - :math:`h = \|G\|` for free outer weights,
    - :math:`h = |u^\top G|` for ridge potentials (``conservative``: w = y u),
    - :math:`h = u^\top G` for ridge potentials with y <= 0 (``sign = -1``).

    The network is optimal iff h <= beta for every neuron.
    """

    points: Floats
    mass: Floats
    divergence: float
    activation: Activation
    conservative: bool = False
    sign: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", get_activation(self.activation))

    @property
    def n_samples(self) -> int:
        return int(self.points.shape[0])

    @property
    def dim(self) -> int:
        return int(self.points.shape[1])

    def gradient(self, residual: Floats, u: Floats, b: Floats) -> Floats:
        """G of each neuron, (k, d); O(n k d) time, memory in blocks."""
        sigma = self.activation
        out = np.zeros((len(b), residual.shape[1]))
        counts = np.zeros(len(b))
        step = max(1, _BLOCK // max(1, len(b)))
        for start in range(0, self.n_samples, step):
            rows = slice(start, start + step)
            pre = self.points[rows] @ u.T + b
            out += sigma.value(pre).T @ residual[rows]
            if self.divergence:
                counts += self.mass[rows] @ sigma.derivative(pre)
        if self.divergence:
            out += self.divergence * counts[:, None] * u
        return out

    def measure(self, gradient: Floats, u: Floats) -> Floats:
        """h of each neuron from its gradient."""
        if not self.conservative:
            return np.sqrt(np.einsum("kd,kd->k", gradient, gradient))
        along = np.einsum("kd,kd->k", gradient, u)
        return along if self.sign else np.abs(along)

    def rounding(self, residual: Floats) -> float:
        """How much h can depend on the order of the operations in it.

        The terms of G are residuals times |u.x + b|, which is at most twice the reach of the points,
        after d + 1 operations; the sum of n of them may lose n units of the sum of their sizes.
        """
        n, d = self.points.shape
        reach = np.sqrt(np.einsum("nd,nd->n", self.points, self.points).max())
        size = 2.0 * reach * np.sqrt(np.einsum("nd,nd->n", residual, residual)).sum()
        size += self.divergence * self.mass.sum()
        return float((n + d + 2) * np.finfo(np.float64).eps * size)

    def evaluate(self, residual: Floats, u: Floats, b: Floats) -> Floats:
        """h of each neuron, the derivative at a kink from the active side."""
        return self.measure(self.gradient(residual, u, b), u)


def ranking(value: Floats, u: Floats, bias: Floats, rounding: float) -> NDArray[np.intp]:
    """Indices by decreasing value, where values that only rounding tells apart are equal.

    Equal neurons (u and -u if all points are active, mirror images in symmetric data) are ordered
    by their projection on a fixed direction: by value their order would depend on the processor.
    The direction's entries have no rational relation, so that no symmetry of the data leaves it
    undecided.  ``bias`` is relative to the scale of the points.
    """
    order = np.argsort(-value, kind="stable")
    level = np.cumsum(np.diff(-value[order], prepend=-np.inf) > rounding)
    projection = u @ np.cos(np.arange(1.0, u.shape[1] + 1.0)) + bias * np.cos(0.5)
    return order[np.lexsort((-projection[order], level))]


class Oracle(Protocol):
    """Finds the neurons with the largest h."""

    neurons: NeuronSet

    def price(
        self,
        residual: Floats,
        *,
        n_best: int,
        floor: float = 0.0,
        current: tuple[Floats, Floats] | None = None,
        effort: int = 1,
    ) -> Priced:
        """At most ``n_best`` distinct neurons with h > ``floor``, worst first.

        ``current`` are the neurons in use, where a local search starts; ``effort`` is how hard it looks
        (0: for columns only; more than 1: for a final certificate).  Exact oracles ignore both.
        """
        ...
