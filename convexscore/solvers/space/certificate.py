"""The certificate of any network, recomputed from the data, the network and an oracle."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate, certificate_from_bounds
from convexscore.solvers.oracles.base import Oracle
from convexscore.solvers.space.dual import DualPoint, best_mixture
from convexscore.solvers.space.negative_skip import builds_skip, paying_terms, repaired
from convexscore.solvers.space.problem import Columns, NeuronProblem

Floats = NDArray[np.float64]


def free_values(problem: NeuronProblem, columns: Columns, outer: Floats) -> tuple[Floats, Floats]:
    """The best V (d, d) and c (d,) for given neurons."""
    free = problem.free
    values, _ = problem.features(columns)
    rest = problem.labels * problem.root_mass[:, None] - values @ outer
    constant, linear = free.coefficients(rest)
    c = constant / np.sqrt(problem.total_mass)
    if not free.n_axes:
        return np.zeros((problem.dim, problem.dim)), c
    linear = linear + free.divergence_shift(problem.divergence * problem.total_mass)
    return free.skip_matrix(linear), c


def residual_rows(problem: NeuronProblem, score: Floats) -> Floats:
    """Weighted residual rows of a score at the points z, c and V moved to their best."""
    free = problem.free
    rows = free.project((score - problem.labels) * problem.root_mass[:, None])
    if free.n_axes:
        rows = rows + free.axes @ free.divergence_shift(problem.divergence * problem.total_mass)
    return rows


def primal_value(problem: NeuronProblem, network: TwoLayerNetwork, beta: float) -> float:
    """Objective of the network in units of z, by its own outputs at the data."""
    x = problem.centre + problem.scale * problem.points
    rows = network(x) * problem.scale - problem.labels
    value = 0.5 * float(problem.mass @ np.einsum("nd,nd->n", rows, rows))
    if problem.divergence:
        value += problem.divergence * float(problem.mass @ network.divergence(x)) * problem.scale**2
    return value + beta * network.path_norm() * problem.scale**2


def certificate_of(
    problem: NeuronProblem,
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
    x = problem.centre + problem.scale * problem.points
    rows = residual_rows(problem, network(x) * problem.scale)
    target = problem.labels * problem.root_mass[:, None]
    if not problem.divergence:
        inner = DualPoint(np.zeros_like(rows), 0.0)
    columns, _, _, _ = problem.columns_of(network)
    priced = oracle.price(
        rows * problem.root_mass[:, None],
        n_best=1,
        current=(columns.u, columns.b),
        effort=effort,
    )
    largest = priced.largest
    feasible = repaired(problem, rows)
    if feasible is not rows:
        again = feasible * problem.root_mass[:, None]
        largest = oracle.price(
            again, n_best=1, current=(columns.u, columns.b), effort=effort
        ).largest
    primal = primal_value(problem, network, beta)
    mixture = best_mixture(DualPoint(feasible, largest), inner, beta, target)
    dual = -np.inf if mixture is None else mixture
    if priced.exact or reference <= primal:  # bounds from a local search may be too high
        dual = max(reference, dual)
    violation = priced.largest / beta - 1.0
    if builds_skip(problem):
        violation = max(violation, paying_terms(problem, rows)[1] / beta)
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
