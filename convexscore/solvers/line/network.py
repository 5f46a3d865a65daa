"""From the optimal knots to neurons: which side every hinge faces, and the ties among optima.

The optimum fixes the score on the range of the data; without skip connection it does not always fix
the weights.  The choices made here are deterministic:

* a kink between the data points may face either way at the same cost; with skip all face right,
  without skip they face left from left to right until the left slope is paid for;
* slope carried by neurons at the two extreme points is shared equally as far as they have slope of
  their own to carry (b <= a, ReLU: t = 1/2); the larger b, the more it is shared such that the two outer
  slopes are equal (a = 0, absolute value: opposite as well, so zero where that is possible,
  "Gaussian-Laplace");
* for score matching a kink sits one rounding unit beside its data point, on the side that the
  optimum counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.solvers.line.data import Floats, Ints
from convexscore.solvers.line.problem import LineProblem
from convexscore.solvers.line.search import LineSolution

# kink position index, direction u = +-1, outer weight, side of the data point (-1, 0, +1)
Neuron = tuple[int, float, float, int]

# Outer slopes smaller than this share of the slopes that they are differences of are zero.
_ZERO_SLOPE = 1e-12


def neurons_of(problem: LineProblem, solution: LineSolution) -> list[Neuron]:
    """Neurons of the optimum in standard units."""
    data, sigma = problem.data, solution.case.activation
    slopes = np.diff(solution.values) / np.diff(data.x[solution.knots])
    kinks = np.where(np.diff(slopes) * solution.signs > 0, np.diff(slopes), 0.0)
    side = solution.signs.astype(int) if data.divergence else np.zeros(len(kinks), dtype=int)
    # integrable: kinks at the extremes bring positive outer slopes to zero
    capped = solution.case.constraint == "density"
    first, last = (max(float(slopes[j]), 0.0) if capped else 0.0 for j in (0, -1))
    weights = np.concatenate([[first], kinks, [-last]]) / sigma.slope_jump
    facing_left = _facing_left(solution, weights, float(slopes[0]) - first)
    neurons: list[Neuron] = []
    for k, y, left, n in zip(solution.knots, weights, facing_left, [1, *side, -1], strict=True):
        neurons += [(int(k), -1.0, float(left), int(n)), (int(k), 1.0, float(y - left), int(n))]
    neurons += _line_neurons(problem, solution, slopes)
    if not sigma.odd:
        neurons = [(k, 1.0, y, n) for k, _, y, n in neurons]
    return [neuron for neuron in neurons if neuron[2] != 0.0]


def _facing_left(solution: LineSolution, weights: Floats, outer: float) -> Floats:
    """The part of each weight that faces left, so that the slope left of all kinks is ``outer``."""
    sigma = solution.case.activation
    if solution.case.skip or not sigma.odd:
        return np.zeros(len(weights))
    if solution.tilt != 0.0:
        return np.where(weights * solution.tilt > 0, weights, 0.0)
    # weights of one sign, from left to right
    needed = (sigma.negative_slope * float(weights.sum()) - outer) / (2.0 * sigma.odd)
    usable = np.where(weights * needed > 0, np.abs(weights), 0.0)
    before = np.cumsum(usable) - usable
    return np.sign(needed) * np.clip(abs(needed) - before, 0.0, usable)


def _line_neurons(problem: LineProblem, solution: LineSolution, slopes: Floats) -> list[Neuron]:
    """Neurons that carry the slope q, the cheapest of their kind."""
    q, data, case = solution.line_weight, problem.data, solution.case
    if q == 0.0:
        return []
    a, b = case.activation.odd, case.activation.even
    costs = case.line_costs(data, solution.beta, q)
    kind = min(costs, key=lambda name: costs[name])
    if kind == "pair":
        y, k = q / (2.0 * a), int(np.argmax(data.mass[1:-1])) + 1
        return [(k, 1.0, y, int(np.sign(y))), (k, -1.0, -y, -int(np.sign(y)))]
    masses = data.divergence * data.mass[[0, -1]]
    if kind == "toward" and q < 0.0:
        share = _shared(solution, slopes)
    elif masses[0] == masses[1]:
        share = _shared(solution, slopes) if kind == "toward" else 0.5
    else:
        share = float(masses[0] > masses[1])
    facing, response = (1.0, a + b) if kind == "toward" else (-1.0, b - a)
    y_first, y_last = share * q / response, -(1.0 - share) * q / response
    last = data.size - 1
    return [
        (0, facing, y_first, int(np.sign(y_first))),
        (last, -facing, y_last, int(np.sign(y_last))),
    ]


def _shared(solution: LineSolution, slopes: Floats) -> float:
    """Share of q at the first point: any in [0, 1] costs the same."""
    case, q = solution.case, solution.line_weight
    a, b = case.activation.odd, case.activation.even
    per_slope = (a + b) / (2.0 * b)  # slope on the data per unit that the outer slope changes
    apart = max(0.0, 1.0 - a / b) * per_slope * float(slopes[-1] - slopes[0])
    share = float(np.clip(0.5 * (1.0 - apart / q), 0.0, 1.0))
    if case.constraint is None or q > 0.0:
        return share
    # outer slopes must stay <= 0
    first, last = (per_slope * min(float(slopes[j]), 0.0) / q for j in (0, -1))
    share = min(max(share, 1.0 - last), first)
    return share if _ZERO_SLOPE < share < 1.0 - _ZERO_SLOPE else float(np.round(share))


def assemble(
    problem: LineProblem, solution: LineSolution
) -> tuple[TwoLayerNetwork, PiecewiseLinearScore]:
    """The network in original units and its score as a piecewise-linear function."""
    where, u, weight, kinks = _placed(problem, solution)
    score = _piecewise(problem, solution, where, kinks, weight)
    sigma, skip = solution.case.activation, None
    w = weight * problem.objective_unit
    if solution.case.skip:
        # slope left of everything, minus what the neurons contribute there
        skip = score.left_slope - float(np.sum((sigma.odd * u - sigma.even * np.abs(u)) * w))
    bare = TwoLayerNetwork(u, w, -u * kinks, skip=skip, offset=0.0, activation=sigma)
    anchor = problem.values[solution.knots]
    target = solution.values / problem.scale
    return replace(bare, offset=np.median(target - bare(anchor), keepdims=True)), score


def score_of(problem: LineProblem, solution: LineSolution) -> PiecewiseLinearScore:
    """The score alone, in original units, with kinks exactly at the data points."""
    where, _, weight, _ = _placed(problem, solution)
    return _piecewise(problem, solution, where, problem.values[where], weight)


def _placed(problem: LineProblem, solution: LineSolution) -> tuple[Ints, Floats, Floats, Floats]:
    """Data point, direction, weight (standard units) and kink (original units) of each neuron."""
    neurons = sorted(neurons_of(problem, solution))
    where, u, weight, side = np.array(neurons).reshape(-1, 4).T
    kinks = problem.values[where.astype(np.intp)]
    beside = np.nextafter(kinks, np.copysign(np.inf, side))
    return where.astype(np.intp), u, weight, np.where(side == 0, kinks, beside)


def _piecewise(
    problem: LineProblem, solution: LineSolution, where: Ints, kinks: Floats, weight: Floats
) -> PiecewiseLinearScore:
    unit = problem.objective_unit
    inner_slopes = np.diff(solution.values) / np.diff(problem.data.x[solution.knots])
    jump = solution.case.activation.slope_jump * weight
    last = problem.data.size - 1
    # from the slopes inside, not from the sum of all weights, which may cancel to nothing
    left = _outer_slope(float(inner_slopes[0]), -jump[where == 0])
    right = _outer_slope(float(inner_slopes[-1]), jump[where == last])
    knots, knot_values = [], []
    for index, position in zip(solution.knots, solution.values, strict=True):
        here = kinks[where == index]
        if index in (0, last) and not len(here) and len(solution.knots) > 2:
            continue
        knots.append(float(here[0]) if len(here) else float(problem.values[index]))
        knot_values.append(float(position) / problem.scale)
    return PiecewiseLinearScore(np.array(knots), np.array(knot_values), left * unit, right * unit)


def _outer_slope(inner: float, jumps: Floats) -> float:
    """The slope beyond an extreme point, exactly zero where the jumps there were to make it so."""
    slope = inner + float(jumps.sum())
    size = abs(inner) + float(np.abs(jumps).sum())
    return slope if abs(slope) > _ZERO_SLOPE * size else 0.0
