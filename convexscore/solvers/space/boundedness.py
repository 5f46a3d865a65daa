r"""The smallest penalty for which score matching in several dimensions has a minimum.

.. math:: \beta_0 = \min_r\ \sup_{u,b} h(u, b; r)

over residuals r with the moments that c and V fix: at beta < beta_0 the dual of the training problem
has no feasible point and networks of objective -infinity exist; at beta > beta_0 it has a strictly
feasible one.  In one dimension beta_0 has a closed form; in several it is a convex problem, solved
here by column generation over neurons on the central path.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexscore.solvers.oracles.base import Oracle, Residual
from convexscore.solvers.space.boundedness_master import (
    Dictionary,
    minimise_largest,
    spanning_columns,
)
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.problem import SpaceProblem
from convexscore.solvers.space.rows import in_memory

# Unknowns n d beyond which a Newton step, O((n d)^3), takes minutes.
MAX_SIZE = 4000
# Neurons added in a round: of an exact oracle (it returns at most a few per point), of a local search.
_N_BEST, _N_LOCAL = 400, 64
# The dictionary's program is solved to this fraction of the gap between the bounds, at most coarsely.
_MASTER_SHARE, _COARSE, _FINE = 0.1, 0.1, 1e-9
# Columns leave when their |G| stays below this fraction of the lower bound for so many rounds in which
# that bound closed this fraction of the gap; in others the rounds would go in circles.
_WELL_INSIDE, _IDLE_ROUNDS, _ADVANCE = 0.8, 3, 0.1
# Rounding or an inexact oracle: so many rounds that close less than this fraction of the gap.
_STALLED, _PROGRESS = 10, 0.1
# Log-concave: growth of the residual per round; a point nearer than this to a hyperplane is on it.
_STRETCH, _ON_FACET = 4.0, 1e-7


@dataclass(frozen=True, eq=False)
class BoundednessLimit:
    """Bounds of the boundedness threshold and what proves them.

    Attributes
    ----------
    lower : no penalty below it has a minimum (restricted to ``columns`` the objective is unbounded).
    upper : largest measure at ``residual``; every penalty above it has a minimum (if ``exact``).
    exact : whether the oracle looked at every neuron; otherwise ``upper`` is an estimate.
    n_rounds : calls of the oracle.
    residual : rows m_i r_i, in the units of the problem; strictly dual feasible for every
        beta > upper.
    columns : the neurons that were chosen.
    """

    lower: float
    upper: float
    exact: bool
    n_rounds: int
    residual: Residual
    columns: Columns

    @property
    def gap(self) -> float:
        """Relative distance of the bounds."""
        return 0.0 if self.upper == self.lower else 1.0 - self.lower / self.upper


def boundedness(
    problem: SpaceProblem,
    oracle: Oracle,
    *,
    tol: float = 1e-3,
    decide: float | None = None,
    start: Columns | None = None,
    max_rounds: int = 100,
) -> BoundednessLimit:
    """Bounds of the threshold of one problem, by column generation.

    Parameters
    ----------
    problem : SpaceProblem
        Of its ``log_concave`` case (conservative, negative slope >= 0) beta_0 is the largest mass on a
        supporting hyperplane for ReLU and 0 for a leaky one.
    oracle : Oracle
        Of ``problem.neurons``.
    tol : float
        Stop when upper - lower <= tol * upper.
    decide : float, optional
        Stop as soon as lower > decide (no minimum) or upper < decide (there is one).  If neither
        holds at the end, decide is within the tolerance of the threshold.
    start : Columns, optional
        Neurons to begin with, for example those of an unbounded restricted problem.
    max_rounds : int
        Calls of the oracle.

    Raises
    ------
    ValueError
        If n d is above 4000, the rows are not in memory, or the case is log-concave without
        being a ridge potential of convex ridges.

    Notes
    -----
    Each round prices the residual of the last (upper bound), adds the neurons found, and moves to
    a residual near the central path of the program on the chosen ones (lower bound) at a tenth of the
    gap: at a vertex of the optimal set instead, the rounds are several times as many.
    """
    in_memory(problem.rows, "the boundedness threshold")
    n, d = problem.rows.n_samples, problem.rows.dim
    flat = _without_geometry(problem)
    if flat is not None:
        return flat
    if problem.case.log_concave:
        return _log_concave(problem, oracle, decide, max_rounds)
    if n * d > MAX_SIZE:
        raise ValueError(
            f"the boundedness threshold needs n d <= {MAX_SIZE} unknowns; got n = {n}, d = {d}, "
            f"n d = {n * d}. Compute it on a subsample, or avoid it: beta = sqrt(n) is usually "
            "above it (not for repeated points or points near a hyperplane), and objective='denoising' "
            "has no limit."
        )
    if n <= 1 + problem.rows.free.n_axes and not problem.case.conservative:
        # c and V reach every function on the points: they fix the residual
        rows = problem.rows.start(labels=False)
        priced = oracle.price(rows, n_best=1)
        return BoundednessLimit(
            priced.largest, priced.largest, priced.exact, 1, rows, spanning_columns(problem)
        )
    columns = spanning_columns(problem)
    if start is not None:
        columns = columns.join(start.keep(~start.linear))
    kept, idle = len(columns), np.zeros(len(columns), dtype=np.intp)
    rows = best = problem.rows.start(labels=False)
    lower, upper, tried = 0.0, np.inf, 0.0
    current = (columns.u[:0], columns.b[:0])
    exact, n_rounds, gaps = True, 0, []
    for _ in range(max_rounds):
        n_rounds += 1
        priced = oracle.price(
            rows,
            n_best=_N_BEST if exact else _N_LOCAL,
            floor=lower,
            current=current,
        )
        exact = priced.exact
        largest = max(priced.largest, tried)
        if largest < upper:
            upper, best = largest, rows
        gaps.append(upper - lower)
        stalled = len(gaps) > _STALLED and gaps[-1] > (1.0 - _PROGRESS) * gaps[-1 - _STALLED]
        decided = decide is not None and upper < decide
        if gaps[-1] <= tol * upper or decided or stalled:
            break
        columns = columns.join(Columns.neurons(priced.u, priced.b))
        idle = np.append(idle, np.zeros(len(priced.b), dtype=np.intp))
        gap = float(np.clip(_MASTER_SHARE * (1.0 - lower / upper), _FINE, _COARSE))
        dictionary = Dictionary.build(problem, columns)
        centre = minimise_largest(dictionary, dictionary.coordinates(rows), gap)
        advanced = centre.lower - lower > _ADVANCE * gaps[-1]
        lower = max(lower, centre.lower)
        if decide is not None and lower > decide:
            break
        rows, tried = dictionary.rows(centre.Y), centre.value
        near = np.argsort(-centre.size)[:_N_LOCAL]
        current = (columns.u[near], columns.b[near])
        if advanced:
            idle = np.where(centre.size < _WELL_INSIDE * lower, idle + 1, 0)
            idle[:kept] = 0
            columns, idle = columns.keep(idle < _IDLE_ROUNDS), idle[idle < _IDLE_ROUNDS]
    return BoundednessLimit(min(lower, upper), upper, exact, n_rounds, best, columns)


def _without_geometry(problem: SpaceProblem) -> BoundednessLimit | None:
    """Cases whose threshold does not depend on where the points are.

    Points in a hyperplane with normal v: the neuron -t v sigma(v.z + b), b just above 0, vanishes on the
    data and has divergence -t M at cost t beta, so beta_0 >= M, while r = 0 has h = N <= M everywhere:
    beta_0 = M.  With skip V = -t v v' does the same at no cost.
    """
    total = problem.rows.divergence * problem.rows.total_mass
    empty = Columns.empty(problem.rows.dim)
    if total and problem.rows.free.rank == problem.rows.dim:
        return None
    level = np.inf if total and problem.case.skip else total
    return BoundednessLimit(level, level, True, 0, np.zeros_like(problem.rows.labels), empty)


def _log_concave(
    problem: SpaceProblem, oracle: Oracle, decide: float | None, max_rounds: int
) -> BoundednessLimit:
    """Only y <= 0: beta_0 is the largest mass on a supporting hyperplane of the points (leaky: 0).

    r = -t z lowers u.G of every neuron that is not constant on the points, by monotonicity of
    gradients of convex functions, without limit as t grows; what stays are, for ReLU, neurons with all
    their active points on the kink, whose u.G is the mass there.
    """
    case = problem.case
    if case.activation.negative_slope < 0.0 or not case.conservative:
        raise ValueError(
            "log-concave networks need conservative=True and an activation that never falls; got "
            f"activation='{case.activation}', conservative={case.conservative}."
        )
    total = problem.rows.divergence * problem.rows.total_mass
    block = in_memory(problem.rows, "the boundedness threshold").block
    weighted = block.points * block.mass[:, None]
    # with V <= 0 free the moment of r must be at most -M I
    stretch = total / float(np.linalg.eigvalsh(weighted.T @ block.points)[0])
    columns = Columns.empty(problem.rows.dim)
    lower, upper, best, n_rounds = 0.0, np.inf, weighted, 0
    for _ in range(max_rounds):
        n_rounds += 1
        rows = -stretch * weighted
        priced = oracle.price(rows, n_best=_N_BEST, floor=lower)
        if priced.largest < upper:
            upper, best = max(priced.largest, 0.0), rows
        found = Columns.neurons(priced.u, priced.b)
        reach = (block.points @ found.u.T + found.b).max(axis=0, initial=-np.inf)
        facets = found.keep(reach <= _ON_FACET)
        if len(facets) and not case.activation.negative_slope:
            columns = columns.join(facets)
            lower = max(lower, float(problem.rows.measure(facets).active.max()))
        met = upper <= (1.0 + 1e-9) * lower or stretch > 1.0 / _ON_FACET * total
        if met or (decide is not None and (upper < decide or lower > decide)):
            break
        stretch *= _STRETCH
    return BoundednessLimit(min(lower, upper), upper, priced.exact, n_rounds, best, columns)
