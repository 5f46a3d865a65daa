"""The certificate of any network, recomputed from the data, the network and an oracle."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate, certificate_from_bounds
from convexscore.solvers.oracles.base import Oracle, Priced, Residual
from convexscore.solvers.space.dual import ZERO, DualPoint, best_mixture
from convexscore.solvers.space.negative_skip import builds_skip, paying_terms, repaired
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

    def look(residual: Residual) -> Priced:
        return oracle.price(residual, n_best=1, current=(columns.u, columns.b), effort=effort)

    priced, feasible = look(residual), repaired(rows, residual)
    largest = priced.largest if feasible is residual else look(feasible).largest
    primal = loss + divergence + beta * network.path_norm() * problem.scale**2
    inner = inner if problem.rows.divergence else ZERO
    mixture = best_mixture(rows, DualPoint(feasible, largest), inner, beta)
    dual = -np.inf if mixture is None else mixture
    if priced.exact or reference <= primal:  # bounds from a local search may be too high
        dual = max(reference, dual)
    violation = priced.largest / beta - 1.0
    if builds_skip(rows):
        violation = max(violation, paying_terms(rows, residual)[1] / beta)
    return certificate_from_bounds(
        primal,
        dual,
        unit=problem.objective_unit,
        natural=problem.natural_value,
        violation=violation,
        exact=priced.exact,
        n_tried=priced.n_tried,
        tol=tol,
        n_neurons=network.n_neurons,
        n_iter=n_iter,
        started=started,
        beta=beta,
    )
