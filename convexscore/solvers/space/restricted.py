"""The restricted problem: chosen neurons, their weights, and how columns come and go."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.design import Design
from convexscore.solvers.space.master import MasterState, minimise
from convexscore.solvers.space.penalties import NormPenalty, Penalty, SignedPenalty, cut
from convexscore.solvers.space.problem import SpaceProblem

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
        if self.problem.case.log_concave:
            return SignedPenalty(np.where(self.design.columns.linear, 0.0, self.beta), self.beta)
        return NormPenalty(self.beta)

    def value(self) -> float:
        """Primal objective of the current weights."""
        s = self.state
        quadratic = 0.5 * self.problem.rows.inner(s.residual, s.residual)
        linear = float(np.vdot(self.design.linear, s.weights))
        return quadratic + linear + self.base_value + self.penalty.value(s.weights)

    def minimise(self, mu_end: float, floor: float = -np.inf) -> None:
        """Follow the central path to ``mu_end``."""
        self.state = minimise(self.design, self.penalty, self.state, mu_end=mu_end, floor=floor)

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
        natural = self.problem.rows.total_mass * self.problem.rows.dim
        coarse = _COARSE * max(abs(value), cost, min(natural, self.beta))
        gap = value - dual
        # a search that is not exact may put its bound above the value: then the gap tells nothing
        told = np.isfinite(gap) and gap > 0.0
        return min(gap if told else max(excess, 0.0) * cost + 1e-12 * coarse, coarse)


def start(problem: SpaceProblem, beta: float) -> Restricted:
    """No neurons: c and V alone."""
    rows, design = problem.rows, Design.empty(problem.rows)
    V, _ = free_values(design, np.zeros((0, rows.dim)))
    base_value = problem.rows.divergence * problem.rows.total_mass * float(np.trace(V))
    empty = np.zeros_like(design.linear)
    none = np.zeros(0, dtype=np.intp)
    state = MasterState(empty, empty, rows.start(), 1.0)
    return Restricted(problem, beta, design, state, base_value, none)


def free_values(design: Design, outer: Floats) -> tuple[Floats, Floats]:
    """The best V (d, d) and c (d,) for given outer weights (K, d)."""
    rows, free = design.rows, design.rows.free
    missing = rows.coefficients(rows.labels) - design.measured.free.T @ outer
    return free.values(free.fitted(missing) + rows.shift)


def restart(restricted: Restricted, beta: float) -> Restricted:
    """The same columns and weights under another penalty; multipliers are cut to their new bound."""
    state = restricted.state
    if not restricted.problem.case.log_concave:
        state = replace(state, dual=cut(state.dual, 0.99 * beta))
    return replace(restricted, beta=beta, state=state)


def add_columns(restricted: Restricted, new: Columns, mu: float) -> None:
    """Join new columns at weight zero (or just inside their sign constraint)."""
    state, more = restricted.state, restricted.problem.rows.measure(new)
    restricted.design = design = restricted.design.add(more)
    gradient = design.gradient(state.residual, more)
    weights, dual = restricted.penalty.start(gradient, mu)
    joined = np.concatenate([np.zeros_like(state.weights), weights])
    restricted.state = MasterState(
        np.concatenate([state.weights, weights]),
        np.concatenate([state.dual, dual]),
        design.move(state.residual, joined) if weights.any() else state.residual,
        mu,
        state.n_steps,
    )
    restricted.idle = np.concatenate([restricted.idle, np.zeros(len(new), dtype=np.intp)])


def drop_columns(restricted: Restricted, which: NDArray[np.bool_]) -> None:
    """Remove the marked columns; the residual is recomputed from what stays."""
    keep, state = ~which, restricted.state
    residual = restricted.design.move(state.residual, np.where(which[:, None], -state.weights, 0.0))
    restricted.design = restricted.design.keep(keep)
    restricted.state = replace(
        state, weights=state.weights[keep], dual=state.dual[keep], residual=residual
    )
    restricted.idle = restricted.idle[keep]
