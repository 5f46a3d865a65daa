"""What a fitted score can do: evaluate, sample, and tell its law where there is one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from convexscore._tools.exceptions import NotIntegrableError
from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.validation import (
    check_choice,
    check_count,
    check_points,
    check_positive,
    check_weights,
)
from convexscore.models.chains import start_at_data, start_on_line, warn_if_rotational
from convexscore.objectives.options import ProblemOptions
from convexscore.objectives.standardization import Standardization
from convexscore.samplers import langevin, mala
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.selection.line_selection import held_out_loss
from convexscore.selection.space_selection import held_out_loss as vector_loss

Floats = NDArray[np.float64]

SAMPLE_METHODS = ("exact", "langevin", "mala")


class FittedScore:
    """Methods of a fitted estimator; the attributes are set by its ``fit``."""

    conservative: bool
    random_state: RandomState
    n_features_in_: int
    network_: TwoLayerNetwork
    piecewise_: PiecewiseLinearScore
    standardization_: Standardization
    start_points_: Floats
    blur_: float

    def _options(self) -> ProblemOptions:
        raise NotImplementedError

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
        :func:`convexscore.selection.space_selection.held_out_loss`).
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


def _finite_grid(x: ArrayLike) -> Floats:
    try:
        return np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"x must be numeric; got {type(x).__name__}.") from error
