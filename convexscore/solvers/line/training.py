"""One training problem of one column, as everything above the solvers sees it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from convexscore._tools.exceptions import DataWarning, UnboundedObjectiveError
from convexscore.objectives.objective import ScoreObjective
from convexscore.objectives.options import Case
from convexscore.objectives.standardization import Standardization
from convexscore.scores.base import LineScore
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.interface import Fit
from convexscore.solvers.line.cases import LineCase, boundedness_limit
from convexscore.solvers.line.certificate import dual_point
from convexscore.solvers.line.network import score_of
from convexscore.solvers.line.problem import LineProblem, prepare
from convexscore.solvers.line.search import WarmStart, solve_line
from convexscore.solvers.line.solve import certificate_of, solve

# Relative gap that counts as optimal: where rounding begins.
DEFAULT_TOL = 1e-8
# Accuracy of scores that are only looked at on held-out rows: violation in units of beta.
_ROUGH = 1e-7
_NEAR_LIMIT = 1.1
# Quantiles that stand for the data where only their spread matters.
_BLUR_QUANTILES = 4096
# Bisections of the beta of the first kink without skip connection: 2^-12 of the total weight.
_BISECTIONS = 12


@dataclass(frozen=True, eq=False)
class LineTraining:
    """A `TrainingProblem` on sorted data; every neuron is looked at."""

    objective: ScoreObjective
    standardization: Standardization
    case: LineCase
    problem: LineProblem

    exact = True

    @classmethod
    def build(cls, objective: ScoreObjective, case: Case, to_z: Standardization) -> LineTraining:
        # one column is always a gradient
        constraint = None if case.constraint == "gradient" else case.constraint
        line_case = LineCase(case.activation, case.skip, constraint)
        return cls(to_z.objective_back(objective), to_z, line_case, prepare(objective))

    @property
    def known_limit(self) -> float:
        return boundedness_limit(self.problem.data, self.case.activation, self.case.skip)

    def smallest_beta(self, *, tol: float) -> float:
        return self.known_limit

    def check_bounded(self) -> None:
        """Every column of two values has a smallest penalty."""

    def check_beta(self, beta: float) -> None:
        """At the limit itself the objective is bounded but its infimum need not be attained."""
        limit = self.known_limit
        if limit > 0.0 and beta <= limit:
            with_skip = "with" if self.case.skip else "without"
            raise UnboundedObjectiveError(
                f"beta = {beta:g} is not above the boundedness limit {limit:g}: score matching with "
                f"{self.case.activation} activation {with_skip} skip connection is unbounded below "
                "there, or has no minimiser (the limit is set by the weight of tied values and of the "
                f"two extremes). Use beta > {limit:g}, beta='cv', or objective='denoising', which has "
                "no limit."
            )
        if limit > 0.0 and beta < _NEAR_LIMIT * limit:
            warnings.warn(
                f"beta = {beta:g} is just above the boundedness limit {limit:g}: the optimal score is "
                f"huge and follows single points. Use a larger beta (sqrt(n) = "
                f"{np.sqrt(self.problem.data.total_mass):.3g} is a common size) or beta='cv'.",
                DataWarning,
                stacklevel=3,
            )

    def largest_beta(self) -> float:
        """Smallest beta whose optimum has no kink inside the data (the Gaussian score)."""
        problem, case = self.problem, self.case
        data = problem.data
        # above what any hinge derivative can be: nothing but the line is left
        labels = float(np.abs(data.label_sums).sum())
        huge = 4.0 * (data.total_mass + labels * float(np.ptp(data.x)))
        if case.skip:
            # the linear fit does not depend on beta: its largest hinge derivative is the threshold
            solution, _ = solve_line(data, case, huge)
            score = data.evaluate(solution.knots, solution.values) / problem.scale
            free = LineCase(case.activation, True)
            return float(dual_point(problem, free, huge, score).columns.max())
        # without skip the slope shrinks with beta: bisect on the number of kinks
        limit = self.known_limit
        low, high = 0.0, data.total_mass if data.divergence else huge
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            kinks = middle <= limit or len(solve_line(data, case, middle, tol=1e-6)[0].knots) > 2
            low, high = (middle, high) if kinks else (low, middle)
        return high

    def largest_gradient(self) -> float:
        """Of neurons with their kinks at points: between them the gradient is linear in the kink.

        Labels only (denoising): a divergence has jumps there.
        """
        data = self.problem.data
        x, mass, total = data.x, data.mass, data.total_mass
        force = data.label_sums - mass * (data.label_sums.sum() / total)
        if self.case.skip:
            away = x - self.problem.mean
            force -= mass * away * (np.dot(force, away) / np.dot(mass, away * away))
        gaps = np.diff(x)
        # sum over the points right of each kink of force times distance, and the same on the left
        right = np.append(np.cumsum(np.cumsum(force[:0:-1]) * gaps[::-1])[::-1], 0.0)
        left = np.append(0.0, np.cumsum(np.cumsum(force[:-1]) * gaps))
        # a neuron facing right is 1 to the right of its kink and minus the negative slope to the left
        slope = self.case.activation.negative_slope
        return float(np.maximum(np.abs(right - slope * left), np.abs(left - slope * right)).max())

    def fit(
        self,
        beta: float,
        *,
        tol: float | None = None,
        warm: WarmStart | None = None,
        effort: int | None = None,
    ) -> Fit:
        solved = solve(
            self.problem, self.case, beta, tol=DEFAULT_TOL if tol is None else tol, warm=warm
        )
        if self.case.constraint and not solved.score.is_integrable:
            warnings.warn(
                f"constraint={self.case.constraint!r}: the best score with outer slopes <= 0 is flat on "
                f"one side without pointing inwards ({solved.score.tail_report()}), so it has no "
                f"density. {_flat_tail_remedy(beta, self.problem.data.total_mass, self.case.skip)}",
                DataWarning,
                stacklevel=3,
            )
        return Fit(solved.network, LineScore(solved.score), solved.certificate, solved.warm)

    def rough_fit(self, beta: float, warm: WarmStart | None = None) -> tuple[LineScore, WarmStart]:
        solution, warm = solve_line(self.problem.data, self.case, beta, tol=_ROUGH, warm=warm)
        return LineScore(score_of(self.problem, solution)), warm

    def certify(
        self, network: TwoLayerNetwork, beta: float, *, tol: float | None, reference: str
    ) -> Certificate:
        started = perf_counter()
        self.check_beta(beta)
        tol = DEFAULT_TOL if tol is None else tol
        dual = None
        if reference == "solve":
            dual = solve(self.problem, self.case, beta, tol=tol).certificate.dual_objective
        return certificate_of(
            self.problem,
            self.case,
            beta,
            network,
            # the network's own output: its kinks may lie where a piecewise form keeps no digits
            np.asarray(network(self.problem.values)),
            tol=tol,
            reference_dual=dual,
            started=started,
        )

    def searching(self, rng: np.random.Generator, *, rough: bool = False) -> LineTraining:
        return self

    @property
    def blur(self) -> float:
        """Half-width: half a rule-of-thumb bandwidth for the narrowest quarter of the data.

        The scale is the smallest of the standard deviation, the interquartile range and the shortest
        interval with a quarter of the weight (between a few thousand quantiles), each as the sigma of
        a Gaussian; zero ones (ties) are left out.  One pass over the sorted data.
        """
        problem = self.problem
        below = np.cumsum(problem.data.mass)
        m = _BLUR_QUANTILES
        levels = (np.arange(m) + 0.5) / m * below[-1]
        quantiles = problem.values[np.minimum(np.searchsorted(below, levels), below.size - 1)]
        quarter = m // 4
        # a Gaussian's interquartile range is 1.349 sigma, its central quarter 0.6373 sigma wide
        scales: list[float] = [
            float(np.sqrt(problem.variance)) * problem.scale,
            float(quantiles[3 * quarter] - quantiles[quarter]) / 1.349,
            float((quantiles[quarter:] - quantiles[:-quarter]).min()) / 0.6373,
        ]
        positive: list[float] = [scale for scale in scales if scale > 0.0]
        return 0.45 * min(positive, default=0.0) * self.objective.effective_size**-0.2


def _flat_tail_remedy(beta: float, total: float, skip: bool) -> str:
    if not skip and beta >= total:
        return f"Without skip the score is zero from beta = {total:g} on: decrease beta or use skip=True."
    return "Use skip=True, with which constraint='density' always has one, or a smaller beta."
