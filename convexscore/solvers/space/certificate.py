"""The certificate of any network, recomputed from the data, the network and an oracle."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate, certificate_from_bounds
from convexscore.solvers.oracles.base import Oracle
from convexscore.solvers.space.dual import ZERO, DualPoint, best_mixture
from convexscore.solvers.space.pricing import look_at
from convexscore.solvers.space.problem import SpaceProblem


def certificate_of(
    problem: SpaceProblem,
    beta: float,
    network: TwoLayerNetwork,
    oracle: Oracle,
    *,
    inner: DualPoint | None = None,
    reference: float = -np.inf,
    tol: float = 1e-4,
    effort: int = 1,
    n_iter: int = 0,
    started: float | None = None,
) -> Certificate:
    """Certificate of a network; ``inner`` is a strictly feasible dual point, ``reference`` a known bound.

    ``reference`` and the values inside are in units of z; the certificate is in those of the data.
    """
    started = perf_counter() if started is None else started
    rows = problem.rows
    residual, loss, divergence = rows.judge(network, problem.centre, problem.scale)
    columns, _, _, _ = problem.columns_of(network)
    current = columns.u, columns.b
    look = look_at(rows, residual, beta, oracle, n_best=1, current=current, effort=effort)
    primal = loss + divergence + beta * network.path_norm() * problem.scale**2
    inner = inner if problem.rows.divergence else ZERO
    mixture = best_mixture(rows, look.point, inner, beta)
    dual = -np.inf if mixture is None else mixture
    if look.priced.exact or reference <= primal:  # bounds from a local search may be too high
        dual = max(reference, dual)
    return certificate_from_bounds(
        primal,
        dual,
        unit=problem.objective_unit,
        natural=problem.natural_value,
        violation=look.excess,
        exact=look.priced.exact,
        n_tried=look.priced.n_tried,
        tol=tol,
        n_neurons=network.n_neurons,
        n_iter=n_iter,
        started=started,
        beta=beta,
    )
