"""`fit_convex_score` and the scikit-learn estimator behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.streams import Streams
from convexscore._tools.threads import threads_for
from convexscore._tools.typing import Floats
from convexscore._tools.validation import (
    check_choice,
    check_count,
    check_points,
    check_positive,
    check_weighted_points,
    check_weights,
)
from convexscore.models.door import as_rows, row_shape, squeezed
from convexscore.models.sampling import check_plan, run_chains, sample_rows
from convexscore.objectives.options import (
    Problem,
    ScoreOptions,
    make_problem,
    refuse_without_effect,
)
from convexscore.objectives.standardization import Standardization
from convexscore.samplers.options import RunOptions
from convexscore.scores.activations import Activation
from convexscore.scores.base import LineScore, Score
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.selection.cross_validation import BetaSelection, held_out_width, select_beta
from convexscore.selection.held_out import HeldOut
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.interface import TrainingProblem
from convexscore.solvers.training_problem import problem_on, refuse_idle_starts

_FOLDS = 5


@dataclass(kw_only=True, eq=False, repr=False)
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
    activation : {"relu", "abs", "leaky_relu"}, "leaky_relu(slope)" or Activation
    skip : bool
        Whether the unpenalised term V x is present.
    beta : float or "cv"
        Penalty on sums over samples (not means).  "cv": K-fold on the held-out objective.
    noise : float, optional
        Denoising only: noise level in the units of x.
    n_draws : int, optional
        Denoising only, default 2: noisy copies per point, in pairs of opposite displacements, whose
        label noise nearly cancels: far better than one copy, the papers' problem
        (benchmarks/noise_draws.py).  Sums grow with it: ``beta`` weighs against n * n_draws terms.
    labels : {"noisy", "smoothed"}, optional
        Denoising only, default "noisy": :math:`-\delta/\varepsilon`, or its expectation given the noisy
        point.
    constraint : {None, "density", "gradient", "log-concave"}
        What the score must be.  "gradient": the gradient of a log-density known up to a constant; one
        column always is, several have :math:`w_j = y_j u_j` and V symmetric.  "log-concave": of a concave
        one; one column: a score that never increases, several: also all y_j <= 0 and V negative
        semidefinite.  "density", one column only: outer slopes <= 0, so that the law has a density.  With
        skip it always has one: where the best such tail is flat and does not point inwards,
        slopes <= -0.001 / variance are asked for.  Without skip that case warns.
    standardize : None, "columns" or "whitening"
        Several columns: solve the problem of the data divided by their standard deviations, or whitened,
        and map the score back.  Penalty, loss and certificate are then those of the standardised
        data, ``noise`` is in standardised units.  None: as given, equivariant under rotations,
        translations and a common scaling, as one column always is.
    cv, n_betas, one_standard_error
        Only with ``beta="cv"``: folds (default 5), grid size (default 30 for one column, 15 for several)
        and rule: the smallest held-out loss (one column: gains below 0.75 of their standard error do not
        count), or the largest beta within one standard error of it.
    tol : float, optional
        Relative duality gap that counts as optimal; default 1e-8 for one column, 1e-4 for several.
    n_starts : int, optional
        Only where not all neurons can be looked at: local searches per round, default 64.
    random_state : None, int, Generator or RandomState
        Noise of denoising, the folds of cross-validation, starts of local searches.

    Attributes
    ----------
    problem_ : Problem
        What was solved: all options as they were used.
    network_ : TwoLayerNetwork
        ``network_.balanced()`` has |u_j| = |w_j|.
    certificate_ : Certificate
    beta_ : float
        The penalty used.
    beta_selection_ : BetaSelection or None
        Grid, held-out curve and choice of ``beta="cv"``.
    score_ : LineScore or SpaceScore
        The score as a function on rows (n, d), with its law where there is one.
    piecewise_ : PiecewiseLinearScore
        One column: the score as an exact piecewise-linear function.
    noisy_points_, noise_labels_ : (n * n_draws, d) or (n * n_draws,) for one column, or None
        What the denoising objective was minimised on.
    width_ : float
        Over which held-out points are spread in :meth:`score` and ``beta="cv"``, in standardised units:
        the noise level, or a fraction of a bandwidth.
    standardization_ : Standardization
        The map to the coordinates of penalty and certificate (one column: the identity).
    n_features_in_ : int
    feature_names_in_ : (d,)
        Column names, if X was a data frame with string names.

    Notes
    -----
    One column: the optimum fixes the score between the extreme points.  Where several networks are
    optimal the choice is deterministic: slope carried by neurons at the extremes is shared equally
    between both ends (ReLU without skip: t = 1/2 of the family in
    :class:`~convexscore.models.GaussianRegime`; abs without skip: as flat outside as the cost permits),
    all other kinks sit at data points.  Kinks of score matching lie one rounding unit beside their
    point, on the side the optimum counts.  Values equal up to 8 rounding units of the largest one are
    ties.
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
    >>> print(fit.certificate_.outcome)
    optimal
    >>> bool(abs(fit.cdf(fit.ppf(0.3)) - 0.3) < 1e-12)
    True
    """

    objective: str = "score_matching"
    activation: str | Activation = "relu"
    skip: bool = True
    beta: float | str = "cv"
    noise: float | None = None
    n_draws: int | None = None
    labels: str | None = None
    constraint: str | None = None
    standardize: str | None = None
    cv: int | None = None
    n_betas: int | None = None
    one_standard_error: bool = False
    tol: float | None = None
    n_starts: int | None = None
    random_state: RandomState = None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.target_tags.required = False
        return tags

    # ------------------------------------------------------------------ fitting
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
            Bad data or options, options without effect; UnboundedObjectiveError (a ValueError) below the
            boundedness limit.
        """
        problem = self._problem()
        self._check_options()
        points, weights = check_weighted_points(X, sample_weight)
        streams = Streams.of(check_random_state(self.random_state))
        with threads_for(points.size):
            training = problem_on(
                points,
                problem,
                sample_weight=weights,
                rng=streams.noise,
                searches=streams.searches,
                n_starts=self.n_starts,
            )
            refuse_idle_starts(self.n_starts, training, rough=self.beta == "cv")
            selection = self._select(points, training, problem, weights, streams.folds)
            beta = float(self.beta) if selection is None else selection.beta
            training.check_beta(beta)
            fit = training.fit(beta, tol=self.tol)
        self.n_features_in_ = training.objective.dim
        self.problem_: Problem = problem
        self.score_: Score = fit.score
        self.network_: TwoLayerNetwork = fit.network
        self.certificate_: Certificate = fit.certificate
        self.beta_: float = beta
        self.beta_selection_: BetaSelection | None = selection
        self.standardization_: Standardization = training.standardization
        self.width_: float = held_out_width(training, problem.noise)
        self.noisy_points_: Floats | None = None
        self.noise_labels_: Floats | None = None
        if training.objective.labels is not None:
            self.noisy_points_ = squeezed(training.objective.points)
            self.noise_labels_ = squeezed(training.objective.labels)
        if hasattr(X, "columns"):  # names of a data frame, as scikit-learn keeps them
            validate_data(self, X, skip_check_array=True)
        else:
            self.__dict__.pop("feature_names_in_", None)
        return self

    def _problem(self) -> Problem:
        return make_problem(
            objective=self.objective,
            activation=self.activation,
            skip=self.skip,
            constraint=self.constraint,
            noise=self.noise,
            n_draws=self.n_draws,
            labels=self.labels,
            standardize=self.standardize,
        )

    def _check_options(self) -> None:
        if self.tol is not None:
            check_positive(self.tol, name="tol", hint="It is the relative duality gap.")
        if self.n_starts is not None:
            check_count(self.n_starts, name="n_starts")
        check_choice(self.one_standard_error, (True, False), name="one_standard_error")
        if isinstance(self.beta, str):
            if self.beta != "cv":
                raise ValueError(f"beta must be a number > 0 or 'cv'; got {self.beta!r}.")
            return
        check_positive(self.beta, name="beta", hint="Or use beta='cv'.")
        for name in ("cv", "n_betas", "one_standard_error"):
            refuse_without_effect(name, getattr(self, name), f"beta = {self.beta:g}", "beta='cv'")

    def _select(
        self,
        points: Floats,
        training: TrainingProblem,
        problem: Problem,
        weights: Floats | None,
        rng: np.random.Generator,
    ) -> BetaSelection | None:
        if not isinstance(self.beta, str):
            return None
        return select_beta(
            points,
            training,
            problem,
            sample_weight=weights,
            cv=_FOLDS if self.cv is None else self.cv,
            n_betas=self.n_betas,
            one_standard_error=self.one_standard_error,
            n_starts=self.n_starts,
            rng=rng,
        )

    # ------------------------------------------------------------------ the score
    @property
    def piecewise_(self) -> PiecewiseLinearScore:
        """One column: the score as an exact piecewise-linear function, with its law."""
        check_is_fitted(self)
        if not isinstance(self.score_, LineScore):
            raise AttributeError(
                f"piecewise_ is of one column; this fit has {self.n_features_in_}. Use score_function."
            )
        return self.score_.piecewise

    def score_function(self, X: ArrayLike) -> Floats:
        """s(x), the gradient of the log-density, in the shape of ``X``.

        One column: any shape.  d columns: (n, d) or (d,).
        """
        rows, shape = self._rows(X)
        return self.score_(rows).reshape(shape)

    def divergence(self, X: ArrayLike) -> Floats:
        """tr grad s(x): for one column s'(x) in the shape of ``X``, else one number per row.

        At a kink: from the right (one column), from the active side (several).
        """
        rows, shape = self._rows(X)
        return self.score_.divergence(rows).reshape(row_shape(shape, self.n_features_in_))

    def jacobian_asymmetry(self, X: ArrayLike) -> Floats:
        r"""How far the field is from a gradient at the rows of X, (n,).

        :math:`\|J - J^\top\|_F / \|J\|_F` with J the Jacobian of the score: 0 for gradients (always with
        one column or ``constraint="gradient"``), at most 2.
        """
        rows, shape = self._rows(X)
        return self.score_.jacobian_asymmetry(rows).reshape(row_shape(shape, self.n_features_in_))

    def score(
        self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None
    ) -> float:
        """Minus the mean objective on held-out points (larger is better), for model selection.

        As in ``beta="cv"`` each point is spread over ``width_``, the noise level or a fraction of a
        bandwidth, which keeps single points from deciding (:mod:`convexscore.selection.held_out`); for
        denoising this is the objective at fresh noise.
        """
        check_is_fitted(self)
        points = check_points(X, min_distinct=1)
        rows, _ = self._rows(points)
        weights = check_weights(sample_weight, len(rows))
        rng = check_random_state(0 if self.random_state is None else self.random_state)
        held = HeldOut(
            rows,
            np.ones(len(rows)) if weights is None else weights,
            self.width_,
            self.noise,
            self.standardization_,
            int(rng.integers(2**63)),
        )
        return -held.mean(self.score_)

    def _rows(self, X: ArrayLike) -> tuple[Floats, tuple[int, ...]]:
        check_is_fitted(self)
        return as_rows(X, self.n_features_in_, model=type(self).__name__)

    # ------------------------------------------------------------------ the law
    def log_density(self, X: ArrayLike) -> Floats:
        """Log-density of the law whose score was fitted.

        One column: normalised.  Several: up to a constant, with ``constraint="gradient"`` (a score that
        is no gradient has no log-density: NotIntegrableError).
        """
        rows, shape = self._rows(X)
        return self.score_.log_density(rows).reshape(row_shape(shape, self.n_features_in_))

    def density(self, X: ArrayLike) -> Floats:
        """Density, 1 / units of X."""
        check_is_fitted(self)
        return self.score_.law().density(X)

    def cdf(self, X: ArrayLike) -> Floats:
        """Distribution function."""
        check_is_fitted(self)
        return self.score_.law().cdf(X)

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantile function, the inverse of :meth:`cdf`; ``q`` in [0, 1]."""
        check_is_fitted(self)
        return self.score_.law().ppf(q)

    def entropy(self) -> float:
        """Differential entropy in nats."""
        check_is_fitted(self)
        return float(self.score_.law().entropy())

    def sample(
        self,
        n: int = 1,
        *,
        method: str | None = None,
        step: float | None = None,
        n_steps: int | None = None,
        return_result: bool = False,
        **run: Unpack[RunOptions],
    ) -> Any:
        r"""Samples of the fitted law, shape (n,) or (n, d).

        Parameters
        ----------
        n : int
        method : {"exact", "langevin", "mala"}, optional
            Exact inverse transform (one column; there the default); Langevin chains, one per sample,
            with the discretisation bias of their step (the default for several columns); or
            Metropolis-corrected Langevin without it (several columns: with ``constraint="gradient"``).
        step : float, optional
            Langevin step epsilon in squared units of X.  Default 0.2 over the largest \|slope\| of the
            score where the law lives, far inside the stability limit 4 / \|slope\|: on a Gaussian the
            variance is then 5 % too large for "langevin" and exact for "mala".
        n_steps : int, optional
            Steps of each chain, default 2000.
        return_result : bool
            Return the :class:`~convexscore.samplers.LangevinResult` of the chains, with the trajectory if
            ``keep_trajectory=True``.
        **run
            ``random_state`` and, for chains, the other :class:`~convexscore.samplers.RunOptions`.

        Raises
        ------
        TypeError
            For an unknown option.
        ValueError
            For an option without effect on this method.

        Notes
        -----
        Chains start evenly spread over the range of the law (of the knots where there is no law).
        Between well separated modes chains hardly move: their shares then keep the memory of the
        start.  Exact sampling has no such trouble.  With several columns chains start at the data,
        and a field that is far from a gradient (median asymmetry of the Jacobian there above 0.5)
        brings a warning: Langevin then samples a law whose score is not this field.
        """
        check_is_fitted(self)
        method = check_plan(self, n, method, step, n_steps, run, return_result)
        if method == "exact":
            random_state = run.get("random_state")
            return squeezed(sample_rows(self.score_, n, random_state=random_state))
        result = run_chains(self.score_, n, method=method, step=step, n_steps=n_steps, **run)
        if not return_result:
            return squeezed(result.samples)
        trajectory = None if result.trajectory is None else squeezed(result.trajectory)
        return replace(result, samples=squeezed(result.samples), trajectory=trajectory)


def fit_convex_score(
    X: ArrayLike, *, sample_weight: ArrayLike | None = None, **options: Unpack[ScoreOptions]
) -> ConvexScore:
    """Fit the globally optimal two-layer score network; see :class:`ConvexScore` for all options.

    Parameters
    ----------
    X : array_like of shape (n,), (n, 1) or (n, d)
    sample_weight : array_like of shape (n,), optional
    **options
        Those of :class:`ConvexScore`.

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
    return ConvexScore(**options).fit(X, sample_weight=sample_weight)
