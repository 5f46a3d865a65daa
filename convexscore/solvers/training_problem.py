"""The one fork on the dimension: which solver a training problem goes to.

Everything above the solvers (fits, paths, certificates, the choice of beta) asks a `TrainingProblem`;
whether it is solved on the line or in space is decided here and nowhere else.
"""

from __future__ import annotations

import warnings

import numpy as np

from convexscore._tools.exceptions import DataWarning
from convexscore._tools.typing import Floats
from convexscore.objectives.objective import ScoreObjective
from convexscore.objectives.options import Case, Problem, refuse_without_effect
from convexscore.objectives.standardization import Standardization, standardization
from convexscore.solvers.interface import TrainingProblem
from convexscore.solvers.line.training import LineTraining
from convexscore.solvers.space.training import SpaceTraining

# Columns whose spreads differ by more than this call for standardize="columns".
_UNEVEN = 1e3


def training_problem(
    objective: ScoreObjective,
    case: Case,
    *,
    to_z: Standardization | None = None,
    n_starts: int | None = None,
    rng: np.random.Generator | None = None,
    rough: bool = False,
    rows: Floats | None = None,
) -> TrainingProblem:
    """The problem of an objective in the units of the solver.

    Parameters
    ----------
    objective : points, labels and weights after ``to_z``.
    to_z : the map from the data to the points of the objective; None: the identity.
    n_starts, rng : of local searches, where not every neuron is looked at.
    rough : search locally whatever the dimension.
    rows : clean data (k, d), where chains on the scores start; None: the points.
    """
    case.check_dimension(objective.dim)
    if to_z is None:
        to_z = Standardization.identity(objective.dim)
    if objective.dim == 1:
        return LineTraining.build(objective, case, to_z)
    rng = np.random.default_rng(0) if rng is None else rng
    return SpaceTraining.build(
        objective, case, to_z, n_starts=n_starts, rng=rng, rough=rough, rows=rows
    )


def problem_on(
    X: Floats,
    problem: Problem,
    sample_weight: Floats | None,
    *,
    rng: np.random.Generator,
    searches: np.random.Generator | None = None,
    n_starts: int | None = None,
    to_z: Standardization | None = None,
    rough: bool = False,
) -> TrainingProblem:
    """The training problem of checked rows; noise is drawn here, in standardised units, from ``rng``.

    ``to_z`` is a standardisation that is known already (folds use that of all data).

    Raises
    ------
    ValueError
        For options that rows of this dimension do not have; score matching on dependent columns.
    """
    problem.check_dimension(X.shape[1])
    if to_z is None:
        to_z = standardization(X, problem.standardize, sample_weight=sample_weight)
    objective = problem.objective.build(to_z.points(X), sample_weight, rng)
    if X.shape[1] > 1 and problem.standardize is None:
        _warn_if_uneven(X)
    made = training_problem(
        objective, problem.case, to_z=to_z, n_starts=n_starts, rng=searches, rough=rough, rows=X
    )
    made.check_bounded()
    return made


def _warn_if_uneven(X: Floats) -> None:
    spread = X.std(axis=0)
    if spread.min() > 0.0 and spread.max() > _UNEVEN * spread.min():
        narrow, wide = int(spread.argmin()), int(spread.argmax())
        warnings.warn(
            f"the columns of X have very different spreads ({spread[narrow]:.3g} in column {narrow}, "
            f"{spread[wide]:.3g} in column {wide}): the narrow ones decide the fit. Use "
            "standardize='columns', or rescale X.",
            DataWarning,
            stacklevel=4,
        )


def refuse_idle_starts(n_starts: int | None, problem: TrainingProblem, *, rough: bool) -> None:
    """Refuse ``n_starts`` where every neuron is looked at, by ``rough`` fits of folds too.

    Raises
    ------
    ValueError
        If it was given and nothing reads it.
    """
    idle = problem.exact
    if rough:
        idle = idle and problem.searching(np.random.default_rng(0), rough=True).exact
    if idle:
        refuse_without_effect(
            "n_starts",
            n_starts,
            "these data, on which every neuron is looked at",
            "three columns and more than a few points, or very many points in two",
        )
