r"""One training problem in any dimension, in units where the points have unit spread.

.. math:: \min\ \sum_i m_i\left[\tfrac12\|s(z_i) - l_i\|^2 + \delta\,\mathrm{tr}\nabla s(z_i)\right]
          + \beta\sum_k\|w_k\|,\qquad s(z) = \sum_k w_k\sigma(u_k^\top z + b_k) + V z + c,

:math:`\|u_k\| = 1`.  With z = (x - centre) / scale, labels times scale and the score divided by it the
problem keeps its form with the same beta, and its value is divided by scale squared.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convexscore.objectives.objective import ScoreObjective
from convexscore.scores.activations import Activation, get_activation
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.oracles.base import NeuronSet
from convexscore.solvers.space.free_parameters import FreeParameters

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NeuronCase:
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
        return cls(np.zeros((0, dim)), np.zeros(0), np.zeros(0, dtype=bool))

    @classmethod
    def neurons(cls, u: Floats, b: Floats) -> Columns:
        return cls(u, b, np.zeros(len(b), dtype=bool))

    def keep(self, which: NDArray) -> Columns:
        return Columns(self.u[which], self.b[which], self.linear[which])

    def join(self, other: Columns) -> Columns:
        return Columns(
            np.concatenate([self.u, other.u]),
            np.concatenate([self.b, other.b]),
            np.concatenate([self.linear, other.linear]),
        )


@dataclass(frozen=True, eq=False)
class NeuronProblem:
    """Standardised data of one problem.

    Attributes
    ----------
    points, labels : (n, d); points are centred and have unit mean square per coordinate.
    mass : (n,) sample weights.
    divergence : 1.0 for score matching, 0.0 for denoising.
    centre, scale : x = centre + scale * z.
    """

    case: NeuronCase
    points: Floats
    labels: Floats
    mass: Floats
    divergence: float
    centre: Floats
    scale: float
    root_mass: Floats = field(init=False, repr=False)
    free: FreeParameters = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root_mass", np.sqrt(self.mass))
        object.__setattr__(
            self,
            "free",
            FreeParameters.build(
                self.points, self.mass, self.case.free_skip, symmetric=self.case.conservative
            ),
        )

    @property
    def n_samples(self) -> int:
        return int(self.points.shape[0])

    @property
    def dim(self) -> int:
        return int(self.points.shape[1])

    @property
    def total_mass(self) -> float:
        return float(self.mass.sum())

    @property
    def neurons(self) -> NeuronSet:
        return NeuronSet(
            self.points,
            self.mass,
            self.divergence,
            self.case.activation,
            self.case.conservative,
            -1 if self.case.log_concave else 0,
        )

    @property
    def gaussian_value(self) -> float:
        """Size of the objective of a Gaussian with the covariance of the points."""
        spread = np.linalg.svd(self.points * self.root_mass[:, None], compute_uv=False)
        kept = spread > 1e-10 * max(float(spread.max(initial=0.0)), np.finfo(float).tiny)
        return 0.5 * self.total_mass**2 * float((1.0 / spread[kept] ** 2).sum())

    @property
    def natural_value(self) -> float:
        """Objectives smaller than this are judged against it: a millionth of that of a Gaussian."""
        return 1e-6 * self.total_mass * self.dim

    @property
    def objective_unit(self) -> float:
        """Objective in the units of the data over the objective in z."""
        return 1.0 / self.scale**2

    # ---- columns --------------------------------------------------------------------------------
    def features(self, columns: Columns) -> tuple[Floats, Floats]:
        """Values at the points times root mass, (n, K), and the active mass N, (K,)."""
        sigma = self.case.activation
        values = self.points @ columns.u.T
        values += columns.b
        counts = np.zeros(len(columns))
        lines = columns.linear
        if self.divergence:
            counts = self.mass @ sigma.derivative(values)
            counts[lines] = self.total_mass
        if lines.any():
            linear = values[:, lines]
        values = sigma.value(values, out=values)
        if lines.any():
            values[:, lines] = linear
        values *= self.root_mass[:, None]
        return values, counts

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
        norms = np.sqrt(np.einsum("kd,kd->k", network.u, network.u))
        safe = np.where(norms > 0.0, norms, 1.0)
        u = network.u / safe[:, None]
        b = (network.b / safe + u @ self.centre) / self.scale
        w = network.w * (safe * self.scale**2)[:, None]
        V = np.zeros((self.dim, self.dim)) if network.skip is None else network.skip * self.scale**2
        c = network.offset * self.scale
        if network.skip is not None:
            c = c + self.scale * (network.skip @ self.centre)
        dead = norms == 0.0
        if dead.any():  # a constant: part of c
            constants = network.activation.value(network.b[dead])
            c = c + self.scale * constants @ network.w[dead]
        live = ~dead
        return Columns.neurons(u[live], b[live]), w[live], V, c


def prepare(objective: ScoreObjective, case: NeuronCase) -> NeuronProblem:
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
    return NeuronProblem(
        case, shifted / scale, labels, mass, objective.divergence, first + centre, scale
    )
