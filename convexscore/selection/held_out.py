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
# One column: displaced rows given to the score at a time.
_BLOCK = 1 << 14


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
        back, shape = self.to_z.inverse, self.rows.shape
        losses = np.zeros(len(self.rows))
        for xi, square, slope in self._displacements():
            displaced = (self.rows + self.width * xi.dot(back.T)).reshape(-1, shape[1])
            at = score(displaced).dot(back).reshape(-1, *shape)
            losses += np.einsum("knd,knd->n", at, 0.5 * square * at + slope / self.width * xi)
        if self.noise is not None:  # the constant that makes it the expected denoising loss
            losses += 0.5 * self.rows.shape[1] / self.noise**2
        return losses

    def mean(self, score: Callable[[Floats], Floats]) -> float:
        """Weighted mean of the losses."""
        return float(np.average(self.losses(score), weights=self.weight))

    def _displacements(self) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Displacements xi, (k, n or 1, d), with weights (k, 1, 1) of the square and the slope."""
        n, d = self.rows.shape
        if d > 1:
            rng = np.random.default_rng(self.seed)
            share = np.full((1, 1, 1), 0.5 / _PAIRS)
            for _ in range(_PAIRS):
                draw = rng.standard_normal((1, n, d))
                yield draw, share, share
                yield -draw, share, share
            return
        if self.noise is not None:
            # no random numbers on the line: the trapezoidal rule, which is exact up to 1e-3 across
            # kinks, scaled to variance one so that it is exact for scores that are linear
            xi = np.linspace(-_REACH, _REACH, _NODES)
            square: Floats = np.exp(-0.5 * xi**2)
            square /= square.sum()
            xi, slope = xi / np.sqrt(square @ xi**2), square
        else:
            # spread evenly over [x - h, x + h]: the square by Simpson's rule, the slope exactly
            xi = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
            square = np.array([1.0, 4.0, 2.0, 4.0, 1.0]) / 12.0
            slope = np.array([0.5, 0.0, 0.0, 0.0, 0.5])
        nodes = np.stack([xi, square, slope])[:, :, None, None]
        # few calls of the score for few rows, little memory for many
        for some in np.array_split(nodes, min(len(xi), 1 + len(xi) * n // _BLOCK), axis=1):
            yield some[0], some[1], some[2]
