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

from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.line.cases import LineCase, boundedness_limit
from convexscore.solvers.line.data import Floats, Ints, LineData
from convexscore.solvers.line.problem import LineProblem

# Share of beta that G of the interior point may reach.
_BLOCK_SHARE = 0.8


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
    residual = score * problem.scale - data.label_sums / data.mass
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
    # mass on the active side, without and with the ties
    sigma, rate = network.activation, w * u
    active = np.stack(
        [np.where(u > 0, total - up_to, below), np.where(u > 0, total - below, up_to)]
    )
    counted = sigma.slope_jump * active + sigma.negative_slope * total
    return value + float(np.sum(np.min(rate * counted, axis=0)))


def _extremes(
    data: LineData, case: LineCase, g: Floats, tilt: float, shift: Floats | float
) -> tuple[Floats, Floats]:
    """Smallest and largest G over the neurons with their kink at each value (all sides)."""
    sigma = case.activation
    middle = sigma.slope_jump * (g + shift)
    counted = sigma.slope_jump * data.divergence * data.mass
    line, turned = sigma.even * tilt, sigma.odd * abs(tilt)
    return middle - (line + turned), middle + counted - (line - turned)


def _project(
    problem: LineProblem, case: LineCase, beta: float, residual: Floats, hint: DualHint | None
) -> tuple[Floats, float, float]:
    """Meet the equality constraints; returns residual, its line gradient and the tilt."""
    data, total = problem.data, problem.data.total_mass
    weighted = data.mass * residual
    level = float(weighted.sum()) / total
    moment = float(np.dot(weighted, data.x)) - problem.mean * level * total
    gradient = moment + data.divergence * total
    if hint is not None:
        wanted, tilt = hint.tilt - hint.slope_total, hint.tilt
    else:
        low, high = case.tilt_range(data, beta)
        wanted = tilt = 0.0 if case.skip else float(np.clip(gradient, min(low, high), high))
    slope = (wanted - gradient) / (total * problem.variance)
    projected = data.x * slope
    projected += residual
    projected -= level + slope * problem.mean
    return projected, wanted, tilt


def dual_point(
    problem: LineProblem,
    case: LineCase,
    beta: float,
    score: Floats,
    hint: DualHint | None = None,
) -> DualPoint:
    """Best feasible point on the segment (score matching) or ray (denoising) of the residual."""
    data = problem.data
    labels = data.label_sums / data.mass
    residual, gradient, tilt = _project(problem, case, beta, score * problem.scale - labels, hint)
    shift: Floats | float = 0.0 if hint is None else hint.slope_shift
    g = data.hinge_sums(data.mass * residual, gradient)
    low, high = _extremes(data, case, g, tilt, shift)
    columns = np.maximum(-low, high)
    worst = float(columns.max())
    if not data.divergence:
        limit = beta / worst if worst > 0.0 else np.inf
        square = float(np.dot(data.mass * residual, residual))
        best = -float(np.dot(data.mass * residual, labels))
        residual *= float(np.clip(best / square, -limit, limit)) if square > 0.0 else 0.0
    elif worst > beta:
        _mix(data, case, beta, residual, low, high)
    weighted = data.mass * residual
    value = data.constant - 0.5 * float(np.dot(weighted, residual))
    value -= float(np.dot(weighted, labels))
    return DualPoint(value, worst / beta - 1.0, residual, columns)


def _mix(
    data: LineData, case: LineCase, beta: float, residual: Floats, low: Floats, high: Floats
) -> None:
    """Move ``residual`` the least towards a strictly feasible point until it is feasible.

    Large blocks give a small, smooth feasible point whose G is bounded by their mass; where beta
    leaves no room for blocks the point with an edge at every value is used and its G computed.
    """
    heaviest = float(data.mass.max())
    per_mass = data.divergence * case.activation.slope_jump
    blocks = _BLOCK_SHARE * beta / per_mass - heaviest
    if blocks >= heaviest:
        edges, interior, _ = _interior_point(data, case, blocks)
        bound = per_mass * (blocks + heaviest)
        excess = max(float(high.max()), -float(low.min())) - beta
        share = excess / (excess + beta - bound)
    else:
        edges, interior, tilt = _interior_point(data, case, 0.0)
        sums = data.hinge_sums(interior * data.mass, tilt)
        low0, high0 = _extremes(data, case, sums, tilt, 0.0)
        share = 0.0
        for over, slack in ((high - beta, beta - high0), (-beta - low, low0 + beta)):
            positive = over > 0.0
            if positive.any():
                ratio = over[positive] / (over[positive] + np.maximum(slack[positive], 0.0))
                share = max(share, float(ratio.max()))
    residual *= 1.0 - share
    residual[edges] += share * interior


def _interior_point(
    data: LineData, case: LineCase, block_mass: float
) -> tuple[Ints, Floats, float]:
    """Residual whose G vanishes, ties counted half, at the edges of blocks of this mass.

    G is piecewise linear in the kink, so its second differences over the edges give the residual
    directly.  Between two edges the linear part and the active mass both move by the mass of the
    block, so that |G| <= 2 b (block mass plus one value).  ``block_mass`` 0 puts an edge at every value.
    Returns edges, residual there, and the line gradient (the tilt).
    """
    passed = np.cumsum(data.mass)
    total = float(passed[-1])
    if block_mass > 0.0:
        inner = np.searchsorted(passed, np.arange(block_mass, total, block_mass))
        edges = np.unique(np.concatenate(([0], inner, [data.size - 1])))
    else:
        edges = np.arange(data.size)
    # without skip the neurons at the two ends may pull the slope apart: a tilt that is feasible at the
    # limit is so above it
    limit = boundedness_limit(data, case.activation, case.skip)
    tilt = max(0.0, case.tilt_range(data, limit)[0])
    target = 0.5 * tilt - (total - passed[edges] + 0.5 * data.mass[edges])
    target[0], target[-1] = tilt - total, 0.0
    tail = -np.diff(target) / np.diff(data.x[edges])
    residual_mass = np.zeros(len(edges))
    residual_mass[1:] += tail
    residual_mass[:-1] -= tail
    return edges, residual_mass / data.mass[edges], tilt
