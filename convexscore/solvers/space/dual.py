r"""Lower bounds: dual feasible residuals and the best mixture of two of them.

The dual of the training problem is

.. math:: \max_r\ -\tfrac12\sum_i m_i\|r_i\|^2 - \sum_i m_i r_i^\top l_i
          \quad\text{s.t.}\quad \sup_{u,b}\|G_r(u,b)\| \le \beta,

with the moments of r that c and V fix.  G is affine in r, so a residual that violates its bound by a
little is repaired by mixing it with one that keeps it strictly: zero for denoising, the residual of a
smaller beta for score matching.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DualPoint:
    """A residual (weighted rows) whose largest measure over all neurons is known."""

    residual: Floats
    largest: float


def dual_value(residual: Floats, target: Floats) -> float:
    """Dual objective of weighted rows; ``target`` are the weighted labels."""
    return -0.5 * float(np.vdot(residual, residual)) - float(np.vdot(residual, target))


def best_mixture(
    point: DualPoint, inner: DualPoint | None, beta: float, target: Floats
) -> float | None:
    """Dual value of the feasible point nearest to ``point`` on the way to ``inner``.

    Returns None if neither the point nor a mixture is feasible.
    """
    if point.largest <= beta:
        return dual_value(point.residual, target)
    if inner is None or inner.largest >= beta:
        return None
    share = (point.largest - beta) / (point.largest - inner.largest)
    rows = point.residual + share * (inner.residual - point.residual)
    return dual_value(rows, target)
