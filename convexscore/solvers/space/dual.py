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

from convexscore.solvers.oracles.base import Residual
from convexscore.solvers.space.rows import Rows


@dataclass(frozen=True, eq=False)
class DualPoint:
    """A residual whose largest measure over all neurons is known; None is the residual zero."""

    residual: Residual | None
    largest: float


ZERO = DualPoint(None, 0.0)


def best_mixture(
    rows: Rows, point: DualPoint, inner: DualPoint | None, beta: float
) -> float | None:
    """Dual value of the feasible point nearest to ``point`` on the way to ``inner``.

    Returns None if neither the point nor a mixture is feasible.
    """
    if point.largest <= beta:
        return _mixed(rows, point, ZERO, 0.0)
    if inner is None or inner.largest >= beta:
        return None
    return _mixed(rows, point, inner, (point.largest - beta) / (point.largest - inner.largest))


def _mixed(rows: Rows, point: DualPoint, inner: DualPoint, share: float) -> float:
    """Dual objective of r + share (r' - r), from products of the two."""
    keep, r = 1.0 - share, point.residual
    square, labels = keep**2 * rows.inner(r, r), keep * rows.inner(r, rows.labels)
    other = inner.residual
    if other is not None:
        square += share * (2.0 * keep * rows.inner(r, other) + share * rows.inner(other, other))
        labels += share * rows.inner(other, rows.labels)
    return -0.5 * square - labels
