"""``convexscore bench``: which checkout it runs, and what it passes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import fails

from convexscore.cli import bench, main

ECHO = "import sys, benchmarks\nprint(benchmarks.__file__)\nprint(sys.argv[1:])\nsys.exit(3)\n"


@pytest.fixture
def wheel(monkeypatch, tmp_path):
    """As if the package lay in site-packages and the user stood in an empty folder."""
    site, here = tmp_path / "site-packages", tmp_path / "here"
    here.mkdir()
    monkeypatch.setattr(bench, "__file__", str(site / "convexscore" / "cli" / "bench.py"))
    monkeypatch.chdir(here)
    return here


def make_checkout(folder):
    for part in ("benchmarks/__init__.py", "benchmarks/__main__.py", "benchmarks/harness.py",
                 "convexscore/__init__.py"):  # fmt: skip
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        (folder / part).write_text(ECHO if part.endswith("__main__.py") else "")


def test_without_a_checkout_it_says_what_to_do(wheel, capsys):
    message = fails(capsys, "bench", "figure1", "--quick")
    assert "not part of the installed package" in message and "Clone it" in message
    # somebody else's folder of that name is not run
    (wheel / "benchmarks").mkdir()
    (wheel / "benchmarks" / "__main__.py").write_text("raise SystemExit(0)")
    assert "no clone of the repository" in fails(capsys, "bench")


def test_arguments_folder_and_exit_code_are_passed_on(wheel, capfd):
    make_checkout(wheel)
    arguments = ["memory", "figure1", "--quick", "--out", "there", "--seed", "5", "--help"]
    assert main(["bench", *arguments]) == 3
    where, passed = capfd.readouterr().out.splitlines()
    assert Path(where).parents[1] == wheel and passed == str(arguments)


def test_the_checkout_of_the_package_is_found_from_anywhere(tmp_path, monkeypatch, capfd):
    make_checkout(tmp_path)  # and not what lies there
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "no_such_benchmark"]) == 2
    assert "choose from import_time" in capfd.readouterr().err
