"""What a fitted score can do: values, law and samples, exact where the law is known, else by chains."""

from __future__ import annotations

from typing import Any, Unpack

from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.typing import Floats
from convexscore._tools.validation import (
    check_choice,
    check_count,
    check_points,
    check_positive,
    check_weights,
)
from convexscore.models.door import (
    as_rows,
    converted,
    refuse_idle_trajectory,
    row_shape,
    squeezed,
)
from convexscore.objectives import Standardization
from convexscore.objectives.options import refuse_without_effect
from convexscore.samplers import RunOptions, langevin, mala
from convexscore.samplers.options import NOT_OF_CHAINS, read_options
from convexscore.scores import LineScore, PiecewiseLinearScore, Score
from convexscore.selection import HeldOut

METHODS = ("exact", "langevin", "mala")
_N_STEPS = 2000


class ScoreMethods:
    """Methods of a fitted score; the attributes are set by its ``fit``."""

    noise: float | None
    random_state: RandomState
    score_: Score
    standardization_: Standardization
    width_: float
    n_features_in_: int

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
        rows, _ = self._rows(check_points(X, min_distinct=1))
        weights = check_weights(sample_weight, len(rows))
        rng = check_random_state(0 if self.random_state is None else self.random_state)
        seed = int(rng.integers(2**63))
        held = HeldOut(rows, weights, self.width_, self.noise, self.standardization_, seed)
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
        return self._law().density(X)

    def cdf(self, X: ArrayLike) -> Floats:
        """Distribution function."""
        return self._law().cdf(X)

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantile function, the inverse of :meth:`cdf`; ``q`` in [0, 1]."""
        return self._law().ppf(q)

    def entropy(self) -> float:
        """Differential entropy in nats."""
        return float(self._law().entropy())

    def _law(self) -> PiecewiseLinearScore:
        check_is_fitted(self)
        return self.score_.law()

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
        score = self.score_
        check_count(n, name="n")
        if method is None:
            method = "exact" if score.samples_exactly else "langevin"
        check_choice(method, METHODS, name="method")
        options = read_options(self.sample, run, without=NOT_OF_CHAINS)
        rng = options["random_state"]
        if method == "exact":
            if not score.samples_exactly:
                raise ValueError(
                    f"method='exact' is for one column; with {score.dim} use 'langevin', or 'mala' with "
                    "constraint='gradient'."
                )
            given = {"step": step, "n_steps": n_steps, "return_result": return_result, **run}
            for name, value in given.items():
                if name != "random_state":
                    refuse_without_effect(
                        name, value, "method='exact'", "method='langevin' or 'mala'"
                    )
            return score.law().sample(n, random_state=rng)
        refuse_idle_trajectory(options["keep_trajectory"], return_result)
        rng = check_random_state(rng)
        rows, default_step = score.starts(n, rng)
        plan: dict[str, Any] = {
            **run,
            "step": default_step if step is None else check_positive(step, name="step"),
            "n_steps": _N_STEPS if n_steps is None else n_steps,
            "random_state": rng,
        }
        if method == "langevin":
            score.warn_if_rotational()
            result = langevin(score, rows, **plan)
        else:
            score.log_density(rows[:1])  # refuses a score without one before any work
            result = mala(score, score.log_density, rows, **plan)
        result = converted(result, squeezed)
        return result if return_result else result.samples
