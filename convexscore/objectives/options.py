"""The options that say which problem is solved, checked together, and the objective they build."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState
from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.objectives.objective import (
    DEFAULT_DRAWS,
    ScoreObjective,
    denoising,
    score_matching,
)
from convexscore.solvers.line.cases import LineCase
from convexscore.solvers.space.problem import NeuronCase

OBJECTIVES = ("score_matching", "denoising")
ACTIVATIONS = ("relu", "abs")
LABELS = ("noisy", "smoothed")
TAILS = ("free", "integrable")
SHAPES = (None, "log-concave")
STANDARDIZE = (None, "columns", "whitening")


@dataclass(frozen=True)
class ProblemOptions:
    """One of the problems this package solves; the constructor refuses what does not exist."""

    objective: str = "score_matching"
    activation: str = "relu"
    skip: bool = True
    noise: float | None = None
    n_draws: int = DEFAULT_DRAWS
    labels: str = "noisy"
    tails: str = "free"
    shape: str | None = None
    conservative: bool = False
    standardize: str | None = None

    def __post_init__(self) -> None:
        check_choice(self.objective, OBJECTIVES, name="objective")
        check_choice(self.activation, ACTIVATIONS, name="activation")
        skip = bool(self.skip) if isinstance(self.skip, np.bool_) else self.skip
        check_choice(skip, (True, False), name="skip")
        check_choice(self.labels, LABELS, name="labels")
        check_choice(self.tails, TAILS, name="tails")
        check_choice(self.shape, SHAPES, name="shape")
        check_choice(self.conservative, (True, False), name="conservative")
        check_choice(self.standardize, STANDARDIZE, name="standardize")
        check_count(self.n_draws, name="n_draws")
        if self.objective == "denoising":
            if self.noise is None:
                raise ValueError(
                    "noise must be given with objective='denoising'; got None. It is the noise level "
                    "in the units of the data, for example noise=0.3 * x.std()."
                )
            check_positive(self.noise, name="noise", hint="It is in the units of the data.")
        elif self.noise is not None:
            raise ValueError(
                f"noise = {self.noise!r} has no effect with objective='score_matching'; "
                "use objective='denoising' or leave noise=None."
            )

    @property
    def case(self) -> LineCase:
        """The solver's name for the problem with one column."""
        constraint = self.shape or ("integrable" if self.tails == "integrable" else None)
        return LineCase(self.activation, bool(self.skip), constraint)

    @property
    def neuron_case(self) -> NeuronCase:
        """The solver's name for the problem with several columns.

        Raises
        ------
        ValueError
            For options that only one column has.
        """
        if self.tails != "free":
            raise ValueError(
                f"tails = {self.tails!r} is for one column; with several use conservative=True, "
                "shape='log-concave', or tails='free'."
            )
        if self.shape is not None and not self.conservative:
            raise ValueError(
                f"shape = {self.shape!r} needs conservative=True with several columns: only then is the "
                "score the gradient of a log-density."
            )
        if self.shape is not None and self.activation == "abs":
            raise ValueError(
                f"shape = {self.shape!r} with several columns needs activation='relu'; got 'abs', whose "
                "neurons bend the log-density both ways whatever their sign."
            )
        return NeuronCase(
            self.activation, bool(self.skip), self.conservative, self.shape == "log-concave"
        )

    def build(
        self,
        x: ArrayLike,
        sample_weight: ArrayLike | None,
        random_state: RandomState,
        *,
        name: str = "x",
        min_distinct: int = 2,
    ) -> ScoreObjective:
        """The objective on these data; noise is drawn here."""
        if self.objective == "score_matching":
            return score_matching(
                x, sample_weight=sample_weight, name=name, min_distinct=min_distinct
            )
        assert self.noise is not None
        return denoising(
            x,
            noise=self.noise,
            n_draws=self.n_draws,
            labels=self.labels,
            sample_weight=sample_weight,
            random_state=random_state,
            name=name,
            min_distinct=min_distinct,
        )
