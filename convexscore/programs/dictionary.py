"""Score matching and denoising over a fixed dictionary of neurons: a group lasso."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore._tools.validation import check_array, check_choice
from convexscore.programs.assembly import minimise
from convexscore.programs.data import Standardised, standardise
from convexscore.programs.result import ConvexProgram
from convexscore.programs.solver import CLARABEL, SolverChoice, import_cvxpy, solve, value_of
from convexscore.scores.activations import Activation

FloatArray = NDArray[np.float64]

# Neurons below this fraction of the largest one (or of the unit of outer weights, if that is
# larger) are idle: a conic solver leaves them at about its tolerance.
_PRUNE_BELOW = 1e-7
# The limit of beta is for a message and for orientation.
_LIMIT_TOLERANCE = 1e-7


def dictionary_program(
    X: ArrayLike,
    neurons: tuple[ArrayLike, ArrayLike],
    *,
    beta: float,
    labels: ArrayLike | None = None,
    activation: str | Activation = "relu",
    skip: bool = False,
    offset: bool = True,
    norm: str = "l2",
    constraint: str | None = None,
    sample_weight: ArrayLike | None = None,
    solver: SolverChoice | str = CLARABEL,
) -> ConvexProgram:
    r"""Score matching (or, with labels, denoising) with the neurons (u_k, b_k) and no others.

    Denoising, with :math:`\Phi_{ik} = \sigma(u_k^\top x_i + b_k)`:

    .. math:: \min_{W, V, c}\ \tfrac12\|\Phi W + XV^\top + 1c^\top - L\|_F^2
              + \beta\sum_k \|u_k\|\|w_k\|_2.

    Score matching, with :math:`N_k = \sum_i \sigma'(u_k^\top x_i + b_k)`:

    .. math:: \min_{W, V, c}\ \tfrac12\|\Phi W + XV^\top + 1c^\top\|_F^2
              + \sum_k N_k u_k^\top w_k + n\,\mathrm{tr}V + \beta\sum_k \|u_k\|\|w_k\|_2.

    An upper bound on the optimum over all neurons, equal to it when the dictionary holds the
    optimal ones.  Those of ``neuron_dictionary(X, "clifford")`` do for ``norm="l1"``, the **Clifford
    program**: its value is the optimum over all networks with the penalty
    :math:`\beta\sum_j\|u_j\|_1\|w_j\|_2`.  With ``norm="l2"`` they give an upper bound, as others do.

    A pre-activation that is computed to be >= 0 counts as active.  For score matching a neuron
    whose hyperplane meets data points should therefore be in the dictionary twice, nudged to either
    side: ``neuron_dictionary(X, tie_variants=True)``.  Within a cell :math:`N_k` is constant, so
    the dual constraint is still convex in (u, b) and the Clifford program still exact.

    Parameters
    ----------
    X : array_like of shape (n, d)
    neurons : (u, b), array_like of shapes (m, d) and (m,)
        Inner weights, none of them zero (their length does not matter), and biases.
    beta : float
        For score matching larger than :func:`dictionary_limit`; denoising takes every beta >= 0.
    norm : {"l2", "l1"}
        Norm of the inner weights in the penalty.
    constraint : {None, "gradient", "log-concave"}
        "gradient": ridge potentials, :math:`w_k = y_k u_k` and V symmetric, so that the score is a
        gradient, with the penalty :math:`\beta\sum_k |y_k|\|u_k\|\|u_k\|_2`.  "log-concave": also
        :math:`y_k \le 0` and V negative semidefinite.
    labels, activation, skip, offset, sample_weight, solver
        See :mod:`convexscore.programs`.

    Returns
    -------
    ConvexProgram
        ``weights`` (m, d) and the network belong to the neurons as given.

    Raises
    ------
    UnboundedObjectiveError
        If the objective has no lower bound; the message names the limit of beta.
    SolverError, ValueError, and a ConvergenceWarning
        See :mod:`convexscore.programs`.

    Notes
    -----
    Memory O(n m) and time that of a conic solver with m cones: for small data.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, multivariate score matching and multivariate denoising
    score matching; Pilanci (2023), arXiv 2309.16512, for the Clifford dictionary.

    Examples
    --------
    The square's corners are pulled to its middle; its sides and diagonals are the dictionary.

    >>> from convexscore.programs import neuron_dictionary
    >>> X = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> L = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    >>> program = dictionary_program(X, neuron_dictionary(X), beta=0.5, labels=L)
    >>> program.status, round(program.value, 4), program.network.dim
    ('optimal', 0.9375, 2)

    The Clifford programs; with a large penalty only the skip connection is left, the Gaussian score.

    >>> clifford = neuron_dictionary(X, "clifford", tie_variants=True)
    >>> round(dictionary_program(X, clifford, beta=0.5, labels=L, norm="l1").value, 4)
    0.9375
    >>> round(dictionary_program(X, clifford, beta=3.0, norm="l1").value, 4)
    -0.25
    >>> program = dictionary_program(X, clifford, beta=9.0, skip=True)
    >>> round(program.value, 4), round(float(program.network([2.0, 0.0])[0]), 4)
    (-4.0, -2.0)
    """
    std = standardise(
        X, labels, beta, sample_weight, activation=activation, skip=skip, offset=offset
    )
    neuron = _prepare(std, neurons, norm, constraint)

    def unbounded(status: str) -> Exception | None:
        if not std.divergence:
            return None
        limit = _limit(std, neuron, solver if isinstance(solver, str) else solver.name)
        is_bounded = status.startswith("optimal") and std.beta >= limit
        return None if is_bounded else _unbounded_error(std.beta, limit)

    kind: dict[Any, dict[str, Any]] = {
        "gradient": {"symmetric": True},
        "log-concave": {"NSD": True},
    }
    outer, terms = _terms(std, neuron)
    program = minimise(
        std, neuron.phi @ outer, solver, unbounded=unbounded, **terms, **kind.get(constraint, {})
    )
    w = std.slope * value_of(outer) / neuron.size[:, np.newaxis]
    norms = np.linalg.norm(w, axis=1) * neuron.size
    keep = norms > _PRUNE_BELOW * np.max(norms, initial=std.slope)
    network = std.network(neuron.u[keep], w[keep], neuron.b[keep], program.variables)
    return replace(program, weights=w, network=network)


def dictionary_limit(
    X: ArrayLike,
    neurons: tuple[ArrayLike, ArrayLike],
    *,
    activation: str | Activation = "relu",
    skip: bool = False,
    offset: bool = True,
    norm: str = "l2",
    constraint: str | None = None,
    sample_weight: ArrayLike | None = None,
    solver: SolverChoice | str = CLARABEL,
) -> float:
    r"""Return the beta below which :func:`dictionary_program` without labels is unbounded.

    .. math:: \beta_0 = \max\Big\{-\sum_k N_k u_k^\top w_k - n\,\mathrm{tr}V:\
              \Phi W + XV^\top + 1c^\top = 0,\ \sum_k\|u_k\|\|w_k\| \le 1\Big\}:

    functions that vanish on the data while their divergence does not.  Solved in its dual form,
    the smallest beta at which some residual satisfies the optimality conditions of all neurons.
    A lower bound on the limit over all neurons.

    Parameters
    ----------
    X, neurons, norm, constraint
        As in :func:`dictionary_program`.
    activation, skip, offset, sample_weight, solver
        See :mod:`convexscore.programs`.

    Returns
    -------
    float
        Infinite with ``skip`` when the points do not span the space.

    Raises
    ------
    SolverError, ValueError, and a ConvergenceWarning
        See :mod:`convexscore.programs`.

    Examples
    --------
    In one dimension the largest multiplicity of an extreme value, see :func:`smallest_beta`.

    >>> from convexscore.programs import neuron_dictionary
    >>> X = [[0.0], [1.0], [2.0], [2.0]]
    >>> round(dictionary_limit(X, neuron_dictionary(X, tie_variants=True)), 5)
    2.0
    """
    std = standardise(X, None, 1.0, sample_weight, activation=activation, skip=skip, offset=offset)
    return _limit(std, _prepare(std, neurons, norm, constraint), solver)


@dataclass(frozen=True, eq=False)
class _Neurons:
    """The dictionary, and what its neurons of length one do on the data.

    ``size`` (m,) is the norm of u in the penalty, ``direction`` (m, d) u of norm one, ``phi`` (n, m)
    its values and ``counts`` (m,) the sums of its derivatives.
    """

    u: FloatArray
    b: FloatArray
    constraint: str | None
    size: FloatArray
    direction: FloatArray
    phi: FloatArray
    counts: FloatArray


def _prepare(
    std: Standardised, neurons: tuple[ArrayLike, ArrayLike], norm: str, constraint: str | None
) -> _Neurons:
    check_choice(norm, ("l1", "l2"), name="norm")
    check_choice(constraint, (None, "gradient", "log-concave"), name="constraint")
    u, b = _check_neurons(neurons, std.shape[1])
    size = np.linalg.norm(u, ord=int(norm[1]), axis=1)
    # As the network itself computes them, so that ties fall on the same side.
    pre = std.raw @ u.T + b
    return _Neurons(
        u=u,
        b=b,
        constraint=constraint,
        size=size,
        direction=u / size[:, np.newaxis],
        phi=std.activation.value(pre) / (std.length * size),
        counts=std.mass @ std.activation.derivative(pre),
    )


def _check_neurons(neurons: tuple[ArrayLike, ArrayLike], d: int) -> tuple[FloatArray, FloatArray]:
    u = check_array(neurons[0], name="u of neurons", shape=f"(m, {d})", ndim=(2,))
    b = check_array(neurons[1], name="b of neurons", shape="(m,)", ndim=(1,))
    if u.shape != (len(b), d):
        raise ValueError(
            f"neurons must be u of shape (m, {d}), as X, and b of shape (m,); got {u.shape} and "
            f"{b.shape}."
        )
    zero = int(np.sum(~np.any(u != 0, axis=1)))
    if zero:
        raise ValueError(
            f"u of neurons must have no zero rows, got {zero}; such neurons are constants, which "
            "offset=True provides."
        )
    return u, b


def _terms(std: Standardised, neuron: _Neurons) -> tuple[Any, dict[str, Any]]:
    """Outer weights of the neurons of norm one (m, d), divergence and penalty."""
    cp = import_cvxpy()
    m, d = neuron.u.shape
    direction, counts = neuron.direction, neuron.counts
    if neuron.constraint is not None:
        y = cp.Variable(m, name="y", nonpos=neuron.constraint == "log-concave")
        # The penalty is |y_k| |u_k| |u_k|_2 for u of norm one.
        lengths = np.linalg.norm(direction, axis=1)
        W, divergence = cp.diag(y) @ direction, (counts * lengths**2) @ y
        return W, {"divergence": divergence, "penalty": cp.norm1(cp.multiply(lengths, y))}
    W = cp.Variable((m, d), name="W")
    divergence = cp.sum(cp.multiply(counts[:, np.newaxis] * direction, W))
    return W, {"divergence": divergence, "penalty": cp.sum(cp.norm(W, 2, axis=1))}


def _limit(std: Standardised, neuron: _Neurons, solver: SolverChoice | str) -> float:
    """Smallest beta with a residual R that satisfies the optimality conditions of all neurons.

    This is the dual of maximising the negative divergence over combinations that vanish on the
    data, and the better conditioned of the two.
    """
    cp = import_cvxpy()
    n, d = std.shape
    R, limit = cp.Variable((n, d)), cp.Variable()
    G = neuron.phi.T @ R + neuron.counts[:, np.newaxis] * neuron.direction
    log_concave = neuron.constraint == "log-concave"
    if neuron.constraint is None:
        constraints = [cp.norm(G, 2, axis=1) <= limit]
    else:
        unit = neuron.direction / np.linalg.norm(neuron.direction, axis=1)[:, np.newaxis]
        along = cp.sum(cp.multiply(G, unit), axis=1)
        constraints = [(along if log_concave else cp.abs(along)) <= limit]
    if std.skip:
        S = R.T @ std.points + std.mass.sum() * np.eye(d)
        if log_concave:
            constraints.append(S + S.T << 0)
        else:
            constraints.append((S if neuron.constraint is None else S + S.T) == 0)
    if std.offset:
        constraints.append(cp.sum(R, axis=0) == 0)
    problem = cp.Problem(cp.Minimize(limit), constraints)
    found = solve(lambda _: problem, solver, _LIMIT_TOLERANCE, may_be_infeasible=True)
    return max(found.value, 0.0)


def _unbounded_error(beta: float, limit: float) -> UnboundedObjectiveError:
    if np.isinf(limit):
        remedy = (
            "no beta is large enough, because the skip connection is free where the points do not "
            "vary: remove columns that depend on others, or leave out skip"
        )
    else:
        remedy = (
            f"for these points and neurons beta must be larger than {limit:g}. Raise beta, or use "
            "denoising, which is bounded for every beta"
        )
    return UnboundedObjectiveError(f"score matching is unbounded below at beta={beta:g}: {remedy}.")
