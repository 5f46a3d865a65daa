"""`fit_convex_score` and the scikit-learn estimator behind it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from convexscore._exceptions import DataWarning, NotIntegrableError
from convexscore._random import RandomState, check_random_state
from convexscore._validation import (
    check_choice,
    check_column,
    check_count,
    check_positive,
    check_weights,
)
from convexscore.networks import TwoLayerNetwork
from convexscore.piecewise import PiecewiseLinearScore
from convexscore.problem_options import ProblemOptions
from convexscore.samplers import langevin, mala
from convexscore.selection import BetaSelection, blur_width, held_out_loss, select_beta
from convexscore.solvers.line_problem import prepare
from convexscore.solvers.result import Certificate
from convexscore.solvers.univariate import check_bounded, solve

Floats = NDArray[np.float64]

SAMPLE_METHODS = ("exact", "langevin", "mala")


class ConvexScore(BaseEstimator):  # type: ignore[misc]
    r"""Globally optimal two-layer score network of one column of data.

    Minimises, over networks of *any* width,

    .. math:: \sum_i m_i\left[\tfrac12 s(x_i)^2 + s'(x_i)\right] + \beta\sum_j |u_j||w_j|
              \quad\text{or}\quad
              \tfrac12\sum_i m_i (s(\tilde x_i) - l_i)^2 + \beta\sum_j |u_j||w_j|,

    :math:`s(x) = \sum_j w_j \sigma(u_j x + b_j) + V x + c`, by the convex reformulation of ZP24, and
    proves it with a duality gap.

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
        "integrable" constrains the outer slopes to be <= 0, so that the score has a density.  With
        skip it always has one: where the best such tail is flat and does not point inwards, slopes
        <= -0.001 / variance are asked for.  Without skip that case warns.
    shape : None or "log-concave"
        "log-concave" constrains the score to be non-increasing.
    cv, n_betas, one_standard_error
        Folds, grid size and rule of ``beta="cv"``.
    tol : float
        Largest violation of the optimality conditions, in units of beta.
    random_state : None, int, Generator or RandomState
        Noise of denoising and the folds of cross-validation.

    Attributes
    ----------
    network_ : TwoLayerNetwork
        Unit-norm inner weights; ``network_.balanced()`` has |u_j| = |w_j|.
    certificate_ : Certificate
    beta_ : float
        The penalty used.
    beta_selection_ : BetaSelection or None
        Grid, held-out curve and choice of ``beta="cv"``.
    piecewise_ : PiecewiseLinearScore
        The score as an exact piecewise-linear function, with its law.
    noisy_points_, noise_labels_ : (n * n_draws,) or None
        What the denoising objective was minimised on.
    blur_ : float
        Half-width over which held-out points are spread in :meth:`score` and ``beta="cv"``.
    n_features_in_ : int

    Notes
    -----
    The optimum fixes the score between the extreme points.  Where several networks are optimal the
    choice is deterministic: slope carried by neurons at the extremes is shared equally between both
    ends (ReLU without skip: t = 1/2 of the family in :class:`~convexscore.GaussianRegime`; abs
    without skip: as flat outside as the cost permits), all other kinks sit at data points.  Kinks
    of score matching lie one rounding unit beside their point, on the side the optimum counts.
    Values equal up to 8 rounding units of the largest one are ties.

    Complexity O(n log n) for the sort and O(n) per round; memory O(n).

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate theorems.

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
        cv: int = 5,
        n_betas: int = 30,
        one_standard_error: bool = False,
        tol: float = 1e-10,
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
        self.cv = cv
        self.n_betas = n_betas
        self.one_standard_error = one_standard_error
        self.tol = tol
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
        )

    def fit(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> ConvexScore:
        """Solve the convex problem on one column; ``y`` is ignored.

        Raises
        ------
        ValueError
            Bad data or options; UnboundedObjectiveError (a ValueError) below the boundedness limit.
        """
        options = self._options()
        tol = check_positive(self.tol, name="tol")
        x = check_column(X)
        weights = check_weights(sample_weight, x.size)
        if weights is not None and not (weights > 0).all():
            x, weights = x[weights > 0], weights[weights > 0]
            check_column(x, name="x where sample_weight > 0")
        check_choice(self.one_standard_error, (True, False), name="one_standard_error")
        rng = check_random_state(self.random_state)
        selection: BetaSelection | None = None
        if isinstance(self.beta, str):
            if self.beta != "cv":
                raise ValueError(f"beta must be a number > 0 or 'cv'; got {self.beta!r}.")
            # folds draw from a stream of their own: the final noise is the same with a fixed beta
            selection = select_beta(
                check_column(x),
                options,
                sample_weight=weights,
                cv=self.cv,
                n_betas=self.n_betas,
                one_standard_error=self.one_standard_error,
                rng=rng.spawn(1)[0],
            )
            beta = selection.beta
        else:
            beta = check_positive(self.beta, name="beta", hint="Or use beta='cv'.")
        objective = options.build(x, weights, rng)
        problem = prepare(objective)
        check_bounded(problem, options.case, beta)
        fit = solve(problem, options.case, beta, tol=tol)
        self.network_: TwoLayerNetwork = fit.network
        self.piecewise_: PiecewiseLinearScore = fit.score
        self.certificate_: Certificate = fit.certificate
        self.beta_: float = beta
        self.beta_selection_: BetaSelection | None = selection
        denoise = objective.labels is not None
        self.noisy_points_: Floats | None = objective.points[:, 0] if denoise else None
        self.noise_labels_: Floats | None = (
            objective.labels[:, 0] if objective.labels is not None else None
        )
        self.blur_ = blur_width(problem, objective.effective_size)
        self.n_features_in_ = 1
        if options.case.constraint and not fit.score.is_integrable:
            asked = "shape='log-concave'" if options.shape else "tails='integrable'"
            warnings.warn(
                f"{asked}: the best score with outer slopes <= 0 is flat on one side without "
                f"pointing inwards ({fit.score.tail_report()}), so it has no density. "
                + _flat_tail_remedy(beta, problem.data.total_mass, options),
                DataWarning,
                stacklevel=2,
            )
        return self

    # ------------------------------------------------------------------ the score
    def score_function(self, x: ArrayLike) -> Floats:
        """s(x), same shape as ``x``; the gradient of the log-density."""
        check_is_fitted(self)
        return self.piecewise_(_finite_grid(x))

    def divergence(self, x: ArrayLike) -> Floats:
        """s'(x), same shape as ``x`` (at a kink: from the right)."""
        check_is_fitted(self)
        return self.piecewise_.derivative(_finite_grid(x))

    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Minus the mean objective on held-out points (larger is better), for model selection.

        For denoising the points are noised afresh, with the estimator's noise level and seed.  As in
        ``beta="cv"`` each point is blurred by ``blur_``, a fraction of a bandwidth, which keeps single
        points from deciding (:func:`convexscore.selection.held_out_loss`).
        """
        check_is_fitted(self)
        options = self._options()
        rng = check_random_state(0 if self.random_state is None else self.random_state)
        held = options.build(X, sample_weight, rng, name="X", min_distinct=1)
        loss = held_out_loss(
            self.piecewise_, held.points[:, 0], blur=self.blur_, noise=options.noise
        )
        return -float(np.average(loss, weights=held.sample_weight))

    # ------------------------------------------------------------------ the law
    def _law(self) -> PiecewiseLinearScore:
        check_is_fitted(self)
        report = self.piecewise_.tail_report()
        if report is not None:
            raise NotIntegrableError(
                f"the fitted score has no density: {report}. Refit with tails='integrable' "
                "(outer slopes constrained to <= 0) or shape='log-concave', or increase beta."
            )
        return self.piecewise_

    def log_density(self, x: ArrayLike) -> Floats:
        """Normalised log-density of the law whose score was fitted."""
        return self._law().log_density(_finite_grid(x))

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
        method: str = "exact",
        random_state: RandomState = None,
        step: float | None = None,
        n_steps: int = 2000,
        **options: Any,
    ) -> Floats:
        r"""Samples of the fitted law, shape (n_samples,).

        Parameters
        ----------
        n_samples : int
        method : {"exact", "langevin", "mala"}
            Exact inverse transform; Langevin chains, one per sample, with the discretisation bias
            of their step; or Metropolis-corrected Langevin without it.
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
        start.  Exact sampling has no such trouble.
        """
        count = check_count(n_samples, name="n_samples")
        check_choice(method, SAMPLE_METHODS, name="method")
        check_is_fitted(self)
        if method == "exact":
            return self._law().sample(count, random_state=random_state)
        rng = check_random_state(random_state)
        start, default_step = self._chain_start(count, rng)
        size = default_step if step is None else check_positive(step, name="step")
        if method == "langevin":
            run = langevin(
                self.piecewise_, start, step=size, n_steps=n_steps, random_state=rng, **options
            )
        else:
            law = self._law()
            run = mala(
                law, law.log_density, start, step=size, n_steps=n_steps, random_state=rng, **options
            )
        return run.samples

    def _chain_start(self, count: int, rng: np.random.Generator) -> tuple[Floats, float]:
        """Over-dispersed start and a step well inside the stability limit 4 / |slope|."""
        score = self.piecewise_
        low, high = float(score.knots[0]), float(score.knots[-1])
        if score.is_integrable:
            low, high = float(score.ppf(0.001)), float(score.ppf(0.999))
        grid = np.linspace(low, high, 513) if high > low else np.array([low])
        steepest = float(np.abs(score.derivative(grid)).max())
        if steepest == 0.0:
            steepest = 1.0 / max(high - low, np.finfo(float).tiny) ** 2
        return rng.uniform(low, high, count) if high > low else np.full(count, low), 0.2 / steepest


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
    cv: int = 5,
    n_betas: int = 30,
    one_standard_error: bool = False,
    tol: float = 1e-10,
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
        cv=cv,
        n_betas=n_betas,
        one_standard_error=one_standard_error,
        tol=tol,
        random_state=random_state,
    ).fit(x, sample_weight=sample_weight)
