"""What a fitted diffusion model can do: scores and denoisers at any noise, samples by any sampler."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from convexscore import samplers
from convexscore._tools.random import check_random_state
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice, check_count, check_points
from convexscore.models.denoiser import LadderDenoiser
from convexscore.models.door import (
    as_rows,
    converted,
    refuse_idle_trajectory,
    row_levels,
    squeezed,
)
from convexscore.objectives import Standardization
from convexscore.objectives.options import refuse_without_effect
from convexscore.samplers import DiffusionResult, RunOptions
from convexscore.samplers.options import NOT_OF_LEVELS, read_options
from convexscore.schedules import TimeGrid, exponential_grid, geometric_levels, vp, vp_time
from convexscore.schedules.levels import Level, LevelScore, by_row, check_level, check_levels
from convexscore.schedules.time_grids import as_time_grid
from convexscore.scores import ScoreLadder, ve_score_to_vp

SAMPLERS = (
    "ddpm", "ancestral", "probability_flow", "heun", "annealed_langevin", "predictor_corrector",
)  # fmt: skip
METHODS: dict[str, Callable[..., DiffusionResult]] = {
    name: getattr(samplers, name) for name in SAMPLERS
}
# What each takes, a grid of times or a ladder of levels among it.
_TAKES = {name: frozenset(signature(sampler).parameters) for name, sampler in METHODS.items()}
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
    def score_function(self, X: ArrayLike, t: Level) -> Floats:
        r"""Score of the noised law at X, in the shape of ``X`` and in 1 / units of X.

        Parameters
        ----------
        X : array_like
            One column: any shape; d columns: (..., d).
        t : float >= 0, or (n,), one a row of X
            ``schedule="vp"``: OU time of :math:`X_t = \mu + e^{-t}(X - \mu) + \sqrt{1 - e^{-2t}}\,
            M^{-1}G`, with :math:`\mu` and M of ``standardization_`` (zero and the identity for
            ``standardize=None``).  ``"ve"``: noise sigma of :math:`X + \sigma M^{-1} G`.
        """
        z, shape, scale, sigma = self._noised(X, t)
        score = self.ladder_.score(z / scale, sigma) / scale
        return self.standardization_.labels_back(score).reshape(shape)

    def denoise(self, X: ArrayLike, t: Level) -> Floats:
        r"""E[X | X_t = x] by Tweedie's formula, in the shape and units of ``X``; t as above."""
        z, shape, scale, sigma = self._noised(X, t)
        clean = self.ladder_.denoise(z / scale, sigma)
        return self.standardization_.points_back(clean).reshape(shape)

    def ve_score(self, X: ArrayLike, sigma: Level) -> Floats:
        r"""Score of :math:`X + \sigma M^{-1}G` at X, whatever the schedule (M = 1/scale for "scale")."""
        z, shape, level = self._rows(X, sigma, "sigma")
        return self.standardization_.labels_back(self.ladder_.score(z, level)).reshape(shape)

    @property
    def denoiser(self) -> LadderDenoiser:
        r"""E[X | scale X + sigma G = z] in the units of X, a :class:`~convexscore.denoisers.Denoiser`.

        Called as ``denoiser(z, scale, sigma)``: for :func:`~convexscore.scores.vp_score`,
        :func:`~convexscore.scores.ve_score`, :class:`~convexscore.targets.Noised` and every sampler.

        Raises
        ------
        AttributeError
            If noise that is the same in all directions of X is not so in those of Z: several columns
            and ``standardize="columns"`` or ``"whitening"``.
        """
        check_is_fitted(self)
        to_z = self.standardization_
        if self.n_features_in_ > 1 and to_z.name in ("columns", "whitening"):
            raise AttributeError(
                f"denoiser is E[X | scale X + sigma G] with noise G alike in all directions of X; with "
                f"standardize = {to_z.name!r} the fit knows noise alike in all directions of Z only. "
                "Fit with standardize='scale' or None, or use denoise(X, t) and score_function(X, t)."
            )
        return LadderDenoiser(self.ladder_, to_z.centre, float(to_z.inverse[0, 0]))

    def _noised(self, X: ArrayLike, t: Level) -> tuple[Floats, tuple[int, ...], Any, Level]:
        """Rows of Z, the shape of X, the factor of Z at time t by row, and the noise over it."""
        check_is_fitted(self)
        ve = self.schedule == "ve"
        meaning = "the noise sigma" if ve else "the Ornstein-Uhlenbeck time"
        z, shape, t = self._rows(X, t, "t", f"With schedule={self.schedule!r} it is {meaning}.")
        scale, sigma = (1.0, t) if ve else vp(np.minimum(t, _ALL_NOISE))
        return z, shape, by_row(scale, z), sigma / scale

    def _rows(
        self, X: ArrayLike, level: Level, name: str, hint: str = ""
    ) -> tuple[Floats, tuple[int, ...], Level]:
        """Rows of Z, the shape of X and the checked noise of every row."""
        check_is_fitted(self)
        rows, shape = as_rows(X, self.n_features_in_, model=type(self).__name__)
        if rows.size:
            check_points(rows, name="X", min_distinct=1)
        levels = row_levels(check_level(level, name=name, hint=hint), shape, self.n_features_in_)
        return self.standardization_.points(rows), shape, levels

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
        step: float | None = None,
        variance: str | None = None,
        n_corrector: int | None = None,
        corrector_step: float | None = None,
        return_result: bool = False,
        **run: Unpack[RunOptions],
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
        step : float, optional
            Annealed Langevin: step at the last level in squared units of Z, default 0.1 of its variance.
        variance, n_corrector, corrector_step : optional
            As in :func:`~convexscore.samplers.ancestral`,
            :func:`~convexscore.samplers.predictor_corrector`.
        return_result : bool
            Return the :class:`~convexscore.samplers.DiffusionResult`, in units of X, with trajectory if
            ``keep_trajectory=True``.
        **run
            :class:`~convexscore.samplers.RunOptions`; ``callback`` sees states in units of Z.  Chain i
            does not depend on how many chains run beside it.

        Returns
        -------
        ndarray (n,) or (n, d), or DiffusionResult

        Raises
        ------
        TypeError
            For an unknown option.
        ValueError
            For an option without effect on this method.
        ChainDivergedError
            Names the step and the chains.
        """
        check_is_fitted(self)
        own = {"variance": variance, "step": step, "n_corrector": n_corrector}
        own["corrector_step"] = corrector_step
        check_plan(n, method=method, n_steps=n_steps, grid=grid, levels=levels, **own)
        options = read_options(self.sample, run, without=(*NOT_OF_LEVELS, "n_samples", "dim"))
        refuse_idle_trajectory(options["keep_trajectory"], return_result)
        start_rng, run["random_state"] = check_random_state(options["random_state"]).spawn(2)
        score, path, noise, plan = self._plan(method, n_steps, grid, levels)
        plan.update((name, value) for name, value in own.items() if value is not None)
        start = self._start(n, x0, noise, start_rng)
        result = METHODS[method](score, start, path, **plan, **run)
        result = converted(result, lambda z: squeezed(self.standardization_.points_back(z)))
        return result if return_result else result.samples

    def _plan(
        self, method: str, n_steps: int | None, grid: Any, levels: ArrayLike | None
    ) -> tuple[LevelScore, Any, tuple[Any, Any], dict[str, Any]]:
        """The score, the grid or levels, (scale, sigma) of the start, and options by default."""
        first, last = float(self.levels_[0]), float(self.levels_[-1])
        if "grid" in _TAKES[method]:
            if grid is None:
                grid = exponential_grid(vp_time(first), n_steps or _N_STEPS, end=vp_time(last))
            else:
                refuse_without_effect("n_steps", n_steps, "grid, which has its own", "grid=None")
            times = as_time_grid(grid)
            noise = vp(min(times.horizon, _ALL_NOISE))
            return ve_score_to_vp(self.ladder_.score), times, noise, {}
        plan: dict[str, Any] = {}
        if method == "annealed_langevin":
            ladder = check_levels(self.levels_ if levels is None else levels)
            plan["step"] = _LANGEVIN_STEP * float(ladder[-1]) ** 2
            plan["n_steps"] = n_steps or _STEPS_PER_LEVEL
        elif levels is None:
            ladder = geometric_levels(first, last, n_steps or _N_STEPS)
        else:
            refuse_without_effect("n_steps", n_steps, "levels, one of each step", "levels=None")
            ladder = check_levels(levels)
        return self.ladder_.score, ladder, (1.0, float(ladder[0])), plan

    def _start(
        self, n: int, x0: ArrayLike | None, noise: tuple[Any, Any], rng: np.random.Generator
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


def check_plan(n: int, *, method: str, n_steps: int | None = None, **own: Any) -> None:
    """Refuse what no model samples, whatever it was fitted to, and options that the method does not read.

    Raises
    ------
    ValueError
        Naming the argument.
    """
    check_count(n, name="n")
    check_choice(method, SAMPLERS, name="method")
    if n_steps is not None:
        check_count(n_steps, name="n_steps")
    for name, value in own.items():
        if name not in _TAKES[method]:
            needs = " or ".join(repr(key) for key, names in _TAKES.items() if name in names)
            refuse_without_effect(name, value, f"method={method!r}", f"method={needs}")
