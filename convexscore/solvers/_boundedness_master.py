r"""The conic program behind the boundedness threshold, on a finite dictionary of neurons.

With c and V projected out, G of every neuron is affine in the residual rows, and the smallest possible
largest measure is a Chebyshev approximation problem with norms,

.. math:: \min_Y\ \max_k\ \|Q_k^\top Y + a_k\|,

Q with orthonormal rows: whatever the geometry of the points, the unknowns are well scaled.  Its
Lagrange multipliers W, made to satisfy :math:`Q W = 0` exactly, are outer weights of a network that
vanishes on the data (up to c and V) while its divergence is negative: a direction of unbounded descent.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.design import Design
from convexscore.solvers.neuron_problem import Columns, NeuronProblem

Floats = NDArray[np.float64]

# Singular values of the features below this fraction of the largest belong to points that coincide.
_RANK_TOL = 1e-11
# A loose solve first; a strict one if it failed.
_STRICT = 1e-9


@dataclass(frozen=True, eq=False)
class MasterAnswer:
    """What one solve on the dictionary gives.

    Attributes
    ----------
    rows : (n, d) weighted residual rows.
    lower : a lower bound of the threshold, from the multipliers.
    size : (K,) norm of G of each column at ``rows``.
    """

    rows: Floats
    lower: float
    size: Floats


def base_rows(problem: NeuronProblem) -> Floats:
    """The smallest weighted rows (n, d) that c and V allow: zero, or those of V alone."""
    free = problem.free
    shift = free.divergence_shift(problem.divergence * problem.total_mass)
    rows: Floats = free.axes @ shift
    return rows


def spanning_columns(problem: NeuronProblem) -> Columns:
    """Kinks halfway between neighbours, seen from d orthogonal directions (ReLU: both ways).

    One generic direction already spans all functions on the points, so that the program on the
    dictionary has a bounded solution; the others keep it well conditioned.
    """
    d = problem.dim
    generic = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]
    directions = np.concatenate([generic, -generic]) if problem.case.activation == "relu" else generic
    u, b = [], []
    for direction in directions:
        along = np.unique(problem.points @ direction)
        middle = 0.5 * (along[1:] + along[:-1])
        u.append(np.broadcast_to(direction, (len(middle), d)))
        b.append(-middle)
    return Columns.neurons(np.concatenate(u), np.concatenate(b))


def solve_master(problem: NeuronProblem, columns: Columns, gap: float) -> MasterAnswer | None:
    """Smallest largest measure over the dictionary, to a relative gap; None if the solver fails.

    A loose gap is wanted while bounds are far apart: it leaves the residual near the centre of the
    good ones, where new columns cut deeper than at an extreme point.
    """
    design = Design.empty(problem).add(columns)
    u, s, Q = np.linalg.svd(_flat(design), full_matrices=False)
    rank = int((s > _RANK_TOL * s[0]).sum())
    u, s, Q = u[:, :rank], s[:rank], Q[:rank]
    solved = _chebyshev(Q, design.linear, gap)
    if solved is None:
        solved = _chebyshev(Q, design.linear, _STRICT)
    if solved is None:
        return None
    Y, weights = solved
    rows = problem.free.project((u @ (Y / s[:, None])).reshape(problem.points.shape))
    G = Q.T @ Y + design.linear
    weights = weights - Q.T @ (Q @ weights)
    cost = float(np.sqrt(np.einsum("kg,kg->k", weights, weights)).sum())
    lower = -float(np.vdot(design.linear, weights)) / cost if cost > 0.0 else 0.0
    size = np.sqrt(np.einsum("kg,kg->k", G, G))
    return MasterAnswer(rows + base_rows(problem), lower, size)


def _flat(design: Design) -> Floats:
    """Features as columns: (n, K) when each output has its own weights, (n d, K) for ridge fields."""
    problem, columns = design.problem, design.columns
    if not problem.case.conservative:
        return design.values
    n, d = problem.points.shape
    fields = design.values[:, None, :] * columns.u.T[None]  # (n, d, K)
    # c is out of the features already; V symmetric is fitted column by column
    if problem.free.n_axes:
        fields = np.stack([problem.free.project(f) for f in np.moveaxis(fields, 2, 0)], axis=2)
    return fields.reshape(n * d, len(columns))


def _chebyshev(Q: Floats, linear: Floats, gap: float) -> tuple[Floats, Floats] | None:
    """min_Y max_k ||Q_k' Y + a_k||: Y (p, g) and weights W (K, g) with Q W near 0."""
    import cvxpy as cp

    count, width = linear.shape
    Y, top = cp.Variable((Q.shape[0], width)), cp.Variable()
    G = Q.T @ Y + linear
    if width == 1:
        bounds = [G[:, 0] <= top, -G[:, 0] <= top]
    else:
        bounds = [cp.SOC(top * np.ones(count), G, axis=1)]
    program = cp.Problem(cp.Minimize(top), bounds)
    try:
        with warnings.catch_warnings():  # an inaccurate answer only costs a round: bounds are recomputed
            warnings.simplefilter("ignore")
            program.solve(solver=cp.CLARABEL, tol_gap_rel=gap, tol_gap_abs=gap)
    except cp.error.SolverError:
        return None
    if Y.value is None or not np.isfinite(Y.value).all():
        return None
    if width == 1:
        weights = (bounds[1].dual_value - bounds[0].dual_value)[:, None]
    else:
        weights = np.asarray(bounds[0].dual_value[1]).reshape(count, width)
    return np.asarray(Y.value), weights
