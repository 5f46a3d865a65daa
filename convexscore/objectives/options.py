"""The options that name a training problem, said once and checked once."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState
from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.objectives.objective import (
    DEFAULT_DRAWS,
    Denoising,
    Objective,
    ScoreMatching,
    checked_denoising,
)
from convexscore.scores.activations import Activation, get_activation

OBJECTIVES = ("score_matching", "denoising")
CONSTRAINTS = (None, "density", "gradient", "log-concave")
STANDARDIZE = (None, "columns", "whitening")


class NetworkOptions(TypedDict, total=False):
    """Which networks compete, and on how many noisy copies."""

    activation: str | Activation
    skip: bool
    constraint: str | None
    n_draws: int | None


class ProblemOptions(NetworkOptions, total=False):
    """What names a training problem; every entry is documented at :class:`convexscore.ConvexScore`."""

    objective: str
    noise: float | None
    labels: str | None
    standardize: str | None


class SolverOptions(TypedDict, total=False):
    """How hard a problem is solved."""

    tol: float | None
    n_starts: int | None
    random_state: RandomState


class PathOptions(ProblemOptions, SolverOptions, total=False):
    """A problem and how hard it is solved, at penalties that are given or a grid."""


class ScoreOptions(PathOptions, total=False):
    """The options of a fit: problem, solver, and the choice of beta."""

    beta: float | str
    cv: int | None
    n_betas: int | None
    one_standard_error: bool


class DiffusionOptions(NetworkOptions, SolverOptions, total=False):
    """The options of a diffusion model, documented at :class:`convexscore.ConvexDiffusion`."""

    schedule: str
    n_levels: int | None
    levels: ArrayLike | None
    sigma_max: float | None
    sigma_min: float | None
    beta: str | float | ArrayLike
    labels: str
    standardize: str | None
    cv: int | None
    n_jobs: int | None
    progress: bool


class GivenProblem(TypedDict, total=False):
    """The problem that a given network is an answer to, documented at :func:`convexscore.certify`."""

    objective: str
    labels: ArrayLike | None
    skip: bool | None
    constraint: str | None
    sample_weight: ArrayLike | None


@dataclass(frozen=True)
class Case:
    """Which networks compete: activation, skip connection and what the score must be.

    ``constraint``: None; "density": its law has a density (one column); "gradient": it is the gradient of
    a log-density (always so in one column); "log-concave": of a concave one.
    """

    activation: Activation
    skip: bool = True
    constraint: str | None = None

    def check_dimension(self, d: int) -> None:
        """Refuse what does not exist in d dimensions.

        Raises
        ------
        ValueError
            For a constraint that these networks cannot have.
        """
        if d == 1:
            return
        if self.constraint == "density":
            raise ValueError(
                f"constraint='density' is for one column; got {d}. Use 'gradient' (a log-density up to a "
                "constant), 'log-concave' or None."
            )
        if self.constraint == "log-concave" and self.activation.negative_slope < 0.0:
            raise ValueError(
                f"constraint='log-concave' with {d} columns needs an activation that never falls, such "
                f"as 'relu' or 'leaky_relu'; got {self.activation.name!r}, whose neurons bend the "
                "log-density both ways whatever their sign."
            )


@dataclass(frozen=True)
class Problem:
    """One of the problems this package solves, whatever the data."""

    objective: Objective
    case: Case
    standardize: str | None = None

    @property
    def noise(self) -> float | None:
        """The noise level of denoising, None for score matching."""
        return self.objective.noise

    def at_level(self, noise: float) -> Problem:
        """The same denoising problem at another noise level."""
        assert isinstance(self.objective, Denoising)
        return replace(self, objective=replace(self.objective, noise=float(noise)))

    def check_dimension(self, d: int) -> None:
        """Refuse options that do not exist, or have no effect, in d dimensions."""
        self.case.check_dimension(d)
        if d == 1 and self.standardize is not None:
            raise ValueError(
                f"standardize = {self.standardize!r} has no effect with one column, whose problem does "
                "not depend on its unit; it needs several columns. Leave standardize=None."
            )


def make_case(
    activation: str | Activation = "relu", skip: Any = True, constraint: str | None = None
) -> Case:
    """The case of checked options."""
    skip = bool(skip) if isinstance(skip, np.bool_) else skip
    return Case(
        get_activation(activation),
        check_choice(skip, (True, False), name="skip"),
        check_choice(constraint, CONSTRAINTS, name="constraint"),
    )


def make_problem(
    *,
    objective: str = "score_matching",
    activation: str | Activation = "relu",
    skip: bool = True,
    constraint: str | None = None,
    noise: float | None = None,
    n_draws: int | None = None,
    labels: str | None = None,
    standardize: str | None = None,
) -> Problem:
    """The problem of some options, as users give them (:class:`ProblemOptions`).

    Raises
    ------
    ValueError
        If an option is unknown, missing, or without effect on this objective.
    """
    check_choice(objective, OBJECTIVES, name="objective")
    case = make_case(activation, skip, constraint)
    check_choice(standardize, STANDARDIZE, name="standardize")
    if objective == "score_matching":
        for name, value in (("noise", noise), ("n_draws", n_draws), ("labels", labels)):
            refuse_without_effect(
                name, value, "objective='score_matching'", "objective='denoising'"
            )
        return Problem(ScoreMatching(), case, standardize)
    if noise is None:
        raise ValueError(
            "noise must be given with objective='denoising'; got None. It is the noise level in the "
            "units of the data, for example noise=0.3 * X.std()."
        )
    draws = DEFAULT_DRAWS if n_draws is None else n_draws
    kind = checked_denoising(noise, draws, "noisy" if labels is None else labels)
    return Problem(kind, case, standardize)


def check_effort(tol: Any, n_starts: Any) -> None:
    """Refuse what no solver takes."""
    if tol is not None:
        check_positive(tol, name="tol", hint="It is the relative duality gap.")
    if n_starts is not None:
        check_count(n_starts, name="n_starts")


def refuse_without_effect(name: str, value: Any, where: str, needs: str) -> None:
    """Raise for an option that was given (is neither None nor False) where nothing reads it."""
    if value is not None and value is not False:
        raise ValueError(
            f"{name} = {reprlib.repr(value)} has no effect with {where}; it needs {needs}. Leave it out."
        )
