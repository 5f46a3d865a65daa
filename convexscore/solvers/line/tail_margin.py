r"""A strict version of the slope constraints, for optima whose tails are flat the wrong way.

Slopes <= 0 do not make a density where the optimum is flat at an end and does not point inwards;
the infimum over the integrable scores is then not attained.  Slopes <= -margin always do.  With a
skip connection that is the same problem again: in :math:`\tilde s = s + \eta z` the labels become
:math:`l + \eta z`, the slopes gain :math:`\eta`, the penalty does not change, and score matching
gains the constant :math:`\eta` times the total weight.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.line.problem import LineProblem

# In units of 1 / variance of the points: tails no wider than about 30 standard deviations.
TAIL_MARGIN = 1e-3


def shifted_problem(problem: LineProblem) -> tuple[LineProblem, float]:
    """The problem in s + margin * z, and the margin in standard units."""
    margin = TAIL_MARGIN / problem.variance
    data = problem.data
    labels = np.zeros(data.size) if data.label_mass is None else data.label_mass
    shifted = replace(data, label_mass=labels + margin * data.mass * data.x)
    return replace(problem, data=shifted), margin


def back(
    problem: LineProblem,
    margin: float,
    network: TwoLayerNetwork,
    score: PiecewiseLinearScore,
    certificate: Certificate,
) -> tuple[TwoLayerNetwork, PiecewiseLinearScore, Certificate]:
    """Network, score and certificate of the shifted problem, for s itself."""
    if network.skip is None:
        raise ValueError("a margin on the slopes needs a network with skip connection")
    slope = margin * problem.objective_unit
    network = TwoLayerNetwork(
        network.u,
        network.w,
        network.b,
        skip=network.skip - slope,
        offset=network.offset + slope * problem.center,
        activation=network.activation,
    )
    score = PiecewiseLinearScore(
        score.knots,
        score.values - slope * (score.knots - problem.center),
        score.left_slope - slope,
        score.right_slope - slope,
    )
    constant = problem.data.divergence * problem.data.total_mass * slope
    certificate = replace(
        certificate,
        objective=certificate.objective - constant,
        dual_objective=certificate.dual_objective - constant,
    )
    return network, score, certificate
