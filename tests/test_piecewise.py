"""The exact law of a piecewise-linear score against quadrature, scipy and closed forms."""

import pickle
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import quad

from convexscore._tools.exceptions import NotIntegrableError
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.scores.segment_law import log_integral, segment_moments

NORMAL = PiecewiseLinearScore([0.0], [0.0], -1.0, -1.0)


def random_score(seed, kind="mixed"):
    """Random knots and values; ``kind`` says what else is special about the score."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7)) + (kind != "mixed")
    knots = np.cumsum(rng.exponential(size=n)) - n / 2
    values = 2.0 * rng.normal(size=n)
    left, right = -rng.exponential(size=2)
    if kind == "flat":  # pairs of equal values: constant pieces, one of them uniform
        values[1] = values[0]
        values[-1] = values[-2] if n > 2 else values[-1]
    if kind == "exponential tails":
        values[0], values[-1], left, right = 1.0 + abs(values[0]), -1.0 - abs(values[-1]), 0.0, 0.0
    if kind == "nearly flat":
        values = 1e-9 * values
    return PiecewiseLinearScore(knots, values, left, right)


def log_integral_of_score(score, a, b):
    """Integral of s from a to b: the trapezoidal rule is exact between knots."""
    inner = score.knots[(score.knots > min(a, b)) & (score.knots < max(a, b))]
    grid = np.concatenate([[min(a, b)], inner, [max(a, b)]])
    s = score(grid)
    return np.sign(b - a) * np.sum(np.diff(grid) * (s[1:] + s[:-1]) / 2)


def quadrature(score, function, low=-np.inf, high=np.inf):
    """Integral of function(x, log p~) p~ with p~ unnormalised, by scipy, piece by piece."""
    reach = [score.knots[0] - 1.0, score.knots[-1] + 1.0]
    for end, side in ((0, -1.0), (1, 1.0)):
        while log_integral_of_score(score, 0.0, reach[end]) > -60.0:
            reach[end] += 0.5 * side
    cuts = np.unique(np.clip(np.concatenate([reach, score.knots]), low, high))
    cuts = np.unique(np.concatenate([cuts, np.clip([low, high], *reach)]))

    def integrand(x):
        log_p = log_integral_of_score(score, 0.0, x)
        return function(x, log_p) * np.exp(log_p)

    return sum(
        quad(integrand, a, b, epsabs=0, epsrel=1e-10, limit=200)[0] for a, b in pairwise(cuts)
    )


# ---- the score itself ------------------------------------------------------------------------


def test_score_is_the_interpolant_with_linear_tails():
    s = PiecewiseLinearScore([-1.0, 0.5, 2.0], [3.0, -1.0, 0.5], -2.0, -0.25)
    x = np.linspace(-1, 2, 61)
    np.testing.assert_allclose(s(x), np.interp(x, s.knots, s.values), atol=1e-14)
    np.testing.assert_allclose(s([-3.0, 4.0]), [7.0, 0.0], atol=1e-14)
    np.testing.assert_array_equal(s(s.knots), s.values)
    # Right derivative at the knots.
    np.testing.assert_allclose(
        s.derivative([-2.0, -1.0, 0.0, 0.5, 2.0, 9.0]), [-2.0, -8 / 3, -8 / 3, 1.0, -0.25, -0.25]
    )


def test_shapes_infinities_and_nan():
    s = PiecewiseLinearScore([-1.0, 1.0], [1.0, -1.0], 0.0, -1.0)
    everything = [s, s.derivative, s.log_density, s.density, s.cdf, s.sf]
    x = np.array([[0.3, np.nan, -np.inf], [np.inf, 1.0, -7.0]])
    for function in everything:
        y = function(x)
        assert y.shape == x.shape
        np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
        assert np.ndim(function(0.3)) == 0
        assert function(0.3) == y[0, 0]
        assert function(np.empty((0, 3))).shape == (0, 3)
    assert (s(-np.inf), s(np.inf)) == (1.0, -np.inf)
    assert (s.cdf(-np.inf), s.cdf(np.inf), s.sf(-np.inf), s.sf(np.inf)) == (0, 1, 1, 0)
    assert s.density(np.inf) == 0 and s.log_density(-np.inf) == -np.inf
    np.testing.assert_array_equal(s.ppf([0.0, 1.0, np.nan]), [-np.inf, np.inf, np.nan])
    assert np.ndim(s.ppf(0.5)) == 0 and s.ppf(np.full((2, 1), 0.5)).shape == (2, 1)


def test_is_frozen_and_survives_pickling():
    s = random_score(3)
    s.cdf(0.0)
    with pytest.raises(ValueError, match="read-only"):
        s.knots[0] = 0.0
    with pytest.raises(AttributeError):
        s.knots = s.knots
    copy = pickle.loads(pickle.dumps(s))
    assert copy.ppf(0.3) == s.ppf(0.3)
    given_knots = np.array([0.0])
    mine = PiecewiseLinearScore(given_knots, [0.0], -1, -1)
    given_knots[0] = 5.0
    assert mine.knots[0] == 0.0
    assert repr(mine) == "PiecewiseLinearScore(1 knot in [0, 0], slopes -1 left, -1 right)"


# ---- against quadrature ----------------------------------------------------------------------

KINDS = ["mixed", "flat", "exponential tails", "nearly flat"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_law_equals_quadrature(seed, kind):
    s = random_score(seed, kind)
    z = quadrature(s, lambda x, log_p: 1.0)
    offset = log_integral_of_score(s, s.knots[0], 0.0)
    assert s.log_normalizer == pytest.approx(np.log(z) + offset, abs=1e-9)
    mean = quadrature(s, lambda x, log_p: x) / z
    var = quadrature(s, lambda x, log_p: (x - mean) ** 2) / z
    entropy = quadrature(s, lambda x, log_p: np.log(z) - log_p) / z
    assert s.mean() == pytest.approx(mean, abs=1e-8 * np.sqrt(var))
    assert s.var() == pytest.approx(var, rel=1e-8)
    assert s.entropy() == pytest.approx(entropy, abs=1e-8)
    for x in s.ppf([0.02, 0.4, 0.9]):
        below = quadrature(s, lambda x, log_p: 1.0, high=x) / z
        above = quadrature(s, lambda x, log_p: 1.0, low=x) / z
        assert s.cdf(x) == pytest.approx(below, rel=1e-8)
        assert s.sf(x) == pytest.approx(above, rel=1e-8)
        assert s.log_density(x) == pytest.approx(
            log_integral_of_score(s, 0.0, x) - np.log(z), abs=1e-8
        )


@pytest.mark.parametrize("drop", [1e-12, 1e-3, 0.999999, 1.000001, 3.0, 40.0, 900.0])
@pytest.mark.parametrize("bend", [-1e300, -1e8, -30.0, -1.0, -1e-3, 0.0, 1e-200, 1e-3, 0.4, 1.0])
def test_segment_integral_on_both_sides_of_every_crossover(drop, bend):
    # The exponent falls by `drop` over [0, 1]; `bend` is its curvature relative to its rate.
    if bend <= -1e100:
        rate, slope = 0.0, -2.0 * drop
    else:
        rate = -drop / (1.0 - 0.5 * bend)
        slope = -bend * rate

    def integrand(r):
        return np.exp(rate * r + 0.5 * slope * r * r)

    reach = np.minimum(1.0, [1 / drop, 7 / drop, 1 / np.sqrt(drop), 7 / np.sqrt(drop)])
    cuts = np.unique(np.concatenate([[0.0], reach, [1.0]]))
    expected = sum(quad(integrand, a, b, epsabs=0, epsrel=1e-13)[0] for a, b in pairwise(cuts))
    one, rate, slope = np.array([[1.0], [rate], [slope]])
    assert log_integral(one, rate, slope)[0] == pytest.approx(np.log(expected), abs=2e-13)
    # Read backwards the exponent rises.
    back = log_integral(one, -(rate + slope), slope)[0]
    assert back == pytest.approx(np.log(expected) + drop, rel=1e-14, abs=2e-13)


def test_segment_moments_of_exponential_and_half_normal():
    mean, var, drop = segment_moments(
        np.array([np.inf, np.inf, 2.0, np.inf]),
        np.array([3.0, 0.0, 0.0, 1e7]),
        np.array([0.0, -4.0, 0.0, -1e-9]),
    )
    half = np.sqrt(2 / np.pi) / 2
    np.testing.assert_allclose(mean, [1 / 3, half, 1.0, 1e-7], rtol=1e-13)
    np.testing.assert_allclose(var, [1 / 9, 0.25 - half**2, 1 / 3, 1e-14], rtol=1e-13)
    np.testing.assert_allclose(drop, [1.0, 0.5, 0.0, 1.0], rtol=1e-13, atol=1e-15)


# ---- properties ------------------------------------------------------------------------------


@st.composite
def scores(draw):
    n = draw(st.integers(1, 6))
    number = st.floats(-8, 8) | st.sampled_from([0.0, 1e-12, -1e-200, 3.0, -3.0])
    gaps = draw(st.lists(st.floats(1e-4, 5), min_size=n, max_size=n))
    values = np.array(draw(st.lists(number, min_size=n, max_size=n)))
    slope = st.floats(-9, -1e-3) | st.just(0.0)
    left, right = draw(slope), draw(slope)
    if left == 0:
        values[0] = 0.1 + abs(values[0])
    if right == 0:
        values[-1] = -0.1 - abs(values[-1])
    if not (left < 0 or values[0] > 0):  # one knot cannot decay to both sides by its value
        left = -1.0
    return PiecewiseLinearScore(np.cumsum(gaps) - 3.0, values, left, right)


@given(scores(), st.floats(-12, 20), st.floats(1e-6, 1.0))
def test_log_density_is_the_integral_of_the_score(s, x, step):
    rise = s.log_density(x + step) - s.log_density(x)
    size = 1 + abs(s.log_density(x)) + abs(s.log_density(x + step))
    assert rise == pytest.approx(log_integral_of_score(s, x, x + step), abs=1e-12 * size)
    # And its derivative by central differences, up to the kink inside the stencil.
    h = 1e-4
    slope = (s.log_density(x + h) - s.log_density(x - h)) / (2 * h)
    bend = np.abs(s.derivative([x - h, x, x + h])).max()
    kinks = np.abs(np.diff(s(np.array([x - h, x, x + h])))).sum()
    assert slope == pytest.approx(float(s(x)), abs=bend * h + kinks + 1e-7 * size)


@given(scores(), st.lists(st.floats(1e-300, 1 - 1e-16), min_size=1, max_size=8))
def test_ppf_inverts_cdf(s, q):
    q = np.sort(q)
    x = s.ppf(q)
    assert (np.diff(x) >= -1e-13 * (1 + np.abs(x[1:]))).all()
    # x itself is rounded; that rounding times the density is all that may be lost.
    lost = 4e-16 * (1 + np.abs(x)) * s.density(x)
    assert (np.abs(s.cdf(x) - q) <= 1e-12 * q + lost).all()
    assert (np.abs(s.sf(x) - (1 - q)) <= 1e-12 * (1 - q) + 2e-16 + lost).all()


@given(scores(), st.floats(0.0, 1.0))
def test_cdf_then_ppf_returns_the_point(s, position):
    low, high = s.ppf([1e-10, 1 - 1e-6])
    x = low + position * (high - low)
    q, p = s.cdf(x), s.density(x)
    # The best that the rounding of q allows, in a valley rather little.
    assert abs(s.ppf(q) - x) * p <= 1e-12 * q + 4e-16 * (1 + abs(x)) * p
    assert s.cdf(x) + s.sf(x) == pytest.approx(1.0, abs=1e-13)


def test_many_quantiles_at_once_equal_one_at_a_time():
    s = random_score(11)
    q = np.random.default_rng(0).random(100_000)
    x = s.ppf(q)
    np.testing.assert_allclose(s.cdf(x), q, rtol=1e-12)
    assert [float(s.ppf(v)) for v in q[:50]] == x[:50].tolist()


# ---- known laws ------------------------------------------------------------------------------


LAPLACE = PiecewiseLinearScore([-1e-10, 1e-10], [1.0, -1.0], 0.0, 0.0)
# The same straight line from any knot, also one where log p is 5e15 below the mode.
LINES = {t: PiecewiseLinearScore([t], [-t], -1.0, -1.0) for t in (0.0, 2.5, -1e5, 1e8)}


@pytest.mark.parametrize(
    ("score", "law", "reach", "rtol", "atol"),
    [(LAPLACE, stats.laplace, 600, 1e-9, 1e-9)]
    + [(line, stats.norm, 37.5, 1e-13, 0) for line in LINES.values()],
)
def test_known_laws_into_their_far_tails(score, law, reach, rtol, atol):
    x = np.linspace(-reach, reach, 301)
    np.testing.assert_allclose(score.log_density(x), law.logpdf(x), rtol=rtol, atol=atol)
    np.testing.assert_allclose(score.cdf(x), law.cdf(x), rtol=max(rtol, 1e-12))
    np.testing.assert_allclose(score.sf(x), law.sf(x), rtol=max(rtol, 1e-12))
    q = np.concatenate([10.0 ** -np.arange(1.0, 301.0), [0.3, 0.9, 1 - 1e-12, 1 - 2.0**-53]])
    np.testing.assert_allclose(score.ppf(q), law.ppf(q), rtol=rtol)
    assert score.mean() == pytest.approx(0.0, abs=1e-13)
    assert score.var() == pytest.approx(law.var(), rel=rtol)
    assert score.entropy() == pytest.approx(law.entropy(), rel=rtol)
    # relative to the first knot
    assert score.log_normalizer == pytest.approx(-law.logpdf(score.knots[0]), rel=rtol / 10)


def test_data_around_1e8_keep_their_digits():
    # The mode 1e8 + 1/3 is no float.
    s = PiecewiseLinearScore([1e8 - 1, 1e8 + 0.5], [4.0, -0.5], -3.0, -3.0)
    law = stats.norm(1 / 3, np.sqrt(1 / 3))
    z = np.arange(-32, 33) / 4  # 1e8 + z is exact
    np.testing.assert_allclose(s.cdf(1e8 + z), law.cdf(z), rtol=1e-12)
    np.testing.assert_allclose(s.log_density(1e8 + z), law.logpdf(z), rtol=1e-12)
    assert s.mean() == 1e8 + 1 / 3
    assert s.var() == pytest.approx(1 / 3, rel=1e-12)
    q = law.cdf(z[z < 3])
    assert np.abs(s.ppf(q) - 1e8 - z[z < 3]).max() <= 2 * np.spacing(1e8)


def test_gaussian_inside_laplace_outside():
    a, k = 1.5, 2.0  # s = -k x on [-a, a], constant beyond
    s = PiecewiseLinearScore([-a, a], [k * a, -k * a], 0.0, 0.0)
    middle = np.sqrt(2 * np.pi / k) * (1 - 2 * stats.norm.sf(a * np.sqrt(k)))
    tail = np.exp(-k * a * a / 2) / (k * a)
    assert s.log_normalizer - k * a * a / 2 == pytest.approx(np.log(middle + 2 * tail), abs=1e-14)
    x = np.array([a, 2.0, 10.0, 200.0])
    expected = tail * np.exp(-k * a * (x - a)) / (middle + 2 * tail)
    np.testing.assert_allclose(s.sf(x), expected, rtol=1e-12)
    np.testing.assert_allclose(s.cdf(-x), expected, rtol=1e-12)
    np.testing.assert_allclose(s.ppf(expected), -x, rtol=1e-13)


def test_uniform_law_between_steep_walls():
    s = PiecewiseLinearScore([0.0, 1.0], [0.0, 0.0], -1e24, -1e24)
    q = np.linspace(0.01, 0.99, 25)
    np.testing.assert_allclose(s.ppf(q), q, atol=1e-11)
    np.testing.assert_allclose(s.density(q), 1.0, rtol=1e-11)
    assert (s.mean(), s.var()) == (pytest.approx(0.5), pytest.approx(1 / 12, rel=1e-10))
    assert s.entropy() == pytest.approx(0.0, abs=1e-10)


# ---- extremes --------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.0, 1e-300, -1e-300, 1e-20, -1e-20, 1e-12, -1e-12])
def test_nearly_constant_pieces_have_the_limit_of_constant_ones(slope):
    exact = PiecewiseLinearScore([0.0, 1.0, 2.0], [0.0, 0.0, 0.0], -1.0, -1.0)
    s = PiecewiseLinearScore([0.0, 1.0, 2.0], [0.0, slope, -slope], -1.0, -1.0)
    assert s.derivative(0.5) == slope
    x = np.linspace(-4, 6, 41)
    np.testing.assert_allclose(s.cdf(x), exact.cdf(x), rtol=1e-11)
    np.testing.assert_allclose(s.ppf(s.cdf(x)), x, atol=1e-11)
    assert s.var() == pytest.approx(exact.var(), rel=1e-11)
    # A tail: with a steep wall on its left the exponential law.
    tail = PiecewiseLinearScore([0.0], [-3.0], -1e24, -abs(slope))
    np.testing.assert_allclose(tail.sf([1.0, 50.0]), stats.expon.sf([3.0, 150.0]), rtol=1e-8)


@pytest.mark.parametrize("slope", [1e-300, 1e-100, 1e-20])
def test_tail_whose_mode_lies_enormously_far_away(slope):
    s = PiecewiseLinearScore([0.0], [1.0], -1.0, -slope)
    assert s.mean() == pytest.approx(1 / slope, rel=1e-12)
    assert s.var() == pytest.approx(1 / slope, rel=1e-12)
    assert s.entropy() == pytest.approx(stats.norm.entropy() - 0.5 * np.log(slope), rel=1e-12)
    assert s.log_density(0.0) == pytest.approx(-0.5 / slope, rel=1e-12)
    assert s.log_normalizer == pytest.approx(0.5 / slope, rel=1e-12)
    assert s.cdf(0.0) == 0.0 and s.sf(0.0) == pytest.approx(1.0, abs=1e-14)
    np.testing.assert_allclose(s.ppf([1e-9, 0.5, 1 - 1e-9]) * slope, 1.0, rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("scale", [1e-8, 1e8, -2.0])
def test_equivariance_under_affine_maps(seed, scale):
    s = random_score(seed, KINDS[seed % 4])
    shift = 3.0 * abs(scale)
    t = s.affine(scale, shift)
    q = np.linspace(0.001, 0.999, 23)
    x = s.ppf(q)
    y = scale * x + shift
    size = abs(scale)
    expected = q if scale > 0 else 1 - q
    np.testing.assert_allclose(t.cdf(y), expected, rtol=1e-9)
    np.testing.assert_allclose(t.ppf(expected), y, rtol=1e-9, atol=1e-12 * size)
    np.testing.assert_allclose(t.log_density(y), s.log_density(x) - np.log(size), atol=1e-9)
    np.testing.assert_allclose(t(y) * scale, s(x), atol=1e-9)
    np.testing.assert_allclose(t.derivative(y) * scale**2, s.derivative(x), atol=1e-12)
    assert t.entropy() == pytest.approx(s.entropy() + np.log(size), abs=1e-10)
    assert t.mean() == pytest.approx(scale * s.mean() + shift, abs=1e-11 * size)
    assert t.var() == pytest.approx(s.var() * scale**2, rel=1e-10)


def test_modes_separated_by_a_valley_of_depth_1e5():
    # Two unit normals at 0 and m; the score runs from -b to c over a gap in between.
    b, gap, c = 400.0, 100.0, 400.0 + 2.0**-8
    second = b + gap + c
    s = PiecewiseLinearScore([b, b + gap], [-b, c], -1.0, -1.0)
    assert s.log_density(b + gap / 2) < -9e4
    fb, fg, fc = Fraction(b), Fraction(gap), Fraction(c)
    rise = float((fc * fc - fb * fb + fg * (fc - fb)) / 2)
    weight = 1 / (1 + np.exp(rise))  # of the first mode
    assert s.cdf(b) == pytest.approx(weight, rel=1e-10)
    assert s.sf(b + gap) == pytest.approx(1 - weight, rel=1e-10)
    p = np.array([1e-30, 0.01, 0.5, 0.99])
    np.testing.assert_allclose(s.ppf(p * weight), stats.norm.ppf(p), atol=1e-8)
    upper = weight + p[1:] * (1 - weight)
    np.testing.assert_allclose(s.ppf(upper), second + stats.norm.ppf(p[1:]), atol=1e-8)
    assert s.mean() == pytest.approx((1 - weight) * second, rel=1e-10)
    assert s.var() == pytest.approx(1 + weight * (1 - weight) * second**2, rel=1e-10)
    both = stats.norm.entropy() + stats.entropy([weight, 1 - weight])
    assert s.entropy() == pytest.approx(both, rel=1e-10)


def test_hundreds_of_pieces_change_nothing():
    s = random_score(5)
    more = np.sort(np.random.default_rng(1).uniform(s.knots[0] - 2, s.knots[-1] + 2, 600))
    knots = np.union1d(s.knots, more)
    fine = PiecewiseLinearScore(knots, s(knots), s.left_slope, s.right_slope)
    q = np.concatenate([10.0 ** -np.arange(1.0, 250.0, 10.0), np.linspace(0.01, 0.99, 99)])
    x = s.ppf(q)
    np.testing.assert_allclose(fine.ppf(q), x, rtol=1e-11)
    np.testing.assert_allclose(fine.cdf(x), q, rtol=1e-11)
    np.testing.assert_allclose(fine.log_density(x), s.log_density(x), rtol=1e-11)
    assert fine.var() == pytest.approx(s.var(), rel=1e-11)
    assert fine.entropy() == pytest.approx(s.entropy(), rel=1e-11)


@pytest.mark.parametrize("seed", range(8))
def test_steep_slopes_and_huge_scores(seed):
    rng = np.random.default_rng(seed)
    # Values up to 1e5 and slopes up to 1e10, of both signs.
    knots = np.cumsum(10.0 ** rng.uniform(-5, 0, 40))
    values = 1e5 * rng.uniform(-1, 1, 40)
    s = PiecewiseLinearScore(knots, values, -1e10, -1e-3)
    assert np.abs(np.diff(values) / np.diff(knots)).max() > 1e9
    q = np.concatenate([10.0 ** -np.arange(1.0, 300.0, 7.0), rng.random(200)])
    x = s.ppf(q)
    depth = -s.log_density(knots).min()
    lost = 4e-16 * np.abs(x) * s.density(x)
    assert (np.abs(s.cdf(x) - q) <= 1e-15 * (1e4 + depth) * q + lost).all()
    summary = [s.mean(), s.var(), s.entropy(), s.log_normalizer]
    assert np.isfinite(summary).all() and s.var() > 0


# ---- sampling --------------------------------------------------------------------------------


def test_samples_follow_the_law_and_the_test_would_notice_otherwise():
    s = PiecewiseLinearScore([-2.0, 0.0, 1.0], [-1.0, 1.0, 1.5], -2.0, -4.0)
    x = s.sample(20_000, random_state=0)
    assert stats.kstest(x, s.cdf).pvalue > 0.01
    # Negative controls: a slightly wrong law, and a slight bias of the samples.
    wrong = PiecewiseLinearScore([-2.0, 0.0, 1.0], [-1.0, 1.0, 1.5], -2.0, -4.6)
    assert stats.kstest(x, wrong.cdf).pvalue < 1e-3
    assert stats.kstest(x + 0.05 * np.sqrt(s.var()), s.cdf).pvalue < 1e-3
    assert x.mean() == pytest.approx(s.mean(), abs=4 * np.sqrt(s.var() / x.size))


def test_sampling_is_reproducible_and_local():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(NORMAL.sample(5, 3), NORMAL.sample(5, random_state=3))
    assert NORMAL.sample((2, 3), random_state=0).shape == (2, 3)
    assert NORMAL.sample(0, random_state=0).shape == (0,)
    generator = np.random.default_rng(3)
    first = NORMAL.sample(5, generator)
    np.testing.assert_array_equal(first, NORMAL.sample(5, 3))
    assert (NORMAL.sample(5, generator) != first).all()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002

    class Zero(np.random.Generator):  # the uniform number 0 must not become -inf
        def random(self, size):
            return np.zeros(size)

    assert np.isfinite(NORMAL.sample(3, Zero(np.random.PCG64()))).all()


# ---- errors ----------------------------------------------------------------------------------


TWO = PiecewiseLinearScore([0.0, 1.0], [0.0, -1.0], -1.0, -1.0)
FAR_KNOTS = PiecewiseLinearScore([-1e200, 1e200], [1e200, -1e200], -1.0, -1.0)


@pytest.mark.parametrize(
    ("call", "arguments", "words"),
    [
        *(
            (PiecewiseLinearScore, arguments, words)
            for arguments, words in [
                (([0.0, 0.0], [1.0, 2.0], -1, -1), "strictly increasing; got 0.0 followed by 0.0"),
                (([1.0, 0.0], [1.0, 2.0], -1, -1), "strictly increasing"),
                (
                    ([0.0, np.nan], [1.0, 2.0], -1, -1),
                    "knots must be finite; 1 of 2 values are NaN",
                ),
                (([0.0], [np.inf], -1, -1), "values must be finite"),
                (([0.0], [1.0, 2.0], -1, -1), "2 values for 1 knots"),
                (([[0.0]], [[1.0]], -1, -1), r"knots must have shape \(K,\).*got shape \(1, 1\)"),
                (([], [], -1, -1), r"knots must have shape \(K,\), not empty"),
                (([0.0], [0.0], np.nan, -1), "left_slope must be a finite number; got nan"),
                (([0.0], [0.0], -1, np.inf), "right_slope"),
                (([0.0, 1e-300], [0.0, 1e100], -1, -1), "overflows"),
            ]
        ),
        *((NORMAL.ppf, [q], r"q must .* in \[0, 1\]; got") for q in (-1e-9, 1.1, [0.5, 2.0])),
        (NORMAL.sample, [-1], "size must be"),
        (NORMAL.affine, [0.0], "scale must not be 0"),
        (TWO.affine, [1e-9, 1e9], "map different knots to one float"),
        (FAR_KNOTS.cdf, [0.0], "by more than the largest float"),
    ],
)
def test_bad_arguments_are_named(call, arguments, words):
    with pytest.raises(ValueError, match=words):
        call(*arguments)


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (PiecewiseLinearScore([2.1], [0.0], -1.0, 0.3), r"right tail: slope \+0.3 beyond the last"),
        (PiecewiseLinearScore([2.1], [0.0], 0.3, -1.0), r"left tail: slope \+0.3 beyond the first"),
        (PiecewiseLinearScore([0.0], [0.0], -1.0, 0.0), r"right tail: slope 0 and score \+0 "),
        (PiecewiseLinearScore([0.0], [0.5], -1.0, 0.0), r"right tail: slope 0 and score \+0.5 "),
        (PiecewiseLinearScore([0.0], [-0.5], 0.0, -1.0), r"left tail: slope 0 and score -0.5 "),
        (PiecewiseLinearScore([0.0], [1.0], -1.0, -1e-310), "right tail: .* too close to 0"),
        (PiecewiseLinearScore([0.0], [0.0], 1.0, 1.0), "left tail: .*; right tail: "),
    ],
)
def test_not_integrable_says_which_tail_and_the_remedy(score, words):
    assert not score.is_integrable
    assert "not integrable" in repr(score)
    assert np.isfinite(score(1.0))
    for use in (
        lambda: score.log_density(0.0),
        lambda: score.ppf(0.0),
        lambda: score.entropy(),
        lambda: score.sample(3),
        lambda: score.log_normalizer,
    ):
        with pytest.raises(NotIntegrableError, match=words) as caught:
            use()
        assert 'constraint="density"' in str(caught.value)
        assert 'constraint="log-concave"' in str(caught.value)
    assert NORMAL.tail_report() is None and NORMAL.is_integrable
    assert PiecewiseLinearScore([0.0, 1.0], [1.0, -1.0], 0.0, 0.0).is_integrable
