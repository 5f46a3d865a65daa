"""Column generation over neurons: price all of them, add the violators, re-optimise, repeat.

The loop knows nothing of geometry: an oracle answers which neurons violate optimality most, and whether
that answer is exact; the master re-optimises the group lasso of the chosen ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.design import Design
from convexscore.solvers.group_lasso import MasterState, minimise
from convexscore.solvers.negative_skip import paying_terms, repaired
from convexscore.solvers.neuron_dual import DualPoint, best_mixture
from convexscore.solvers.neuron_problem import Columns, NeuronProblem
from convexscore.solvers.oracle_result import Oracle, Priced
from convexscore.solvers.penalties import NormPenalty, Penalty, SignedPenalty

Floats = NDArray[np.float64]

# Most violators looked at in a round.
_N_BEST = 400
# Candidates whose features (and gradients) correlate more than this are alike.
_ALIKE = 0.9
# Columns leave when their multiplier stays below this fraction of its bound for so many rounds; only once
# the largest violation says that the multipliers mean something.
_WELL_INSIDE = 0.9
_IDLE_ROUNDS = 2
_SETTLED = 0.5
# The master is solved to this fraction of the gap that the last pricing left, or of the objective while
# the gap is still meaningless.
_MASTER_SHARE = 0.05
_COARSE = 0.1
# Objectives below this times the natural one (that of a Gaussian) mean that there is no minimum.
_UNBOUNDED = 1e7
# Smoothing below this share of the objective is rounding.
_FINEST = 1e-18


@dataclass(eq=False)
class Restricted:
    """The problem on the chosen columns, its solution, and what is known of the full problem."""

    problem: NeuronProblem
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
        quadratic = 0.5 * float(np.vdot(s.residual, s.residual))
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
        return min(gap if np.isfinite(gap) else max(excess, 0.0) * cost + 1e-12 * coarse, coarse)


def _penalty(problem: NeuronProblem, columns: Columns, beta: float) -> Penalty:
    if problem.case.log_concave:
        return SignedPenalty(np.where(columns.linear, 0.0, beta), beta)
    return NormPenalty(beta)


def start(problem: NeuronProblem, beta: float) -> Restricted:
    """No neurons: c and V alone."""
    free = problem.free
    target = problem.labels * problem.root_mass[:, None]
    _, linear = free.coefficients(target)
    shift = free.divergence_shift(problem.divergence * problem.total_mass)
    residual = -free.project(target) + free.axes @ shift
    trace = float(np.trace(free.skip_matrix(linear + shift))) if free.n_axes else 0.0
    base_value = problem.divergence * problem.total_mass * trace
    design = Design.empty(problem)
    empty = np.zeros((0, design.width))
    state = MasterState(empty, empty.copy(), residual, 1.0)
    return Restricted(problem, beta, design, state, base_value, np.zeros(0, dtype=np.intp))


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
    gradient = design.adjoint(state.residual)[old:] + design.linear[old:]
    penalty = _penalty(restricted.problem, design.columns, restricted.beta)
    weights, dual = penalty.start(gradient, mu)
    restricted.design = design
    all_weights = np.concatenate([state.weights, weights])
    residual = state.residual
    if weights.any():
        residual = residual + design.apply(np.concatenate([np.zeros_like(state.weights), weights]))
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
    residual = state.residual - restricted.design.apply(gone)
    restricted.design = restricted.design.keep(keep)
    restricted.state = MasterState(
        state.weights[keep], state.dual[keep], residual, state.mu, state.n_steps
    )
    restricted.idle = restricted.idle[keep]


@dataclass(frozen=True)
class Round:
    """One line of the log: what was known before a round added its columns."""

    beta: float
    value: float
    dual: float
    largest: float
    n_columns: int
    n_active: int
    n_steps: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Outcome:
    """How column generation at one beta ended.

    Attributes
    ----------
    reached : whether the gap or the violation asked for was reached.
    bounded : False if the restricted objective fell below every plausible value.
    dual_value, dual : best lower bound and the residual it comes from (-inf, None if there is none).
    largest : largest measure over all neurons (``exact``) or those tried, at the last residual.
    """

    reached: bool
    bounded: bool
    dual_value: float
    dual: DualPoint | None
    residual: DualPoint
    exact: bool
    n_tried: int


@dataclass(frozen=True, eq=False)
class _Look:
    """What one pricing found."""

    priced: Priced
    terms: Columns
    point: DualPoint
    value: float
    excess: float


def _look(restricted: Restricted, oracle: Oracle, effort: int) -> _Look:
    """Price all neurons at the current residual."""
    problem, beta, residual = restricted.problem, restricted.beta, restricted.state.residual
    weighted = residual * problem.root_mass[:, None]
    priced = oracle.price(
        weighted, n_best=_N_BEST, floor=beta, current=restricted.current(), effort=effort
    )
    terms, worst = paying_terms(problem, residual)
    feasible, largest = repaired(problem, residual), priced.largest
    if feasible is not residual:
        again = feasible * problem.root_mass[:, None]
        largest = oracle.price(again, n_best=1, current=restricted.current(), effort=effort).largest
    excess = priced.largest / beta - 1.0
    if len(terms):
        excess = max(excess, worst / beta)
    return _Look(priced, terms, DualPoint(feasible, largest), restricted.value(), excess)


def improve(
    restricted: Restricted,
    oracle: Oracle,
    *,
    tol: float,
    violation: float = -np.inf,
    inner: DualPoint | None = None,
    effort: int = 0,
    max_rounds: int = 200,
    on_round: Callable[[Round], None] | None = None,
) -> Outcome:
    """Column generation at one beta until the relative gap is ``tol`` or the violation ``violation``.

    Each round prices all neurons, adds the violators that differ from one another, and solves the
    restricted problem to a fraction of the gap.  A search that is not exact looks briefly while
    violations are large, and with more effort, up to ``effort``, whenever it would stop.
    """
    problem, beta = restricted.problem, restricted.beta
    target = problem.labels * problem.root_mass[:, None]
    floor = -_UNBOUNDED * problem.total_mass * problem.dim
    if not problem.divergence:
        inner = DualPoint(np.zeros_like(target), 0.0)
    started = perf_counter()
    best_value, best, level = -np.inf, None, 0
    for n_round in range(max_rounds + 1):
        look = _look(restricted, oracle, level)
        priced, value = look.priced, look.value
        mixture = best_mixture(look.point, inner, beta, target) if priced.complete else None
        # a bound from a search that is not exact may be too high: then only the latest counts
        if mixture is not None and (mixture[0] > best_value or not priced.exact):
            best_value, best = mixture[0], DualPoint(mixture[1], min(look.point.largest, beta))
        active = restricted.active()
        if on_round is not None:
            on_round(
                Round(beta, value, best_value, look.point.largest, len(active), int(active.sum()),
                      restricted.state.n_steps, perf_counter() - started)
            )  # fmt: skip
        size = max(abs(value), problem.natural_value)
        gap = value - best_value
        reached = gap <= tol * size or (priced.complete and look.excess <= violation)
        if reached and not priced.exact and priced.complete and level < effort:
            level = max(1, min(effort, 4 * level))
            continue
        level = min(effort, int(look.excess < _SETTLED))
        bounded = value > floor
        stuck = not len(priced.b) + len(look.terms) and restricted.state.mu < _FINEST * size
        if reached or stuck or not bounded or n_round == max_rounds:
            break
        if priced.complete and look.excess < _SETTLED:
            _drop_idle(restricted, active)
        _reoptimise(restricted, look, restricted.scale(value, best_value, look.excess), tol * size)
    return Outcome(reached, bounded, best_value, best, look.point, priced.exact, priced.n_tried)


def _reoptimise(restricted: Restricted, look: _Look, scale: float, wanted: float) -> None:
    """Add what was found and solve the restricted problem to a fraction of what is missing."""
    problem = restricted.problem
    weighted = restricted.state.residual * problem.root_mass[:, None]
    found = Columns.neurons(look.priced.u, look.priced.b)
    new = _distinct(problem, found, weighted).join(look.terms)
    groups = max(10, len(restricted.design) + len(new))
    mu_end = _MASTER_SHARE * max(scale, wanted) / groups
    if not len(new):  # nothing pays: what is missing is accuracy of the master
        mu_end = min(mu_end, 0.1 * restricted.state.mu)
    add_columns(restricted, new, max(mu_end, min(scale / groups, 10.0 * restricted.state.mu)))
    floor = -_UNBOUNDED * problem.total_mass * problem.dim - restricted.base_value
    restricted.state = minimise(
        restricted.design, restricted.penalty, restricted.state, mu_end=mu_end, floor=floor
    )


def _drop_idle(restricted: Restricted, active: NDArray[np.bool_]) -> None:
    """Columns well inside their bound for some rounds leave the restricted problem."""
    size = np.sqrt(np.einsum("kg,kg->k", restricted.state.dual, restricted.state.dual))
    if restricted.problem.case.log_concave:
        idle = ~active & (size > (1.0 - _WELL_INSIDE) * restricted.beta)
    else:
        idle = ~active & (size < _WELL_INSIDE * restricted.beta)
    restricted.idle = np.where(idle, restricted.idle + 1, 0)
    stale = restricted.idle >= _IDLE_ROUNDS
    if stale.any():
        drop_columns(restricted, stale)


def _distinct(problem: NeuronProblem, new: Columns, weighted: Floats) -> Columns:
    """Of candidates with nearly the same features and gradient only the worst violator.

    Near copies cost a column each and add nothing; the next round finds what is still missing.
    """
    if len(new) < 2:
        return new
    values, _ = problem.features(new)
    values -= np.outer(problem.free.constant, problem.free.constant @ values)
    norms = np.sqrt(np.einsum("nk,nk->k", values, values))
    alike = (values.T @ values) / np.maximum(np.outer(norms, norms), np.finfo(float).tiny)
    if problem.case.conservative:
        alike *= new.u @ new.u.T
    else:
        gradient = problem.neurons.gradient(weighted, new.u, new.b)
        gradient /= np.sqrt(np.einsum("kd,kd->k", gradient, gradient))[:, None]
        alike *= gradient @ gradient.T
    kept: list[int] = []
    alive = np.ones(len(new), dtype=bool)
    for k in range(len(new)):
        if alive[k]:
            kept.append(k)
            alive &= alike[k] < _ALIKE
    return new.keep(np.array(kept))
