"""One look at a residual: which neurons and terms of V pay, and what dual point it gives."""

from __future__ import annotations

from dataclasses import dataclass

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.base import Oracle, Priced, Residual
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.dual import DualPoint
from convexscore.solvers.space.negative_skip import builds_skip, paying_terms, repaired
from convexscore.solvers.space.rows import Rows


@dataclass(frozen=True, eq=False)
class Look:
    """What one pricing found.

    Attributes
    ----------
    priced : the neurons that pay.
    terms : the terms of V that pay (log-concave fits).
    point : the residual, made feasible for V <= 0, and its largest measure over the neurons seen.
    excess : largest violation, relative to beta.
    """

    priced: Priced
    terms: Columns
    point: DualPoint
    excess: float


def look_at(
    rows: Rows,
    residual: Residual,
    beta: float,
    oracle: Oracle,
    *,
    n_best: int,
    current: tuple[Floats, Floats],
    effort: int,
    floor: float = 0.0,
) -> Look:
    """Price all neurons and terms at a residual."""
    priced = oracle.price(residual, n_best=n_best, floor=floor, current=current, effort=effort)
    terms, worst = paying_terms(rows, residual)
    feasible, largest = repaired(rows, residual), priced.largest
    if feasible is not residual:
        largest = oracle.price(feasible, n_best=1, current=current, effort=effort).largest
    excess = priced.largest / beta - 1.0
    if builds_skip(rows):
        excess = max(excess, worst / beta)
    return Look(priced, terms, DualPoint(feasible, largest), excess)
