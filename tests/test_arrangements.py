"""Activation patterns: counts on paper, brute force over all 2^n patterns, pictures on their artists."""

import io
import itertools
import math
from fractions import Fraction

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from scipy.optimize import linprog

from convexscore._tools.exceptions import DataWarning
from convexscore.arrangements import (
    count_patterns,
    enumerate_patterns,
    iter_patterns,
    neuron_of_pattern,
    pattern_bound,
    pattern_of,
    sample_patterns,
)
from convexscore.plotting import ArrangementDisplay


def realisable(X, bias):
    """Patterns of open cells by a feasibility program for each of the 2^n."""
    X = np.asarray(X, dtype=float)
    lifted = np.column_stack([X, np.ones(len(X))]) if bias else X
    origin = ~lifted.any(axis=1)
    found = set()
    for pattern in itertools.product((False, True), repeat=len(X)):
        pattern = np.array(pattern)
        if not pattern[origin].all():
            continue  # 1{0 >= 0} = 1
        rows = -np.where(pattern, 1.0, -1.0)[~origin, None] * lifted[~origin]
        free, cost = [(None, None)] * lifted.shape[1], np.zeros(lifted.shape[1])
        if not len(rows) or linprog(cost, rows, -np.ones(len(rows)), bounds=free).success:
            found.add(tuple(pattern.tolist()))
    return found


def as_set(cells):
    patterns = {tuple(row) for row in cells.patterns.tolist()}
    assert len(patterns) == len(cells)  # none twice
    return patterns


both_biases = pytest.mark.parametrize("bias", [True, False])


def assert_representatives(X, cells):
    """Each neuron has its pattern, strictly, and the margin is what it says."""
    X = np.asarray(X, dtype=float)
    value = cells.u @ X.T + cells.b[:, None]
    np.testing.assert_array_equal(value >= 0, cells.patterns)
    np.testing.assert_allclose(np.linalg.norm(cells.u, axis=1), 1.0, rtol=1e-12)
    counted = np.ones(len(X), dtype=bool) if cells.bias else X.any(axis=1)
    margin = np.abs(value[:, counted]).min(axis=1, initial=np.inf)
    # u.x + b is a sum of d + 1 products; the margin is what their cancellation leaves of it
    size = np.abs(cells.u) @ np.abs(X).T + np.abs(cells.b)[:, None]
    rounding = (X.shape[1] + 2) * np.finfo(float).eps * size[:, counted].max(axis=1, initial=0.0)
    known = np.isfinite(margin)  # infinite without any hyperplane
    np.testing.assert_array_equal(np.isfinite(cells.margin), known)
    assert (np.abs(margin[known] - cells.margin[known]) <= rounding[known]).all()
    assert (cells.margin > 0).all()
    if not cells.bias:
        assert (cells.b == 0).all()


# ------------------------------------------------------------------------------------ counting
def test_counts_on_paper():
    # the sizes of the paper's example
    assert (count_patterns(8, 2), count_patterns(6, 3)) == (16, 32)
    for n in range(1, 30):
        assert count_patterns(n, 1) == 2
        assert count_patterns(n, 2) == 2 * n
        assert count_patterns(n, 3) == n * n - n + 2
        assert count_patterns(n, n) == count_patterns(n, n + 3) == 2**n
    assert count_patterns(0, 3) == count_patterns(5, 0) == 1
    # C(N, k) by Cover's recursion, where floats would round
    big = count_patterns(300, 40)
    assert big == count_patterns(299, 40) + count_patterns(299, 39) > 2**150
    assert isinstance(big, int)


@both_biases
@pytest.mark.parametrize(
    ("d", "n"), [(1, 9), (2, 25), (3, 12), (4, 9), (5, 8), (9, 6), (2, 1), (3, 2)]
)
def test_general_position_has_as_many_as_the_formula(n, d, bias):
    X = np.random.default_rng(n + d).standard_normal((n, d))
    cells = enumerate_patterns(X, bias=bias)
    rank = min(n, d + bias)
    if d == 1 and not bias:
        n = 1  # all points are on one line through the origin
    formula = 2 * sum(math.comb(n - 1, k) for k in range(rank))
    assert len(as_set(cells)) == formula == pattern_bound(X, bias=bias)
    assert cells.exact
    assert_representatives(X, cells)
    if bias:  # the pattern of -u, -b is the complement
        assert as_set(cells) == {tuple(row) for row in (~cells.patterns).tolist()}


def connecting_lines_count(points):
    """2 (1 + sum over lines through two points of (points on it - 1)), in rational arithmetic."""
    points = sorted(set(points))
    lines = {}
    for (a, b), (c, e) in itertools.combinations(points, 2):
        slope = Fraction(e - b, c - a) if c != a else None
        place = b - slope * a if slope is not None else Fraction(a)
        lines.setdefault((slope, place), set()).update({(a, b), (c, e)})
    return 2 * (1 + sum(len(line) - 1 for line in lines.values()))


@pytest.mark.parametrize("step", [1.0, 0.1, 1 / 3])
@pytest.mark.parametrize("shape", [(5, 4), (6, 6), (9, 1)])
def test_lattices_by_zaslavsky(shape, step):
    lattice = list(itertools.product(range(shape[0]), range(shape[1])))
    X = step * np.array(lattice, dtype=float)
    cells = enumerate_patterns(X)
    assert len(as_set(cells)) == connecting_lines_count(lattice)
    assert cells.exact
    assert_representatives(X, cells)


# ------------------------------------------------------------------------- against brute force
DEGENERATE = {
    "duplicates": [[0, 0], [1, 0], [1, 0], [0, 1], [0, 1], [2, 3]],
    "collinear": [[0, 0], [1, 1], [2, 2], [3, 3], [0, 1], [1, 0], [0, 2]],
    "all collinear": [[0, 1], [1, 3], [2, 5], [5, 11]],
    "square": [[0, 0], [1, 0], [0, 1], [1, 1]],
    "opposite": [[1, 2], [-1, -2], [2, 4], [1, 0], [-3, 0], [0, 1]],
    "origin": [[0, 0], [1, 0], [0, 0], [1, 2], [-1, 1]],
    "only the origin": [[0, 0], [0, 0]],
    "one point": [[3.0, 4.0]],
    "equal points": [[3.0, 4.0]] * 4,
    "constant column": [[1, 5, 0], [0, 5, 1], [2, 5, 2], [1, 5, 4], [3, 5, 1]],
    "zero column": [[1, 0, 0], [0, 0, 1], [2, 0, 2], [1, 0, 4], [3, 0, 1]],
    "n < d": [[1, 0, 0, 2], [0, 1, 0, 1], [1, 1, 1, 1]],
    "rank one": [[1, 2, 3], [2, 4, 6], [-1, -2, -3], [4, 8, 12]],
    "rank two": [[1, 0, 1], [0, 1, 1], [1, 1, 2], [2, 1, 3], [1, -1, 0], [3, 2, 5]],
    "coordinate vectors": np.eye(4).tolist(),
    "cube": list(itertools.product((0, 1), repeat=3)),
    "coplanar": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [2, 1, 0], [0, 0, 1], [1, 2, 3]],
    "column": [[1], [1], [2], [4], [0]],
}


@pytest.mark.slow
@both_biases
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_data_against_all_patterns(name, bias):
    X = np.array(DEGENERATE[name], dtype=float)
    cells = enumerate_patterns(X, bias=bias)
    truth = realisable(X, bias)
    assert as_set(cells) == truth
    assert cells.exact
    assert len(truth) <= pattern_bound(X, bias=bias)
    drawn = sample_patterns(X, 20_000, bias=bias, random_state=0)  # all are met in the end
    assert as_set(drawn) == truth and not drawn.exact
    for found in (cells, drawn):
        assert_representatives(X, found)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(1, 4), st.booleans(), st.integers(0, 10**6))
def test_random_small_integers_against_all_patterns(n, d, bias, seed):
    X = np.random.default_rng(seed).integers(-1, 3, (n, d)) / 3.0
    assert as_set(enumerate_patterns(X, bias=bias)) == realisable(X, bias)


@both_biases
def test_regular_maps_leave_the_patterns_alone(bias):
    rng = np.random.default_rng(5)
    X = rng.integers(0, 4, (16, 3)).astype(float)
    truth = as_set(enumerate_patterns(X, bias=bias))
    moved = [X @ rng.standard_normal((3, 3)), X * [1e-9, 1.0, 1e6], np.c_[X, X @ [1, 2, -1]]]
    moved += [X + 1e5, 1e-5 * X - 3.0] if bias else [X * rng.uniform(1e-6, 1e6, (16, 1))]
    for other in moved:
        cells = enumerate_patterns(other, bias=bias)
        assert cells.exact and as_set(cells) == truth
        assert_representatives(other, cells)
    order = rng.permutation(16)
    again = enumerate_patterns(X[order], bias=bias).patterns[:, np.argsort(order)]
    assert {tuple(row) for row in again.tolist()} == truth


def test_points_one_rounding_unit_apart_are_equal():
    X = np.random.default_rng(1).standard_normal((8, 2))
    near = np.nextafter(X, np.inf)
    cells = enumerate_patterns(np.vstack([X, near]))
    assert len(cells) == count_patterns(8, 3)
    np.testing.assert_array_equal(cells.patterns[:, :8], cells.patterns[:, 8:])


def test_cells_lost_to_rounding_are_said():
    X = np.random.default_rng(2).standard_normal((12, 2)) + 1e12  # spread 1e-12 of the size
    with pytest.warns(DataWarning, match=r"exact=False\. Round the data, or centre"):
        cells = enumerate_patterns(X)
    assert not cells.exact and 0 < len(cells) <= count_patterns(12, 3)
    assert_representatives(X, cells)
    centred = enumerate_patterns(X - X.mean(axis=0))
    assert centred.exact and as_set(cells) <= as_set(centred)


# ------------------------------------------------------------------------------------ laziness
def test_the_iterator_is_the_enumeration_and_lazy():
    X = np.random.default_rng(4).standard_normal((9, 3))
    cells = enumerate_patterns(X)
    for one, other in zip(iter_patterns(X), cells, strict=True):
        np.testing.assert_array_equal(one.pattern, other.pattern)
        np.testing.assert_array_equal(one.u, other.u)
        assert (one.b, one.margin) == (other.b, other.margin)
    X = np.random.default_rng(0).standard_normal((2000, 12))
    assert pattern_bound(X) > 10**30
    first = list(itertools.islice(iter_patterns(X), 500))
    assert len({cell.pattern.tobytes() for cell in first}) == 500


def test_hopeless_sizes_are_refused_before_any_work():
    X = np.random.default_rng(0).standard_normal((5000, 20))
    with pytest.raises(ValueError, match=r"n = 5000 .* d = 20 .*about 10\^\d+ .*sample_patterns"):
        enumerate_patterns(X)
    with pytest.raises(ValueError, match=r"may have 9,902 activation patterns; limit = 9,901\."):
        enumerate_patterns(X[:100, :2], limit=9901)
    assert len(enumerate_patterns(X[:100, :2], limit=9902)) == 9902
    assert len(enumerate_patterns(X[:10, :2], limit=None)) == 92


# ------------------------------------------------------------------------------------ sampling
def test_sampling_many_points():
    X = 7.0 + np.random.default_rng(0).standard_normal((300, 8)) * np.logspace(-4, 4, 8)
    drawn = sample_patterns(X, 400, random_state=1)
    assert len(as_set(drawn)) > 390
    assert_representatives(X, drawn)
    # every number of active points is as likely: mean n/2, standard error n / sqrt(12 * 400)
    assert abs(drawn.n_active.mean() - 150) < 5 * 300 / math.sqrt(12 * 400)
    # whatever the columns' units
    share = np.abs(drawn.u) * X.std(axis=0)
    assert (share.mean(axis=0) / share.mean()).min() > 0.5
    again, other = (sample_patterns(X, 400, random_state=seed) for seed in (1, 2))
    np.testing.assert_array_equal(drawn.patterns, again.patterns)
    assert as_set(drawn) != as_set(other)
    few = sample_patterns(X[:14, :3], 100, bias=False, random_state=0)
    assert len(few) > 40 and as_set(few) < as_set(enumerate_patterns(X[:14, :3], bias=False))


# ------------------------------------------------------------------------ patterns and neurons
def test_pattern_of_counts_the_boundary():
    X = [[0.0, 0.0], [1.0, 0.0], [2.0, 1.0]]
    assert pattern_of(X, [1.0, 0.0], -1.0).tolist() == [False, True, True]
    assert pattern_of(X, [-1.0, 0.0]).tolist() == [True, False, False]
    both = pattern_of(X, [[1.0, 0.0], [0.0, -1.0]], [-1.5, 0.5])
    assert both.tolist() == [[False, False, True], [True, True, False]]


@pytest.mark.slow
@both_biases
@pytest.mark.parametrize("name", ["collinear", "origin", "constant column", "duplicates", "n < d"])
def test_neuron_of_every_pattern(name, bias):
    X = np.array(DEGENERATE[name], dtype=float)
    truth = realisable(X, bias)
    for pattern in itertools.product((False, True), repeat=len(X)):
        neuron = neuron_of_pattern(X, pattern, bias=bias)
        assert (neuron is not None) == (pattern in truth)
        if neuron is not None:
            u, b = neuron
            assert pattern_of(X, u, b).tolist() == list(pattern)
            assert np.linalg.norm(u) == pytest.approx(1.0, rel=1e-12)
            assert bias or b == 0.0


def test_arrangement_as_matrices_and_lookup():
    X = np.random.default_rng(6).standard_normal((5, 2))
    cells = enumerate_patterns(X)
    assert repr(cells) == "Arrangement(22 patterns of 5 points in 2 dimensions, with bias, exact)"
    np.testing.assert_array_equal(cells.n_active, cells.patterns.sum(axis=1))
    for signed, rows in ((False, 1.0 * cells.patterns), (True, 2.0 * cells.patterns - 1.0)):
        dense = cells.diagonals(signed=signed, dense=True)
        for D, full, row in zip(cells.diagonals(signed=signed), dense, rows, strict=True):
            np.testing.assert_array_equal(D.toarray(), np.diag(row))
            np.testing.assert_array_equal(full, np.diag(row))
    for row, pattern in enumerate(cells.patterns):
        assert pattern in cells and pattern.tolist() in cells
        assert cells.index(pattern.astype(int)) == row
        u, b = cells.neuron_of(pattern)
        np.testing.assert_array_equal(pattern_of(X, u, b), pattern)
    absent = next(p for p in itertools.product((0, 1), repeat=5) if p not in cells)
    with pytest.raises(ValueError, match=r"not among the 22 patterns\. No open cell"):
        cells.index(absent)
    with pytest.raises(ValueError, match="see neuron_of_pattern"):
        sample_patterns(X, 5, random_state=0).neuron_of(absent)
    with pytest.raises(ValueError, match="read-only"):
        cells.patterns[0, 0] = True


# --------------------------------------------------------------------------------------- input
@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[np.nan, 1.0]], r"X must be finite; 1 of 2 values"),
        ([["a", "b"]], "X must be numeric"),
        (np.zeros((0, 2)), r"X must hold at least 1 points; got 0"),
        (np.zeros((2, 2, 2)), r"got shape \(2, 2, 2\)"),
        ([[1j]], "X must be real"),
        ([[1e200, 1.0]], "rescale the data"),
    ],
)
def test_bad_data(X, message):
    for call in (enumerate_patterns, iter_patterns, sample_patterns, pattern_bound):
        with pytest.raises(ValueError, match=message):
            call(X)


def test_bad_options():
    X = [[0.0, 1.0], [1.0, 0.0]]
    for call, message in (
        (lambda: enumerate_patterns(X, bias=0.5), r"bias must be one of True, False; got 0\.5"),
        (lambda: enumerate_patterns(X, limit=0), r"limit must be an integer >= 1; got 0\."),
        (lambda: sample_patterns(X, 2.5), r"n_directions must be an integer >= 1; got 2\.5\."),
        (lambda: count_patterns(3, -1), r"rank must be an integer >= 0; got -1\."),
        (lambda: neuron_of_pattern(X, [True]), r"pattern must have shape \(2,\)"),
        (lambda: neuron_of_pattern(X, [1, -1]), r"pattern must .* be boolean"),
        (lambda: pattern_of(X, [1.0, 2.0, 3.0]), r"u must have shape \(2,\) or \(m, 2\).*\(3,\)"),
        (lambda: pattern_of(X, np.eye(2), [1.0, 2.0, 3.0]), r"b be a number or .*\(m,\).*\(3,\)"),
        (lambda: enumerate_patterns([[1e15, 0.0], [1e15 + 1.0, 0.0]]), "Centre the data"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


# ------------------------------------------------------------------------------------- display
def color_of(display, count):
    bar = display.colorbar_
    return matplotlib.colors.to_rgba(bar.cmap(bar.norm(count)))


def test_display_with_bias(no_side_effects):
    X = np.random.default_rng(3).normal([4.0, -2.0], 1.0, (6, 2))
    display = ArrangementDisplay.from_data(X)
    assert display.ax_.get_title() == "32 patterns of 6 points"
    assert display.colorbar_.ax.get_ylabel() == "active points"
    assert display.figure_ is display.ax_.figure is display.data_ax_.figure
    assert len(display.cells_) == 7 and len(display.curves_) == 6
    cells = display.arrangement
    mean = X.mean(axis=0)
    # each neuron lies in the band whose colour says how many points it is active on
    for u, b, active in zip(cells.u, cells.b, cells.n_active, strict=True):
        place = (np.degrees(np.arctan2(u[1], u[0])) % 360.0, -b - u @ mean)
        bands = (band.get_paths()[0] for band in display.cells_)
        inside = [k for k, band in enumerate(bands) if band.contains_point(place)]
        if 0 < active < 6:  # the outer bands end at the frame
            assert inside == [6 - active]
    for k, band in enumerate(display.cells_):
        assert tuple(band.get_facecolor()[0]) == color_of(display, 6 - k)
    for curve, point in zip(display.curves_, X, strict=True):
        theta, value = curve.get_data()
        angle = np.radians(theta)
        expected = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ (point - mean)
        np.testing.assert_allclose(value, expected, atol=1e-12)
    np.testing.assert_array_equal(np.column_stack(display.points_.get_data()), X)
    assert len(display.shown) == len(display.lines_) == len(display.marks_) == 4
    for row, line, mark in zip(display.shown, display.lines_, display.marks_, strict=True):
        ends = np.column_stack(line.get_data())
        np.testing.assert_allclose(ends @ cells.u[row] + cells.b[row], 0.0, atol=1e-9)
        assert line.get_color() == mark.get_color()
    active = cells.n_active[display.shown]
    assert len(set(active.tolist())) == 4 and active.min() > 0 and active.max() < 6
    display.figure_.canvas.draw()


def test_display_without_bias(no_side_effects):
    X = np.array([[1.0, 0.0], [0.5, 1.0], [-1.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    display = ArrangementDisplay.from_data(X, bias=False, n_neurons=2)
    assert len(display.cells_) == len(display.arrangement) == 6  # three different lines
    total = 0.0
    for wedge in display.cells_:
        angle = np.radians(0.5 * (wedge.theta1 + wedge.theta2))
        active = int(pattern_of(X, [np.cos(angle), np.sin(angle)]).sum())
        assert wedge.get_facecolor() == color_of(display, active)
        total += wedge.theta2 - wedge.theta1
    assert total == pytest.approx(360.0)
    for curve, point in zip(display.curves_, X, strict=True):
        np.testing.assert_allclose(np.column_stack(curve.get_data()) @ point, 0.0, atol=1e-12)
    for row, line in zip(display.shown, display.lines_, strict=True):
        ends = np.column_stack(line.get_data())
        np.testing.assert_allclose(ends @ display.arrangement.u[row], 0.0, atol=1e-9)
    assert len(display.lines_) == 2
    display.figure_.canvas.draw()


@both_biases
def test_display_of_degenerate_data_on_given_axes(bias, no_side_effects):
    for X in ([[0.0, 0.0]], [[1.0, 2.0]] * 3, [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]):
        ax = Figure().subplots()
        display = ArrangementDisplay.from_data(X, bias=bias, ax=ax)
        assert display.ax_ is ax and display.figure_ is ax.figure
        assert display.data_ax_ is None and display.points_ is None and display.lines_ == []
        display.figure_.savefig(io.BytesIO(), format="png")
    assert not plt.get_fignums()


def test_display_refuses():
    for X, options, message in (
        ([1.0, 2.0, 3.0], {}, r"X must have shape \(n, 2\) to be drawn in the plane; got \(3, 1\)"),
        (np.eye(2), {"n_neurons": 7}, r"n_neurons must be at most 6"),
        (np.eye(2), {"ax": Figure().subplots(), "cmap": "no such"}, r"cmap must be the name"),
    ):
        with pytest.raises(ValueError, match=message):
            ArrangementDisplay.from_data(X, **options)
