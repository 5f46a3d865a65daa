"""What a pricing oracle is asked and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.scores.activations import Activation, get_activation

# Residual rows R_i = m_i (s(x_i) - l_i): an array if the data are in memory, else what stands for it.
Residual = Any

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


class Data(ABC):
    """What a search by passes over the data needs of them: blocks of rows, wherever these are."""

    n_samples: int
    dim: int

    @abstractmethod
    def collect(self, kernel: Callable[..., Any], *fields: Residual) -> list[Any]:
        """``kernel(block, *arrays)`` of every block of rows, in order; results are small."""

    @abstractmethod
    def take(self, indices: NDArray[np.intp]) -> Floats:
        """A few of the points, (k, d)."""

    def total(self, kernel: Callable[..., Any], *fields: Residual) -> Any:
        """The sum of a kernel's results, arrays or tuples of arrays."""
        return reduce(_added, self.collect(kernel, *fields))


class Block(Data):
    """Some rows in memory: points (n, d) and masses (n,)."""

    def __init__(self, points: Floats, mass: Floats) -> None:
        self.points, self.mass = points, mass
        self.n_samples, self.dim = points.shape

    def collect(self, kernel: Callable[..., Any], *fields: Residual) -> list[Any]:
        return [kernel(self, *fields)]

    def take(self, indices: NDArray[np.intp]) -> Floats:
        return self.points[indices]


def _added(first: Any, second: Any) -> Any:
    """The sum of two arrays, or of two tuples of arrays."""
    if isinstance(first, tuple):
        return tuple(a + b for a, b in zip(first, second, strict=True))
    return first + second


def norms(rows: Floats) -> Floats:
    """Length of every row."""
    out: Floats = np.sqrt(np.einsum("kd,kd->k", rows, rows))
    return out


@dataclass(frozen=True, eq=False)
class Neurons:
    r"""Which neurons compete, and how their gradient is measured.

    With residual rows :math:`R_i = m_i (s(x_i) - l_i)` a unit neuron has the gradient
    :math:`G = \sum_i R_i \sigma(u^\top x_i + b) + \delta N u`,
    :math:`N = \sum_i m_i \sigma'(u^\top x_i + b)`, and the measure

    - :math:`h = \|G\|` for free outer weights,
    - :math:`h = |u^\top G|` for ridge potentials (``conservative``: w = y u),
    - :math:`h = u^\top G` for ridge potentials with y <= 0 (``sign = -1``).

    The network is optimal iff h <= beta for every neuron.
    """

    data: Data
    divergence: float
    activation: Activation
    conservative: bool = False
    sign: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", get_activation(self.activation))

    @property
    def n_samples(self) -> int:
        return self.data.n_samples

    @property
    def dim(self) -> int:
        return self.data.dim

    @cached_property
    def reach(self) -> tuple[float, float]:
        """Largest coordinate and largest norm of the points."""

        def kernel(block: Block) -> tuple[float, float]:
            return float(np.abs(block.points).max()), float(norms(block.points).max())

        coordinate, norm = zip(*self.data.collect(kernel), strict=True)
        return max(coordinate), max(norm)

    @cached_property
    def moments(self) -> tuple[Floats, Floats]:
        """Mean (d,) and covariance (d, d) of the points, each counted once."""
        mean = self.data.total(lambda block: block.points.sum(axis=0)) / self.n_samples

        def kernel(block: Block) -> Floats:
            centred = block.points - mean
            return centred.T @ centred

        return mean, self.data.total(kernel) / self.n_samples

    def gradient(self, residual: Residual, u: Floats, b: Floats) -> Floats:
        """G of each neuron, (k, d); O(n k d) time, memory in blocks."""
        sigma, step = self.activation, max(1, _BLOCK // max(1, len(b)))

        def kernel(block: Block, rows: Floats) -> tuple[Floats, Floats]:
            out, active = np.zeros((len(b), block.dim)), np.zeros(len(b))
            for start in range(0, block.n_samples, step):
                some = slice(start, start + step)
                inner = u @ block.points[some].T
                inner += b[:, None]
                if self.divergence:
                    active += sigma.derivative(inner) @ block.mass[some]
                out += sigma.value(inner, out=inner) @ rows[some]
            return out, active

        out, active = self.data.total(kernel, residual)
        if self.divergence:
            out += self.divergence * active[:, None] * u
        return out

    def measure(self, gradient: Floats, u: Floats) -> Floats:
        """h of each neuron from its gradient."""
        if not self.conservative:
            return norms(gradient)
        along = np.einsum("kd,kd->k", gradient, u)
        return along if self.sign else np.abs(along)

    def rounding(self, residual: Residual) -> float:
        """How much h can depend on the order of the operations in it.

        The terms of G are residuals times |u.x + b|, which is at most twice the reach of the points,
        after d + 1 operations; the sum of n of them may lose n units of the sum of their sizes.
        """

        def kernel(block: Block, rows: Floats) -> tuple[float, float]:
            return norms(rows).sum(), block.mass.sum()

        sizes, mass = self.data.total(kernel, residual)
        size = 2.0 * self.reach[1] * sizes + self.divergence * mass
        return float((self.n_samples + self.dim + 2) * np.finfo(np.float64).eps * size)

    def evaluate(self, residual: Residual, u: Floats, b: Floats) -> Floats:
        """h of each neuron, the derivative at a kink from the active side."""
        return self.measure(self.gradient(residual, u, b), u)


class NeuronSet(Neurons):
    """The same with all points in memory, as the exact oracles need them; residuals are (n, d) arrays."""

    data: Block

    def __init__(
        self, points: Floats, mass: Floats, divergence: float, activation: Activation | str,
        conservative: bool = False, sign: int = 0,
    ) -> None:  # fmt: skip
        sigma = get_activation(activation)
        super().__init__(Block(points, mass), divergence, sigma, conservative, sign)

    @property
    def points(self) -> Floats:
        return self.data.points

    @property
    def mass(self) -> Floats:
        return self.data.mass


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

    @property
    def neurons(self) -> Neurons: ...

    def price(
        self,
        residual: Residual,
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
