"""A network of one dimension by its knots, values and outer slopes."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.scores import kinks
from convexscore.scores.piecewise import PiecewiseLinearScore

if TYPE_CHECKING:
    from convexscore.scores.network import TwoLayerNetwork


def piecewise_form(net: TwoLayerNetwork) -> PiecewiseLinearScore:
    """Of a network without dead neurons; see :meth:`TwoLayerNetwork.to_piecewise`."""
    line_slope = 0.0 if net.skip is None else float(net.skip[0, 0])
    if net.n_neurons == 0:
        return PiecewiseLinearScore(
            knots=np.zeros(1), values=net.offset, left_slope=line_slope, right_slope=line_slope
        )
    size = np.abs(net.u[:, 0])
    knots, group = kinks.merge(kinks.kinks(net.u[:, 0], net.b))
    sigma = net.activation
    jumps = sigma.slope_jump * net.w[:, 0] * size
    jump = kinks.sum_by_group(jumps, group, len(knots))
    # Left of all kinks u < 0 sees z > 0.
    left_terms = (sigma.odd * net.u[:, 0] - sigma.even * size) * net.w[:, 0]
    slopes = kinks.running_sums(jump, [line_slope, *left_terms])
    spans = (1.0 + abs(sigma.negative_slope)) * np.abs(net.w[:, 0] * size)
    start = _smallest_hinges(np.abs(left_terms), spans, group, len(knots))
    at_start = net.u[:, 0] * knots[start] + net.b
    hinges = sigma.value(at_start) * net.w[:, 0]
    value = fsum([float(net.offset[0]), line_slope * float(knots[start]), *hinges])
    return PiecewiseLinearScore(
        knots=knots,
        values=kinks.values_from(slopes[:-1] * np.diff(knots), start, value),
        left_slope=fsum([line_slope, *left_terms]),
        right_slope=float(slopes[-1]),
    )


def _smallest_hinges(
    left_slopes: Floats, jumps: Floats, group: NDArray[np.intp], n_knots: int
) -> int:
    """Index of the knot minimising sum_j |w_j sigma(u_j x + b_j)|, a convex function of x."""
    slope = np.cumsum(np.bincount(group, weights=jumps, minlength=n_knots)) - np.sum(left_slopes)
    return min(int(np.searchsorted(slope, 0.0)), n_knots - 1)
