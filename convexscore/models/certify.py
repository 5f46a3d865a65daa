"""How far any two-layer network is from the global optimum, and how small a penalty may be."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.threads import threads_for
from convexscore._tools.validation import (
    check_choice,
    check_points,
    check_positive,
    check_weights,
)
from convexscore.objectives import ScoreObjective, score_matching
from convexscore.objectives.options import (
    OBJECTIVES,
    Case,
    GivenProblem,
    check_effort,
    make_case,
    refuse_without_effect,
)
from convexscore.scores import Activation, TwoLayerNetwork
from convexscore.solvers import Certificate, training_problem
from convexscore.solvers.training_problem import refuse_idle_starts

# Local searches of a certificate: four times those of a fit.
_N_STARTS = 256


def certify(
    network: TwoLayerNetwork,
    X: ArrayLike,
    *,
    beta: float,
    reference: str = "solve",
    tol: float | None = None,
    n_starts: int | None = None,
    random_state: RandomState = 0,
    **given: Unpack[GivenProblem],
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
    X : array_like of shape (n,), (n, 1) or (n, d)
        The points; for denoising the *noisy* points (``fit.noisy_points_``).
    beta : float
        Penalty, sums over samples.
    objective : {"score_matching", "denoising"}
    labels : array_like of the shape of X
        Denoising only: what the score should be at the points (``fit.noise_labels_``).
    skip : bool, optional
        Whether the problem has a skip connection; default: whether the network has one.
    constraint : {None, "gradient"}
        "gradient": several columns are compared with ridge potentials (w_j = y_j u_j, V symmetric) only.
    sample_weight : array_like of shape (n,), optional
    reference : {"solve", "residual"}
        Where the dual value comes from: "solve" computes the optimum, so the gap is the true
        distance to it; "residual" uses the network alone, tight only near the optimum.
    tol : float, optional
        Relative gap that counts as optimal; default 1e-8 for one column, 1e-4 for several.
    n_starts : int, optional
        Only where not all neurons can be looked at (``exact`` is False): local searches for a violated
        neuron, default 256.  More look harder; a fit uses 64.
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
    One column: O(n log n) time and O(n) memory for the certificate alone.  Dual: ZP24, theory of the
    univariate programs; a violation is repaired by scaling (denoising) or mixing with an interior
    point.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import TwoLayerNetwork, certify
    >>> from convexscore.models import gaussian_regime
    >>> x = np.array([-1.5, -0.5, 0.25, 0.75, 1.0])
    >>> best = gaussian_regime(x).network(4.0)
    >>> certify(best, x, beta=4.0).optimal
    True
    >>> lazy = TwoLayerNetwork([1.0], [0.5], [0.0], offset=0.0)
    >>> certify(lazy, x, beta=4.0).optimal
    False
    """
    check_choice(reference, ("solve", "residual"), name="reference")
    check_choice(given.get("constraint"), (None, "gradient"), name="constraint")
    check_positive(beta, name="beta")
    check_effort(tol, n_starts)
    objective, case = network_problem(network, X, **given)
    rng, starts = check_random_state(random_state), n_starts or _N_STARTS
    with threads_for(objective.points.size):
        problem = training_problem(objective, case, n_starts=starts, rng=rng)
        refuse_idle_starts(n_starts, problem, rough=False)
        problem.check_beta(float(beta))
        return problem.certify(network, float(beta), tol=tol, reference=reference)


def network_problem(
    network: TwoLayerNetwork,
    X: ArrayLike,
    *,
    objective: str = "score_matching",
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    skip: bool | None = None,
    constraint: str | None = None,
) -> tuple[ScoreObjective, Case]:
    """The objective and the case that a network is an answer to, with every argument checked."""
    if not isinstance(network, TwoLayerNetwork):
        raise ValueError(
            f"network must be a TwoLayerNetwork; got {network!r}. Pass fit.network_, or build one with "
            "TwoLayerNetwork(u, w, b, skip=..., offset=...)."
        )
    skip = network.skip is not None if skip is None else skip
    case = make_case(network.activation, skip, constraint)
    if not case.skip and network.skip is not None and network.skip.any():
        raise ValueError("skip=False but the network has a skip connection; pass skip=True.")
    check_choice(objective, OBJECTIVES, name="objective")
    if objective == "score_matching":
        refuse_without_effect(
            "labels", labels, "objective='score_matching'", "objective='denoising'"
        )
        made = score_matching(X, sample_weight=sample_weight)
    else:
        made = _labelled(X, labels, sample_weight)
    if made.dim != network.dim:
        raise ValueError(
            f"X must have {network.dim} columns, like the network; got {made.dim}. Pass the points that "
            "the network was fitted to."
        )
    if constraint is not None and network.dim > 1 and not network.is_conservative():
        raise ValueError(
            f"constraint={constraint!r} but the network is no gradient: every w_j must be parallel to "
            "u_j and V symmetric. Use constraint=None."
        )
    return made, case


def _labelled(
    X: ArrayLike, labels: ArrayLike | None, sample_weight: ArrayLike | None
) -> ScoreObjective:
    """The denoising objective of given noisy points and labels."""
    if labels is None:
        raise ValueError(
            "labels must be given with objective='denoising': pass X=fit.noisy_points_ and "
            "labels=fit.noise_labels_, or your own noisy points and -delta/noise."
        )
    points = check_points(X)
    target = np.asarray(labels, dtype=np.float64)
    if target.size != points.size or not np.isfinite(target).all():
        raise ValueError(
            f"labels must be finite with the shape of X, {points.shape}; got {target.shape}."
        )
    target = target.reshape(points.shape)
    weights = check_weights(sample_weight, len(points))
    if weights is not None:
        keep = weights > 0
        points, target, weights = points[keep], target[keep], weights[keep]
    return ScoreObjective(points, target, 0.0, weights)


def smallest_beta(
    X: ArrayLike,
    *,
    activation: str | Activation = "relu",
    skip: bool = True,
    constraint: str | None = None,
    sample_weight: ArrayLike | None = None,
    tol: float | None = None,
    random_state: RandomState = 0,
) -> float:
    r"""The penalty above which score matching is bounded below and has a minimiser.

    .. math:: \beta_0 = \min_r \sup_{\|u\| = 1, b}\Big\|\sum_i m_i r_i\,\sigma(u^\top x_i + b)
              + \sum_i m_i\,\sigma'(u^\top x_i + b)\,u\Big\|,\quad \sum_i m_i r_i = 0,

    with skip also :math:`\sum_i m_i r_i x_i^\top = -M I`, M the total weight (its symmetric part for
    ``constraint="gradient"``, whose measure is :math:`|u^\top G|`).  It does not depend on the unit of
    the data.  Repeated points raise it.

    One column, with :math:`m_{end}` the larger multiplicity (sample weight) of the two extreme values,
    :math:`m_{int}` the largest strictly inside and :math:`\sigma(z) = a z + b|z|`:
    :math:`b\max(2 m_{end}, m_{int})` with skip or for :math:`a \ge b`, otherwise
    :math:`\max(m_{end}, b m_{int}, 2 a m_{end} + (b - a) m_{int})`.  ReLU:
    :math:`\max(m_{end}, m_{int}/2)`; abs without skip :math:`\max(m_{end}, m_{int})`; abs with skip
    :math:`\max(2 m_{end}, m_{int})`.  For ReLU and d >= 2 the points of a facet of the convex hull
    alone give beta_0 >= d.

    Parameters
    ----------
    X : array_like of shape (n,) or (n, d)
    activation : {"relu", "abs", "leaky_relu"}, "leaky_relu(slope)" or Activation
    skip : bool, default=True
    constraint : {None, "gradient"}
    sample_weight : array_like of shape (n,), optional
    tol : float, optional
        Several columns only: relative accuracy, default 1e-3; the value is at most this much above the
        limit.
    random_state : None, int, Generator or RandomState
        Of the local search, used in more than three dimensions (and three if n is large).

    Returns
    -------
    float
        ``inf`` with skip if the points lie in a hyperplane (V can then lower the divergence at no
        cost); the total weight without skip.  Where neurons are found by a local search the value is
        an estimate that may be too small.

    Raises
    ------
    ValueError
        If the data are not finite or, with several columns, n d is above 4000.

    Warns
    -----
    ConvergenceWarning
        If the bounds did not meet to ``tol``.

    Notes
    -----
    One column: closed form, O(n log n).  Several: per round one call of the oracle, O(n^2) in the plane,
    and about 30 Newton steps of O(K n^2 d^2 + (n d)^3) for K columns; 10 rounds and a second or two
    at n = 100, d = 2.  Duality: Zhang and Pilanci (arXiv 2402.01965), the multivariate score-matching
    program.

    Examples
    --------
    >>> from convexscore import smallest_beta
    >>> smallest_beta([0.0, 1.0, 1.0, 1.0, 2.0]), smallest_beta([0.0, 1.0, 2.0], activation="abs")
    (1.5, 2.0)
    >>> square = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    >>> round(smallest_beta(square, tol=1e-6), 4)
    2.0
    >>> smallest_beta([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], skip=False)  # on one line
    3.0
    """
    check_choice(constraint, (None, "gradient"), name="constraint")
    if tol is not None:
        check_positive(tol, name="tol", hint="The default is 1e-3.")
    objective = score_matching(X, sample_weight=sample_weight)
    if objective.dim == 1:
        refuse_without_effect("tol", tol, "one column, whose limit is exact", "several columns")
    case, rng = make_case(activation, skip, constraint), check_random_state(random_state)
    problem = training_problem(objective, case, rng=rng)
    with threads_for(objective.points.size):
        return problem.smallest_beta(tol=1e-3 if tol is None else tol)
