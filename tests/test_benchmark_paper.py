"""What the paper's figures are made of: families, distances, windows, rows of trained networks."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kstest

from benchmarks.paper import figure1, figure3, figure5, look, parts, training
from benchmarks.problems.spiral import spiral
from convexscore import certify, fit_convex_score, objectives
from convexscore.models import gaussian_regime
from convexscore.samplers import langevin
from convexscore.targets import GaussianMixture
from convexscore.training import SGD, train


# ---------------------------------------------------------------------- figure 1
@pytest.mark.parametrize("activation", figure1.ACTIVATIONS)
def test_members_are_optimal_and_the_library_chooses_the_middle(activation):
    x = figure1.skewed_data(50, 3)
    regime = gaussian_regime(x)
    beta = 0.5 * (regime.beta_1 + regime.n)
    for t in (0.0, 0.3, 1.0):
        network = figure1.member(regime, beta, activation, t)
        assert certify(network, x, beta=beta, reference="solve").optimal
    assert not certify(figure1.member(regime, beta, activation, 1.1), x, beta=beta).optimal
    fit = fit_convex_score(x, beta=beta, skip=False, activation=activation)
    far = np.array([-20.0, 0.0, 20.0])
    middle = figure1.member(regime, beta, activation, 0.5)
    assert np.allclose(fit.score_function(far), middle(far), rtol=1e-9)
    score = figure1.member(regime, beta, activation, {"relu": 0.3, "abs": 0.0}[activation])
    score = score.to_piecewise()
    if activation == "abs":
        assert figure1.tails(score) == "grows / Gaussian" and not score.is_integrable
    else:
        assert figure1.tails(score) == "Gaussian / Gaussian"
        grid = np.linspace(-9, 9, 37)
        difference = figure1.integral(score, grid, regime.mean) - score.log_density(grid)
        assert np.ptp(difference) < 1e-10


# ---------------------------------------------------------------------- figures 2 and 4
@pytest.fixture(scope="module")
def trained():
    x = np.random.default_rng([7, 1]).normal(size=80)
    runs = train(
        objectives.score_matching(x), beta=10.0, skip=False, width=10, n_restarts=2, n_epochs=100,
        optimizer=SGD(lr=[1e4, 0.05]), record=10, snapshots=10, random_state=0,
    )  # fmt: skip
    return x, runs


def test_best_stop_is_the_lowest_record_and_its_network(trained):
    x, runs = trained
    network, epoch = training.best_stop(runs, 0.05)
    mine = runs.path_losses[2:]
    assert mine.min() == mine[:, list(runs.epochs).index(epoch)].min()
    assert certify(network, x, beta=10.0).objective == pytest.approx(mine.min(), rel=1e-9)
    last = certify(training.last_of_rate(runs, 0.05), x, beta=10.0).objective
    assert last == pytest.approx(mine[:, -1].min(), rel=1e-9)
    assert training.last_of_rate(runs, 1e4) is None  # all diverged


def test_rows_count_divergence_and_gaps(trained):
    x, runs = trained
    certificate = fit_convex_score(x, beta=10.0, skip=False).certificate_
    large, small = training.rate_rows("p", runs, certificate)
    assert (large["diverged"], small["diverged"]) == (2, 0) and large["within 1 %"] == "0 of 2"
    assert np.isnan(large["final gap (best)"])
    assert small["final gap (best)"] == pytest.approx(runs.gaps(certificate)[2:, -1].min())
    order = [small[k] for k in ("lowest gap on the way", "final gap (best)", "final gap (median)")]
    assert order == sorted(order)
    assert parts.bound_check(small["lowest gap on the way"]).verdict == "PASS"
    # a bound that is no bound is found out
    wrong = runs.gaps(float(runs.path_losses[2:].min()) + 1.0)
    assert parts.bound_check(float(wrong.min())).verdict == "FAIL"


def test_scores_without_density_get_integrable_tails():
    x = figure1.skewed_data(60, 5)
    assert training.with_density(x, beta=30.0)[0].piecewise_.is_integrable
    for seed in range(20):
        x = np.random.default_rng([seed, 8]).normal(size=30)
        fit, proper = training.with_density(x, beta=3.0, activation="abs", skip=False)
        assert proper.piecewise_.is_integrable
        if fit is not proper:
            break
    assert not fit.piecewise_.is_integrable
    # a smaller set of scores: the optimum cannot be lower
    assert proper.certificate_.objective >= fit.certificate_.objective - 1e-9


def test_window_knows_the_law_of_a_mixture():
    law = GaussianMixture([0.3, 0.7], [-1.0, 2.0], 0.5)
    window = training.Window(np.linspace(-4, 4, 9), law, lambda score: None)
    x = np.ravel(law.sample(20_000, random_state=np.random.default_rng(3)))
    assert kstest(x, window.cdf).statistic < parts.chance(20_000)
    assert kstest(x + 0.1, window.cdf).statistic > parts.chance(20_000)


# ---------------------------------------------------------------------- samples
def test_distances_and_histogram_against_slow_ones():
    x, edges = np.random.default_rng(0).normal(0.3, 1.0, 500), np.linspace(-2.0, 2.0, 9)
    found = parts.distances(x, ndtr, edges)
    assert found["KS distance"] == pytest.approx(kstest(x, "norm").statistic)
    wide = np.array([-np.inf, *edges, np.inf])
    slow = sum(abs(np.mean((x >= a) & (x < b)) - (ndtr(b) - ndtr(a))) for a, b in pairwise(wide))
    assert found["TV of histogram"] == pytest.approx(0.5 * slow)
    row = parts.histogram("p", "h", x, edges)
    inside = np.mean((x >= -2) & (x <= 2))
    assert np.sum(row["y"]) * 0.5 == pytest.approx(inside, rel=1e-4)
    assert row["outside"] == pytest.approx(1 - inside)
    assert parts.distances(None, ndtr, edges) == {"KS distance": 1.0, "TV of histogram": 1.0}


def test_exploding_chains_are_told_and_drawn_as_text():
    samples, reason = parts.samples_or_reason(
        lambda: langevin(lambda x: 50.0 * x, np.ones(3), step=1.0, n_steps=50, random_state=0)
    )
    assert samples is None and "at step" in reason
    row = parts.histogram("p", "h", samples, np.linspace(0, 1, 3), reason)
    _, axes = look.panels(1, 1, 3.0, 2.0)
    look.draw_histogram(axes[0, 0], row, color="k", label="x")
    assert "left every range" in axes[0, 0].texts[0].get_text() and not axes[0, 0].patches


def test_streams_of_data_and_noise_are_different_numbers():
    a, b = (parts.stream(0, 5, what).normal(size=4) for what in (0, 10))
    assert not np.isclose(a, b).any()
    assert np.array_equal(a, parts.stream(0, 5, 0).normal(size=4))


def test_colours_and_labels_of_learning_rates():
    rates = (1e-6, 1.0, 1e-2)
    assert tuple(look.rate_color(rate, rates) for rate in (1.0, 1e-2, 1e-6)) == look.TRAINED
    assert [parts.rate_label(rate) for rate in (1.0, 0.01, 1e-6)] == ["1", "0.01", "1e-6"]


# ---------------------------------------------------------------------- figures 3 and 5
@pytest.mark.slow
def test_levels_of_the_plane_have_noise_of_their_own():
    x, settings = spiral(figure3.QUICK.n_points), figure3.QUICK
    levels = [figure3.solve_level(x, k, settings, 0) for k in (0, 1)]
    copies = np.tile(x, (settings.n_draws, 1))
    delta = [(level.fit.noisy_points_ - copies) / level.noise for level in levels]
    assert all(abs(d.std() - 1.0) < 0.15 for d in delta)
    assert abs(np.corrcoef(delta[0].ravel(), delta[1].ravel())[0, 1]) < 0.2


def test_arrows_that_lead_away_are_counted():
    at = np.array([[-1.0, -1.0], [1.0, 1.0], [0.0, 1.0]])
    row = {"name": "field", "x": at[:, 0], "y": at[:, 1], "u": -at[:, 0], "v": -at[:, 1]}
    assert figure3.outward(row) == 0
    assert figure3.outward({**row, "u": at[:, 0], "v": at[:, 1]}) == 2  # the corners


def test_learning_rate_one_counts_as_fine_only_if_it_is():
    def level(diverged, gaps):
        runs = SimpleNamespace(
            learning_rates=np.repeat([1.0, 1e-2, 1e-6], 2),
            diverged=np.array([*diverged, False, False, False, False]),
            gaps=lambda fit: np.array([[g] for g in (*gaps, 0.1, 0.1, 1.0, 1.0)]),
        )
        return SimpleNamespace(runs=runs, fit=None)

    good = level([False, False], [0.05, 0.05])
    for other, fine in (([False, False], [0.05, 0.05]), 2), (([True, False], [0.05, 0.05]), 1), (
        ([True, False], [0.05, 0.3]), 0):  # fmt: skip
        assert figure5.unharmed([good, level(*other)]) == fine


def test_loss_of_figure_5_is_the_sum_over_the_levels():
    settings = figure5.Settings(60, 2, 2.0, 8, 1, 5, 50, 5)
    report = figure5.run(settings, 0)
    rows = report.tables["Noise levels"]
    total = sum(row["noise"] ** 2 * row["convex objective"] for row in rows)
    (optimum,) = parts.picked(report, "sum", "optimum")
    assert optimum["y"][0] == pytest.approx(total, rel=1e-4)
    losses = [row["y"] for row in parts.picked(report, "sum", "loss")]
    assert min(map(min, losses)) >= optimum["y"][0] * (1 - 1e-4)  # five digits
