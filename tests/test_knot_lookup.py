"""Cells of equal width find the same pieces as bisection, for any knots and any points."""

import numpy as np
import pytest

from convexscore.scores.knot_lookup import KnotLookup
from convexscore.scores.piecewise import PiecewiseLinearScore


def knots_of(kind, n, scale):
    rng = np.random.default_rng(n)
    if kind == "heavy tails":
        knots = scale * rng.standard_cauchy(n)
    else:
        knots = scale * rng.normal(size=n)
    if kind == "nudged":  # triples one rounding apart
        knots = np.concatenate([knots, np.nextafter(knots, np.inf), np.nextafter(knots, -np.inf)])
    return np.unique(knots[np.isfinite(knots)])


@pytest.mark.parametrize("kind", ["normal", "nudged", "heavy tails"])
@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1.0, 1e8, 1e300])
@pytest.mark.parametrize("n", [1, 4, 50, 20_000])
def test_lookup_is_bisection(kind, scale, n):
    knots = knots_of(kind, n, scale)
    near = np.concatenate([knots, np.nextafter(knots, np.inf), np.nextafter(knots, -np.inf)])
    far = [np.inf, -np.inf, 0.0, -0.0, 1e308, -1e308]
    x = np.concatenate([near, scale * np.random.default_rng(0).normal(size=500), far])
    lookup = KnotLookup(knots)
    np.testing.assert_array_equal(lookup(x), np.searchsorted(knots, x, side="right"))
    np.testing.assert_array_equal(lookup(x[:3]), np.searchsorted(knots, x[:3], side="right"))
    square = x[: len(x) // 4 * 4].reshape(2, -1, 2)
    np.testing.assert_array_equal(lookup(square), np.searchsorted(knots, square, side="right"))
    piece = lookup(np.full(300, np.nan))
    assert ((piece >= 0) & (piece <= len(knots))).all()


def test_score_by_lookup_is_the_score_by_interpolation():
    rng = np.random.default_rng(0)
    knots = np.sort(rng.normal(size=200))
    score = PiecewiseLinearScore(knots, rng.normal(size=200), 0.0, -2.0)
    inside = rng.uniform(knots[0], knots[-1], 5000)
    np.testing.assert_allclose(score(inside), np.interp(inside, knots, score.values), atol=1e-9)
    one_by_one = np.array([score(x) for x in inside[:200]])
    np.testing.assert_array_equal(score(inside)[:200], one_by_one)
    many = np.full(300, np.nan)
    assert np.isnan(score(many)).all() and np.isnan(score.derivative(many)).all()
    assert score(np.full(300, -np.inf))[0] == score.values[0]
    assert score(np.full(300, np.inf))[0] == -np.inf
