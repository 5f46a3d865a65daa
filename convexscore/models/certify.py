"""How far any two-layer network is from the global optimum."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.validation import check_choice, check_column, check_positive, check_weights
from convexscore.models.space_certify import certify_points
from convexscore.objectives.objective import ScoreObjective, score_matching
from convexscore.objectives.options import OBJECTIVES, ProblemOptions
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.line.cases import LineCase
from convexscore.solvers.line.cases import boundedness_limit as problem_limit
from convexscore.solvers.line.problem import LineProblem, prepare
from convexscore.solvers.line.solve import certificate_of, check_bounded, solve
from convexscore.solvers.space.problem import NeuronCase

REFERENCES = ("solve", "residual")
# Local searches of a certificate: four times those of a fit.
CERTIFY_STARTS = 256


def certify(
    network: TwoLayerNetwork,
    x: ArrayLike,
    *,
    beta: float,
    objective: str = "score_matching",
    labels: ArrayLike | None = None,
    skip: bool | None = None,
    sample_weight: ArrayLike | None = None,
    reference: str = "solve",
    conservative: bool = False,
    n_starts: int = CERTIFY_STARTS,
    tol: float = 1e-4,
    random_state: RandomState = 0,
) -> Certificate:
    r"""Gap of any two-layer network to the global optimum of its training problem.

    The network may come from anywhere: a convex solver, SGD, a file.  Its objective is evaluated
    on the data and compared with a dual feasible value D, below which no network of any width can
    go.  ``max_violation`` is the largest :math:`\|G\|/\beta - 1` over all neurons at the network's
    residual, after c and V have been set to their best.

    Parameters
    ----------
    network : TwoLayerNetwork
        Weights of any scale (the penalty is :math:`\beta\sum_j \|u_j\|\|w_j\|`).
    x : array_like of shape (n,), (n, 1) or (n, d)
        The points; for denoising the *noisy* points (``fit.noisy_points_``).
    beta : float
        Penalty, sums over samples.
    objective : {"score_matching", "denoising"}
    labels : array_like of the shape of x
        Denoising only: the noise labels (``fit.noise_labels_``).
    skip : bool, optional
        Whether the problem has a skip connection; default: whether the network has one.
    sample_weight : array_like of shape (n,), optional
    reference : {"solve", "residual"}
        Where the dual value comes from: "solve" computes the optimum, so the gap is the true
        distance to it; "residual" uses the network alone, tight only near the optimum.
    conservative : bool
        Several columns: compare with ridge potentials (w_j = y_j u_j, V symmetric) only.
    n_starts : int
        Several columns, where not all neurons can be looked at (``exact`` is False): local searches for
        a violated neuron.  More look harder; a fit uses 64.
    tol : float
        Several columns: relative gap that counts as optimal.
    random_state : None, int, Generator or RandomState
        Starts of the local searches.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        If shapes do not fit, or ``beta`` is below the boundedness limit (UnboundedObjectiveError).

    Notes
    -----
    O(n log n) time and O(n) memory for the certificate alone.  Dual: ZP24, theory of the univariate
    programs; a violation is repaired by scaling (denoising) or mixing with an interior point.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import TwoLayerNetwork, certify, gaussian_regime
    >>> x = np.array([-1.5, -0.5, 0.25, 0.75, 1.0])
    >>> best = gaussian_regime(x).network(4.0)
    >>> certify(best, x, beta=4.0).optimal
    True
    >>> lazy = TwoLayerNetwork([1.0], [0.5], [0.0], offset=0.0)
    >>> certify(lazy, x, beta=4.0).optimal
    False
    """
    started = perf_counter()
    check_choice(reference, REFERENCES, name="reference")
    if isinstance(network, TwoLayerNetwork) and network.dim > 1:
        with_skip = _check_request(network, objective, beta, labels, skip)
        check_choice(conservative, (True, False), name="conservative")
        return certify_points(
            network,
            x,
            beta=float(beta),
            objective=objective,
            labels=labels,
            case=NeuronCase(network.activation, with_skip, conservative),
            sample_weight=sample_weight,
            reference=reference,
            n_starts=n_starts,
            tol=check_positive(tol, name="tol"),
            rng=check_random_state(random_state),
        )
    problem, case = training_problem(
        network,
        x,
        beta=beta,
        objective=objective,
        labels=labels,
        skip=skip,
        sample_weight=sample_weight,
    )
    # the network's own output: its kinks may lie where a piecewise form keeps no digits
    score = np.asarray(network(problem.values))
    dual = None
    if reference == "solve":
        dual = solve(problem, case, beta).certificate.dual_objective
    return certificate_of(problem, case, beta, network, score, reference_dual=dual, started=started)


def training_problem(
    network: TwoLayerNetwork,
    x: ArrayLike,
    *,
    beta: float,
    objective: str,
    labels: ArrayLike | None,
    skip: bool | None,
    sample_weight: ArrayLike | None,
    constraint: str | None = None,
) -> tuple[LineProblem, LineCase]:
    """The problem that a network is an answer to, with every argument checked."""
    if not isinstance(network, TwoLayerNetwork) or network.dim != 1:
        raise ValueError(
            f"network must be a TwoLayerNetwork (here of one dimension); got {network!r}. Pass "
            "fit.network_, or build one with TwoLayerNetwork(u, w, b, skip=..., offset=...)."
        )
    with_skip = _check_request(network, objective, beta, labels, skip)
    problem = prepare(_objective(x, objective, labels, sample_weight))
    case = LineCase(network.activation, with_skip, constraint)
    check_bounded(problem, case, beta)
    return problem, case


def _check_request(
    network: TwoLayerNetwork,
    objective: str,
    beta: float,
    labels: ArrayLike | None,
    skip: bool | None,
) -> bool:
    """What one and several columns have in common; returns whether the problem has a skip connection."""
    check_choice(objective, OBJECTIVES, name="objective")
    check_positive(beta, name="beta")
    if objective == "score_matching" and labels is not None:
        raise ValueError("labels belong to objective='denoising'; score matching has none.")
    if objective == "denoising" and labels is None:
        raise ValueError(
            "labels must be given with objective='denoising': pass x=fit.noisy_points_ and "
            "labels=fit.noise_labels_, or your own noisy points and -delta/noise."
        )
    with_skip: bool = network.skip is not None if skip is None else skip
    check_choice(with_skip, (True, False), name="skip")
    if not with_skip and network.skip is not None and network.skip.any():
        raise ValueError("skip=False but the network has a skip connection; pass skip=True.")
    return with_skip


def _objective(
    x: ArrayLike, objective: str, labels: ArrayLike | None, sample_weight: ArrayLike | None
) -> ScoreObjective:
    """The training objective of given points, for denoising with given labels."""
    if objective == "score_matching":
        return score_matching(check_column(x), sample_weight=sample_weight)
    points = check_column(x)
    target = np.asarray(labels, dtype=np.float64).reshape(-1)
    if target.shape != points.shape or not np.isfinite(target).all():
        raise ValueError(
            f"labels must be finite with one value per point ({points.size}); got {target.size}."
        )
    weights = check_weights(sample_weight, points.size)
    if weights is not None:
        keep = weights > 0
        points, target, weights = points[keep], target[keep], weights[keep]
    return ScoreObjective(points[:, None], target[:, None], 0.0, weights)


def boundedness_limit(
    x: ArrayLike,
    *,
    activation: str = "relu",
    skip: bool = True,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Smallest beta for which univariate score matching is bounded below.

    With :math:`m_{end}` the larger multiplicity (sample weight) of the two extreme values and
    :math:`m_{int}` the largest strictly inside: ReLU :math:`\max(m_{end}, m_{int}/2)`; abs without
    skip :math:`\max(m_{end}, m_{int})`; abs with skip :math:`\max(2 m_{end}, m_{int})`.

    Examples
    --------
    >>> from convexscore import boundedness_limit
    >>> boundedness_limit([0.0, 1.0, 1.0, 1.0, 2.0]), boundedness_limit([0.0, 1.0, 2.0], activation="abs")
    (1.5, 2.0)
    """
    options = ProblemOptions(activation=activation, skip=skip)
    problem = prepare(options.build(x, sample_weight, None))
    return problem_limit(problem.data, activation, options.case.skip)
