"""`certify` for networks of several columns."""

from __future__ import annotations

import warnings
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.exceptions import ConvergenceWarning
from convexscore._tools.threads import threads_for
from convexscore._tools.validation import check_count, check_points, check_weights
from convexscore.objectives.objective import ScoreObjective, score_matching
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.oracles.choice import make_oracle
from convexscore.solvers.space.certificate import certificate_of
from convexscore.solvers.space.problem import NeuronCase, NeuronProblem, prepare
from convexscore.solvers.space.solve import inner_point, solve

Floats = NDArray[np.float64]


def certify_points(
    network: TwoLayerNetwork,
    X: ArrayLike,
    *,
    beta: float,
    objective: str,
    labels: ArrayLike | None,
    case: NeuronCase,
    sample_weight: ArrayLike | None,
    reference: str,
    n_starts: int,
    tol: float,
    rng: np.random.Generator,
) -> Certificate:
    """Certificate of any network of several columns; arguments as in `certify`, checked there."""
    with threads_for(np.size(X)):
        return _certify(
            network, X, beta, objective, labels, case, sample_weight, reference, n_starts, tol, rng
        )


def _certify(
    network: TwoLayerNetwork,
    X: ArrayLike,
    beta: float,
    objective: str,
    labels: ArrayLike | None,
    case: NeuronCase,
    sample_weight: ArrayLike | None,
    reference: str,
    n_starts: int,
    tol: float,
    rng: np.random.Generator,
) -> Certificate:
    started = perf_counter()
    problem = points_problem(network, X, objective, labels, sample_weight, case)
    check_count(n_starts, name="n_starts")
    oracle = make_oracle(problem, n_starts=n_starts, random_state=rng)
    dual, inner = -np.inf, None
    if reference == "solve":
        with warnings.catch_warnings():
            # what matters of the reference is its lower bound, which the certificate shows
            warnings.simplefilter("ignore", ConvergenceWarning)
            own = problem.columns_of(network)[0]
            fit = solve(problem, beta, oracle, tol=0.3 * tol, extra=own)
        dual, inner = fit.certificate.dual_objective / problem.objective_unit, fit.inner
    elif problem.divergence:
        inner = inner_point(problem, beta, oracle)
    return certificate_of(
        problem, beta, network, oracle, inner=inner, reference=dual, tol=tol, started=started
    )


def points_problem(
    network: TwoLayerNetwork,
    X: ArrayLike,
    objective: str,
    labels: ArrayLike | None,
    sample_weight: ArrayLike | None,
    case: NeuronCase,
) -> NeuronProblem:
    """The standardised training problem that a network of several columns is an answer to."""
    points = check_points(X)
    if points.shape[1] != network.dim:
        raise ValueError(
            f"X must have {network.dim} columns, like the network; got shape {points.shape}."
        )
    if case.conservative and not network.is_conservative():
        raise ValueError(
            "conservative=True but the network is not conservative: every w_j must be parallel to u_j "
            "and V symmetric. Use conservative=False."
        )
    if objective == "score_matching":
        return prepare(score_matching(points, sample_weight=sample_weight), case)
    target = np.asarray(labels, dtype=np.float64)
    if target.shape != points.shape or not np.isfinite(target).all():
        raise ValueError(
            f"labels must be finite with the shape of X, {points.shape}; got {target.shape}."
        )
    weights = check_weights(sample_weight, len(points))
    if weights is not None:
        keep = weights > 0
        points, target, weights = points[keep], target[keep], weights[keep]
    return prepare(ScoreObjective(points, target, 0.0, weights), case)
