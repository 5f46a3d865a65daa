"""After the last round: drop idle columns and join neighbouring ones, without loss of objective."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.group_lasso import minimise
from convexscore.solvers.neuron_generation import Restricted, add_columns, copy_of, drop_columns
from convexscore.solvers.neuron_problem import Columns

Floats = NDArray[np.float64]

# Neurons are neighbours when features and outer weights correlate more than this.
_NEIGHBOURS = (0.9, 0.99, 0.999, 0.9999)
# Joining may cost this share of the tolerance.
_ALLOWED = 0.1


def tidy(restricted: Restricted, *, tol: float) -> None:
    """Prune, then join clusters of neighbours as long as the objective rises by less than a share of tol.

    Neurons with one activation pattern and parallel outer weights are one neuron, cheaper than their
    sum; column generation leaves such clusters where the best kink lies between two of its columns.
    """
    if not len(restricted.design):
        return
    drop_columns(restricted, ~restricted.active())
    _polish(restricted, tol)
    value = restricted.value()
    for alike in _NEIGHBOURS:
        trial = copy_of(restricted)
        if not _join(trial, alike):
            return
        _polish(trial, tol)
        drop_columns(trial, ~trial.active())
        if trial.value() <= value + _ALLOWED * tol:
            restricted.design, restricted.state = trial.design, trial.state
            restricted.idle = trial.idle
            return


def _polish(restricted: Restricted, tol: float) -> None:
    mu_end = 0.02 * _positive(tol) / max(10, len(restricted.design))
    restricted.state.mu = max(restricted.state.mu, mu_end)
    restricted.state = minimise(
        restricted.design, restricted.penalty, restricted.state, mu_end=mu_end
    )


def _positive(tol: float) -> float:
    return max(tol, 1e-300)


def _join(restricted: Restricted, alike: float) -> bool:
    """Replace every cluster of neighbours by one neuron; False if there is none."""
    design = restricted.design
    outer = design.outer_weights(restricted.state.weights)
    size = np.sqrt(np.einsum("kd,kd->k", outer, outer))
    values, _ = restricted.problem.features(design.columns)
    values -= values.mean(axis=0)
    norms = np.sqrt(np.einsum("nk,nk->k", values, values))
    scale = np.maximum(np.outer(norms, norms), np.finfo(float).tiny)
    near = (values.T @ values) / scale > alike
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
    drop_columns(restricted, joined)
    add_columns(restricted, Columns.neurons(np.array(u), np.array(b)), restricted.state.mu * 100.0)
    return True
