r"""V <= 0 in log-concave fits: V is built from rank-one terms -a a', and its multiplier must be >= 0.

With M the symmetric part of :math:`\sum_i R_i z_i^\top + \delta m I` (m the total mass), the term -a a'
lowers the objective as long as a' M a > 0: at the optimum M <= 0.
"""

from __future__ import annotations

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.base import Residual
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.rows import Rows


def builds_skip(rows: Rows) -> bool:
    """Whether V is made of columns in this problem."""
    return rows.case.log_concave and rows.case.skip


def paying_terms(rows: Rows, residual: Residual) -> tuple[Columns, float]:
    """Rank-one terms that still lower the objective, and how far the worst is above zero."""
    if not builds_skip(rows):
        return Columns.empty(rows.dim), 0.0
    values, vectors = np.linalg.eigh(_multiplier(_moment(rows, residual)))
    return Columns.lines(vectors.T[values > 0.0]), max(0.0, float(values[-1]))


def repaired(rows: Rows, residual: Residual) -> Residual:
    """A residual nearby whose multiplier is <= 0, without which it is not dual feasible.

    R - m P S^-1 z, P the positive part of M and S the scatter matrix of the points, has M - P.
    """
    if not builds_skip(rows):
        return residual
    moment, free = _moment(rows, residual), rows.free
    inverse = (free.basis / free.spread**2) @ free.basis.T
    slopes = np.zeros_like(moment)
    if free.rank < rows.dim:
        # moments between the span of the points and the rest cannot be balanced: they must vanish
        plain = moment - rows.divergence * rows.total_mass * np.eye(rows.dim)
        outside = plain - (plain @ free.basis) @ free.basis.T
        slopes, moment = inverse @ outside, moment - outside
    values, vectors = np.linalg.eigh(_multiplier(moment))
    if values[-1] > 0.0:
        slopes = slopes + inverse @ (vectors * np.maximum(values, 0.0)) @ vectors.T
    if not slopes.any():
        return residual
    return rows.move(residual, rows.measure(Columns.lines(np.eye(rows.dim))), -slopes)


def _moment(rows: Rows, residual: Residual) -> Floats:
    """sum_i z_i R_i' + delta m I: the gradient of the lines along the coordinates."""
    return rows.gradient(residual, rows.measure(Columns.lines(np.eye(rows.dim))))


def _multiplier(moment: Floats) -> Floats:
    return 0.5 * (moment + moment.T)
