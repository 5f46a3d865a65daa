"""The demonstration: complete, true to its fit, reproducible."""

from functools import partial

import numpy as np
import pytest
from matplotlib import pyplot as plt
from scipy import stats

from convexscore import fit_convex_score, load
from convexscore._tools.tables import aligned
from convexscore.cli import demo
from convexscore.cli.demo import law_table, run_demo
from convexscore.cli.figures import demo_figure

pytestmark = pytest.mark.slow
NAME, X = demo.demo_column()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return run_demo(tmp_path_factory.mktemp("demo") / "new" / "folder", random_state=0)


def test_writes_what_it_lists(report):
    assert [f.name for f in report.files] == ["demo.png", "fit.npz", "samples.csv", "summary.txt"]
    for file in report.files:
        assert file.parents[1].name == "new" and file.stat().st_size > 200
        assert str(file) in report.summary
    assert report.files[0].read_bytes().startswith(b"\x89PNG")
    text = report.files[3].read_text(encoding="utf-8")
    assert report.summary.startswith(text)


def test_fit_is_certified_bimodal_and_saved(report):
    fit = report.fit
    assert fit.certificate_.optimal
    assert fit.certificate_.relative_gap < 1e-10 and fit.certificate_.max_violation < 1e-9
    assert fit.piecewise_.is_integrable
    grid = np.linspace(X.min(), X.max(), 2_000)
    s = fit.score_function(grid)
    assert np.count_nonzero((s[:-1] > 0) & (s[1:] <= 0)) >= 2  # modes
    np.testing.assert_array_equal(load(report.files[1]).score_function(grid), s)


def test_samples_follow_the_fitted_law(report):
    stored = np.loadtxt(report.files[2], skiprows=1)
    np.testing.assert_array_equal(stored, report.samples)
    assert stats.kstest(stored, report.fit.cdf).pvalue > 0.01
    # negative control: the same test sees a law that is 10 % wider (5 % is at its limit of detection
    # for 5000 chains)
    mean = report.fit.piecewise_.mean()
    assert stats.kstest(mean + 1.1 * (stored - mean), report.fit.cdf).pvalue < 1e-6


def test_summary_states_the_numbers(report):
    proof = report.fit.certificate_
    for text in (
        "178 wines",
        f"beta         {report.fit.beta_:.6g} (5-fold cross-validation",
        f"{proof.objective:.10g}",
        "certificate  optimal\n",
        f"{stats.kstest(X, report.fit.cdf).statistic:.4f}",
        f"{stats.kstest(report.samples, report.fit.cdf).statistic:.4f}",
        f"{report.fit.ppf(0.95):.4g}",
    ):
        assert text in report.summary
    assert max(map(len, report.summary.splitlines())) <= 100


def test_same_seed_same_result(report, tmp_path):
    again = run_demo(tmp_path, random_state=0)
    np.testing.assert_array_equal(again.samples, report.samples)
    assert again.fit.beta_ == report.fit.beta_


def test_figure_panels(report):
    figure = demo_figure(NAME, X, report.fit, report.samples)
    density, score, certificate, samples = figure.axes
    np.testing.assert_allclose(
        density.lines[0].get_ydata(), report.fit.density(density.lines[0].get_xdata())
    )
    assert len(density.patches) == 30 and len(samples.patches) == 60
    assert {line.get_label() for line in score.lines} >= {"s(x)", "data"}
    assert max(certificate.lines[2].get_ydata()) <= report.fit.beta_ * (1 + 1e-8)
    assert density.get_xlim() == score.get_xlim() == certificate.get_xlim() == samples.get_xlim()
    assert plt.get_fignums() == []  # no pyplot figure is left behind


def test_tables(report):
    assert aligned([("a", "1"), ("bc", "22")], numbers=True) == ["a    1", "bc  22"]
    lines = law_table(X, report.fit.piecewise_, report.samples)
    assert len(lines) == 8 and len({len(line) for line in lines}) == 1
    row = dict(zip(("data", "law", "chains"), map(float, lines[1].split()[1:]), strict=True))
    assert row["data"] == pytest.approx(X.mean(), rel=1e-3)
    assert row["law"] == pytest.approx(report.fit.piecewise_.mean(), rel=1e-3)
    assert row["chains"] == pytest.approx(report.samples.mean(), rel=1e-3)


def test_score_without_a_density_is_refitted_with_one(tmp_path, monkeypatch):
    # heavy tails and little penalty: the free optimum bends upwards at the ends
    column = stats.t(1.5).ppf((np.arange(150) + 0.5) / 150)
    assert not fit_convex_score(column, beta=4.0).piecewise_.is_integrable
    monkeypatch.setattr(demo, "demo_column", lambda: ("heavy", column))
    monkeypatch.setattr(demo, "fit_convex_score", partial(fit_convex_score, beta=4.0))
    report = run_demo(tmp_path)
    assert report.fit.constraint == "density" and report.fit.piecewise_.is_integrable
    assert "constraint density" in report.summary
