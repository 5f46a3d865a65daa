"""README and docs: their code runs, their tables are those of the code, their links lead somewhere."""

import ast
import configparser
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import png_size
from test_structure import FLOORS

from convexscore import (
    ConvexDiffusion,
    ConvexScore,
    Outcome,
    fit_convex_diffusion,
    fit_convex_score,
    regularization_path,
)
from convexscore.cli import main
from convexscore.objectives import DiffusionOptions, PathOptions, ScoreOptions
from convexscore.samplers import RunOptions
from convexscore.samplers.options import DEFAULTS, NOT_OF_CHAINS, NOT_OF_LEVELS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
SLOW = ("README.md", "diffusion.md", "cluster.md")


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXTS[name], re.M | re.S)


def table(name, *header):
    """Rows of the table with these first headings, as lists of cells."""
    lines = iter(TEXTS[name].splitlines())
    for line in lines:
        if cells(line)[: len(header)] == list(header):
            next(lines)
            rows = []
            for row in lines:
                if not row.startswith("|"):
                    break
                rows.append(cells(row))
            assert rows and all(len(row) == len(cells(line)) for row in rows)
            return rows
    raise AssertionError(f"{name} has no table {header}")


def cells(line):
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def code(cell):
    """What a cell says between backticks, as a value where it is one."""
    [text] = re.findall(r"^`(.*)`$", cell)
    return text


# ------------------------------------------------------------------------------------- it runs

with_code = [name for name in TEXTS if blocks(name, "python")]
assert len(with_code) >= 6


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in with_code],
)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    """From top to bottom, in one namespace per page; a warning is an error here."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": name}
    for block in blocks(name, "python"):
        exec(compile(block, name, "exec"), names)


@pytest.mark.slow
def test_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    columns = np.c_[np.r_[rng.normal(-2, 1, 40), rng.normal(2, 0.5, 20)], rng.normal(size=60)]
    np.savetxt("data.csv", columns, delimiter=",", header="NAME,OTHER", comments="")
    lines = [line for block in blocks("command-line.md", "sh") for line in block.splitlines()]
    lines += re.findall(r"^On the command line: `(.*)`", TEXTS["README.md"], re.M)
    ran = set()
    for line in lines:
        words = shlex.split(line.split("  #")[0])
        assert words[0] == "convexscore"
        if words[1] != "bench":  # names are checked below, benchmarks have tests of their own
            assert main(words[1:]) == 0, line
            ran.add(words[1])
    assert ran == {"fit", "sample", "diffuse", "demo"}
    assert "optimal" in capsys.readouterr().out
    assert {path.name for path in Path().iterdir()} == {
        "data.csv", "demo_output", "fit.npz", "fit.png", "samples.csv", "plane.npz", "model.npz",
    }  # fmt: skip


@pytest.mark.slow
def test_the_picture_can_be_made(tmp_path):
    script = ROOT / "docs" / "picture.py"
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), str(tmp_path / "new.png")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    new, committed = ((p / n).read_bytes() for p, n in ((tmp_path, "new.png"), IMAGE))
    assert png_size(new) == png_size(committed)


IMAGE = (ROOT / "docs" / "images", "demo.png")


# --------------------------------------------------------------------------- it leads somewhere


@pytest.mark.parametrize("name", [*TEXTS, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_names_exist(name):
    page = next((p for p in PAGES if p.name == name), ROOT / name)
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert target.startswith("http") or (page.parent / target).is_file(), target
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake ([a-z-]+)\b(?=`|  | to|,)", text):
        assert re.search(rf"^{target}:", makefile, re.M), target
    bench = {path.stem for path in (ROOT / "benchmarks").rglob("*.py")}
    for target in re.findall(r"convexscore bench ([a-z0-9_]+)", text):
        assert target in bench, target
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    for extra in re.findall(r"'\.\[([a-z]+)\]'", text):
        assert extra in config["options.extras_require"], extra


def test_every_page_is_linked_from_the_readme():
    readme = TEXTS["README.md"]
    assert len(readme.splitlines()) <= 150
    assert {f"docs/{page.name}" for page in PAGES[1:]} <= set(re.findall(r"\((\S+?)\)", readme))
    assert "docs/images/demo.png" in readme
    assert len((IMAGE[0] / IMAGE[1]).read_bytes()) < 150_000


def test_numbers_are_those_of_committed_results():
    results = ROOT / "benchmarks" / "results"
    rows = table("README.md", "what", "measured", "by")
    assert len(rows) == 5
    for _, measured, by in rows:
        name = code(by).split()[-1]
        found = set(re.findall(r"[\d.]*\d", (results / f"{name}.md").read_text(encoding="utf-8")))
        numbers = re.findall(r"\d[\d.]*", measured)
        assert numbers and set(numbers) <= found, (name, measured)
    for _, _, name in table("measurements.md", "what", "measured", "benchmark"):
        assert (results / f"{code(name)}.md").is_file()


# ---------------------------------------------------------------------- its tables are the code's


def documented(name, column, *header):
    """Options of a table that have a default in this column, as the code would write it."""
    rows = table(name, "option", *header)
    place = ("option", *header).index(column)
    return {code(row[0]): row[place] for row in rows if row[place] != "–"}


FITS = ("fit", "path", "diffusion")
SIGNATURES = {
    "fit": (fit_convex_score, ScoreOptions, ConvexScore()),
    "path": (regularization_path, PathOptions, ConvexScore()),
    "diffusion": (fit_convex_diffusion, DiffusionOptions, ConvexDiffusion()),
}


@pytest.mark.parametrize("column", FITS)
def test_all_options_of_fits_are_listed_with_their_defaults(column):
    function, options, estimator = SIGNATURES[column]
    own = inspect.getfullargspec(function).kwonlydefaults or {}
    expected = own | {name: getattr(estimator, name) for name in options.__annotations__}
    found = documented("options.md", column, *FITS)
    assert {name: ast.literal_eval(code(cell)) for name, cell in found.items()} == expected


@pytest.mark.parametrize("column, estimator", [("fit", ConvexScore), ("model", ConvexDiffusion)])
def test_all_options_of_samples_are_listed_with_their_defaults(column, estimator):
    signature = inspect.signature(estimator.sample)
    expected = {
        name: parameter.default
        for name, parameter in signature.parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_KEYWORD
    }
    expected.setdefault("random_state", DEFAULTS["random_state"])
    found = documented("options.md", column, "fit", "model", "meaning")
    assert {
        name: inspect.Parameter.empty if cell == "required" else ast.literal_eval(code(cell))
        for name, cell in found.items()
    } == expected


def test_all_run_options_are_listed_with_their_defaults_and_samplers():
    rows = table("options.md", "run option", "default", "of", "meaning")
    assert {code(row[0]): ast.literal_eval(code(row[1])) for row in rows} == DEFAULTS
    assert set(DEFAULTS) == set(RunOptions.__annotations__)
    of = {
        name: "levels" if name in NOT_OF_CHAINS else "chains" if name in NOT_OF_LEVELS else "both"
        for name in DEFAULTS
    }
    assert {code(row[0]): row[2] for row in rows} == of


def test_all_outcomes_are_listed():
    rows = table("certificate.md", "`outcome`", "what is known", "`optimal`", "what to do")
    assert [code(row[0]) for row in rows] == [outcome.name for outcome in Outcome]
    assert [row[2] for row in rows] == [
        "`True`" if o is Outcome.OPTIMAL else "`False`" for o in Outcome
    ]


def test_the_picture_of_the_rooms_is_the_import_rule():
    floors = [
        tuple(re.findall(r"`(\w+)`", row[1])) for row in table("structure.md", "floor", "rooms")
    ]
    assert floors == list(FLOORS)
    rooms = [code(row[0]) for row in table("structure.md", "room", "what it is for")]
    assert rooms == [room for floor in FLOORS for room in floor]
    for _, where in table("structure.md", "step", "where"):
        for path in re.findall(r"`([^`]+)`", where):
            assert (ROOT / "convexscore" / path).is_file(), path
