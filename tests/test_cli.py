"""The command line, end to end, through `main`."""

import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from conftest import bimodal, fails, planar

import convexscore
from convexscore import ConvexScore, fit_convex_score, load, save
from convexscore.cli import main
from convexscore.objectives.options import ScoreOptions

ROOT = Path(__file__).resolve().parents[1]
FEW = ["--n-betas", "6", "--cv", "3", "--random-state", "0"]


# ------------------------------------------------------------------------------------------ fit


def test_fit_prints_a_table_and_saves_the_library_s_fit(line_file, capsys):
    assert main(["fit", "data.csv", "--column", "value", "--out", "fit.npz", *FEW]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    fit = fit_convex_score(bimodal(), n_betas=6, cv=3, random_state=0)
    saved = load("fit.npz")
    assert saved.get_params() == fit.get_params()
    grid = np.linspace(-6.0, 6.0, 99)
    assert np.array_equal(saved.score_function(grid), fit.score_function(grid))
    assert re.search(r"^data +data\.csv, column 'value': n = 60, 60 distinct, -4\.", out, re.M)
    assert "score matching, ReLU, skip connection\n" in out
    assert f"beta         {fit.beta_:.6g} (3-fold cross-validation, held-out loss" in out
    chosen = [line for line in out.splitlines() if line.endswith("<- chosen")]
    assert len(chosen) == 1 and float(chosen[0].split()[0]) == pytest.approx(fit.beta_, rel=1e-3)
    assert f"objective {fit.certificate_.objective:.10g}" in out
    assert re.search(r"^certificate +optimal$", out, re.M)
    assert re.search(rf"^kinks +{fit.network_.breakpoints().size}: ", out, re.M)
    assert f"entropy {fit.entropy():.6g}" in out
    assert re.search(r"^saved +fit\.npz$", out, re.M)


def test_every_option_of_the_function_is_an_option_of_the_command(line_file, capsys):
    assert set(ScoreOptions.__annotations__) == set(ConvexScore().get_params())
    command = (
        "fit data.csv --column 1 --weights weight --out fit.npz --objective denoising "
        "--activation abs --no-skip --beta cv --noise 0.5 --n-draws 2 --labels smoothed "
        "--constraint log-concave --cv 4 --n-betas 7 --one-standard-error --tol 1e-8 "
        "--random-state 3"
    )
    assert main(command.split()) == 0
    options = {
        "objective": "denoising", "activation": "abs", "skip": False, "beta": "cv", "noise": 0.5,
        "n_draws": 2, "labels": "smoothed", "constraint": "log-concave", "cv": 4, "n_betas": 7,
        "one_standard_error": True, "tol": 1e-8, "random_state": 3,
    }  # fmt: skip
    # the other two are those of several columns, below
    assert set(ScoreOptions.__annotations__) - set(options) == {"standardize", "n_starts"}
    saved = load("fit.npz")
    assert saved.get_params() == ConvexScore(**options).get_params()
    weight = np.loadtxt("data.csv", delimiter=",", skiprows=1)[:, 2]
    fit = fit_convex_score(bimodal(), sample_weight=weight, **options)
    assert np.array_equal(saved.network_.w, fit.network_.w)
    out = capsys.readouterr().out
    assert "weights sum to 120" in out and "4-fold cross-validation, one standard error" in out
    assert "noise 0.5, 2 draws a point, smoothed labels, constraint log-concave" in out


def test_defaults_are_the_library_s(line_file, capsys):
    assert main(["fit", "data.csv", "--column", "value", "--beta", "9", "--out", "f.npz"]) == 0
    assert "beta         9 (given)" in capsys.readouterr().out
    assert load("f.npz").get_params() == ConvexScore(beta=9.0).get_params()


def test_plot_writes_a_figure(line_file, capsys):
    assert main("fit data.csv --column value --beta 9 --plot a.png".split()) == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    # no density: the score alone is drawn
    command = "fit data.csv --column value --beta 3 --activation abs --no-skip --plot b.png"
    assert main(command.split()) == 0
    assert Path("b.png").read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "density      none: left tail: slope +" in out and "--constraint density" in out
    # denoising, weighted
    command = (
        "fit data.csv --column value --weights weight --beta 9 --objective denoising --noise 0.5 "
        "--random-state 0 --plot c.svg"
    )
    assert main(command.split()) == 0
    assert "<svg" in Path("c.svg").read_text()
    assert "convexscore: error: " in fails(
        capsys, "fit", line_file, "--column", 1, "--beta", 9, "--plot", "d.text"
    )


def test_warnings_are_one_readable_line_on_stderr(line_file, capsys):
    assert main("fit data.csv --column value --beta 1.05".split()) == 0
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert err.startswith("convexscore: warning: beta = 1.05 is just above the boundedness limit 1")
    assert "optimal" in out


def test_remedy_for_a_score_without_density_is_one_not_tried_yet(line_file, capsys):
    command = "fit data.csv --column value --beta 100 --no-skip"  # beta > n: the score is zero
    assert main(command.split()) == 0
    assert "refit with --constraint density" in capsys.readouterr().out
    assert main([*command.split(), "--constraint", "density"]) == 0
    out, err = capsys.readouterr()
    assert "refit with another --beta or with --skip" in out
    assert err.startswith("convexscore: warning: constraint='density'")


def test_errors_of_the_library(line_file, capsys):
    fit = ["fit", line_file, "--column", "value"]
    assert "beta = 0.5 is not above the boundedness limit 1" in fails(capsys, *fit, "--beta", 0.5)
    assert "beta must be a number > 0 or 'cv'; got 'auto'" in fails(capsys, *fit, "--beta", "auto")
    assert "beta must be finite and > 0; got -1" in fails(capsys, *fit, "--beta", -1)
    assert "activation must be one of" in fails(capsys, *fit, "--activation", "tanh")
    assert "noise must be given" in fails(capsys, *fit, "--objective", "denoising")
    assert "no_such_file.csv" in fails(capsys, "fit", "no_such_file.csv")
    assert "no_folder" in fails(capsys, *fit, "--beta", 9, "--out", "no_folder/fit.npz")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "the following arguments are required: command"),
        (["fit"], "the following arguments are required: data.csv"),
        (["fit", "data.csv", "--width", "3"], "unrecognized arguments: --width 3"),
        (["fit", "data.csv", "--activ", "abs"], "unrecognized arguments: --activ abs"),
        (["fit", "data.csv", "--noise", "much"], "--noise: invalid float value: 'much'"),
        (
            ["fit", "data.csv", "--column", "1", "--columns", "all"],
            "--columns: not allowed with argument --column",
        ),
        (["train", "data.csv"], "invalid choice: 'train'"),
    ],
)
def test_misuse_exits_with_2_and_usage(capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("usage: convexscore") and message in err


# ------------------------------------------------------------------------------- several columns


@pytest.mark.parametrize(
    "choice",
    [["--column", "height", "--column", "width, cm"], ["--columns", "1,2"],
     ["--columns", "height, 2"], ["--column", "1", "--column", "width, cm"]],
    ids=" ".join,
)  # fmt: skip
def test_columns_can_be_chosen_in_several_ways(plane_file, capsys, choice):
    assert main(["fit", "plane.csv", *choice, "--beta", "9", "--out", "fit.npz"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    fit = fit_convex_score(planar(), beta=9.0)
    saved = load("fit.npz")
    assert saved.get_params() == fit.get_params()
    assert np.array_equal(saved.network_.w, fit.network_.w)
    assert saved.feature_names_in_.tolist() == ["height", "width, cm"]
    assert "data         plane.csv, 2 columns: n = 40, 40 distinct rows\n" in out
    x = planar()[:, 1]
    assert f"'width, cm': {x.min():.6g} to {x.max():.6g}, mean {x.mean():.6g}, " in out
    proof = fit.certificate_
    assert re.search(r"^certificate +optimal$", out, re.M)
    assert (
        f"objective {proof.objective:.10g}, no network is below {proof.dual_objective:.10g}" in out
    )
    assert f"{proof.n_neurons} neurons, " in out and "over all neurons" in out
    asymmetry = fit.jacobian_asymmetry(planar())
    assert f"median {np.median(asymmetry):.3g}, largest {asymmetry.max():.3g}" in out
    assert "kinks" not in out and "tail slopes" not in out


def test_all_columns_but_the_weights(plane_file, capsys):
    text = plane_file.read_text().replace("id,", "").splitlines()
    plane_file.write_text(
        "\n".join([text[0], *(line.split(",", 1)[1] for line in text[1:])]) + "\n"
    )
    command = "fit plane.csv --columns all --weights weight --beta 9 --out fit.npz"
    assert main(command.split()) == 0
    assert "weights sum to 79" in capsys.readouterr().out
    fit = fit_convex_score(planar(), beta=9.0, sample_weight=1 + np.arange(40) % 3)
    assert np.array_equal(load("fit.npz").network_.w, fit.network_.w)


def test_options_of_several_columns(plane_file, capsys):
    command = (
        "fit plane.csv --columns 1,2 --constraint log-concave --standardize whitening "
        "--tol 1e-3 --objective denoising --noise 0.5 --beta cv --cv 2 --n-betas 3 "
        "--random-state 5 --out fit.npz"
    )
    assert main(command.split()) == 0
    options = {
        "constraint": "log-concave", "standardize": "whitening", "tol": 1e-3,
        "objective": "denoising", "noise": 0.5, "cv": 2, "n_betas": 3, "random_state": 5,
    }  # fmt: skip
    fit = fit_convex_score(planar(), **options)
    saved = load("fit.npz")
    assert saved.get_params() == fit.get_params()
    assert np.array_equal(saved.score_function(planar()), fit.score_function(planar()))
    out = capsys.readouterr().out
    assert "constraint log-concave, standardised (whitening)" in out
    assert "density      known up to a constant (the score is a gradient)" in out
    assert "2-fold cross-validation" in out and "asymmetry" not in out


@pytest.mark.slow
def test_a_local_search_is_named_in_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(30, 14))
    np.savetxt("x.csv", x, delimiter=",", header=",".join("abcdefghijklmn"), comments="")
    command = "fit x.csv --columns all --objective denoising --noise 0.8 --beta 12 --n-starts 7"
    assert main([*command.split(), "--random-state", "0", "--out", "fit.npz"]) == 0
    assert load("fit.npz").n_starts == 7
    out = capsys.readouterr().out
    tried = re.search(r"largest violation over (\d+) local searches", out)
    assert tried is not None and int(tried.group(1)) > 0
    assert "'l': " in out and "'m': " not in out and "... (2 more)" in out


def test_figure_of_the_plane(plane_file, capsys):
    fit = ["fit", "plane.csv", "--columns", "1,2", "--beta", "12"]
    assert main([*fit, "--plot", "field.png"]) == 0
    assert main([*fit, "--plot", "both.svg", "--constraint", "gradient"]) == 0
    denoise = ["--objective", "denoising", "--noise", "0.5", "--random-state", "0"]
    assert main([*fit, *denoise, "--plot", "noisy.png"]) == 0
    assert Path("field.png").read_bytes().startswith(b"\x89PNG")
    svg = Path("both.svg").read_text()
    assert "width, cm" in svg and "log p(x)" in svg
    message = fails(capsys, "fit", "plane.csv", "--columns", "all", "--plot", "no.png")
    assert "--plot draws fits of one or two columns; 4 were chosen" in message


def test_errors_of_several_columns(plane_file, capsys):
    fit = ["fit", plane_file, "--beta", 9]
    assert "column 'height' was chosen twice" in fails(capsys, *fit, "--columns", "1,height")
    assert "has no column ''" in fails(capsys, *fit, "--columns", "1,,2")
    assert "has no column 'depth'" in fails(capsys, *fit, "--columns", "height,depth")
    assert "constraint='density' is for one column" in fails(
        capsys, *fit, "--columns", "1,2", "--constraint", "density"
    )
    # whatever has no effect is refused by the library, in its words
    assert "n_starts = 9 has no effect" in fails(capsys, *fit, "--columns", "1,2", "--n-starts", 9)
    assert "standardize = 'columns' has no effect with one column" in fails(
        capsys, *fit, "--column", "1", "--standardize", "columns"
    )
    assert "cv = 3 has no effect with beta = 9" in fails(capsys, *fit, "--column", 1, "--cv", 3)
    low = fails(capsys, "fit", plane_file, "--columns", "1,2", "--beta", 0.1)
    assert "beta = 0.1 is too small" in low
    lines = plane_file.read_text().splitlines()
    lines[4] = lines[4].replace(lines[4].split(",")[2], "much")
    plane_file.write_text("\n".join(lines))
    bad = fails(capsys, *fit, "--columns", "1,2")
    assert "line 5: column 'width, cm' holds 'much'" in bad
    assert main([*map(str, fit), "--columns", "1,2", "--drop-missing"]) == 0
    Path("w.csv").write_text("w\n1\n2\n")
    only = fails(capsys, "fit", "w.csv", "--columns", "all", "--weights", "w")
    assert "no column but the weights" in only


def test_samples_of_several_columns(plane_file, capsys):
    main("fit plane.csv --columns 1,2 --beta 9 --constraint gradient --out fit.npz".split())
    capsys.readouterr()
    for method in ("langevin", "mala"):
        options = f"--method {method} --n-steps 40 --step 0.05 --random-state 4"
        assert main(f"sample fit.npz -n 30 --out s.csv {options}".split()) == 0
        assert capsys.readouterr().out == f"30 samples ({method}) written to s.csv\n"
        lines = Path("s.csv").read_text().splitlines()
        assert lines[0] == 'height,"width, cm"'
        expected = load("fit.npz").sample(30, method=method, n_steps=40, step=0.05, random_state=4)
        assert np.array_equal(np.loadtxt("s.csv", skiprows=1, delimiter=","), expected)
    # without a method: the library's choice; samples are data
    assert main("sample fit.npz -n 30 --n-steps 40 --random-state 4 --out s.csv".split()) == 0
    assert "30 samples (langevin)" in capsys.readouterr().out
    assert main("fit s.csv --columns all --beta 20".split()) == 0
    assert "'width, cm'" in capsys.readouterr().out
    assert "method='exact' is for one column" in fails(
        capsys, "sample", "fit.npz", "--method", "exact"
    )
    save(fit_convex_score(planar(), beta=12.0), "plain.npz")
    assert main("sample plain.npz -n 2 --n-steps 3 --random-state 0".split()) == 0
    assert capsys.readouterr().out.splitlines()[0] == "x1,x2"
    assert "constraint='gradient'" in fails(capsys, "sample", "plain.npz", "--method", "mala")


# -------------------------------------------------------------------------------- reading columns


def column_of(text, *options, capsys=None):
    Path("other.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    command = ["fit", "other.csv", "--beta", "30", "--out", "other.npz", *options]
    assert main(command) == 0
    return load("other.npz")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_are_found(line_file, delimiter, newline):
    x = bimodal()
    rows = [delimiter.join(["name", " the value ", "other"])]
    rows += [delimiter.join([f'"a, b; {i}"', f"{v!r}", "1"]) for i, v in enumerate(x.tolist())]
    for mark in ("", "\ufeff"):
        fit = column_of(mark + newline.join(rows), "--column", "the value")
        assert np.array_equal(fit.network_.offset, fit_convex_score(x, beta=30.0).network_.offset)


def test_one_column_needs_no_name_and_blank_lines_do_not_count(line_file, capsys):
    x = bimodal().tolist()
    fit = column_of("value\n\n" + "\n".join(map(repr, x)) + "\n\n")
    assert np.array_equal(fit.network_.offset, fit_convex_score(x, beta=30.0).network_.offset)
    assert "n = 60," in capsys.readouterr().out


def test_delimiter_can_be_given(line_file):
    rows = "\n".join(f"{value!r}:1" for value in bimodal().tolist())
    assert column_of("value:one\n" + rows, "--column", "value", "--delimiter", ":").beta_ == 30.0


def test_a_name_goes_before_an_index(line_file, capsys):
    rows = "\n".join(f"{i},{value!r}" for i, value in enumerate(bimodal().tolist()))
    column_of("1,x\n" + rows, "--column", "1")
    assert "column '1': n = 60, 60 distinct, 0 to 59" in capsys.readouterr().out
    column_of("a,b\n" + rows, "--column", "1")
    assert "column 'b'" in capsys.readouterr().out


@pytest.mark.parametrize(
    "cell, what",
    [("", "is empty"), ("NA", "holds 'NA'"), ("nan", "holds 'nan'"), ("inf", "holds 'inf'"),
     ("1_000", "holds '1_000'"), ("two", "holds 'two', which is not a finite number")],
)  # fmt: skip
def test_bad_cells_are_named_or_dropped(line_file, capsys, cell, what):
    lines = line_file.read_text().splitlines()
    number = lines[7].split(",")[1]
    lines[7] = lines[7].replace(number, cell)
    line_file.write_text("\n".join(lines))
    line = fails(capsys, "fit", line_file, "--column", "value", "--beta", 30)
    assert f"data.csv, line 8: column 'value' {what}" in line and "--drop-missing" in line
    assert main("fit data.csv --column value --beta 30 --drop-missing --out d.npz".split()) == 0
    out = capsys.readouterr().out
    assert "n = 59," in out and "1 rows dropped (missing or not a number)" in out
    rest = fit_convex_score(np.delete(bimodal(), 6), beta=30.0)
    assert np.array_equal(load("d.npz").network_.offset, rest.network_.offset)


def test_a_row_is_dropped_with_its_weight(line_file, capsys):
    lines = line_file.read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0]  # a short row: no weight
    line_file.write_text("\n".join(lines))
    command = ["fit", line_file, "--column", "value", "--weights", "weight", "--beta", 30]
    assert "line 4: column 'weight' is empty" in fails(capsys, *command)
    assert main([*map(str, command), "--drop-missing"]) == 0
    assert "n = 59," in capsys.readouterr().out


def test_bad_files_and_columns(line_file, capsys):
    def fit(text, *options):
        Path("bad.csv").write_bytes(text)
        return fails(capsys, "fit", "bad.csv", "--beta", 30, *options)

    choose = (
        "bad.csv has 2 columns; choose one with --column: a, b (several: repeat --column, or "
        "--columns all)"
    )
    assert choose in fit(b"a,b\n1,2\n")
    assert "no column 'c'; --column must be one of a, b, or an index from 0 to 1" in fit(
        b"a,b\n1,2\n", "--column", "c"
    )
    assert "no column '2'" in fit(b"a,b\n1,2\n", "--column", "2")
    assert "no column 'w'; --weights must" in fit(b"a\n1\n2\n", "--weights", "w")
    assert "2 columns named 'a'; give --column by index: 0 or 2" in fit(
        b"a,b,a\n1,2,3\n", "--column", "a"
    )
    assert "is empty" in fit(b"")
    assert "no rows under the header" in fit(b"a\n")
    assert "all 2 rows were dropped" in fit(b"a\nx\ny\n", "--drop-missing")
    assert "the first line, 1.5, 2, looks like data. Add a header row" in fit(
        b"1.5,2\n2,3\n", "--column", "0"
    )
    assert "bad.csv is not a CSV file in UTF-8" in fit(b"a\n\xff\xfe\n")
    assert "the delimiter must be one character" in fit(b"a\n1\n", "--delimiter", "::")


# --------------------------------------------------------------------------------------- sample


@pytest.fixture
def saved(line_file):
    main("fit data.csv --column value --beta 9 --out fit.npz".split())
    return Path("fit.npz")


def test_samples_are_the_library_s_in_full_precision(saved, capsys):
    capsys.readouterr()
    command = "sample fit.npz -n 50 --out samples.csv --random-state 4"
    assert main(command.split()) == 0
    assert capsys.readouterr().out == "50 samples (exact) written to samples.csv\n"
    lines = Path("samples.csv").read_text().splitlines()
    assert lines[0] == "x"
    expected = load(saved).sample(50, random_state=4)
    assert [float(line) for line in lines[1:]] == expected.tolist()
    # samples are data: they can be fitted
    assert main("fit samples.csv --beta 20".split()) == 0


def test_samples_go_to_standard_output_without_a_file(saved, capsys):
    capsys.readouterr()
    assert main("sample fit.npz -n 3 --random-state 4".split()) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "x" and len(lines) == 4


@pytest.mark.parametrize("method", ["langevin", "mala"])
def test_chains(saved, capsys, method):
    command = f"sample fit.npz -n 20 --method {method} --step 0.01 --n-steps 15 --random-state 4"
    assert main([*command.split(), "--out", "s.csv"]) == 0
    expected = load(saved).sample(20, method=method, step=0.01, n_steps=15, random_state=4)
    assert np.array_equal(np.loadtxt("s.csv", skiprows=1), expected)


def test_errors_of_sample(saved, capsys):
    capsys.readouterr()
    assert "nothing.npz" in fails(capsys, "sample", "nothing.npz")
    assert "data.csv cannot be loaded: it is not an .npz file" in fails(
        capsys, "sample", "data.csv"
    )
    assert "method must be one of" in fails(capsys, "sample", saved, "--method", "gibbs")
    assert "n must be an integer >= 1; got 0" in fails(capsys, "sample", saved, "-n", 0)
    assert "step = 0.1 has no effect with method='exact'" in fails(
        capsys, "sample", saved, "--step", 0.1
    )
    wild = fails(capsys, "sample", saved, "--method", "langevin", "--step", 1e6, "-n", 5)
    assert "step" in wild


# ---------------------------------------------------------------------------------- demo, bench


def test_demo_runs_where_it_is_told(monkeypatch, capsys):
    calls = []

    def run_demo(folder, *, random_state):
        calls.append((folder, random_state))
        return "the table"

    stand_in = types.SimpleNamespace(run_demo=run_demo)
    monkeypatch.setitem(sys.modules, "convexscore.cli.demo", stand_in)
    assert main(["demo"]) == 0
    assert main(["demo", "--out", "elsewhere"]) == 0
    assert calls == [("demo_output", 0), ("elsewhere", 0)]
    assert capsys.readouterr().out == "the table\nthe table\n"


# --------------------------------------------------------------------------------- the program


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"convexscore {convexscore.__version__}\n"


def program(*arguments, **options):
    code = "import sys; from convexscore.cli.main import main; sys.exit(main())"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, text=True, **options
    )


@pytest.mark.slow
def test_exit_code_and_streams_of_the_program(saved):
    path = str(saved.resolve())
    done = program("sample", "no.npz", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = done.communicate()
    assert (done.returncode, out) == (2, "")
    assert err.startswith("convexscore: error: ") and len(err.splitlines()) == 1
    # a reader that stops early, like head, is no error
    done = program("sample", path, "-n", "200000", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout.readline() == "x\n"
    done.stdout.close()
    assert done.stderr.read() == ""
    done.stderr.close()
    assert done.wait() == 0
