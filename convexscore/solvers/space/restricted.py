"""The restricted problem: chosen neurons, their weights, and how columns come and go."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.design import Design
from convexscore.solvers.space.master import MasterState
from convexscore.solvers.space.penalties import NormPenalty, Penalty, SignedPenalty
from convexscore.solvers.space.problem import SpaceProblem

Floats = NDArray[np.float64]

# While the duality gap is still meaningless the objective counts as known to this fraction.
_COARSE = 0.1


@dataclass(eq=False)
class Restricted:
    """The problem on the chosen columns, its solution, and what is known of the full problem."""

    problem: SpaceProblem
    beta: float
    design: Design
    state: MasterState
    base_value: float
    idle: NDArray[np.intp]

    @property
    def penalty(self) -> Penalty:
        return _penalty(self.problem, self.design.columns, self.beta)

    def value(self) -> float:
        """Primal objective of the current weights."""
        s = self.state
        quadratic = 0.5 * self.problem.rows.inner(s.residual, s.residual)
        linear = float(np.vdot(self.design.linear, s.weights))
        return quadratic + linear + self.base_value + self.penalty.value(s.weights)

    def active(self) -> NDArray[np.bool_]:
        """Columns that carry weight."""
        return self.penalty.active(self.state.weights, self.state.mu)

    def current(self) -> tuple[Floats, Floats]:
        """The neurons in use, where a local search starts."""
        chosen = self.active() & ~self.design.columns.linear
        return self.design.columns.u[chosen], self.design.columns.b[chosen]

    def scale(self, value: float, dual: float, excess: float) -> float:
        """What the restricted objective may still be off by, roughly: sets the master's accuracy."""
        cost = self.penalty.value(self.state.weights)
        natural = self.problem.total_mass * self.problem.dim
        coarse = _COARSE * max(abs(value), cost, min(natural, self.beta))
        gap = value - dual
        # a search that is not exact may put its bound above the value: then the gap tells nothing
        told = np.isfinite(gap) and gap > 0.0
        return min(gap if told else max(excess, 0.0) * cost + 1e-12 * coarse, coarse)


def _penalty(problem: SpaceProblem, columns: Columns, beta: float) -> Penalty:
    if problem.case.log_concave:
        return SignedPenalty(np.where(columns.linear, 0.0, beta), beta)
    return NormPenalty(beta)


def start(problem: SpaceProblem, beta: float) -> Restricted:
    """No neurons: c and V alone."""
    rows, free = problem.rows, problem.free
    design = Design.empty(rows)
    V, _ = free_values(design, np.zeros((0, rows.dim)))
    base_value = (
        problem.divergence * problem.total_mass * float(np.trace(V)) if free.n_axes else 0.0
    )
    empty = np.zeros((0, design.width))
    state = MasterState(empty, empty.copy(), rows.start(), 1.0)
    none = np.zeros(0, dtype=np.intp)
    return Restricted(problem, beta, design, state, base_value, none)


def free_values(design: Design, outer: Floats) -> tuple[Floats, Floats]:
    """The best V (d, d) and c (d,) for given outer weights (K, d)."""
    rows, free = design.rows, design.rows.free
    constant, linear = rows.coefficients(rows.labels)
    c = (constant - design.measured.level @ outer) / np.sqrt(rows.total_mass)
    if not free.n_axes:
        return np.zeros((rows.dim, rows.dim)), c
    linear = free.fitted(linear - design.measured.along.T @ outer)
    return free.skip_matrix(linear + free.divergence_shift(rows.divergence * rows.total_mass)), c


def restart(restricted: Restricted, beta: float) -> Restricted:
    """The same columns and weights under another penalty; multipliers are cut to their new bound."""
    out = copy_of(restricted)
    out.beta = beta
    if not restricted.problem.case.log_concave:
        dual = out.state.dual
        size = np.sqrt(np.einsum("kg,kg->k", dual, dual))
        out.state.dual = dual / np.maximum(1.0, size / (0.99 * beta))[:, None]
    return out


def copy_of(restricted: Restricted) -> Restricted:
    """A copy that can be changed without touching the original (arrays are never changed in place)."""
    return replace(restricted, state=replace(restricted.state))


def add_columns(restricted: Restricted, new: Columns, mu: float) -> None:
    """Join new columns at weight zero (or just inside their sign constraint)."""
    old = len(restricted.design)
    design = restricted.design.add(new)
    state = restricted.state
    gradient = design.gradient(state.residual, first=old)
    penalty = _penalty(restricted.problem, design.columns, restricted.beta)
    weights, dual = penalty.start(gradient, mu)
    restricted.design = design
    all_weights = np.concatenate([state.weights, weights])
    residual = state.residual
    if weights.any():
        residual = design.move(residual, np.concatenate([np.zeros_like(state.weights), weights]))
    restricted.state = MasterState(
        all_weights, np.concatenate([state.dual, dual]), residual, mu, state.n_steps
    )
    restricted.idle = np.concatenate([restricted.idle, np.zeros(len(new), dtype=np.intp)])


def drop_columns(restricted: Restricted, which: NDArray[np.bool_]) -> None:
    """Remove the marked columns; the residual is recomputed from what stays."""
    keep = ~which
    state = restricted.state
    gone = state.weights.copy()
    gone[keep] = 0.0
    residual = restricted.design.move(state.residual, -gone)
    restricted.design = restricted.design.keep(keep)
    restricted.state = MasterState(
        state.weights[keep], state.dual[keep], residual, state.mu, state.n_steps
    )
    restricted.idle = restricted.idle[keep]
