"""The choice of beta: held-out loss, grid and cross-validation."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import DataWarning
from convexscore._tools.validation import check_count
from convexscore.objectives.objective import ScoreObjective
from convexscore.objectives.options import ProblemOptions
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.solvers.line.cases import LineCase, boundedness_limit
from convexscore.solvers.line.certificate import dual_point
from convexscore.solvers.line.network import score_of
from convexscore.solvers.line.problem import LineProblem, prepare
from convexscore.solvers.line.search import WarmStart, solve_line

Floats = NDArray[np.float64]

# The grid ends this factor below the beta of the first kink, or just above the boundedness limit.
_GRID_RATIO = 1e-3
_ABOVE_LIMIT = 1.15
# Quantiles that stand for the data where only their spread matters.
_BLUR_QUANTILES = 4096
# Cross-validation stops following the path after this many values without a new minimum.
_PATIENCE = 8
# A smaller beta must gain this many standard errors of the gain over folds: over-fitted scores are lucky
# at a few held-out points, and the minimum of the curve believes them.
_GAIN = 0.75
# Noisy copies of each held-out point, at least: they cost little and the loss is a mean over them.
_HELD_OUT_DRAWS = 5
# A fold sees a share of the data; the noise of the hinge derivatives, which beta must exceed, grows
# like the square root of the number of points.
_FOLD_EXPONENT = 0.5


@dataclass(frozen=True)
class BetaSelection:
    """What cross-validation saw: the grid, the curve and the choice.

    Attributes
    ----------
    beta : float
        The chosen penalty, for the full data.  One column: the last that beat the choice before it by
        0.75 standard errors of the gain.
    betas : (B,) decreasing grid, for the full data (training folds use their share of it).
    loss : (B,) mean held-out objective per sample (points blurred, see :func:`held_out_loss`); NaN
        where the path was not followed further.
    standard_error : (B,) its standard error over folds.
    beta_min : float
        The minimiser of the curve; ``beta`` may be larger, also under the one-standard-error rule.
    """

    beta: float
    betas: Floats
    loss: Floats
    standard_error: Floats
    beta_min: float

    def __repr__(self) -> str:
        best = float(np.nanmin(self.loss))
        return (
            f"BetaSelection(beta={self.beta:.6g}, held-out loss {best:.6g} at beta {self.beta_min:.6g}, "
            f"grid of {len(self.betas)} from {self.betas[0]:.4g} to {self.betas[-1]:.4g})"
        )


def held_out_loss(
    score: PiecewiseLinearScore, points: Floats, *, blur: float = 0.0, noise: float | None = None
) -> Floats:
    r"""Loss of each held-out point, :math:`\tfrac12 s^2 + s'`; denoising adds :math:`1/2\varepsilon^2`.

    For denoising ``points`` are freshly noised and this is the expectation of
    :math:`\tfrac12 (s(\tilde x) - l)^2` over the noise (Stein's identity), without the variance
    :math:`1/\varepsilon^2` of the labels.

    With ``blur`` = h > 0 each point is spread evenly over :math:`[x - h, x + h]`, which is closed form:
    the mean of s' is a difference quotient, the mean of s^2 a composite Simpson rule.  An overfitted
    score has dips much narrower than any structure of the law, with slopes of 1e5; a single held-out
    point in one of them decides the plain mean.  The blurred mean is bounded and differs by O(h^2)
    for scores that are smooth on that scale.
    """
    constant = 0.0 if noise is None else 0.5 / noise**2
    if blur == 0.0:
        value = score(points)
        return 0.5 * value * value + score.derivative(points) + constant
    edge_left, edge_right = score(points - blur), score(points + blur)
    inner_left, middle, inner_right = (
        score(points - 0.5 * blur),
        score(points),
        score(points + 0.5 * blur),
    )
    square = (
        edge_left**2 + 4.0 * inner_left**2 + 2.0 * middle**2 + 4.0 * inner_right**2 + edge_right**2
    ) / 12.0
    return 0.5 * square + (edge_right - edge_left) / (2.0 * blur) + constant


def blur_width(problem: LineProblem, effective_size: float) -> float:
    """Half-width of the blur: half a rule-of-thumb bandwidth for the narrowest quarter of the data.

    The scale is the smallest of the standard deviation, the interquartile range and the shortest
    interval with a quarter of the weight (between a few thousand quantiles), each as the sigma of a
    Gaussian; zero ones (ties) are left out.  One pass over the sorted data.
    """
    below = np.cumsum(problem.data.mass)
    m = _BLUR_QUANTILES
    levels = (np.arange(m) + 0.5) / m * below[-1]
    quantiles = problem.values[np.minimum(np.searchsorted(below, levels), below.size - 1)]
    quarter = m // 4
    scales = [
        float(np.sqrt(problem.variance)) * problem.scale,
        float(quantiles[3 * quarter] - quantiles[quarter]) / 1.349,
        float((quantiles[quarter:] - quantiles[:-quarter]).min()) / 0.6373,
    ]
    positive = [scale for scale in scales if scale > 0.0]
    return 0.45 * min(positive, default=0.0) * effective_size**-0.2


def beta_grid(problem: LineProblem, case: LineCase, n_betas: int) -> Floats:
    """Geometric grid from where the first kink appears down to the edge of over-fitting."""
    top = first_kink_beta(problem, case)
    limit = boundedness_limit(problem.data, case.activation, case.skip)
    bottom = max(_GRID_RATIO * top, _ABOVE_LIMIT * limit)
    top = max(1.02 * top, 2.0 * bottom)
    return np.geomspace(top, bottom, n_betas)


def first_kink_beta(problem: LineProblem, case: LineCase) -> float:
    """Smallest beta whose optimum has no kink inside the data (the Gaussian score)."""
    data = problem.data
    huge = 4.0 * (data.total_mass + float(np.abs(_labels(problem)).sum()) * float(np.ptp(data.x)))
    if case.skip:
        # the linear fit does not depend on beta: its largest hinge derivative is the threshold
        solution, _ = solve_line(data, LineCase(case.activation, True, case.constraint), huge)
        score = data.evaluate(solution.knots, solution.values) / problem.scale
        point = dual_point(problem, LineCase(case.activation, True), huge, score)
        return float(point.columns.max())
    # without skip the slope shrinks with beta: bisect on the number of kinks
    low, high = 0.0, _no_skip_top(problem, huge)
    for _ in range(12):
        middle = 0.5 * (low + high)
        limit = boundedness_limit(data, case.activation, case.skip)
        if middle <= limit:
            low = middle
            continue
        solution, _ = solve_line(data, case, middle, tol=1e-6)
        low, high = (low, middle) if len(solution.knots) == 2 else (middle, high)
    return high


def _no_skip_top(problem: LineProblem, huge: float) -> float:
    return problem.data.total_mass if problem.data.divergence else huge


def _labels(problem: LineProblem) -> Floats:
    labels = problem.data.label_mass
    return np.zeros(1) if labels is None else labels


def select_beta(
    x: Floats,
    options: ProblemOptions,
    *,
    sample_weight: Floats | None,
    cv: int,
    n_betas: int,
    one_standard_error: bool,
    rng: np.random.Generator,
) -> BetaSelection:
    """K-fold cross-validation of beta on the held-out objective, paths warm-started.

    Complexity: O(cv * n_betas * n) with a small constant; memory O(n).
    """
    n = x.size
    cv = check_folds(n, cv)
    objective = options.build(x, sample_weight, rng)
    full = prepare(objective)
    case = options.case
    betas = beta_grid(full, case, check_count(n_betas, name="n_betas", minimum=2))
    folds = np.array_split(rng.permutation(n), cv)
    weights = np.ones(n) if sample_weight is None else sample_weight
    losses = np.full((cv, len(betas)), np.nan)
    held_weight = np.array([weights[fold].sum() for fold in folds])
    blur = blur_width(full, objective.effective_size)
    states = [_Fold.build(x, sample_weight, fold, options, rng) for fold in folds]
    shares = 1.0 - held_weight / weights.sum()
    for b, beta in enumerate(betas):
        for k, state in enumerate(states):
            losses[k, b] = state.loss(beta * shares[k] ** _FOLD_EXPONENT, case, blur, options.noise)
        mean, _ = fold_statistics(losses[:, : b + 1], held_weight)
        if b - int(np.argmin(mean)) >= _PATIENCE:
            break
    loss, error = fold_statistics(losses, held_weight)
    best = int(np.nanargmin(loss))
    chosen = last_gain(losses, held_weight)
    if one_standard_error:
        chosen = min(chosen, int(np.flatnonzero(loss <= loss[best] + error[best])[0]))
    if chosen == len(betas) - 1:
        warnings.warn(
            f"beta='cv': the held-out loss is still falling at the smallest beta of the grid "
            f"({betas[-1]:.3g}); this happens with tied or discrete data, where score matching "
            "rewards kinks at single values, or with few points. The fit uses it; give beta, or noise "
            "of the size of the rounding with objective='denoising'.",
            DataWarning,
            stacklevel=4,
        )
    return BetaSelection(
        beta=float(betas[chosen]),
        betas=betas,
        loss=loss,
        standard_error=error,
        beta_min=float(betas[best]),
    )


@dataclass
class _Fold:
    """One training fold with its warm state and the held-out points."""

    problem: LineProblem
    held: ScoreObjective
    held_weight: Floats
    limit: float
    warm: WarmStart | None = None

    @classmethod
    def build(
        cls,
        x: Floats,
        weights: Floats | None,
        fold: NDArray[np.intp],
        options: ProblemOptions,
        rng: np.random.Generator,
    ) -> _Fold:
        train = np.ones(x.size, dtype=bool)
        train[fold] = False
        problem = prepare(
            options.build(
                x[train], None if weights is None else weights[train], rng, name="x (fold)"
            )
        )
        held = replace(options, n_draws=max(options.n_draws, _HELD_OUT_DRAWS)).build(
            x[fold],
            None if weights is None else weights[fold],
            rng,
            name="x (fold)",
            min_distinct=1,
        )
        limit = boundedness_limit(problem.data, options.activation, options.skip)
        held_weight = np.ones(held.n_samples) if held.sample_weight is None else held.sample_weight
        return cls(problem, held, held_weight, limit)

    def loss(self, beta: float, case: LineCase, blur: float, noise: float | None) -> float:
        beta = max(beta, 1.02 * self.limit)
        solution, self.warm = solve_line(self.problem.data, case, beta, tol=1e-7, warm=self.warm)
        score = score_of(self.problem, solution)
        values = held_out_loss(score, self.held.points[:, 0], blur=blur, noise=noise)
        return float(np.average(values, weights=self.held_weight))


def check_folds(n: int, cv: int) -> int:
    """Number of folds, at least two with two samples each."""
    cv = check_count(cv, name="cv", minimum=2)
    if n < 2 * cv:
        raise ValueError(
            f"beta='cv' with cv = {cv} needs at least {2 * cv} samples; got {n}. Give a number for "
            f"beta (sqrt(n) = {np.sqrt(n):.2g} is a common size) or a smaller cv."
        )
    return cv


def last_gain(losses: Floats, weight: Floats) -> int:
    """Index of beta: down the path, each choice beats the one before by a share of the error of the gain.

    Both are of the differences fold by fold, in which what all scores lose on a fold cancels.
    """
    chosen = 0
    for b in np.flatnonzero(np.isfinite(losses).all(axis=0)):
        gain, error = fold_statistics(losses[:, [chosen]] - losses[:, [b]], weight)
        if gain[0] > _GAIN * error[0]:
            chosen = int(b)
    return chosen


def fold_statistics(losses: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Weighted mean over folds and its standard error, for each beta."""
    share = (weight / weight.sum())[:, None]
    mean = (share * losses).sum(axis=0)
    spread = (share * (losses - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(spread / (len(losses) - 1))
