"""`fit_convex_score` and the scikit-learn estimator behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.streams import Streams
from convexscore._tools.threads import threads_for
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice, check_positive, check_weighted_points
from convexscore.models.door import squeezed
from convexscore.models.estimator import Estimator
from convexscore.models.score_methods import ScoreMethods
from convexscore.objectives import ScoreOptions
from convexscore.objectives.options import (
    Problem,
    ProblemOptions,
    check_effort,
    make_problem,
    refuse_without_effect,
)
from convexscore.scores import Activation, TwoLayerNetwork
from convexscore.selection import BetaSelection, select_beta
from convexscore.selection.cross_validation import held_out_width
from convexscore.solvers import Certificate, problem_on
from convexscore.solvers.training_problem import refuse_idle_starts

_FOLDS = 5
_PROBLEM = tuple(ProblemOptions.__annotations__)


@dataclass(kw_only=True, eq=False, repr=False)
class ConvexScore(ScoreMethods, Estimator):
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
        problem = make_problem(**{name: getattr(self, name) for name in _PROBLEM})
        self._check_options()
        points, weights = check_weighted_points(X, sample_weight)
        streams = Streams.of(check_random_state(self.random_state))
        search: dict[str, Any] = {"n_starts": self.n_starts}
        with threads_for(points.size):
            training = problem_on(
                points, problem, weights, rng=streams.noise, searches=streams.searches, **search
            )
            refuse_idle_starts(self.n_starts, training, rough=self.beta == "cv")
            selection, beta = None, self.beta
            if isinstance(beta, str):
                selection = select_beta(
                    points,
                    training,
                    problem,
                    weights,
                    cv=_FOLDS if self.cv is None else self.cv,
                    n_betas=self.n_betas,
                    one_standard_error=self.one_standard_error,
                    rng=streams.folds,
                    **search,
                )
                beta = selection.beta
            training.check_beta(float(beta))
            fit = training.fit(float(beta), tol=self.tol)
        objective = training.objective
        labels = objective.labels
        self.n_features_in_ = objective.dim
        self.problem_: Problem = problem
        self.score_ = fit.score
        self.network_: TwoLayerNetwork = fit.network
        self.certificate_: Certificate = fit.certificate
        self.beta_ = float(beta)
        self.beta_selection_: BetaSelection | None = selection
        self.standardization_ = training.standardization
        self.width_ = held_out_width(training, problem.noise)
        self.noisy_points_: Floats | None = None if labels is None else squeezed(objective.points)
        self.noise_labels_: Floats | None = None if labels is None else squeezed(labels)
        self._keep_names(X)
        return self

    def _check_options(self) -> None:
        check_effort(self.tol, self.n_starts)
        check_choice(self.one_standard_error, (True, False), name="one_standard_error")
        if isinstance(self.beta, str):
            if self.beta != "cv":
                raise ValueError(f"beta must be a number > 0 or 'cv'; got {self.beta!r}.")
            return
        check_positive(self.beta, name="beta", hint="Or use beta='cv'.")
        for name in ("cv", "n_betas", "one_standard_error"):
            refuse_without_effect(name, getattr(self, name), f"beta = {self.beta:g}", "beta='cv'")


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
