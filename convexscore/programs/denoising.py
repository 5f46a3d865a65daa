"""The convex programs of univariate denoising score matching, one function per theorem and case."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore.programs.inputs import as_beta, as_column, as_points, as_weights
from convexscore.programs.matrices import denoising_matrices, weighted_line
from convexscore.programs.reconstruct import network_from_weights
from convexscore.programs.result import ConvexProgram
from convexscore.programs.solve import solve_lasso


def denoising_relu(
    x_noisy: ArrayLike,
    labels: ArrayLike,
    beta: float,
    *,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Denoising score matching with a two-layer ReLU network without skip connection.

    .. math:: \min_y\ \tfrac12\|Ay - Jl\|^2 + \beta\|y\|_1, \qquad y\in\mathbb{R}^{2n},

    has the optimal value of the training problem :math:`\min_s \sum_i
    \tfrac12 (s(\tilde x_i) - l_i)^2 + \tfrac\beta2 \sum_j (u_j^2 + w_j^2)`.

    Parameters
    ----------
    x_noisy : array_like of shape (n,) or (n, 1)
        Noisy points :math:`\tilde x_i = x_i + \varepsilon\delta_i`, two distinct values or more.
    labels : array_like of shape (n,) or (n, 1)
        Labels :math:`l_i = -\delta_i/\varepsilon`.
    beta : float
        Penalty, for sums (not means) over samples; bounded for every ``beta >= 0``.
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
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate denoising score matching, ReLU.

    Examples
    --------
    >>> program = denoising_relu([-1.0, 0.0, 1.0], [1.0, 0.0, -1.0], 0.5)
    >>> program.status, round(program.value, 6)
    ('optimal', 0.4375)
    """
    return _solve_denoising(
        x_noisy, labels, beta, "relu", False, sample_weight, solver, solver_options
    )


def denoising_relu_skip(
    x_noisy: ArrayLike,
    labels: ArrayLike,
    beta: float,
    *,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Denoising score matching with a two-layer ReLU network and a skip connection.

    As :func:`denoising_relu` with :math:`J \leftarrow J - \bar x\bar x^\top/\|\bar x\|^2`.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate denoising score matching, ReLU with skip
    connection.

    Examples
    --------
    >>> program = denoising_relu_skip([-1.0, 0.0, 1.0], [1.0, 3.0, -1.0], 10.0)
    >>> round(program.value, 6), float(program.network(1.0).round(6))
    (3.0, 0.0)
    """
    return _solve_denoising(
        x_noisy, labels, beta, "relu", True, sample_weight, solver, solver_options
    )


def denoising_abs(
    x_noisy: ArrayLike,
    labels: ArrayLike,
    beta: float,
    *,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Denoising score matching with absolute value activation, without skip connection.

    As :func:`denoising_relu` with :math:`A = J|\tilde x_i - \tilde x_j|`, ``n`` columns.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate denoising score matching, absolute value.

    Examples
    --------
    >>> program = denoising_abs([-1.0, 0.0, 1.0], [1.0, 0.0, -1.0], 0.5)
    >>> round(program.value, 6)
    0.4375
    """
    return _solve_denoising(
        x_noisy, labels, beta, "abs", False, sample_weight, solver, solver_options
    )


def denoising_abs_skip(
    x_noisy: ArrayLike,
    labels: ArrayLike,
    beta: float,
    *,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> ConvexProgram:
    r"""Denoising score matching with absolute value activation and a skip connection.

    As :func:`denoising_relu_skip` with the columns of :func:`denoising_abs`.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate denoising score matching, absolute value
    with skip connection.

    Examples
    --------
    >>> program = denoising_abs_skip([-1.0, 0.0, 1.0], [1.0, 3.0, -1.0], 10.0)
    >>> round(program.value, 6)
    3.0
    """
    return _solve_denoising(
        x_noisy, labels, beta, "abs", True, sample_weight, solver, solver_options
    )


def _solve_denoising(
    x_noisy: ArrayLike,
    labels: ArrayLike,
    beta: float,
    activation: str,
    skip: bool,
    sample_weight: ArrayLike | None,
    solver: str,
    solver_options: dict[str, Any],
) -> ConvexProgram:
    points = as_points("x_noisy", x_noisy)
    target = as_column("labels", labels)
    penalty = as_beta(beta)
    A, t = denoising_matrices(points, target, activation, skip, sample_weight=sample_weight)
    weights = as_weights(sample_weight, len(points))

    # Points in units of sd and labels in units of their own spread r: with A = sd A', t = r t',
    # y = (r / sd) y' the program is r^2 times the one in primes with beta' = beta / (r sd).
    total = float(weights.sum())
    line = weighted_line(points, weights)
    sd = float(np.sqrt(line @ line / total))
    spread = float(np.sqrt(t @ t / total)) or 1.0
    found = solve_lasso(
        A / sd, t / spread, np.zeros(A.shape[1]), penalty / (spread * sd), solver, solver_options
    )
    unit = spread / sd
    y = found.y * unit
    network = network_from_weights(
        points, target, weights, y, activation, skip=skip, score_matching=False, unit=unit
    )
    return ConvexProgram(
        problem=found.problem,
        variables={"y": found.variable},
        value=found.value * spread**2,
        weights=y,
        network=network,
        status=found.status,
        solver=solver,
        scale=found.unit * spread**2,
        constant=0.0,
    )
