"""After the last round: drop idle columns and join neighbouring ones, at no cost that counts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from convexscore.solvers.oracles.base import norms
from convexscore.solvers.space.columns import Columns
from convexscore.solvers.space.restricted import Restricted, add_columns, drop_columns
from convexscore.solvers.space.rows import correlations

# Neurons are neighbours when features and outer weights correlate more than this.
_NEIGHBOURS = (0.99, 0.999, 0.9999)
# Pruning may remove neurons whose cost is this share of the tolerance; polishing regains most of it.
_PRUNED = 0.2
# What tidying may cost after polishing, as a share of the tolerance.
_ALLOWED = 0.05
_POLISH = 0.01


def tidy(restricted: Restricted, *, tol: float) -> Restricted:
    """A copy with fewer neurons whose objective is higher by a small share of ``tol`` at most.

    The central path leaves a trace of weight on every column; and neurons with one activation pattern
    and parallel outer weights are one neuron, cheaper than their sum, which column generation leaves
    where the best kink lies between two of its columns.
    """
    out = replace(restricted)
    if not len(out.design):
        return out
    value = min(restricted.value(), _polished(out, tol))
    drop_columns(out, ~out.active())
    joins = [partial(_join, alike=alike) for alike in _NEIGHBOURS]
    for change in (partial(_prune, tol=tol), *joins, partial(_prune, tol=tol)):
        trial = replace(out)
        if change(trial) and _polished(trial, tol) <= value + _ALLOWED * tol:
            out = trial
    return out


def _polished(restricted: Restricted, tol: float) -> float:
    """Objective after centring the weights much closer to the optimum than ``tol``."""
    mu_end = _POLISH * max(tol, 1e-300) / max(10, len(restricted.design))
    restricted.state = replace(restricted.state, mu=max(restricted.state.mu, mu_end))
    restricted.minimise(mu_end)
    return restricted.value()


def _prune(restricted: Restricted, *, tol: float) -> bool:
    """Drop the smallest neurons as long as their cost adds up to a share of ``tol``."""
    cost = restricted.beta * norms(restricted.state.weights)
    cost[restricted.design.columns.linear] = np.inf
    order = np.argsort(cost)
    small = np.zeros(len(cost), dtype=bool)
    small[order] = np.cumsum(cost[order]) <= _PRUNED * tol
    if not small.any():
        return False
    drop_columns(restricted, small)
    return True


def _join(restricted: Restricted, *, alike: float) -> bool:
    """Replace every cluster of neighbours by one neuron; False if there is none."""
    design = restricted.design
    outer = design.outer_weights(restricted.state.weights)
    size = norms(outer)
    near = correlations(design.rows, design.measured) > alike
    near &= outer @ outer.T > alike * np.outer(size, size)
    near &= ~design.columns.linear & ~design.columns.linear[:, None]
    taken = design.columns.linear.copy()
    joined = np.zeros(len(design), dtype=bool)
    u, b = [], []
    for k in np.argsort(-size):
        if taken[k]:
            continue
        members = near[k] & ~taken
        members[k] = True
        taken |= members
        if members.sum() > 1:
            total_u = size[members] @ design.columns.u[members]
            length = float(np.sqrt(total_u @ total_u))
            u.append(total_u / length)
            b.append(float(size[members] @ design.columns.b[members]) / length)
            joined |= members
    if not u:
        return False
    mu = 100.0 * restricted.state.mu
    drop_columns(restricted, joined)
    add_columns(restricted, Columns.neurons(np.array(u), np.array(b)), mu)
    return True
