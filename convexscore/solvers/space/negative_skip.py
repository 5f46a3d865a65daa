r"""V <= 0 in log-concave fits: V is built from rank-one terms -a a', and its multiplier must be >= 0.

With M the symmetric part of :math:`\sum_i R_i z_i^\top + \delta m I` (m the total mass), the term -a a'
lowers the objective as long as a' M a > 0: at the optimum M <= 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.space.problem import Columns, NeuronProblem

Floats = NDArray[np.float64]

_RANK_TOL = 1e-10


def builds_skip(problem: NeuronProblem) -> bool:
    """Whether V is made of columns in this problem."""
    return problem.case.log_concave and problem.case.skip


def paying_terms(problem: NeuronProblem, rows: Floats) -> tuple[Columns, float]:
    """Rank-one terms that still lower the objective, and how far the worst is above zero."""
    if not builds_skip(problem):
        return Columns.empty(problem.dim), 0.0
    values, vectors = np.linalg.eigh(_multiplier(problem, rows))
    up = values > 0.0
    count = int(up.sum())
    return Columns(vectors.T[up], np.zeros(count), np.ones(count, dtype=bool)), max(
        0.0, float(values[-1])
    )


def repaired(problem: NeuronProblem, rows: Floats) -> Floats:
    """Weighted rows nearby whose multiplier is <= 0, without which they are not dual feasible.

    r - P S^-1 z, P the positive part of M and S the scatter matrix of the points, has M - P.
    """
    if not builds_skip(problem):
        return rows
    weighted = problem.points * problem.root_mass[:, None]
    if problem.free.rank < problem.dim:
        # moments between the span of the points and the rest cannot be balanced: they must vanish
        basis = np.linalg.svd(weighted, full_matrices=False)[2][: problem.free.rank].T
        outside = rows - (rows @ basis) @ basis.T
        rows = rows - weighted @ np.linalg.lstsq(weighted, outside, rcond=_RANK_TOL)[0]
    values, vectors = np.linalg.eigh(_multiplier(problem, rows))
    if values[-1] <= 0.0:
        return rows
    positive = (vectors * np.maximum(values, 0.0)) @ vectors.T
    scatter = weighted.T @ weighted
    return rows - weighted @ np.linalg.lstsq(scatter, positive, rcond=_RANK_TOL**2)[0]


def _multiplier(problem: NeuronProblem, rows: Floats) -> Floats:
    moment = (rows * problem.root_mass[:, None]).T @ problem.points
    out: Floats = 0.5 * (moment + moment.T)
    np.einsum("ii->i", out)[:] += problem.divergence * problem.total_mass
    return out
