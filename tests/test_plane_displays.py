"""Displays of the plane: artists and numbers, the map against the definition of its ratio."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import legend
from matplotlib import pyplot as plt
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from oracles import ACTIVATIONS, sigma, slope
from sklearn.exceptions import NotFittedError

from convexscore import ConvexScore, TwoLayerNetwork, fit_convex_score
from convexscore.models.certificate_map import measure_along
from convexscore.plotting import (
    CertificateMapDisplay,
    LogDensityDisplay,
    VectorFieldDisplay,
    certificate_map,
)
from convexscore.solvers.oracles.base import NeuronSet

pytestmark = pytest.mark.usefixtures("no_side_effects")


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(3)
    first = rng.normal([-2.0, 0.0], [0.5, 1.0], (30, 2))
    return np.concatenate([first, rng.normal([2.0, 1.0], [0.8, 0.4], (40, 2))])


@pytest.fixture(scope="module")
def fit(X):
    return fit_convex_score(X, objective="denoising", noise=0.5, beta=4.0, random_state=1)


@pytest.fixture(scope="module")
def conservative(X):
    return fit_convex_score(
        X, objective="denoising", noise=0.5, beta=4.0, random_state=1, constraint="gradient"
    )


def gaussian(precision=((1.0, 0.0), (0.0, 1.0)), mean=(0.0, 0.0)):
    V = -np.array(precision)
    empty = np.zeros((0, 2))
    return TwoLayerNetwork(empty, empty, [], skip=V, offset=-V @ np.array(mean))


# ----------------------------------------------------------------------------- vector field
def test_arrows_point_along_the_score_and_colours_are_its_norms(fit, X, ax):
    display = VectorFieldDisplay.from_estimator(fit, X, ax=ax, n_arrows=15)
    assert display.ax_ is ax and display.figure_ is ax.figure and plt.get_fignums() == []
    arrows = display.arrows_
    at = np.column_stack([arrows.X, arrows.Y])
    np.testing.assert_array_equal(at, display.positions)
    score = fit.score_function(at)
    drawn = np.column_stack([arrows.U, arrows.V])
    norm, length = np.linalg.norm(score, axis=1), np.linalg.norm(drawn, axis=1)
    np.testing.assert_allclose(drawn / length[:, None], score / norm[:, None], atol=1e-12)
    np.testing.assert_allclose(arrows.get_array(), norm)
    # legible everywhere: lengths grow with the norm, by a factor of two at most
    assert (np.diff(length[np.argsort(norm)]) >= -1e-12).all()
    assert length.max() / length.min() < 2.0 < norm.max() / norm.min()
    # and none reaches into the next cell
    assert length.max() < np.diff(np.unique(at[:, 0])).min()
    assert ax.get_aspect() == 1.0 and ax.get_xlim()[0] < X[:, 0].min()
    np.testing.assert_array_equal(np.column_stack(display.points_.get_data()), X)
    assert display.colorbar_.ax.get_ylabel() == "‖s(x)‖"


def test_kink_lines_are_those_of_the_network(fit, X, ax):
    shown = {"limits": ((-3.0, 0.0), (-1.0, 1.0))}
    display = VectorFieldDisplay.from_estimator(fit, X, ax=ax, **shown)
    network = fit.network_.unit_norm()
    segments = np.array(display.kinks_.get_segments())
    values = np.einsum("kpd,jd->kpj", segments, network.u) + network.b
    nearest = np.abs(values).max(axis=1)
    # each segment lies on one line, the heaviest last and boldest
    assert (nearest.min(axis=1) < 1e-9).all()
    weight = np.linalg.norm(network.w, axis=1)[nearest.argmin(axis=1)]
    widths = display.kinks_.get_linewidths()
    assert (np.diff(weight) >= 0).all() and (np.diff(widths) >= 0).all()
    assert widths[-1] > widths[0]
    # those that a dense walk along each finds in the picture
    s = np.linspace(-20, 20, 8001)[:, None]
    low, high = display.frame
    inside = 0
    for u, b in zip(network.u, network.b, strict=True):
        line = -b * u + s * np.array([-u[1], u[0]])
        inside += bool(((line >= low) & (line <= high)).all(axis=1).any())
    assert inside == len(segments) > 3 and legend(ax) == [f"{inside} kink lines", "data"]
    assert inside < len(network.b)
    few = VectorFieldDisplay.from_estimator(fit, X, ax=Figure().subplots(), max_lines=3, **shown)
    assert len(few.kinks_.get_segments()) == 3
    assert few.kinks_.get_label() == f"3 heaviest of {inside} kink lines"
    np.testing.assert_allclose(few.kinks_.get_segments(), segments[-3:])
    none = VectorFieldDisplay.from_estimator(fit, X, ax=Figure().subplots(), max_lines=0)
    assert none.kinks_ is None
    assert not any(isinstance(item, LineCollection) for item in none.ax_.collections)


def test_noisy_points_of_a_denoising_fit_are_the_default(fit):
    display = VectorFieldDisplay.from_estimator(fit)
    assert plt.get_fignums() == [display.figure_.number]
    np.testing.assert_array_equal(display.X, fit.noisy_points_)
    assert legend(display.ax_)[1] == "noisy data"


def test_any_function_and_unequal_axes(ax):
    def turn(x):
        return np.column_stack([-0.01 * x[:, 1], 100 * x[:, 0]])

    limits = ((-1.0, 1.0), (-100.0, 300.0))
    display = VectorFieldDisplay.from_score(turn, limits=limits, ax=ax, n_arrows=8, color="red")
    assert ax.get_xlim() == limits[0] and ax.get_ylim() == limits[1]
    assert ax.get_aspect() == "auto" and len(display.positions) == 64
    assert display.kinks_ is None and display.points_ is None and ax.get_legend() is None
    # the drawn direction is that of the vector in the coordinates of the axes
    drawn = np.column_stack([display.arrows_.U, display.arrows_.V])
    cross = drawn[:, 0] * display.vectors[:, 1] - drawn[:, 1] * display.vectors[:, 0]
    np.testing.assert_allclose(cross, 0.0, atol=1e-9)
    on_paper = np.linalg.norm(drawn / [2.0, 400.0], axis=1)
    assert on_paper.max() <= 1.0 / 8 and on_paper.max() / on_paper.min() < 2.001
    still = VectorFieldDisplay.from_score(np.zeros_like, limits=limits, ax=Figure().subplots())
    assert not still.arrows_.U.any() and not still.arrows_.V.any()


def test_frames_without_data_cover_kinks_or_two_deviations(ax):
    wide = VectorFieldDisplay.from_estimator(gaussian([[4.0, 0.0], [0.0, 0.25]], [5.0, 1e4]), ax=ax)
    # deviations 0.5 and 2
    assert wide.frame.low[0] < 1.0 and wide.frame.high[0] > 9.0
    np.testing.assert_allclose(0.5 * (wide.frame.low + wide.frame.high), [5.0, 1e4])
    u = np.eye(2)
    corner = TwoLayerNetwork(u, -u, [-7.0, 3.0], offset=[0.0, 0.0])
    display = VectorFieldDisplay.from_estimator(corner, ax=Figure().subplots())
    frame = display.frame
    assert display.kinks_.get_label() == "2 kink lines"
    away = {"limits": ((0, 1), (0, 1)), "ax": Figure().subplots()}
    assert VectorFieldDisplay.from_estimator(corner, **away).kinks_ is None
    np.testing.assert_allclose(0.5 * (frame.low + frame.high), [7.0, -3.0])


LINE = TwoLayerNetwork([1.0], [1.0], [0.0], offset=0.0)
SQUARE = [[0.0, 0.0], [1.0, 2.0]]


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: VectorFieldDisplay.from_estimator(LINE), ValueError, "of two columns.*got 1"),
        (lambda: VectorFieldDisplay.from_estimator("fit"), TypeError, "fit must be.*got str"),
        (lambda: VectorFieldDisplay.from_estimator(ConvexScore()), NotFittedError, "not fitted"),
        (lambda: VectorFieldDisplay.from_estimator(gaussian(), [1.0, 2.0]), ValueError,
         r"shape \(n, 2\)"),
        (lambda: VectorFieldDisplay.from_score(np.negative), ValueError, "X or limits must"),
        (lambda: VectorFieldDisplay.from_score(np.negative, limits=((1, 0), (0, 1))), ValueError,
         "limits must be.*increasing"),
        (lambda: VectorFieldDisplay.from_score(lambda x: x[:, 0], SQUARE), ValueError,
         "score must return an array of shape"),
        (lambda: VectorFieldDisplay.from_score(lambda x: x + np.nan, SQUARE), ValueError,
         "score must be finite"),
        (lambda: LogDensityDisplay.from_estimator(gaussian(), levels=[0.0, -1.0]), ValueError,
         "levels must be"),
        (lambda: LogDensityDisplay.from_estimator(gaussian([[1.0, 1.0], [0.0, 1.0]])), ValueError,
         "no log-density.*constraint='gradient'"),
        (lambda: CertificateMapDisplay.from_estimator(gaussian(), SQUARE), TypeError,
         "from_network"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_before_drawing(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
    assert plt.get_fignums() == []


# ------------------------------------------------------------------------------ log-density
def test_contours_of_a_gaussian(ax):
    precision = np.array([[2.0, 0.5], [0.5, 1.0]])
    network = gaussian(precision, [1.0, -1.0])
    display = LogDensityDisplay.from_estimator(network, ax=ax, n_grid=201)
    x = np.stack(np.meshgrid(display.columns, display.rows), axis=-1) - [1.0, -1.0]
    exact = -0.5 * np.einsum("abi,ij,abj->ab", x, precision, x)
    np.testing.assert_allclose(display.values, exact - exact.max(), atol=1e-9)
    assert display.values.max() == 0.0
    np.testing.assert_allclose(display.contours_.levels, np.arange(-12.0, 1.0))
    # the band from -2 to -1 (bands start below the lowest level) has both ellipses as its rim
    level = 1 + list(display.contours_.levels).index(-2.0)
    ring = display.contours_.get_paths()[level].vertices - [1.0, -1.0]
    height = -0.5 * np.einsum("ni,ij,nj->n", ring, precision, ring)
    assert set(np.round(height, 2)) == {-2.0, -1.0}
    assert ax.get_aspect() == 1.0


def test_log_density_of_a_conservative_fit(conservative, X, ax):
    display = LogDensityDisplay.from_estimator(conservative, X, ax=ax, levels=6, n_grid=60)
    np.testing.assert_allclose(display.contours_.levels, np.linspace(-12, 0, 7))
    assert display.values.shape == (display.rows.size, display.columns.size)
    grid = np.stack(np.meshgrid(display.columns, display.rows), axis=-1)
    expected = conservative.network_.log_density(grid)
    np.testing.assert_allclose(display.values, expected - expected.max())
    np.testing.assert_array_equal(np.column_stack(display.points_.get_data()), X)
    assert display.contours_.extend == "min" and display.values.min() < -12
    assert "largest value" in display.colorbar_.ax.get_ylabel()
    own = LogDensityDisplay.from_estimator(
        conservative, ax=Figure().subplots(), levels=[-3.0, -1.0, 0.0], cmap="magma"
    )
    assert own.contours_.levels.tolist() == [-3.0, -1.0, 0.0]
    assert legend(own.ax_) == ["noisy data"] and own.contours_.get_cmap().name == "magma"


# -------------------------------------------------------------------------- certificate map
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("divergence", [0.0, 1.0])
@pytest.mark.parametrize("conservative, sign", [(False, 0), (True, 0), (True, -1)])
def test_partial_sums_against_the_definition(activation, divergence, conservative, sign):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(23, 2))
    points[5] = points[4]
    residual = rng.normal(size=(23, 2))
    residual -= residual.mean(axis=0)
    mass = rng.uniform(0.5, 2.0, 23)
    neurons = NeuronSet(points, mass, divergence, activation, conservative, sign)
    offsets = np.linspace(-4, 4, 41)
    for angle in rng.uniform(0, 2 * np.pi, 12):
        u = np.tile([np.cos(angle), np.sin(angle)], (41, 1))
        expected = neurons.evaluate(residual, u, -offsets)
        found = measure_along(neurons, residual, angle, offsets)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def slow_ratio(network, X, labels, weight, delta, skip, beta, angle, position):
    """||G|| / beta of one neuron sigma(u.x - position), from the data alone."""
    m = weight[:, None]
    n, d = X.shape
    centred = X - (weight @ X) / weight.sum()
    design = np.column_stack([np.ones(n), centred]) if skip else np.ones((n, 1))
    r = network(X) - labels
    moments = design.T @ (m * r)
    target = np.zeros_like(moments)
    if skip:
        target[1:] = -delta * weight.sum() * np.eye(d)
    r = r - design @ np.linalg.solve(design.T @ (m * design), moments - target)
    u = np.array([np.cos(angle), np.sin(angle)])
    z = X @ u - position
    value, slopes = sigma(network.activation, z), slope(network.activation, z, 1.0)
    return np.linalg.norm((m * r).T @ value + delta * (weight @ slopes) * u) / beta


@pytest.mark.parametrize("objective", ["score_matching", "denoising"])
@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("skip", [True, False])
def test_map_against_the_definition_far_from_zero(X, objective, activation, skip):
    rng = np.random.default_rng(2)
    shifted = 3.0 * X + [50.0, -20.0]
    weight = rng.uniform(0.5, 2.0, len(X))
    denoise = objective == "denoising"
    labels = rng.normal(size=X.shape) if denoise else None
    u = rng.normal(size=(4, 2))
    skipped = -np.eye(2) if skip else None
    rest = {"skip": skipped, "offset": [1.0, 2.0], "activation": activation}
    network = TwoLayerNetwork(u, rng.normal(size=(4, 2)), -u @ shifted[3], **rest)
    options = {"objective": objective, "labels": labels, "sample_weight": weight}
    seen = certificate_map(network, shifted, beta=7.0, n_angles=14, n_offsets=18, **options)
    np.testing.assert_allclose(seen.centre, weight @ shifted / weight.sum())
    whole = not skip and activation != "abs"
    assert seen.angles[-1] == pytest.approx(2 * np.pi if whole else np.pi)
    target = np.zeros_like(X) if labels is None else labels
    options = (network, shifted, target, weight, float(not denoise), skip, 7.0)
    for a, angle in enumerate(seen.angles):
        along = seen.centre @ [np.cos(angle), np.sin(angle)]
        slow = [slow_ratio(*options, angle, along + t) for t in seen.offsets]
        np.testing.assert_allclose(seen.ratio[a], slow, rtol=1e-7, atol=1e-8)
        if not whole:  # the lines turned around are worth the same: half the circle is enough
            back = [slow_ratio(*options, angle + np.pi, -along - t) for t in seen.offsets]
            np.testing.assert_allclose(back, slow, rtol=1e-7, atol=1e-8)
    # the network's own lines (all through a data point, where score matching jumps)
    direction = np.stack([np.cos(seen.neuron_angles), np.sin(seen.neuron_angles)], axis=1)
    level = (shifted[3] - seen.centre) @ direction.T
    np.testing.assert_allclose(seen.neuron_offsets, level, atol=1e-9)


CASES = [
    {"objective": "denoising", "noise": 0.5, "n_draws": 2},
    {"objective": "denoising", "noise": 0.5, "constraint": "gradient", "skip": False},
    {"objective": "denoising", "noise": 0.5, "constraint": "log-concave"},
    {"objective": "denoising", "noise": 0.5, "activation": "abs", "standardize": "whitening"},
    {"beta": 9.0},
    {"beta": 9.0, "constraint": "gradient", "standardize": "columns"},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_map_of_an_optimal_fit(X, options, ax):
    weight = 1.0 + np.arange(len(X)) % 2
    fit = ConvexScore(**({"beta": 5.0, "random_state": 3} | options)).fit(X, sample_weight=weight)
    display = CertificateMapDisplay.from_estimator(
        fit, X, sample_weight=weight, ax=ax, n_angles=121, n_offsets=91
    )
    seen = display.map
    # the supremum over all lines is in the fit's certificate; neurons in use touch the bound
    assert seen.largest <= 1.0 + fit.certificate_.max_violation + 1e-8
    assert seen.ratio.max() > 0.85 and display.max_violation == seen.largest - 1.0
    assert seen.neuron_ratio.size > 0
    np.testing.assert_allclose(seen.neuron_ratio, 1.0, atol=1e-2)
    assert display.bound_ is None  # nothing to mark above 1
    degrees, offsets = display.neurons_.get_data()
    np.testing.assert_allclose(degrees, np.degrees(seen.neuron_angles))
    np.testing.assert_allclose(offsets, seen.neuron_offsets)
    assert degrees.min() >= 0.0 and degrees.max() <= np.degrees(seen.angles[-1])
    assert np.abs(offsets).max() <= seen.offsets[-1]
    drawn = display.mesh_.get_array().reshape(91, 121)
    np.testing.assert_allclose(drawn, np.minimum(seen.ratio.T, 1.0))
    assert (display.mesh_.norm.vmin, display.mesh_.norm.vmax) == (0.0, 1.0)
    measure = {None: "‖G‖", "gradient": "|u·G|", "log-concave": "u·G"}[fit.constraint] + " / β"
    assert display.colorbar_.ax.get_ylabel().startswith(measure)
    standardised = "standardised coordinates" in ax.get_xlabel()
    assert standardised == (fit.standardize is not None)
    assert ax.get_title().startswith("largest")


def test_dots_lie_on_the_kink_lines_of_the_data_plane(fit, ax):
    seen = CertificateMapDisplay.from_estimator(fit, ax=ax, n_angles=5, n_offsets=5).map
    network = fit.network_.unit_norm()
    u = np.stack([np.cos(seen.neuron_angles), np.sin(seen.neuron_angles)], axis=1)
    # a point of each line, put into the network's own neurons
    feet = seen.centre + seen.neuron_offsets[:, None] * u
    np.testing.assert_allclose(np.einsum("kd,kd->k", feet, network.u), -network.b, atol=1e-9)


def test_what_is_missing_is_marked(fit, X, ax):
    own = fit.network_
    keep = slice(0, 2)
    worse = TwoLayerNetwork(
        own.u[keep], 0.5 * own.w[keep], own.b[keep], skip=own.skip, offset=own.offset
    )
    problem = {"beta": fit.beta_, "objective": "denoising", "labels": fit.noise_labels_}
    display = CertificateMapDisplay.from_network(worse, fit.noisy_points_, ax=ax, **problem)
    assert display.max_violation > 0.1
    assert display.bound_.levels.tolist() == [1.0] and len(display.bound_.get_paths()[0]) > 3
    norm = display.mesh_.norm
    assert norm(1.0) == 0.5 and norm.vmax == pytest.approx(1.0 + display.max_violation)
    assert display.neurons_.get_label() == "2 neurons"


def test_map_errors(fit, X):
    network = fit.network_
    cases = [
        ((TwoLayerNetwork([1.0], [1.0], [0.0], offset=0.0), X), {}, "dimension 2"),
        ((network, X[:, :1]), {}, "2 columns"),
        ((network, X), {"skip": False}, "has a skip connection"),  # as by certify, with labels too
        ((network, X), {"constraint": "gradient"}, "constraint='gradient'"),
        ((network, X), {"constraint": "log-concave"}, "constraint='log-concave'"),
        ((gaussian(), X), {"constraint": "density"}, "constraint='density'"),
        ((network, X), {"n_angles": 1}, "n_angles must be an integer >= 2"),
        ((network, X), {"beta": 0.0}, "beta must be"),
    ]
    for args, options, message in cases:
        with pytest.raises(ValueError, match=message):
            certificate_map(*args, **({"beta": 1.0} | options))
    matching = fit_convex_score(X, beta=12.0)
    with pytest.raises(ValueError, match="X must be the data of the fit"):
        CertificateMapDisplay.from_estimator(matching)
    assert plt.get_fignums() == []
