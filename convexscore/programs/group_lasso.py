"""The group lasso over a fixed set of neurons, stated for CVXPY."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore.programs.multivariate import Standardised
from convexscore.programs.result import ConvexProgram
from convexscore.programs.solve import import_cvxpy, solve_convex
from convexscore.scores.activations import Activation, get_activation

FloatArray = NDArray[np.float64]

# Neurons below this fraction of the largest one (or of the unit of outer weights, if that is
# larger) are idle: a conic solver leaves them at about its tolerance.
_PRUNE_BELOW = 1e-7
# The limit of beta is for a message and for orientation.
_LIMIT_TOLERANCE = 1e-7


@dataclass(frozen=True)
class NeuronOptions:
    """What is free besides the outer weights, and how these are tied and paid for.

    ``order`` is the norm of the inner weight in the penalty: 1 or 2.
    """

    activation: Activation
    skip: bool
    offset: bool
    conservative: bool = False
    sign: int = 0
    order: int = 2


@dataclass(frozen=True, eq=False)
class _Model:
    """Variables and expressions of the program for standardised data."""

    variables: dict[str, Any]
    values: Any
    divergence: Any
    penalty: Any

    def outer(self, direction: FloatArray) -> FloatArray:
        """The (k, d) outer weights that belong to inner weights of norm one."""
        if "y" in self.variables:
            y: FloatArray = np.asarray(self.variables["y"].value)
            return y[:, np.newaxis] * direction
        return np.asarray(self.variables["W"].value, dtype=np.float64)

    def free(self, name: str) -> FloatArray | None:
        variable = self.variables.get(name)
        return None if variable is None else np.asarray(variable.value, dtype=np.float64)


def _columns(
    std: Standardised, u: FloatArray, b: FloatArray, options: NeuronOptions
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Inner weights of norm one, values (n, m) and sums of derivatives (m,) of all neurons."""
    size = _sizes(u, options)
    # As the network itself computes them, so that ties fall on the same side.
    pre = std.raw @ u.T + b
    phi = options.activation.value(pre) / (std.length * size)
    return u / size[:, np.newaxis], phi, std.mass @ options.activation.derivative(pre)


def _sizes(u: FloatArray, options: NeuronOptions) -> FloatArray:
    return np.linalg.norm(u, ord=options.order, axis=1)


def _model(std: Standardised, u: FloatArray, b: FloatArray, options: NeuronOptions) -> _Model:
    cp = import_cvxpy()
    n, d = std.shape
    direction, phi, counts = _columns(std, u, b, options)
    variables: dict[str, Any] = {}
    if options.conservative:
        y = cp.Variable(len(b), name="y", nonpos=options.sign < 0)
        variables["y"] = y
        values = phi @ cp.diag(y) @ direction
        divergence = (counts * np.sum(direction**2, axis=1)) @ y
        penalty = cp.norm1(y)
    else:
        W = cp.Variable((len(b), d), name="W")
        variables["W"] = W
        values = phi @ W
        divergence = cp.sum(cp.multiply(counts[:, np.newaxis] * direction, W))
        penalty = cp.sum(cp.norm(W, 2, axis=1))
    if options.skip:
        V = cp.Variable((d, d), name="skip", **_kind_of_matrix(options))
        variables["skip"] = V
        values = values + std.points @ V.T
        divergence = divergence + std.total * cp.trace(V)
    if options.offset:
        c = cp.Variable((1, d), name="offset")
        variables["offset"] = c
        values = values + np.ones((n, 1)) @ c
    return _Model(variables, values, divergence, penalty)


def _kind_of_matrix(options: NeuronOptions) -> dict[str, bool]:
    if not options.conservative:
        return {}
    return {"NSD": True} if options.sign < 0 else {"symmetric": True}


def solve_group_lasso(
    std: Standardised,
    u: FloatArray,
    b: FloatArray,
    options: NeuronOptions,
    solver: str,
    solver_options: dict[str, Any],
) -> ConvexProgram:
    """Minimise over the outer weights of given neurons; returns the network in data units."""
    cp = import_cvxpy()
    model = _model(std, u, b, options)
    loss = 0.5 * cp.sum_squares(cp.multiply(std.root, model.values - std.labels))
    if std.divergence:
        loss = loss + std.divergence * model.divergence
    problem = cp.Problem(cp.Minimize(loss + std.beta * model.penalty))

    def unbounded(status: str) -> Exception | None:
        if not std.divergence:
            return None
        limit = limit_of_group_lasso(std, u, b, options, solver)
        is_bounded = status == "optimal_inaccurate" and std.beta >= limit
        return None if is_bounded else _unbounded_error(std, limit)

    value, status = solve_convex(problem, solver, solver_options, unbounded=unbounded)
    size = _sizes(u, options)
    w = std.slope * model.outer(u / size[:, np.newaxis]) / size[:, np.newaxis]
    norms = np.linalg.norm(w, axis=1) * size
    keep = norms > _PRUNE_BELOW * np.max(norms, initial=std.slope)
    network = std.network(
        u[keep],
        w[keep],
        b[keep],
        offset=_row(model.free("offset"), std.shape[1]),
        skip=model.free("skip"),
        activation=options.activation.name,
    )
    return ConvexProgram(
        problem=problem,
        variables=model.variables,
        value=value * std.rate**2,
        weights=w,
        network=network,
        status=status,
        solver=solver,
        scale=std.rate**2,
        constant=0.0,
    )


def limit_of_group_lasso(
    std: Standardised, u: FloatArray, b: FloatArray, options: NeuronOptions, solver: str
) -> float:
    """Smallest beta with a residual R that satisfies the optimality conditions of all neurons.

    This is the dual of maximising the negative divergence over combinations that vanish on the
    data, and the better conditioned of the two.
    """
    cp = import_cvxpy()
    n, d = std.shape
    direction, phi, counts = _columns(std, u, b, options)
    R, limit = cp.Variable((n, d)), cp.Variable()
    G = phi.T @ R + counts[:, np.newaxis] * direction
    if options.conservative:
        along = cp.sum(cp.multiply(G, direction), axis=1)
        constraints = [(along if options.sign else cp.abs(along)) <= limit]
    else:
        constraints = [cp.norm(G, 2, axis=1) <= limit]
    if options.skip:
        S = R.T @ std.points + std.total * np.eye(d)
        if options.sign:
            constraints.append(S + S.T << 0)
        else:
            constraints.append((S + S.T if options.conservative else S) == 0)
    if options.offset:
        constraints.append(cp.sum(R, axis=0) == 0)
    problem = cp.Problem(cp.Minimize(limit), constraints)
    value, _ = solve_convex(problem, solver, {}, tolerance=_LIMIT_TOLERANCE, infeasible=np.inf)
    return max(value, 0.0)


def _unbounded_error(std: Standardised, limit: float) -> UnboundedObjectiveError:
    if np.isinf(limit):
        remedy = (
            "no beta is large enough, because the skip connection is free where the points do not "
            "vary: remove columns that depend on others, or leave out skip"
        )
    else:
        remedy = (
            f"for these points and neurons beta must be larger than {limit:g}. Raise beta, or use "
            "denoising, which is bounded for every beta"
        )
    return UnboundedObjectiveError(
        f"score matching is unbounded below at beta={std.beta:g}: {remedy}."
    )


def _row(value: FloatArray | None, d: int) -> FloatArray:
    return np.zeros(d) if value is None else value.reshape(d)


def neuron_options(
    activation: str,
    *,
    skip: bool,
    offset: bool,
    conservative: bool = False,
    sign: int = 0,
    order: int = 2,
) -> NeuronOptions:
    """Check the combination of options."""
    if sign not in (0, -1):
        raise ValueError(f"sign must be 0 (free) or -1 (log-concave), got {sign!r}.")
    if sign and not conservative:
        raise ValueError(
            "sign=-1 needs conservative=True: only the outer weights y_k of w_k = y_k u_k have a "
            "sign. Pass conservative=True or sign=0."
        )
    return NeuronOptions(get_activation(activation), skip, offset, conservative, sign, order)
