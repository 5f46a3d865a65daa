r"""Networks that are gradients: their log-density, and how far others are from having one.

With :math:`w_k = y_k u_k` and a symmetric V the two-layer network is the gradient of

.. math:: \log p(x) = \sum_k y_k \Psi(u_k^\top x + b_k) + \tfrac12 x^\top V x + c^\top x,
          \qquad \Psi' = \sigma,

a sum of ridge functions and a quadratic, known up to a constant.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.activations import Activation

if TYPE_CHECKING:
    from convexscore.scores.network import TwoLayerNetwork

FloatArray = NDArray[np.float64]

RTOL = 1e-9
# Numbers held at a time: pre-activations, entries of Jacobians.
_BLOCK = 1 << 20
# Kinks this many times further out than most say nothing about where the data are.
_FAR = 10.0
# Weight of V beside the kinks in the choice of the origin: only where there are no kinks.
_SKIP_WEIGHT = 1e-4


@dataclass(frozen=True)
class Asymmetry:
    """Why a network is no gradient: its worst neuron and V, both relative, 0 for a gradient.

    ``across`` is the part of w across u over \\|w\\|, the sine of their angle; ``neuron`` is the row
    it belongs to; ``skip`` is the largest \\|V - V'\\| over the largest \\|V\\|.
    """

    across: float
    neuron: int
    skip: float

    @property
    def worst(self) -> float:
        return max(self.across, self.skip)

    def __str__(self) -> str:
        parts = []
        if self.across > 0.0:
            parts.append(
                f"the outer weight of neuron {self.neuron} is not along its inner weight (the sine "
                f"of their angle is {self.across:.2g})"
            )
        if self.skip > 0.0:
            parts.append(f"V is not symmetric (largest |V - V'| is {self.skip:.2g} of max |V|)")
        return " and ".join(parts) or "none"


def weight_asymmetry(network: TwoLayerNetwork) -> Asymmetry:
    """Worst deviation from w_k = y_k u_k, V = V'; O(m d + d^2).

    Neurons without inner or outer weight are constants and count as parallel.
    """
    u, w = _directions(network.u), _directions(network.w)
    # explicitly, not sqrt(1 - cos^2), which sees no angle below 1e-8
    across = w - np.einsum("kd,kd->k", u, w)[:, None] * u
    sine = np.sqrt(np.einsum("kd,kd->k", across, across))
    sine[~u.any(axis=1)] = 0.0
    worst = int(sine.argmax()) if sine.size else -1
    skip = 0.0
    if network.skip is not None and network.skip.any():
        V = network.skip / np.abs(network.skip).max()
        skip = float(np.abs(V - V.T).max())
    return Asymmetry(float(sine[worst]) if sine.size else 0.0, worst, skip)


def jacobian_asymmetry(network: TwoLayerNetwork, points: FloatArray) -> FloatArray:
    """||J - J'||_F / ||J||_F at each of the points (n, d), 0 where J = 0."""
    out = np.zeros(len(points))
    if network.dim == 1:
        return out
    step = max(1, _BLOCK // network.dim**2)
    for start in range(0, len(points), step):
        J = network.jacobian(points[start : start + step])
        largest = np.abs(J).max(axis=(1, 2))
        J /= np.where(largest > 0.0, largest, 1.0)[:, None, None]  # squares neither over nor under
        skew = np.linalg.norm(J - J.swapaxes(1, 2), axis=(1, 2))
        size = np.linalg.norm(J, axis=(1, 2))
        out[start : start + step] = skew / np.where(size > 0.0, size, 1.0)
    return out


@dataclass(frozen=True, eq=False)
class RidgePotential:
    """Log-density of a conservative network, expanded about ``origin`` among its kinks.

    About the origin, not about zero: data far from zero would cost x'Vx/2 + c.x all its digits.
    """

    u: FloatArray
    b: FloatArray
    y: FloatArray
    skip: FloatArray
    slope: FloatArray
    origin: FloatArray
    activation: Activation

    @classmethod
    def of(cls, network: TwoLayerNetwork, rtol: float = RTOL) -> RidgePotential:
        """The potential of a network; ValueError if it has none."""
        asymmetry = weight_asymmetry(network)
        if asymmetry.worst > rtol:
            raise ValueError(
                f"this network has no log-density: its Jacobian is not symmetric, {asymmetry}. Refit "
                "with constraint='gradient'; jacobian_asymmetry(x) tells how far it is from a gradient."
            )
        d = network.dim
        V = np.zeros((d, d)) if network.skip is None else 0.5 * (network.skip + network.skip.T)
        unit = network.unit_norm()
        origin = middle_of_kinks(unit.u, unit.b, V, unit.offset)
        return cls(
            u=unit.u,
            b=unit.b + unit.u @ origin,
            y=np.einsum("kd,kd->k", unit.u, unit.w),
            skip=V,
            slope=unit.offset + V @ origin,
            origin=origin,
            activation=network.activation,
        )

    def __call__(self, points: FloatArray) -> FloatArray:
        """Values at points (n, d), (n,); zero at the origin but for the neurons; O(n m d)."""
        out = np.empty(len(points))
        step = max(1, _BLOCK // max(1, len(self.b)))
        for start in range(0, len(points), step):
            h = points[start : start + step] - self.origin
            z = h @ self.u.T + self.b
            ridges = self.activation.antiderivative(z)
            quadratic = 0.5 * np.einsum("nd,nd->n", h @ self.skip, h) + h @ self.slope
            out[start : start + step] = ridges @ self.y + quadratic
        return out


def _directions(rows: FloatArray) -> FloatArray:
    """Rows of length one; zero rows stay."""
    largest = np.abs(rows).max(axis=1, keepdims=True, initial=0.0)
    rows = rows / np.where(largest > 0.0, largest, 1.0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, where=length > 0.0, out=rows)


def middle_of_kinks(u: FloatArray, b: FloatArray, V: FloatArray, c: FloatArray) -> FloatArray:
    """A point near the kinks and, in directions that have none, near the zero of V x + c.

    Rows of u have length one.  The point moves along when the network is translated.
    """
    size = np.abs(b)
    near = size <= _FAR * np.median(size) if size.size else np.zeros(0, dtype=bool)
    weight = _SKIP_WEIGHT / (np.abs(V).max() or 1.0)
    rows = np.concatenate([u[near], weight * V])
    target = -np.concatenate([b[near], weight * c])
    origin: FloatArray = np.linalg.lstsq(rows, target, rcond=1e-10)[0]
    return origin
