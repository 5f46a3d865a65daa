"""Scores of several columns: standardise, solve, certify, map back.

The counterpart of the one-dimensional calls in estimators.py; everything here is in the units of the data
but the solver, which sees the standardised problem.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import DataWarning
from convexscore.objectives.objective import ScoreObjective
from convexscore.objectives.options import ProblemOptions
from convexscore.objectives.standardization import Standardization, standardization
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.oracles.choice import make_oracle
from convexscore.solvers.space.problem import NeuronProblem, prepare
from convexscore.solvers.space.solve import MultivariateFit, solve

Floats = NDArray[np.float64]

DEFAULT_TOL = 1e-4
# Columns whose spreads differ by more than this call for standardize="columns".
_UNEVEN = 1e3


@dataclass(frozen=True, eq=False)
class VectorProblem:
    """One training problem: its objective in the units of the data and the solver's form of it."""

    objective: ScoreObjective
    standardization: Standardization
    problem: NeuronProblem


@dataclass(frozen=True, eq=False)
class VectorFit:
    """Network in the units of the data, certificate of the standardised problem, warm state."""

    network: TwoLayerNetwork
    certificate: Certificate
    solution: MultivariateFit


def build_problem(
    X: Floats,
    options: ProblemOptions,
    sample_weight: Floats | None,
    rng: np.random.Generator,
    *,
    name: str = "X",
    standardizer: Standardization | None = None,
) -> VectorProblem:
    """Objective and standardised problem of (n, d) data; noise is drawn here, in standardised units.

    ``standardizer`` is one that is known already (folds use that of all data).

    Raises
    ------
    ValueError
        Options that only one column has; score matching on linearly dependent columns.
    """
    case = options.neuron_case
    to_z = standardizer
    if to_z is None:
        to_z = standardization(X, options.standardize, sample_weight=sample_weight)
    standardized = options.build(to_z.points(X), sample_weight, rng, name=name)
    problem = prepare(standardized, case)
    if options.objective == "score_matching":
        _require_full_rank(problem, X, name)
    if options.standardize is None:
        _warn_if_uneven(X)
    labels = standardized.labels
    objective = replace(
        standardized,
        points=to_z.points_back(standardized.points),
        labels=None if labels is None else to_z.labels_back(labels),
    )
    return VectorProblem(objective, to_z, problem)


def fit_problem(
    built: VectorProblem,
    beta: float,
    *,
    tol: float,
    n_starts: int,
    rng: np.random.Generator,
    warm: MultivariateFit | None = None,
    local: bool = False,
) -> VectorFit:
    """Solve one problem and map the network back."""
    oracle = make_oracle(built.problem, n_starts=n_starts, random_state=rng, local=local)
    solution = solve(built.problem, beta, oracle, tol=tol, warm=warm)
    network = built.standardization.network_back(solution.network)
    return VectorFit(network, solution.certificate, solution)


def _require_full_rank(problem: NeuronProblem, X: Floats, name: str) -> None:
    rank = problem.free.rank
    if rank < X.shape[1]:
        raise ValueError(
            f"{name} has {X.shape[1]} columns but its {len(X)} rows span only {rank} dimensions "
            "(constant or linearly dependent columns, or too few rows): score matching is unbounded "
            "below in the missing directions. Drop such columns, reduce them by PCA, or use "
            "objective='denoising'."
        )


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
