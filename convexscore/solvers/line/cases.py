r"""The univariate problems (and their constrained forms) as one master, one oracle, one scalar.

With c and the position of every kink optimised out, all cases are piecewise-linear regression of
the score under a penalty on its slopes.  Write L, R for the slopes left and right of all kinks, TV
for the sum of |kink| and beta for the group penalty (theory: every neuron costs beta times the
absolute product of its weights).  A neuron of weight y that faces u = +-1 bends the score by 2 b y and
adds a u y to (L + R) / 2, for the activation a z + b |z|.  So the penalty is beta TV / (2 b), and
without skip connection

    |L + R| / 2 <= (a / 2 b) TV,

up to the score-matching corrections for points that sit exactly on a kink.  This constraint couples
everything through one number, q: the part of (L + R) / 2 that the kinks between the data cannot
produce at their own cost and others, at the extreme points, have to.  Its multiplier ``tilt`` is found
by a scalar search: the dual function is concave and piecewise quadratic in it, so safeguarded Newton
steps end on the exact value.
"""

from __future__ import annotations

from dataclasses import dataclass

from convexscore.scores.activations import Activation, get_activation
from convexscore.solvers.line.data import LineData
from convexscore.solvers.line.master import LinePenalty


@dataclass(frozen=True)
class LineCase:
    """Which of the problems: activation, skip connection and shape constraint."""

    activation: Activation
    skip: bool
    constraint: str | None = None  # None, "density" or "log-concave"

    def __post_init__(self) -> None:
        object.__setattr__(self, "activation", get_activation(self.activation))

    def line_costs(self, data: LineData, beta: float, sign: float) -> dict[str, float]:
        """Cost of one unit of slope of this sign on all data, by the neurons that make it.

        "toward" is a neuron at an extreme point that faces the data, "away" one there that faces the
        other way and counts the smaller derivative at its point, "pair" two at one inner value that are
        opposite in direction and weight.
        """
        a, b = self.activation.odd, self.activation.even
        first, last, inner = _end_masses(data)
        favoured = beta - 2.0 * b * max(first, last)
        costs = {"toward": (favoured if sign > 0.0 else beta) / (a + b)}
        if a > 0.0:
            costs["pair"] = (beta - b * inner) / a
        if sign * (b - a) > 0.0:
            costs["away"] = favoured / abs(b - a)
        return costs

    def tilt_range(self, data: LineData, beta: float) -> tuple[float, float]:
        """Bounds of the multiplier: the least cost of one unit of positive (negative) slope."""
        if self.skip:
            return 0.0, 0.0
        up, down = (min(self.line_costs(data, beta, sign).values()) for sign in (1.0, -1.0))
        # integrable scores have L + R <= 0
        return (max(-up, 0.0) if self.constraint else -up), down

    def penalty(self, data: LineData, beta: float, tilt: float) -> LinePenalty:
        cost = beta / self.activation.slope_jump
        # every kink faces the way that the multiplier favours
        turned = self.activation.odd / self.activation.even * abs(tilt)
        lower, fall = -cost + 0.5 * (tilt + turned), 0.5 * (tilt - turned)
        first, last, _ = _end_masses(data)
        end_up = (cost + fall - first, cost + fall - last)
        return LinePenalty(
            beta,
            lower,
            (cost - data.divergence * data.mass) + fall,
            tilt,
            end_up=end_up if self.constraint == "density" else (0.0, 0.0),
            monotone=self.constraint == "log-concave",
        )


def _end_masses(data: LineData) -> tuple[float, float, float]:
    """Divergence-weighted masses of the first, the last and the heaviest inner value."""
    d = data.divergence
    if not d:
        return 0.0, 0.0, 0.0
    inner = float(data.mass[1:-1].max(initial=0.0))
    return d * float(data.mass[0]), d * float(data.mass[-1]), d * inner


def boundedness_limit(data: LineData, activation: Activation, skip: bool) -> float:
    """Smallest beta for which the objective is bounded below (0 for denoising).

    Neurons that cancel on the data lower the objective by the derivatives that they choose at their
    kinks: by 2 b |y| m at an extreme point of mass m if they bend upwards, by b |y| m on either side of
    an inner value.  Without skip connection those at the extremes need others to cancel their slope.
    """
    a, b = activation.odd, activation.even
    first, last, inner = _end_masses(data)
    end = max(first, last)
    if skip or a >= b:
        return b * max(2.0 * end, inner)
    return max((a + b) * end, b * inner, 2.0 * a * end + (b - a) * inner)
