r"""One number for a whole ladder of noise levels: beta in units of each level's gradient noise.

`gradient_noise` says how beta should change from level to level; what is left is a factor, the same
for all levels.  Cross-validation of one factor on the losses of several levels together is cheaper
than one of beta per level, and far less at the mercy of a fold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray

from convexscore._tools.parallel import RunJobs
from convexscore._tools.threads import threads_for
from convexscore._tools.typing import Floats
from convexscore.objectives import Standardization
from convexscore.objectives.options import Problem
from convexscore.selection.cross_validation import Fold, follow, make_fold, split
from convexscore.selection.rules import FOLD_EXPONENT, LADDER_RULE, fold_statistics

# Factors that cross-validation looks at, from "hardly any neuron" to "follows single points".
FACTORS = np.geomspace(1.5, 1.5 * LADDER_RULE.grid_ratio, LADDER_RULE.n_betas)
# Levels whose losses are pooled, and points that stand for the data.
_ANCHORS = {True: 10, False: 6}  # one column, several
_MOST_POINTS = {True: 4000, False: 600}
_N_STARTS = 32


@dataclass(frozen=True, eq=False)
class FactorSelection:
    """What cross-validation of the factor saw.

    Attributes
    ----------
    factor : float
        The chosen multiple of the gradient noise.
    factors : (F,) decreasing.
    loss : (F,) mean over anchor levels of sigma^2 times the held-out denoising loss, without its
        constant; NaN where the path was not followed.
    standard_error : (F,) over folds.
    levels : (A,) the anchor levels.
    n_folds : int
    """

    factor: float
    factors: Floats
    loss: Floats
    standard_error: Floats
    levels: Floats
    n_folds: int

    def __repr__(self) -> str:
        return (
            f"FactorSelection(factor={self.factor:.3g}, held-out loss {np.nanmin(self.loss):.5g}, "
            f"{int(np.isfinite(self.loss).sum())} of {len(self.factors)} factors followed on "
            f"{len(self.levels)} levels)"
        )


def anchors(n_levels: int, *, one_column: bool) -> NDArray[np.intp]:
    """Positions of the levels whose held-out losses are pooled, evenly spread over the ladder."""
    count = min(n_levels, _ANCHORS[one_column])
    return np.unique(np.linspace(0, n_levels - 1, count).round().astype(np.intp))


def select_factor(
    X: Floats,
    problem: Problem,
    levels: Floats,
    noise: Floats,
    *,
    sample_weight: Floats | None,
    cv: int,
    rng: np.random.Generator,
    run: RunJobs,
) -> FactorSelection:
    r"""K-fold cross-validation of the factor on the pooled denoising losses of some levels.

    The loss of a score at level sigma is weighted by sigma^2: with levels evenly spaced in
    :math:`\log\sigma` the pooled excess loss is, up to a factor, the bound
    :math:`\tfrac12\int E\|s - s_*\|^2\, d\sigma^2` of the Kullback–Leibler error of the samples.

    Parameters
    ----------
    levels, noise : (A,) anchor levels and the gradient noise of all rows at them.
    run : where the folds are fitted.
    """
    n, one_column = len(X), X.shape[1] == 1
    size = min(n, _MOST_POINTS[one_column])
    order = rng.permutation(n)[:size]
    held_out, held_weight = split(order, cv, sample_weight)
    shares = (1.0 - held_weight / held_weight.sum()) ** FOLD_EXPONENT
    noise_seed, search_seed, seed = (int(s) for s in rng.integers(2**63, size=3))
    chosen = np.sort(order)
    rows, inside = X[chosen], None if sample_weight is None else sample_weight[chosen]
    # set up where they run; all draw the same noise, searches and displacements
    folds: list[Any] = [
        partial(
            make_fold,
            rows,
            inside,
            np.searchsorted(chosen, held),
            problem.at_level(level),
            # given, not found: a fold may hold one point many times
            to_z=Standardization.identity(X.shape[1]),
            width=float(level),
            n_starts=_N_STARTS,
            rng=np.random.default_rng(noise_seed),
            searches=np.random.default_rng(search_seed),
            seed=seed,
        )
        for held in held_out
        for level in levels
    ]
    betas = [scale * np.sqrt(size / n) * share for share in shares for scale in noise]

    def losses_of(factor: float) -> Floats:
        jobs = [
            delayed(_advance)(fold, factor * beta) for fold, beta in zip(folds, betas, strict=True)
        ]
        done = run(jobs, description=f"cross-validation, factor {factor:.3g}")
        folds[:] = [fold for fold, _ in done]
        return np.reshape([loss for _, loss in done], (cv, len(levels))).mean(axis=1)

    losses, _ = follow(FACTORS, losses_of, held_weight, LADDER_RULE)
    mean, error = fold_statistics(losses, held_weight)
    best = float(FACTORS[LADDER_RULE.choose(losses, held_weight)])
    return FactorSelection(best, FACTORS.copy(), mean, error, np.array(levels), cv)


def _advance(fold: Fold | Callable[[], Fold], beta: float) -> tuple[Fold, float]:
    """The next fit on a fold and its held-out loss times sigma^2, without its constant."""
    fold = fold if isinstance(fold, Fold) else fold()
    held = fold.held
    with threads_for(held.rows.size):
        loss = fold.loss(beta)
    return fold, held.width**2 * loss - 0.5 * held.rows.shape[1]
