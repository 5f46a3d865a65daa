"""Programs over activation patterns without regularisation: gated, and exact with cones."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from convexscore.programs.gates import check_offset
from convexscore.programs.multivariate import Standardised, as_labels, as_point_matrix, standardise
from convexscore.programs.pattern_program import solve_patterns
from convexscore.programs.result import PatternProgram


def gated_denoising(
    points: ArrayLike,
    labels: ArrayLike,
    *,
    patterns: Any = None,
    bias: bool = True,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> PatternProgram:
    r"""Denoising score matching without penalty, as a least squares problem over gates.

    .. math:: \min_{W_D, V, c}\ \tfrac12\Big\|\sum_D D'[X\ 1]W_D + XV^\top + 1c^\top - L\Big\|_F^2,
              \qquad W_D \in \mathbb{R}^{(d+1)\times d},

    D' = D (ReLU) or 2D - I (absolute value).  Gates decide by themselves, whatever :math:`W_D` is;
    still the value is that of ordinary networks whose neurons have these patterns, because every
    column of :math:`W_D` is the difference of two vectors of the cone of D.

    Parameters
    ----------
    points, labels : array_like of shape (n, d)
        Noisy points and labels; (n,) counts as (n, 1).
    patterns : (p, n) bool or Arrangement, optional
        Patterns of open cells, from ``convexscore.arrangements``; all of them when left out.
        All patterns together interpolate: distinct points have value 0 (with an offset).
    bias : bool
        Whether neurons have biases; the patterns must be of the same kind.
    activation : {"relu", "abs"}
    skip, offset : bool
        Whether V and c are there; biases include the offset.
    sample_weight : array_like of shape (n,), optional
        Positive weights; integers equal repetition.
    solver : str
        Name of an installed CVXPY solver.
    **solver_options
        Passed to ``cvxpy.Problem.solve``.  Clarabel runs at tolerance 1e-9 (1e-8 where rounding
        allows no more) unless told otherwise.

    Returns
    -------
    PatternProgram
        ``network`` is a ReLU (or absolute value) network with the same values at the points.

    Raises
    ------
    SolverError
        If the solver does not reach an optimum; the message carries its status.
    ValueError
        If an argument is not as described, or a pattern belongs to no open cell.

    Warns
    -----
    ConvergenceWarning
        If the solver calls its solution inaccurate.

    Notes
    -----
    Time and memory grow with n p d; there are :math:`O(n^d)` patterns in all.

    References
    ----------
    Mishkin, Sahiner, Pilanci (2022), *Fast convex optimization for two-layer ReLU networks*;
    Zhang, Pilanci (2024), arXiv 2402.01965.

    Examples
    --------
    One gate that is open on two of four points, and an offset for the others.

    >>> X, L = [[0.0], [1.0], [2.0], [4.0]], [[1.0], [3.0], [0.0], [2.0]]
    >>> program = gated_denoising(X, L, patterns=[[False, False, True, True]])
    >>> round(program.value, 6), program.fitted[:, 0].round(4).tolist()
    (1.0, [2.0, 2.0, 0.0, 2.0])
    """
    std = _problem(points, labels, sample_weight, bias, offset)
    return solve_patterns(
        std, patterns, activation, bias, skip, offset, False, solver, solver_options
    )


def cone_denoising(
    points: ArrayLike,
    labels: ArrayLike,
    *,
    patterns: Any = None,
    bias: bool = True,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> PatternProgram:
    r"""Denoising score matching without penalty, with neurons that have the patterns.

    .. math:: \min\ \tfrac12\Big\|\sum_D D'[X\ 1](V_D - V'_D) + XV^\top + 1c^\top - L\Big\|_F^2
              \quad\text{s.t.}\quad (2D - I)[X\ 1]V_D \ge 0,\ (2D - I)[X\ 1]V'_D \ge 0:

    each column of :math:`V_D` is a neuron with outer weight :math:`e_k`, each of :math:`V'_D` one
    with :math:`-e_k`.  The same value as :func:`gated_denoising`.

    Parameters
    ----------
    points, labels, patterns, bias, activation, skip, offset, sample_weight, solver, **solver_options
        As in :func:`gated_denoising`.

    Returns
    -------
    PatternProgram
        ``weights`` are the differences :math:`V_D - V'_D`.

    Raises
    ------
    SolverError, ValueError
        As in :func:`gated_denoising`.

    Warns
    -----
    ConvergenceWarning
        If the solver calls its solution inaccurate.

    References
    ----------
    Pilanci, Ergen (2020), *Neural networks are convex regularizers*; Zhang, Pilanci (2024),
    arXiv 2402.01965.

    Examples
    --------
    >>> X, L = [[0.0], [1.0], [2.0], [4.0]], [[1.0], [3.0], [0.0], [2.0]]
    >>> program = cone_denoising(X, L, patterns=[[False, False, True, True]])
    >>> round(program.value, 6), program.network([0.0, 1.0, 2.0, 4.0]).round(4).tolist()
    (1.0, [2.0, 2.0, 0.0, 2.0])
    """
    std = _problem(points, labels, sample_weight, bias, offset)
    return solve_patterns(
        std, patterns, activation, bias, skip, offset, True, solver, solver_options
    )


def gated_score_matching(
    points: ArrayLike,
    *,
    patterns: Any = None,
    bias: bool = True,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> PatternProgram:
    r"""Score matching without penalty over gates.

    .. math:: \min_{W_D, V, c}\ \tfrac12\Big\|\sum_D D'[X\ 1]W_D + XV^\top + 1c^\top\Big\|_F^2
              + \sum_D \mathrm{tr}(D')\,\mathrm{tr}(W_D) + n\,\mathrm{tr}(V),

    the trace of :math:`W_D` without its bias row.  Bounded below only for few patterns: the maps
    that vanish on the data must have no divergence there.  Never bounded for all patterns.

    Parameters
    ----------
    points : array_like of shape (n, d)
    patterns : (p, n) bool or Arrangement, optional
        Patterns of open cells, fewer than about n / (d + 1) of them.
    bias, activation, skip, offset, sample_weight, solver, **solver_options
        As in :func:`gated_denoising`.

    Returns
    -------
    PatternProgram
        ``network`` has the same values and divergence at the points.

    Raises
    ------
    UnboundedObjectiveError
        If the objective has no lower bound.
    SolverError, ValueError
        As in :func:`gated_denoising`.

    Warns
    -----
    ConvergenceWarning
        If the solver calls its solution inaccurate.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, multivariate score matching without regularisation.

    Examples
    --------
    The pattern that is active everywhere gives the Gaussian score.

    >>> program = gated_score_matching([[-1.0], [0.0], [1.0]], patterns=[[True, True, True]])
    >>> round(program.value, 6), program.weights.round(4).tolist()
    (-2.25, [[[-1.5]]])
    """
    std = _problem(points, None, sample_weight, bias, offset)
    return solve_patterns(
        std, patterns, activation, bias, skip, offset, False, solver, solver_options
    )


def cone_score_matching(
    points: ArrayLike,
    *,
    patterns: Any = None,
    bias: bool = True,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> PatternProgram:
    r"""Score matching without penalty, with neurons that have the patterns.

    As :func:`gated_score_matching` with :math:`W_D = V_D - V'_D`, the columns of both in the cone
    :math:`(2D - I)[X\ 1]v \ge 0`; the same value.

    Parameters
    ----------
    points, patterns, bias, activation, skip, offset, sample_weight, solver, **solver_options
        As in :func:`gated_score_matching`.

    Returns
    -------
    PatternProgram

    Raises
    ------
    UnboundedObjectiveError, SolverError, ValueError
        As in :func:`gated_score_matching`.

    Warns
    -----
    ConvergenceWarning
        If the solver calls its solution inaccurate.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, multivariate score matching without regularisation.

    Examples
    --------
    >>> program = cone_score_matching([[-1.0], [0.0], [1.0]], patterns=[[True, True, True]])
    >>> round(program.value, 6), round(float(program.network(0.5)), 4)
    (-2.25, -0.75)
    """
    std = _problem(points, None, sample_weight, bias, offset)
    return solve_patterns(
        std, patterns, activation, bias, skip, offset, True, solver, solver_options
    )


def _problem(
    points: ArrayLike,
    labels: ArrayLike | None,
    sample_weight: ArrayLike | None,
    bias: bool,
    offset: bool,
) -> Standardised:
    check_offset(bias, offset)
    data = as_point_matrix("points", points)
    target = None if labels is None else as_labels(labels, (data.shape[0], data.shape[1]))
    # Without biases the origin is where the hyperplanes meet and must stay.
    return standardise(data, target, 0.0, sample_weight, centre=bias and offset)
