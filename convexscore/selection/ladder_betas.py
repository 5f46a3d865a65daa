"""The penalty of every level of a ladder: given, by the rule, by one factor or level by level."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from joblib import delayed

from convexscore._tools.parallel import RunJobs
from convexscore._tools.recorded_warnings import recorded_warnings
from convexscore._tools.threads import threads_for
from convexscore._tools.typing import Floats
from convexscore.objectives.options import Problem
from convexscore.selection.cross_validation import select_beta
from convexscore.selection.gradient_noise import gradient_noise
from convexscore.selection.ladder import FactorSelection, anchors, select_factor
from convexscore.solvers import problem_on

RULES = ("cv", "cv-per-level", "rule")
# The documented factor: the best single one over the laws of benchmarks/diffusion_beta.py, nearly.
RULE_FACTOR = 0.15
# Gradient noise below this share of the ladder's largest is rounding: no penalty to fit with.
_NO_NOISE = 1e-9
# Fewer points than this give no held-out loss worth minimising.
_FEWEST_POINTS = 20


def choose_betas(
    X: Floats,
    problem: Problem,
    levels: Floats,
    beta: Any,
    *,
    sample_weight: Floats | None,
    cv: int,
    n_starts: int | None,
    noise_seed: int,
    fold_seed: int,
    run: RunJobs,
) -> tuple[Floats, FactorSelection | None]:
    """Beta of each level, and what cross-validation of one factor saw.

    Parameters
    ----------
    beta : a rule of `RULES`, a number or one per level.
    cv, n_starts : folds of both kinds of cross-validation; local searches of ``"cv-per-level"``.
    run : where gradient noise and folds are computed.
    """
    given = explicit_betas(beta, len(levels))
    if given is not None:
        return given, None
    enough = len(X) >= max(_FEWEST_POINTS, 2 * cv)
    problems = [problem.at_level(level) for level in levels]
    how: dict[str, Any] = {"sample_weight": sample_weight, "cv": cv}
    if beta == "cv-per-level" and enough:
        words = np.random.SeedSequence(fold_seed).generate_state(len(levels))
        jobs = [
            delayed(cross_validated_beta)(X, each, n_starts=n_starts, seed=int(word), **how)
            for each, word in zip(problems, words, strict=True)
        ]
        return np.array(run(jobs, description="cross-validation of each level")), None
    jobs = [
        delayed(gradient_noise)(
            X, each, sample_weight=sample_weight, rng=np.random.default_rng(noise_seed)
        )
        for each in problems
    ]
    noise = np.array(run(jobs, description="gradient noise"))
    if beta == "rule" or not enough:
        return betas_from(RULE_FACTOR, noise), None
    chosen = anchors(len(levels), one_column=X.shape[1] == 1)
    rng = np.random.default_rng(fold_seed)
    selection = select_factor(X, problem, levels[chosen], noise[chosen], rng=rng, run=run, **how)
    return betas_from(selection.factor, noise), selection


def cross_validated_beta(
    X: Floats,
    problem: Problem,
    *,
    sample_weight: Floats | None,
    cv: int,
    n_starts: int | None,
    seed: int,
) -> float:
    """Beta of one level by K-fold cross-validation of its own, as ``ConvexScore(beta="cv")`` does it."""
    rng = np.random.default_rng(seed)
    with recorded_warnings(), threads_for(X.size):  # where a grid ended is no news in a ladder
        full = problem_on(X, problem, sample_weight, rng=rng, searches=rng, n_starts=n_starts)
        return select_beta(X, full, problem, sample_weight, cv=cv, n_starts=n_starts, rng=rng).beta


def explicit_betas(beta: Any, n_levels: int) -> Floats | None:
    """Betas given by the user, one per level; None for a rule.

    Raises
    ------
    ValueError
        If beta is no rule, no positive number and no (L,) positive numbers.
    """
    if isinstance(beta, str) and beta in RULES:
        return None
    try:
        values = np.asarray(np.nan if isinstance(beta, str) else beta, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if values.ndim == 0:
        values = np.full(n_levels, float(values))
    if values.shape != (n_levels,) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(
            f"beta must be {', '.join(map(repr, RULES))}, a finite number > 0 or {n_levels} of them, one "
            f"per level from the largest noise down; got {reprlib.repr(beta)}."
        )
    return values


def betas_from(factor: float, noise: Sequence[float] | Floats) -> Floats:
    """Beta of each level; one whose noise is rounding (all points alike) gets the smallest other."""
    noise = np.asarray(noise, dtype=np.float64)
    live = noise > _NO_NOISE * noise.max(initial=0.0)
    floor = float(noise[live].min()) if live.any() else 1.0
    return factor * np.where(live, noise, floor)
