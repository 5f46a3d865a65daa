"""The problems of `convex_vs_sgd`: data, fixed noise, penalty, convex fit and lower bound."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from benchmarks.harness import Floats
from benchmarks.problems.lasso import beta_max
from benchmarks.problems.spiral import no_neuron_beta
from convexscore import ConvergenceWarning, ConvexScore, certify, fit_convex_score
from convexscore.objectives import ScoreObjective, denoising, score_matching

SM, DSM = "score_matching", "denoising"
SHORT = {SM: "SM", DSM: "DSM"}
CENTRES, WIDTH, NOISE = 3, 0.6, 0.6


@dataclass(frozen=True)
class Case:
    """One problem; ``wider`` multiplies the width of the trained networks."""

    objective: str
    d: int
    n: int
    share: float  # of the beta from which on the best network has no neuron
    wider: int = 1

    @property
    def skip(self) -> bool:
        """Score matching with a skip connection; denoising without: MLPRegressor has none."""
        return self.objective == SM

    @property
    def label(self) -> str:
        wide = f", width x {self.wider}" if self.wider > 1 else ""
        return f"{SHORT[self.objective]} d={self.d} n={self.n} β/βmax={self.share:g}{wide}"


@dataclass(frozen=True, eq=False)
class Task:
    """What all sides minimise; ``noise`` restarts the stream the fit draws its noise from."""

    case: Case
    x: Floats
    problem: ScoreObjective
    beta: float
    noise: np.random.SeedSequence
    training_seed: int


def make_task(case: Case, seed: int) -> Task:
    """A mixture of three Gaussians; data, noise and training have streams of their own.

    Cases of one size share data and noise, whatever their beta and width.
    """
    streams = np.random.SeedSequence([seed, case.d, case.n]).spawn(3)
    rng = np.random.default_rng(streams[0])
    centres = np.linspace(-3.0, 3.0, CENTRES)[:, None]
    if case.d > 1:
        centres = 2.0 * rng.normal(size=(CENTRES, case.d))
    x = centres[rng.integers(CENTRES, size=case.n)] + WIDTH * rng.normal(size=(case.n, case.d))
    if case.objective == SM:
        problem = score_matching(x)
    else:
        problem = denoising(
            x, noise=NOISE, n_draws=1, random_state=np.random.default_rng(streams[1])
        )
    beta = case.share * largest_beta(problem, case.skip)
    return Task(case, x, problem, beta, streams[1], int(streams[2].generate_state(1)[0]))


def largest_beta(problem: ScoreObjective, skip: bool) -> float:
    """From this beta on the best network has no neuron."""
    if problem.dim == 1 and problem.labels is not None:
        return beta_max(problem.points[:, 0], problem.labels[:, 0], skip)
    return no_neuron_beta(problem, skip)


def fit(task: Task, tol: float) -> ConvexScore:
    """The whole public call on the raw data: noise, solve, certificate."""
    denoise = {} if task.case.objective == SM else {"noise": NOISE, "n_draws": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # shown by the gap
        return fit_convex_score(
            task.x, objective=task.case.objective, skip=task.case.skip, beta=task.beta, tol=tol,
            random_state=np.random.default_rng(task.noise), **denoise,
        )  # fmt: skip


def lower_bound(task: Task, fitted: ConvexScore, searches: int) -> float:
    """The certificate's bound; where neurons are searched for, the lower of it and a harder look."""
    own = fitted.certificate_
    if own.exact:
        return float(own.dual_objective)
    careful = certify(
        fitted.network_, task.problem.points, beta=task.beta, objective=task.case.objective,
        labels=task.problem.labels, skip=task.case.skip, reference="residual", n_starts=searches,
    )  # fmt: skip
    return min(float(own.dual_objective), float(careful.dual_objective))
