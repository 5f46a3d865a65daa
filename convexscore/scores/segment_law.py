r"""Integrals of ``exp(rate * r + slope * r**2 / 2)`` over one segment, in log space.

A piecewise-linear score makes the log-density quadratic on every segment.  Cut at the zeros of
the score the log-density is moreover *monotone* on each segment, so every integral can start at
one end and never meets an interior extremum.  With ``a = rate * length`` and
``c = slope * length**2`` the one function needed is

.. math:: \Phi(a, c) = \int_0^1 e^{a u + c u^2 / 2} \, du ,\qquad a \le 0,\ a + c \le 0

(a rising exponent is read backwards).  Its closed form is a difference of two scaled
complementary error functions (``c < 0``, normal cdf), of two Dawson functions (``c > 0``) or of
two exponentials (``c = 0``).  These differences cancel only when the exponent hardly moves over
the segment, and exactly there a short Gauss-Legendre rule is accurate to rounding because the
integrand is entire and nearly constant.  Both forms agree to a few units in the last place where
they meet, so no tuned threshold on ``slope`` is involved and slopes may be as tiny as they like.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import dawsn, erfcx, log_ndtr, ndtri_exp

Array = NDArray[np.float64]
# (points, their indices) -> value, first derivative, and the score that gives the second one.
_Residual = Callable[[Array, NDArray[np.intp]], tuple[Array, Array, Array]]

_SQRT2 = np.sqrt(2.0)
_LOG_SQRT_HALF_PI = 0.5 * np.log(0.5 * np.pi)
_LOG_SQRT_2PI = 0.5 * np.log(2.0 * np.pi)
# Total change of the exponent below which the Gauss-Legendre rule replaces the closed form.
_FLAT = 1.0
# |a| / sqrt|c| above which the curvature is invisible even to the far end of the segment.
_STRAIGHT = 1e150
# Beyond this standardised position a normal tail is an exponential to 1e-8: a better start.
_FAR_TAIL = 1e4
# A fall of the exponent after which a segment is as good as infinite to what is near its anchor.
_DEEP = 1e4
_TINY = np.finfo(np.float64).tiny
# exp(-50) is far below rounding: the part of a segment that moments have to look at.
_VISIBLE_DROP = 50.0
# Relative error of a mass from which one more third-order step reaches rounding.
_CLOSE = 1e-6


@lru_cache(maxsize=4)
def _gauss_legendre(order: int) -> tuple[Array, Array]:
    """Nodes and weights of the Gauss-Legendre rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _log_unit_integral(a: Array, c: Array, drop: Array) -> Array:
    """``log Phi(a, c)`` for a falling exponent; ``drop = -(a + c / 2) >= 0``."""
    out = np.empty_like(a)
    flat = drop <= _FLAT
    if flat.any():
        nodes, weights = _gauss_legendre(12)
        exponent = a[flat, None] * nodes + (0.5 * c[flat, None]) * nodes**2
        out[flat] = np.log(np.exp(exponent) @ weights)
    root = np.sqrt(np.abs(c))
    straight = ~flat & (-a >= _STRAIGHT * root)
    if straight.any():
        fall = -a[straight]
        out[straight] = np.log(-np.expm1(-fall)) - np.log(fall)
    concave = ~flat & ~straight & (c < 0)
    if concave.any():
        k = _SQRT2 * root[concave]
        near, far = -a[concave] / k, -(a[concave] + c[concave]) / k
        tails = erfcx(near) - np.exp(-drop[concave]) * erfcx(far)
        out[concave] = np.log(tails) + _LOG_SQRT_HALF_PI - np.log(root[concave])
    convex = ~flat & ~straight & (c > 0)
    if convex.any():
        k = _SQRT2 * root[convex]
        near, far = -a[convex] / k, np.maximum(-(a[convex] + c[convex]), 0.0) / k
        hills = dawsn(near) - np.exp(-drop[convex]) * dawsn(far)
        out[convex] = np.log(hills) + np.log(_SQRT2 / root[convex])
    return out


def log_integral(length: Array, rate: Array, slope: Array) -> Array:
    r"""``log`` of :math:`\int_0^{length} e^{rate\, r + slope\, r^2/2} dr` for a monotone exponent.

    One-dimensional arrays of one shape; ``length >= 0`` finite (0 gives ``-inf``), and ``rate``
    and ``rate + slope * length`` of one sign.  Units: ``length`` in x, ``rate`` in 1/x,
    ``slope`` in 1/x**2.
    """
    a = rate * length
    c = slope * length * length
    rise = a + 0.5 * c
    # A rising exponent is integrated from its far (higher) end: every integrand is then <= 1.
    start = np.where(rise > 0, -(a + c), a)
    return np.maximum(rise, 0.0) + np.log(length) + _log_unit_integral(start, c, np.abs(rise))


def log_tail_integral(fall: Array, slope: Array) -> Array:
    r"""``log`` of :math:`\int_0^\infty e^{-fall\, r + slope\, r^2/2} dr`, ``fall, -slope >= 0``.

    The Mills ratio of the normal law (``slope < 0``) or ``1 / fall`` (``slope == 0``).
    """
    fall, slope = np.broadcast_arrays(fall, slope)
    root = np.sqrt(-slope)
    straight = fall >= _STRAIGHT * root
    out = np.empty(fall.shape)
    out[straight] = -np.log(fall[straight])
    bent = ~straight
    out[bent] = np.log(erfcx(fall[bent] / (_SQRT2 * root[bent])))
    out[bent] += _LOG_SQRT_HALF_PI - np.log(root[bent])
    return out


def segment_moments(width: Array, fall: Array, slope: Array) -> tuple[Array, Array, Array]:
    """Mean and variance of r, and mean fall of the exponent, for ``exp(-fall r + slope r^2/2)``.

    The law lives on ``[0, width]`` (``width`` may be infinite when ``slope <= 0`` decays).  The
    textbook recursions divide by ``slope`` and cancel; a 96-point Gauss-Legendre rule over the
    part where the density exceeds ``exp(-50)`` of its maximum has positive terms only and is
    accurate to rounding for every slope.
    """
    safe = np.where(fall > 0, fall, 1.0)
    # Where the exponent first reaches -_VISIBLE_DROP; for slope > 0 possibly nowhere.
    bent = np.sqrt(np.maximum(1.0 - 2.0 * _VISIBLE_DROP * (slope / safe) / safe, 0.0))
    falling = np.hypot(fall, np.sqrt(2.0 * _VISIBLE_DROP * np.maximum(-slope, 0.0)))
    speed = np.where(slope > 0, fall * bent, falling)
    with np.errstate(divide="ignore"):
        reach = 2.0 * _VISIBLE_DROP / (fall + speed)
    never = (slope > 0) & (bent == 0)
    span = np.where(never, width, np.minimum(width, reach))[:, None]
    nodes, weights = _gauss_legendre(96)
    # Moments of r / span: no square of a length that might overflow or underflow.
    drop = (span * nodes) * (fall[:, None] - 0.5 * slope[:, None] * (span * nodes))
    mass = np.exp(-drop) * weights
    mass /= mass.sum(axis=1, keepdims=True)
    mean = mass @ nodes
    var = (mass * (nodes - mean[:, None]) ** 2).sum(axis=1)
    span = span[:, 0]
    return mean * span, var * span * span, (mass * drop).sum(axis=1)


def _exponential_start(log_target: Array, rate: Array) -> Array:
    """Solve ``(exp(rate d) - 1) / rate = exp(log_target)``: the segment without curvature."""
    target = np.exp(np.minimum(log_target, 700.0))
    product = rate * target
    safe = np.where(rate == 0, 1.0, rate)
    log_product = np.where(rate > 0, np.log(np.abs(safe)) + log_target, 0.0)
    rising = np.logaddexp(0.0, log_product) / safe
    falling = np.log1p(np.clip(product, -0.999, 0.0)) / safe
    # For a nearly constant integrand the length is the mass; the formulas would divide 0 by 0.
    level = np.abs(product) < 1e-12
    return np.where(level, target, np.where(rate > 0, rising, falling))


def _normal_start(log_target: Array, rate: Array, slope: Array) -> Array:
    """Solve the ``slope < 0`` segment with ``log_ndtr`` and ``ndtri_exp``, both ends in one tail.

    Cancellation may leave a few wrong digits; the caller polishes.
    """
    root = np.sqrt(-slope)
    z = np.abs(rate) / root
    # Mass of the segment on the scale of the standard normal law, in log.
    log_mass = log_target + np.log(root) - 0.5 * z * z - _LOG_SQRT_2PI
    log_upper = log_ndtr(-z)
    falls = rate <= 0
    share = np.exp(np.minimum(log_mass - log_upper, 0.0))
    less = log_upper + np.log1p(-np.minimum(share, 1.0 - 1e-15))
    more = np.minimum(np.logaddexp(log_upper, log_mass), -np.log(2.0))
    arrived = -ndtri_exp(np.where(falls, less, more))
    return np.abs(arrived - z) / root


def _first_guess(log_target: Array, length: Array, rate: Array, slope: Array) -> Array:
    """A length whose integral is near the target: exact but for cancellation if slope <= 0."""
    guess = _exponential_start(log_target, rate)
    concave = (slope < 0) & (np.abs(rate) < _FAR_TAIL * np.sqrt(np.abs(slope)))
    if concave.any():
        # Without the curvature the length comes out too short, but never lost in cancellation.
        normal = _normal_start(log_target[concave], rate[concave], slope[concave])
        guess[concave] = np.maximum(normal, guess[concave])
    # A rising convex exponent must itself reach about log(target * its steepness there); with
    # less than a tenth to rise the integrand is level and the start above is good.
    level = np.logaddexp(0.0, log_target + np.log(np.abs(rate) + np.sqrt(np.abs(slope)) + _TINY))
    growing = (slope > 0) & (rate >= 0) & (level > 0.1)
    if growing.any():
        b, m, e = rate[growing], slope[growing], level[growing]
        height = 2.0 * e / (b + np.hypot(b, np.sqrt(2.0 * e) * np.sqrt(m)))
        guess[growing] = np.minimum(guess[growing], height)
    return np.minimum(guess, length)


def solve_length(log_target: Array, length: Array, rate: Array, slope: Array) -> Array:
    """The ``d`` in ``[0, length]`` with ``log_integral(d, rate, slope) == log_target``.

    Halley's iteration on the logarithm (third order, and free: the derivative of the integral is
    the integrand, its logarithmic derivative the score), kept inside a shrinking bracket.
    ``length`` may be infinite if the exponent falls.  Targets outside the range give an end.
    """
    guess = _first_guess(log_target, length, rate, slope)

    def residual(d: Array, k: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        b, m = rate[k], slope[k]
        log_mass = log_integral(d, b, m)
        hazard = np.exp(d * (b + 0.5 * m * d) - log_mass)
        return log_mass - log_target[k], hazard, b + m * d

    return _halley(residual, guess, length, log_target > -np.inf)


def solve_rest(log_target: Array, width: Array, fall: Array, slope: Array) -> Array:
    """The ``u >= 0`` with mass ``exp(log_target)`` of ``exp(-fall r + slope r^2/2)`` in (u, width).

    For an infinite ``width``, and for a segment so high at 0 compared to its other end that the
    mass counted from there would be the difference of two large logarithms.
    """
    guess = _rest_guess(log_target, width, fall, slope)

    def residual(u: Array, k: NDArray[np.intp]) -> tuple[Array, Array, Array]:
        # The mass beyond u falls in u: pass its negative, so that it rises like the other case.
        here = fall[k] - slope[k] * u
        tail = np.isinf(width[k])
        log_rest = np.empty_like(u)
        log_rest[tail] = log_tail_integral(here[tail], slope[k][tail])
        w = width[k][~tail]
        left_over = np.maximum(w - u[~tail], 1e-16 * w)
        log_rest[~tail] = log_integral(left_over, -here[~tail], slope[k][~tail])
        log_mass = -u * (fall[k] - 0.5 * slope[k] * u) + log_rest
        # -log(mass): first derivative the hazard, whose own log-derivative is hazard - here.
        hazard = np.exp(-log_rest)
        return log_target[k] - log_mass, hazard, 2.0 * hazard - here

    return _halley(residual, guess, width, log_target > -np.inf, at_zero=True)


def _rest_guess(log_target: Array, width: Array, fall: Array, slope: Array) -> Array:
    guess = np.empty_like(log_target)
    finite = np.where(np.isinf(width), 0.0, width)
    drop = np.where(np.isinf(width), np.inf, finite * (fall - 0.5 * slope * finite))
    # Seen from the anchor a deep segment has no end.
    deep = drop > _DEEP
    straight = deep & (fall >= _FAR_TAIL * np.sqrt(np.maximum(-slope, 0.0)))
    g = fall[straight]
    guess[straight] = -(log_target[straight] + np.log(g)) / g
    bent = deep & ~straight
    root = np.sqrt(-slope[bent])
    z = fall[bent] / root
    log_upper = log_target[bent] + np.log(root) - 0.5 * z * z - _LOG_SQRT_2PI
    guess[bent] = (-ndtri_exp(np.minimum(log_upper, -np.log(2.0))) - z) / root
    w, g, m = width[~deep], fall[~deep], slope[~deep]
    from_far = log_target[~deep] + drop[~deep]
    guess[~deep] = w - _first_guess(from_far, w, np.maximum(g - m * w, 0.0), m)
    return np.clip(guess, 0.0, width)


def _halley(
    residual: _Residual,
    guess: Array,
    upper: Array,
    active: NDArray[np.bool_],
    *,
    at_zero: bool = False,
) -> Array:
    """Roots of rising functions ``f`` with ``f' = hazard``, ``f'' = hazard * (score - hazard)``.

    Once ``|f| < _CLOSE`` a third-order step lands at rounding, so that step is the last one.
    """
    d = np.where(active, guess, 0.0)
    low = np.zeros_like(d)
    high = upper.copy()
    todo = np.flatnonzero(active & ((d > 0) | at_zero))
    for _ in range(100):
        if todo.size == 0:
            break
        here = d[todo]
        f, hazard, score = residual(here, todo)
        low[todo] = np.where(f < 0, here, low[todo])
        high[todo] = np.where(f > 0, here, high[todo])
        lo, hi = low[todo], high[todo]
        bend = np.maximum(1.0 - 0.5 * f * (score / hazard - 1.0), 0.5)
        trial = here - f / hazard / bend
        middle = np.where(np.isfinite(hi), 0.5 * (lo + hi), 2.0 * here)
        inside = (trial >= lo) & (trial <= hi) & ((trial > 0) | at_zero)
        last = (np.abs(f) < _CLOSE) | (trial == here)
        # The last step may leave the bracket by a rounding only; any other is replaced.
        d[todo] = np.where(last, np.clip(trial, lo, hi), np.where(inside, trial, middle))
        todo = todo[~last]
    return d
