"""The exact one-dimensional law whose score is continuous and piecewise linear."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.exceptions import NotIntegrableError
from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.validation import check_array
from convexscore.scores.knot_lookup import KnotLookup
from convexscore.scores.law import QUIET, PiecewiseLaw, cut_at_zeros

Array = NDArray[np.float64]

_REMEDY = 'refit with constraint="density" or constraint="log-concave"'
# Below the smallest step of Generator.random, so that no sample is ever -inf.
_SMALLEST_UNIFORM = 2.0**-54


@dataclass(frozen=True, eq=False, repr=False)
class PiecewiseLinearScore:
    r"""Continuous piecewise-linear score of a law on the real line, and that law in closed form.

    With knots :math:`t_1 < \dots < t_K`, values :math:`v_k = s(t_k)` and outer slopes

    .. math::
        s(x) = v_1 + m_- (x - t_1) \ (x \le t_1), \qquad
        s(x) = v_K + m_+ (x - t_K) \ (x \ge t_K),

    linear in between, the log-density :math:`\log p = \int s` is piecewise quadratic.  Where s
    falls, p is a piece of a normal density, where s rises a piece of a Dawson integrand, where s
    is constant an exponential or uniform piece; normaliser, distribution function, quantiles and
    exact samples follow piece by piece, in log space.

    The law exists if and only if s drives inwards at both ends: right slope < 0, or right slope
    = 0 and s < 0 there, and mirrored on the left.  The score itself can be evaluated always.

    Parameters
    ----------
    knots : array_like of shape (K,), K >= 1
        Strictly increasing positions, in units of x.
    values : array_like of shape (K,)
        Score at the knots, in units of 1/x.
    left_slope, right_slope : float
        Derivative of the score left of the first and right of the last knot, in units of 1/x**2.

    Raises
    ------
    ValueError
        If shapes differ, something is not finite, knots are not strictly increasing, or two
        knots are so close that the slope between them is not a finite number.
    NotIntegrableError
        By everything that needs the law (densities, quantiles, moments, samples), if it does not
        exist.  Ask `is_integrable` or `tail_report` first.

    Notes
    -----
    Accuracy is that of the inputs: quantities are exact to a few roundings times
    1 + (largest change of log p between the modes), for slopes of either sign and any size, data
    scales from 1e-8 to 1e8 and modes separated by valleys of log-depth 1e5.
    Every evaluation takes any shape and returns it; NaN gives NaN.

    Examples
    --------
    The standard normal law has score -x, one piece with any point as its knot:

    >>> from convexscore.scores.piecewise import PiecewiseLinearScore
    >>> normal = PiecewiseLinearScore([0.0], [0.0], -1.0, -1.0)
    >>> print(round(float(normal.cdf(1.96)), 6), round(float(normal.ppf(0.975)), 6))
    0.975002 1.959964

    Two modes, at -1 and 1, around a rising piece:

    >>> two = PiecewiseLinearScore([-0.5, 0.5], [-2.0, 2.0], -4.0, -4.0)
    >>> two([-1.0, 0.0, 1.0])
    array([0., 0., 0.])
    >>> two.sample(3, random_state=0).shape
    (3,)
    """

    knots: Array
    values: Array
    left_slope: float
    right_slope: float
    _slopes: Array = field(init=False)  # of the K + 1 pieces

    def __post_init__(self) -> None:
        knots, values = (
            check_array(getattr(self, name), name=name, shape="(K,)", ndim=(1,))
            for name in ("knots", "values")
        )
        if knots.shape != values.shape:
            raise ValueError(
                f"values must hold one score per knot: got {values.size} values for "
                f"{knots.size} knots"
            )
        step = np.diff(knots)
        if not (step > 0).all():
            i = int(np.argmin(step > 0))
            raise ValueError(
                f"knots must be strictly increasing; got {float(knots[i])!r} followed by "
                f"{float(knots[i + 1])!r} at position {i + 1}. Sort them and merge equal ones"
            )
        left = _number("left_slope", self.left_slope)
        right = _number("right_slope", self.right_slope)
        with np.errstate(over="ignore"):
            inner = np.diff(values) / step
        if not (np.isfinite(step) & np.isfinite(inner)).all():
            i = int(np.argmin(np.isfinite(step) & np.isfinite(inner)))
            raise ValueError(
                f"the slope between knots {float(knots[i])!r} and {float(knots[i + 1])!r} "
                f"overflows: values {float(values[i])!r} and {float(values[i + 1])!r}. "
                f"Merge the two knots or rescale the data"
            )
        slopes = np.concatenate([[left], inner, [right]])
        for array in (knots, values, slopes):
            array.setflags(write=False)
        fields = zip(self.__dataclass_fields__, (knots, values, left, right, slopes), strict=True)
        for name, value in fields:
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        n = self.knots.size
        where = f"[{self.knots[0]:.6g}, {self.knots[-1]:.6g}]"
        law = "" if self.is_integrable else ", not integrable"
        return (
            f"PiecewiseLinearScore({n} knot{'s' * (n > 1)} in {where}, "
            f"slopes {self.left_slope:+.4g} left, {self.right_slope:+.4g} right{law})"
        )

    # ---- the score ---------------------------------------------------------------------------

    def __call__(self, x: ArrayLike) -> Array:
        """Evaluate the score s at ``x`` (any shape; the same shape is returned)."""
        x = np.asarray(x, dtype=np.float64)
        piece = self._piece_of(x)
        anchors, heights = self._anchors
        with np.errstate(over="ignore", invalid="ignore"):
            change = self._slopes[piece] * (x - anchors[piece])
        if self._slopes[0] == 0 or self._slopes[-1] == 0:
            # A constant tail stays constant at infinity (0 * inf would be NaN).
            change = np.where((self._slopes[piece] == 0) & ~np.isnan(x), 0.0, change)
        return (heights[piece] + change)[()]

    @cached_property
    def _piece_of(self) -> KnotLookup:
        return KnotLookup(self.knots)

    @cached_property
    def _anchors(self) -> tuple[Array, Array]:
        """A knot of each of the K + 1 pieces, and the score there."""
        knot = np.maximum(np.arange(self.knots.size + 1) - 1, 0)
        return self.knots[knot], self.values[knot]

    def derivative(self, x: ArrayLike) -> Array:
        """Evaluate s', the right derivative at the knots (any shape; the same is returned)."""
        x = np.asarray(x, dtype=np.float64)
        slope = self._slopes[self._piece_of(x)]
        return np.where(np.isnan(x), np.nan, slope)[()]

    def affine(self, scale: float, shift: float = 0.0) -> PiecewiseLinearScore:
        r"""Score of ``scale * X + shift`` when X has this score: :math:`s((y - shift)/a)/a`.

        Parameters
        ----------
        scale : float, not 0
            A negative one reflects.
        shift : float

        Returns
        -------
        PiecewiseLinearScore

        Raises
        ------
        ValueError
            If ``scale`` is 0 or not finite, or if knots coincide after the map because ``shift``
            is too large for their distance.

        Examples
        --------
        >>> from convexscore.scores.piecewise import PiecewiseLinearScore
        >>> normal = PiecewiseLinearScore([0.0], [0.0], -1.0, -1.0)
        >>> wide = normal.affine(10.0, 3.0)
        >>> print(wide.mean(), round(wide.var(), 9))
        3.0 100.0
        """
        a, t = _number("scale", scale), _number("shift", shift)
        if a == 0:
            raise ValueError("scale must not be 0; got 0, which makes every sample equal shift")
        order = slice(None) if a > 0 else slice(None, None, -1)
        knots = (a * self.knots + t)[order]
        if not (np.diff(knots) > 0).all():
            raise ValueError(
                f"scale={a!r} and shift={t!r} map different knots to one float; use a smaller "
                f"shift or a larger scale"
            )
        outer = [self.left_slope / a / a, self.right_slope / a / a][order]
        return PiecewiseLinearScore(knots, (self.values / a)[order], *outer)

    # ---- does the law exist? -----------------------------------------------------------------

    @property
    def is_integrable(self) -> bool:
        """Whether the score belongs to a probability density."""
        return self.tail_report() is None

    def tail_report(self) -> str | None:
        """Say which tail fails and why, for example ``"right tail: slope +0.3 ..."``, or None."""
        failures = [
            _tail_failure("left", self.knots[0], self.values[0], self.left_slope),
            _tail_failure("right", self.knots[-1], self.values[-1], self.right_slope),
        ]
        return "; ".join(text for text in failures if text) or None

    @cached_property
    def _law(self) -> PiecewiseLaw:
        report = self.tail_report()
        if report is not None:
            raise NotIntegrableError(
                f"this score belongs to no probability density. {report}. To get a density, "
                f"{_REMEDY}"
            )
        return PiecewiseLaw(self.knots, cut_at_zeros(self.knots, self.values, self._slopes))

    # ---- the law -----------------------------------------------------------------------------

    @property
    def log_normalizer(self) -> float:
        r"""log of :math:`\int \exp(\int_{t_1}^x s(y)\,dy)\,dx`, t_1 the first knot."""
        return self._law.log_total - self._law.height_at_first_knot

    def log_density(self, x: ArrayLike) -> Array:
        """Evaluate log p, normalised, at ``x`` (any shape); ``-inf`` at infinity."""
        return _evaluate(self._law.log_density, x, -np.inf, -np.inf)

    def density(self, x: ArrayLike) -> Array:
        """Evaluate p at ``x`` (any shape), in units of 1/x."""
        return np.exp(self.log_density(x))

    def cdf(self, x: ArrayLike) -> Array:
        """P(X <= x), to full relative accuracy also when tiny."""
        return np.exp(_evaluate(self._law.log_cdf, x, -np.inf, 0.0))

    def sf(self, x: ArrayLike) -> Array:
        """P(X > x), to full relative accuracy also when tiny."""
        return np.exp(_evaluate(self._law.log_sf, x, 0.0, -np.inf))

    def ppf(self, q: ArrayLike) -> Array:
        """Quantile function, the inverse of `cdf`.

        Parameters
        ----------
        q : array_like of any shape
            Probabilities in [0, 1]; 0 gives ``-inf`` and 1 gives ``inf``.

        Returns
        -------
        ndarray of the same shape

        Raises
        ------
        ValueError
            If a probability lies outside [0, 1].
        """
        q = np.asarray(q, dtype=np.float64)
        outside = (q < 0) | (q > 1)
        if outside.any():
            raise ValueError(
                f"q must hold probabilities in [0, 1]; got {float(q[outside].flat[0])!r}"
            )
        law = self._law  # a missing law is reported for any q, also 0 and 1
        out = np.where(q == 0, -np.inf, np.where(q == 1, np.inf, np.nan))
        between = (q > 0) & (q < 1)
        inner = q[between]
        with np.errstate(**QUIET):
            out[between] = law.quantile(np.log(inner), np.log1p(-inner))
        return out[()]

    def entropy(self) -> float:
        """Differential entropy -E log p, in nats."""
        return self._law.summary[2]

    def mean(self) -> float:
        """Expectation of X."""
        return self._law.summary[0]

    def var(self) -> float:
        """Variance of X."""
        return self._law.summary[1]

    def sample(self, size: int | tuple[int, ...], random_state: RandomState = None) -> Array:
        """Draw independent exact samples: the quantile function of uniform numbers.

        Parameters
        ----------
        size : int or tuple of int
            Shape of the result.
        random_state : None, int, Generator or RandomState

        Returns
        -------
        ndarray of shape ``size``

        Raises
        ------
        ValueError
            If ``size`` is negative.
        NotIntegrableError
            If there is no law to sample from.
        """
        shape = tuple(size) if isinstance(size, tuple | list) else (operator.index(size),)
        if any(n < 0 for n in shape):
            raise ValueError(f"size must be an int >= 0 or a tuple of them; got {size!r}")
        uniform = check_random_state(random_state).random(shape)
        return np.asarray(self.ppf(np.maximum(uniform, _SMALLEST_UNIFORM)))


def _evaluate(
    function: Callable[[Array], Array], x: ArrayLike, at_left: float, at_right: float
) -> Array:
    """Apply a function of finite vectors to any shape; infinities are given, NaN stays."""
    x = np.asarray(x, dtype=np.float64)
    out = np.where(x < 0, at_left, np.where(x > 0, at_right, np.nan))
    finite = np.isfinite(x)
    out[np.isnan(x)] = np.nan
    with np.errstate(**QUIET):
        out[finite] = function(x[finite])
    return out[()]


def _number(name: str, given: float) -> float:
    number = float(given)
    if not np.isfinite(number):
        raise ValueError(f"{name} must be a finite number; got {number!r}")
    return number


def _tail_failure(side: str, knot: float, score: float, slope: float) -> str | None:
    """Say why the tail on one side has no finite mass, or None if it has."""
    outward = score if side == "right" else -score
    end, sign = ("last", "negative") if side == "right" else ("first", "positive")
    if slope > 0:
        return (
            f"{side} tail: slope {slope:+.4g} beyond the {end} knot {knot:.6g} must be negative, "
            f"or 0 with a {sign} score there"
        )
    if slope == 0:
        if outward < 0:
            return None
        return (
            f"{side} tail: slope 0 and score {score:+.4g} beyond the {end} knot {knot:.6g}: "
            f"the density does not decay, the score there must be {sign}"
        )
    if outward > 0:
        with np.errstate(over="ignore"):
            away = np.float64(outward) / -slope
            reachable = np.isfinite(knot + (away if side == "right" else -away))
            if not (reachable and np.isfinite(away * outward)):
                return (
                    f"{side} tail: slope {slope:+.4g} is too close to 0 for the score "
                    f"{score:+.4g} at the {end} knot {knot:.6g}: the mode lies beyond all floats"
                )
    return None
