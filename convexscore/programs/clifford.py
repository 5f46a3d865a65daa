"""The Clifford algebra (wedge product) lasso in several dimensions."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from convexscore.programs.group_lasso import neuron_options, solve_group_lasso
from convexscore.programs.hyperplanes import order_of, wedge_dictionary
from convexscore.programs.multivariate import as_labels, as_point_matrix, standardise
from convexscore.programs.result import ConvexProgram


def clifford_denoising(
    points: ArrayLike,
    labels: ArrayLike,
    beta: float,
    *,
    norm: str = "l1",
    bias: bool = True,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    orientations: str = "both",
    coordinates: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Denoising score matching over the neurons of :func:`wedge_dictionary`.

    .. math:: \min_{W, V, c}\ \tfrac12\|\Phi W + XV^\top + 1c^\top - L\|_F^2
              + \beta\sum_k \|w_k\|_2, \qquad \|u_k\| = 1.

    With ``norm="l1"`` its value is the optimum of :math:`\tfrac12\sum_i\|s(x_i)-l_i\|^2 +
    \beta\sum_j\|u_j\|_1\|w_j\|_2` over all networks.  With ``norm="l2"`` it is an upper bound on
    the optimum with :math:`\|u_j\|_2\|w_j\|_2`: the network is one of those, not the best.

    Parameters
    ----------
    points, labels : array_like of shape (n, d)
    beta : float
        Penalty >= 0, for sums over samples.
    norm : {"l1", "l2"}
        Norm of the inner weights in the penalty.
    bias : bool
        Whether neurons have biases.
    activation : {"relu", "abs"}
    skip, offset : bool
        Whether V and c are there, free of penalty.
    orientations : {"both", "one"}
    coordinates : bool
        As in :func:`wedge_dictionary`; "one" (for ReLU) and False are not exact.
    sample_weight : array_like of shape (n,), optional
    solver : str
    **solver_options
        As in :func:`dictionary_denoising`.

    Returns
    -------
    ConvexProgram
        The network's neurons have :math:`\|u_k\| = 1` in the norm chosen.

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
    O(n^d) neurons with a bias, O(n^{d-1}) without.

    References
    ----------
    Pilanci (2023), arXiv 2309.16512; Zhang, Pilanci (2024), arXiv 2402.01965, multivariate
    denoising score matching.

    Examples
    --------
    >>> X = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> L = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    >>> round(clifford_denoising(X, L, 0.5).value, 4)
    0.9375
    """
    data = as_point_matrix("points", points)
    target = as_labels(labels, (data.shape[0], data.shape[1]))
    options = neuron_options(activation, skip=skip, offset=offset, order=order_of(norm))
    u, b = wedge_dictionary(
        data, bias=bias, norm=norm, orientations=orientations, coordinates=coordinates
    )
    std = standardise(data, target, beta, sample_weight, centre=offset)
    return solve_group_lasso(std, u, b, options, solver, solver_options)


def clifford_score_matching(
    points: ArrayLike,
    beta: float,
    *,
    norm: str = "l1",
    activation: str = "relu",
    skip: bool = False,
    orientations: str = "both",
    coordinates: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Score matching over the neurons of :func:`wedge_dictionary`, with biases and offset.

    .. math:: \min_{W, V, c}\ \tfrac12\|\Phi W + XV^\top + 1c^\top\|_F^2
              + \sum_k N_k u_k^\top w_k + n\,\mathrm{tr}V + \beta\sum_k \|w_k\|_2,
              \qquad \|u_k\| = 1.

    Every hyperplane is there twice, with its points active and not.  As for denoising exact with
    ``norm="l1"`` for the penalty :math:`\beta\sum_j\|u_j\|_1\|w_j\|_2`: within a cell
    :math:`N_k` is constant, so the dual constraint is still convex in (u, b).

    Parameters
    ----------
    points : array_like of shape (n, d)
    beta : float
    norm, activation, skip, orientations, coordinates, sample_weight, solver, **solver_options
        As in :func:`clifford_denoising`.

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
    Pilanci (2023), arXiv 2309.16512, for the dictionary; Zhang, Pilanci (2024), arXiv 2402.01965,
    for the objective.

    Examples
    --------
    >>> X = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> round(clifford_score_matching(X, 3.0).value, 4)
    -0.25
    """
    data = as_point_matrix("points", points)
    options = neuron_options(activation, skip=skip, offset=True, order=order_of(norm))
    u, b = wedge_dictionary(
        data, norm=norm, orientations=orientations, coordinates=coordinates, tie_variants=True
    )
    std = standardise(data, None, beta, sample_weight, centre=True)
    return solve_group_lasso(std, u, b, options, solver, solver_options)
