r"""Optimality certificate on the line, recomputed from the data.

The dual of every univariate case is

    max  -1/2 sum_i m_i r_i^2 - sum_i m_i r_i l_i
    s.t. sum_i m_i r_i = 0,   |G(neuron)| <= beta for every neuron,
         skip: sum_i m_i r_i x_i + divergence * total mass = 0.

G of a hinge is linear in its kink between neighbouring data points, so the data points with both
one-sided counts decide over all neurons.  A residual that violates the bounds slightly is made
feasible: by scaling for denoising, where the constraints are homogeneous; for score matching by
mixing it with a strictly feasible point r0 that is known in closed form (its hinge values vanish,
ties counted half, at the edges of blocks of little mass).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexscore.networks import TwoLayerNetwork
from convexscore.solvers.line import LineCase
from convexscore.solvers.line_data import Floats, LineData
from convexscore.solvers.line_problem import LineProblem


@dataclass(frozen=True)
class DualHint:
    """Multipliers that a constrained problem needs beside the residual (see LinePenalty)."""

    tilt: float
    slope_total: float
    slope_shift: Floats  # (P,) total slope multiplier to the right of each value


@dataclass(frozen=True)
class DualPoint:
    """A dual feasible point and how far the residual it came from was from feasible."""

    value: float
    violation: float
    residual: Floats  # (P,) r - (label spread within ties), standard units
    columns: Floats  # (P,) largest |G| of the neurons with their kink at each value, before repair


def primal_value(
    problem: LineProblem, network: TwoLayerNetwork, score: Floats, beta: float
) -> float:
    """Objective of a network in standard units; ``score`` are its values at the data (original units).

    A kink within rounding of a data value counts on the side that lowers the objective: both are
    limits of networks with the kink beside the value.
    """
    data = problem.data
    residual = score * problem.scale
    if data.label_mass is not None:
        residual = residual - data.label_mass / data.mass
    value = 0.5 * float(np.dot(data.mass, residual * residual)) + data.constant
    value += beta * network.path_norm() / problem.objective_unit
    if data.divergence:
        value += data.divergence * _divergence(problem, network) / problem.objective_unit
    return value


def _divergence(problem: LineProblem, network: TwoLayerNetwork) -> float:
    """sum_i m_i s'(x_i) of the network, ties on the favourable side."""
    u, w, b = network.u[:, 0], network.w[:, 0], network.b
    passed = np.concatenate(([0.0], np.cumsum(problem.data.mass)))
    total = float(passed[-1])
    value = 0.0 if network.skip is None else float(network.skip[0, 0]) * total
    active = (u != 0.0) & (w != 0.0)
    u, w, b = u[active], w[active], b[active]
    if not u.size:
        return value
    kink = -b / u
    x, tol = problem.values, problem.tie_tolerance
    below = passed[np.searchsorted(x, kink - tol, side="left")]
    up_to = passed[np.searchsorted(x, kink + tol, side="right")]
    if network.activation == "relu":
        # mass on the active side, without and with the ties
        least = np.where(u > 0, total - up_to, below)
        most = np.where(u > 0, total - below, up_to)
    else:
        least = np.where(u > 0, total - 2.0 * up_to, 2.0 * below - total)
        most = np.where(u > 0, total - 2.0 * below, 2.0 * up_to - total)
    rate = w * u
    return value + float(np.sum(np.minimum(rate * least, rate * most)))


def _extremes(
    data: LineData, case: LineCase, g: Floats, tilt: float, shift: Floats | float
) -> tuple[Floats, Floats]:
    """Smallest and largest G over the neurons with their kink at each value (all sides)."""
    right = g + shift
    mass = data.divergence * data.mass
    if case.activation == "abs":
        low = 2.0 * right - tilt
        return low, low + 2.0 * mass
    if case.skip:
        return right, right + mass
    return right - max(tilt, 0.0), right + mass - min(tilt, 0.0)


def _project(
    data: LineData, case: LineCase, beta: float, residual: Floats, hint: DualHint | None
) -> tuple[Floats, float, float]:
    """Meet the equality constraints; returns residual, its line gradient and the tilt."""
    mass, total = data.mass, data.total_mass
    residual = residual - float(np.dot(mass, residual)) / total
    middle = data.x - float(np.dot(mass, data.x)) / total
    weighted = mass * middle
    moment = float(np.dot(weighted, residual))
    gradient = moment + data.divergence * total
    if hint is not None:
        wanted = hint.tilt - hint.slope_total
        tilt = hint.tilt
    else:
        low, high = case.tilt_range(data, beta)
        wanted = tilt = 0.0 if case.skip else float(np.clip(gradient, min(low, high), high))
    residual += middle * ((wanted - gradient) / float(np.dot(weighted, middle)))
    return residual, wanted, tilt


def dual_point(
    problem: LineProblem,
    case: LineCase,
    beta: float,
    score: Floats,
    hint: DualHint | None = None,
) -> DualPoint:
    """Best feasible point on the segment (score matching) or ray (denoising) of the residual."""
    data = problem.data
    labels = 0.0 if data.label_mass is None else data.label_mass / data.mass
    raw = score * problem.scale - labels
    residual, gradient, tilt = _project(data, case, beta, raw, hint)
    shift: Floats | float = 0.0 if hint is None else hint.slope_shift
    g = data.hinge_sums(data.mass * residual, gradient)
    low, high = _extremes(data, case, g, tilt, shift)
    columns = np.maximum(-low, high)
    violation = float(columns.max()) / beta - 1.0
    if not data.divergence:
        limit = beta / float(columns.max()) if columns.max() > 0.0 else np.inf
        square = float(np.dot(data.mass, residual * residual))
        best = -float(np.dot(data.mass * residual, np.broadcast_to(labels, residual.shape)))
        factor = np.clip(best / square, -limit, limit) if square > 0.0 else 0.0
        residual = float(factor) * residual
    elif violation > 0.0:
        residual = _mix(data, case, beta, residual, low, high)
    value = data.constant - float(
        np.dot(data.mass * residual, 0.5 * residual + labels)
    )
    return DualPoint(value, violation, residual, columns)


def _mix(
    data: LineData, case: LineCase, beta: float, residual: Floats, low: Floats, high: Floats
) -> Floats:
    """The point nearest to ``residual`` on the segment to a strictly feasible one."""
    # large blocks give a small, smooth residual; the smallest, single values, is always feasible
    blocks = 0.8 * beta
    while True:
        interior, low0, high0 = _interior_point(data, case, blocks)
        if blocks == 0.0 or max(float(-low0.min()), float(high0.max())) < 0.9 * beta:
            break
        blocks = 0.6 * blocks if blocks > float(data.mass.min()) else 0.0
    share = 0.0
    for excess, slack in ((high - beta, beta - high0), (-beta - low, low0 + beta)):
        over = excess > 0.0
        if over.any():
            ratio = excess[over] / (excess[over] + np.maximum(slack[over], 0.0))
            share = max(share, float(ratio.max()))
    return residual + share * (interior - residual)


def _interior_point(
    data: LineData, case: LineCase, block_mass: float
) -> tuple[Floats, Floats, Floats]:
    """Residual whose G vanishes, ties counted half, at the edges of blocks of this mass.

    G is piecewise linear in the kink, so its second differences over the edges give the residual
    directly.  ``block_mass`` 0 puts an edge at every value.  Returns the residual and the extremes
    of its G.
    """
    passed = np.cumsum(data.mass)
    if block_mass > 0.0:
        block = np.floor(passed / block_mass)
        edges = np.flatnonzero(np.diff(block, prepend=block[0] - 1.0) > 0)
        edges = np.unique(np.concatenate(([0], edges, [data.size - 1])))
    else:
        edges = np.arange(data.size)
    total, first, last = float(passed[-1]), float(data.mass[0]), float(data.mass[-1])
    # for the absolute value without skip the neurons at the two ends pull the slope apart
    tilt = slope = shift = 0.0
    if case.zero_outside:
        slope, shift = 0.5 * (first + last), -0.5 * last
    elif case.activation == "abs" and not case.skip:
        slope = tilt = max(first, last)
    target = 0.5 * tilt - shift - (total - passed[edges] + 0.5 * data.mass[edges])
    target[0], target[-1] = slope - total, 0.0
    tail = -np.diff(target) / np.diff(data.x[edges])
    residual_mass = np.zeros(data.size)
    residual_mass[edges[1:]] += tail
    residual_mass[edges[:-1]] -= tail
    residual = residual_mass / data.mass
    low, high = _extremes(data, case, data.hinge_sums(residual_mass, slope), tilt, shift)
    return residual, low, high
