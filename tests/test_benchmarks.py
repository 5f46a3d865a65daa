"""The benchmarks run, record what they claim to, and their numbers that are not times hold."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from plane_oracles import solved
from scipy.integrate import trapezoid

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import (  # noqa: E402
    NAMES,
    dsm_vs_lasso,
    harness,
    high_dim_vs_adam,
    laws,
    load,
    multitask_peers,
    multitask_solvers,
    score_peers,
    spiral,
    spiral_overfit,
)
from benchmarks.__main__ import main  # noqa: E402
from convexscore import TwoLayerNetwork, certify, fit_convex_score  # noqa: E402
from convexscore.programs import univariate_matrices  # noqa: E402

SHAPE = {"checks", "data", "environment", "name", "notes", "quick", "seconds", "seed", "settings",
         "tables", "title"}  # fmt: skip


def run_quick(name: str, folder: Path) -> dict:
    """Run one benchmark as the command line does and read back what it wrote."""
    assert main([name, "--quick", "--out", str(folder)]) == 0
    return json.loads((folder / f"{name}.json").read_text())


def only_table(found: dict, title: str) -> list[dict]:
    return next(rows for key, rows in found["tables"].items() if key.startswith(title))


# ---------------------------------------------------------------------- every benchmark, small
# These have test files of their own.
ELSEWHERE = {
    "speed",
    "figure1",
    "figure2",
    "figure3",
    "figure4",
    "figure5",
    "convex_vs_sgd",
    "score_accuracy",
}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ELSEWHERE])
def test_benchmark_runs_and_its_numbers_hold(name, tmp_path, capsys):
    found = run_quick(name, tmp_path)
    assert set(found) == SHAPE
    assert found["name"] == name and found["quick"] and found["seed"] == 0
    assert {"processor", "cpus", "versions", "load_average", "date"} <= set(found["environment"])
    assert {"numpy", "scipy", "convexscore"} <= set(found["environment"]["versions"])
    assert found["tables"] and all(rows for rows in found["tables"].values())
    # numbers that are not times are judged even now
    judged = [check for check in found["checks"] if check["judged"]]
    assert all(not check["timing"] for check in judged)
    assert [check for check in judged if check["verdict"] != "PASS"] == []
    text = (tmp_path / f"{name}.md").read_text()
    assert all(title in text for title in found["tables"])
    assert f"`python -m benchmarks {name} --quick --seed 0`" in text
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


def check_planar_vs_conic(found: dict) -> None:
    conic = {row["n"]: row for row in only_table(found, "CVXPY")}
    rows = only_table(found, "fit_convex_score")
    assert len(rows) == 2 * len(conic)
    for row in rows:
        assert row["relative gap"] <= row["tol"]
        other = conic[row["n"]]
        assert other["columns"] == row["n"] * (row["n"] - 1)
        assert row["conic / ours"] == pytest.approx(other["seconds"] / row["seconds"])
        # the lower bound over all lines is below what the pairs reach
        assert row["objective"] * (1.0 - row["relative gap"]) <= other["objective"] * (1 + 1e-12)
        assert other["objective"] == pytest.approx(other["own value"], rel=1e-7)


def check_planar_scaling(found: dict) -> None:
    rows = only_table(found, "Time and memory")
    assert all(row["exact"] and row["relative gap"] <= 1e-3 for row in rows)
    assert rows[0]["all pairs (GB)"] == pytest.approx(8e-9 * 100 * 100 * 99)
    # an (n, n) sweep in blocks, not the matrix of all pairs
    assert 0.01 < rows[0]["tracemalloc (MB)"] < 0.8 * 1e3 * rows[0]["all pairs (GB)"]


def check_multitask_peers(found: dict) -> None:
    rows = only_table(found, "Seconds")
    for row in rows:
        assert row["reached"] and row["gap to the optimum"] <= found["settings"]["gap"]
        if row["solver"] != "convexscore":
            # what a solver proves of the finite problem is no less than its distance to the optimum
            assert row["own gap"] >= row["gap to the optimum"] - 1e-12
            assert row["objective / ours - 1"] >= -found["settings"]["gap"]
    for peer in multitask_solvers.NAMES:
        noted = any(note.startswith(f"{peer} left out") for note in found["notes"])
        assert noted != (peer in {row["solver"] for row in rows})
    assert any(note.startswith("pyscnn left out: ") for note in found["notes"])


def check_spiral_overfit(found: dict) -> None:
    rows = only_table(found, "Noise levels")
    assert [row["noise"] for row in rows] == [0.5, 0.05]
    for row in rows:
        assert row["exact"] and row["reached"]
        assert row["rounds"] == sum(line["noise"] == row["noise"] for line in found["data"])
        assert row["columns (most)"] >= row["neurons"] > 0
        assert 0.0 < row["data / objective"] < 1.0


def check_high_dim_vs_adam(found: dict) -> None:
    ours, adam = only_table(found, "Both sides")
    runs = only_table(found, "Adam runs")
    assert ours["lower bound"] <= ours["objective"] <= adam["objective"]
    assert adam["objective"] == min(row["objective"] for row in runs)
    assert adam["CPU seconds"] == pytest.approx(sum(row["CPU seconds"] for row in runs))
    assert ours["neurons"] == adam["neurons"]


def check_sampler_speed(found: dict) -> None:
    rows = only_table(found, "Samplers")
    assert len({row["chains"] for row in rows}) == 2
    assert {row["sampler"] for row in rows} == {s.name for s in load("sampler_speed").SAMPLERS}
    for row in rows:
        assert row["ratio / scores"] == pytest.approx(row["ratio"] / row["scores a step"])
        # one repeat in quick runs: the median is the ratio of the two times
        assert row["ratio"] == pytest.approx(row["seconds"] / row["numpy draw seconds"])
    parts = only_table(found, "Where the time")
    network = next(row for row in parts if row["score"].startswith("network"))
    assert 0.0 < network["products alone"] < 1.5 * network["score alone"]  # noise of few calls
    for row in parts:
        total = row["numpy draw"] + row["score alone"] + row["the rest"]
        assert total == pytest.approx(row["ddpm"])
        assert row["peak MB"] > 0.1  # a meter that reads less is broken


def check_ising_score(found: dict) -> None:
    rows = {row["samples of"]: row for row in only_table(found, "Samples")}
    assert len(rows) == 8
    for row in rows.values():
        assert row["beyond the floor"] == pytest.approx(
            row["total variation"] - row["floor of as many"]
        )
    for name in ("the law itself", "DDPM, exact score"):
        assert abs(rows[name]["beyond the floor"]) < 4 * rows[name]["floor's deviation"]
        assert rows[name]["distance from spins (rms)"] < 1e-6
    # the judge sees what is missing: free spins have no correlations
    free = rows["fitted free spins"]
    assert free["beyond the floor"] > 8 * free["floor's deviation"]
    assert free["strength of correlations"] < 0.3
    levels = only_table(found, "Levels")
    noise = [row["noise level"] for row in levels]
    assert noise == sorted(noise, reverse=True)
    assert len(levels) == load("ising_score").QUICK.n_levels
    assert all(row["convex: relative error"] < 1.0 for row in levels)


def check_langevin_vs_ddpm(found: dict) -> None:
    rows = {row["sampler"]: row for row in only_table(found, "Exact scores")}
    assert len(rows) == 7
    calls = [row["score calls"] for row in rows.values()]
    assert max(calls) - min(calls) <= 2
    assert rows["Langevin from the large mode"]["weight of the small mode"] < 0.03
    assert rows["Langevin from half and half"]["weight of the small mode"] > 0.45
    assert abs(rows["DDPM"]["weight of the small mode"] - 0.2) < 0.02
    assert rows["DDPM"]["energy distance / floor"] <= 1.0
    learned = {row["samples"]: row for row in only_table(found, "Learned scores")}
    share = learned["training sample"]["weight of the small mode"]
    assert abs(learned["noise levels, DDPM"]["weight of the small mode"] - share) < 0.03
    assert all(row["certified"] in (True, "") for row in learned.values())
    assert {row["kind"] for row in found["data"]} == {"exact", "trace", "histogram"}


def check_diffusion_beta(found: dict) -> None:
    rows = only_table(found, "Error bound")
    assert len(rows) == 2
    for row in rows:
        assert 0.0 < row["rule"] < 2.0 * row["no penalty"]
    together = only_table(found, "Together")
    for row in together:
        if row["method"] == "cv per level":
            assert row["error / cv per level (geometric mean)"] == 1.0


def check_diffusion_ladder(found: dict) -> None:
    totals = only_table(found, "Ladders")
    assert [row["beta"] for row in totals] == ["rule", "cv"]
    assert all(row["certified"] == "3 of 3" for row in totals)
    assert len(only_table(found, "Levels")) == 6


def check_noise_draws(found: dict) -> None:
    errors = {row["law"]: row for row in only_table(found, "Error")}
    assert set(errors) == set(load("noise_draws").QUICK.laws)
    # labels of single draws decide a Gaussian's slope; pairs cancel them
    gaussian = errors["correlated Gaussian, d = 2"]
    assert gaussian["2, noisy"] < 0.3 * gaussian["1, noisy"]
    assert {row["draws"] for row in found["data"]} == {1, 2, 4}


EXTRA = {
    "import_time": check_import_time,
    "small_beta": check_small_beta,
    "univariate_scaling": check_univariate_scaling,
    "univariate_vs_conic": check_univariate_vs_conic,
    "dsm_vs_lasso": check_dsm_vs_lasso,
    "planar_vs_conic": check_planar_vs_conic,
    "planar_scaling": check_planar_scaling,
    "multitask_peers": check_multitask_peers,
    "spiral_overfit": check_spiral_overfit,
    "high_dim_vs_adam": check_high_dim_vs_adam,
    "sampler_speed": check_sampler_speed,
    "diffusion_beta": check_diffusion_beta,
    "diffusion_ladder": check_diffusion_ladder,
    "langevin_vs_ddpm": check_langevin_vs_ddpm,
    "ising_score": check_ising_score,
    "noise_draws": check_noise_draws,
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
    X, target, *_ = univariate_matrices(problem.noisy, labels=problem.labels, skip=skip)
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


# ---------------------------------------------------------------------- the plane
def test_planar_problem_is_the_one_that_is_fitted():
    problem = spiral.make_problem(30, 0.05, 0.5, 3)
    fitted = spiral.fit(problem, 1e-6)
    assert np.array_equal(fitted.noisy_points_, problem.noisy)
    assert np.array_equal(fitted.noise_labels_, problem.labels)
    judged = spiral.judge(problem, fitted.network_)
    assert judged.objective == pytest.approx(fitted.certificate_.objective, rel=1e-12)
    # beta_max: no neuron above it, some below
    empty = TwoLayerNetwork(np.eye(2), np.zeros((2, 2)), np.zeros(2), offset=problem.labels.mean(0))
    above = certify(empty, problem.noisy, objective="denoising", labels=problem.labels,
                    beta=problem.largest_beta * (1 + 1e-9), skip=False, reference="residual")  # fmt: skip
    below = certify(empty, problem.noisy, objective="denoising", labels=problem.labels,
                    beta=problem.largest_beta * 0.99, skip=False, reference="residual")  # fmt: skip
    assert above.max_violation <= 0.0 < below.max_violation


def test_spiral_starts_outside_and_leaves_out_its_middle():
    points = spiral.spiral()
    radius = np.linalg.norm(points, axis=1)
    assert points.shape == (80, 2)
    assert np.allclose(points[0], [10.0, 0.0]) and radius[-1] == pytest.approx(2.1)
    assert np.allclose(points[5], 9.5 * np.array([np.cos(np.pi / 4), np.sin(np.pi / 4)]))


def test_pair_columns_carry_the_value_of_the_network():
    planar = spiral.make_problem(15, 0.05, 0.5, 0)
    problem = multitask_peers.pair_problem(planar)
    assert problem.matrix.shape == (15, 15 * 14) and problem.matrix.flags.f_contiguous
    weights = np.zeros((210, 2))
    weights[[3, 50, 201]] = [[0.1, -0.2], [0.3, 0.0], [-0.1, 0.1]]
    judged = spiral.judge(planar, multitask_peers.network_of(problem, weights))
    assert multitask_peers.primal_value(problem, weights) == pytest.approx(judged.objective)
    # weak duality with any residual, and a bound that the whole plane can only lower
    rest = problem.target - problem.matrix @ weights
    dual = multitask_peers.dual_value(problem, rest)
    assert dual <= spiral.fit(planar, 1e-8).certificate_.objective * 1.01
    assert judged.dual_objective <= dual * (1 + 1e-9)


def test_reference_of_the_finite_problem_is_sharp():
    import cvxpy as cp

    def conic(X, target, beta, tol):
        W = cp.Variable((X.shape[1], 2))
        loss = 0.5 * cp.sum_squares(X @ W - target) + beta * cp.sum(cp.norm(W, 2, axis=1))
        assert solved(cp.Problem(cp.Minimize(loss)), (1e-8, 1e-7))
        return np.where(np.abs(W.value) > 1e-6, W.value, 0.0) if tol > 1e-3 else W.value

    problem = multitask_peers.pair_problem(spiral.make_problem(14, 0.05, 0.5, 0))
    bound = multitask_peers.with_reference(problem, conic).dual
    exact = conic(problem.matrix, problem.target, problem.beta, 0.0)
    value = multitask_peers.primal_value(problem, exact)
    assert -1e-9 * value <= value - bound <= 1e-5 * value


def test_multitask_solvers_that_fail_are_left_out_with_the_reason(monkeypatch):
    def broken(X, target, beta, tol):
        raise AttributeError("no such method")

    monkeypatch.setattr(multitask_solvers, "find_spec", lambda name: None if name == "celer" else 1)
    monkeypatch.setattr(multitask_solvers, "_SOLVERS", {"celer": broken, "skglm": broken})
    solvers, missing = multitask_solvers.available()
    assert solvers == {} and "pip install" in missing["celer"]
    assert "AttributeError: no such method" in missing["skglm"]
    monkeypatch.setitem(
        multitask_solvers._SOLVERS, "skglm", lambda X, T, beta, tol: np.zeros((2, 2))
    )
    assert "wrong answer" in multitask_solvers.available()[1]["skglm"]
    assert "another problem" in multitask_solvers.pyscnn_reason()
    monkeypatch.setattr(multitask_solvers, "find_spec", lambda name: None)
    assert "pip install pyscnn" in multitask_solvers.pyscnn_reason()


def test_overfitted_levels_are_the_packages_problem_at_beta_over_noise():
    """Labels -delta at beta: the objective is noise^2 times that of -delta / noise at beta / noise."""
    settings, noise = spiral_overfit.QUICK, 0.1
    points = spiral.spiral(12)
    tight = spiral_overfit.Settings(12, 2, (noise,), tol=1e-7)
    level = spiral_overfit.fit_level(points, noise, tight, 5)
    fitted = fit_convex_score(
        points, objective="denoising", noise=noise, n_draws=2, skip=False,
        beta=settings.beta / noise, tol=1e-7, random_state=5,
    )  # fmt: skip
    assert level.certificate.objective == pytest.approx(
        noise**2 * fitted.certificate_.objective, rel=1e-6
    )
    at = fitted.noisy_points_
    assert np.allclose(level.network(at), noise * fitted.score_function(at), atol=1e-3)


def test_adam_descends_the_objective_it_is_judged_by(monkeypatch):
    """The weight decay given to MLPRegressor makes its gradient that of the objective over n."""
    from sklearn.neural_network import MLPRegressor

    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    beta, batch, seen = 2.0, 40, {}
    original = MLPRegressor._backprop

    def record(self, *arguments):
        result = original(self, *arguments)
        if not seen:
            seen.update(U=self.coefs_[0].copy(), W=self.coefs_[1].copy(), b=self.intercepts_[0].copy(),
                        c=self.intercepts_[1].copy(), order=arguments[0].copy(),
                        gradient=[g.copy() for g in result[1]])  # fmt: skip
        return result

    monkeypatch.setattr(MLPRegressor, "_backprop", record)
    task = high_dim_vs_adam.Task(X, labels, beta)
    settings = high_dim_vs_adam.Settings(40, 3, 1, 1, 1, batch=batch)
    row = high_dim_vs_adam.adam_run(task, 4, 1e-3, 0, settings)
    assert row["epochs"] == 1 and row["objective"] > 0.0
    order = [int(np.flatnonzero((X == x).all(axis=1))[0]) for x in seen["order"]]
    assert sorted(order) == list(range(40))

    def value(U, W):
        rest = np.maximum(X @ U + seen["b"], 0.0) @ W + seen["c"] - labels
        return (0.5 * (rest**2).sum() + 0.5 * beta * ((U**2).sum() + (W**2).sum())) / 40

    step = 1e-6
    for which, (i, j) in ((0, (1, 2)), (1, (3, 0))):
        moved = [[seen["U"].copy(), seen["W"].copy()] for _ in range(2)]
        moved[0][which][i, j] += step
        moved[1][which][i, j] -= step
        slope = (value(*moved[0]) - value(*moved[1])) / (2 * step)
        assert seen["gradient"][which][i, j] == pytest.approx(slope, rel=1e-5)
