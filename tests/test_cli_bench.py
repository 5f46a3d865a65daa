"""``convexscore bench`` and ``python -m benchmarks``: where they run, what they say beforehand."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import harness, load  # noqa: E402
from convexscore.cli import bench as _cli_bench  # noqa: E402

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
    for part in ("benchmarks/__main__.py", "benchmarks/harness.py", "convexscore/__init__.py"):
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text(ECHO if part.endswith("__main__.py") else "")


# ---------------------------------------------------------------------- convexscore bench
def test_checkout_of_the_package_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert _cli_bench.find_checkout() == Path(ROOT)


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


# ---------------------------------------------------------------------- python -m benchmarks
@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (3840, "1 h 4 min")],
)
def test_durations(seconds, text):
    assert command.duration(seconds) == text


def test_times_come_from_the_records(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"seconds": 100.0}))
    (tmp_path / "b.json").write_text("not json")
    (tmp_path / "c.json").write_text(json.dumps({"seconds": None}))
    (tmp_path / "d.json").write_text(json.dumps([1]))
    assert command.known_seconds("abcde", tmp_path) == {"a": 100.0}
    assert command.estimate(["a"], {"a": 100.0}).startswith("1 benchmark, about 1 min 40 s")
    some = command.estimate(["a", "b"], {"a": 100.0})
    assert "2 benchmarks, about 1 min 40 s" in some and "not counting b," in some
    assert "no earlier run" in command.estimate(["b"], {})
    assert command.headline("abc", 0, {"a": 5.0, "c": 70.0}) == (
        "[1/3, about 5 s, then 1 min 10 s to go] "
    )
    assert command.headline("abc", 1, {"a": 5.0}) == "[2/3] "


def test_committed_records_tell_the_time_of_a_full_run():
    known = command.known_seconds(command.NAMES, command.RESULTS)
    assert known and all(0.0 < seconds < 3600.0 for seconds in known.values())


def test_time_and_progress_are_told_and_interruption_is_clean(tmp_path, monkeypatch, capsys):
    def stand_in(settings, seed):
        assert "about" in capsys.readouterr().out  # said before the first one ran
        return harness.Report({"t": [{"n": 1}]}, [harness.Check("fine", 1.0, 2.0)])

    def interrupted(settings, seed):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "RESULTS", tmp_path)
    (tmp_path / "quick").mkdir()
    (tmp_path / "quick" / "small_beta.json").write_text(json.dumps({"seconds": 7.0}))
    for name, run in (("small_beta", stand_in), ("import_time", interrupted)):
        monkeypatch.setattr(load(name), "run", run)
    monkeypatch.setattr(load("small_beta"), "draw", lambda report: None)
    assert command.main(["small_beta", "import_time", "--quick"]) == command.STOPPED
    out = capsys.readouterr().out
    assert "stopped during import_time; finished: 1 of 2" in out and "[2/2]" in out
    assert json.loads((tmp_path / "quick" / "small_beta.json").read_text())["quick"]


def test_negative_seed_is_refused(capsys):
    with pytest.raises(SystemExit):
        command.main(["small_beta", "--seed", "-1"])
    assert "--seed must be an integer >= 0" in capsys.readouterr().err
