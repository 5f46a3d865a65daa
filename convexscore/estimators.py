"""`fit_convex_score` and the scikit-learn estimator behind it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from convexscore._exceptions import DataWarning, NotIntegrableError
from convexscore._random import RandomState, check_random_state
from convexscore._threads import threads_for
from convexscore._validation import (
    check_choice,
    check_count,
    check_points,
    check_positive,
    check_weights,
)
from convexscore.chains import MOST_STARTS, start_at_data, start_on_line, warn_if_rotational
from convexscore.networks import TwoLayerNetwork
from convexscore.objectives import ScoreObjective
from convexscore.piecewise import PiecewiseLinearScore
from convexscore.problem_options import ProblemOptions
from convexscore.samplers import langevin, mala
from convexscore.selection import BetaSelection, blur_width, held_out_loss, select_beta
from convexscore.solvers.line_problem import prepare
from convexscore.solvers.oracles import DEFAULT_STARTS
from convexscore.solvers.result import Certificate
from convexscore.solvers.univariate import check_bounded, solve
from convexscore.vector_fitting import DEFAULT_TOL, build_problem, fit_problem
from convexscore.vector_selection import bandwidth, select_vector_beta
from convexscore.vector_selection import held_out_loss as vector_loss

Floats = NDArray[np.float64]

SAMPLE_METHODS = ("exact", "langevin", "mala")

# Largest violation, in units of beta, of a fit of one column.
LINE_TOL = 1e-10


class ConvexScore(BaseEstimator):  # type: ignore[misc]
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
        Denoising only: noisy copies per point.
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
        Folds, grid size (default 30 for one column, 15 for several) and rule of ``beta="cv"``.
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
        n_draws: int = 1,
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
        points = check_points(X, name="x" if np.asarray(X).ndim < 2 else "X")
        weights = check_weights(sample_weight, len(points))
        if weights is not None and not (weights > 0).all():
            points, weights = points[weights > 0], weights[weights > 0]
            check_points(points, name="x where sample_weight > 0")
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

    # ------------------------------------------------------------------ the score
    def score_function(self, x: ArrayLike) -> Floats:
        """s(x), the gradient of the log-density, in the shape of ``x``.

        One column: any shape.  d columns: (n, d) or (d,).
        """
        check_is_fitted(self)
        return self._score()(self._points(x))

    def divergence(self, x: ArrayLike) -> Floats:
        """tr grad s(x): for one column s'(x) in the shape of ``x``, else (n,).

        At a kink: from the right (one column), from the active side (several).
        """
        check_is_fitted(self)
        if self.n_features_in_ == 1:
            return self.piecewise_.derivative(_finite_grid(x))
        return self.network_.divergence(self._points(x))

    def jacobian_asymmetry(self, X: ArrayLike) -> Floats:
        r"""How far the field is from a gradient at the rows of X, (n,).

        :math:`\|J - J^\top\|_F / \|J\|_F` with J the Jacobian of the score: 0 for gradients (always with
        one column or ``conservative=True``), at most 2.
        """
        check_is_fitted(self)
        if self.n_features_in_ == 1:
            return np.zeros(np.size(_finite_grid(X)))
        return self.network_.jacobian_asymmetry(self._points(X))

    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Minus the mean objective on held-out points (larger is better), for model selection.

        For denoising the points are noised afresh, with the estimator's noise level and seed.  As in
        ``beta="cv"`` each point is blurred by ``blur_``, a fraction of a bandwidth, which keeps single
        points from deciding (:func:`convexscore.selection.held_out_loss`; several columns:
        :func:`convexscore.vector_selection.held_out_loss`).
        """
        check_is_fitted(self)
        options = self._options()
        rng = check_random_state(0 if self.random_state is None else self.random_state)
        if self.n_features_in_ > 1:
            points = self._points(check_points(X, min_distinct=1))
            weights = check_weights(sample_weight, len(points))
            width = options.noise or self.blur_
            losses = vector_loss(
                self.network_, points, width=width, rng=rng, standardization=self.standardization_
            )
            if options.noise is not None:
                losses += 0.5 * points.shape[1] / width**2
            return -float(np.average(losses, weights=weights))
        held = options.build(X, sample_weight, rng, name="X", min_distinct=1)
        loss = held_out_loss(
            self.piecewise_, held.points[:, 0], blur=self.blur_, noise=options.noise
        )
        return -float(np.average(loss, weights=held.sample_weight))

    def _score(self) -> PiecewiseLinearScore | TwoLayerNetwork:
        return self.piecewise_ if self.n_features_in_ == 1 else self.network_

    def _points(self, x: ArrayLike) -> Floats:
        grid = _finite_grid(x)
        d = self.n_features_in_
        if d > 1 and (grid.ndim == 0 or grid.shape[-1] != d):
            found = grid.shape[-1] if grid.ndim else 0
            raise ValueError(
                f"X has {found} features, but {type(self).__name__} is expecting {d} features as input "
                f"(one column for each of the fit; the shape is {grid.shape})."
            )
        return grid

    # ------------------------------------------------------------------ the law
    def _law(self) -> PiecewiseLinearScore:
        check_is_fitted(self)
        if self.n_features_in_ > 1:
            raise NotIntegrableError(
                f"the exact law is known for one column; this fit has {self.n_features_in_}. Use "
                "log_density (conservative=True, up to a constant) and sample(method='langevin' or "
                "'mala')."
            )
        report = self.piecewise_.tail_report()
        if report is not None:
            raise NotIntegrableError(
                f"the fitted score has no density: {report}. Refit with tails='integrable' "
                "(outer slopes constrained to <= 0) or shape='log-concave', or increase beta."
            )
        return self.piecewise_

    def log_density(self, x: ArrayLike) -> Floats:
        """Log-density of the law whose score was fitted.

        One column: normalised.  Several: up to a constant, with ``conservative=True`` (a score that is no
        gradient has no log-density: NotIntegrableError).
        """
        check_is_fitted(self)
        if self.n_features_in_ > 1:
            self._require_gradient("log_density")
            return self.network_.log_density(self._points(x))
        return self._law().log_density(_finite_grid(x))

    def _require_gradient(self, what: str) -> None:
        if not self.conservative:
            raise NotIntegrableError(
                f"{what} needs a score that is the gradient of a log-density; with several columns refit "
                "with conservative=True (or sample with method='langevin')."
            )

    def density(self, x: ArrayLike) -> Floats:
        """Density, 1 / units of x."""
        return self._law().density(_finite_grid(x))

    def cdf(self, x: ArrayLike) -> Floats:
        """Distribution function."""
        return self._law().cdf(_finite_grid(x))

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantile function, the inverse of :meth:`cdf`; ``q`` in [0, 1]."""
        return self._law().ppf(q)

    def entropy(self) -> float:
        """Differential entropy in nats."""
        return float(self._law().entropy())

    def sample(
        self,
        n_samples: int = 1,
        *,
        method: str | None = None,
        random_state: RandomState = None,
        step: float | None = None,
        n_steps: int = 2000,
        **options: Any,
    ) -> Floats:
        r"""Samples of the fitted law, shape (n_samples,) or (n_samples, d).

        Parameters
        ----------
        n_samples : int
        method : {"exact", "langevin", "mala"}, optional
            Exact inverse transform (one column; there the default); Langevin chains, one per sample,
            with the discretisation bias of their step (the default for several columns); or
            Metropolis-corrected Langevin without it (several columns: with ``conservative=True``).
        step : float, optional
            Langevin step epsilon in squared units of x.  Default 0.2 over the largest |slope| of the
            score where the law lives, far inside the stability limit 4 / |slope|: on a Gaussian the
            variance is then 5 % too large for "langevin" and exact for "mala".
        n_steps : int
            Steps of each chain.
        **options
            Passed to :func:`convexscore.samplers.langevin` or :func:`~convexscore.samplers.mala`.

        Notes
        -----
        Chains start evenly spread over the range of the law (of the knots where there is no law).
        Between well separated modes chains hardly move: their shares then keep the memory of the
        start.  Exact sampling has no such trouble.  With several columns chains start at the data,
        and a field that is far from a gradient (median asymmetry of the Jacobian there above 0.5)
        brings a warning: Langevin then samples a law whose score is not this field.
        """
        count = check_count(n_samples, name="n_samples")
        check_is_fitted(self)
        if method is None:
            method = "exact" if self.n_features_in_ == 1 else "langevin"
        check_choice(method, SAMPLE_METHODS, name="method")
        rng = check_random_state(random_state)
        several = self.n_features_in_ > 1
        if method == "exact":
            if several:
                raise ValueError(
                    f"method='exact' is for one column; with {self.n_features_in_} use 'langevin', or "
                    "'mala' with conservative=True."
                )
            return self._law().sample(count, random_state=random_state)
        if method == "mala":
            self._require_gradient("method='mala'") if several else self._law()
        elif several and not self.conservative:
            warn_if_rotational(self.network_, self.start_points_, stacklevel=3)
        if several:
            start, default_step = start_at_data(self.network_, self.start_points_, count, rng)
        else:
            start, default_step = start_on_line(self.piecewise_, count, rng)
        size = default_step if step is None else check_positive(step, name="step")
        score = self._score()
        plan: dict[str, Any] = dict(step=size, n_steps=n_steps, random_state=rng, **options)
        if method == "mala":
            return mala(score, score.log_density, start, **plan).samples
        return langevin(score, start, **plan).samples


def _flat_tail_remedy(beta: float, total: float, options: ProblemOptions) -> str:
    if not options.skip and beta >= total:
        return f"Without skip the score is zero from beta = {total:g} on: decrease beta or use skip=True."
    return "Use skip=True, with which tails='integrable' always has a density, or a smaller beta."


def _finite_grid(x: ArrayLike) -> Floats:
    try:
        return np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"x must be numeric; got {type(x).__name__}.") from error


def fit_convex_score(
    x: ArrayLike,
    *,
    objective: str = "score_matching",
    activation: str = "relu",
    skip: bool = True,
    beta: float | str = "cv",
    noise: float | None = None,
    n_draws: int = 1,
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
