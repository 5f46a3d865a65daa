"""The eight univariate problems (and their constrained forms) as one master, one oracle, one scalar.

With c and the position of every kink optimised out, all cases are piecewise-linear regression of
the score under a penalty on its slopes.  Write p_L, p_R for the slopes at the two ends of the data,
TV for the sum of |kink| strictly inside and beta for the group penalty (theory: every neuron costs
beta times the absolute product of its weights):

    ReLU, skip     beta TV
    abs, skip      beta TV / 2
    ReLU, no skip  beta max(TV, (TV + |p_L + p_R|) / 2)
    abs, no skip   beta (TV + |p_L + p_R|) / 2

up to the score-matching corrections for points that sit exactly on a kink.  Without skip the
second term couples everything through one number, q, the slope that the interior kinks cannot
produce at their own cost.  Its multiplier ``tilt`` is found by a scalar search: the dual function is
concave and piecewise quadratic in it, so safeguarded Newton steps end on the exact value.
"""

from __future__ import annotations

from dataclasses import dataclass

from convexscore.solvers.line.data import Floats, LineData
from convexscore.solvers.line.master import LinePenalty


@dataclass(frozen=True)
class LineCase:
    """Which of the problems: activation, skip connection and shape constraint."""

    activation: str
    skip: bool
    constraint: str | None = None  # None, "density" or "log-concave"

    def kink_cost(self, beta: float) -> float:
        """Cost of one unit of slope change."""
        return beta if self.activation == "relu" else 0.5 * beta

    @property
    def zero_outside(self) -> bool:
        """Abs without skip has opposite outer slopes: an integrable score has both zero."""
        return self.activation == "abs" and not self.skip and self.constraint is not None

    def tilt_range(self, data: LineData, beta: float) -> tuple[float, float]:
        """Bounds of the multiplier: the cost of one unit of positive (negative) slope everywhere."""
        if self.skip or self.zero_outside:
            return 0.0, 0.0
        first, last, inner = _end_masses(data)
        if self.activation == "relu":
            pair = 2.0 * beta - inner
            up, down = min(beta - max(first, last), pair), min(beta, pair)
        else:
            up, down = beta - 2.0 * max(first, last), beta
        return (0.0 if self.constraint else -up), down

    def penalty(self, data: LineData, beta: float, tilt: float) -> LinePenalty:
        cost = self.kink_cost(beta)
        lower = -cost
        upper: Floats | float = cost
        if data.divergence:
            upper = cost - data.divergence * data.mass
        if self.activation == "relu":
            lower += max(tilt, 0.0)
            upper = upper + min(tilt, 0.0)
        else:
            lower += 0.5 * tilt
            upper = upper + 0.5 * tilt
        first, last, _ = _end_masses(data)
        ends: dict[str, tuple[float, float]] = {}
        if self.constraint == "density":
            ends["end_up"] = (cost - first, cost - last)
        if self.zero_outside:
            ends["end_down"] = (cost, cost)
        return LinePenalty(
            beta, lower, upper, tilt, monotone=self.constraint == "log-concave", **ends
        )


def _end_masses(data: LineData) -> tuple[float, float, float]:
    """Divergence-weighted masses of the first, the last and the heaviest inner value."""
    d = data.divergence
    if not d:
        return 0.0, 0.0, 0.0
    inner = float(data.mass[1:-1].max(initial=0.0))
    return d * float(data.mass[0]), d * float(data.mass[-1]), d * inner


def boundedness_limit(data: LineData, activation: str, skip: bool) -> float:
    """Smallest beta for which the objective is bounded below (0 for denoising)."""
    first, last, inner = _end_masses(data)
    end = max(first, last)
    if activation == "relu":
        return max(end, 0.5 * inner)
    return max(2.0 * end, inner) if skip else max(end, inner)
