"""`fit_convex_score` and the scikit-learn estimator behind it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from convexscore._tools.exceptions import DataWarning
from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.threads import threads_for
from convexscore._tools.validation import (
    check_choice,
    check_count,
    check_positive,
    check_weighted_points,
)
from convexscore.models.chains import MOST_STARTS
from convexscore.models.fitted_score import FittedScore
from convexscore.models.space_fit import DEFAULT_TOL, build_problem, fit_problem
from convexscore.objectives.objective import DEFAULT_DRAWS, ScoreObjective
from convexscore.objectives.options import ProblemOptions
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.selection.line_selection import BetaSelection, blur_width, select_beta
from convexscore.selection.space_selection import bandwidth, select_vector_beta
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.line.problem import prepare
from convexscore.solvers.line.solve import check_bounded, solve
from convexscore.solvers.oracles.choice import DEFAULT_STARTS

Floats = NDArray[np.float64]

# Largest violation, in units of beta, of a fit of one column.
LINE_TOL = 1e-10


class ConvexScore(FittedScore, BaseEstimator):  # type: ignore[misc]
    r"""Globally optimal two-layer score network of one or several columns of data.

    Minimises, over networks of *any* width,

    .. math:: \sum_i m_i\left[\tfrac12 \|s(x_i)\|^2 + \operatorname{tr}\nabla s(x_i)\right]
              + \beta\sum_j \|u_j\|\|w_j\|
              \quad\text{or}\quad
              \tfrac12\sum_i m_i \|s(\tilde x_i) - l_i\|^2 + \beta\sum_j \|u_j\|\|w_j\|,

    :math:`s(x) = \sum_j w_j \sigma(u_j^\top x + b_j) + V x + c`, by the convex reformulation of ZP24,
    and proves it with a duality gap.

    Parameters
    ----------
    objective : {"score_matching", "denoising"}
    activation : {"relu", "abs"}
    skip : bool
        Whether the unpenalised term V x is present.
    beta : float or "cv"
        Penalty on sums over samples (not means).  "cv": K-fold on the held-out objective.
    noise : float, optional
        Denoising only: noise level in the units of x.
    n_draws : int
        Denoising only: noisy copies per point, in pairs of opposite displacements, whose label noise
        nearly cancels: far better than one copy, the papers' problem (benchmarks/noise_draws.py).  Sums
        grow with it: ``beta`` weighs against n * n_draws terms.
    labels : {"noisy", "smoothed"}
        Denoising only: :math:`-\delta/\varepsilon`, or its expectation given the noisy point.
    tails : {"free", "integrable"}
        One column only.  "integrable" constrains the outer slopes to be <= 0, so that the score has a
        density.  With skip it always has one: where the best such tail is flat and does not point
        inwards, slopes <= -0.001 / variance are asked for.  Without skip that case warns.
    shape : None or "log-concave"
        "log-concave": one column: a score that never increases; several (with ``conservative=True``): all
        y_j <= 0 and V negative semidefinite.
    conservative : bool
        Several columns: :math:`w_j = y_j u_j` and V symmetric, so that the score is the gradient of a
        log-density known up to a constant.  (A score of one column always is one.)
    standardize : None, "columns" or "whitening"
        Several columns: solve the problem of the data divided by their standard deviations, or whitened,
        and map the score back.  Penalty, loss and certificate are then those of the standardised
        data, ``noise`` is in standardised units.  None: as given, equivariant under rotations,
        translations and a common scaling.  (One column is equivariant anyway.)
    cv, n_betas, one_standard_error
        Folds, grid size (default 30 for one column, 15 for several) and rule of ``beta="cv"``: the
        smallest held-out loss (one column: gains below 0.75 of their standard error do not count), or the
        largest beta within one standard error of it.
    tol : float, optional
        One column: largest violation of the optimality conditions in units of beta, default 1e-10.
        Several: relative duality gap, default 1e-4.
    n_starts : int
        Several columns, where not all neurons can be looked at: local searches per round.
    random_state : None, int, Generator or RandomState
        Noise of denoising, the folds of cross-validation, starts of local searches.

    Attributes
    ----------
    network_ : TwoLayerNetwork
        ``network_.balanced()`` has |u_j| = |w_j|.
    certificate_ : Certificate
    beta_ : float
        The penalty used.
    beta_selection_ : BetaSelection or None
        Grid, held-out curve and choice of ``beta="cv"``.
    piecewise_ : PiecewiseLinearScore
        One column: the score as an exact piecewise-linear function, with its law.
    noisy_points_, noise_labels_ : (n * n_draws,), (n * n_draws, d) or None
        What the denoising objective was minimised on.
    blur_ : float
        Half-width over which held-out points are spread in :meth:`score` and ``beta="cv"`` (several
        columns: in standardised units).
    standardization_ : Standardization
        Several columns: the map to the coordinates of the certificate.
    start_points_ : (k, d)
        Several columns: rows of the data, where chains start.
    n_features_in_ : int
    feature_names_in_ : (d,)
        Column names, if X was a data frame with string names.

    Notes
    -----
    One column: the optimum fixes the score between the extreme points.  Where several networks are
    optimal the choice is deterministic: slope carried by neurons at the extremes is shared equally
    between both ends (ReLU without skip: t = 1/2 of the family in
    :class:`~convexscore.GaussianRegime`; abs without skip: as flat outside as the cost permits), all
    other kinks sit at data points.  Kinks of score matching lie one rounding unit beside their point, on
    the side the optimum counts.  Values equal up to 8 rounding units of the largest one are ties.
    Complexity O(n log n) for the sort and O(n) per round; memory O(n).

    Several columns: column generation.  In the plane every line is looked at (exact certificate, O(n^2)
    per round up to 12 000 points), in space every plane up to 60 points (O(n^3)); otherwise ``n_starts``
    local searches, O(n d n_starts) per step, and the certificate says so.  The restricted problem of K
    neurons costs O(K^3 + n K d) per Newton step; memory O(n K + K^2), in the plane plus the sorted
    angles, O(n^2) up to 400 MB.  Not one column is kept for every possible neuron.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate and multivariate theorems.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import ConvexScore
    >>> x = np.concatenate([np.linspace(-3, -2, 40), np.linspace(1, 3, 60)])
    >>> fit = ConvexScore(beta=10.0).fit(x)
    >>> fit.certificate_.status
    'optimal'
    >>> bool(abs(fit.cdf(fit.ppf(0.3)) - 0.3) < 1e-12)
    True
    """

    def __init__(
        self,
        *,
        objective: str = "score_matching",
        activation: str = "relu",
        skip: bool = True,
        beta: float | str = "cv",
        noise: float | None = None,
        n_draws: int = DEFAULT_DRAWS,
        labels: str = "noisy",
        tails: str = "free",
        shape: str | None = None,
        conservative: bool = False,
        standardize: str | None = None,
        cv: int = 5,
        n_betas: int | None = None,
        one_standard_error: bool = False,
        tol: float | None = None,
        n_starts: int = DEFAULT_STARTS,
        random_state: RandomState = None,
    ) -> None:
        self.objective = objective
        self.activation = activation
        self.skip = skip
        self.beta = beta
        self.noise = noise
        self.n_draws = n_draws
        self.labels = labels
        self.tails = tails
        self.shape = shape
        self.conservative = conservative
        self.standardize = standardize
        self.cv = cv
        self.n_betas = n_betas
        self.one_standard_error = one_standard_error
        self.tol = tol
        self.n_starts = n_starts
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.required = False
        return tags

    # ------------------------------------------------------------------ fitting
    def _options(self) -> ProblemOptions:
        return ProblemOptions(
            self.objective,
            self.activation,
            self.skip,
            self.noise,
            self.n_draws,
            self.labels,
            self.tails,
            self.shape,
            self.conservative,
            self.standardize,
        )

    def fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> ConvexScore:
        """Solve the convex problem; ``y`` is ignored.

        Parameters
        ----------
        X : array_like of shape (n,), (n, 1) or (n, d)
        sample_weight : array_like of shape (n,), optional

        Raises
        ------
        ValueError
            Bad data or options; UnboundedObjectiveError (a ValueError) below the boundedness limit.
        """
        options = self._options()
        if self.tol is not None:
            check_positive(self.tol, name="tol")
        check_count(self.n_starts, name="n_starts")
        check_choice(self.one_standard_error, (True, False), name="one_standard_error")
        if isinstance(self.beta, str):
            if self.beta != "cv":
                raise ValueError(f"beta must be a number > 0 or 'cv'; got {self.beta!r}.")
        else:
            check_positive(self.beta, name="beta", hint="Or use beta='cv'.")
        points, weights = check_weighted_points(
            X, sample_weight, name="x" if np.asarray(X).ndim < 2 else "X"
        )
        rng = check_random_state(self.random_state)
        if points.shape[1] == 1:
            self._fit_column(points[:, 0], options, weights, rng)
        else:
            with threads_for(points.size):
                self._fit_columns(points, options, weights, rng)
        if hasattr(X, "columns"):  # names of a data frame, as scikit-learn keeps them
            validate_data(self, X, skip_check_array=True)
        else:
            self.__dict__.pop("feature_names_in_", None)
        return self

    def _fit_column(
        self, x: Floats, options: ProblemOptions, weights: Floats | None, rng: np.random.Generator
    ) -> None:
        """One column: the exact solver on the line and the exact law."""
        selection: BetaSelection | None = None
        if isinstance(self.beta, str):
            # folds draw from a stream of their own: the final noise is the same with a fixed beta
            selection = select_beta(
                x,
                options,
                sample_weight=weights,
                cv=self.cv,
                n_betas=30 if self.n_betas is None else self.n_betas,
                one_standard_error=self.one_standard_error,
                rng=rng.spawn(1)[0],
            )
            beta = selection.beta
        else:
            beta = float(self.beta)
        objective = options.build(x, weights, rng)
        problem = prepare(objective)
        check_bounded(problem, options.case, beta)
        fit = solve(problem, options.case, beta, tol=LINE_TOL if self.tol is None else self.tol)
        self._forget()
        self.piecewise_: PiecewiseLinearScore = fit.score
        self.blur_ = blur_width(problem, objective.effective_size)
        self._keep(fit.network, fit.certificate, beta, selection, objective)
        if options.case.constraint and not fit.score.is_integrable:
            asked = "shape='log-concave'" if options.shape else "tails='integrable'"
            warnings.warn(
                f"{asked}: the best score with outer slopes <= 0 is flat on one side without "
                f"pointing inwards ({fit.score.tail_report()}), so it has no density. "
                + _flat_tail_remedy(beta, problem.data.total_mass, options),
                DataWarning,
                stacklevel=3,
            )

    def _fit_columns(
        self, X: Floats, options: ProblemOptions, weights: Floats | None, rng: np.random.Generator
    ) -> None:
        """Several columns: column generation over neurons."""
        tol = DEFAULT_TOL if self.tol is None else float(self.tol)
        streams = rng.spawn(2)  # folds, local searches; the noise is the same with a fixed beta
        selection: BetaSelection | None = None
        built = build_problem(X, options, weights, rng)
        if isinstance(self.beta, str):
            selection = select_vector_beta(
                X,
                built,
                options,
                sample_weight=weights,
                cv=self.cv,
                n_betas=15 if self.n_betas is None else self.n_betas,
                one_standard_error=self.one_standard_error,
                n_starts=self.n_starts,
                rng=streams[0],
            )
            beta = selection.beta
        else:
            beta = float(self.beta)
        fit = fit_problem(built, beta, tol=tol, n_starts=self.n_starts, rng=streams[1])
        self._forget()
        self.standardization_ = built.standardization
        self.blur_ = bandwidth(built.standardization.points(X), built.objective.effective_size)
        self.start_points_ = X[:: -(-len(X) // MOST_STARTS)].copy()
        self._keep(fit.network, fit.certificate, beta, selection, built.objective)

    def _forget(self) -> None:
        """Drop what only an earlier fit of another number of columns had."""
        for name in ("piecewise_", "standardization_", "start_points_"):
            self.__dict__.pop(name, None)

    def _keep(
        self,
        network: TwoLayerNetwork,
        certificate: Certificate,
        beta: float,
        selection: BetaSelection | None,
        objective: ScoreObjective,
    ) -> None:
        """The attributes that all fits have."""
        self.n_features_in_ = network.dim
        self.network_: TwoLayerNetwork = network
        self.certificate_: Certificate = certificate
        self.beta_: float = beta
        self.beta_selection_: BetaSelection | None = selection
        self.noisy_points_: Floats | None = None
        self.noise_labels_: Floats | None = None
        if objective.labels is not None:
            one = network.dim == 1
            self.noisy_points_ = objective.points[:, 0] if one else objective.points
            self.noise_labels_ = objective.labels[:, 0] if one else objective.labels


def _flat_tail_remedy(beta: float, total: float, options: ProblemOptions) -> str:
    if not options.skip and beta >= total:
        return f"Without skip the score is zero from beta = {total:g} on: decrease beta or use skip=True."
    return "Use skip=True, with which tails='integrable' always has a density, or a smaller beta."


def fit_convex_score(
    x: ArrayLike,
    *,
    objective: str = "score_matching",
    activation: str = "relu",
    skip: bool = True,
    beta: float | str = "cv",
    noise: float | None = None,
    n_draws: int = DEFAULT_DRAWS,
    labels: str = "noisy",
    tails: str = "free",
    shape: str | None = None,
    conservative: bool = False,
    standardize: str | None = None,
    cv: int = 5,
    n_betas: int | None = None,
    one_standard_error: bool = False,
    tol: float | None = None,
    n_starts: int = DEFAULT_STARTS,
    random_state: RandomState = None,
    sample_weight: ArrayLike | None = None,
) -> ConvexScore:
    """Fit the globally optimal two-layer score network; see :class:`ConvexScore` for all options.

    Returns
    -------
    ConvexScore
        The fitted estimator.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import fit_convex_score
    >>> x = np.random.default_rng(0).normal(size=200)
    >>> fit = fit_convex_score(x, beta=200.0)       # beta this large: the Gaussian score
    >>> bool(np.allclose(fit.score_function(x), -(x - x.mean()) / x.var()))
    True
    >>> fit.certificate_.optimal
    True
    """
    return ConvexScore(
        objective=objective,
        activation=activation,
        skip=skip,
        beta=beta,
        noise=noise,
        n_draws=n_draws,
        labels=labels,
        tails=tails,
        shape=shape,
        conservative=conservative,
        standardize=standardize,
        cv=cv,
        n_betas=n_betas,
        one_standard_error=one_standard_error,
        tol=tol,
        n_starts=n_starts,
        random_state=random_state,
    ).fit(x, sample_weight=sample_weight)
