"""The convex programs of univariate score matching, one function per theorem and case."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore.programs.inputs import as_beta, as_points, as_weights
from convexscore.programs.limits import smallest_beta, unbounded_error
from convexscore.programs.matrices import score_matching_matrices, weighted_line
from convexscore.programs.reconstruct import network_from_weights
from convexscore.programs.result import ConvexProgram
from convexscore.programs.solve import solve_lasso


def score_matching_relu(
    x: ArrayLike,
    beta: float,
    *,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Score matching with a two-layer ReLU network without skip connection.

    .. math:: \min_y\ \tfrac12\|Ay\|^2 + b^\top y + \beta\|y\|_1, \qquad y\in\mathbb{R}^{4n},

    has the optimal value of the training problem :math:`\min_s \sum_i \tfrac12 s(x_i)^2 + s'(x_i)
    + \tfrac\beta2 \sum_j (u_j^2 + w_j^2)`.

    Parameters
    ----------
    x : array_like of shape (n,) or (n, 1)
        Data with at least two distinct values.
    beta : float
        Penalty, for sums (not means) over samples; at least :func:`smallest_beta`.
    sample_weight : array_like of shape (n,), optional
        Positive weights; integers equal repetition.
    solver : str
        Name of an installed CVXPY solver.
    **solver_options
        Passed to ``cvxpy.Problem.solve``.  Clarabel runs at tolerance 1e-10 unless told
        otherwise (``tol_gap_abs``, ``tol_gap_rel``, ``tol_feas``).

    Returns
    -------
    ConvexProgram

    Raises
    ------
    UnboundedObjectiveError
        If ``beta`` is below the limit; the message names it.
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
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate score matching, ReLU.

    Examples
    --------
    Between a data-dependent threshold and n the optimal value is -(n - beta)^2 / (2 n var(x)).

    >>> program = score_matching_relu([-1.0, 0.0, 1.0], 2.0)
    >>> program.status, round(program.value, 6)
    ('optimal', -0.25)
    """
    return _solve_score_matching(x, beta, "relu", False, sample_weight, solver, solver_options)


def score_matching_relu_skip(
    x: ArrayLike,
    beta: float,
    *,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Score matching with a two-layer ReLU network and a skip connection :math:`Vx`.

    As :func:`score_matching_relu` with ``A`` freed of the line, ``b`` shifted and the constant
    :math:`-n^2/(2\|\bar x\|^2)` added, the value of the best line alone.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate score matching, ReLU with skip connection.

    Examples
    --------
    For large beta the score is the Gaussian one, -(x - mean) / var.

    >>> program = score_matching_relu_skip([-1.0, 0.0, 1.0], 10.0)
    >>> round(program.value, 6), float(program.network(0.5).round(6))
    (-2.25, -0.75)
    """
    return _solve_score_matching(x, beta, "relu", True, sample_weight, solver, solver_options)


def score_matching_abs(
    x: ArrayLike,
    beta: float,
    *,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Score matching with absolute value activation, without skip connection.

    As :func:`score_matching_relu` with :math:`A = J[|x_i - x_j|, |x_i - x_j|]`, ``2n`` columns.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate score matching, absolute value.

    Examples
    --------
    >>> program = score_matching_abs([-1.0, 0.0, 1.0], 2.0)
    >>> round(program.value, 6)
    -0.25
    """
    return _solve_score_matching(x, beta, "abs", False, sample_weight, solver, solver_options)


def score_matching_abs_skip(
    x: ArrayLike,
    beta: float,
    *,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Score matching with absolute value activation and a skip connection :math:`Vx`.

    As :func:`score_matching_relu_skip` with the columns of :func:`score_matching_abs`.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate score matching, absolute value with skip
    connection.

    Examples
    --------
    >>> program = score_matching_abs_skip([-1.0, 0.0, 1.0], 10.0)
    >>> round(program.value, 6), float(program.network(0.5).round(6))
    (-2.25, -0.75)
    """
    return _solve_score_matching(x, beta, "abs", True, sample_weight, solver, solver_options)


def _solve_score_matching(
    x: ArrayLike,
    beta: float,
    activation: str,
    skip: bool,
    sample_weight: ArrayLike | None,
    solver: str,
    solver_options: dict[str, Any],
) -> ConvexProgram:
    points = as_points("x", x)
    weights = as_weights(sample_weight, len(points))
    penalty = as_beta(beta)
    limit = smallest_beta(points, activation, skip, sample_weight=weights)
    if penalty < limit:
        raise unbounded_error(penalty, limit)

    # In units of the standard deviation: A shrinks by sd, y by sd^-2, the value by sd^-2.
    line = weighted_line(points, weights)
    variance = float(line @ line) / float(weights.sum())
    A, b = score_matching_matrices(points, activation, skip, sample_weight=weights)
    no_labels = np.zeros_like(points)
    found = solve_lasso(A / np.sqrt(variance), no_labels, b, penalty, solver, solver_options)
    constant = -float(weights.sum()) / 2 if skip else 0.0
    y = found.y / variance
    network = network_from_weights(
        points,
        no_labels,
        weights,
        y,
        activation,
        skip=skip,
        score_matching=True,
        unit=1.0 / variance,
    )
    return ConvexProgram(
        problem=found.problem,
        variables={"y": found.variable},
        value=(found.value + constant) / variance,
        weights=y,
        network=network,
        status=found.status,
        solver=solver,
        scale=found.unit / variance,
        constant=constant / variance,
    )
