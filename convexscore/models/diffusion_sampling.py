"""What a fitted diffusion model can do: scores and denoisers at any noise, samples by any sampler."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from convexscore import samplers
from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.validation import check_choice, check_count, check_points, check_positive
from convexscore.objectives.options import refuse_without_effect
from convexscore.objectives.standardization import Standardization
from convexscore.samplers import DiffusionResult
from convexscore.schedules import (
    TimeGrid,
    exponential_grid,
    geometric_levels,
    vp,
    vp_time,
)
from convexscore.schedules.levels import check_levels
from convexscore.schedules.time_grids import as_time_grid
from convexscore.scores.ladder import ScoreLadder
from convexscore.scores.noised import ve_score_to_vp

Floats = NDArray[np.float64]

# Samplers along a grid of times, and along a ladder of noise levels.
TIME_SAMPLERS: dict[str, Callable[..., DiffusionResult]] = {
    "ddpm": samplers.ddpm,
    "ancestral": samplers.ancestral,
    "probability_flow": samplers.probability_flow,
    "heun": samplers.heun,
}
LEVEL_SAMPLERS = ("annealed_langevin", "predictor_corrector")
SAMPLERS = (*TIME_SAMPLERS, *LEVEL_SAMPLERS)
# Steps along the grid; steps at each level for annealed Langevin.
_N_STEPS, _STEPS_PER_LEVEL = 250, 50
# Annealed Langevin: step at the last level in units of its noise variance.
_LANGEVIN_STEP = 0.1
# OU time beyond which nothing changes, and before exp(-t) leaves the range of floats.
_ALL_NOISE = 100.0


class DiffusionMethods:
    """Methods of a fitted model; the attributes are set by its ``fit``."""

    schedule: str
    levels_: Floats
    ladder_: ScoreLadder
    standardization_: Standardization
    n_features_in_: int

    # ------------------------------------------------------------------ scores
    def score_function(self, x: ArrayLike, t: float) -> Floats:
        r"""Score of the noised law at x, in the shape of ``x`` and in 1 / units of x.

        Parameters
        ----------
        x : array_like
            One column: any shape; d columns: (n, d) or (d,).
        t : float >= 0
            ``schedule="vp"``: OU time of :math:`X_t = \mu + e^{-t}(X - \mu) + \sqrt{1 - e^{-2t}}\,
            M^{-1}G`, with :math:`\mu` and M of ``standardization_`` (zero and the identity for
            ``standardize=None``).  ``"ve"``: noise sigma of :math:`X + \sigma M^{-1} G`.
        """
        check_is_fitted(self)
        rows, shape = self._rows(x)
        scale, sigma = self._noise(t)
        z = self.standardization_.points(rows)
        score = self.ladder_.score(z / scale, sigma / scale) / scale
        return self.standardization_.labels_back(score).reshape(shape)

    def denoise(self, x: ArrayLike, t: float) -> Floats:
        r"""E[X | X_t = x] by Tweedie's formula, in the shape and units of ``x``; t as above."""
        check_is_fitted(self)
        rows, shape = self._rows(x)
        scale, sigma = self._noise(t)
        z = self.standardization_.points(rows)
        clean = self.ladder_.denoise(z / scale, sigma / scale)
        return self.standardization_.points_back(clean).reshape(shape)

    def ve_score(self, x: ArrayLike, sigma: float) -> Floats:
        r"""Score of :math:`X + \sigma M^{-1}G` at x, whatever the schedule (M = 1/scale for "scale")."""
        check_is_fitted(self)
        rows, shape = self._rows(x)
        level = check_positive(sigma, name="sigma", strict=False)
        score = self.ladder_.score(self.standardization_.points(rows), level)
        return self.standardization_.labels_back(score).reshape(shape)

    def _noise(self, t: float) -> tuple[float, float]:
        """(scale, sigma) of the second argument."""
        if self.schedule == "ve":
            hint = "With schedule='ve' it is the noise sigma."
            return 1.0, check_positive(t, name="t", strict=False, hint=hint)
        hint = "With schedule='vp' it is the Ornstein-Uhlenbeck time."
        time = check_positive(t, name="t", strict=False, hint=hint)
        scale, sigma = vp(min(time, _ALL_NOISE))
        return scale, sigma

    def _rows(self, x: ArrayLike) -> tuple[Floats, tuple[int, ...]]:
        d = self.n_features_in_
        shape = np.shape(x)
        array = np.asarray(x)
        if d > 1 and (array.ndim == 0 or array.ndim > 2 or shape[-1] != d):
            raise ValueError(
                f"x must have shape (n, {d}) or ({d},); got {shape}. The model was fitted to {d} "
                "columns."
            )
        if array.size == 0:
            return np.empty((0, d)), shape
        rows = check_points(array.reshape(-1, d), name="x", min_distinct=1)
        return rows, shape

    # ------------------------------------------------------------------ samples
    def sample(
        self,
        n: int,
        *,
        method: str = "ddpm",
        n_steps: int | None = None,
        grid: TimeGrid | ArrayLike | None = None,
        levels: ArrayLike | None = None,
        x0: ArrayLike | None = None,
        random_state: RandomState = None,
        return_result: bool = False,
        **options: Any,
    ) -> Any:
        r"""Draw samples by running a sampler of :mod:`convexscore.samplers` on the ladder of scores.

        Parameters
        ----------
        n : int
            Number of independent chains, hence of samples.
        method : {"ddpm", "ancestral", "probability_flow", "heun", "annealed_langevin", \
                "predictor_corrector"}
        n_steps : int, optional
            Steps along the grid, default 250; for annealed Langevin steps per level, default 50.
        grid : TimeGrid or array_like, optional
            Decreasing OU times for the first four; default: exponential from the largest level to the
            smallest.
        levels : array_like, optional
            Decreasing VE noise in units of Z for the last two; default: those of the fit for annealed
            Langevin, ``n_steps`` geometric ones for predictor-corrector.
        x0 : array_like (n,) or (n, d), optional
            Where the chains start, in the units of X; default: draws from the Gaussian with the moments
            of the data at the largest level.
        random_state : None, int, Generator or RandomState
            Chain i does not depend on how many chains run beside it.
        return_result : bool
            Return the :class:`~convexscore.samplers.DiffusionResult`, in units of X, with trajectory if
            ``keep_trajectory=True``.
        **options
            Further options of the sampler: those of its method (``variance``, ``step`` in squared units
            of Z, ``corrector_step``, ...) and :class:`~convexscore.samplers.RunOptions`; ``callback``
            sees states in units of Z.

        Returns
        -------
        ndarray (n,) or (n, d), or DiffusionResult

        Raises
        ------
        ChainDivergedError
            Names the step and the chains.
        """
        check_is_fitted(self)
        check_plan(n, method=method, n_steps=n_steps, step=options.get("step"))
        start_seed, chain_seed = check_random_state(random_state).spawn(2)
        options["random_state"] = chain_seed
        if method in TIME_SAMPLERS:
            _refuse(levels, "levels", method, "grid")
            if grid is None:
                first, last = vp_time(self.levels_[0]), vp_time(self.levels_[-1])
                grid = exponential_grid(first, n_steps or _N_STEPS, end=last)
            elif n_steps is not None:
                raise ValueError("n_steps and grid were both given; the grid has its own steps.")
            grid = as_time_grid(grid)
            start = self._start(n, x0, vp(min(grid.horizon, _ALL_NOISE)), start_seed)
            score = ve_score_to_vp(self.ladder_.score)
            result = TIME_SAMPLERS[method](score, start, grid, **options)
        else:
            _refuse(grid, "grid", method, "levels")
            result = self._run_levels(method, n, n_steps, levels, x0, start_seed, options)
        result = self._in_data_units(result)
        return result if return_result else result.samples

    def _run_levels(
        self,
        method: str,
        n: int,
        n_steps: int | None,
        levels: ArrayLike | None,
        x0: ArrayLike | None,
        seed: np.random.Generator,
        options: dict[str, Any],
    ) -> DiffusionResult:
        annealed = method == "annealed_langevin"
        if levels is None:
            levels = self.levels_
            if not annealed:
                levels = geometric_levels(levels[0], levels[-1], n_steps or _N_STEPS)
        elif not annealed and n_steps is not None:
            raise ValueError(
                "n_steps and levels were both given; predictor-corrector takes one step per level."
            )
        ladder = check_levels(levels)
        start = self._start(n, x0, (1.0, float(ladder[0])), seed)
        if not annealed:
            return samplers.predictor_corrector(self.ladder_.score, start, ladder, **options)
        step = options.pop("step", None)
        if step is None:
            step = _LANGEVIN_STEP * float(ladder[-1]) ** 2
        steps = n_steps or _STEPS_PER_LEVEL
        return samplers.annealed_langevin(
            self.ladder_.score, start, ladder, step=step, n_steps=steps, **options
        )

    def _start(
        self,
        n: int,
        x0: ArrayLike | None,
        noise: tuple[float, float],
        rng: np.random.Generator,
    ) -> Floats:
        """Initial states of Z: given ones, or the Gaussian with the moments of scale Z + sigma G."""
        d = self.n_features_in_
        if x0 is not None:
            start = check_points(x0, name="x0", min_distinct=1)
            if start.shape != (n, d):
                raise ValueError(
                    f"x0 must have shape ({n}, {d}), one row per chain; got {np.shape(x0)}. Give as "
                    "many rows as samples are wanted."
                )
            return self.standardization_.points(start)
        scale, sigma = noise
        mean, covariance = self.ladder_.mean, self.ladder_.covariance
        root = np.linalg.cholesky(scale**2 * covariance + sigma**2 * np.eye(d))
        return scale * mean + rng.standard_normal((n, d)) @ root.T

    def _in_data_units(self, result: DiffusionResult) -> DiffusionResult:
        def back(z: Floats) -> Floats:
            x = self.standardization_.points_back(z)
            return x[..., 0] if self.n_features_in_ == 1 else x

        trajectory = None if result.trajectory is None else back(result.trajectory)
        return replace(result, samples=back(result.samples), trajectory=trajectory)


def check_plan(
    n: int, *, method: str, n_steps: int | None = None, step: float | None = None
) -> None:
    """Refuse what no model samples, whatever it was fitted to.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    check_choice(method, SAMPLERS, name="method")
    check_count(n, name="n")
    if n_steps is not None:
        check_count(n_steps, name="n_steps")
    if method != "annealed_langevin":
        refuse_without_effect("step", step, f"method={method!r}", "method='annealed_langevin'")


def _refuse(value: object, name: str, method: str, instead: str) -> None:
    if value is not None:
        raise ValueError(
            f"{name} has no meaning for method={method!r}; use {instead}, or another method."
        )
