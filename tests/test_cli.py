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


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, inside",
    [("--column 1 --beta 9 --plot a.png", None),
     # denoising, weighted
     ("--column 1 --weights weight --beta 9 --objective denoising --noise 0.5 --random-state 0 "
      "--plot a.svg", "value"),
     ("--columns 1,2 --beta 12 --plot a.png", None),
     ("--columns 1,2 --beta 12 --constraint gradient --plot a.svg", "width, cm"),
     ("--columns 1,2 --beta 12 --objective denoising --noise 0.5 --random-state 0 --plot a.png", None),
    ],
)  # fmt: skip
def test_plot_writes_a_figure(line_file, plane_file, options, inside):
    file = plane_file if "--columns" in options else line_file
    assert main(["fit", str(file), *options.split()]) == 0
    if inside is None:
        assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    else:
        svg = Path("a.svg").read_text()
        assert inside in svg and ("<!-- log p(x)" in svg) == ("gradient" in options)


def test_without_a_density_the_score_alone_is_drawn_and_a_remedy_named(line_file, capsys):
    command = "fit data.csv --column value --beta 3 --activation abs --no-skip --plot b.png"
    assert main(command.split()) == 0
    assert Path("b.png").read_bytes().startswith(b"\x89PNG")
    assert "density      none: left tail: slope +" in capsys.readouterr().out
    command = "fit data.csv --column value --beta 100 --no-skip"  # beta > n: the score is zero
    assert main(command.split()) == 0
    assert "refit with --constraint density" in capsys.readouterr().out
    # a remedy is one not tried yet
    assert main([*command.split(), "--constraint", "density"]) == 0
    out, err = capsys.readouterr()
    assert "refit with another --beta or with --skip" in out
    assert err.startswith("convexscore: warning: constraint='density'")


def test_warnings_are_one_readable_line_on_stderr(line_file, capsys):
    assert main("fit data.csv --column value --beta 1.05".split()) == 0
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1
    assert err.startswith("convexscore: warning: beta = 1.05 is just above the boundedness limit 1")
    assert "optimal" in out


ERRORS = {
    "data.csv --column value": [
        ("--beta 0.5", "beta = 0.5 is not above the boundedness limit 1"),
        ("--beta auto", "beta must be a number > 0 or 'cv'; got 'auto'"),
        ("--activation tanh", "activation must be one of"),
        ("--objective denoising", "noise must be given"),
        ("--beta 9 --out no_folder/fit.npz", "no_folder"),
        ("--beta 9 --plot d.text", "text"),
    ],
    "no_such_file.csv": [("", "no_such_file.csv")],
    "plane.csv --beta 9": [
        ("--columns 1,height", "column 'height' was chosen twice"),
        ("--columns 1,,2", "has no column ''"),
        ("--columns height,depth", "has no column 'depth'"),
        ("--columns all --plot no.png", "--plot draws fits of one or two columns; 4 were chosen"),
        ("--columns 1,2 --constraint density", "constraint='density' is for one column"),
        # whatever has no effect is refused by the library, in its words
        ("--columns 1,2 --n-starts 9", "n_starts = 9 has no effect"),
        (
            "--column 1 --standardize columns",
            "standardize = 'columns' has no effect with one column",
        ),
        ("--column 1 --cv 3", "cv = 3 has no effect with beta = 9"),
    ],
    "plane.csv --columns 1,2": [("--beta 0.1", "beta = 0.1 is too small")],
}


@pytest.mark.parametrize(
    "command, message",
    [(f"{start} {options}", text) for start, rows in ERRORS.items() for options, text in rows],
)
def test_errors_are_one_line(line_file, plane_file, capsys, command, message):
    assert message in fails(capsys, "fit", *command.split())


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
        (
            ["diffuse", "data.csv", "--sigma-max", "wide"],
            "--sigma-max: invalid float value: 'wide'",
        ),
        (["diffuse", "data.csv", "--width", "3"], "unrecognized arguments: --width 3"),
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
    options = {
        "constraint": "log-concave", "standardize": "whitening", "tol": 1e-3,
        "objective": "denoising", "noise": 0.5, "cv": 2, "n_betas": 3, "random_state": 5,
    }  # fmt: skip
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    assert main(["fit", "plane.csv", "--columns", "1,2", *words, "--out", "fit.npz"]) == 0
    fit = fit_convex_score(planar(), **options)
    saved = load("fit.npz")
    assert saved.get_params() == fit.get_params()
    assert np.array_equal(saved.score_function(planar()), fit.score_function(planar()))
    out = capsys.readouterr().out
    assert "constraint log-concave, standardised (whitening)" in out
    assert "density      known up to a constant (the score is a gradient)" in out
    assert "2-fold cross-validation" in out and "asymmetry" not in out


def test_a_local_search_is_named_in_the_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(15, 14))
    np.savetxt("x.csv", x, delimiter=",", header=",".join("abcdefghijklmn"), comments="")
    command = "fit x.csv --columns all --objective denoising --noise 0.8 --beta 40 --n-starts 2"
    assert main([*command.split(), "--random-state", "0", "--out", "fit.npz"]) == 0
    assert load("fit.npz").n_starts == 2
    out = capsys.readouterr().out
    tried = re.search(r"largest violation over (\d+) local searches", out)
    assert tried is not None and int(tried.group(1)) > 0
    assert "'l': " in out and "'m': " not in out and "... (2 more)" in out


def test_samples_of_several_columns_are_data(plane_file, capsys):
    main("fit plane.csv --columns 1,2 --beta 9 --constraint gradient --out fit.npz".split())
    assert main("sample fit.npz -n 30 --n-steps 40 --random-state 4 --out s.csv".split()) == 0
    capsys.readouterr()
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


def column_of(text, *options):
    """The fit of a file with this text."""
    Path("other.csv").write_text(text)
    assert main(["fit", "other.csv", "--beta", "30", "--out", "other.npz", *options]) == 0
    return load("other.npz")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", ":"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_delimiters_are_found_or_given(line_file, delimiter, newline):
    x = bimodal()
    rows = [delimiter.join(["name", " the value ", "other"])]
    rows += [delimiter.join([f'"a, b; {i}"', f"{v!r}", "1"]) for i, v in enumerate(x.tolist())]
    how = ["--delimiter", ":"] if delimiter == ":" else []
    for mark in ("", "\ufeff"):
        fit = column_of(mark + newline.join(rows), "--column", "the value", *how)
        assert np.array_equal(fit.network_.offset, fit_convex_score(x, beta=30.0).network_.offset)


def test_names_of_columns(line_file, capsys):
    # one column needs none, and blank lines do not count
    fit = column_of("value\n\n" + "\n".join(map(repr, bimodal().tolist())) + "\n\n")
    expected = fit_convex_score(bimodal(), beta=30.0)
    assert np.array_equal(fit.network_.offset, expected.network_.offset)
    # a name goes before an index
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
    command = ["fit", line_file, "--columns", "id,weight", "--beta", 30]
    assert "line 4: column 'weight' is empty" in fails(capsys, *command)
    assert main([*map(str, command), "--drop-missing"]) == 0
    assert "n = 59, 59 distinct rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text, options, message",
    [
        (b"a,b\n1,2\n", "",
         "bad.csv has 2 columns; choose one with --column: a, b (several: repeat --column, or "),
        (b"a,b\n1,2\n", "--column c",
         "no column 'c'; --column must be one of a, b, or an index from 0 to 1"),
        (b"a,b\n1,2\n", "--column 2", "no column '2'"),
        (b"a\n1\n2\n", "--weights w", "no column 'w'; --weights must"),
        (b"w\n1\n2\n", "--columns all --weights w", "no column but the weights"),
        (b"a,b,a\n1,2,3\n", "--column a", "2 columns named 'a'; give --column by index: 0 or 2"),
        (b"", "", "is empty"),
        (b"a\n", "", "no rows under the header"),
        (b"a\nx\ny\n", "--drop-missing", "all 2 rows were dropped"),
        (b"1.5,2\n2,3\n", "--column 0", "the first line, 1.5, 2, looks like data. Add a header row"),
        (b"a\n\xff\xfe\n", "", "bad.csv is not a CSV file in UTF-8"),
        (b"a\n1\n", "--delimiter ::", "the delimiter must be one character"),
    ],
)  # fmt: skip
def test_bad_files_and_columns(tmp_path, monkeypatch, capsys, text, options, message):
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_bytes(text)
    assert message in fails(capsys, "fit", "bad.csv", "--beta", 30, *options.split())


# --------------------------------------------------------------------------------------- sample


@pytest.fixture
def saved(line_file, capsys):
    main("fit data.csv --column value --beta 9 --out fit.npz".split())
    capsys.readouterr()
    return Path("fit.npz")


@pytest.mark.parametrize("method", [None, "langevin", "mala"])
@pytest.mark.parametrize("several", [False, True])
def test_samples_are_the_library_s_in_full_precision(
    line_file, plane_file, capsys, method, several
):
    if several:
        model = fit_convex_score(planar(), beta=9.0, constraint="gradient")
        model.feature_names_in_ = np.array(["height", "width, cm"], dtype=object)
    else:
        model = fit_convex_score(bimodal(), beta=9.0)
    save(model, "fit.npz")
    how = {"method": method, "step": 0.01, "n_steps": 15} if method else {}
    if several and not method:
        how = {"n_steps": 15}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in how.items()]
    command = ["sample", "fit.npz", "-n", "20", "--random-state", "4", *words]
    assert main([*command, "--out", "s.csv"]) == 0
    said = method or ("langevin" if several else "exact")
    assert capsys.readouterr().out == f"20 samples ({said}) written to s.csv\n"
    expected = model.sample(20, random_state=4, **how)
    assert np.array_equal(np.loadtxt("s.csv", skiprows=1, delimiter=","), expected)
    text = Path("s.csv").read_text()
    assert text.startswith('height,"width, cm"\n' if several else "x\n")
    # to standard output without a file
    assert main(command) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize(
    "command, message",
    [("nothing.npz", "nothing.npz"),
     ("data.csv", "data.csv cannot be loaded: it is not an .npz file"),
     ("fit.npz --method gibbs", "method must be one of"),
     ("fit.npz -n 0", "n must be an integer >= 1; got 0"),
     ("fit.npz --step 0.1", "step = 0.1 has no effect with method='exact'"),
     ("fit.npz --method langevin --step 1e6 -n 5", "step")],
)  # fmt: skip
def test_errors_of_sample(saved, capsys, command, message):
    assert message in fails(capsys, "sample", *command.split())


# ---------------------------------------------------------------------------------- demo, bench


def test_demo_runs_where_it_is_told(monkeypatch, capsys):
    calls = []

    def run_demo(folder, *, random_state):
        calls.append((folder, random_state))
        return types.SimpleNamespace(summary="the table")

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
    done = program("sample", path, "-n", "20000", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.stdout.readline() == "x\n"
    done.stdout.close()
    assert done.stderr.read() == ""
    done.stderr.close()
    assert done.wait() == 0
