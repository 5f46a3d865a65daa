"""Column generation over neurons: price all of them, add the violators, re-optimise, repeat.

The loop knows nothing of geometry: an oracle answers which neurons violate optimality most, and whether
that answer is exact; the master re-optimises the group lasso of the chosen ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracles.base import Oracle, norms
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.dual import ZERO, DualPoint, best_mixture
from convexscore.solvers.space.pricing import Look, look_at
from convexscore.solvers.space.restricted import Restricted, add_columns, drop_columns
from convexscore.solvers.space.rows import correlations

# Most violators looked at in a round.
_N_BEST = 400
# Candidates whose features (and gradients) correlate more than this are alike.
_ALIKE = 0.9
# Columns leave when their multiplier stays below this fraction of its bound for so many rounds; only once
# the largest violation says that the multipliers mean something.
_WELL_INSIDE = 0.9
_IDLE_ROUNDS = 2
_SETTLED = 0.5
# The master is solved to this fraction of the gap that the last pricing left.
_MASTER_SHARE = 0.05
# Objectives below this times the natural one (that of a Gaussian) mean that there is no minimum.
_UNBOUNDED = 1e7
# Smoothing below this share of the objective is rounding.
_FINEST = 1e-18


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
    dual_value : best lower bound, -inf if there is none.
    residual : last residual (made feasible for V <= 0) and its largest measure over the neurons seen.
    """

    reached: bool
    bounded: bool
    dual_value: float
    residual: DualPoint


def improve(
    restricted: Restricted,
    oracle: Oracle,
    *,
    tol: float,
    violation: float = -np.inf,
    inner: DualPoint | None = None,
    effort: int = 0,
    max_rounds: int = 200,
    log: list[Round] | None = None,
) -> Outcome:
    """Column generation at one beta until the relative gap is ``tol`` or the violation ``violation``.

    Each round prices all neurons, adds the violators that differ from one another, and solves the
    restricted problem to a fraction of the gap.  A search that is not exact looks briefly while
    violations are large, and with more effort, up to ``effort``, whenever it would stop.
    """
    problem, beta = restricted.problem, restricted.beta
    floor = -_UNBOUNDED * problem.gaussian_value
    if not problem.rows.divergence:
        inner = ZERO
    started = perf_counter()
    best_value, level = -np.inf, 0
    for n_round in range(max_rounds + 1):
        look = look_at(
            problem.rows, restricted.state.residual, beta, oracle,
            n_best=_N_BEST, floor=beta, current=restricted.current(), effort=level,
        )  # fmt: skip
        priced, value = look.priced, restricted.value()
        mixture = best_mixture(problem.rows, look.point, inner, beta) if priced.complete else None
        # a bound from a search that is not exact may be too high: then only the latest counts
        if mixture is not None and (mixture > best_value or not priced.exact):
            best_value = mixture
        active = restricted.active()
        if log is not None:
            log.append(
                Round(beta, value, best_value, look.point.largest, len(active), int(active.sum()),
                      restricted.state.n_steps, perf_counter() - started)
            )  # fmt: skip
        size = max(abs(value), problem.natural_value)
        gap = value - best_value
        reached = gap <= tol * size or (priced.complete and look.excess <= violation)
        if reached and not priced.exact and priced.complete and level < effort:
            level = max(1, min(effort, 4 * level))
            continue
        # no closer look at neurons while V is still being built
        level = min(effort, int(look.excess < _SETTLED and not len(look.terms)))
        bounded = value > floor
        stuck = not len(priced.b) + len(look.terms) and restricted.state.mu < _FINEST * size
        if reached or stuck or not bounded or n_round == max_rounds:
            break
        if priced.complete and look.excess < _SETTLED:
            _drop_idle(restricted, active)
        _reoptimise(restricted, look, restricted.scale(value, best_value, look.excess), tol * size)
    return Outcome(reached, bounded, best_value, look.point)


def _reoptimise(restricted: Restricted, look: Look, scale: float, wanted: float) -> None:
    """Add what was found and solve the restricted problem to a fraction of what is missing."""
    found = Columns.neurons(look.priced.u, look.priced.b)
    new = _distinct(restricted, found).join(look.terms)
    groups = max(10, len(restricted.design) + len(new))
    mu_end = _MASTER_SHARE * max(scale, wanted) / groups
    if not len(new):  # nothing pays: what is missing is accuracy of the master
        mu_end = min(mu_end, 0.1 * restricted.state.mu)
    add_columns(restricted, new, max(mu_end, min(scale / groups, 10.0 * restricted.state.mu)))
    floor = -_UNBOUNDED * restricted.problem.gaussian_value - restricted.base_value
    restricted.minimise(mu_end, floor)


def _drop_idle(restricted: Restricted, active: NDArray[np.bool_]) -> None:
    """Columns well inside their bound for some rounds leave the restricted problem."""
    size = norms(restricted.state.dual)
    if restricted.problem.case.log_concave:
        idle = ~active & (size > (1.0 - _WELL_INSIDE) * restricted.beta)
    else:
        idle = ~active & (size < _WELL_INSIDE * restricted.beta)
    restricted.idle = np.where(idle, restricted.idle + 1, 0)
    stale = restricted.idle >= _IDLE_ROUNDS
    if stale.any():
        drop_columns(restricted, stale)


def _distinct(restricted: Restricted, new: Columns) -> Columns:
    """Of candidates with nearly the same features and gradient only the worst violator.

    Near copies cost a column each and add nothing; the next round finds what is still missing.
    """
    if len(new) < 2:
        return new
    rows = restricted.problem.rows
    measured = rows.measure(new)
    alike = correlations(rows, measured)
    if rows.case.conservative:
        alike *= new.u @ new.u.T
    else:
        gradient = rows.gradient(restricted.state.residual, measured)
        gradient /= norms(gradient)[:, None]
        alike *= gradient @ gradient.T
    kept: list[int] = []
    alive = np.ones(len(new), dtype=bool)
    for k in range(len(new)):
        if alive[k]:
            kept.append(k)
            alive &= alike[k] < _ALIKE
    return new.keep(np.array(kept))
