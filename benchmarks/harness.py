"""What all benchmarks share: timing, aims, the record of the run, tables and files."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")
Row = dict[str, Any]
Floats = NDArray[np.float64]

_PACKAGES = (
    "numpy", "scipy", "scikit-learn", "cvxpy", "clarabel", "matplotlib", "celer", "skglm", "numba",
    "torch",
)  # fmt: skip


# ---------------------------------------------------------------------- timing
@dataclass(frozen=True)
class Timing:
    """Seconds of repeated calls: medians of wall and CPU time, and the wall times' range."""

    wall: float
    cpu: float
    fastest: float
    slowest: float
    repeats: int

    @property
    def row(self) -> Row:
        """The columns of a table."""
        return {"seconds": self.wall, "CPU seconds": self.cpu}


def measure(
    call: Callable[[], Result], *, repeats: int = 3, warmup: int = 1
) -> tuple[Timing, Result]:
    """Time ``call`` after ``warmup`` unmeasured calls; returns the last result too."""
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats must be >= 1 and warmup >= 0; got {repeats} and {warmup}.")
    for _ in range(warmup):
        call()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = perf_counter(), process_time()
        result = call()
        walls.append(perf_counter() - wall)
        cpus.append(process_time() - cpu)
    return Timing(median(walls), median(cpus), min(walls), max(walls), repeats), result


def once(call: Callable[[], Result]) -> tuple[Timing, Result]:
    """Time a single call."""
    return measure(call, repeats=1, warmup=0)


def each_job(
    work: Callable[..., Result], jobs: Sequence[tuple[Any, ...]], n_jobs: int
) -> list[Result]:
    """``work(*job)`` for every job, several processes at once; says what is done."""
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    found: list[Result] = []
    results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(work)(*job) for job in jobs)
    for job, result in zip(jobs, results, strict=True):
        found.append(result)
        print(f"  {len(found)} of {len(jobs)}: {job[0]}, {job[1]}", flush=True)
    return found


@contextmanager
def single_thread() -> Iterator[None]:
    """One BLAS and OpenMP thread for everybody, here and in child processes."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        with threadpool_limits(1):
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def growth_exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Least-squares slope of log(seconds) against log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


# ---------------------------------------------------------------------- aims
@dataclass(frozen=True)
class Check:
    """A number, the aim it is held against, and the verdict.

    Aims on time are not judged in quick runs, whose sizes are too small for them.
    """

    text: str
    value: float
    aim: float
    at_least: bool = False
    timing: bool = False
    judged: bool = True

    @property
    def verdict(self) -> str:
        if not self.judged:
            return "----"
        met = self.value >= self.aim if self.at_least else self.value <= self.aim
        return "PASS" if met else "FAIL"

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.verdict}  {self.text}: {_cell(self.value)} (aim {sign} {_cell(self.aim)})"


# ---------------------------------------------------------------------- the record
@dataclass(frozen=True)
class Report:
    """All one benchmark found; a benchmark fills in the first four fields."""

    tables: dict[str, list[Row]]
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    data: list[Row] = field(default_factory=list)  # for the JSON file and the figure only
    name: str = ""
    title: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    quick: bool = False
    seconds: float = 0.0
    environment: dict[str, Any] = field(default_factory=dict)

    def completed(
        self, name: str, title: str, settings: Any, seed: int, quick: bool, seconds: float
    ) -> Report:
        """The same report with the circumstances of the run."""
        checks = [replace(c, judged=not (quick and c.timing)) for c in self.checks]
        return replace(
            self,
            name=name,
            title=title,
            settings=asdict(settings),
            seed=seed,
            quick=quick,
            seconds=seconds,
            environment=environment(),
            checks=checks,
        )

    @property
    def command(self) -> str:
        """What to type to repeat the run."""
        return f"python -m benchmarks {self.name}{' --quick' * self.quick} --seed {self.seed}"

    def as_json(self) -> str:
        content = asdict(self)
        content["checks"] = [{**asdict(c), "verdict": c.verdict} for c in self.checks]
        rows = {"tables": content.pop("tables"), "data": content.pop("data")}
        content |= rows  # the long part last
        return json.dumps(content, indent=1, default=_plain) + "\n"

    def markdown(self, *, heading: bool = True) -> str:
        parts = []
        if heading:
            parts += [f"# {self.name}{' (quick)' if self.quick else ''}", self.title]
        for title, rows in self.tables.items():
            parts += [f"**{title}**", markdown_table(rows)]
        if self.checks:
            parts.append("\n".join(f"- {check}" for check in self.checks))
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        if heading:
            where = self.environment
            parts.append(
                f"{where['processor']}, {where['cpus']} CPUs, {where['memory_gb']:.0f} GB, "
                f"one BLAS thread; Python {where['python']}, "
                + ", ".join(f"{k} {v}" for k, v in where["versions"].items())
                + f". `{self.command}`, {self.seconds:.0f} s, {where['date']}."
            )
        return "\n\n".join(parts) + "\n"


def environment() -> dict[str, Any]:
    """Hardware, versions, date and load of this run."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    from convexscore import __version__

    load = os.getloadavg() if hasattr(os, "getloadavg") else (float("nan"),) * 3
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "memory_gb": total_memory() / 1e9,
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": list(load),
        "python": platform.python_version(),
        "versions": {"convexscore": __version__, **versions},
    }


def total_memory() -> float:
    """Bytes of main memory; NaN where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("nan")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# ---------------------------------------------------------------------- tables
_TOLD = {
    "objective": "objective", "lower bound": "dual_objective", "relative gap": "relative_gap",
    "violation": "max_violation", "exact": "exact", "searches": "n_tried", "rounds": "n_iter",
    "neurons": "n_neurons", "certified": "optimal",
}  # fmt: skip


def told(certificate: Any, *columns: str) -> Row:
    """Columns of a table that a certificate fills in."""
    return {column: getattr(certificate, _TOLD[column]) for column in columns}


def column(rows: Sequence[Row], key: str) -> list[Any]:
    """The cells of a column."""
    return [row[key] for row in rows]


def groups(rows: Sequence[Row], key: str) -> dict[Any, list[Row]]:
    """Rows by the value of a column, in order of first appearance."""
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(row[key], []).append(row)
    return found


# ---------------------------------------------------------------------- output
def markdown_table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table; columns in order of first appearance, missing cells empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines: list[list[str]] = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, float | np.floating):
        number = float(value)
        return f"{number:.0f}" if 1e3 <= abs(number) < 1e7 else f"{number:.3g}"
    return str(value).replace("|", "\\|")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"cannot write {type(value).__name__} to JSON")


def figure(width: float = 6.4, height: float = 4.2, columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure that no window system and no global state knows of, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width * columns, height), layout="constrained")
    FigureCanvasAgg(fig)
    return fig, list(fig.subplots(1, columns, squeeze=False)[0])


def name_sizes(axes: Any, sizes: Sequence[float], label: str = "n") -> None:
    """Ticks of the horizontal axis at the sizes, and nowhere else."""
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def name_rows(axes: Any, names: Sequence[str], **text: Any) -> None:
    """Ticks of the vertical axis at 0, 1, ..., from the top."""
    axes.set_yticks(range(len(names)), names, **text)
    axes.set_ylim(len(names) - 0.5, -0.5)


def write(report: Report, out: Path, fig: Any = None) -> None:
    """NAME.json, NAME.md and, given a figure, NAME.png in ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{report.name}.json").write_text(report.as_json())
    text = report.markdown()
    if fig is not None:
        fig.savefig(out / f"{report.name}.png", dpi=130)
        text += f"\n![{report.name}]({report.name}.png)\n"
    (out / f"{report.name}.md").write_text(text)


def write_summary(out: Path, names: Sequence[str]) -> None:
    """summary.md: every aim and its verdict, of all results in a folder, this run's and earlier ones'."""
    out.mkdir(parents=True, exist_ok=True)
    lines = ["# Aims", ""]
    for name in names:
        path = out / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        quick = " (quick)" if found["quick"] else ""
        lines += [
            f"**{name}**{quick}, {found['seconds']:.0f} s, {found['environment']['date']}",
            "",
        ]
        checks = [
            Check(**{key: value for key, value in check.items() if key != "verdict"})
            for check in found["checks"]
        ]
        lines += [f"- {check}" for check in checks] or ["- no aim"]
        lines.append("")
    (out / "summary.md").write_text("\n".join(lines))


def child_environment() -> dict[str, str]:
    """Environment of a fresh Python that finds this checkout first."""
    root = str(Path(__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


PYTHON = sys.executable
