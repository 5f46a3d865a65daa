"""`convexscore diffuse`, and `sample` of its models, end to end through `main`."""

import re
from pathlib import Path

import numpy as np
import pytest
from conftest import bimodal, fails, planar

from convexscore import ConvexDiffusion, fit_convex_diffusion, load
from convexscore.cli import main
from convexscore.cli.data import Table
from convexscore.cli.diffuse import sampling_seed
from convexscore.cli.figures import save_samples_figure
from convexscore.objectives.options import DiffusionOptions

QUICK = ["--levels", "4,1.5,0.5,0.2", "--beta", "2", "--n-draws", "4", "--random-state", "0"]
FIXED = {"levels": [4.0, 1.5, 0.5, 0.2], "beta": 2.0, "n_draws": 4, "random_state": 0}


@pytest.fixture
def column(line_file):
    return ["diffuse", line_file.name, "--column", "value"]


@pytest.fixture
def plane(plane_file):
    return ["diffuse", plane_file.name, "--columns", "1,2"]


# -------------------------------------------------------------------------------------- the model


def test_the_library_s_model_is_reported_saved_and_sampled(column, capsys):
    outputs = ["--out", "model.npz", "--samples", "s.csv", "--plot", "s.png", "-n", "500"]
    assert main([*column, *QUICK, *outputs]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    model = fit_convex_diffusion(bimodal(), **FIXED)
    saved = load("model.npz")
    assert saved.get_params() == model.get_params()
    grid = np.linspace(-6.0, 6.0, 99)
    assert np.array_equal(saved.score_function(grid, 0.3), model.score_function(grid, 0.3))
    samples = np.loadtxt("s.csv", skiprows=1)
    assert np.array_equal(samples, model.sample(500, random_state=sampling_seed(0)))
    assert Path("s.csv").read_text().startswith("value\n")
    assert Path("s.png").read_bytes().startswith(b"\x89PNG")
    assert re.search(r"^data +data\.csv, column 'value': n = 60, 60 distinct, -4\.", out, re.M)
    unit = model.standardization_.inverse[0, 0]
    assert (
        "problem      diffusion (vp), ReLU, skip connection, 4 draws a point, smoothed labels, "
        f"unit of the levels {unit:.6g}\nbeta         given\n" in out
    )
    # the table: a row for each level, as the library has it but for the time
    header, *rows = re.search(r"^levels +((?:.+\n)+?)certificate", out, re.M).group(1).splitlines()
    assert header.split() == list(model.certificates_.COLUMNS)
    found = [row.split() for row in rows]
    columns = model.certificates_.to_dict()
    assert [float(row[0]) for row in found] == columns["level"]
    assert [float(row[1]) for row in found] == columns["beta"]
    assert [int(row[2]) for row in found] == columns["neurons"]
    assert [row[7] for row in found] == columns["outcome"] == 4 * ["optimal"]
    total = model.certificates_["neurons"].sum()
    assert re.search(
        rf"^certificate +4 of 4 levels optimal, .* gap \S+; {total} neurons", out, re.M
    )
    assert re.search(r"^time +\S+ s; the levels \S+ s, summed over workers$", out, re.M)
    mean, spread = samples.mean(), samples.std()
    assert re.search(r"^samples +500 \(ddpm\) in \S+ s$", out, re.M)
    assert f"mean {mean:.6g} (data {bimodal().mean():.6g}), standard deviation {spread:.6g}" in out
    distance = re.search(r"energy distance to the data (\S+); .*: (\S+) on average", out)
    assert 0 < float(distance[1]) < 0.1 and 0 < float(distance[2]) < 0.2
    for line in ("saved        model.npz", "written      s.csv", "figure       s.png"):
        assert f"\n{line}\n" in out


@pytest.mark.slow
def test_every_option_of_the_function_is_an_option_of_the_command(column):
    assert set(DiffusionOptions.__annotations__) == set(ConvexDiffusion().get_params())
    options = {
        "schedule": "ve", "n_levels": 5, "sigma_max": 8.0, "sigma_min": 0.4, "activation": "abs",
        "skip": False, "beta": "cv", "n_draws": 3, "labels": "noisy", "cv": 4,
        "tol": 1e-3, "random_state": 3, "constraint": "log-concave", "n_jobs": 1,
    }  # fmt: skip
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    words[words.index("--skip=False")] = "--no-skip"
    assert main([*column, *words, "--weights", "weight", "--out", "m.npz"]) == 0
    # the others are used elsewhere in this file
    unused = {"levels", "progress", "standardize", "n_starts"}
    assert set(DiffusionOptions.__annotations__) - set(options) == unused
    saved = load("m.npz")
    assert saved.get_params() == {**ConvexDiffusion().get_params(), **options}
    model = fit_convex_diffusion(bimodal(), sample_weight=1 + np.arange(60) % 3, **options)
    assert np.array_equal(saved.betas_, model.betas_)
    assert np.array_equal(saved.ve_score(bimodal(), 0.7), model.ve_score(bimodal(), 0.7))


def test_choice_of_the_penalties(column, capsys):
    rest = ["--n-draws", "3", "--random-state", "0", "--n-levels", "4", "--out", "m.npz"]
    assert main([*column, "--beta", "cv", "--cv", "2", *rest, "--standardize", "none"]) == 0
    out = capsys.readouterr().out
    model = load("m.npz")
    assert model.standardize is None and "unit of the levels" not in out
    selection = model.factor_selection_
    assert (
        f"beta         {selection.factor:.4g} times the gradient noise of each level (2-fold "
        f"cross-validation on {len(selection.levels)} levels)\n" in out
    )
    [chosen] = [line for line in out.splitlines() if line.endswith("<- chosen")]
    assert float(chosen.split()[0]) == pytest.approx(selection.factor, rel=1e-3)
    assert main([*column, "--beta", "rule", *rest]) == 0
    assert "beta         by the rule\n" in capsys.readouterr().out
    assert main([*column, *QUICK[:3], "9,5,3,2", *QUICK[4:], "--out", "m.npz"]) == 0
    assert "beta         given\n" in capsys.readouterr().out
    assert load("m.npz").betas_.tolist() == [9.0, 5.0, 3.0, 2.0]


@pytest.mark.slow
def test_several_columns(plane, capsys):
    options = ["--standardize", "whitening", "--constraint", "gradient", "--weights", "weight"]
    outputs = ["--out", "m.npz", "--samples", "s.csv", "--plot", "s.svg", "-n", "60"]
    assert main([*plane, *QUICK, *options, *outputs, "--method", "heun", "--n-steps", "9"]) == 0
    out = capsys.readouterr().out
    assert "constraint gradient, standardised (whitening)\n" in out
    assert "samples      60 (heun) in " in out and "energy distance" not in out  # weighted
    weights = 1 + np.arange(40) % 3
    mean = np.average(planar()[:, 1], weights=weights)
    assert re.search(rf"'width, cm': mean \S+ \(data {mean:.6g}\)", out)
    model = fit_convex_diffusion(
        planar(), sample_weight=weights, **FIXED, standardize="whitening", constraint="gradient"
    )
    expected = model.sample(60, method="heun", n_steps=9, random_state=sampling_seed(0))
    assert np.array_equal(np.loadtxt("s.csv", skiprows=1, delimiter=","), expected)
    assert Path("s.csv").read_text().startswith('height,"width, cm"\n')
    assert load("m.npz").feature_names_in_.tolist() == ["height", "width, cm"]
    svg = Path("s.svg").read_text()
    assert "width, cm" in svg and "40 data" in svg and "60 samples" in svg


@pytest.mark.slow
def test_many_columns_without_a_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(30, 13))
    np.savetxt("x.csv", x, delimiter=",", header=",".join("abcdefghijklm"), comments="")
    command = ["diffuse", "x.csv", "--columns", "all", "--levels", "3,1", "--beta", "30"]
    assert main([*command, "--n-draws", "1", "--n-starts", "4", "--samples", "s.csv"]) == 0
    out = capsys.readouterr().out
    assert out.count("... (1 more)") == 2 and "'m': mean" not in out
    assert np.loadtxt("s.csv", skiprows=1, delimiter=",").shape == (1000, 13)
    message = fails(capsys, *command, "--plot", "x.png")
    assert "--plot draws fits of one or two columns; 13 were chosen" in message


# ------------------------------------------------------------------------------------ the samples


@pytest.mark.parametrize(
    "method, options",
    [("ancestral", {"n_steps": 12}), ("annealed_langevin", {"n_steps": 5, "step": 0.002}),
     ("predictor_corrector", {})],
)  # fmt: skip
def test_samplers_have_their_options(column, capsys, method, options):
    extra = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    assert main([*column, *QUICK, "--method", method, "--samples", "s.csv", *extra]) == 0
    assert f"1000 ({method})" in capsys.readouterr().out
    model = fit_convex_diffusion(bimodal(), **FIXED)
    expected = model.sample(1000, method=method, random_state=sampling_seed(0), **options)
    assert np.array_equal(np.loadtxt("s.csv", skiprows=1), expected)


def test_samples_of_a_saved_model(plane, capsys):
    assert main([*plane, *QUICK, "--out", "m.npz"]) == 0
    capsys.readouterr()
    how = {"method": "annealed_langevin", "n_steps": 6, "step": 0.003}
    for options in ({}, how):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        assert main([*"sample m.npz -n 30 --random-state 4 --out s.csv".split(), *words]) == 0
        method = options.get("method", "ddpm")
        assert capsys.readouterr().out == f"30 samples ({method}) written to s.csv\n"
        assert Path("s.csv").read_text().startswith('height,"width, cm"\n')
        found = np.loadtxt("s.csv", skiprows=1, delimiter=",")
        assert np.array_equal(found, load("m.npz").sample(30, random_state=4, **options))
    for words, message in (
        ("--method mala", "method must be one of 'ddpm', "),
        ("--step 0.1", "step = 0.1 has no effect with method='ddpm'"),
        ("-n 0", "n must be an integer >= 1"),
    ):
        assert message in fails(capsys, "sample", "m.npz", *words.split())


def test_the_seed_of_the_samples_is_not_that_of_the_fit():
    assert sampling_seed(None) is None
    first = sampling_seed(3).normal(size=5)
    assert np.array_equal(first, sampling_seed(3).normal(size=5))
    for other in (sampling_seed(4), np.random.default_rng(3)):
        assert not np.array_equal(first, other.normal(size=5))


# ------------------------------------------------------------------------------------ the figures


def drawn(monkeypatch, samples, data, names, weights=None):
    """The figure that would be saved."""
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    save_samples_figure(samples, Table(names, data, weights, 0), Path("unused.png"))
    [figure] = figures
    return figure


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_histograms_show_data_and_nearly_all_samples(monkeypatch, scale):
    data = scale * bimodal(600)
    rng = np.random.default_rng(1)
    samples = np.append(data[rng.integers(600, size=3999)], 1e3 * scale)  # one far out
    [ax] = drawn(monkeypatch, samples, data, ("value",)).axes
    assert ax.get_xlabel() == "value"
    assert ax.get_title(loc="right") == "1 samples beyond the frame"
    low, high = ax.get_xlim()
    assert low <= data.min() and data.max() <= high < 10 * scale
    bars = [patch.get_data() for patch in ax.patches]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["600 data", "4000 samples"]
    for steps, rows in zip(bars, (data, samples), strict=True):
        expected, _ = np.histogram(rows, steps.edges, density=True)
        np.testing.assert_allclose(steps.values, expected, rtol=1e-12)
    assert np.array_equal(bars[0].edges, bars[1].edges) and len(bars[0].values) == 36
    weights = 1.0 + np.arange(600) % 3
    [ax] = drawn(monkeypatch, data, data, ("value",), weights).axes
    steps = ax.patches[0].get_data()
    expected, _ = np.histogram(data, steps.edges, density=True, weights=weights)
    np.testing.assert_allclose(steps.values, expected)
    assert ax.get_title(loc="right") == ""


def test_clouds_share_their_axes(monkeypatch):
    samples = planar(5000)
    figure = drawn(monkeypatch, samples, planar(), ("a", "b"), 1.0 + np.arange(40) % 3)
    left, right = figure.axes
    assert left.get_xlim() == right.get_xlim() and left.get_ylim() == right.get_ylim()
    assert (left.get_title(), right.get_title()) == ("40 data", "5000 samples, 2000 drawn")
    points = left.collections[0]
    assert np.array_equal(points.get_offsets(), planar())
    assert np.unique(points.get_sizes()).size == 3
    assert right.collections[0].get_offsets().shape == (2000, 2)
    assert (left.get_xlabel(), right.get_xlabel(), left.get_ylabel()) == ("a", "a", "b")
    assert left.get_aspect() == 1.0
    unequal = drawn(monkeypatch, samples * [1.0, 1e6], planar() * [1.0, 1e6], ("a", "b"))
    assert unequal.axes[0].get_aspect() == "auto"


# --------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "options, message",
    [
        (["--method", "gibbs"], "method must be one of 'ddpm', 'ancestral', "),
        (["-n", "0"], "n must be an integer >= 1; got 0"),
        (["--n-steps", "0"], "n_steps must be an integer >= 1; got 0"),
        (["--step", "0.1"], "step = 0.1 has no effect with method='ddpm'"),
        (["--out", "no/model.npz"], "there is no folder"),
        (["--samples", "no/s.csv"], "there is no folder"),
        (["--plot", "no/s.png"], "there is no folder"),
        (["--beta", "auto"], "noise down; got 'auto'"),
        (["--levels", "3;1"], "3;1"),
        (["--schedule", "cosine"], "schedule must be one of 'vp', 've'; got 'cosine'"),
        (["--beta", "1,2"], "one per level"),
        (["--sigma-max", "3"], "sigma_max = 3.0 has no effect with levels"),
    ],
)
def test_mistakes_stop_before_the_levels_are_fitted(column, capsys, monkeypatch, options, message):
    def never(*_, **__):
        raise AssertionError("a level was fitted")

    monkeypatch.setattr("convexscore.models.diffusion.fit_level", never)
    assert message in fails(capsys, *column, *QUICK, *options)
    assert [path.name for path in Path().iterdir()] == ["data.csv"]


def test_data_that_carry_no_law(column, capsys):
    Path("data.csv").write_text("value\n" + "3\n" * 20)
    assert "distinct" in fails(capsys, *column, *QUICK)
