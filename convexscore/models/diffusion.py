"""`fit_convex_diffusion` and the estimator behind it: certified scores at a ladder of noise levels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Unpack

import numpy as np
from joblib import delayed
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from convexscore._tools.exceptions import ConvergenceWarning, DataWarning, SolverError
from convexscore._tools.parallel import run_jobs
from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.typing import Floats
from convexscore._tools.validation import (
    check_choice,
    check_count,
    check_positive,
    check_weighted_points,
)
from convexscore.models.diffusion_sampling import DiffusionMethods
from convexscore.models.levels import LevelTable, fit_level
from convexscore.objectives.options import (
    DiffusionOptions,
    Problem,
    make_problem,
    refuse_without_effect,
)
from convexscore.objectives.standardization import Standardization, standardization
from convexscore.schedules.levels import check_levels, geometric_levels
from convexscore.scores.activations import Activation
from convexscore.scores.ladder import ScoreLadder
from convexscore.selection.gradient_noise import gradient_noise
from convexscore.selection.ladder import (
    FEWEST_POINTS,
    RULE_FACTOR,
    FactorSelection,
    anchors,
    betas_from,
    cross_validated_beta,
    explicit_betas,
    select_factor,
)
from convexscore.solvers.space.training import bandwidth

SCHEDULES = ("vp", "ve")
STANDARDIZE = ("auto", "scale", None, "columns", "whitening")
# Largest noise in standard deviations of the data: what is left of their law is its second moments.
_LARGEST_LEVEL = 10.0
# Smallest level: the final denoising step takes as much variance as it hides, so it lies below a
# bandwidth.  At least so many standard deviations: narrower features are not looked for unless
# sigma_min says so.
_SMALLEST_LEVEL = 1e-3
# Noisy points that stand for the smoothed law, at least; two copies of a point are a pair of opposite
# displacements, whose label noise nearly cancels.
_LINE_POINTS, _SPACE_POINTS = 8000, 2000
_LEAST_DRAWS, _MOST_DRAWS = 2, 50
_N_LEVELS, _FOLDS = 20, 3
# Relative gap of a level with several columns: far below what sampling noise leaves undecided.
_SPACE_TOL = 1e-2


@dataclass(kw_only=True, eq=False, repr=False)
class ConvexDiffusion(DiffusionMethods, BaseEstimator):  # type: ignore[misc]
    r"""Diffusion model whose score at every noise level is a certified global optimum.

    At each level :math:`\sigma_1 > \dots > \sigma_L` the denoising problem of
    :class:`~convexscore.ConvexScore` is solved for the law of :math:`Z + \sigma_l G`,

    .. math:: \min_s\ \tfrac12\sum_k \|s(\tilde z_k) - l_k\|^2 + \beta_l \sum_j \|u_j\|\|w_j\|,
              \qquad \tilde z_k = z_{i(k)} + \sigma_l\,\delta_k,

    over two-layer networks of any width.  Between levels the denoiser
    :math:`m(y;\sigma) = y + \sigma^2 s(y;\sigma)` is interpolated in :math:`\log\sigma`.  One ladder
    serves both conventions: :math:`s_{VP}(z, t) = s_{VE}(z/\lambda_t;\,\sigma_t/\lambda_t)/\lambda_t`.

    Parameters
    ----------
    schedule : {"vp", "ve"}
        What the second argument of :meth:`score_function` and :meth:`denoise` means: the
        Ornstein–Uhlenbeck time t of :math:`Z_t = e^{-t} Z + \sqrt{1 - e^{-2t}}\, G`, or the noise
        sigma of :math:`Z + \sigma G`.
    n_levels : int >= 2, optional
        Default 20: levels of the geometric ladder from ``sigma_max`` down to ``sigma_min``.
    levels : array_like (L,), optional
        The VE noise levels themselves, decreasing, in units of Z; instead of ``n_levels``, ``sigma_max``
        and ``sigma_min``.
    sigma_max, sigma_min : float, optional
        VE noise, in units of Z.  Default: ten standard deviations, and 0.22 of a rule-of-thumb
        bandwidth for the densest quarter of the data (at least 0.001 standard deviations).
    activation, skip, constraint
        As in :class:`~convexscore.ConvexScore`.
    beta : "cv", "cv-per-level", "rule", float or array_like (L,)
        Penalty on sums over the ``n * n_draws`` noisy points.  "rule": at each level 0.15 times the
        largest sampling fluctuation of any neuron's gradient, simulated with random multipliers of the
        training points (:mod:`convexscore.selection.gradient_noise`).  "cv": the factor, one for all
        levels, is chosen by cross-validation of the losses of up to ten levels together.
        "cv-per-level": each level by itself, which takes two to four times as long; better on planar
        shapes, hardly worse on the line (benchmarks/diffusion_beta.py).  Below 20 points, or 2 ``cv``,
        both mean "rule".
    n_draws : int, optional
        Noisy copies per point, in pairs of opposite displacements; default: as many as give 8000 noisy
        points for one column, 2000 for several, at least 2 and at most 50.
    labels : {"smoothed", "noisy"}
        Expected labels given the noisy points, or :math:`-\delta/\sigma` as in the papers.
    standardize : {"auto", "scale", None, "columns", "whitening"}
        How X becomes Z.  "scale": the mean is subtracted and all columns are divided by one number, the
        root mean variance; "columns" and "whitening" as in :class:`~convexscore.ConvexScore`; None:
        Z = X.  "auto": "scale" for "vp", None for "ve".
    cv : int, optional
        Folds of ``beta="cv"`` and ``"cv-per-level"``, default 3.
    tol : float, optional
        Relative duality gap of each level; default 1e-8 for one column and 0.01 for several, far below
        what sampling noise leaves undecided.
    n_starts : int, optional
        As in :class:`~convexscore.ConvexScore`.
    n_jobs : int, optional
        Workers of joblib; -1 for all.  The backend is the user's: inside
        ``joblib.parallel_config(backend="dask")`` the levels run on a cluster.  The fits do not depend
        on it.
    progress : bool
        Show progress bars (needs tqdm).
    random_state : None, int, Generator or RandomState

    Attributes
    ----------
    certificates_ : LevelTable
        A row per level: level, beta, neurons, relative gap, violation, seconds, outcome.
    levels_ : (L,)
        VE noise levels in units of Z, decreasing; those that could be fitted.
    betas_ : (L,)
    networks_ : tuple of TwoLayerNetwork
        Score of :math:`X + \sigma_l M^{-1} G` in the units of X, for each level.
    standardization_ : Standardization
        Z = M (X - mu).
    ladder_ : ScoreLadder
        The VE score of Z at any noise level.
    factor_selection_ : FactorSelection or None
        What ``beta="cv"`` saw.
    n_draws_ : int
    n_features_in_ : int

    Raises
    ------
    ValueError
        Bad data or options.
    SolverError
        If no level could be fitted.  If some could, the model keeps them and warns.

    Notes
    -----
    All levels use the same random displacements, so the scores change smoothly from level to level.
    Levels are independent jobs: started from the neurons of the level above, fits take a tenth less time
    (benchmarks/diffusion_ladder.py), but one after the other, with results that depend on the order.
    Time: L fits (see :class:`~convexscore.ConvexScore`), and with ``beta="cv"`` up to 8 cv small ones
    for each anchor level.  Memory of one fit per worker.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965 (the convex programs); Song, Ermon (2019) (ladders of noise
    levels); Vincent (2011) (smoothed labels).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import ConvexDiffusion
    >>> x = np.random.default_rng(1).choice([-2.0, 2.0], size=300)
    >>> x += 0.3 * np.random.default_rng(2).normal(size=300)
    >>> model = ConvexDiffusion(n_levels=8, beta="rule", random_state=0).fit(x)
    >>> model.certificates_.optimal
    True
    >>> y = model.sample(500, n_steps=60, random_state=0)
    >>> y.shape, bool(abs(np.mean(np.abs(y)) - 2.0) < 0.1)
    ((500,), True)
    """

    schedule: str = "vp"
    n_levels: int | None = None
    levels: ArrayLike | None = None
    sigma_max: float | None = None
    sigma_min: float | None = None
    activation: str | Activation = "relu"
    skip: bool = True
    constraint: str | None = None
    beta: str | float | ArrayLike = "cv"
    n_draws: int | None = None
    labels: str = "smoothed"
    standardize: str | None = "auto"
    cv: int | None = None
    tol: float | None = None
    n_starts: int | None = None
    n_jobs: int | None = None
    progress: bool = False
    random_state: RandomState = None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.required = False
        return tags

    def fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> ConvexDiffusion:
        """Choose the levels and penalties, then fit and certify every level; ``y`` is ignored.

        Parameters
        ----------
        X : array_like of shape (n,), (n, 1) or (n, d)
        sample_weight : array_like of shape (n,), optional
        """
        self._check_options()
        points, weights = check_weighted_points(X, sample_weight)
        d = points.shape[1]
        rng = check_random_state(self.random_state)
        seeds = [np.random.SeedSequence(int(word)) for word in rng.integers(2**63, size=3)]
        to_z = standardization(points, self._standardize_mode(), sample_weight=weights)
        z = to_z.points(points)
        mean, covariance = _moments(z, weights)
        levels = self._ladder_levels(z, weights, covariance)
        draws = _default_draws(*z.shape) if self.n_draws is None else int(self.n_draws)
        problem = make_problem(
            objective="denoising",
            activation=self.activation,
            skip=self.skip,
            constraint=self.constraint,
            noise=float(levels[0]),
            n_draws=draws,
            labels=self.labels,
        )
        problem.check_dimension(d)
        if d == 1:
            where = "one column, whose neurons are all looked at"
            refuse_without_effect("n_starts", self.n_starts, where, "several columns")
        tol = _SPACE_TOL if self.tol is None and d > 1 else self.tol
        betas, selection = self._choose_betas(z, weights, problem, levels, seeds)
        jobs = [
            # every level spawns the same children: the same displacements, the same search starts
            delayed(fit_level)(
                z,
                weights,
                problem.at_level(level),
                float(beta),
                tol=tol,
                n_starts=self.n_starts,
                seed=np.random.SeedSequence(seeds[2].entropy),
            )
            for level, beta in zip(levels, betas, strict=True)
        ]
        fits = run_jobs(
            jobs,
            n_jobs=self.n_jobs,
            progress=self.progress,
            description="noise levels",
        )
        good = tuple(fit for fit in fits if fit.network is not None)
        if not good:
            raise SolverError(
                f"no noise level could be fitted; the first failed with {fits[0].error}. Check X for "
                "extreme values, or give sigma_max, sigma_min and beta."
            )
        self.certificates_ = LevelTable(tuple(fits))
        self.factor_selection_: FactorSelection | None = selection
        self.levels_: Floats = np.array([fit.level for fit in good])
        self.betas_: Floats = np.array([fit.beta for fit in good])
        self.standardization_: Standardization = to_z
        self.networks_ = tuple(to_z.network_back(fit.network) for fit in good)
        self.ladder_ = ScoreLadder(self.levels_, tuple(fit.score for fit in good), mean, covariance)
        self.n_draws_ = draws
        self.n_features_in_ = points.shape[1]
        if hasattr(X, "columns"):
            validate_data(self, X, skip_check_array=True)
        else:
            self.__dict__.pop("feature_names_in_", None)
        _warn_of_levels(self.certificates_)
        return self

    # ------------------------------------------------------------------ choices
    def _check_options(self) -> None:
        check_choice(self.schedule, SCHEDULES, name="schedule")
        check_choice(self.standardize, STANDARDIZE, name="standardize")
        if self.tol is not None:
            check_positive(self.tol, name="tol", hint="It is the relative duality gap of a level.")
        if self.n_starts is not None:
            check_count(self.n_starts, name="n_starts")
        if self.cv is not None:
            check_count(self.cv, name="cv", minimum=2)
            if not isinstance(self.beta, str) or self.beta == "rule":
                needs = "beta='cv' or 'cv-per-level'"
                refuse_without_effect("cv", self.cv, f"beta = {self.beta!r}", needs)
        if self.n_draws is not None:
            check_count(self.n_draws, name="n_draws")
        if self.n_levels is not None:
            check_count(self.n_levels, name="n_levels", minimum=2)
        if self.levels is not None:
            for name in ("n_levels", "sigma_max", "sigma_min"):
                refuse_without_effect(
                    name, getattr(self, name), "levels, which say everything", "levels=None"
                )

    def _standardize_mode(self) -> str | None:
        if self.standardize == "auto":
            return "scale" if self.schedule == "vp" else None
        return self.standardize

    def _ladder_levels(self, z: Floats, weights: Floats | None, covariance: Floats) -> Floats:
        if self.levels is not None:
            return check_levels(self.levels, at_least=2)
        spread = float(np.sqrt(np.trace(covariance) / len(covariance)))
        top = self.sigma_max
        if top is None:
            top = _LARGEST_LEVEL * spread
        low = self.sigma_min
        if low is None:
            size = len(z) if weights is None else float(weights.sum() ** 2 / (weights**2).sum())
            low = max(bandwidth(z / spread, size), _SMALLEST_LEVEL) * spread
            if low >= check_positive(top, name="sigma_max"):
                raise ValueError(
                    f"sigma_max = {top:g} is not above the default sigma_min = {low:.3g} (from a "
                    "bandwidth of the data); give sigma_min as well, or a larger sigma_max."
                )
        return geometric_levels(top, low, _N_LEVELS if self.n_levels is None else self.n_levels)

    def _choose_betas(
        self,
        z: Floats,
        weights: Floats | None,
        problem: Problem,
        levels: Floats,
        seeds: Sequence[np.random.SeedSequence],
    ) -> tuple[Floats, FactorSelection | None]:
        given = explicit_betas(self.beta, len(levels))
        if given is not None:
            return given, None
        cv = _FOLDS if self.cv is None else self.cv
        enough = len(z) >= max(FEWEST_POINTS, 2 * cv)
        if self.beta == "cv-per-level" and enough:
            return self._each_level(z, weights, problem, levels, seeds[1]), None
        jobs = [
            delayed(gradient_noise)(
                z,
                problem.at_level(level),
                sample_weight=weights,
                rng=np.random.default_rng(seeds[0]),
            )
            for level in levels
        ]
        noise = np.array(
            run_jobs(
                jobs,
                n_jobs=self.n_jobs,
                progress=self.progress,
                description="gradient noise",
            )
        )
        if self.beta == "rule" or not enough:
            return betas_from(RULE_FACTOR, noise), None
        chosen = anchors(len(levels), one_column=z.shape[1] == 1)
        selection = select_factor(
            z,
            problem,
            levels[chosen],
            noise[chosen],
            sample_weight=weights,
            cv=cv,
            n_jobs=self.n_jobs,
            progress=self.progress,
            rng=np.random.default_rng(seeds[1]),
        )
        return betas_from(selection.factor, noise), selection

    def _each_level(
        self,
        z: Floats,
        weights: Floats | None,
        problem: Problem,
        levels: Floats,
        seed: np.random.SeedSequence,
    ) -> Floats:
        """Beta of every level by cross-validation of its own."""
        jobs = [
            delayed(cross_validated_beta)(
                z,
                problem.at_level(level),
                sample_weight=weights,
                cv=_FOLDS if self.cv is None else self.cv,
                n_starts=self.n_starts,
                seed=int(word),
            )
            for level, word in zip(levels, seed.generate_state(len(levels)), strict=True)
        ]
        betas = run_jobs(
            jobs,
            n_jobs=self.n_jobs,
            progress=self.progress,
            description="cross-validation of each level",
        )
        return np.array(betas)


def _moments(z: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    share = np.full(len(z), 1.0 / len(z)) if weights is None else weights / weights.sum()
    mean = share @ z
    away = z - mean
    return mean, (share[:, None] * away).T @ away


def _default_draws(n: int, d: int) -> int:
    wanted = _LINE_POINTS if d == 1 else _SPACE_POINTS
    return min(_MOST_DRAWS, max(_LEAST_DRAWS, ceil(wanted / n)))


def _warn_of_levels(table: LevelTable) -> None:
    """One warning for all failed levels, one for all that are not certified, one for the rest."""
    failed = [fit for fit in table if fit.error]
    if failed:
        warnings.warn(
            f"{len(failed)} of {len(table)} noise levels failed and are left out (levels "
            f"{_listed([fit.level for fit in failed])}): {failed[0].error}. The model interpolates "
            "over them; see certificates_.",
            ConvergenceWarning,
            stacklevel=3,
        )
    loose = [fit for fit in table if fit.certificate and not fit.certificate.converged]
    if loose:
        worst = max(fit.certificate.relative_gap for fit in loose if fit.certificate)
        warnings.warn(
            f"{len(loose)} of {len(table)} noise levels did not converge to the tolerance (levels "
            f"{_listed([fit.level for fit in loose])}; largest relative gap {worst:.2g}); see "
            "certificates_, or use a larger tol or beta.",
            ConvergenceWarning,
            stacklevel=3,
        )
    said = {m for fit in table for m in fit.messages if not m.startswith("column generation")}
    if said:
        warnings.warn(" ".join(sorted(said)), DataWarning, stacklevel=3)


def _listed(levels: Sequence[float]) -> str:
    shown = ", ".join(f"{level:.3g}" for level in levels[:5])
    return shown + (", ..." if len(levels) > 5 else "")


def fit_convex_diffusion(
    X: ArrayLike, *, sample_weight: ArrayLike | None = None, **options: Unpack[DiffusionOptions]
) -> ConvexDiffusion:
    """Fit one certified convex score per noise level; see :class:`ConvexDiffusion` for all options.

    Returns
    -------
    ConvexDiffusion
        The fitted model: ``score_function(x, t)``, ``denoise(x, t)``, ``sample(n)``,
        ``certificates_``.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import fit_convex_diffusion
    >>> x = np.random.default_rng(1).normal(size=400)
    >>> model = fit_convex_diffusion(x, n_levels=6, beta="rule", random_state=0)
    >>> at = np.array([-1.0, 1.0])                  # the OU process of a Gaussian stays one
    >>> gaussian = -(at - x.mean()) / x.var()
    >>> float(np.abs(model.score_function(at, 0.5) - gaussian).max()) < 0.15
    True
    """
    return ConvexDiffusion(**options).fit(X, sample_weight=sample_weight)
