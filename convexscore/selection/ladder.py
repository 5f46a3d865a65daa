r"""One number for a whole ladder of noise levels: beta in units of each level's gradient noise.

`gradient_noise` says how beta should change from level to level; what is left is a factor, the same
for all levels.  Cross-validation of one factor on the losses of several levels together is cheaper
than one of beta per level, and far less at the mercy of a fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import delayed
from numpy.typing import NDArray

from convexscore._tools.recorded_warnings import recorded_warnings
from convexscore._tools.threads import threads_for
from convexscore.models.levels import at_level, run_jobs
from convexscore.models.space_fit import build_problem
from convexscore.objectives.options import ProblemOptions
from convexscore.selection.line_selection import check_folds, fold_statistics, select_beta
from convexscore.selection.space_selection import held_out_loss, select_vector_beta
from convexscore.solvers.line import problem as line_problem
from convexscore.solvers.line.network import score_of
from convexscore.solvers.line.search import solve_line
from convexscore.solvers.oracles.choice import make_oracle
from convexscore.solvers.space.problem import prepare
from convexscore.solvers.space.solve import descend, network_of

Floats = NDArray[np.float64]

# The documented factor: the best single one over the laws of benchmarks/diffusion_beta.py, nearly.
RULE_FACTOR = 0.15
# Factors that cross-validation looks at, from "hardly any neuron" to "follows single points".
FACTORS = 1.5 * 2.0 ** -np.arange(7.0)
# Levels whose losses are pooled, and points that stand for the data.
_ANCHORS = {True: 10, False: 6}  # one column, several
_MOST_POINTS = {True: 4000, False: 600}
# The largest factor within this share of what the neurons gain is taken: below it a loss of noise, and
# twice the neurons.
_WORTHWHILE = 0.02
# The path ends after so many factors without a new best loss.
_PATIENCE = 2
# Accuracy of fits on folds: far below differences of held-out losses.
_FOLD_TOL, _LINE_TOL = 0.02, 1e-6
_N_STARTS = 32
# As in selection.py: the noise of a fold grows like the square root of its share.
_FOLD_EXPONENT = 0.5
# Gradient noise below this share of the ladder's largest is rounding: no penalty to fit with.
_NO_NOISE = 1e-9
RULES = ("cv", "cv-per-level", "rule")
# Grids of cross-validation per level, those of ConvexScore.
_LINE_BETAS, _VECTOR_BETAS = 30, 15
# Fewer points than this give no held-out loss worth minimising.
FEWEST_POINTS = 20


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
    """

    factor: float
    factors: Floats
    loss: Floats
    standard_error: Floats
    levels: Floats

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
    x: Floats,
    options: ProblemOptions,
    levels: Floats,
    noise: Floats,
    *,
    sample_weight: Floats | None,
    cv: int,
    n_jobs: int | None,
    progress: bool,
    rng: np.random.Generator,
) -> FactorSelection:
    r"""K-fold cross-validation of the factor on the pooled denoising losses of some levels.

    The loss of a score at level sigma is weighted by sigma^2: with levels evenly spaced in
    :math:`\log\sigma` the pooled excess loss is, up to a factor, the bound
    :math:`\tfrac12\int E\|s - s_*\|^2\, d\sigma^2` of the Kullback–Leibler error of the samples.

    Parameters
    ----------
    levels, noise : (A,) anchor levels and the gradient noise of all of x at them.
    """
    n, one_column = len(x), x.shape[1] == 1
    cv = check_folds(n, cv)
    weights = np.ones(n) if sample_weight is None else sample_weight
    size = min(n, _MOST_POINTS[one_column])
    order = rng.permutation(n)[:size]
    shrink = np.sqrt(size / n)
    folds = np.array_split(order, cv)
    held_weight = np.array([weights[fold].sum() for fold in folds])
    shares = (1.0 - held_weight / held_weight.sum()) ** _FOLD_EXPONENT
    noise_seed, search_seed, held_seed = (int(s) for s in rng.integers(2**63, size=3))
    paths: list[_Path] = []
    betas: list[float] = []
    for fold, share in zip(folds, shares, strict=True):
        train = np.setdiff1d(order, fold)
        for level, scale in zip(levels, noise, strict=True):
            path = _Path(
                x[train],
                None if sample_weight is None else weights[train],
                x[fold],
                weights[fold],
                at_level(options, level),
                (noise_seed, search_seed, held_seed),
            )
            paths.append(path)
            betas.append(float(scale * shrink * share))
    losses = np.full((cv, len(FACTORS)), np.nan)
    for f, factor in enumerate(FACTORS):
        jobs = [
            delayed(_advance)(path, factor * beta) for path, beta in zip(paths, betas, strict=True)
        ]
        done = run_jobs(
            jobs,
            n_jobs=n_jobs,
            total=len(jobs),
            progress=progress,
            description=f"cross-validation, factor {factor:.3g}",
        )
        paths = [path for path, _ in done]
        losses[:, f] = np.reshape([loss for _, loss in done], (cv, len(levels))).mean(axis=1)
        mean, _ = fold_statistics(losses[:, : f + 1], held_weight)
        if f - int(mean.argmin()) >= _PATIENCE:
            break
    mean, error = fold_statistics(losses, held_weight)
    best = float(np.nanmin(mean))
    chosen = int(np.flatnonzero(mean <= best + _WORTHWHILE * (mean[0] - best))[0])
    return FactorSelection(float(FACTORS[chosen]), FACTORS.copy(), mean, error, np.array(levels))


@dataclass(eq=False)
class _Path:
    """One fold at one level, with the warm state of the last factor."""

    x: Floats
    weights: Floats | None
    held: Floats
    held_weight: Floats
    options: ProblemOptions
    seeds: tuple[int, int, int]
    problem: Any = None
    oracle: Any = None
    warm: Any = None


def _advance(path: _Path, beta: float) -> tuple[_Path, float]:
    """The next fit on a path and its held-out loss times sigma^2."""
    noise_seed, search_seed, held_seed = path.seeds
    options = path.options
    assert options.noise is not None
    with threads_for(path.x.size):
        score: Any
        if path.problem is None:
            # a fold may hold one point many times
            objective = options.build(
                path.x, path.weights, np.random.default_rng(noise_seed), min_distinct=1
            )
            if path.x.shape[1] == 1:
                path.problem = line_problem.prepare(objective)
            else:
                path.problem = prepare(objective, options.neuron_case)
                path.oracle = make_oracle(
                    path.problem,
                    n_starts=_N_STARTS,
                    random_state=np.random.default_rng(search_seed),
                    local=True,
                )
        if path.x.shape[1] == 1:
            solution, path.warm = solve_line(
                path.problem.data, options.case, beta, tol=_LINE_TOL, warm=path.warm
            )
            score = _AsColumns(score_of(path.problem, solution))
        else:
            path.warm = descend(
                path.problem, beta, path.oracle, tol=_FOLD_TOL, warm=path.warm, last=True
            )
            score = network_of(path.warm)
        values = held_out_loss(
            score, path.held, width=options.noise, rng=np.random.default_rng(held_seed)
        )
    return path, options.noise**2 * float(np.average(values, weights=path.held_weight))


@dataclass(frozen=True)
class _AsColumns:
    """A score of numbers as one of rows."""

    score: Any

    def __call__(self, x: Floats) -> Floats:
        return self.score(x[:, 0])[:, None]


def cross_validated_beta(
    x: Floats,
    options: ProblemOptions,
    *,
    sample_weight: Floats | None,
    cv: int,
    n_starts: int,
    seed: int,
) -> float:
    """Beta of one level by K-fold cross-validation of its own, as ``ConvexScore(beta="cv")`` does it."""
    rng = np.random.default_rng(seed)
    with recorded_warnings(), threads_for(x.size):  # where a grid ended is no news in a ladder
        if x.shape[1] == 1:
            return select_beta(
                x[:, 0],
                options,
                sample_weight=sample_weight,
                cv=cv,
                n_betas=_LINE_BETAS,
                one_standard_error=False,
                rng=rng,
            ).beta
        return select_vector_beta(
            x,
            build_problem(x, options, sample_weight, rng),
            options,
            sample_weight=sample_weight,
            cv=cv,
            n_betas=_VECTOR_BETAS,
            one_standard_error=False,
            n_starts=n_starts,
            rng=rng,
        ).beta


def explicit_betas(beta: Any, n_levels: int) -> Floats | None:
    """Betas given by the user, one per level; None for a rule.

    Raises
    ------
    ValueError
        If beta is no rule, no positive number and no (L,) positive numbers.
    """
    if isinstance(beta, str):
        if beta not in RULES:
            raise ValueError(
                f"beta must be {', '.join(map(repr, RULES))}, a number > 0 or one per level; got "
                f"{beta!r}."
            )
        return None
    try:
        values = np.asarray(beta, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if values.ndim == 0:
        values = np.full(n_levels, float(values))
    if values.shape != (n_levels,) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(
            f"beta must be {', '.join(map(repr, RULES))}, a finite number > 0 or {n_levels} of them, one "
            f"per level from the largest noise down; got {_short(beta)}."
        )
    return values


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def betas_from(factor: float, noise: Sequence[float] | Floats) -> Floats:
    """Beta of each level; one whose noise is rounding (all points alike) gets the smallest other."""
    noise = np.asarray(noise, dtype=np.float64)
    live = noise > _NO_NOISE * noise.max(initial=0.0)
    floor = float(noise[live].min()) if live.any() else 1.0
    return factor * np.where(live, noise, floor)
