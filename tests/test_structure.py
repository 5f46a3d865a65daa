"""The house: which room may import which, what an import loads, how many modules lie at the root."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import convexscore

ROOT = Path(convexscore.__file__).parent

# Every room may import those on later lines, never one on its own or an earlier line.
FLOORS = (
    ("cli",),
    ("plotting", "persistence"),
    ("training",),
    ("models",),
    ("selection",),
    ("solvers",),
    ("objectives",),
    ("programs", "ddpm_errors", "metrics"),
    ("denoisers",),
    ("targets", "arrangements"),
    ("samplers",),
    ("scores",),
    ("schedules",),
    ("_tools",),
)
# What lies lower than its floor says: the import rule of these rooms is stricter.
ONLY = {
    "programs": {"arrangements", "scores", "_tools"},
    "arrangements": {"scores", "_tools"},
    "metrics": {"samplers", "schedules", "scores", "targets", "_tools"},
}


def imports_of(path, module):
    """Absolute names that a file imports, inside functions too, those for types apart."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([base] if base else [])])
            yield base
            yield from (f"{base}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def modules():
    """Dotted name of every module and its file."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(("convexscore", *(p for p in parts if p != "__init__"))), path


def room(module):
    """The first name below the package."""
    return module.split(".")[1] if "." in module else ""


def arrows(contracted):
    """Edges between modules; ``contracted``: between rooms, the parents of what is imported counted."""
    known = dict(modules())
    graph = {}
    for module, path in known.items():
        targets = set()
        for name in imports_of(path, module):
            while name and name not in known:
                name = name.rpartition(".")[0]
            # importing a.b.c runs a.b too; the root resolves its names lazily
            while name and name != "convexscore":
                targets.add(name)
                name = name.rpartition(".")[0]
        if contracted:
            graph.setdefault(room(module), set()).update(
                room(t) for t in targets if room(t) != room(module)
            )
        else:
            # a package and the modules it gathers are one room
            graph[module] = {t for t in targets if not f"{module}.".startswith(f"{t}.")}
    return graph


def test_every_room_has_a_floor_and_imports_point_downwards():
    floor = {name: k for k, names in enumerate(FLOORS) for name in names}
    graph = arrows(contracted=True)
    graph.pop("")
    assert set(graph) == set(floor)
    wrong = [
        f"{name} -> {target}"
        for name, targets in graph.items()
        for target in targets
        if target and floor[target] <= floor[name]
    ]
    assert wrong == []
    for name, allowed in ONLY.items():
        assert graph[name] <= allowed, name


def test_no_circle_among_modules():
    list(TopologicalSorter(arrows(contracted=False)).static_order())  # CycleError if there is one


def test_the_root_is_an_entrance_hall():
    here = [path.name for path in ROOT.glob("*.py")]
    assert len(here) <= 10 and "__init__.py" in here
    assert not [p for p in ROOT.rglob("_*.py") if p.name not in ("__init__.py", "__main__.py")]


LIGHT = {
    "import convexscore": {"numpy", "scipy", "sklearn", "cvxpy", "matplotlib", "pandas", "joblib"},
    "import convexscore.plotting": {"matplotlib"},
    "import convexscore.training": {"cvxpy", "matplotlib", "convexscore.plotting", "convexscore.cli"},
    "import convexscore as cs; cs.fit_convex_score([0., 1., 3., 4.], beta=3.0).sample(2)": {
        "cvxpy", "matplotlib", "convexscore.plotting", "convexscore.cli", "convexscore.programs",
    },
    "import convexscore as cs; m = cs.fit_convex_diffusion([0., 1., 3., 4.], beta=3.0, n_levels=2); "
    "repr(m.certificates_)": {
        "cvxpy", "matplotlib", "convexscore.plotting", "convexscore.cli", "convexscore.programs",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("code", LIGHT)
def test_nothing_heavy_is_loaded_on_the_way(code):
    code = f"{code}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True, text=True, check=False, cwd=ROOT.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "convexscore" in loaded
    (wanted,) = (heavy for start, heavy in LIGHT.items() if code.startswith(start + "\n"))
    assert loaded & wanted == set()


def test_every_public_name_exists():
    """At run time and for type checkers, to which the same names are said apart."""
    [typed] = [
        node
        for node in ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    names = [alias.asname for line in typed.body for alias in line.names]
    assert sorted([*names, "__version__"]) == sorted(convexscore.__all__)
    for name in convexscore.__all__:
        value = getattr(convexscore, name)
        # the face of a room
        assert all(hasattr(value, inner) for inner in getattr(value, "__all__", ()))
    assert set(convexscore.__all__) <= set(dir(convexscore))
    with pytest.raises(AttributeError, match="no attribute 'fit_everything'"):
        _ = convexscore.fit_everything
