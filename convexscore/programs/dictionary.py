"""Score matching and denoising over a fixed dictionary of neurons: a group lasso."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore._tools.validation import check_array, check_choice
from convexscore.programs import solver as conic
from convexscore.programs.solver import ConvexProgram, FloatArray, SolverChoice
from convexscore.programs.standardised import ProgramOptions, Standardised, standardise

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
    norm: str = "l2",
    **options: Unpack[ProgramOptions],
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
    labels : array_like of shape (n, k), k <= d, optional
        With fewer columns than X the other outputs of the network are zero.
    activation, skip, offset, sample_weight, solver
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
    std = standardise(X, labels, beta, **options)
    neuron = _prepare(std, neurons, norm)
    cp = conic.import_cvxpy()
    W = cp.Variable((len(neuron.b), std.labels.shape[1]), name="W")

    def refuse(status: str) -> None:
        if not std.divergence:
            return
        limit = _limit(replace(std, solver=SolverChoice(std.solver.name)), neuron)
        if status.startswith("optimal") and std.beta >= limit:
            return
        remedy = (
            "no beta is large enough, because the skip connection is free where the points do not "
            "vary: remove columns that depend on others, or leave out skip"
            if np.isinf(limit)
            else f"for these points and neurons beta must be larger than {limit:g}. Raise beta, or "
            "use denoising, which is bounded for every beta"
        )
        raise UnboundedObjectiveError(
            f"score matching is unbounded below at beta={std.beta:g}: {remedy}."
        )

    penalty = cp.sum(cp.norm(W, 2, axis=1))
    program = std.minimise(neuron.phi @ W, W, neuron.counts, penalty, refuse=refuse)
    w = std.slope * conic.value_of(W) / neuron.size[:, np.newaxis]
    norms = np.linalg.norm(w, axis=1) * neuron.size
    keep = norms > _PRUNE_BELOW * np.max(norms, initial=std.slope)
    network = std.network(program, neuron.u[keep], w[keep], neuron.b[keep])
    return replace(program, weights=w, network=network)


def dictionary_limit(
    X: ArrayLike,
    neurons: tuple[ArrayLike, ArrayLike],
    *,
    norm: str = "l2",
    **options: Unpack[ProgramOptions],
) -> float:
    r"""Return the beta below which :func:`dictionary_program` without labels is unbounded.

    .. math:: \beta_0 = \max\Big\{-\sum_k N_k u_k^\top w_k - n\,\mathrm{tr}V:\
              \Phi W + XV^\top + 1c^\top = 0,\ \sum_k\|u_k\|\|w_k\| \le 1\Big\}:

    functions that vanish on the data while their divergence does not.  Solved in its dual form,
    the smallest beta at which some residual satisfies the optimality conditions of all neurons.
    A lower bound on the limit over all neurons.

    Parameters
    ----------
    X, neurons, norm
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
    std = standardise(X, None, 1.0, **options)
    return _limit(std, _prepare(std, neurons, norm))


@dataclass(frozen=True, eq=False)
class _Neurons:
    """The dictionary, and what its neurons of length one do on the data.

    ``size`` (m,) is the norm of u in the penalty; ``phi`` (n, m) are the values and ``counts`` (m, d) the
    divergence of the neurons with u of norm one.
    """

    u: FloatArray
    b: FloatArray
    size: FloatArray
    phi: FloatArray
    counts: FloatArray


def _prepare(std: Standardised, neurons: tuple[ArrayLike, ArrayLike], norm: str) -> _Neurons:
    check_choice(norm, ("l1", "l2"), name="norm")
    d = std.shape[1]
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
    size = np.linalg.norm(u, ord=int(norm[1]), axis=1)
    # As the network itself computes them, so that ties fall on the same side.
    pre = std.raw @ u.T + b
    phi = std.activation.value(pre) / (std.length * size)
    counts = std.mass @ std.activation.derivative(pre)
    return _Neurons(u, b, size, phi, counts[:, np.newaxis] * (u / size[:, np.newaxis]))


def _limit(std: Standardised, neuron: _Neurons) -> float:
    """Smallest beta with a residual R that satisfies the optimality conditions of all neurons.

    This is the dual of maximising the negative divergence over combinations that vanish on the
    data, and the better conditioned of the two.
    """
    cp = conic.import_cvxpy()
    R, limit = cp.Variable(std.shape), cp.Variable()
    constraints = [cp.norm(neuron.phi.T @ R + neuron.counts, 2, axis=1) <= limit]
    if std.skip:
        constraints.append(R.T @ std.points + std.mass.sum() * np.eye(std.shape[1]) == 0)
    if std.offset:
        constraints.append(cp.sum(R, axis=0) == 0)
    problem = cp.Problem(cp.Minimize(limit), constraints)
    accepted = ("optimal", "infeasible", "infeasible_inaccurate")
    found = conic.solve(lambda _: problem, std.solver, _LIMIT_TOLERANCE, accepted=accepted)
    return max(found.value, 0.0)
