r"""The loss of a score on held-out rows: one formula, with displacements that suit the dimension.

.. math:: \tfrac12\|s\|^2 + \operatorname{tr}\nabla s \approx
          \sum_k \left[\tfrac{a_k}{2}\|s(x + h\xi_k)\|^2 + c_k\, s(x + h\xi_k)^\top\xi_k / h\right]

The divergence of an over-fitted score has spikes of 1e5 at single points, much narrower than any
structure of the law; a held-out point on one of them would decide the plain mean.  As a difference
quotient over a width h it is bounded, and differs by O(h^2) for scores that are smooth on that scale.
With h the noise level and normal :math:`\xi` it is the denoising loss at fresh noise, in expectation
over the noise (Stein's identity), without the variance :math:`1/h^2` of the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.objectives.standardization import Standardization

# Several columns: pairs of opposite normal displacements of each row.
_PAIRS = 4
# One column, denoising: points of the trapezoidal rule for the normal law, and how far they reach.
_NODES, _REACH = 24, 4.2


@dataclass(frozen=True)
class Displacement:
    """One displacement xi (broadcast to rows) with the weights of the square and of the slope."""

    xi: Floats
    square: float
    slope: float


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out rows and the width over which their loss is taken.

    Attributes
    ----------
    rows : (n, d) in the units of the data.
    weight : (n,), or None for ones
    width : h in standardised units: the noise level, or a fraction of a bandwidth.
    noise : the noise level of denoising, None for score matching.
    to_z : the map to standardised units, in which loss and width are measured.
    seed : of the displacements (several columns): the same for every score, so that differences of
        losses are not noise.
    """

    rows: Floats
    weight: Floats | None
    width: float
    noise: float | None
    to_z: Standardization
    seed: int

    def losses(self, score: Callable[[Floats], Floats]) -> Floats:
        """Loss of each row, (n,), in standardised units; for denoising the expected squared error."""
        back = self.to_z.inverse
        losses = np.zeros(len(self.rows))
        for displaced in self._displacements():
            at = score(self.rows + self.width * (displaced.xi @ back.T)) @ back
            losses += 0.5 * displaced.square * np.einsum("nd,nd->n", at, at)
            if displaced.slope:
                slope = np.einsum("nd,nd->n", at, np.broadcast_to(displaced.xi, at.shape))
                losses += displaced.slope * slope / self.width
        if self.noise is not None:  # the constant that makes it the expected denoising loss
            losses += 0.5 * self.rows.shape[1] / self.noise**2
        return losses

    def mean(self, score: Callable[[Floats], Floats]) -> float:
        """Weighted mean of the losses."""
        return float(np.average(self.losses(score), weights=self.weight))

    def _displacements(self) -> Iterator[Displacement]:
        n, d = self.rows.shape
        if d > 1:
            rng = np.random.default_rng(self.seed)
            share = 0.5 / _PAIRS
            for _ in range(_PAIRS):
                draw = rng.standard_normal((n, d))
                yield Displacement(draw, share, share)
                yield Displacement(-draw, share, share)
        elif self.noise is not None:
            # no random numbers on the line: the trapezoidal rule, which is exact up to 1e-3 across
            # kinks, scaled to variance one so that it is exact for scores that are linear
            xi = np.linspace(-_REACH, _REACH, _NODES)
            mass: Floats = np.exp(-0.5 * xi**2)
            mass /= mass.sum()
            for value, weight in zip(xi / np.sqrt(mass @ xi**2), mass, strict=True):
                yield Displacement(np.array([[value]]), weight, weight)
        else:
            # spread evenly over [x - h, x + h]: the square by Simpson's rule, the slope exactly
            for value, square in zip(
                (-1.0, -0.5, 0.0, 0.5, 1.0), (1.0, 4.0, 2.0, 4.0, 1.0), strict=True
            ):
                slope = 0.5 if abs(value) == 1.0 else 0.0
                yield Displacement(np.array([[value]]), square / 12.0, slope)
