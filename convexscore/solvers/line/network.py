"""From the optimal knots to neurons: which side every hinge faces, and the ties among optima.

The optimum fixes the score on the range of the data; without skip connection it does not always fix
the weights.  The choices made here are deterministic:

* a kink between the data points of a ReLU network may face either way at the same cost; with skip
  all face right, without skip they face left from left to right until the left slope is paid for;
* slope carried by neurons at the two extreme points is shared equally (ReLU: t = 1/2, abs: such
  that the outer slopes are as close to zero as the cost permits, "Gaussian-Laplace");
* for score matching a kink sits one rounding unit beside its data point, on the side that the
  optimum counts.
"""

from __future__ import annotations

import numpy as np

from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.solvers.line.data import Floats, Ints
from convexscore.solvers.line.problem import LineProblem
from convexscore.solvers.line.search import LineSolution

# kink position index, direction u = +-1, outer weight, side of the data point (-1, 0, +1)
Neuron = tuple[int, float, float, int]


def neurons_of(problem: LineProblem, solution: LineSolution) -> list[Neuron]:
    """Neurons of the optimum in standard units."""
    data, case = problem.data, solution.case
    h = np.diff(data.x[solution.knots])
    slopes = np.diff(solution.values) / h
    kinks = np.where(np.diff(slopes) * solution.signs > 0, np.diff(slopes), 0.0)
    where = solution.knots[1:-1]
    side = solution.signs.astype(int) if data.divergence else np.zeros(len(where), dtype=int)
    if case.activation == "abs":
        neurons = [
            (int(k), 1.0, 0.5 * y, int(n)) for k, y, n in zip(where, kinks, side, strict=True)
        ]
        if not case.skip:
            neurons += _abs_ends(problem, solution, slopes, kinks)
    else:
        neurons = _relu_neurons(solution, slopes, kinks, where, side)
        if case.skip:
            neurons += _capped_ends(problem, solution, slopes)
        else:
            neurons += _relu_ends(problem, solution, slopes)
    if case.activation == "abs" and case.skip:
        neurons += [(k, u, 0.5 * y, n) for k, u, y, n in _capped_ends(problem, solution, slopes)]
    return [neuron for neuron in neurons if neuron[2] != 0.0]


def _relu_neurons(
    solution: LineSolution, slopes: Floats, kinks: Floats, where: Ints, side: Ints
) -> list[Neuron]:
    if solution.case.skip:
        facing_left = np.zeros(len(kinks))
    elif solution.tilt > 0.0:
        facing_left = np.where(kinks > 0, kinks, 0.0)
    elif solution.tilt < 0.0:
        facing_left = np.where(kinks < 0, kinks, 0.0)
    else:
        # the left-facing weights must add up to minus the leftmost slope, within one sign; a slope
        # that is capped at the end needs none
        capped = solution.case.constraint == "density"
        needed = -min(float(slopes[0]), 0.0) if capped else -float(slopes[0])
        usable = np.where(kinks * needed > 0, np.abs(kinks), 0.0)
        before = np.cumsum(usable) - usable
        facing_left = np.sign(needed) * np.clip(abs(needed) - before, 0.0, usable)
    neurons: list[Neuron] = []
    for k, kink, left, n in zip(where, kinks, facing_left, side, strict=True):
        neurons += [(int(k), -1.0, float(left), int(n)), (int(k), 1.0, float(kink - left), int(n))]
    return neurons


def _relu_ends(problem: LineProblem, solution: LineSolution, slopes: Floats) -> list[Neuron]:
    """Neurons at the extreme points that carry the slope q (and caps of positive outer slopes)."""
    q, data = solution.line_weight, problem.data
    last = data.size - 1
    if q == 0.0:
        return _capped_ends(problem, solution, slopes)
    if q < 0.0:
        inner = 2.0 * solution.beta - data.divergence * data.mass[1:-1]
        if inner.size and inner.min() < solution.beta:
            # a pair on a heavy inner value is cheaper than an end: both slopes count its mass
            k = int(np.argmin(inner)) + 1
            return [(k, 1.0, q, -1), (k, -1.0, -q, 1)]
        return [(0, 1.0, 0.5 * q, -1), (last, -1.0, -0.5 * q, 1)]
    d = data.divergence
    costs = {"first": -d * data.mass[0], "last": -d * data.mass[last]}
    inner = solution.beta - d * data.mass[1:-1]
    if inner.size and inner.min() < min(costs.values()):
        k = int(np.argmin(inner)) + 1
        return [(k, 1.0, q, 1), (k, -1.0, -q, -1)]
    if costs["first"] == costs["last"]:
        return [(0, 1.0, 0.5 * q, 1), (last, -1.0, -0.5 * q, -1)]
    if costs["first"] < costs["last"]:
        return [(0, 1.0, q, 1)]
    return [(last, -1.0, -q, -1)]


def _capped_ends(problem: LineProblem, solution: LineSolution, slopes: Floats) -> list[Neuron]:
    """Kinks at the extremes that bring positive outer slopes to zero (integrable tails)."""
    if solution.case.constraint != "density":
        return []
    last = problem.data.size - 1
    out: list[Neuron] = []
    if slopes[0] > 0.0:
        out.append((0, 1.0, float(slopes[0]), 1))
    if slopes[-1] > 0.0:
        out.append((last, 1.0, -float(slopes[-1]), -1))
    return out


def _abs_ends(
    problem: LineProblem, solution: LineSolution, slopes: Floats, kinks: Floats
) -> list[Neuron]:
    data, last = problem.data, problem.data.size - 1
    if solution.case.zero_outside:
        first_weight, last_weight = 0.5 * float(slopes[0]), -0.5 * float(slopes[-1])
    else:
        q = solution.line_weight
        if q > 0.0 and data.divergence and data.mass[0] != data.mass[last]:
            total = q if data.mass[0] > data.mass[last] else -q
        else:
            # any total in [-|q|, |q|] costs the same; the one nearest to minus the inner weights
            # makes the outer slopes as flat as possible
            total = float(np.clip(-0.5 * kinks.sum(), -abs(q), abs(q)))
        first_weight, last_weight = 0.5 * (total + q), 0.5 * (total - q)
    out: list[Neuron] = []
    for k, weight in ((0, first_weight), (last, last_weight)):
        out.append((k, 1.0, weight, int(np.sign(weight)) if data.divergence else 0))
    return out


def assemble(
    problem: LineProblem, solution: LineSolution
) -> tuple[TwoLayerNetwork, PiecewiseLinearScore]:
    """The network in original units and its score as a piecewise-linear function."""
    where, u, weight, kinks = _placed(problem, solution)
    score = _piecewise(problem, solution, where, kinks, weight)
    unit = problem.objective_unit
    skip: float | None = None
    w = weight * unit
    if solution.case.skip:
        # slope left of everything, minus what the neurons contribute there
        skip = score.left_slope - float(np.sum(_left_slopes(solution.case.activation, u, w)))
    bare = TwoLayerNetwork(
        u,
        w,
        -u * kinks,
        skip=None if skip is None else [[skip]],
        offset=[0.0],
        activation=solution.case.activation,
    )
    anchor = problem.values[solution.knots]
    target = solution.values / problem.scale
    offset = float(np.median(target - bare(anchor)))
    network = TwoLayerNetwork(
        bare.u, bare.w, bare.b, skip=bare.skip, offset=[offset], activation=bare.activation
    )
    return network, score


def score_of(problem: LineProblem, solution: LineSolution) -> PiecewiseLinearScore:
    """The score alone, in original units, with kinks exactly at the data points."""
    where, _, weight, _ = _placed(problem, solution)
    return _piecewise(problem, solution, where, problem.values[where], weight)


def _placed(problem: LineProblem, solution: LineSolution) -> tuple[Ints, Floats, Floats, Floats]:
    """Data point, direction, weight (standard units) and kink (original units) of each neuron."""
    neurons = sorted(neurons_of(problem, solution))
    where = np.array([n[0] for n in neurons], dtype=np.intp)
    u = np.array([n[1] for n in neurons])
    weight = np.array([n[2] for n in neurons])
    side = np.array([n[3] for n in neurons])
    kinks = problem.values[where]
    kinks = np.where(side > 0, np.nextafter(kinks, np.inf), kinks)
    kinks = np.where(side < 0, np.nextafter(kinks, -np.inf), kinks)
    return where, u, weight, kinks


def _left_slopes(activation: str, u: Floats, w: Floats) -> Floats:
    """Slope of w sigma(u (x - t)) for x far to the left."""
    return np.where(u < 0, -w, 0.0) if activation == "relu" else -w


def _piecewise(
    problem: LineProblem,
    solution: LineSolution,
    where: Ints,
    kinks: Floats,
    weight: Floats,
) -> PiecewiseLinearScore:
    x, scale, unit = problem.values, problem.scale, problem.objective_unit
    inner_slopes = np.diff(solution.values) / np.diff(problem.data.x[solution.knots])
    jump = weight if solution.case.activation == "relu" else 2.0 * weight
    last = problem.data.size - 1
    # from the slopes inside, not from the sum of all weights, which may cancel to nothing
    left = float(inner_slopes[0]) - float(jump[where == 0].sum())
    right = float(inner_slopes[-1]) + float(jump[where == last].sum())
    if solution.case.activation == "abs" and not solution.case.skip:
        # left and right are opposite, and exactly zero where the choice of the ends made them so
        if abs(left - right) <= 1e-12 * (abs(left) + abs(right) + float(np.abs(weight).sum())):
            left = right = 0.0
    knots, knot_values = [], []
    for index, position in zip(solution.knots, solution.values, strict=True):
        here = kinks[where == index]
        ends = index in (0, last)
        if ends and not len(here) and 2 < len(solution.knots):
            continue
        knots.append(float(here[0]) if len(here) else float(x[index]))
        knot_values.append(float(position) / scale)
    return PiecewiseLinearScore(np.array(knots), np.array(knot_values), left * unit, right * unit)
