"""Regularisation paths, the held-out loss and the choice of beta."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from convexscore import PiecewiseLinearScore, fit_convex_score, regularization_path
from convexscore._exceptions import DataWarning, UnboundedObjectiveError
from convexscore.objectives import score_matching
from convexscore.selection import blur_width, held_out_loss
from convexscore.solvers.line_problem import prepare


def _mixture(n, seed):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < 0.4, rng.normal(-2, 0.6, n), rng.normal(1.5, 1.0, n))


def _mixture_score(x):
    a = 0.4 / 0.6 * np.exp(-0.5 * ((x + 2) / 0.6) ** 2)
    b = 0.6 * np.exp(-0.5 * (x - 1.5) ** 2)
    return (-(x + 2) / 0.36 * a - (x - 1.5) * b) / (a + b)


@pytest.mark.parametrize("activation", ["relu", "abs"])
@pytest.mark.parametrize("skip", [True, False])
def test_warm_path_equals_single_fits(activation, skip):
    x = _mixture(120, 0)
    held = _mixture(200, 1)
    path = regularization_path(x, activation=activation, skip=skip, n_betas=8, x_held_out=held)
    assert np.all(np.diff(path.betas) < 0)
    assert np.all(np.diff(path.objective) <= 1e-9 * np.abs(path.objective[:-1]))
    # the first optimum is Gaussian: only neurons at the extremes, if any
    assert path.n_kinks[0] == 0
    assert path.n_kinks[-1] > 2
    for k, beta in enumerate(path.betas):
        if beta < 2.6:
            continue
        single = fit_convex_score(x, activation=activation, skip=skip, beta=beta)
        assert single.certificate_.objective == pytest.approx(path.objective[k], rel=1e-9)
        assert path.certificates[k].relative_gap <= 1e-8
        s = path.scores[k](held)
        expected = np.mean(0.5 * s**2 + path.scores[k].derivative(held))
        assert path.held_out[k] == pytest.approx(expected)
    # the objective is concave in beta with slope sum |w| (Danskin), a check across solves
    slopes = np.diff(path.objective) / np.diff(path.betas)
    assert np.all(np.diff(slopes) >= -1e-9 * np.abs(slopes[:-1]))


def test_given_betas_are_sorted_and_checked():
    x = _mixture(50, 2)
    path = regularization_path(x, betas=[3.0, 30.0, 10.0])
    assert path.betas.tolist() == [30.0, 10.0, 3.0]
    with pytest.raises(ValueError, match="betas must be positive"):
        regularization_path(x, betas=[3.0, -1.0])
    with pytest.raises(UnboundedObjectiveError, match="not above the boundedness limit"):
        regularization_path(x, betas=[3.0, 0.5])


def test_blurred_loss_is_the_mean_over_the_interval():
    score = PiecewiseLinearScore([-1.0, 0.3, 1.2], [2.0, -0.5, 0.4], -1.0, -2.0)
    points, blur = np.array([-2.0, 0.1, 0.25, 1.3]), 0.4
    got = held_out_loss(score, points, blur=blur)
    for x, value in zip(points, got, strict=True):
        square = quad(lambda t: float(score(t)) ** 2, x - blur, x + blur, points=[-1.0, 0.3, 1.2])
        mean_square = square[0] / (2 * blur)
        slope = float(score(x + blur) - score(x - blur)) / (2 * blur)
        # Simpson is exact on straight pieces and close across a kink
        assert value == pytest.approx(0.5 * mean_square + slope, abs=2e-2)
    straight = held_out_loss(score, np.array([-2.0]), blur=blur)
    s = 2.0 - 1.0 * (-2.0 + 1.0)
    assert straight[0] == pytest.approx(0.5 * (s**2 + blur**2 / 3) - 1.0)
    assert np.allclose(
        held_out_loss(score, points, noise=0.5),
        0.5 * score(points) ** 2 + score.derivative(points) + 2.0,
    )


def test_stein_form_of_the_denoising_loss():
    """Mean of 1/2 s^2 + s' + 1/(2 eps^2) equals the mean of 1/2 (s - l)^2 over the noise."""
    rng = np.random.default_rng(0)
    score = PiecewiseLinearScore([-1.0, 1.0], [1.0, -1.0], -0.5, -0.5)
    x, noise = rng.normal(size=400_000), 0.7
    delta = rng.normal(size=x.size)
    noisy = x + noise * delta
    direct = 0.5 * (score(noisy) + delta / noise) ** 2
    stein = held_out_loss(score, noisy, noise=noise)
    error = np.std(direct - stein) / np.sqrt(x.size)
    assert abs(np.mean(direct) - np.mean(stein)) < 4 * error
    assert np.std(stein) < 0.8 * np.std(direct)  # and it is the quieter one
    wrong = np.mean(held_out_loss(score, noisy, noise=1.1 * noise))
    assert abs(np.mean(direct) - wrong) > 4 * error


def test_blur_width_scales_with_the_data():
    def width(x, weights=None):
        objective = score_matching(x, sample_weight=weights)
        return blur_width(prepare(objective), objective.effective_size)

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
        selection = fit.beta_selection_
        assert fit.beta_ == selection.beta == selection.beta_min
        assert selection.beta in selection.betas
        assert np.nanmin(selection.loss) == selection.loss[selection.betas == selection.beta][0]
        errors.append(np.mean((fit.score_function(fresh) - truth) ** 2) / np.mean(truth**2))
    assert np.median(errors) < 0.1
    gaussian = -(fresh - fresh.mean()) / fresh.var()
    assert np.mean((gaussian - truth) ** 2) / np.mean(truth**2) > 0.5  # negative control


def test_one_standard_error_rule_is_more_regular_and_seeds_reproduce():
    x = _mixture(400, 5)
    plain = fit_convex_score(x, random_state=3)
    again = fit_convex_score(x, random_state=3)
    cautious = fit_convex_score(x, random_state=3, one_standard_error=True)
    assert plain.beta_ == again.beta_
    assert cautious.beta_ >= plain.beta_
    selection = cautious.beta_selection_
    best = int(np.nanargmin(selection.loss))
    chosen = int(np.flatnonzero(selection.betas == cautious.beta_)[0])
    assert selection.loss[chosen] <= selection.loss[best] + selection.standard_error[best]


@pytest.mark.parametrize("labels", ["noisy", "smoothed"])
def test_cross_validation_of_denoising(labels):
    x = _mixture(300, 6)
    fit = fit_convex_score(
        x, objective="denoising", noise=0.5, n_draws=2, labels=labels, random_state=0
    )
    fresh = _mixture(20_000, 8) + 0.5 * np.random.default_rng(1).normal(size=20_000)
    a = 0.4 / np.sqrt(0.61) * np.exp(-0.5 * (fresh + 2) ** 2 / 0.61)
    b = 0.6 / np.sqrt(1.25) * np.exp(-0.5 * (fresh - 1.5) ** 2 / 1.25)
    truth = (-(fresh + 2) / 0.61 * a - (fresh - 1.5) / 1.25 * b) / (a + b)
    error = np.mean((fit.score_function(fresh) - truth) ** 2) / np.mean(truth**2)
    assert error < (0.2 if labels == "noisy" else 0.12)
    assert fit.certificate_.optimal


def test_too_few_points_for_folds_and_discrete_data():
    with pytest.raises(ValueError, match="beta='cv' with cv = 5 needs at least 10 samples; got 6"):
        fit_convex_score(np.arange(6.0))
    with pytest.raises(ValueError, match="cv must be an integer"):
        fit_convex_score(np.arange(60.0), cv=1)
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
