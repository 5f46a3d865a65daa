"""Weights of many networks as rows of one matrix, in the units of the problem that is descended."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.objectives.objective import ScoreObjective
from convexscore.objectives.standardization import Standardization, standardization
from convexscore.scores.activations import Activation
from convexscore.scores.network import TwoLayerNetwork


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
        return Weights(*(np.zeros(part.shape) for part in (self.inner, self.outer, self.linear)))

    def take(self, runs: slice) -> Weights:
        """Views of some runs."""
        return Weights(self.inner[runs], self.outer[runs], self.linear[runs])

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
    """The kind of network, and where each weight sits in a row of the parameter matrix (R, p).

    Conservative networks have one number y_j instead of w_j = y_j u_j, and the symmetric part of V
    counts.  One column has ``conservative=False``: there every network is a gradient.
    """

    dim: int
    width: int
    skip: bool
    conservative: bool
    activation: Activation

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Of the inner, outer and linear part of one run."""
        d, m = self.dim, self.width
        return (m, d + 1), (m, 1 if self.conservative else d), (d, d + 1 if self.skip else 1)

    @property
    def n_parameters(self) -> int:
        return sum(rows * columns for rows, columns in self.shapes)

    def parts(self, theta: Floats) -> list[Floats]:
        """Views of the inner (R, m, d + 1), outer (R, m, d or 1) and linear part (R, d, d + 1 or 1)."""
        found, start = [], 0
        for rows, columns in self.shapes:
            stop = start + rows * columns
            found.append(theta[:, start:stop].reshape(len(theta), rows, columns))
            start = stop
        return found

    def expand(self, theta: Floats) -> Weights:
        """The networks that rows of parameters stand for."""
        inner, outer, linear = self.parts(theta)
        full = np.zeros((len(theta), self.dim, self.dim + 1))
        full[:, :, -linear.shape[2] :] = linear
        if self.conservative:
            outer = outer * inner[:, :, :-1]
            full = _symmetric(full)
        return Weights(inner, outer, full)

    def pull_back(self, theta: Floats, gradient: Weights) -> Floats:
        """Gradient in the parameters from the gradient in the weights of the networks."""
        inner, outer, linear = gradient.inner, gradient.outer, gradient.linear
        if self.conservative:
            own, y, _ = self.parts(theta)
            inner = inner.copy()
            inner[:, :, :-1] += y * outer
            outer = (outer * own[:, :, :-1]).sum(axis=2, keepdims=True)
            linear = _symmetric(linear)
        return self._rows(inner, outer, linear)

    def network(self, theta: Floats) -> TwoLayerNetwork:
        """The network that one row of parameters (p,) stands for."""
        weights = self.expand(theta[None])
        inner, linear = weights.inner[0], weights.linear[0]
        return TwoLayerNetwork(
            inner[:, :-1], weights.outer[0], inner[:, -1], offset=linear[:, -1],
            skip=linear[:, :-1] if self.skip else None, activation=self.activation,
        )  # fmt: skip

    def pack(self, network: TwoLayerNetwork) -> Floats:
        """The row of parameters (p,) of a network; conservative: y_j is the projection of w_j."""
        u, outer = network.u, network.w
        if self.conservative:
            square = (u * u).sum(axis=1, keepdims=True)
            product = (outer * u).sum(axis=1, keepdims=True)
            outer = np.divide(product, square, out=np.zeros_like(product), where=square > 0)
        skip = np.zeros((self.dim, self.dim)) if network.skip is None else network.skip
        inner, linear = np.column_stack([u, network.b]), np.column_stack([skip, network.offset])
        return self._rows(inner[None], outer[None], linear[None])[0]

    def _rows(self, *parts: Floats) -> Floats:
        """Rows (R, p) of the inner and outer part and of the columns of [V, c] that are trained."""
        kept = [part[:, :, -shape[1] :] for part, shape in zip(parts, self.shapes, strict=True)]
        return np.concatenate([part.reshape(len(part), -1) for part in kept], axis=1)


def _symmetric(linear: Floats) -> Floats:
    """[V, c] with the symmetric part of V."""
    skip = linear[:, :, :-1]
    return np.concatenate([0.5 * (skip + skip.transpose(0, 2, 1)), linear[:, :, -1:]], axis=2)


def training_units(problem: ScoreObjective) -> Standardization:
    """Coordinates (x - mean) / scale; the scale is a power of two and costs no digit."""
    n, weights = problem.n_samples, problem.sample_weight
    shares = np.full(n, 1.0 / n) if weights is None else weights
    made = standardization(problem.points, "scale", sample_weight=shares)
    scale = 2.0 ** -round(log2(made.matrix[0, 0]))
    identity = np.eye(problem.dim)
    return Standardization(made.centre, identity / scale, identity * scale, "scale")
