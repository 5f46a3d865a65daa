"""The benchmarks run, record what they claim to, and their numbers that are not times hold."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import NAMES, dsm_vs_lasso, harness, laws, load, score_peers  # noqa: E402
from benchmarks.__main__ import main  # noqa: E402
from convexscore.programs import denoising_matrices  # noqa: E402

SHAPE = {"checks", "data", "environment", "name", "notes", "quick", "seconds", "seed", "settings",
         "tables", "title"}  # fmt: skip


def run_quick(name: str, folder: Path) -> dict:
    """Run one benchmark as the command line does and read back what it wrote."""
    assert main([name, "--quick", "--out", str(folder)]) == 0
    return json.loads((folder / f"{name}.json").read_text())


def only_table(found: dict, title: str) -> list[dict]:
    return next(rows for key, rows in found["tables"].items() if key.startswith(title))


# ---------------------------------------------------------------------- every benchmark, small
@pytest.mark.parametrize("name", NAMES)
def test_benchmark_runs_and_its_numbers_hold(name, tmp_path, capsys):
    found = run_quick(name, tmp_path)
    assert set(found) == SHAPE
    assert found["name"] == name and found["quick"] and found["seed"] == 0
    assert {"processor", "cpus", "versions", "load_average", "date"} <= set(found["environment"])
    assert {"numpy", "scipy", "convexscore"} <= set(found["environment"]["versions"])
    assert found["tables"] and all(rows for rows in found["tables"].values())
    # numbers that are not times are judged even now; accuracy on one draw proves nothing
    judged = [check for check in found["checks"] if check["judged"]]
    assert all(not check["timing"] for check in judged)
    if name != "accuracy":
        assert [check for check in judged if check["verdict"] != "PASS"] == []
    text = (tmp_path / f"{name}.md").read_text()
    assert all(title in text for title in found["tables"])
    has_figure = load(name).__doc__ and name != "import_time"
    assert (tmp_path / f"{name}.png").exists() == bool(has_figure)
    assert "aims" in capsys.readouterr().out
    assert name in (tmp_path / "summary.md").read_text()
    EXTRA[name](found)


def check_import_time(found: dict) -> None:
    rows = {row["process"]: row for row in only_table(found, "Fresh")}
    assert len(rows) == 6
    assert rows["import numpy"]["ratio to import numpy"] == 1.0


def check_small_beta(found: dict) -> None:
    rows = only_table(found, "Small beta")
    assert len(rows) == 8
    assert all(row["relative gap (worst)"] <= 1e-8 for row in rows)
    betas = {(row["objective"], row["activation"], row["skip"]): row["beta"] for row in rows}
    # 1.2 times the limit 2 of the absolute value with skip connection; 2 everywhere else
    assert betas.pop(("score_matching", "abs", True)) == pytest.approx(2.4)
    assert set(betas.values()) == {2.0}


def check_univariate_scaling(found: dict) -> None:
    for row in only_table(found, "Time and memory"):
        assert row["violation (worst)"] <= 1e-9
        assert row["fit / cumsum"] == pytest.approx(row["fit seconds"] / row["cumsum seconds"])
        # the sorted copy alone is one array: a meter that reads less is broken
        assert 2.0 < row["memory (arrays, tracemalloc)"] <= 40.0
    assert only_table(found, "Default fit")[0]["relative gap"] <= 1e-8


def check_univariate_vs_conic(found: dict) -> None:
    rows = only_table(found, "ReLU with skip") + only_table(found, "The other cases")
    assert {(r["objective"], r["activation"], r["skip"]) for r in rows} == set(
        load("univariate_vs_conic").CASES
    )
    for row in rows:
        assert row["relative difference"] <= 1e-8
        assert row["our relative gap"] <= 1e-8
        assert row["ratio"] == pytest.approx(row["conic seconds"] / row["ours seconds"])


def check_dsm_vs_lasso(found: dict) -> None:
    for title in ("ReLU without skip", "ReLU with skip"):
        rows = {row["solver"]: row for row in only_table(found, title)}
        assert rows["convexscore"]["gap to the optimum"] <= 1e-10
        for name, row in rows.items():
            if name == "convexscore":
                continue
            assert row["reached"] and row["gap to the optimum"] <= 1e-6
            # the textbook gap from the matrix knows nothing of our code; ours may be tighter
            assert row["gap to the optimum"] <= row["own gap"] + 1e-12
            assert row["own gap"] <= 1.001 * row["dense lasso gap"] + 1e-11
    for peer in ("celer", "skglm"):
        if find_spec(peer) is None:
            assert any(note.startswith(f"{peer} left out") for note in found["notes"])
        else:
            assert peer in rows
    assert "scikit-learn" in rows


def check_accuracy(found: dict) -> None:
    rows = {row["law"]: row for row in found["data"]}
    assert set(rows) == {"mixture of 2", "Laplace"}
    methods = load("accuracy").METHODS
    assert all(0.0 < row[method] < 5.0 for row in rows.values() for method in methods)
    # a Gaussian's score misses half of the Laplace score in the limit: E(sgn x - x/2)^2 = 1/2
    assert rows["Laplace"]["fitted Gaussian"] == pytest.approx(0.5, abs=0.1)
    assert rows["Laplace"]["convexscore"] < rows["Laplace"]["KDE, cross-validated"]


EXTRA = {
    "import_time": check_import_time,
    "small_beta": check_small_beta,
    "univariate_scaling": check_univariate_scaling,
    "univariate_vs_conic": check_univariate_vs_conic,
    "dsm_vs_lasso": check_dsm_vs_lasso,
    "accuracy": check_accuracy,
}


# ---------------------------------------------------------------------- the harness
def test_measure_warms_up_and_reports_the_median():
    calls = []
    timing, result = harness.measure(lambda: calls.append(None) or len(calls), repeats=3, warmup=2)
    assert len(calls) == 5 and result == 5 and timing.repeats == 3
    assert timing.fastest <= timing.wall <= timing.slowest
    with pytest.raises(ValueError, match="repeats must be >= 1"):
        harness.measure(lambda: None, repeats=0)


def test_checks_judge_in_the_right_direction():
    assert harness.Check("a", 1.0, 2.0).verdict == "PASS"
    assert harness.Check("a", 3.0, 2.0).verdict == "FAIL"
    assert harness.Check("a", 3.0, 2.0, at_least=True).verdict == "PASS"
    assert harness.Check("a", 1.0, 2.0, at_least=True).verdict == "FAIL"
    assert harness.Check("a", float("nan"), 2.0).verdict == "FAIL"
    assert harness.Check("a", 3.0, 2.0, judged=False).verdict == "----"
    quick = harness.Report({}, [harness.Check("t", 9, 1, timing=True), harness.Check("v", 9, 1)])
    done = quick.completed("n", "t", load("small_beta").QUICK, 0, True, 1.0)
    assert [check.verdict for check in done.checks] == ["----", "FAIL"]
    full = quick.completed("n", "t", load("small_beta").FULL, 0, False, 1.0)
    assert [check.verdict for check in full.checks] == ["FAIL", "FAIL"]


def test_growth_exponent_and_table():
    sizes = np.array([10.0, 100.0, 1000.0])
    assert harness.growth_exponent(sizes, 3e-6 * sizes**1.5) == pytest.approx(1.5)
    table = harness.markdown_table([{"n": 10, "a|b": 0.12345}, {"n": 20, "ok": True}])
    assert table.splitlines()[0] == "| n | a|b | ok |"
    assert table.splitlines()[2:] == ["| 10 | 0.123 |  |", "| 20 |  | yes |"]


def test_thread_limit_is_undone(monkeypatch):
    import os

    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with harness.single_thread():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3" and "OPENBLAS_NUM_THREADS" not in os.environ


def test_unknown_names_and_strict(tmp_path, capsys, monkeypatch):
    with pytest.raises(SystemExit) as stopped:
        main(["no_such_benchmark", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "univariate_scaling" in capsys.readouterr().err
    with pytest.raises(ValueError, match="choose from"):
        load("harness")

    module = load("small_beta")
    bad = harness.Report({"t": [{"n": 1}]}, [harness.Check("too large", 2.0, 1.0)])
    monkeypatch.setattr(module, "run", lambda settings, seed: bad)
    monkeypatch.setattr(module, "draw", lambda report: None)
    command = ["small_beta", "--quick", "--out", str(tmp_path)]
    assert main(command) == 0 and main([*command, "--strict"]) == 1
    assert "1 missed" in capsys.readouterr().out


# ---------------------------------------------------------------------- what errors are measured by
@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.name)
def test_laws_are_consistent(law):
    x = law.sample(np.random.default_rng(0), 20_000)
    inside = np.quantile(x, [0.05, 0.3, 0.45, 0.6, 0.8, 0.95])
    step = 1e-5
    slope = (law.log_density(inside + step) - law.log_density(inside - step)) / (2 * step)
    assert np.allclose(law.score(inside), slope, atol=1e-6)
    grid = np.linspace(x.min() - 6.0, x.max() + 6.0, 400_001)
    grid = grid[grid > 0] if law.name.startswith("gamma") else grid
    mass = trapezoid(np.exp(law.log_density(grid)), grid)
    assert mass == pytest.approx(1.0, abs=1e-4)
    # samples belong to the density: E s = 0 and E x s = -1 (Stein)
    s = law.score(x)
    assert abs(s.mean()) < 5.0 * s.std() / np.sqrt(x.size)
    assert (x * s).mean() == pytest.approx(-1.0, abs=5.0 * (x * s).std() / np.sqrt(x.size))


def test_kernel_score_is_the_gradient_of_the_kernel_density():
    x = np.array([-1.0, 0.2, 0.9, 3.0])
    at, h, step = np.array([-2.0, 0.0, 1.7, 40.0]), 0.4, 1e-5

    def log_density(points):
        return np.logaddexp.reduce(-0.5 * ((points[:, None] - x) / h) ** 2, axis=1)

    slope = (log_density(at + step) - log_density(at - step)) / (2 * step)
    assert np.allclose(score_peers.kernel_score(x, h)(at), slope, rtol=1e-6)


def test_bandwidth_cross_validation_finds_the_likelihood_maximum():
    x = np.random.default_rng(1).normal(size=300)
    chosen = score_peers.cross_validated_bandwidth(x)
    at = score_peers.leave_one_out_likelihood
    others = score_peers.silverman_bandwidth(x) * np.geomspace(0.04, 2.9, 60)
    assert at(x, chosen) >= max(at(x, h) for h in others) - 1e-5
    # by hand for three points
    y, h = np.array([0.0, 1.0, 3.0]), 0.7
    kernel = np.exp(-0.5 * ((y[:, None] - y) / h) ** 2) / (h * np.sqrt(2 * np.pi))
    np.fill_diagonal(kernel, 0.0)
    assert at(y, h) == pytest.approx(np.log(kernel.sum(axis=1) / 2).mean())


def test_mixture_peer_recovers_a_mixture_and_gaussian_peer_the_moments():
    x = laws.TWO_HUMPS.sample(np.random.default_rng(0), 4000)
    score, components = score_peers.em_mixture_score(x, max_components=3, n_init=1, seed=0)
    grid = np.linspace(-4, 4, 9)
    assert components == 2
    assert np.abs(score(grid) - laws.TWO_HUMPS.score(grid)).max() < 0.4
    assert score_peers.gaussian_score(x)(x.mean() + x.std()) == pytest.approx(-1 / x.std())


# ---------------------------------------------------------------------- the lasso comparison
@pytest.mark.parametrize("skip", [False, True])
def test_lasso_problem_matches_the_dense_program(skip):
    settings = dsm_vs_lasso.QUICK
    problem = dsm_vs_lasso.make_problem(50, skip, settings, 3)
    X, target = denoising_matrices(problem.noisy, problem.labels, "relu", skip)
    largest = np.abs(X.T @ target).max()
    assert dsm_vs_lasso.beta_max(problem.noisy, problem.labels, skip) == pytest.approx(largest)
    # any coefficients: the network carries the lasso's value; without skip our dual point also
    # moves along the line and may prove more
    y = np.zeros(X.shape[1])
    y[[3, 60, 71]] = 0.1, -0.2, 0.05
    own = dsm_vs_lasso.gap_to_optimum(problem, dsm_vs_lasso.network_of(problem, y), "residual")
    textbook = dsm_vs_lasso.lasso_gap(X, target, y, problem.beta)
    assert own <= textbook * (1 + 1e-9)
    assert not skip or own == pytest.approx(textbook, rel=1e-9)
    # and a poor solution is seen to be one
    assert dsm_vs_lasso.gap_to_optimum(problem, dsm_vs_lasso.network_of(problem, y)) > 1e-3
    zero = dsm_vs_lasso.network_of(problem, np.zeros(X.shape[1]))
    assert dsm_vs_lasso.gap_to_optimum(problem, zero) > 1e-3


def test_missing_peers_are_named():
    from benchmarks import lasso_peers

    solvers, missing = lasso_peers.available(("scikit-learn",))
    assert list(solvers) == ["scikit-learn"] and missing == {}


def test_missing_peer_is_skipped_with_the_reason(monkeypatch):
    from benchmarks import lasso_peers

    monkeypatch.setattr(lasso_peers, "find_spec", lambda name: None)
    solvers, missing = lasso_peers.available(("celer", "skglm"))
    assert solvers == {} and set(missing) == {"celer", "skglm"}
    assert "pip install" in missing["celer"]
