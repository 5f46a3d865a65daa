"""Displays: what they draw, checked on the artists and against slow formulas."""

import numpy as np
import pytest
from conftest import legend
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from oracles import sigma, slope
from scipy import stats
from sklearn.exceptions import NotFittedError

from convexscore import (
    ConvexScore,
    NotIntegrableError,
    PiecewiseLinearScore,
    TwoLayerNetwork,
    fit_convex_score,
    regularization_path,
)
from convexscore.plotting import (
    CertificateDisplay,
    DensityDisplay,
    PathDisplay,
    SampleDisplay,
    ScoreDisplay,
    certificate_curve,
)

pytestmark = pytest.mark.usefixtures("no_side_effects")


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(3)
    return np.round(np.concatenate([rng.normal(-2, 0.5, 40), rng.normal(1, 1, 50)]), 1)


@pytest.fixture(scope="module")
def fit(x):
    return fit_convex_score(x, beta=12.0)


# ------------------------------------------------------------------------------------- score
def test_score_line_kinks_and_rug(fit, x, ax):
    display = ScoreDisplay.from_estimator(fit, x, ax=ax)
    assert display.ax_ is ax and display.figure_ is ax.figure
    grid, values = display.line_.get_data()
    np.testing.assert_array_equal(values, fit.score_function(grid))
    assert grid[0] < x.min() and grid[-1] > x.max()
    np.testing.assert_array_equal(display.kinks_.get_xdata(), fit.piecewise_.knots)
    assert set(fit.piecewise_.knots) <= set(grid)  # corners are drawn sharp
    np.testing.assert_array_equal(display.rug_.get_xdata(), x)
    assert display.zero_line_.get_ydata() == [0.0, 0.0]
    n_kinks = fit.piecewise_.knots.size
    assert legend(ax) == ["score s(x)", f"{n_kinks} kinks", "data"]


def test_score_options(fit, x, ax):
    display = ScoreDisplay.from_estimator(
        fit, x, grid=[2, 0, 1], ax=ax, name="mine", rug=False, color="tab:green"
    )
    assert display.line_.get_xdata().tolist() == [0, 1, 2]
    assert display.line_.get_color() == "tab:green" and display.line_.get_label() == "mine"
    assert display.rug_ is None


def test_score_of_a_line_a_network_and_without_axes():
    network = TwoLayerNetwork([], [], [], skip=[[-1.0]], offset=0.0)
    display = ScoreDisplay.from_estimator(network)
    assert plt.get_fignums() == [display.figure_.number]
    assert display.kinks_.get_xdata().size == 0
    assert display.line_.get_xdata()[0] < -2.8  # covers the law, not the arbitrary knot
    assert display.kinks_.get_label() == "0 kinks"


def test_large_data_get_a_thinned_rug_with_the_same_range(ax):
    x = np.random.default_rng(0).normal(size=30_000)
    score = PiecewiseLinearScore([0.0], [0.0], -1.0, -1.0)
    rug = ScoreDisplay.from_estimator(score, x, ax=ax).rug_.get_xdata()
    assert rug.size == 2_000 and (rug.min(), rug.max()) == (x.min(), x.max())


RISING = PiecewiseLinearScore([0.0, 1.0], [1.0, -1.0], -1.0, 0.5)  # of no density
FALLING = PiecewiseLinearScore([0.0], [0.0], -1, -1)


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: ScoreDisplay.from_estimator("score"), TypeError, "fit must be a fitted.*got str"),
        (lambda: ScoreDisplay.from_estimator(ConvexScore()), NotFittedError, "not fitted"),
        (lambda: ScoreDisplay.from_estimator(FALLING, [np.nan, 1.0]), ValueError, "X"),
        (lambda: ScoreDisplay.from_estimator(FALLING, grid=[1.0, 1.0]), ValueError,
         "grid must hold at least 2 distinct.*got 1"),
        (lambda: DensityDisplay.from_estimator(FALLING, sample_weight=[1.0]), ValueError,
         "sample_weight was given without X"),
        (lambda: DensityDisplay.from_estimator(RISING, [0.0, 1.0]), NotIntegrableError,
         "right tail: slope"),
        (lambda: SampleDisplay.from_estimator(RISING, [0.0, 1.0]), NotIntegrableError,
         "right tail: slope"),
        (lambda: PathDisplay.from_estimator(FALLING), ValueError, "beta_selection_ is None"),
        (lambda: PathDisplay(), ValueError, "got neither"),
        (lambda: CertificateDisplay.from_estimator(ConvexScore(), [0.0, 1.0]), NotFittedError,
         "not fitted"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_no_figure(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
    assert plt.get_fignums() == []


# ----------------------------------------------------------------------------------- density
def test_density_line_and_histogram(fit, x, ax):
    display = DensityDisplay.from_estimator(fit, x, bins=15, ax=ax)
    grid, values = display.line_.get_data()
    np.testing.assert_array_equal(values, fit.density(grid))
    heights = [bar.get_height() for bar in display.bars_]
    np.testing.assert_allclose(heights, np.histogram(x, bins=15, density=True)[0])
    assert np.dot(heights, np.diff(display.edges_)) == pytest.approx(1.0)
    assert sorted(legend(ax)) == ["data", "fitted density"]


def test_weighted_histogram_is_that_of_repeated_data(fit, x, ax):
    weight = np.arange(x.size) % 3 + 1
    display = DensityDisplay.from_estimator(fit, x, sample_weight=weight, bins=9, ax=ax)
    repeated = np.histogram(np.repeat(x, weight), bins=9, density=True)[0]
    np.testing.assert_allclose(display.heights_, repeated)
    automatic = DensityDisplay.from_estimator(fit, x, sample_weight=weight, ax=ax)
    assert automatic.heights_.size == 10  # ceil(sqrt(90))


def test_density_of_a_denoising_fit_shows_the_noisy_data(x, ax):
    fit = fit_convex_score(x, objective="denoising", noise=0.5, beta=20.0, random_state=0)
    display = DensityDisplay.from_estimator(fit, ax=ax)
    np.testing.assert_array_equal(display.X, fit.noisy_points_)
    assert "noisy data" in legend(ax)


# ----------------------------------------------------------------------------------- samples
def test_samples_against_their_law_and_a_wrong_one(fit, ax):
    samples = fit.sample(2_000, random_state=1)
    display = SampleDisplay.from_estimator(fit, samples, bins=40, ax=ax, name="exact draws")
    reference = stats.kstest(samples, fit.cdf)
    assert display.ks_distance == pytest.approx(reference.statistic, abs=1e-12)
    assert reference.pvalue > 0.01
    np.testing.assert_array_equal(display.line_.get_ydata(), fit.density(display.grid))
    assert sorted(legend(ax)) == ["2000 exact draws", "exact density"]
    wrong = SampleDisplay.from_estimator(fit, 1.2 * samples, ax=ax)
    assert stats.kstest(1.2 * samples, fit.cdf).pvalue < 1e-3
    assert wrong.ks_distance > 2.5 * display.ks_distance


# -------------------------------------------------------------------------------- certificate
def slow_curve(x, weight, residual, divergence, activation, kinks):
    """Largest |G| at each kink: every orientation, ties on either side, point by point."""
    out = []
    for t in kinks:
        gains = [
            weight @ (residual * sigma(activation, z) + divergence * u * slope(activation, z, tie))
            for u, z in ((-1.0, t - x), (1.0, x - t))
            for tie in (0.0, 1.0)
        ]
        out.append(np.abs(gains).max())
    return np.array(out)


@pytest.mark.parametrize("objective", ["score_matching", "denoising"])
@pytest.mark.parametrize("activation", ["relu", "abs"])
@pytest.mark.parametrize("skip", [True, False])
def test_curve_against_the_definition(x, objective, activation, skip, ax):
    denoise = objective == "denoising"
    weight = 1.0 + np.arange(x.size) % 2
    fit = ConvexScore(
        objective=objective,
        activation=activation,
        skip=skip,
        beta=22.0,
        noise=0.4 if denoise else None,
        n_draws=2 if denoise else None,
        random_state=0,
    ).fit(x, sample_weight=weight)
    display = CertificateDisplay.from_estimator(fit, x, sample_weight=weight, ax=ax)
    points = fit.noisy_points_ if denoise else x
    m = np.tile(weight, 2) if denoise else weight
    target = fit.noise_labels_ if denoise else 0.0
    residual = fit.score_function(points) - target
    t, height = display.line_.get_data()
    np.testing.assert_array_equal(t, np.unique(points))
    slow = slow_curve(points, m, residual, float(not denoise), activation, t)
    np.testing.assert_allclose(height, slow, atol=1e-8 * 22.0)

    # the bound, and the kinks touching it: the picture of the certificate
    assert display.bound_.get_ydata() == [22.0, 22.0]
    assert display.max_violation == pytest.approx(fit.certificate_.max_violation, abs=1e-9)
    assert display.max_violation < 1e-8
    assert display.kinks_.get_xdata().size == fit.network_.breakpoints().size > 0
    np.testing.assert_allclose(display.kinks_.get_ydata(), 22.0, rtol=1e-7)

    # nothing hides between the data values
    between = np.random.default_rng(1).uniform(t[0], t[-1], 50)
    slow = slow_curve(points, m, residual, float(not denoise), activation, between)
    assert (slow <= np.interp(between, t, height) + 1e-8).all()


@pytest.mark.parametrize("constraint", ["log-concave", "density"])
def test_constrained_fit_stays_under_its_bound(constraint, ax):
    # heavy tails: the free optimum bends up at the ends, so the constraint is active
    x = stats.t(1.5).ppf((np.arange(150) + 0.5) / 150)
    free = fit_convex_score(x, beta=4.0)
    fit = fit_convex_score(x, beta=4.0, constraint=constraint)
    assert fit.certificate_.objective > free.certificate_.objective + 1e-6
    display = CertificateDisplay.from_estimator(fit, x, ax=ax)
    assert abs(display.max_violation) < 1e-7
    unaware = certificate_curve(fit.network_, x, beta=4.0)
    assert unaware.G_abs.max() > 4.0 * (1 + 1e-4)


def test_badly_trained_network_pierces_the_bound(x, fit, ax):
    bad = TwoLayerNetwork(
        [1.0, 1.0, -1.0], [-0.5, 0.2, 0.1], [0.5, 100.0, -100.0], skip=[[-0.3]], offset=0.0
    )
    display = CertificateDisplay.from_network(bad, x, beta=12.0, ax=ax, name="bad", color="k")
    assert display.max_violation > 0.2
    assert display.kinks_.get_xdata().tolist() == [-0.5]  # the other two see no change of slope
    assert display.kinks_.get_label() == "1 kink"
    assert legend(ax) == ["β = 12", "bad", "1 kink"]
    bottom, top = ax.get_ylim()
    assert bottom < 0.0 and top > 1.2 * display.curve.G_abs.max()
    good = CertificateDisplay.from_estimator(fit, x, ax=ax)
    assert good.max_violation < 1e-9
    assert ax.get_ylim()[1] == pytest.approx(top)  # the taller curve keeps its room


def test_certificate_arguments(x, fit):
    with pytest.raises(ValueError, match="X must be the data of the fit; got None"):
        CertificateDisplay.from_estimator(fit)
    with pytest.raises(ValueError, match="network must be a TwoLayerNetwork"):
        certificate_curve(fit, x, beta=1.0)
    with pytest.raises(ValueError, match="beta"):
        certificate_curve(fit.network_, x, beta=-1.0)
    with pytest.raises(ValueError, match="labels must be given"):
        certificate_curve(fit.network_, x, beta=5.0, objective="denoising")
    assert plt.get_fignums() == []


# --------------------------------------------------------------------------------------- path
@pytest.fixture(scope="module")
def path(x):
    return regularization_path(x, n_betas=8, X_held_out=x[::3] + 0.05)


def test_path_kinks_and_loss(path):
    display = PathDisplay.from_path(path)
    kinks_ax, loss_ax = display.axes_
    assert display.ax_ is kinks_ax and display.figure_ is kinks_ax.figure
    beta, where = display.kinks_.get_data()
    assert where.size == sum(k.size for k in path.kinks)
    for b, kinks in zip(path.betas, path.kinks, strict=True):
        np.testing.assert_array_equal(where[beta == b], kinks)
    np.testing.assert_array_equal(display.loss_.get_ydata(), path.held_out)
    assert loss_ax.get_ylabel() == "held-out loss per point"
    left, right = loss_ax.get_xlim()
    assert left > path.betas[0] > path.betas[-1] > right and loss_ax.get_xscale() == "log"
    assert display.chosen_ == ()


def test_path_without_held_out_data_shows_the_objective(x):
    path = regularization_path(x, n_betas=4)
    axes = Figure().subplots(2)
    display = PathDisplay.from_path(path, ax=axes, color="tab:purple")
    np.testing.assert_array_equal(display.loss_.get_ydata(), path.objective)
    assert display.loss_.get_color() == "tab:purple"
    alone = PathDisplay.from_path(path, ax=Figure().subplots())
    assert len(alone.axes_) == 1 and alone.loss_ is None
    assert alone.ax_.get_xlim()[0] >= path.betas[0]  # also where there are no kinks
    with pytest.raises(ValueError, match="ax must be one Axes or a pair of Axes; got 3"):
        PathDisplay.from_path(path, ax=Figure().subplots(3))


def test_cross_validation_curve(path):
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.normal(-2, 0.5, 100), rng.normal(1, 1, 100)])
    fit = fit_convex_score(x, cv=3, n_betas=12, one_standard_error=True, random_state=0)
    seen = fit.beta_selection_
    display = PathDisplay.from_estimator(fit, ax=Figure().subplots())
    beta, loss = display.loss_.get_data()
    finite = np.isfinite(seen.loss)
    np.testing.assert_array_equal(beta, seen.betas[finite])
    np.testing.assert_array_equal(loss, seen.loss[finite])
    (bars,) = display.error_bars_.lines[2]
    height = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    np.testing.assert_allclose(height, 2 * seen.standard_error[finite])
    (chosen,) = display.chosen_
    assert chosen.get_xdata() == [fit.beta_, fit.beta_]
    assert f"chosen β = {fit.beta_:.3g}" in legend(display.ax_)
    both = PathDisplay.from_path(path, selection=seen)
    assert len(both.chosen_) == 2 and both.error_bars_ is not None
