"""The convex solvers: one training problem, on the line or in space, and its certificate."""

from convexscore.solvers.certificate import Certificate, Outcome
from convexscore.solvers.interface import Fit, TrainingProblem
from convexscore.solvers.training_problem import problem_on, training_problem

__all__ = [
    "Certificate",
    "Fit",
    "Outcome",
    "TrainingProblem",
    "problem_on",
    "training_problem",
]
