"""Programs over activation patterns: cones of neurons, free gates, and the nuclear norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import block_diag

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore._tools.validation import check_choice
from convexscore.programs import solver as conic
from convexscore.programs.gates import Gate, make_gates, split_gate
from convexscore.programs.solver import BoolArray, ConvexProgram, FloatArray
from convexscore.programs.standardised import ProgramOptions, Standardised, standardise
from convexscore.scores.network import TwoLayerNetwork

# Neurons below this fraction of the largest are what the solver leaves of zeros.
_PRUNE_BELOW = 1e-7
# Of Clarabel, for semidefinite cones.
_TOLERANCE = 1e-8


def pattern_program(
    X: ArrayLike,
    *,
    beta: float = 0.0,
    labels: ArrayLike | None = None,
    kind: str = "cone",
    patterns: Any = None,
    bias: bool = True,
    **options: Unpack[ProgramOptions],
) -> ConvexProgram:
    r"""Score matching (or, with labels, denoising) with neurons that have given patterns.

    Denoising over **cones**:

    .. math:: \min\ \tfrac12\Big\|\sum_D D'[X\ 1](V_D - V'_D) + XV^\top + 1c^\top - L\Big\|_F^2
              + \beta\sum_{D,k} \big(\|u_{Dk}\|_2 + \|u'_{Dk}\|_2\big)
              \quad\text{s.t.}\quad (2D - I)[X\ 1]V_D \ge 0,\ (2D - I)[X\ 1]V'_D \ge 0:

    each column :math:`v = (u, b)` of :math:`V_D` is a neuron with outer weight :math:`e_k`, each of
    :math:`V'_D` one with :math:`-e_k`; biases are free of penalty.  D' = D (ReLU) or 2D - I
    (absolute value).  With **one column of labels**, one coordinate of the score, say, and all
    patterns the value is the optimum of :math:`\tfrac12\sum_i(f(x_i)-l_i)^2 +
    \tfrac\beta2\sum_j(\|u_j\|^2+w_j^2)` over networks of any width; fewer patterns, or more columns
    with beta > 0, give an upper bound.

    **Gates** decide by themselves, whatever :math:`W_D = V_D - V'_D` is: the program without cones,
    a least squares problem.  Without penalty its value is the same, because every column of
    :math:`W_D` is the difference of two vectors of the cone of D.

    Score matching, without penalty only:

    .. math:: \min\ \tfrac12\Big\|\sum_D D'[X\ 1]W_D + XV^\top + 1c^\top\Big\|_F^2
              + \sum_D \mathrm{tr}(D')\,\mathrm{tr}(W_D) + n\,\mathrm{tr}(V),

    the trace of :math:`W_D` without its bias row.  Bounded below only for few patterns: the maps
    that vanish on the data must have no divergence there.  Never bounded for all patterns.

    Parameters
    ----------
    X : array_like of shape (n, d)
    beta : float
        Penalty >= 0; positive for cones and denoising only.
    labels : array_like of shape (n, k), k <= d, optional
        With fewer columns than X the other outputs of the network are zero.
    kind : {"cone", "gated"}
    patterns : (p, n) bool or Arrangement, optional
        Patterns of open cells, from ``convexscore.arrangements``; all of them when left out.
        All patterns together interpolate: without penalty distinct points have value 0 (with an
        offset).  Score matching takes fewer than about n / (d + 1) of them.
    bias : bool
        Whether neurons have biases; the patterns must be of the same kind.  The pattern that is
        active everywhere has no bias of its own, since the offset does the same, and no cone, since
        a large bias enters it.
    offset : bool
        Biases include the offset.
    activation, skip, sample_weight, solver
        See :mod:`convexscore.programs`.

    Returns
    -------
    ConvexProgram
        ``weights`` are the :math:`W_D`; ``network`` has the same values and divergence at the
        points, with beta > 0 one neuron for each nonzero column.

    Raises
    ------
    UnboundedObjectiveError
        If the objective has no lower bound.
    SolverError, ValueError, and a ConvergenceWarning
        See :mod:`convexscore.programs`; for beta = 0 also if a pattern belongs to no open cell.

    Notes
    -----
    Time and memory grow with n p d; there are :math:`O(n^d)` patterns in all.

    References
    ----------
    Pilanci, Ergen (2020), *Neural networks are convex regularizers*, theorem 1, here with free
    biases; Mishkin, Sahiner, Pilanci (2022), *Fast convex optimization for two-layer ReLU
    networks*, for gates; Zhang, Pilanci (2024), arXiv 2402.01965, multivariate score matching
    without regularisation.

    Examples
    --------
    Exclusive or, one output, with penalty.

    >>> X = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> program = pattern_program(X, beta=0.1, labels=[0.0, 1.0, 1.0, 0.0])
    >>> program.status, round(program.value, 4)
    ('optimal', 0.2428)

    One gate that is open on two of four points, and an offset for the others.

    >>> X, L, D = [0.0, 1.0, 2.0, 4.0], [1.0, 3.0, 0.0, 2.0], [[False, False, True, True]]
    >>> program = pattern_program(X, labels=L, kind="gated", patterns=D)
    >>> round(program.value, 6), program.fitted[:, 0].round(4).tolist()
    (1.0, [2.0, 2.0, 0.0, 2.0])

    The pattern that is active everywhere gives the Gaussian score.

    >>> program = pattern_program([-1.0, 0.0, 1.0], patterns=[[True, True, True]])
    >>> round(program.value, 6), round(float(program.network(0.5)), 4)
    (-2.25, -0.75)
    """
    check_choice(kind, ("cone", "gated"), name="kind")
    std = standardise(X, labels, beta, bias=bias, **options)
    gates = make_gates(std, patterns, bias=bias)
    if std.beta and (std.divergence or kind == "gated"):
        raise ValueError(
            f"beta={beta:g} needs labels and kind='cone'. For score matching with a penalty take "
            "dictionary_program, for gates nuclear_program."
        )
    d, k = std.shape[1], std.labels.shape[1]
    refuse = _refuse_unbounded(
        f"score matching without penalty is unbounded below with {len(gates)} patterns on "
        f"{std.shape[0]} points: maps that vanish on the data have a divergence there. Give fewer "
        "patterns (about n / (d + 1) at most), or take dictionary_program, which has a penalty."
    )
    cp = conic.import_cvxpy()
    design = np.hstack([gate.factor[:, np.newaxis] * gate.inputs for gate in gates])
    sides = [cp.Variable((design.shape[1], k), name="W")]
    W, penalty = sides[0], 0.0
    constraints: list[Any] = []
    if kind == "cone":
        sides.append(cp.Variable(W.shape, name="W'"))
        W = sides[0] - sides[1]
        constraints = [_cones(gates) @ V >= 0 for V in sides]
        penalty = sum(_lengths(cp, gates, d, V) for V in sides)
    program = std.minimise(
        design @ W, W, _traces(gates, d), penalty, constraints=constraints, refuse=refuse
    )

    if std.beta:  # the neurons that were paid for
        groups = [
            (gate, V, sign * np.eye(k))
            for sign, side in zip((1.0, -1.0), sides, strict=True)
            for gate, V in zip(gates, _by_gate(gates, side), strict=True)
        ]
    else:
        groups = [
            (gate, *split_gate(gate, V, std, bias=bias))
            for gate, V in zip(gates, _by_gate(gates, W), strict=True)
        ]
    return replace(_reported(std, gates, W, program), network=_network(std, groups, program))


def nuclear_program(
    X: ArrayLike,
    *,
    beta: float,
    labels: ArrayLike | None = None,
    patterns: Any = None,
    bias: bool = True,
    bounded_bias: bool = True,
    **options: Unpack[ProgramOptions],
) -> ConvexProgram:
    r"""Lower bound on score matching (or, with labels, denoising): gates with the nuclear norm.

    .. math:: \min\ \tfrac12\Big\|\sum_D D'[X\ 1]Z_D + XV^\top + 1c^\top - L\Big\|_F^2
              + \beta\sum_D \|Z_D\|_*

    for denoising, and with L = 0 and :math:`\sum_D \mathrm{tr}(D')\,\mathrm{tr}(Z_D) +
    n\,\mathrm{tr}V` for score matching; norms and traces of the rows of :math:`Z_D` that act on X.
    The exact program has in place of the norm the gauge of :math:`\{vg^\top: v \in K_D, \|u\|\|g\|
    \le 1\}`; leaving out the cone :math:`K_D` makes it the nuclear norm.

    **Biases.**  Their rows carry no penalty, and without the cone nothing holds them: the vectors
    D1 of all patterns span everything, so with free biases the bound is zero, and score matching
    unbounded for nearly every beta.  What the cone says about a bias must be kept.  The kink
    separates the active from the inactive points; with :math:`z_D` the middle and
    :math:`2\rho_D` the length of the shortest segment between them,
    :math:`b + u^\top z_D = \rho_D y` with :math:`|y| \le \|u\|`.  Hence the gauge is at least

    .. math:: \max\Big\{\|Z_u\|_*,\ \tfrac{1}{\sqrt2}\Big\|\binom{Z_u}{y}\Big\|_*,\ \|y\|_2\Big\},

    which is the penalty with ``bounded_bias``.

    Parameters
    ----------
    X : array_like of shape (n, d)
    beta : float
        Penalty >= 0.  Score matching is unbounded here for some beta for which it is bounded itself.
    labels : array_like of shape (n, k), k <= d, optional
    patterns : (p, n) bool or Arrangement, optional
        All patterns when left out; only then the value is a lower bound for every network.
    bias : bool
        Whether neurons have biases.
    bounded_bias : bool
        False for the literal program with free biases.
    activation, skip, offset, sample_weight, solver
        See :mod:`convexscore.programs`.  Clarabel runs at tolerance 1e-8 here, so the value is a
        bound only to about that accuracy, or to ``accuracy`` where rounding allows no more.

    Returns
    -------
    ConvexProgram
        Without network: gates that are no ReLUs.

    Raises
    ------
    UnboundedObjectiveError
        If the relaxation has no lower bound, which says nothing about score matching.
    SolverError, ValueError, and a ConvergenceWarning
        See :mod:`convexscore.programs`.

    Notes
    -----
    :math:`O(n^d)` patterns with a semidefinite cone each: for very small data.

    References
    ----------
    Sahiner, Ergen, Pauly, Pilanci (2021), *Vector-output ReLU neural network problems are
    copositive programs*; Mishkin, Sahiner, Pilanci (2022) for gated ReLU; Zhang, Pilanci (2024),
    arXiv 2402.01965, for the objective.

    Examples
    --------
    >>> X = [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]
    >>> L = [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    >>> lower, literal = (
    ...     nuclear_program(X, beta=0.5, labels=L, bounded_bias=held).value for held in (True, False)
    ... )
    >>> round(lower, 4), abs(round(literal, 4))
    (0.7572, 0.0)
    >>> round(nuclear_program(X, beta=3.0).value, 4)
    -0.25
    """
    std = standardise(X, labels, beta, bias=bias, **options)
    gates = make_gates(std, patterns, bias=bias)
    cp = conic.import_cvxpy()
    d, k = std.shape[1], std.labels.shape[1]
    Z = cp.Variable((sum(gate.inputs.shape[1] for gate in gates), k), name="Z")
    designs, penalty, start = [], 0.0, 0
    for gate in gates:
        rows = Z[start : start + gate.inputs.shape[1]]
        start += gate.inputs.shape[1]
        inputs, norm = gate.inputs, cp.normNuc(rows[:d])
        if bounded_bias and inputs.shape[1] > d:
            middle, reach = _gap(std.points, gate.pattern)
            inputs = np.column_stack([std.points - middle, np.full(len(std.points), reach)])
            norm = cp.maximum(norm, cp.normNuc(rows) / np.sqrt(2.0), cp.norm(rows[d], 2))
        designs.append(gate.factor[:, np.newaxis] * inputs)
        penalty = penalty + norm

    refuse = _refuse_unbounded(
        f"the nuclear norm relaxation of score matching is unbounded below at beta={std.beta:g}: it "
        "gives no lower bound here. Raise beta; dictionary_limit bounds from below the beta that "
        "score matching itself needs."
    )
    values, counts = np.hstack(designs) @ Z, _traces(gates, d)
    program = std.minimise(values, Z, counts, penalty, tolerance=_TOLERANCE, refuse=refuse)
    return _reported(std, gates, Z, program)


def _refuse_unbounded(message: str) -> Callable[[str], None]:
    def refuse(status: str) -> None:
        if "unbounded" in status:
            raise UnboundedObjectiveError(message)

    return refuse


def _reported(
    std: Standardised, gates: tuple[Gate, ...], matrices: Any, program: ConvexProgram
) -> ConvexProgram:
    inputs = np.array([W[: std.shape[1]] for W in _by_gate(gates, matrices)])
    patterns = np.array([gate.pattern for gate in gates])
    return replace(program, patterns=patterns, weights=std.slope * inputs)


def _gap(points: FloatArray, pattern: BoolArray) -> tuple[FloatArray, float]:
    """Middle and half the length of the shortest segment from an active to an inactive point."""
    active, idle = points[pattern], points[~pattern]
    lengths = np.linalg.norm(active[:, np.newaxis] - idle[np.newaxis], axis=2)
    i, j = np.unravel_index(np.argmin(lengths), lengths.shape)
    return 0.5 * (active[i] + idle[j]), 0.5 * float(lengths[i, j])


def _by_gate(gates: tuple[Gate, ...], stacked: Any) -> list[FloatArray]:
    """The values of stacked matrices, one for each gate."""
    sizes = [gate.inputs.shape[1] for gate in gates]
    return np.split(conic.value_of(stacked), np.cumsum(sizes)[:-1])


def _traces(gates: tuple[Gate, ...], d: int) -> FloatArray:
    """Coefficients of the divergence in the stacked matrices."""
    return np.vstack([gate.trace * np.eye(gate.inputs.shape[1], d) for gate in gates])


def _cones(gates: tuple[Gate, ...]) -> Any:
    """The cones of all gates as one sparse matrix, without rows for free ones."""
    return block_diag([gate.cone[: 0 if gate.free else None] for gate in gates], format="csr")


def _lengths(cp: Any, gates: tuple[Gate, ...], d: int, V: Any) -> Any:
    """Sum of the Euclidean lengths of all u in stacked columns (u, b) and u."""
    rows = np.concatenate([np.arange(gate.inputs.shape[1]) < d for gate in gates])
    columns = [cp.reshape(V[rows, j], (len(gates), d), order="C") for j in range(V.shape[1])]
    return sum(cp.sum(cp.norm(column, 2, axis=1)) for column in columns)


def _network(
    std: Standardised, groups: list[tuple[Gate, FloatArray, FloatArray]], program: ConvexProgram
) -> TwoLayerNetwork:
    """Gates, neurons (q, m) of their cones and outer weights (m, k) as a network; |u| = 1."""
    neurons, shift = [], np.zeros(std.labels.shape[1])
    for gate, columns, outer in groups:
        u, b = gate.neurons(columns, std.shape[1])
        if gate.free:  # the offset takes the constants back
            shift -= gate.factor[0] * b @ outer
        neurons.append((u, b, outer))
    u, b, outer = (np.concatenate(parts) for parts in zip(*neurons, strict=True))
    size = np.linalg.norm(u, axis=1)
    keep = size > _PRUNE_BELOW * np.max(size, initial=1.0) if std.beta else size > 0
    u, b, outer, size = u[keep], b[keep], outer[keep], size[keep]
    unit = u / size[:, np.newaxis]
    # a (u.x' + b) = u.x + (a b - u.mu)
    biases = (std.length * b - u @ std.mean) / size
    return std.network(program, unit, std.slope * outer * size[:, np.newaxis], biases, shift)
