"""The three errors of DDPM against what controls each: horizon, number of steps, size of the error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_positive
from convexscore.ddpm_errors.lab import ErrorLab, check_score, error_bounds, refined
from convexscore.ddpm_errors.line_densities import total_variation
from convexscore.ddpm_errors.marginals import divergences
from convexscore.ddpm_errors.transition import GaussianSources, standard_normal
from convexscore.schedules.levels import LevelScore
from convexscore.schedules.time_grids import TimeGrid, as_line, exponential_grid, shown

HORIZONS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
N_STEPS = (8, 16, 32, 64, 128, 256)
STRENGTHS = (0.125, 0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    r"""One error in total variation while what controls it changes, the rest fixed.

    Attributes
    ----------
    values : ndarray (m,)
        Horizon T, number of steps K, or error of the score :math:`\varepsilon`.
    alone : ndarray (m,)
        The error with the two others switched off.
    total : ndarray (m,)
        All three errors, the two others as they are: it stops to decrease where they take over.
    bound : ndarray (m,)
        Proven bound of ``alone`` (Girsanov and Pinsker), see `ErrorBound`.
    theorem : ndarray (m,)
        Term of CCL23, **up to a constant**.
    """

    values: Floats
    alone: Floats
    total: Floats
    bound: Floats
    theorem: Floats


@dataclass(frozen=True, eq=False)
class ErrorSweep:
    """Result of `error_sweep`: three `ErrorCurve` and the measured orders.

    Attributes
    ----------
    initialisation, discretisation, score : ErrorCurve
    grid : TimeGrid
        The reference: longest horizon, reference number of steps.
    """

    initialisation: ErrorCurve
    discretisation: ErrorCurve
    score: ErrorCurve
    grid: TimeGrid = field(repr=False)

    @property
    def rate(self) -> float:
        """Slope of log(initialisation) in T, last two horizons: -2 where the bound has -1."""
        curve = self.initialisation
        return float(_slope(curve.values, np.log(curve.alone)))

    @property
    def order_in_steps(self) -> float:
        """Slope of log(discretisation) in log K, last two numbers: -1 where the bound has -1/2."""
        curve = self.discretisation
        return float(_slope(np.log(curve.values), np.log(curve.alone)))

    @property
    def order_in_score(self) -> float:
        """Slope of log(score) in log(error of the score), first two strengths: 1."""
        curve = self.score
        return float(_slope(np.log(curve.values[:2]), np.log(curve.alone[:2])))

    def __repr__(self) -> str:
        curves = (self.initialisation, self.discretisation, self.score)
        titles = (
            "initialisation: horizon T",
            "discretisation: steps K",
            "score: error of the score",
        )
        lines = []
        for title, curve in zip(titles, curves, strict=True):
            names = ("alone", "total", "bound", "CCL23 ~")
            lines.append(f"{title:26s}" + "".join(f" {name:>10s}" for name in names))
            for value, *errors in zip(*vars(curve).values(), strict=True):
                lines.append(f"{value:26.4g}" + "".join(f" {error:10.3g}" for error in errors))
        lines.append(
            f"orders: exp({self.rate:.2f} T), K^{self.order_in_steps:.2f}, "
            f"(score error)^{self.order_in_score:.2f}"
        )
        return "\n".join(lines)


def error_sweep(
    law: Any,
    score: LevelScore,
    *,
    horizons: ArrayLike = HORIZONS,
    n_steps: ArrayLike = N_STEPS,
    strengths: ArrayLike = STRENGTHS,
    steps: int = 64,
    end: float = 1e-2,
    schedule: Callable[..., TimeGrid] = exponential_grid,
    refine: int = 2,
    tol: float = 1e-4,
) -> ErrorSweep:
    r"""Change one source of error at a time and measure the law of DDPM, exactly, on the line.

    Parameters
    ----------
    law, score
        As in `error_decomposition`; the estimate of the score must be given.
    horizons : array_like
        Increasing T: the longest grid, cut at T.
    n_steps : array_like of int
        Increasing K, on grids with the longest horizon.
    strengths : array_like
        Increasing c > 0: the score is :math:`s + c\,(\hat s - s)`, the estimate for c = 1.
    steps : int
        K of the reference grid, used where something else changes.
    end : float
        δ, the last time.
    schedule : callable
        ``schedule(horizon, n_steps, end=end)``, such as `convexscore.schedules.uniform_grid`.
    refine, tol
        As in `error_decomposition`.

    Returns
    -------
    ErrorSweep
        ``print`` shows the tables; `convexscore.plotting.ErrorDecompositionDisplay` draws it.

    Raises
    ------
    ValueError, TypeError
        As in `error_decomposition`, or if a list is not increasing.

    Notes
    -----
    Cost: one run for each horizon, two for each number of steps, ``refine + 1`` for each strength.

    Examples
    --------
    >>> from convexscore import scores, targets
    >>> from convexscore.ddpm_errors import error_sweep
    >>> law = targets.GaussianMixture([0.3, 0.7], [-1.5, 1.0], [0.1, 0.2])
    >>> exact = scores.vp_score(law)
    >>> sweep = error_sweep(law, lambda x, t: exact(x, t) + 0.1, steps=32, n_steps=[32, 64])
    >>> [round(order, 1) for order in (sweep.rate, sweep.order_in_steps, sweep.order_in_score)]
    [-2.0, -1.0, 1.0]
    """
    times = _increasing("horizons", horizons)
    counts = _increasing("n_steps", n_steps)
    if (counts != np.rint(counts)).any():
        raise ValueError(f"n_steps must be whole numbers; got {shown(counts)}.")
    factors = _increasing("strengths", strengths)
    steps = check_count(steps, name="steps")
    refine = check_count(refine, name="refine")
    tol = check_positive(tol, name="tol", hint="It is in total variation.")
    estimate = check_score(score)
    grid = schedule(float(times[-1]), steps, end=end)
    if not times[0] > grid.end:
        raise ValueError(f"horizons must be > end={grid.end:g}; got {times[0]:g}.")
    sweeper = _Sweeper(ErrorLab(law, grid.end, tol), estimate, grid, refine)
    return ErrorSweep(
        initialisation=sweeper.over_horizons(times),
        discretisation=sweeper.over_steps(
            [schedule(grid.horizon, int(count), end=end) for count in counts]
        ),
        score=sweeper.over_strengths(factors),
        grid=grid,
    )


class _Sweeper:
    """The three sweeps: what they share is the lab, the estimate and the reference grid."""

    def __init__(self, lab: ErrorLab, estimate: LevelScore, grid: TimeGrid, refine: int) -> None:
        self.lab, self.estimate, self.grid, self.refine = lab, estimate, grid, refine

    def over_horizons(self, horizons: Floats) -> ErrorCurve:
        rows: list[tuple[float, ...]] = []
        for horizon in horizons:
            below = self.grid.times[self.grid.times < horizon * (1 - 1e-9)]
            grid = TimeGrid(np.concatenate([[horizon], below]))
            runs = {"total": self.lab.run(self.estimate, grid, standard_normal())}
            errors = self._errors(runs, float(horizon), "target", "initialisation")
            rows.append(errors + self._bound(grid, "initialisation"))
        return _curve(horizons, rows)

    def over_steps(self, grids: list[TimeGrid]) -> ErrorCurve:
        rows: list[tuple[float, ...]] = []
        for grid in grids:
            runs = {
                "alone": self.lab.run(self.lab.exact, grid, self.lab.marginals.start(grid.horizon)),
                "total": self.lab.run(self.estimate, grid, standard_normal()),
            }
            errors = self._errors(runs, grid.horizon, "target", "alone")
            rows.append(errors + self._bound(grid, "discretisation"))
        return _curve(np.array([grid.n_steps for grid in grids]), rows)

    def over_strengths(self, strengths: Floats) -> ErrorCurve:
        fine, start = refined(self.grid, self.refine), self.lab.marginals.start(self.grid.horizon)
        exact = self.lab.run(self.lab.exact, fine, start)
        parts = divergences(self.lab.marginals, self.lab.exact, self.estimate, self.grid)
        size = np.sqrt(parts.score)
        rows: list[tuple[float, ...]] = []
        for strength in strengths:
            score = self._perturbed(float(strength))
            runs = {
                "exact": exact,
                "alone": self.lab.run(score, fine, start),
                "total": self.lab.run(score, self.grid, standard_normal()),
            }
            errors = self._errors(runs, self.grid.horizon, "exact", "alone")
            rows.append((*errors, min(1.0, strength * size / np.sqrt(2)), strength * size))
        return _curve(strengths * size / np.sqrt(self.grid.horizon - self.grid.end), rows)

    def _errors(
        self, runs: dict[str, GaussianSources], horizon: float, reference: str, alone: str
    ) -> tuple[float, float]:
        """Total variation of one error alone and of the whole run."""
        nodes, density = self.lab.on_common_nodes(runs, horizon)
        return (
            total_variation(density[reference], density[alone], nodes.spacing),
            total_variation(density["target"], density["total"], nodes.spacing),
        )

    def _perturbed(self, strength: float) -> LevelScore:
        def score(x: Floats, t: float) -> Floats:
            s = np.asarray(self.lab.exact(x, t), dtype=np.float64)
            return s + strength * (np.asarray(self.estimate(x, t), dtype=np.float64) - s)

        return score

    def _bound(self, grid: TimeGrid, source: str) -> tuple[float, float]:
        parts = divergences(self.lab.marginals, self.lab.exact, None, grid)
        bound = error_bounds(parts, grid)[source]
        return bound.tv, bound.ccl23


def _curve(values: Floats, rows: list[tuple[float, ...]]) -> ErrorCurve:
    alone, total, bound, theorem = np.array(rows, dtype=np.float64).T
    return ErrorCurve(np.array(values, dtype=np.float64), alone, total, bound, theorem)


def _slope(x: Floats, y: Floats) -> float:
    """Between the last two points."""
    return float((y[-1] - y[-2]) / (x[-1] - x[-2]))


def _increasing(name: str, values: ArrayLike) -> Floats:
    line = as_line(name, values)
    if len(line) < 2 or line[0] <= 0 or not (np.diff(line) > 0).all():
        raise ValueError(
            f"{name} must be at least two increasing numbers > 0; got {shown(line)}. Sort them, "
            f"without duplicates."
        )
    return line
