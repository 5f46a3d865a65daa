"""The exact convex program of a scalar output: group lasso with cone constraints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore.programs.gates import Gate, check_offset, make_gates
from convexscore.programs.multivariate import (
    Standardised,
    as_labels,
    as_matrix,
    as_point_matrix,
    standardise,
)
from convexscore.programs.solve import import_cvxpy, solve_convex
from convexscore.scores.activations import get_activation

FloatArray = NDArray[np.float64]

# Neurons below this fraction of the largest are what the solver leaves of zeros.
_PRUNE_BELOW = 1e-7


@dataclass(frozen=True, eq=False)
class ScalarNetwork:
    r"""A two-layer network with one output, :math:`f(x) = \sum_j w_j\sigma(u_j^\top x + b_j) +
    v^\top x + c`.

    Attributes
    ----------
    u : (m, d) of Euclidean length 1
    w, b : (m,)
    skip : (d,) or None
    offset : float
    activation : str
    """

    u: FloatArray
    w: FloatArray
    b: FloatArray
    skip: FloatArray | None
    offset: float
    activation: str

    def __call__(self, x: ArrayLike) -> FloatArray:
        """Values at points (n, d), shape (n,)."""
        points = as_matrix("x", x)
        sigma = get_activation(self.activation)
        out: FloatArray = sigma.value(points @ self.u.T + self.b) @ self.w + self.offset
        return out if self.skip is None else out + points @ self.skip


@dataclass(frozen=True, eq=False)
class PatternRegression:
    """A solved :func:`pattern_regression`.

    Attributes
    ----------
    problem : cvxpy.Problem
        Stated for standardised data: ``value = scale * problem.value``.
    variables : dict of str to lists of cvxpy.Variable
        ``"v"`` and ``"v'"``, neurons with outer weight 1 and -1.
    value : float
        Optimal value in the unit of the data.
    network : ScalarNetwork
    status : str
    solver : str
    scale : float
    """

    problem: Any = field(repr=False)
    variables: dict[str, Any] = field(repr=False)
    value: float
    network: ScalarNetwork = field(repr=False)
    status: str
    solver: str
    scale: float = field(repr=False)


def pattern_regression(
    points: ArrayLike,
    targets: ArrayLike,
    beta: float,
    *,
    patterns: Any = None,
    bias: bool = True,
    activation: str = "relu",
    skip: bool = False,
    offset: bool = True,
    sample_weight: ArrayLike | None = None,
    solver: str = "CLARABEL",
    **solver_options: Any,
) -> PatternRegression:
    r"""Best two-layer network with one output: one coordinate of the score, say.

    .. math:: \min\ \tfrac12\Big\|\sum_D D'[X\ 1](v_D - v'_D) + X\alpha + c1 - t\Big\|^2
              + \beta\sum_D \big(\|u_D\|_2 + \|u'_D\|_2\big)
              \quad\text{s.t.}\quad (2D - I)[X\ 1]v_D \ge 0,\ (2D - I)[X\ 1]v'_D \ge 0,

    where :math:`v = (u, b)` and the bias is free of penalty.  With all patterns its value is the
    optimum of :math:`\tfrac12\sum_i(f(x_i)-t_i)^2 + \tfrac\beta2\sum_j(\|u_j\|^2+w_j^2)` over
    networks of any width.  The pattern that is active everywhere has no bias of its own, since
    the offset does the same, and no cone, since a large bias enters it.

    Parameters
    ----------
    points : array_like of shape (n, d)
    targets : array_like of shape (n,)
    beta : float
        Penalty >= 0, for sums over samples.
    patterns : (p, n) bool or Arrangement, optional
        All patterns when left out; fewer give an upper bound.
    bias, activation, skip, offset, sample_weight, solver, **solver_options
        As in :func:`gated_denoising`.

    Returns
    -------
    PatternRegression
        The network has one neuron per nonzero :math:`v_D` or :math:`v'_D`.

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
    :math:`O(n^d)` patterns with n linear constraints each.

    References
    ----------
    Pilanci, Ergen (2020), *Neural networks are convex regularizers*, theorem 1, here with free
    biases.

    Examples
    --------
    >>> X = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> program = pattern_regression(X, [0.0, 1.0, 1.0, 0.0], 0.1)
    >>> program.status, round(program.value, 4)
    ('optimal', 0.2428)
    """
    check_offset(bias, offset)
    data = as_point_matrix("points", points)
    target = as_labels(targets, (data.shape[0], 1))
    std = standardise(data, target, beta, sample_weight, centre=bias and offset)
    return _solve(std, patterns, activation, bias, skip, offset, solver, solver_options)


def _solve(
    std: Standardised,
    patterns: Any,
    activation: str,
    bias: bool,
    skip: bool,
    offset: bool,
    solver: str,
    options: dict[str, Any],
) -> PatternRegression:
    cp = import_cvxpy()
    d = std.shape[1]
    gates = make_gates(std, patterns, activation, bias=bias)
    plus = [cp.Variable(gate.inputs.shape[1], name="v") for gate in gates]
    minus = [cp.Variable(gate.inputs.shape[1], name="v'") for gate in gates]
    constraints = [
        gate.cone @ v >= 0
        for side in (plus, minus)
        for gate, v in zip(gates, side, strict=True)
        if not gate.free
    ]
    values = sum(gate.design @ (v - m) for gate, v, m in zip(gates, plus, minus, strict=True))
    penalty = sum(cp.norm(v[:d], 2) for v in plus + minus)
    alpha = cp.Variable(d, name="skip") if skip else None
    if alpha is not None:
        values = values + std.points @ alpha
    constant = cp.Variable(name="offset") if offset else None
    if constant is not None:
        values = values + constant
    loss = 0.5 * cp.sum_squares(cp.multiply(std.root[:, 0], values - std.labels[:, 0]))
    problem = cp.Problem(cp.Minimize(loss + std.beta * penalty), constraints)
    value, status = solve_convex(problem, solver, options)

    network = _network(
        std,
        gates,
        [np.asarray(v.value, dtype=np.float64) for v in plus],
        [np.asarray(v.value, dtype=np.float64) for v in minus],
        0.0 if constant is None else float(constant.value),
        None if alpha is None else np.asarray(alpha.value, dtype=np.float64),
        get_activation(activation).name,
    )
    return PatternRegression(
        problem=problem,
        variables={"v": plus, "v'": minus},
        value=value * std.rate**2,
        network=network,
        status=status,
        solver=solver,
        scale=std.rate**2,
    )


def _network(
    std: Standardised,
    gates: tuple[Gate, ...],
    plus: list[FloatArray],
    minus: list[FloatArray],
    offset: float,
    skip: FloatArray | None,
    activation: str,
) -> ScalarNetwork:
    d = std.shape[1]
    u, b, w = [], [], []
    for sign, side in ((1.0, plus), (-1.0, minus)):
        for gate, v in zip(gates, side, strict=True):
            bias = 0.0 if len(v) == d else v[d]
            if gate.free:
                # Just active on all points; the offset takes the constant back.
                bias = -float(np.min(std.points @ v))
                offset -= sign * bias
            u.append(v[:d])
            b.append(bias)
            w.append(sign)
    inner, size = np.array(u), np.linalg.norm(u, axis=1)
    keep = size > _PRUNE_BELOW * np.max(size, initial=1.0)
    inner, size = inner[keep], size[keep]
    biases = std.bias_of(inner, np.array(b)[keep])
    constant, line = std.line(np.array([offset]), None if skip is None else skip[np.newaxis])
    return ScalarNetwork(
        u=inner / size[:, np.newaxis],
        w=std.slope * np.array(w)[keep] * size,
        b=biases / size,
        skip=None if line is None else line[0],
        offset=float(constant[0]),
        activation=activation,
    )
