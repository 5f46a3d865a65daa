"""Score matching and denoising over a fixed dictionary of neurons: a group lasso."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore.programs.group_lasso import limit_of_group_lasso, neuron_options, solve_group_lasso
from convexscore.programs.multivariate import as_labels, as_matrix, as_point_matrix, standardise
from convexscore.programs.result import ConvexProgram

FloatArray = NDArray[np.float64]


def dictionary_denoising(
    points: ArrayLike,
    labels: ArrayLike,
    beta: float,
    u: ArrayLike,
    b: ArrayLike,
    *,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    conservative: bool = False,
    sign: int = 0,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Denoising score matching with the neurons (u_k, b_k) and no others.

    .. math:: \min_{W, V, c}\ \tfrac12\|\Phi W + XV^\top + 1c^\top - L\|_F^2
              + \beta\sum_k \|u_k\|_2\|w_k\|_2, \qquad \Phi_{ik} = \sigma(u_k^\top x_i + b_k).

    An upper bound on the optimum over all neurons, equal to it when the dictionary holds the
    optimal ones.

    Parameters
    ----------
    points : array_like of shape (n, d)
        Noisy points, at least two different ones; (n,) counts as (n, 1).
    labels : array_like of shape (n, d)
        Labels :math:`l_i`, the rows of L.
    beta : float
        Penalty >= 0, for sums (not means) over samples.
    u : array_like of shape (m, d)
        Inner weights, none of them zero; their length does not matter.
    b : array_like of shape (m,)
        Biases.
    activation : {"relu", "abs"}
    skip, offset : bool
        Whether V (d, d) and c (d,) are there; both are free of penalty.
    conservative : bool
        Ridge potentials: :math:`w_k = y_k u_k` and V symmetric, so that the score is a gradient;
        penalty :math:`\beta\sum_k |y_k|\|u_k\|^2`.
    sign : {0, -1}
        With ``conservative``: -1 asks for :math:`y_k \le 0` and V negative semidefinite, a
        log-concave law.
    sample_weight : array_like of shape (n,), optional
        Positive weights; integers equal repetition.
    solver : str
        Name of an installed CVXPY solver.
    **solver_options
        Passed to ``cvxpy.Problem.solve``.  Clarabel runs at tolerance 1e-9 (1e-8 where rounding
        allows no more) unless told otherwise.

    Returns
    -------
    ConvexProgram
        ``weights`` (m, d) and the network belong to u and b as given.

    Raises
    ------
    SolverError
        If the solver does not reach an optimum; the message carries its status.
    ValueError
        If an argument is not as described.

    Warns
    -----
    ConvergenceWarning
        If the solver calls its solution inaccurate.

    Notes
    -----
    Memory O(n m) and time that of a conic solver with m cones: for small data.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, multivariate denoising score matching.

    Examples
    --------
    The square's corners are pulled to its middle; its sides and diagonals are the dictionary.

    >>> from convexscore.programs import pair_dictionary
    >>> X = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> L = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    >>> program = dictionary_denoising(X, L, 0.5, *pair_dictionary(X))
    >>> program.status, round(program.value, 4), program.network.dim
    ('optimal', 0.9375, 2)
    """
    data = as_point_matrix("points", points)
    target = as_labels(labels, (data.shape[0], data.shape[1]))
    neurons = as_neurons(u, b, data.shape[1])
    options = neuron_options(
        activation, skip=skip, offset=offset, conservative=conservative, sign=sign
    )
    std = standardise(data, target, beta, sample_weight, centre=offset)
    return solve_group_lasso(std, *neurons, options, solver, solver_options)


def dictionary_score_matching(
    points: ArrayLike,
    beta: float,
    u: ArrayLike,
    b: ArrayLike,
    *,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    conservative: bool = False,
    sign: int = 0,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Score matching with the neurons (u_k, b_k) and no others.

    .. math:: \min_{W, V, c}\ \tfrac12\|\Phi W + XV^\top + 1c^\top\|_F^2
              + \sum_k N_k u_k^\top w_k + n\,\mathrm{tr}V + \beta\sum_k \|u_k\|_2\|w_k\|_2,

    :math:`N_k = \sum_i \sigma'(u_k^\top x_i + b_k)`, where a pre-activation that is computed to be
    >= 0 counts as active.  A neuron whose hyperplane meets data points should therefore be in the
    dictionary twice, nudged to either side: ``pair_dictionary(points, tie_variants=True)``.

    Parameters
    ----------
    points : array_like of shape (n, d)
        Data, at least two different points; (n,) counts as (n, 1).
    beta : float
        Penalty, for sums (not means) over samples; at least :func:`dictionary_limit`.
    u, b, activation, skip, offset, conservative, sign, sample_weight, solver, **solver_options
        As in :func:`dictionary_denoising`.

    Returns
    -------
    ConvexProgram

    Raises
    ------
    UnboundedObjectiveError
        If the objective has no lower bound; the message names the limit of beta.
    SolverError
        If the solver does not reach an optimum; the message carries its status.
    ValueError
        If an argument is not as described.

    Warns
    -----
    ConvergenceWarning
        If the solver calls its solution inaccurate.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, multivariate score matching.

    Examples
    --------
    With a large penalty only the skip connection is left, the Gaussian score.

    >>> from convexscore.programs import pair_dictionary
    >>> X = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> u, b = pair_dictionary(X, tie_variants=True)
    >>> program = dictionary_score_matching(X, 9.0, u, b, skip=True)
    >>> round(program.value, 4), round(float(program.network([2.0, 0.0])[0]), 4)
    (-4.0, -2.0)
    """
    data = as_point_matrix("points", points)
    neurons = as_neurons(u, b, data.shape[1])
    options = neuron_options(
        activation, skip=skip, offset=offset, conservative=conservative, sign=sign
    )
    std = standardise(data, None, beta, sample_weight, centre=offset)
    return solve_group_lasso(std, *neurons, options, solver, solver_options)


def dictionary_limit(
    points: ArrayLike,
    u: ArrayLike,
    b: ArrayLike,
    *,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    conservative: bool = False,
    sign: int = 0,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
) -> float:
    r"""Return the beta below which :func:`dictionary_score_matching` is unbounded.

    .. math:: \beta_0 = \max\Big\{-\sum_k N_k u_k^\top w_k - n\,\mathrm{tr}V:\
              \Phi W + XV^\top + 1c^\top = 0,\ \sum_k\|u_k\|\|w_k\| \le 1\Big\}:

    functions that vanish on the data while their divergence does not.  Solved in its dual form,
    the smallest beta at which some residual satisfies the optimality conditions of all neurons.
    A lower bound on the limit over all neurons.

    Parameters
    ----------
    points, u, b, activation, skip, offset, conservative, sign, sample_weight, solver
        As in :func:`dictionary_score_matching`.

    Returns
    -------
    float
        Infinite with ``skip`` when the points do not span the space.

    Raises
    ------
    SolverError
        If the solver does not reach an optimum.
    ValueError
        If an argument is not as described.

    Examples
    --------
    In one dimension the largest multiplicity of an extreme value, see :func:`smallest_beta`.

    >>> from convexscore.programs import pair_dictionary
    >>> X = [[0.0], [1.0], [2.0], [2.0]]
    >>> round(dictionary_limit(X, *pair_dictionary(X, tie_variants=True)), 5)
    2.0
    """
    data = as_point_matrix("points", points)
    neurons = as_neurons(u, b, data.shape[1])
    options = neuron_options(
        activation, skip=skip, offset=offset, conservative=conservative, sign=sign
    )
    std = standardise(data, None, 1.0, sample_weight, centre=offset)
    return limit_of_group_lasso(std, *neurons, options, solver)


def as_neurons(u: ArrayLike, b: ArrayLike, d: int) -> tuple[FloatArray, FloatArray]:
    """Return checked inner weights (m, d) and biases (m,)."""
    weights, biases = as_matrix("u", u), np.asarray(b, dtype=np.float64)
    if weights.shape[1] != d:
        raise ValueError(f"u must have shape (m, {d}) as the points, got {np.shape(u)}.")
    if biases.shape != (len(weights),) or not np.all(np.isfinite(biases)):
        raise ValueError(
            f"b must hold {len(weights)} finite numbers, one per row of u, got {biases.shape}."
        )
    zero = ~np.any(weights != 0, axis=1)
    if np.any(zero):
        raise ValueError(
            f"u must have no zero rows, got {int(zero.sum())}; such neurons are constants, which "
            "offset=True provides."
        )
    return weights, biases
