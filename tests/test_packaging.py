"""The built wheel: what is in it, and that it works away from the source folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ["convexscore", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel built from a copy: building in place would leave build/ behind and pick it up."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source / name)
    # Decoys that a careless packages setting would pick up.
    for decoy in ("tests", "benchmarks", "notebooks"):
        (source / decoy).mkdir()
        (source / decoy / "__init__.py").touch()
    out = tmp_path_factory.mktemp("wheel")
    # what pip calls, without pip's own start
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(out)!r})"
    command = [sys.executable, "-c", build]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = out.glob("*.whl")
    return path


def test_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.split("/")[0] for name in names}
    [info] = [name for name in top if name.endswith(".dist-info")]
    assert top == {"convexscore", info}
    assert info.startswith("convexscore-")
    assert {"convexscore/py.typed", "convexscore/plotting/film.html"} <= set(names)
    assert any(name.startswith(info) and name.endswith("LICENSE") for name in names)
    # Every module of the source, subpackages included, is there.
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "convexscore").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules


def test_wheel_works_from_another_folder(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = (
        "import convexscore, importlib.metadata as m, numpy as np\n"
        "from convexscore.samplers import langevin\n"
        "langevin(lambda x: -x, np.zeros(3), step=0.1, n_steps=2, random_state=0)\n"
        "print(convexscore.__file__)\n"
        "print(m.version('convexscore'), getattr(convexscore, '__version__', None))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=elsewhere, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    file, versions = done.stdout.splitlines()
    assert Path(file) == site / "convexscore" / "__init__.py"
    installed, declared = versions.split()
    assert installed == wheel.name.split("-")[1]
    assert declared in (installed, "None")
