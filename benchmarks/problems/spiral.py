"""The spiral of the planar benchmarks, its denoising problems and what judges their networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Floats
from convexscore import ConvexScore, TwoLayerNetwork, certify, fit_convex_score
from convexscore.objectives import ScoreObjective, denoising
from convexscore.objectives.options import make_case
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.space.columns import SpaceCase
from convexscore.solvers.space.problem import SpaceProblem, prepare
from convexscore.solvers.training_problem import training_problem

RELU = SpaceCase("relu", skip=False)
LAST = 79.0  # the spiral of 100 points, of which the inner 20 are left out


def spiral(n: int = 80) -> Floats:
    """n points with phi = t pi / 20, r = (100 - t) / 10, t evenly from 0 to 79."""
    t = np.linspace(0.0, LAST, n)
    angle, radius = t * np.pi / 20.0, (100.0 - t) / 10.0
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


@dataclass(frozen=True)
class PlanarProblem:
    """One denoising problem, ReLU without skip; the same seed makes the fit draw the same noise."""

    x: Floats
    noisy: Floats
    labels: Floats
    beta: float
    largest_beta: float  # from here on the best network has no neuron
    noise: float
    seed: int

    @property
    def centred_labels(self) -> Floats:
        return self.labels - self.labels.mean(axis=0)


def make_problem(n: int, share: float, noise: float, seed: int) -> PlanarProblem:
    """The noisy spiral at beta = share * beta_max, beta_max over every line of the plane."""
    x = spiral(n)
    drawn = denoising(x, noise=noise, n_draws=1, random_state=seed)
    assert drawn.labels is not None
    largest = no_neuron_beta(drawn)
    return PlanarProblem(x, drawn.points, drawn.labels, share * largest, largest, noise, seed)


def no_neuron_beta(drawn: ScoreObjective, skip: bool = False) -> float:
    """Smallest beta whose optimum has no neuron."""
    return training_problem(drawn, make_case("relu", skip)).largest_beta()


def fit_options(problem: PlanarProblem, tol: float | None) -> dict[str, Any]:
    """What `fit_convex_score` is told besides the points."""
    return {
        "objective": "denoising", "noise": problem.noise, "n_draws": 1, "skip": False,
        "beta": problem.beta, "tol": tol, "random_state": problem.seed,
    }  # fmt: skip


def fit(problem: PlanarProblem, tol: float | None) -> ConvexScore:
    """The whole public call: noise, standardisation, solve, certificate."""
    return fit_convex_score(problem.x, **fit_options(problem, tol))


def judge(problem: PlanarProblem, network: TwoLayerNetwork, tol: float = 1e-4) -> Certificate:
    """Objective of any network and the gap that its own residual proves, over all neurons."""
    return certify(
        network,
        problem.noisy,
        objective="denoising",
        labels=problem.labels,
        beta=problem.beta,
        skip=False,
        reference="residual",
        tol=tol,
    )


def overfit_problem(points: Floats, copies: int, noise: float, seed: int) -> SpaceProblem:
    """Labels -delta, so the score comes multiplied by the noise level.

    With s' = noise * s the half-squared loss and the penalty beta of s' are noise^2 times those of the
    package's labels -delta / noise at beta / noise.
    """
    drawn = denoising(points, noise=noise, n_draws=copies, random_state=seed)
    assert drawn.labels is not None
    return prepare(ScoreObjective(drawn.points, noise * drawn.labels, 0.0, None), RELU)
