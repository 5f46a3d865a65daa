"""Figures 1 to 5 of the benchmarks: their numbers in quick form, and the parts they are made of."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import kstest

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import figure1, figure3, figure5, figure_look, figure_parts, harness  # noqa: E402
from benchmarks.spiral import spiral  # noqa: E402
from convexscore import certify, fit_convex_score, gaussian_regime, objectives, training  # noqa: E402
from convexscore.samplers import langevin  # noqa: E402
from convexscore.targets import GaussianMixture  # noqa: E402

NAMES = tuple(f"figure{k}" for k in range(1, 6))
CERTIFIED = "convex optimum (certified)"


@pytest.fixture(scope="module")
def reports():
    """Every figure once, small, as the command runs it."""
    found = {}
    for name in NAMES:
        module = import_module(f"benchmarks.{name}")
        with harness.single_thread():
            report = module.run(module.QUICK, 0)
        found[name] = report.completed(name, module.TITLE, module.QUICK, 0, True, 1.0)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_figure_meets_its_aims_and_writes_its_files(reports, name, tmp_path):
    report = reports[name]
    assert [str(check) for check in report.checks if check.verdict != "PASS"] == []
    assert report.checks and not any(check.timing for check in report.checks)
    assert any("Sizes" in note and "ours" in note for note in report.notes)
    figure = import_module(f"benchmarks.{name}").draw(report)
    harness.write(report, tmp_path, figure)
    assert (tmp_path / f"{name}.png").stat().st_size > 20_000
    read = json.loads((tmp_path / f"{name}.json").read_text())
    assert all(row["panel"] and row["name"] for row in read["data"])
    labels = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    dashed = [line for ax in figure.axes for line in ax.lines if line.get_label() == CERTIFIED]
    if name in ("figure2", "figure4", "figure5"):
        assert CERTIFIED in labels
        assert len(dashed) == {"figure2": 2, "figure4": 4, "figure5": 1}[name]
        assert {line.get_linestyle() for line in dashed} == {"--"}


@pytest.mark.parametrize("name", ["figure2", "figure4", "figure5"])
def test_no_curve_crosses_the_dashed_line(reports, name):
    report = reports[name]
    for panel in {row["panel"] for row in report.data if row["name"] == "loss"}:
        (bound,) = (row["y"][0] for row in figure_parts.picked(report, panel, "optimum"))
        losses = [row["y"] for row in figure_parts.picked(report, panel, "loss")]
        assert min(map(min, losses)) >= bound - 1e-4 * abs(bound)  # five digits


# ---------------------------------------------------------------------- figure 1
def test_members_are_optimal_and_their_integral_is_the_log_density():
    x = figure1.skewed_data(50, 3)
    regime = gaussian_regime(x)
    beta = 0.5 * (regime.beta_1 + regime.n)
    for activation in figure1.ACTIVATIONS:
        for t in (0.0, 0.3, 1.0):
            network = figure1.member(regime, beta, activation, t)
            assert certify(network, x, beta=beta, reference="solve").optimal
        assert not certify(figure1.member(regime, beta, activation, 1.1), x, beta=beta).optimal
    score = figure1.member(regime, beta, "relu", 0.3).to_piecewise()
    grid = np.linspace(-9, 9, 37)
    difference = figure1.integral(score, grid, regime.mean) - score.log_density(grid)
    assert np.ptp(difference) < 1e-10
    assert figure1.tails(score) == "Gaussian / Gaussian"
    wild = figure1.member(regime, beta, "abs", 0.0).to_piecewise()
    assert figure1.tails(wild) == "grows / Gaussian" and not wild.is_integrable


@pytest.mark.parametrize("activation", figure1.ACTIVATIONS)
def test_the_library_chooses_the_middle_of_the_family(activation):
    x = figure1.skewed_data(50, 3)
    regime = gaussian_regime(x)
    beta = 0.5 * (regime.beta_1 + regime.n)
    fit = fit_convex_score(x, beta=beta, skip=False, activation=activation)
    middle = figure1.member(regime, beta, activation, 0.5)
    far = np.array([-20.0, 0.0, 20.0])
    assert np.allclose(fit.score_function(far), middle(far), rtol=1e-9)


# ---------------------------------------------------------------------- what figures 2 and 4 share
@pytest.fixture(scope="module")
def trained():
    x = np.random.default_rng([7, 1]).normal(size=80)
    problem = objectives.score_matching(x)
    runs = training.train(
        problem, beta=10.0, skip=False, width=10, optimizer=training.SGD(lr=[1e4, 0.05]),
        n_restarts=2, n_epochs=100, record=10, snapshots=10, random_state=0,
    )  # fmt: skip
    return x, runs


def test_best_stop_is_the_lowest_record_and_its_network(trained):
    x, runs = trained
    network, epoch = figure_parts.best_stop(runs, 0.05)
    mine = runs.path_losses[2:]
    assert mine.min() == mine[:, list(runs.epochs).index(epoch)].min()
    value = certify(network, x, beta=10.0).objective
    assert value == pytest.approx(mine.min(), rel=1e-9)
    last = figure_parts.last_of_rate(runs, 0.05)
    assert certify(last, x, beta=10.0).objective == pytest.approx(mine[:, -1].min(), rel=1e-9)
    assert figure_parts.last_of_rate(runs, 1e4) is None  # all diverged


def test_rows_count_divergence_and_gaps(trained):
    x, runs = trained
    certificate = fit_convex_score(x, beta=10.0, skip=False).certificate_
    large, small = figure_parts.rate_rows("p", runs, certificate)
    assert (large["diverged"], small["diverged"]) == (2, 0) and large["within 1 %"] == "0 of 2"
    assert np.isnan(large["final gap (best)"])
    assert small["final gap (best)"] == pytest.approx(runs.gaps(certificate)[2:, -1].min())
    order = [small[k] for k in ("lowest gap on the way", "final gap (best)", "final gap (median)")]
    assert order == sorted(order)
    assert figure_parts.bound_check(small["lowest gap on the way"]).verdict == "PASS"
    # a bound that is no bound is found out
    wrong = runs.gaps(float(runs.path_losses[2:].min()) + 1.0)
    assert figure_parts.bound_check(float(wrong.min())).verdict == "FAIL"


def test_scores_without_density_get_integrable_tails():
    x = figure1.skewed_data(60, 5)
    assert figure_parts.with_density(x, beta=30.0)[0].piecewise_.is_integrable
    for seed in range(20):
        x = np.random.default_rng([seed, 8]).normal(size=30)
        fit, proper = figure_parts.with_density(x, beta=3.0, activation="abs", skip=False)
        assert proper.piecewise_.is_integrable
        if fit is not proper:
            break
    assert not fit.piecewise_.is_integrable
    # a smaller set of scores: the optimum cannot be lower
    assert proper.certificate_.objective >= fit.certificate_.objective - 1e-9


def test_distances_and_histogram_against_slow_ones():
    x = np.random.default_rng(0).normal(0.3, 1.0, 500)
    edges = np.linspace(-2.0, 2.0, 9)
    found = figure_parts.distances(x, ndtr, edges)
    assert found["KS distance"] == pytest.approx(kstest(x, "norm").statistic)
    wide = np.array([-np.inf, *edges, np.inf])
    slow = sum(abs(np.mean((x >= a) & (x < b)) - (ndtr(b) - ndtr(a))) for a, b in pairwise(wide))
    assert found["TV of histogram"] == pytest.approx(0.5 * slow)
    row = figure_parts.histogram("p", "h", x, edges)
    inside = np.mean((x >= -2) & (x <= 2))
    assert np.sum(row["y"]) * 0.5 == pytest.approx(inside, rel=1e-4)
    assert row["outside"] == pytest.approx(1 - inside)
    assert figure_parts.distances(None, ndtr, edges) == {"KS distance": 1.0, "TV of histogram": 1.0}


def test_exploding_chains_are_told_and_drawn_as_text():
    samples, reason = figure_parts.samples_or_reason(
        lambda: langevin(lambda x: 50.0 * x, np.ones(3), step=1.0, n_steps=50, random_state=0)
    )
    assert samples is None and "at step" in reason
    row = figure_parts.histogram("p", "h", samples, np.linspace(0, 1, 3), reason)
    figure, axes = figure_look.panels(1, 1, 3.0, 2.0)
    figure_look.draw_histogram(axes[0, 0], row, color="k", label="x")
    assert "left every range" in axes[0, 0].texts[0].get_text() and not axes[0, 0].patches
    assert figure is axes[0, 0].figure


def test_window_knows_the_law_of_a_mixture():
    law = GaussianMixture([0.3, 0.7], [-1.0, 2.0], 0.5)
    window = figure_parts.Window(np.linspace(-4, 4, 9), law, lambda score: None)
    x = np.ravel(law.sample(20_000, random_state=np.random.default_rng(3)))
    assert kstest(x, window.cdf).statistic < figure_parts.chance(20_000)
    assert kstest(x + 0.1, window.cdf).statistic > figure_parts.chance(20_000)


def test_streams_of_data_and_noise_are_different_numbers():
    a, b = (figure_parts.stream(0, 5, what).normal(size=4) for what in (0, 10))
    assert not np.isclose(a, b).any()
    assert np.array_equal(a, figure_parts.stream(0, 5, 0).normal(size=4))


def test_colours_and_labels_of_learning_rates():
    rates = (1e-6, 1.0, 1e-2)
    colors = [figure_look.rate_color(rate, rates) for rate in (1.0, 1e-2, 1e-6)]
    assert tuple(colors) == figure_look.TRAINED
    assert [figure_parts.rate_label(r) for r in (1.0, 0.01, 1e-6)] == ["1", "0.01", "1e-6"]


# ---------------------------------------------------------------------- figures 3 and 5
def test_particles_settle_on_the_curve_and_the_start_does_not(reports):
    rows = {row["particles"]: row for row in reports["figure3"].tables["Particles"]}
    assert rows["true points of the curve"]["distance to the curve (rms)"] < 0.01
    near = rows["annealed Langevin"]["distance to the curve (rms)"]
    assert near < 0.5 * rows["the start"]["distance to the curve (rms)"]
    fields = figure_parts.picked(reports["figure3"], "plane", "field")
    assert len(fields) == len(figure3.QUICK.shown)
    # far out the arrows point back to the middle
    for row in fields:
        at = np.column_stack([row["x"], row["y"]])
        value = np.column_stack([row["u"], row["v"]])
        corner = np.abs(at).min(axis=1) > 0.9 * np.abs(at).max()
        assert corner.sum() >= 4 and ((at * value).sum(axis=1)[corner] < 0).all()


def test_levels_of_the_plane_have_noise_of_their_own():
    x = spiral(figure3.QUICK.n_points)
    first, second = (figure3.solve_level(x, k, figure3.QUICK, 0) for k in (0, 1))
    copies = np.tile(x, (figure3.QUICK.n_draws, 1))
    delta = [(level.fit.noisy_points_ - copies) / level.noise for level in (first, second)]
    assert all(abs(d.std() - 1.0) < 0.15 for d in delta)
    assert abs(np.corrcoef(delta[0].ravel(), delta[1].ravel())[0, 1]) < 0.2


def test_learning_rate_one_counts_as_fine_only_if_it_is():
    def level(diverged, gaps):
        runs = SimpleNamespace(
            learning_rates=np.repeat([1.0, 1e-2, 1e-6], 2),
            diverged=np.array([*diverged, False, False, False, False]),
            gaps=lambda fit: np.array([[g] for g in (*gaps, 0.1, 0.1, 1.0, 1.0)]),
        )
        return SimpleNamespace(runs=runs, fit=None)

    good = level([False, False], [0.05, 0.05])
    assert figure5.unharmed([good, good]) == 2
    assert figure5.unharmed([good, level([True, False], [0.05, 0.05])]) == 1
    assert figure5.unharmed([good, level([True, False], [0.05, 0.3])]) == 0


def test_loss_of_figure_5_is_the_sum_over_the_levels(reports):
    report = reports["figure5"]
    rows = report.tables["Noise levels"]
    total = sum(row["noise"] ** 2 * row["convex objective"] for row in rows)
    (optimum,) = figure_parts.picked(report, "sum", "optimum")
    assert optimum["y"][0] == pytest.approx(total, rel=1e-4)
    table = {row["score"]: row for row in report.tables["Annealed Langevin"]}
    assert table["convex"]["KS distance"] < table["learning rate 1e-6"]["KS distance"]
    assert table["the truth"]["KS distance"] < figure_parts.chance(1000) + 0.03
