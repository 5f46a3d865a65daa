"""Weights of many networks as rows of one matrix, in the units of the problem that is descended."""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, log2

import numpy as np
from numpy.typing import NDArray

from convexscore.objectives.objective import ScoreObjective
from convexscore.scores.activations import Activation
from convexscore.scores.network import TwoLayerNetwork

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Weights:
    r"""Networks :math:`s(x) = \sum_j w_j\sigma(a_j^\top[x, 1]) + L [x, 1]`, one per run.

    Attributes
    ----------
    inner : (R, m, d + 1), rows ``[u_j, b_j]``.
    outer : (R, m, d), rows ``w_j``.
    linear : (R, d, d + 1), the matrix ``[V, c]``; V is zero without skip connection.
    """

    inner: Floats
    outer: Floats
    linear: Floats

    def zeros(self) -> Weights:
        """Weights of these shapes, all zero."""
        parts = (self.inner, self.outer, self.linear)
        return Weights(*(np.zeros(part.shape) for part in parts))

    def exchanged(self, share: float, line: float) -> Weights:
        r"""The same networks by neurons :math:`\tau` where :math:`\sigma(z) = p\,\tau(z) + q z`.

        ``share`` is p, ``line`` is q.
        """
        moved = np.matmul(self.outer.transpose(0, 2, 1), self.inner)
        return Weights(self.inner, share * self.outer, self.linear + line * moved)

    def exchanged_back(self, gradient: Weights, share: float, line: float) -> Weights:
        """Gradient in these weights from that in the exchanged ones."""
        turned = gradient.linear.transpose(0, 2, 1)
        return Weights(
            gradient.inner + line * np.matmul(self.outer, gradient.linear),
            share * gradient.outer + line * np.matmul(self.inner, turned),
            gradient.linear,
        )


@dataclass(frozen=True)
class Layout:
    """Where each weight sits in a row of the parameter matrix (R, p).

    Conservative networks have one number y_j instead of w_j = y_j u_j, and the symmetric part of V
    counts.  One column has ``conservative=False``: there every network is a gradient.
    """

    dim: int
    width: int
    skip: bool
    conservative: bool

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers for the inner, outer and linear part."""
        d, m = self.dim, self.width
        return m * (d + 1), m if self.conservative else m * d, d * (d + 1) if self.skip else d

    @property
    def n_parameters(self) -> int:
        return sum(self.sizes)

    def parts(self, theta: Floats) -> tuple[Floats, Floats, Floats]:
        """Views of the inner (R, m, d + 1), outer (R, m, d or 1) and linear part (R, d, d + 1 or 1)."""
        runs, m, d = len(theta), self.width, self.dim
        first, second, _ = self.sizes
        inner = theta[:, :first].reshape(runs, m, d + 1)
        outer = theta[:, first : first + second].reshape(runs, m, 1 if self.conservative else d)
        linear = theta[:, first + second :].reshape(runs, d, d + 1 if self.skip else 1)
        return inner, outer, linear

    def expand(self, theta: Floats) -> Weights:
        """The networks that rows of parameters stand for."""
        inner, outer, linear = self.parts(theta)
        if self.conservative:
            outer = outer * inner[:, :, : self.dim]
        full = np.zeros((len(theta), self.dim, self.dim + 1))
        full[:, :, -linear.shape[2] :] = linear
        if self.skip and self.conservative:
            full[:, :, :-1] += linear[:, :, :-1].transpose(0, 2, 1)
            full[:, :, :-1] *= 0.5
        return Weights(inner, outer, full)

    def pull_back(self, theta: Floats, gradient: Weights) -> Floats:
        """Gradient in the parameters from the gradient in the weights of the networks."""
        out = np.empty_like(theta)
        inner, outer, linear = self.parts(out)
        inner[...] = gradient.inner
        if self.conservative:
            u, y = self.parts(theta)[0][:, :, : self.dim], self.parts(theta)[1]
            outer[...] = (gradient.outer * u).sum(axis=2, keepdims=True)
            inner[:, :, : self.dim] += y * gradient.outer
        else:
            outer[...] = gradient.outer
        linear[...] = gradient.linear[:, :, -linear.shape[2] :]
        if self.skip and self.conservative:
            turned = gradient.linear[:, :, :-1].transpose(0, 2, 1)
            linear[:, :, :-1] += turned
            linear[:, :, :-1] *= 0.5
        return out

    def pack(self, weights: Weights) -> Floats:
        """Rows of parameters (R, p) of given networks; conservative: y_j is the projection of w_j."""
        theta = np.empty((len(weights.inner), self.n_parameters))
        inner, outer, linear = self.parts(theta)
        inner[...] = weights.inner
        if self.conservative:
            u = weights.inner[:, :, : self.dim]
            square = (u * u).sum(axis=2, keepdims=True)
            product = (weights.outer * u).sum(axis=2, keepdims=True)
            outer[...] = np.divide(product, square, out=np.zeros_like(product), where=square > 0)
        else:
            outer[...] = weights.outer
        linear[...] = weights.linear[:, :, -linear.shape[2] :]
        return theta


@dataclass(frozen=True, eq=False)
class Units:
    """Coordinates z = (x - centre) / scale, in which the same problem has 1 / scale^2 its objective."""

    centre: Floats
    scale: float

    @classmethod
    def of(cls, problem: ScoreObjective, rescale: bool) -> Units:
        """Mean and spread of the points; the scale is a power of two and costs no digit."""
        points, d = problem.points, problem.dim
        if not rescale:
            return cls(np.zeros(d), 1.0)
        weights = problem.sample_weight
        share = np.full(len(points), 1.0 / len(points)) if weights is None else weights
        share = share / share.sum()
        # Relative to one point, so that a large offset costs the mean no digits.
        moved = points - points[0]
        centre = share @ moved
        moved -= centre
        unit = 2.0 ** frexp(float(np.abs(moved).max()))[1]  # keeps the squares in range
        spread = unit * float(np.sqrt(share @ np.square(moved / unit).sum(axis=1) / d))
        return cls(points[0] + centre, 2.0 ** round(log2(spread)))

    @property
    def objective_unit(self) -> float:
        """What one unit of the objective in z is in the units of the data."""
        return 1.0 / self.scale**2

    def problem(self, problem: ScoreObjective) -> ScoreObjective:
        """The same problem in z."""
        labels = None if problem.labels is None else problem.labels * self.scale
        points = (problem.points - self.centre) / self.scale
        return ScoreObjective(points, labels, problem.divergence, problem.sample_weight)

    def network(self, layout: Layout, theta: Floats, activation: Activation) -> TwoLayerNetwork:
        """The network in the units of the data that one row of parameters (p,) stands for."""
        weights = layout.expand(theta[None])
        u = weights.inner[0, :, :-1] / self.scale
        v = weights.linear[0, :, :-1] / self.scale**2
        return TwoLayerNetwork(
            u,
            weights.outer[0] / self.scale,
            weights.inner[0, :, -1] - u @ self.centre,
            skip=v if layout.skip else None,
            offset=weights.linear[0, :, -1] / self.scale - v @ self.centre,
            activation=activation,
        )

    def parameters(self, layout: Layout, network: TwoLayerNetwork) -> Floats:
        """The row of parameters (p,) of a network in the units of the data."""
        offset = network.offset * self.scale
        skip = np.zeros((layout.dim, layout.dim))
        if network.skip is not None:
            skip = network.skip * self.scale**2
            offset = offset + self.scale * (network.skip @ self.centre)
        inner = np.column_stack([network.u * self.scale, network.b + network.u @ self.centre])
        linear = np.column_stack([skip, offset])
        return layout.pack(Weights(inner[None], network.w[None] * self.scale, linear[None]))[0]
