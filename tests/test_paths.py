"""Regularisation paths, the held-out loss and the choice of beta."""

from __future__ import annotations

import dataclasses
import io
import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from oracles import ACTIVATIONS
from scipy.integrate import quad

from convexscore import PiecewiseLinearScore, fit_convex_score, regularization_path
from convexscore._tools.exceptions import DataWarning, UnboundedObjectiveError
from convexscore.objectives import score_matching
from convexscore.objectives.options import make_case
from convexscore.objectives.standardization import Standardization
from convexscore.plotting import PathDisplay
from convexscore.scores.base import LineScore
from convexscore.selection.held_out import HeldOut
from convexscore.solvers.training_problem import training_problem


def _mixture(n, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.4, rng.normal(-2, 0.6, n), rng.normal(1.5, 1.0, n))


def _mixture_score(x):
    a = 0.4 / 0.6 * np.exp(-0.5 * ((x + 2) / 0.6) ** 2)
    b = 0.6 * np.exp(-0.5 * (x - 1.5) ** 2)
    return (-(x + 2) / 0.36 * a - (x - 1.5) * b) / (a + b)


def losses_of(score, points, width, noise=None):
    """Held-out losses of a score of one column."""
    if isinstance(score, PiecewiseLinearScore):
        score = LineScore(score)
    rows, to_z = np.reshape(points, (-1, 1)), Standardization.identity(1)
    return HeldOut(rows, None, width, noise, to_z, seed=0).losses(score)


@pytest.mark.parametrize("activation", ACTIVATIONS[:3])
@pytest.mark.parametrize("skip", [True, False])
def test_warm_path_equals_single_fits(activation, skip):
    x = _mixture(120, 0)
    held = _mixture(200, 1)
    path = regularization_path(x, activation=activation, skip=skip, n_betas=8, X_held_out=held)
    assert np.all(np.diff(path.betas) < 0)
    assert np.all(np.diff(path.objective) <= 1e-9 * np.abs(path.objective[:-1]))
    # the first optimum is Gaussian: only neurons at the extremes, if any
    low, high = x.min() + 1e-9, x.max() - 1e-9
    inner = [np.count_nonzero((kinks > low) & (kinks < high)) for kinks in path.kinks]
    assert inner[0] == 0 and inner[-1] > 2
    width = fit_convex_score(x, activation=activation, skip=skip, beta=50.0).width_
    for k, beta in enumerate(path.betas):
        if beta < 2.6:
            continue
        single = fit_convex_score(x, activation=activation, skip=skip, beta=beta)
        assert single.certificate_.objective == pytest.approx(path.objective[k], rel=1e-9)
        assert path.certificates[k].relative_gap <= 1e-8
        assert path.held_out[k] == pytest.approx(losses_of(single.score_, held, width).mean())
    # the objective is concave in beta with slope sum |w| (Danskin), a check across solves
    slopes = np.diff(path.objective) / np.diff(path.betas)
    assert np.all(np.diff(slopes) >= -1e-9 * np.abs(slopes[:-1]))


def test_given_betas_are_sorted_and_checked():
    x = _mixture(50, 2)
    path = regularization_path(x, betas=[3.0, 30.0, 10.0])
    assert path.betas.tolist() == [30.0, 10.0, 3.0]
    with pytest.raises(UnboundedObjectiveError, match="not above the boundedness limit"):
        regularization_path(x, betas=[3.0, 0.5])


def test_networks_of_one_column_and_more_arguments():
    x = _mixture(60, 2)
    path = regularization_path(x[:, None], betas=[30.0, 3.0], tol=1e-9)
    assert path.n_features == 1 and repr(path).endswith(f"0 to {path.n_neurons[-1]} neurons)")
    assert path.n_neurons.tolist() == [c.n_neurons for c in path.certificates]
    grid = np.linspace(-4.0, 4.0, 41)
    for network, score in zip(path.networks, path.scores, strict=True):
        assert network(grid) == pytest.approx(score(grid), abs=1e-9)
    # a weight of zero is no sample
    weights = np.r_[np.ones(60), np.zeros(2)]
    same = regularization_path(np.r_[x, 50.0, -80.0], betas=[30.0, 3.0], sample_weight=weights)
    assert same.objective == pytest.approx(path.objective)
    # one column is a gradient anyway, and equivariant
    same = regularization_path(x, betas=[30.0, 3.0], constraint="gradient")
    assert same.objective == pytest.approx(path.objective)


# ------------------------------------------------------------------------------- several columns


def _clusters(n=50, d=2, seed=0):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, d)) @ (np.eye(d) + 0.3 * np.ones((d, d)))
    points[: n // 2] += 2.5
    return points


PLANE = {
    "score matching": {},
    "abs, no skip": {"activation": "abs", "skip": False},
    "gradient": {"constraint": "gradient"},
    "denoising": {"objective": "denoising", "noise": 0.6, "n_draws": 2},
    "log-concave, whitened": {
        "objective": "denoising", "noise": 0.6, "constraint": "log-concave",
        "standardize": "whitening",
    },
    "scaled columns, weights": {"standardize": "columns", "sample_weight": 1.0 + np.arange(50) % 2},
}  # fmt: skip


@pytest.mark.parametrize("options", PLANE.values(), ids=PLANE)
def test_warm_path_of_the_plane_equals_single_fits(options):
    x, tol = _clusters(), 1e-5
    betas = np.geomspace(20.0, 6.0 if options.get("skip", True) else 12.0, 6)
    path = regularization_path(x, betas=betas, tol=tol, random_state=3, **options)
    assert path.betas.tolist() == sorted(betas, reverse=True) and path.n_features == 2
    assert path.held_out is None
    assert path.networks == path.scores
    assert repr(path).endswith(f"{path.n_neurons[-1]} neurons)")
    for k, beta in enumerate(path.betas):
        proof = path.certificates[k]
        assert proof.optimal and proof.exact and proof.beta == beta
        assert proof.objective == path.objective[k] and proof.n_neurons == path.n_neurons[k]
        if k % 2:
            continue
        single = fit_convex_score(x, beta=float(beta), tol=tol, random_state=3, **options)
        room = tol * max(1.0, abs(path.objective[k]))
        assert path.objective[k] == pytest.approx(single.certificate_.objective, abs=2 * room)
        # neither is below what the other proves to be impossible
        assert path.objective[k] >= single.certificate_.dual_objective - 1e-9
        assert single.certificate_.objective >= proof.dual_objective - 1e-9
    # P* increases with beta and is concave, with slope = path norm (Danskin): a check across solves
    gaps = np.array([c.gap for c in path.certificates])
    steps = -np.diff(path.betas)
    slopes = -np.diff(path.objective) / steps
    slack = (gaps[:-1] + gaps[1:]) / steps + 1e-9
    assert np.all(slopes >= -slack)
    assert np.all(np.diff(slopes) >= -(slack[:-1] + slack[1:]))
    assert slopes[-1] > slopes[0] + slack.sum()  # strictly, over the whole range


def test_default_path_of_the_plane_starts_without_neurons_and_ends_where_it_must():
    x = _clusters()
    with pytest.warns(DataWarning) as caught:
        path = regularization_path(x, n_betas=12, X_held_out=_clusters(40, seed=1), random_state=0)
    ends = [str(w.message) for w in caught if "the path ends" in str(w.message)]
    assert len(ends) == 1 and 3 < len(path.betas) < 12
    full = path.betas[0] * np.geomspace(1.0, 1e-2 / 1.02, 12)
    assert path.betas == pytest.approx(full[: len(path.betas)])
    last, next_one = path.betas[-1], full[len(path.betas)]
    assert f"ends at beta = {last:.4g}, after {len(path.betas)} of 12 values" in ends[0]
    assert f"beta = {next_one:.4g}, score matching is unbounded below" in ends[0]
    assert path.n_neurons[0] == 0 < path.n_neurons[1]  # the first is 2 % above the first neuron
    assert np.all(np.diff(path.objective) < 0)
    # without neurons: the Gaussian score, as in closed form
    gaussian = -(x - x.mean(axis=0)) @ np.linalg.inv(np.cov(x.T, ddof=0))
    assert path.scores[0](x) == pytest.approx(gaussian, abs=1e-7)
    assert path.objective[0] == pytest.approx(
        -0.5 * np.trace(np.linalg.inv(np.cov(x.T, ddof=0))) * 50
    )
    for arrays in (path.objective, path.n_neurons, path.held_out, path.certificates, path.scores):
        assert len(arrays) == len(path.betas)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # also says how close the limit is
        with pytest.raises(UnboundedObjectiveError, match="is too small"):
            regularization_path(x, betas=[20.0, 0.5])


def test_held_out_loss_of_a_denoising_path():
    """Against the plain loss on many fresh noisy copies."""
    x, held, noise = _clusters(), _clusters(60, seed=1), 0.6
    options = {"objective": "denoising", "noise": noise, "random_state": 0}
    path = regularization_path(x, betas=[30.0, 6.0, 1.5], X_held_out=held, **options)
    draws = np.random.default_rng(5).normal(size=(4000, *held.shape))
    noisy = held + noise * draws
    for score, loss in zip(path.scores, path.held_out, strict=True):
        direct = 0.5 * np.mean(np.sum((score(noisy) + draws / noise) ** 2, axis=-1))
        assert loss == pytest.approx(direct, abs=0.25)
    # common draws: the differences along the path are much more exact than the values
    error = np.mean(np.sum((path.scores[1](noisy) + draws / noise) ** 2, axis=-1)) / 2
    first = np.mean(np.sum((path.scores[0](noisy) + draws / noise) ** 2, axis=-1)) / 2
    assert path.held_out[1] - path.held_out[0] == pytest.approx(error - first, abs=0.05)
    again = regularization_path(x, betas=[30.0, 6.0, 1.5], X_held_out=held, **options)
    assert np.array_equal(again.held_out, path.held_out)
    alone = regularization_path(x, betas=[30.0, 6.0, 1.5], **options)
    assert np.array_equal(alone.objective, path.objective)


@pytest.mark.slow
def test_path_in_five_dimensions_by_local_search():
    x = _clusters(60, 5)
    options = dict(objective="denoising", noise=0.7, n_draws=1, n_starts=16, random_state=0)
    path = regularization_path(x, betas=[40.0, 10.0, 6.0, 4.0], X_held_out=x, **options)
    assert len(path.betas) == 4 and path.n_neurons[0] == 0 < path.n_neurons[-1]
    assert all(proof.converged and not proof.optimal for proof in path.certificates[1:])
    assert all(proof.n_tried > 0 for proof in path.certificates)
    assert path.scores[-1](x).shape == (60, 5)
    assert np.all(np.diff(path.objective) < 0)
    single = fit_convex_score(x, beta=float(path.betas[3]), **options)
    # two searches of 16 starts, each content where it finds nothing worth 1e-4: what both miss differs
    # from processor to processor by several times that
    assert path.objective[3] == pytest.approx(single.certificate_.objective, rel=2e-3)


# message: what is refused with the table of clusters
REFUSED = {
    "constraint='density' is for one column; got 2": {"constraint": "density"},
    "constraint='log-concave' with 2 columns needs an activation": {
        "constraint": "log-concave", "activation": "abs",
    },
    "X_held_out must have 2 columns, like X; got 3": {"X_held_out": np.ones((4, 3))},
    "n_starts must be an integer >= 1": {"n_starts": 0},
    "n_betas must be an integer >= 2; got 1": {"n_betas": 1},
    "tol must be finite and > 0": {"tol": 0.0},
}  # fmt: skip


@pytest.mark.parametrize("match", REFUSED)
def test_arguments_that_are_refused(match):
    with pytest.raises(ValueError, match=match):
        regularization_path(_clusters(), **REFUSED[match])


def test_a_weight_of_zero_is_no_row_of_the_plane():
    x, weights = _clusters(), np.r_[np.ones(50), 0.0]
    path = regularization_path(np.r_[x, [[1e3, -1e3]]], betas=[15.0], sample_weight=weights)
    assert path.objective == pytest.approx(regularization_path(x, betas=[15.0]).objective)


def test_display_of_a_path_of_several_columns():
    x = _clusters()
    options = {"objective": "denoising", "noise": 0.6, "random_state": 0}
    path = regularization_path(x, betas=[30.0, 10.0, 3.0, 1.0], X_held_out=x, **options)
    display = PathDisplay.from_path(path, ax=Figure().subplots(2))
    assert display.kinks_ is None
    np.testing.assert_array_equal(display.neurons_.get_xdata(), path.betas)
    np.testing.assert_array_equal(display.neurons_.get_ydata(), path.n_neurons)
    np.testing.assert_array_equal(display.loss_.get_ydata(), path.held_out)
    above, below = display.axes_
    assert above.get_ylabel() == "neurons" and above.get_ylim()[0] == 0.0
    assert below.get_xlim()[0] > 30.0 > 1.0 > below.get_xlim()[1]
    display.figure_.savefig(io.BytesIO())  # the tick labels of both scales
    alone = PathDisplay.from_path(path, ax=Figure().subplots())
    assert alone.loss_ is None and alone.neurons_ is not None
    # a loss that explodes does not flatten the rest
    wild = dataclasses.replace(path, held_out=np.array([-1.0, -2.0, -1.5, 1e6]))
    _, loss_ax = PathDisplay.from_path(wild, ax=Figure().subplots(2)).axes_
    low, high = loss_ax.get_ylim()
    assert low < -2.0 and -1.0 < high < 10.0


def test_blurred_loss_is_the_mean_over_the_interval():
    score, blur = PiecewiseLinearScore([-1.0, 0.3, 1.2], [2.0, -0.5, 0.4], -1.0, -2.0), 0.4
    points = np.array([-2.0, 0.1, 0.25, 1.3])
    for x, value in zip(points, losses_of(score, points, blur), strict=True):
        square = quad(lambda t: float(score(t)) ** 2, x - blur, x + blur, points=[-1.0, 0.3, 1.2])
        slope = float(score(x + blur) - score(x - blur)) / (2 * blur)
        # Simpson is exact on straight pieces and close across a kink
        room = 1e-12 if x == -2.0 else 2e-2
        assert value == pytest.approx(square[0] / (4 * blur) + slope, abs=room)


def test_stein_form_of_the_denoising_loss():
    """Mean of 1/2 s^2 + s' + 1/(2 eps^2) equals the mean of 1/2 (s - l)^2 over the noise."""
    rng = np.random.default_rng(0)
    score = PiecewiseLinearScore([-1.0, 1.0], [1.0, -1.0], -0.5, -0.5)
    x, noise = rng.normal(size=400_000), 0.7
    delta = rng.normal(size=x.size)
    direct = 0.5 * (score(x + noise * delta) + delta / noise) ** 2
    stein = losses_of(score, x, noise, noise)
    error = np.std(direct - stein) / np.sqrt(x.size)
    assert abs(np.mean(direct) - np.mean(stein)) < 4 * error
    assert np.std(stein) < 0.5 * np.std(direct)  # and it is the quieter one
    wrong = np.mean(losses_of(score, x, 1.1 * noise, 1.1 * noise))
    assert abs(np.mean(direct) - wrong) > 4 * error


@pytest.mark.parametrize("dim", [1, 2])
def test_denoising_loss_of_linear_scores_is_known(dim):
    """s = -A x: E 1/2 |s(x + eps g)|^2 + tr grad s + d / 2 eps^2, exactly for one column."""
    rng = np.random.default_rng(3)
    rows, noise, slope = rng.normal(size=(200 if dim == 1 else 40_000, dim)), 0.4, 1.5
    held = HeldOut(rows, np.ones(len(rows)), noise, noise, Standardization.identity(dim), seed=4)
    expected = 0.5 * slope**2 * ((rows**2).sum(axis=1) + dim * noise**2) - dim * slope
    expected += 0.5 * dim / noise**2
    got = held.losses(lambda x: -slope * x)
    if dim == 1:
        np.testing.assert_allclose(got, expected, rtol=1e-12)
    else:
        spread = 4.0 * np.std(got - expected) / np.sqrt(len(rows))
        assert abs(np.mean(got - expected)) < spread < 0.05


def test_blur_width_scales_with_the_data():
    def width(x, weights=None):
        return training_problem(score_matching(x, sample_weight=weights), make_case()).blur

    x = _mixture(300, 3)
    assert width(1e6 * x + 5e6) == pytest.approx(1e6 * width(x), rel=1e-9)
    narrow = np.r_[0.01 * np.random.default_rng(0).normal(size=150), x[:150]]
    assert width(narrow) < 0.1 * width(x)
    assert width(np.r_[np.zeros(60), np.arange(40.0)]) > 0.0
    # the rule of thumb on a large Gaussian sample: 0.45 sigma n^(-1/5)
    normal = np.random.default_rng(1).normal(size=20_000)
    assert width(3.0 * normal) == pytest.approx(0.45 * 3.0 * 20_000**-0.2, rel=0.05)
    # a common factor of all weights means nothing, weights pick out the part of the data they sit on
    assert width(x, np.full(300, 0.01)) == pytest.approx(width(x), rel=1e-9)
    left = np.where(narrow < 0.05, 1.0, 1e-9)
    assert width(narrow, left) < 0.1 * width(x)


def test_cross_validated_fit_is_close_to_the_truth():
    fresh = _mixture(20_000, 9)
    truth = _mixture_score(fresh)
    errors = []
    for seed in range(3):
        fit = fit_convex_score(_mixture(1000, seed), random_state=0)
        errors.append(np.mean((fit.score_function(fresh) - truth) ** 2) / np.mean(truth**2))
    assert np.median(errors) < 0.1
    gaussian = -(fresh - fresh.mean()) / fresh.var()
    assert np.mean((gaussian - truth) ** 2) / np.mean(truth**2) > 0.5  # negative control


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*flat or still falling")  # fine with smooth labels
@pytest.mark.parametrize("labels", ["noisy", "smoothed"])
def test_cross_validation_of_denoising(labels):
    options = dict(objective="denoising", noise=0.5, n_draws=2, labels=labels)
    fits = [fit_convex_score(_mixture(300, 6 + k), random_state=1 + k, **options) for k in range(4)]
    fresh = _mixture(20_000, 8) + 0.5 * np.random.default_rng(1).normal(size=20_000)
    a = 0.4 / np.sqrt(0.61) * np.exp(-0.5 * (fresh + 2) ** 2 / 0.61)
    b = 0.6 / np.sqrt(1.25) * np.exp(-0.5 * (fresh - 1.5) ** 2 / 1.25)
    truth = (-(fresh + 2) / 0.61 * a - (fresh - 1.5) / 1.25 * b) / (a + b)
    errors = [np.mean((fit.score_function(fresh) - truth) ** 2) / np.mean(truth**2) for fit in fits]
    assert np.mean(errors) < (0.15 if labels == "noisy" else 0.1)
    assert all(fit.certificate_.optimal for fit in fits)


def test_a_choice_at_the_end_of_the_grid_is_told():
    # alternating heavy and light values: the boundedness limit ends the grid before the minimum
    tied = np.repeat(np.arange(7.0), [20, 100, 5, 100, 5, 100, 20])
    with pytest.warns(DataWarning, match="still falling at the smallest beta"):
        fit_convex_score(tied, random_state=0)


@pytest.mark.parametrize("n_values", [2, 3, 7])
def test_discrete_data_get_a_sane_default(n_values):
    dice = np.random.default_rng(0).integers(0, n_values, size=200).astype(float)
    fit = fit_convex_score(dice, random_state=0)
    assert fit.certificate_.optimal
    assert np.abs(fit.divergence(np.linspace(0, n_values - 1, 101))).max() < 20 / dice.var()
