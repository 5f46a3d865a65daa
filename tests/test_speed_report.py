"""The speed report copies numbers with their sources, flags stale ones and runs what is missing."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import speed  # noqa: E402
from benchmarks.harness import Check, Report, environment  # noqa: E402


@dataclass(frozen=True)
class FakeSettings:
    sizes: tuple[int, ...] = (1, 2)


def fake_run(settings, seed):
    rows = [
        {"n": 1, "ratio": 20.0},
        {"n": 2, "ratio": 5.0},
        {"n": 3, "ratio": ""},
    ]
    checks = [
        Check("smallest ratio", 5.0, 10.0, at_least=True),
        Check("seconds", 2.0, 8.0, timing=True),
    ]
    return Report({"Ratios": rows, "Other": [{"ratio": 1000.0}]}, checks)


FAKE = SimpleNamespace(FULL=FakeSettings(), QUICK=FakeSettings((1,)), TITLE="fake", run=fake_run)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the full result of a benchmark of our own."""
    monkeypatch.setattr(speed, "load", lambda name: FAKE)
    monkeypatch.setattr(
        speed,
        "COMPARISONS",
        (speed.Comparison("fake", "ratio", "rival", "fake task", table="Ratios", aim="smallest"),),
    )
    report = fake_run(FAKE.FULL, 0).completed("fake", "fake", FAKE.FULL, 0, False, 1.0)
    (tmp_path / "fake.json").write_text(report.as_json())
    return tmp_path


def edit(folder, change):
    path = folder / "fake.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def settings(folder, *names, run_missing=False):
    return speed.Settings(str(folder), names, run_missing)


def test_numbers_are_copied_with_their_source(folder):
    report = speed.run(settings(folder, "fake"), 0)
    first, second = report.tables["Aims"]
    today = environment()["date"]
    assert first["source"] == f"fake, {today}" and first["verdict"] == "FAIL"
    assert first["measured"] == 5.0 and first["times better than the aim"] == 0.5
    assert second["verdict"] == "PASS" and second["times better than the aim"] == 4.0
    (times,) = report.tables["How many times faster"]
    assert (times["cases"], times["times faster, least"], times["most"]) == (2, 5.0, 20.0)
    assert times["aim"] == 10.0 and times["aimed at"] == "smallest ratio"
    (source,) = report.tables["Sources"]
    assert source["stale"] == "no" and source["date"] == today and source["machine"]
    assert all(check.verdict == "PASS" for check in report.checks)
    assert any("1 missed; fake" in note for note in report.notes)
    assert speed.draw(report).axes


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda c: c["environment"]["versions"].update(convexscore="0.0.1"),
            "convexscore 0.0.1, now",
        ),
        (lambda c: c["settings"].update(sizes=[1]), "settings have changed"),
        (lambda c: c.update(quick=True), "quick run"),
    ],
)
def test_stale_results_are_flagged(folder, change, reason):
    edit(folder, change)
    report = speed.run(settings(folder, "fake"), 0)
    assert reason in report.tables["Sources"][0]["stale"]
    assert all(row["source"].endswith("(stale)") for row in report.tables["Aims"])
    assert report.checks[1].verdict == "FAIL"


def test_other_versions_of_packages_are_named(folder):
    edit(folder, lambda c: c["environment"]["versions"].update(numpy="1.0"))
    (row,) = speed.run(settings(folder, "fake"), 0).tables["Sources"]
    assert row["stale"] == "no" and row["other versions"].startswith("numpy 1.0 (here ")


def test_missing_results_are_named_or_run_quick(folder):
    report = speed.run(settings(folder, "fake", "gone"), 0)
    assert any(note.startswith("gone is missing: no gone.json") for note in report.notes)
    assert report.checks[0].value == 1 and report.checks[0].verdict == "FAIL"
    report = speed.run(settings(folder, "fake", "gone", run_missing=True), 0)
    rows = {row["source"]: row for row in report.tables["Sources"]}
    assert rows["gone"]["file"] == "run now, quick" and "quick run" in rows["gone"]["stale"]
    mine = [row for row in report.tables["Aims"] if row["source"].startswith("gone")]
    assert [row["verdict"] for row in mine] == [
        "FAIL",
        "----",
    ]  # times of quick runs are not judged
    assert report.checks[0].value == 1


def test_no_results_at_all_is_an_error(folder):
    with pytest.raises(FileNotFoundError, match="run python -m benchmarks first"):
        speed.run(settings(folder / "nowhere", "fake"), 0)


def test_times_better():
    assert speed.times_better(200.0, 100.0, True) == 2.0
    assert speed.times_better(200.0, 100.0, False) == 0.5
    assert speed.times_better(0.0, 0.0, False) == "" == speed.times_better(-1e-9, 1e-6, False)


def test_ours_first_is_turned_round_and_ourselves_left_out():
    source = {
        "tables": {
            "Samplers": [{"solver": "other", "x": 4.0}, {"solver": "convexscore", "x": 1.0}],
        }
    }
    turned = speed.Comparison("s", "x", "{solver}", "what", ours_first=True)
    assert speed.ratios(turned, source) == {"other": [0.25]}


def test_committed_results_say_what_the_report_says():
    """Every aim and every ratio of the report is a number of the JSON file it names."""
    report = speed.run(speed.QUICK, 0)
    folder = Path(speed.__file__).parent / speed.QUICK.folder
    for row in report.tables["Sources"]:
        content = json.loads((folder / f"{row['source']}.json").read_text())
        mine = [r for r in report.tables["Aims"] if r["source"].startswith(f"{row['source']}, ")]
        assert [r["measured"] for r in mine] == [check["value"] for check in content["checks"]]
        cells = [v for rows in content["tables"].values() for r in rows for v in r.values()
                 if isinstance(v, float) and v > 0]  # fmt: skip
        for times in report.tables["How many times faster"]:
            if times["source"].startswith(f"{row['source']}, "):
                for value in (times["times faster, least"], times["median"], times["most"]):
                    assert value in cells or any(1.0 / cell == value for cell in cells)
    known = {"univariate_vs_conic", "dsm_vs_lasso", "planar_vs_conic", "univariate_scaling"}
    assert known <= {row["source"].split(",")[0] for row in report.tables["How many times faster"]}
