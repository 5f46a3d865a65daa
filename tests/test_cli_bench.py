"""``convexscore bench``: which checkout it runs, and what it passes on."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from convexscore.cli import bench as _cli_bench

ROOT = Path(__file__).resolve().parents[1]
ECHO = "import os, sys\nprint(os.getcwd())\nprint(sys.argv[1:])\nsys.exit(3)\n"


def parse(*arguments):
    parser = argparse.ArgumentParser()
    _cli_bench.add_bench_parser(parser.add_subparsers(required=True))
    return parser.parse_args(["bench", *arguments])


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """As if the package lay in site-packages and the user stood in an empty folder."""
    site, here = tmp_path / "site-packages", tmp_path / "here"
    (site / "convexscore").mkdir(parents=True)
    here.mkdir()
    monkeypatch.setattr(_cli_bench, "__file__", str(site / "convexscore" / "cli" / "bench.py"))
    monkeypatch.chdir(here)
    return here


def make_checkout(folder):
    # with an __init__, or another benchmarks/ on the path would come first
    for part in ("benchmarks/__init__.py", "benchmarks/__main__.py", "benchmarks/harness.py",
                 "convexscore/__init__.py"):  # fmt: skip
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text(ECHO if part.endswith("__main__.py") else "")


# ---------------------------------------------------------------------- convexscore bench
def test_checkout_of_the_package_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _cli_bench.find_checkout() == ROOT


def test_wheel_without_checkout_says_what_to_do(wheel):
    with pytest.raises(ValueError, match=r"not part of the installed package.*Clone it"):
        _cli_bench.run_bench(parse("figure1", "--quick"))


def test_somebody_elses_benchmarks_folder_is_not_run(wheel):
    (wheel / "benchmarks").mkdir()
    (wheel / "benchmarks" / "__main__.py").write_text("raise SystemExit(0)")
    with pytest.raises(ValueError, match="no clone of the repository"):
        _cli_bench.run_bench(parse())


def test_arguments_folder_and_exit_code_are_passed_on(wheel, capfd):
    make_checkout(wheel)
    assert _cli_bench.run_bench(parse("memory", "figure1", "--quick", "--out", "there")) == 3
    where, arguments = capfd.readouterr().out.splitlines()
    assert Path(where) == wheel
    expected = ["memory", "figure1", "--seed", "0", "--quick", "--out", str(wheel / "there")]
    assert arguments == str(expected)
    assert _cli_bench.run_bench(parse("--strict", "--seed", "5")) == 3
    assert capfd.readouterr().out.splitlines()[1] == str(["--seed", "5", "--strict"])


def test_the_real_command_refuses_unknown_names(capfd):
    assert _cli_bench.run_bench(parse("no_such_benchmark")) == 2
    assert "choose from import_time" in capfd.readouterr().err


def test_wrong_options_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        parse("--fast")
    assert stopped.value.code == 2 and "unrecognized arguments: --fast" in capsys.readouterr().err


def test_both_parsers_take_the_same_options(capsys):
    with pytest.raises(SystemExit):
        command.main(["--help"])
    theirs = capsys.readouterr().out
    with pytest.raises(SystemExit):
        parse("--help")
    ours = capsys.readouterr().out
    for option in ("NAME", "--quick", "--out", "--seed", "--strict"):
        assert option in theirs and option in ours
