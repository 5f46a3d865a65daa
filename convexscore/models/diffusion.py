"""`fit_convex_diffusion` and the estimator behind it: certified scores at a ladder of noise levels."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from functools import partial
from typing import Unpack

import numpy as np
from joblib import delayed
from numpy.typing import ArrayLike

from convexscore._tools.exceptions import SolverError
from convexscore._tools.parallel import run_jobs
from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.typing import Floats
from convexscore._tools.validation import (
    check_choice,
    check_count,
    check_weighted_points,
)
from convexscore.models.diffusion_sampling import DiffusionMethods
from convexscore.models.estimator import Estimator
from convexscore.models.ladder_plan import moments, noise_levels, noisy_copies
from convexscore.models.levels import LevelTable, fit_level, warn_of_levels
from convexscore.objectives import DiffusionOptions, Standardization, standardization
from convexscore.objectives.options import check_effort, make_problem, refuse_without_effect
from convexscore.scores import Activation, ScoreLadder
from convexscore.selection import FactorSelection
from convexscore.selection.ladder_betas import choose_betas
from convexscore.solvers import problem_on
from convexscore.solvers.training_problem import refuse_idle_starts

STANDARDIZE = ("auto", "scale", None, "columns", "whitening")
_FOLDS = 3
# Relative gap of a level with several columns: far below what sampling noise leaves undecided.
_SPACE_TOL = 1e-2


@dataclass(kw_only=True, eq=False, repr=False)
class ConvexDiffusion(DiffusionMethods, Estimator):
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
        Only with ``beta="cv"`` and ``"cv-per-level"``: folds, default 3.
    tol : float, optional
        Relative duality gap of each level; default 1e-8 for one column and 0.01 for several, far below
        what sampling noise leaves undecided.
    n_starts : int, optional
        Only where not all neurons can be looked at (more than 12000 noisy points in the plane, several
        hundred in the folds of "cv-per-level", three columns): local searches per round, default 64.
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
        words = check_random_state(self.random_state).integers(2**63, size=3)
        noise_seed, fold_seed, level_seed = (int(word) for word in words)
        mode = self.standardize
        if mode == "auto":
            mode = "scale" if self.schedule == "vp" else None
        to_z = standardization(points, mode, sample_weight=weights)
        z = to_z.points(points)
        mean, covariance = moments(z, weights)
        ends = {name: getattr(self, name) for name in ("n_levels", "sigma_max", "sigma_min")}
        levels = noise_levels(z, weights, covariance, levels=self.levels, **ends)
        draws = noisy_copies(*z.shape, n_draws=self.n_draws)
        problem = make_problem(
            objective="denoising",
            activation=self.activation,
            skip=self.skip,
            constraint=self.constraint,
            noise=float(levels[0]),
            n_draws=draws,
            labels=self.labels,
        )
        problem.check_dimension(z.shape[1])
        if self.n_starts is not None:
            # all levels have as many noisy points: what searches at one does at all
            one = problem_on(z, problem, weights, rng=np.random.default_rng(0))
            rough = isinstance(self.beta, str) and self.beta == "cv-per-level"
            refuse_idle_starts(self.n_starts, one, rough=rough)
        run = partial(run_jobs, n_jobs=self.n_jobs, progress=self.progress)
        betas, selection = choose_betas(
            z,
            problem,
            levels,
            self.beta,
            sample_weight=weights,
            cv=_FOLDS if self.cv is None else self.cv,
            n_starts=self.n_starts,
            noise_seed=noise_seed,
            fold_seed=fold_seed,
            run=run,
        )
        tol = _SPACE_TOL if self.tol is None and z.shape[1] > 1 else self.tol
        # one seed for every level: the same displacements, the same search starts
        how = {"tol": tol, "n_starts": self.n_starts, "seed": level_seed}
        jobs = [
            delayed(fit_level)(z, weights, problem.at_level(level), float(beta), **how)
            for level, beta in zip(levels, betas, strict=True)
        ]
        fits = run(jobs, description="noise levels")
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
        self.n_features_in_ = z.shape[1]
        self._keep_names(X)
        warn_of_levels(self.certificates_)
        return self

    def _check_options(self) -> None:
        check_choice(self.schedule, ("vp", "ve"), name="schedule")
        check_choice(self.standardize, STANDARDIZE, name="standardize")
        check_effort(self.tol, self.n_starts)
        if not isinstance(self.beta, str) or self.beta == "rule":
            where = f"beta = {reprlib.repr(self.beta)}"
            refuse_without_effect("cv", self.cv, where, "beta='cv' or 'cv-per-level'")
        elif self.cv is not None:
            check_count(self.cv, name="cv", minimum=2)


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
