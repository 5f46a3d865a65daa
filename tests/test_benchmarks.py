"""The benchmarks run and meet their own aims; what they share: records, the command, the report."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import NAMES, harness, load, speed
from benchmarks import __main__ as command
from benchmarks.harness import Check, Report, environment

SHAPE = {"checks", "data", "environment", "name", "notes", "quick", "seconds", "seed", "settings",
         "tables", "title"}  # fmt: skip
# What a table says in place of a number where there is none.
UNKNOWN = {"final gap (best)", "final gap (median)", "1: gap (median)", "factor"}


# ---------------------------------------------------------------------- every benchmark, small
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_benchmark_runs_and_its_numbers_hold(name, tmp_path, capsys):
    """Run as the command line does; numbers that are not times are judged even in quick runs."""
    assert command.main([name, "--quick", "--out", str(tmp_path)]) == 0
    assert "aims" in capsys.readouterr().out
    found = json.loads((tmp_path / f"{name}.json").read_text())
    assert set(found) == SHAPE and found["name"] == name and found["quick"] and found["seed"] == 0
    where = found["environment"]
    assert {"processor", "cpus", "versions", "load_average", "date"} <= set(where)
    assert {"numpy", "scipy", "convexscore"} <= set(where["versions"])
    assert found["tables"] and all(found["tables"].values())
    judged = [check for check in found["checks"] if check["judged"]]
    assert not any(check["timing"] for check in judged)
    assert [check for check in judged if check["verdict"] != "PASS"] == []
    numbers = {(key, value) for rows in found["tables"].values() for row in rows
               for key, value in row.items() if isinstance(value, float)}  # fmt: skip
    assert [key for key, value in numbers if not np.isfinite(value) and key not in UNKNOWN] == []
    text = (tmp_path / f"{name}.md").read_text()
    assert all(title in text for title in found["tables"])
    assert f"`python -m benchmarks {name} --quick --seed 0`" in text
    assert name in (tmp_path / "summary.md").read_text()
    picture = tmp_path / f"{name}.png"
    assert picture.exists() == (name != "import_time")
    assert not picture.exists() or picture.stat().st_size > 8_000
    if name.startswith("figure"):
        assert any("Sizes" in note and "ours" in note for note in found["notes"])
        assert all(row["panel"] and row["name"] for row in found["data"])


# ---------------------------------------------------------------------- the harness
def test_measure_warms_up_and_reports_the_median():
    calls = []
    timing, result = harness.measure(lambda: calls.append(None) or len(calls), repeats=3, warmup=2)
    assert len(calls) == 5 and result == 5 and timing.repeats == 3
    assert timing.fastest <= timing.wall <= timing.slowest
    with pytest.raises(ValueError, match="repeats"):
        harness.measure(lambda: None, repeats=0)


@pytest.mark.parametrize(
    ("value", "options", "verdict"),
    [(1.0, {}, "PASS"), (3.0, {}, "FAIL"), (3.0, {"at_least": True}, "PASS"),
     (1.0, {"at_least": True}, "FAIL"), (float("nan"), {}, "FAIL"),
     (3.0, {"judged": False}, "----")],
)  # fmt: skip
def test_checks_judge_in_the_right_direction(value, options, verdict):
    assert Check("a", value, 2.0, **options).verdict == verdict


def test_times_are_judged_in_full_runs_only():
    report = Report({}, [Check("t", 9, 1, timing=True), Check("v", 9, 1)])
    for quick, verdicts in ((True, ["----", "FAIL"]), (False, ["FAIL", "FAIL"])):
        done = report.completed("n", "t", load("small_beta").QUICK, 0, quick, 1.0)
        assert [check.verdict for check in done.checks] == verdicts


def test_growth_exponent_and_table():
    sizes = np.array([10.0, 100.0, 1000.0])
    assert harness.growth_exponent(sizes, 3e-6 * sizes**1.5) == pytest.approx(1.5)
    table = harness.markdown_table([{"n": 10, "a|b": 0.12345}, {"n": 20, "ok": True}])
    assert table.splitlines()[0] == "| n | a|b | ok |"
    assert table.splitlines()[2:] == ["| 10 | 0.123 |  |", "| 20 |  | yes |"]


def test_thread_limit_is_undone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with harness.single_thread():
        assert os.environ["OMP_NUM_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "3" and "OPENBLAS_NUM_THREADS" not in os.environ


# ---------------------------------------------------------------------- python -m benchmarks
@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["no_such_benchmark"], "univariate_scaling"), (["small_beta", "--seed", "-1"], "--seed")],
)
def test_wrong_arguments_are_refused(arguments, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        command.main(arguments)
    assert stopped.value.code == 2 and said in capsys.readouterr().err


def test_helpers_are_no_benchmarks_and_figures_are():
    with pytest.raises(ValueError, match="choose from"):
        load("harness")
    assert load("figure1").__name__ == "benchmarks.paper.figure1"


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """``stand_in(name, run)`` replaces a benchmark; results go to a folder of the test's own."""
    monkeypatch.setattr(command, "RESULTS", tmp_path)

    def replace(name, run):
        monkeypatch.setattr(load(name), "run", run)
        monkeypatch.setattr(load(name), "draw", lambda report: None)

    return replace


def test_missed_aims_are_an_error_with_strict_only(stand_in, capsys):
    bad = Report({"t": [{"n": 1}]}, [Check("too large", 2.0, 1.0)])
    stand_in("small_beta", lambda settings, seed: bad)
    assert command.main(["small_beta", "--quick"]) == 0
    assert command.main(["small_beta", "--quick", "--strict"]) == 1
    assert "1 missed" in capsys.readouterr().out


def test_time_and_progress_are_told_and_interruption_is_clean(stand_in, tmp_path, capsys):
    def good(settings, seed):
        assert "about" in capsys.readouterr().out  # said before the first one ran
        return Report({"t": [{"n": 1}]}, [Check("fine", 1.0, 2.0)])

    def interrupted(settings, seed):
        raise KeyboardInterrupt

    record = tmp_path / "quick" / "small_beta.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"seconds": 7.0}))
    stand_in("small_beta", good)
    stand_in("import_time", interrupted)
    assert command.main(["small_beta", "import_time", "--quick"]) == command.STOPPED
    out = capsys.readouterr().out
    assert "stopped during import_time; finished: 1 of 2" in out and "[2/2]" in out
    assert json.loads(record.read_text())["quick"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (3840, "1 h 4 min")],
)
def test_durations(seconds, text):
    assert command.duration(seconds) == text


def test_times_come_from_the_records(tmp_path):
    for name, text in {"a": '{"seconds": 100.0}', "b": "not json", "c": '{"seconds": null}',
                       "d": "[1]"}.items():  # fmt: skip
        (tmp_path / f"{name}.json").write_text(text)
    assert command.known_seconds("abcde", tmp_path) == {"a": 100.0}
    assert command.estimate(["a"], {"a": 100.0}).startswith("1 benchmark, about 1 min 40 s")
    some = command.estimate(["a", "b"], {"a": 100.0})
    assert "2 benchmarks, about 1 min 40 s" in some and "not counting b," in some
    assert "no earlier run" in command.estimate(["b"], {})
    told = command.headline("abc", 0, {"a": 5.0, "c": 70.0})
    assert told == "[1/3, about 5 s, then 1 min 10 s to go] "
    assert command.headline("abc", 1, {"a": 5.0}) == "[2/3] "
    committed = command.known_seconds(NAMES, command.RESULTS)
    assert committed and all(0.0 < seconds < 3600.0 for seconds in committed.values())


# ---------------------------------------------------------------------- the speed report
@dataclass(frozen=True)
class FakeSettings:
    sizes: tuple[int, ...] = (1, 2)


def fake_run(settings, seed):
    rows = [{"n": 1, "ratio": 20.0}, {"n": 2, "ratio": 5.0}, {"n": 3, "ratio": ""}]
    checks = [Check("smallest ratio", 5.0, 10.0, at_least=True),
              Check("seconds", 2.0, 8.0, timing=True)]  # fmt: skip
    return Report({"Ratios": rows, "Other": [{"ratio": 1000.0}]}, checks)


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The path of the full result of a benchmark of our own."""
    module = SimpleNamespace(FULL=FakeSettings(), QUICK=FakeSettings((1,)), TITLE="f", run=fake_run)
    monkeypatch.setattr(speed, "load", lambda name: module)
    ratio = speed.Comparison("fake", "ratio", "rival", "fake task", table="Ratios", aim="smallest")
    monkeypatch.setattr(speed, "COMPARISONS", (ratio,))
    report = fake_run(module.FULL, 0).completed("fake", "fake", module.FULL, 0, False, 1.0)
    (tmp_path / "fake.json").write_text(report.as_json())
    return tmp_path / "fake.json"


def speed_of(path, *names):
    return speed.run(speed.Settings(str(path.parent), names), 0)


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_numbers_are_copied_with_their_source(fake):
    report, today = speed_of(fake, "fake"), environment()["date"]
    first, second = report.tables["Aims"]
    assert first["source"] == f"fake, {today}"
    assert (first["verdict"], first["measured"], first["times better than the aim"]) == (
        "FAIL", 5.0, 0.5)  # fmt: skip
    assert (second["verdict"], second["times better than the aim"]) == ("PASS", 4.0)
    (times,) = report.tables["How many times faster"]
    assert (times["cases"], times["times faster, least"], times["most"]) == (2, 5.0, 20.0)
    assert (times["aim"], times["aimed at"]) == (10.0, "smallest ratio")
    (source,) = report.tables["Sources"]
    assert (source["stale"], source["date"]) == ("no", today) and source["machine"]
    assert all(check.verdict == "PASS" for check in report.checks)
    assert any("1 missed; fake" in note for note in report.notes)
    assert speed.draw(report).axes
    edit(fake, lambda c: c["environment"]["versions"].update(numpy="1.0"))
    (source,) = speed_of(fake, "fake").tables["Sources"]
    assert source["stale"] == "no" and source["other versions"].startswith("numpy 1.0 (here ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [(lambda c: c["environment"]["versions"].update(convexscore="0.0.1"), "convexscore 0.0.1"),
     (lambda c: c["settings"].update(sizes=[1]), "settings have changed"),
     (lambda c: c.update(quick=True), "quick run")],
    ids=["version", "settings", "quick"],
)  # fmt: skip
def test_stale_results_are_flagged(fake, change, reason):
    edit(fake, change)
    report = speed_of(fake, "fake")
    assert reason in report.tables["Sources"][0]["stale"]
    assert all(row["source"].endswith("(stale)") for row in report.tables["Aims"])
    assert report.checks[1].verdict == "FAIL"


def test_missing_results_are_named(fake):
    report = speed_of(fake, "fake", "gone")
    assert any(note.startswith("gone is missing: no gone.json") for note in report.notes)
    assert report.checks[0].value == 1 and report.checks[0].verdict == "FAIL"
    with pytest.raises(FileNotFoundError, match="python -m benchmarks"):
        speed_of(fake.parent / "nowhere" / "x.json", "fake")


def test_ratios_and_multiples_of_aims():
    assert speed.times_better(200.0, 100.0, True) == 2.0
    assert speed.times_better(200.0, 100.0, False) == 0.5
    assert speed.times_better(0.0, 0.0, False) == "" == speed.times_better(-1e-9, 1e-6, False)
    rows = [{"solver": "other", "x": 4.0}, {"solver": "convexscore", "x": 1.0}]
    turned = speed.Comparison("s", "x", "{solver}", "what", ours_first=True)
    assert speed.ratios(turned, {"tables": {"Samplers": rows}}) == {"other": [0.25]}


def test_committed_results_say_what_the_report_says():
    """Every aim and every ratio of the report is a number of the JSON file it names."""
    report = speed.run(speed.QUICK, 0)
    folder = Path(speed.__file__).parent / speed.QUICK.folder
    for row in report.tables["Sources"]:
        content = json.loads((folder / f"{row['source']}.json").read_text())
        mine = [r for r in report.tables["Aims"] if r["source"].startswith(f"{row['source']}, ")]
        assert [r["measured"] for r in mine] == [check["value"] for check in content["checks"]]
        cells = {v for rows in content["tables"].values() for r in rows for v in r.values()
                 if isinstance(v, float) and v > 0}  # fmt: skip
        cells |= {1.0 / cell for cell in cells}
        for times in report.tables["How many times faster"]:
            if times["source"].startswith(f"{row['source']}, "):
                assert {times["times faster, least"], times["median"], times["most"]} <= cells
    known = {"univariate_vs_conic", "dsm_vs_lasso", "planar_vs_conic", "univariate_scaling"}
    assert known <= {row["source"].split(",")[0] for row in report.tables["How many times faster"]}
