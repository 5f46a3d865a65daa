"""K-fold cross-validation of a penalty on the held-out objective: one loop for every problem."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import DataWarning, UnboundedObjectiveError
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count
from convexscore.objectives import Standardization
from convexscore.objectives.options import Problem
from convexscore.selection.held_out import HeldOut
from convexscore.selection.rules import FOLD_EXPONENT, SelectionRule, fold_statistics, rule_for
from convexscore.solvers import TrainingProblem, problem_on

# The grid ends at least this factor above the boundedness limit where that is known.
_ABOVE_LIMIT = 1.15
# A fold may have a larger limit than the whole; it is fitted at least this far above.
_FOLD_ABOVE_LIMIT = 1.02
# With fewer values than this above an unknown boundedness limit the grid is laid anew.
_FEW = 6


@dataclass(frozen=True, eq=False)
class BetaSelection:
    """What cross-validation saw: the grid, the curve and the choice.

    Attributes
    ----------
    beta : float
        The chosen penalty, for the full data.  One column: the last that beat the choice before it by
        0.75 standard errors of the gain.
    betas : (B,) decreasing grid, for the full data (training folds use their share of it).
    loss : (B,) mean held-out objective per sample (points blurred, see
        :mod:`convexscore.selection.held_out`); NaN where the path was not followed further.
    standard_error : (B,) its standard error over folds.
    n_folds : int
    beta_min : float
        The minimiser of the curve; ``beta`` may be larger, also under the one-standard-error rule.
    """

    beta: float
    betas: Floats
    loss: Floats
    standard_error: Floats
    n_folds: int
    beta_min: float

    def __repr__(self) -> str:
        best = float(np.nanmin(self.loss))
        return (
            f"BetaSelection(beta={self.beta:.6g}, held-out loss {best:.6g} at beta {self.beta_min:.6g}, "
            f"grid of {len(self.betas)} from {self.betas[0]:.4g} to {self.betas[-1]:.4g})"
        )


def beta_grid(problem: TrainingProblem, n_betas: int, ratio: float) -> Floats:
    """Geometric grid from where the first kink appears down to the edge of over-fitting."""
    top = problem.largest_beta()
    bottom = max(ratio * top, _ABOVE_LIMIT * problem.known_limit)
    return np.geomspace(max(1.02 * top, 2.0 * bottom), bottom, n_betas)


def held_out_width(problem: TrainingProblem, noise: float | None) -> float:
    """Width of the held-out loss in standardised units: the noise level, or a fraction of a bandwidth."""
    return problem.blur if noise is None else noise


def split(
    order: NDArray[np.intp], cv: int, sample_weight: Floats | None
) -> tuple[list[NDArray[np.intp]], Floats]:
    """Held-out rows of the folds and their weights."""
    held = np.array_split(order, cv)
    weights = np.array([len(f) if sample_weight is None else sample_weight[f].sum() for f in held])
    return held, weights


def follow(
    grid: Floats,
    fold_losses: Callable[[float], Floats],
    held_weight: Floats,
    rule: SelectionRule,
) -> tuple[Floats, int | None]:
    """Held-out losses (folds, grid) down the path, NaN where it was not followed.

    Parameters
    ----------
    fold_losses : from a penalty to the loss of every fold, (folds,).

    Returns
    -------
    losses, and the index of the first penalty at which a fold was unbounded below (or None).
    """
    losses = np.full((len(held_weight), len(grid)), np.nan)
    for b, value in enumerate(grid):
        try:
            losses[:, b] = fold_losses(float(value))
        except UnboundedObjectiveError:
            return losses, b
        mean, _ = fold_statistics(losses[:, : b + 1], held_weight)
        if rule.settled(mean):
            break
    return losses, None


@dataclass(eq=False)
class Fold:
    """One training fold with its warm state and the held-out rows."""

    problem: TrainingProblem
    held: HeldOut
    warm: Any = None

    def loss(self, beta: float) -> float:
        """Mean held-out loss at the next penalty of the path."""
        beta = max(beta, _FOLD_ABOVE_LIMIT * self.problem.known_limit)
        score, self.warm = self.problem.rough_fit(beta, self.warm)
        return self.held.mean(score)


def make_fold(
    X: Floats,
    sample_weight: Floats | None,
    held: NDArray[np.intp],
    problem: Problem,
    *,
    to_z: Standardization,
    width: float,
    n_starts: int | None,
    rng: np.random.Generator,
    rough: bool = True,
    searches: np.random.Generator | None = None,
    seed: int | None = None,
) -> Fold:
    """The fold that leaves out the rows ``held``, in the standardised units of all data.

    ``searches`` and ``seed`` (of the displacements of held-out rows) come from ``rng`` if not given.
    """
    train = np.ones(len(X), dtype=bool)
    train[held] = False
    inside, outside = (
        None if sample_weight is None else sample_weight[rows] for rows in (train, held)
    )
    training = problem_on(
        X[train],
        problem,
        inside,
        rng=rng,
        searches=rng.spawn(1)[0] if searches is None else searches,
        n_starts=n_starts,
        to_z=to_z,
        rough=rough,
    )
    seed = int(rng.integers(2**63)) if seed is None else seed
    return Fold(training, HeldOut(X[held], outside, width, problem.noise, to_z, seed))


def select_beta(
    X: Floats,
    full: TrainingProblem,
    problem: Problem,
    sample_weight: Floats | None,
    *,
    cv: int,
    n_betas: int | None = None,
    one_standard_error: bool = False,
    n_starts: int | None,
    rng: np.random.Generator,
) -> BetaSelection:
    """K-fold cross-validation of beta on the held-out objective, paths warm-started.

    Noise of the training folds is drawn afresh.  The path ends where the held-out loss has risen for some
    values, or where score matching becomes unbounded.

    Parameters
    ----------
    X : checked rows (n, d) with weights > 0.
    full : the problem of all of them.

    Raises
    ------
    UnboundedObjectiveError
        If score matching is unbounded on the folds at every penalty of the grid.

    Notes
    -----
    ``cv`` paths of up to ``n_betas`` rough fits.
    """
    rule = rule_for(X.shape[1])
    n, cv = len(X), check_count(cv, name="cv", minimum=2)
    if n < 2 * cv:
        raise ValueError(
            f"beta='cv' with cv = {cv} needs at least {2 * cv} samples; got {n}. Give a number for "
            f"beta (sqrt(n) = {np.sqrt(n):.2g} is a common size) or a smaller cv."
        )
    count = rule.n_betas if n_betas is None else check_count(n_betas, name="n_betas", minimum=2)
    searched = full.searching(rng.spawn(1)[0], rough=True)
    betas = beta_grid(searched, count, rule.grid_ratio)
    held, held_weight = split(rng.permutation(n), cv, sample_weight)
    total = n if sample_weight is None else sample_weight.sum()
    shares = (1.0 - held_weight / total) ** FOLD_EXPONENT
    width = held_out_width(full, problem.noise)
    how: dict[str, Any] = {"to_z": full.standardization, "width": width, "n_starts": n_starts}
    how |= {"rng": rng, "rough": not searched.exact}
    folds = [make_fold(X, sample_weight, rows, problem, **how) for rows in held]

    def path(grid: Floats) -> tuple[Floats, int | None]:
        for fold in folds:
            fold.warm = None

        def losses(beta: float) -> Floats:
            pairs = zip(folds, shares, strict=True)
            return np.array([fold.loss(beta * share) for fold, share in pairs])

        return follow(grid, losses, held_weight, rule)

    losses, unbounded = path(betas)
    if unbounded is not None and 0 < unbounded < _FEW:
        # score matching with many columns is bounded on a short stretch only: a finer grid there
        betas = np.geomspace(betas[0], np.sqrt(betas[unbounded - 1] * betas[unbounded]), count)
        losses, _ = path(betas)
    loss, error = fold_statistics(losses, held_weight)
    if not np.isfinite(loss).any():
        raise UnboundedObjectiveError(
            "beta='cv': score matching is unbounded below on the folds for every beta of the grid; "
            "use more data, or objective='denoising'."
        )
    chosen = rule.choose(losses, held_weight, one_standard_error=one_standard_error)
    if chosen == count - 1 and unbounded is None:
        warnings.warn(
            f"beta='cv': the held-out loss is flat or still falling at the smallest beta of the grid "
            f"({betas[-1]:.3g}). With score matching this happens with tied or discrete data, which "
            "reward kinks at single values, or with few points. The fit uses it; give beta, or noise "
            "of the size of the rounding with objective='denoising'.",
            DataWarning,
            stacklevel=3,
        )
    best = float(betas[int(np.nanargmin(loss))])
    return BetaSelection(float(betas[chosen]), betas, loss, error, n_folds=cv, beta_min=best)
