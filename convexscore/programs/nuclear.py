"""The nuclear norm relaxation of the exact program for vector outputs: a lower bound."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore.programs.gates import Gate, check_offset, make_gates
from convexscore.programs.multivariate import Standardised, as_labels, as_point_matrix, standardise
from convexscore.programs.result import PatternProgram
from convexscore.programs.solve import SEMIDEFINITE_TOLERANCE, import_cvxpy, solve_convex

FloatArray = NDArray[np.float64]


def nuclear_denoising(
    points: ArrayLike,
    labels: ArrayLike,
    beta: float,
    *,
    patterns: Any = None,
    bias: bool = True,
    bounded_bias: bool = True,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> PatternProgram:
    r"""Lower bound on denoising score matching: gates with the nuclear norm.

    .. math:: \min\ \tfrac12\Big\|\sum_D D'[X\ 1]Z_D + XV^\top + 1c^\top - L\Big\|_F^2
              + \beta\sum_D \|Z_D\|_*,

    the nuclear norm of the rows of :math:`Z_D` that act on X.  The exact program has in its place
    the gauge of :math:`\{vg^\top: v \in K_D, \|u\|\|g\| \le 1\}`; leaving out the cone
    :math:`K_D` makes it the nuclear norm.

    **Biases.**  Their rows carry no penalty, and without the cone nothing holds them: the vectors
    D1 of all patterns span everything, so with free biases the bound is zero.  What the cone says
    about a bias must be kept.  The kink separates the active from the inactive points; with
    :math:`z_D` the middle and :math:`2\rho_D` the length of the shortest segment between them,
    :math:`b + u^\top z_D = \rho_D y` with :math:`|y| \le \|u\|`.  Hence the gauge is at least

    .. math:: \max\Big\{\|Z_u\|_*,\ \tfrac{1}{\sqrt2}\Big\|\binom{Z_u}{y}\Big\|_*,\ \|y\|_2\Big\},

    which is the penalty with ``bounded_bias``.

    Parameters
    ----------
    points : array_like of shape (n, d)
    labels : array_like of shape (n, k)
        Any number of columns.
    beta : float
        Penalty >= 0, for sums over samples.
    patterns : (p, n) bool or Arrangement, optional
        All patterns when left out; only then the value is a lower bound for every network.
    bias : bool
        Whether neurons have biases.
    bounded_bias : bool
        False for the literal program with free biases.
    activation, skip, offset, sample_weight, solver, **solver_options
        As in :func:`gated_denoising`; Clarabel runs at tolerance 1e-8 here (1e-7 where rounding
        allows no more), so the value is a bound only to about that accuracy.

    Returns
    -------
    PatternProgram
        Without network: gates that are no ReLUs.

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
    :math:`O(n^d)` patterns with a semidefinite cone each: for very small data.

    References
    ----------
    Sahiner, Ergen, Pauly, Pilanci (2021), *Vector-output ReLU neural network problems are
    copositive programs*; Mishkin, Sahiner, Pilanci (2022) for gated ReLU.

    Examples
    --------
    >>> X = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> L = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    >>> lower, literal = (
    ...     nuclear_denoising(X, L, 0.5, bounded_bias=held).value for held in (True, False)
    ... )
    >>> round(lower, 4), abs(round(literal, 4))
    (0.7572, 0.0)
    """
    check_offset(bias, offset)
    data = as_point_matrix("points", points)
    target = as_labels(labels, (data.shape[0], data.shape[1]), any_width=True)
    std = standardise(data, target, beta, sample_weight, centre=bias and offset)
    gates = make_gates(std, patterns, activation, bias=bias)
    return _solve(std, gates, bounded_bias, skip, offset, solver, solver_options)


def nuclear_score_matching(
    points: ArrayLike,
    beta: float,
    *,
    patterns: Any = None,
    bias: bool = True,
    bounded_bias: bool = True,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> PatternProgram:
    r"""Lower bound on score matching: gates with the nuclear norm.

    .. math:: \min\ \tfrac12\Big\|\sum_D D'[X\ 1]Z_D + XV^\top + 1c^\top\Big\|_F^2
              + \sum_D \mathrm{tr}(D')\,\mathrm{tr}(Z_D) + n\,\mathrm{tr}V + \beta\sum_D\|Z_D\|_*,

    traces and norms as in :func:`nuclear_denoising`.  It is unbounded for some beta for which
    score matching itself is bounded; with free biases for nearly every beta.

    Parameters
    ----------
    points : array_like of shape (n, d)
    beta : float
    patterns, bias, bounded_bias, activation, skip, offset, sample_weight, solver, **solver_options
        As in :func:`nuclear_denoising`.

    Returns
    -------
    PatternProgram
        Without network.

    Raises
    ------
    UnboundedObjectiveError
        If the relaxation has no lower bound, which says nothing about score matching.
    SolverError, ValueError
        As in :func:`nuclear_denoising`.

    Warns
    -----
    ConvergenceWarning
        If the solver calls its solution inaccurate.

    References
    ----------
    As :func:`nuclear_denoising`; Zhang, Pilanci (2024), arXiv 2402.01965, for the objective.

    Examples
    --------
    >>> X = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> round(nuclear_score_matching(X, 3.0).value, 4)
    -0.25
    """
    check_offset(bias, offset)
    data = as_point_matrix("points", points)
    std = standardise(data, None, beta, sample_weight, centre=bias and offset)
    gates = make_gates(std, patterns, activation, bias=bias)
    return _solve(std, gates, bounded_bias, skip, offset, solver, solver_options)


class _Term(NamedTuple):
    """What a gate contributes: the rows Z_u acting on the points, its values and penalty."""

    variable: Any
    rows: Any
    values: Any
    penalty: Any


def _term(cp: Any, std: Standardised, gate: Gate, width: int, bounded: bool) -> _Term:
    d = std.shape[1]
    has_bias = gate.inputs.shape[1] > d
    Z = cp.Variable((d + has_bias, width), name="Z")
    if not has_bias or not bounded:
        return _Term(Z, Z[:d], gate.design @ Z, cp.normNuc(Z[:d]))
    middle, reach = _gap(std.points, gate.pattern)
    inputs = np.column_stack([std.points - middle, np.full(len(std.points), reach)])
    penalty = cp.maximum(cp.normNuc(Z[:d]), cp.normNuc(Z) / np.sqrt(2.0), cp.norm(Z[d], 2))
    return _Term(Z, Z[:d], (gate.factor[:, np.newaxis] * inputs) @ Z, penalty)


def _gap(points: FloatArray, pattern: NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Middle and half the length of the shortest segment from an active to an inactive point."""
    active, idle = points[pattern], points[~pattern]
    difference = active[:, np.newaxis] - idle[np.newaxis]
    lengths = np.linalg.norm(difference, axis=2)
    i, j = np.unravel_index(np.argmin(lengths), lengths.shape)
    return 0.5 * (active[i] + idle[j]), 0.5 * float(lengths[i, j])


def _solve(
    std: Standardised,
    gates: tuple[Gate, ...],
    bounded: bool,
    skip: bool,
    offset: bool,
    solver: str,
    options: dict[str, Any],
) -> PatternProgram:
    cp = import_cvxpy()
    n, d = std.shape
    width = std.labels.shape[1]
    terms = [_term(cp, std, gate, width, bounded) for gate in gates]
    variables: dict[str, Any] = {"Z": [term.variable for term in terms]}
    values = sum(term.values for term in terms)
    if skip:
        variables["skip"] = cp.Variable((width, d), name="skip")
        values = values + std.points @ variables["skip"].T
    if offset:
        variables["offset"] = cp.Variable((1, width), name="offset")
        values = values + np.ones((n, 1)) @ variables["offset"]
    objective = 0.5 * cp.sum_squares(cp.multiply(std.root, values - std.labels))
    objective = objective + std.beta * sum(term.penalty for term in terms)
    if std.divergence:
        pairs = zip(gates, terms, strict=True)
        objective = objective + sum(gate.trace * cp.trace(term.rows) for gate, term in pairs)
        if skip:
            objective = objective + std.total * cp.trace(variables["skip"])
    problem = cp.Problem(cp.Minimize(objective))

    def unbounded(status: str) -> Exception | None:
        if not std.divergence or status == "optimal_inaccurate":
            return None
        return UnboundedObjectiveError(
            f"the nuclear norm relaxation of score matching is unbounded below at "
            f"beta={std.beta:g}: it gives no lower bound here. Raise beta; dictionary_limit bounds "
            "from below the beta that score matching itself needs."
        )

    value, status = solve_convex(
        problem, solver, options, tolerance=SEMIDEFINITE_TOLERANCE, unbounded=unbounded
    )
    return PatternProgram(
        problem=problem,
        variables=variables,
        value=value * std.rate**2,
        patterns=np.array([gate.pattern for gate in gates]),
        weights=std.slope * np.array([term.rows.value for term in terms]),
        fitted=std.label_mean + std.rate * np.asarray(values.value, dtype=np.float64),
        network=None,
        status=status,
        solver=solver,
        scale=std.rate**2,
    )
