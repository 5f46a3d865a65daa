"""Programs over activation patterns: cones of neurons, free gates, and the nuclear norm."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import block_diag

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore._tools.validation import check_choice
from convexscore.programs.assembly import minimise
from convexscore.programs.data import Standardised, standardise
from convexscore.programs.gates import Gate, interior_neurons, make_gates, split_gate
from convexscore.programs.result import ConvexProgram
from convexscore.programs.solver import CLARABEL, SolverChoice, import_cvxpy, value_of
from convexscore.scores.activations import Activation
from convexscore.scores.network import TwoLayerNetwork

FloatArray = NDArray[np.float64]

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
    activation: str | Activation = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: SolverChoice | str = CLARABEL,
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
    std = standardise(
        X, labels, beta, sample_weight, activation=activation, skip=skip, offset=offset, bias=bias,
        outputs="some",
    )  # fmt: skip
    gates = make_gates(std, patterns, bias=bias)
    if std.beta and (std.divergence or kind == "gated"):
        raise ValueError(
            f"beta={beta:g} needs labels and kind='cone'. For score matching with a penalty take "
            "dictionary_program, for gates nuclear_program."
        )
    design = np.hstack([gate.design for gate in gates])
    traces = _traces(gates, std.shape[1])
    inside = [] if std.beta else interior_neurons(std, gates, bias=bias)
    if std.divergence:
        _require_bounded(std, len(gates), design, traces)

    cp = import_cvxpy()
    k = std.labels.shape[1]
    sides = [cp.Variable((design.shape[1], k), name="W")]
    constraints, penalty = [], 0.0
    if kind == "cone":
        sides.append(cp.Variable(sides[0].shape, name="W'"))
        cone = _cones(gates)
        constraints = [cone @ V >= 0 for V in sides]
        penalty = sum(_lengths(cp, gates, std.shape[1], V) for V in sides)
    W = sides[0] - sides[1] if kind == "cone" else sides[0]
    divergence = cp.sum(cp.multiply(traces, W)) if std.divergence else 0.0
    terms: dict[str, Any] = {
        "divergence": divergence,
        "penalty": penalty,
        "constraints": constraints,
    }
    program = minimise(std, design @ W, solver, **terms)

    matrices = _by_gate(gates, value_of(W))
    if std.beta:  # the neurons that were paid for
        groups = [
            (gate, V, sign * np.eye(k))
            for sign, side in zip((1.0, -1.0), sides, strict=True)
            for gate, V in zip(gates, _by_gate(gates, value_of(side)), strict=True)
        ]
    else:
        split = map(split_gate, gates, matrices, inside)
        groups = [(gate, *parts) for gate, parts in zip(gates, split, strict=True)]
    return replace(
        program,
        patterns=np.array([gate.pattern for gate in gates]),
        weights=std.slope * np.array([V[: std.shape[1]] for V in matrices]),
        network=_network(std, groups, program.variables),
    )


def nuclear_program(
    X: ArrayLike,
    *,
    beta: float,
    labels: ArrayLike | None = None,
    patterns: Any = None,
    bias: bool = True,
    bounded_bias: bool = True,
    activation: str | Activation = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: SolverChoice | str = CLARABEL,
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
    labels : array_like of shape (n, k), optional
        Any number of columns.
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
    std = standardise(
        X, labels, beta, sample_weight, activation=activation, skip=skip, offset=offset, bias=bias,
        outputs="any",
    )  # fmt: skip
    gates = make_gates(std, patterns, bias=bias)
    cp = import_cvxpy()
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
    divergence = cp.sum(cp.multiply(_traces(gates, d), Z)) if std.divergence else 0.0

    def unbounded(status: str) -> Exception | None:
        if "unbounded" not in status:
            return None
        return UnboundedObjectiveError(
            f"the nuclear norm relaxation of score matching is unbounded below at "
            f"beta={std.beta:g}: it gives no lower bound here. Raise beta; dictionary_limit bounds "
            "from below the beta that score matching itself needs."
        )

    terms: dict[str, Any] = {"divergence": divergence, "penalty": penalty, "unbounded": unbounded}
    program = minimise(std, np.hstack(designs) @ Z, solver, tolerance=_TOLERANCE, **terms)
    return replace(
        program,
        patterns=np.array([gate.pattern for gate in gates]),
        weights=std.slope * np.array([V[:d] for V in _by_gate(gates, value_of(Z))]),
    )


def _gap(points: FloatArray, pattern: NDArray[np.bool_]) -> tuple[FloatArray, float]:
    """Middle and half the length of the shortest segment from an active to an inactive point."""
    active, idle = points[pattern], points[~pattern]
    lengths = np.linalg.norm(active[:, np.newaxis] - idle[np.newaxis], axis=2)
    i, j = np.unravel_index(np.argmin(lengths), lengths.shape)
    return 0.5 * (active[i] + idle[j]), 0.5 * float(lengths[i, j])


def _by_gate(gates: tuple[Gate, ...], stacked: FloatArray) -> list[FloatArray]:
    return np.split(stacked, np.cumsum([gate.inputs.shape[1] for gate in gates])[:-1])


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
    std: Standardised,
    groups: list[tuple[Gate, FloatArray, FloatArray]],
    variables: dict[str, Any],
) -> TwoLayerNetwork:
    """Gates, neurons (q, m) of their cones and outer weights (m, k) as a network; |u| = 1."""
    u, b, w, shift = [], [], [], np.zeros(std.labels.shape[1])
    for gate, columns, outer in groups:
        inner, biases = gate.neurons(columns, std.shape[1])
        if gate.free:  # the offset takes the constants back
            shift -= gate.factor[0] * biases @ outer
        u.append(inner)
        b.append(biases)
        w.append(outer)
    inner, biases, outer = np.vstack(u), np.concatenate(b), np.vstack(w)
    size = np.linalg.norm(inner, axis=1)
    keep = size > _PRUNE_BELOW * np.max(size, initial=1.0) if std.beta else size > 0
    inner, biases, outer, size = inner[keep], biases[keep], outer[keep], size[keep]
    return std.network(
        inner / size[:, np.newaxis],
        std.slope * outer * size[:, np.newaxis],
        std.biases(inner, biases) / size,
        variables,
        shift,
    )


def _require_bounded(
    std: Standardised, n_patterns: int, design: FloatArray, traces: FloatArray
) -> None:
    """The divergence must be a linear function of the values: in the row space of the design."""
    n, d = std.shape
    if std.skip:
        design = np.hstack([design, std.points])
        traces = np.vstack([traces, std.mass.sum() * np.eye(d)])
    if std.offset:
        design, traces = np.hstack([design, np.ones((n, 1))]), np.vstack([traces, np.zeros((1, d))])
    solution = np.linalg.lstsq(design.T, traces, rcond=1e-10)[0]
    if np.max(np.abs(design.T @ solution - traces)) > 1e-7 * np.max(np.abs(traces)):
        raise UnboundedObjectiveError(
            f"score matching without penalty is unbounded below with {n_patterns} patterns on {n} "
            "points: maps that vanish on the data have a divergence there. Give fewer patterns "
            "(about n / (d + 1) at most), or take dictionary_program, which has a penalty."
        )
