"""Every aim and every ratio the benchmarks have measured, gathered from their committed results.

Nothing is typed in here: each number comes from a JSON file under ``results/`` and names it, with the
machine and date of that run.  Benchmarks without a file are named, results of other versions or other
settings are flagged as stale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import NAMES, load
from benchmarks.harness import Check, Report, Row, environment, figure

TITLE = "all aims and ratios of the other benchmarks in one report"

Source = dict[str, Any]

# Benchmarks that have neither aims nor ratios, and this one.
_LEFT_OUT = re.compile(r"speed|figure\d+")


@dataclass(frozen=True)
class Settings:
    """``folder`` relative to this file, ``names`` () for all."""

    folder: str = "results"
    names: tuple[str, ...] = ()


FULL = QUICK = Settings()


@dataclass(frozen=True)
class Comparison:
    """Where a result's tables say how our time compares with somebody's.

    Cells of ``column`` in tables whose title starts with ``table``: their seconds over ours, or with
    ``ours_first`` ours over theirs.  ``rival`` is a name or, in braces, the column with the name.
    ``aim`` finds the check whose aim belongs to it.  A ``floor`` is no rival: work that any method has
    to do.
    """

    source: str
    column: str
    rival: str
    what: str
    table: str = ""
    ours_first: bool = False
    floor: bool = False
    aim: str = "(?!)"


COMPARISONS = (
    Comparison("univariate_vs_conic", "ratio", "CVXPY with Clarabel", "one column, conic program",
               aim=".*all cases: smallest conic / ours"),
    Comparison("dsm_vs_lasso", "seconds / ours", "{solver}", "one column, denoising lasso",
               aim=".*the best of the others.*seconds / ours"),
    Comparison("planar_vs_conic", "conic / ours", "CVXPY with Clarabel", "two columns, conic program",
               aim=".*tol 0.0001: conic / ours"),
    Comparison("multitask_peers", "seconds / ours", "{solver}", "two columns, group lasso",
               aim="n = 100: .*seconds / ours"),
    Comparison("convex_vs_sgd", "one run / convex", "{method}",
               "one training run (not its arriving anywhere)", table="Trained"),
    Comparison("convex_vs_sgd", "/ convex, 1.0%", "{method}", "until a run is within 1 %",
               table="Trained"),
    Comparison("univariate_scaling", "fit / cumsum", "np.cumsum", "one column, passes of the data",
               ours_first=True, floor=True, aim="n = 1000000: fit / np.cumsum"),
    Comparison("sampler_speed", "ratio", "drawing the noise", "samplers", table="Samplers",
               ours_first=True, floor=True, aim="ddpm on the plane"),
)  # fmt: skip


# ---------------------------------------------------------------------- sources
def read_sources(settings: Settings) -> tuple[dict[str, Source], dict[str, str]]:
    """Results by benchmark, and why others are missing."""
    folder = Path(__file__).parent / settings.folder
    found: dict[str, Source] = {}
    missing: dict[str, str] = {}
    names = settings.names or tuple(name for name in NAMES if not _LEFT_OUT.fullmatch(name))
    for name in names:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = {**json.loads(path.read_text()), "from": f"{settings.folder}/{name}.json"}
        else:
            missing[name] = f"no {path.name}; python -m benchmarks {name} makes it"
    return found, missing


def stale(name: str, source: Source, here: dict[str, Any]) -> str:
    """Why a result no longer speaks for the code that is here; empty if it does."""
    reasons = []
    then, now = source["environment"]["versions"]["convexscore"], here["versions"]["convexscore"]
    if then != now:
        reasons.append(f"convexscore {then}, now {now}")
    if source["quick"]:
        reasons.append("quick run")
    elif source["settings"] != json.loads(json.dumps(asdict(load(name).FULL))):
        reasons.append("settings have changed since")
    return "; ".join(reasons)


def other_versions(source: Source, here: dict[str, Any]) -> str:
    """Packages that were of another version than here."""
    then, now = source["environment"]["versions"], here["versions"]
    return ", ".join(
        f"{package} {then[package]} (here {now[package]})"
        for package in then
        if package in now and then[package] != now[package] and package != "convexscore"
    )


def source_row(name: str, source: Source, here: dict[str, Any]) -> Row:
    where = source["environment"]
    return {
        "source": name,
        "file": source["from"],
        "date": where["date"],
        "machine": f"{where['processor']}, {where['cpus']} CPUs",
        "load": where["load_average"][0],
        "convexscore": where["versions"]["convexscore"],
        "seed": source["seed"],
        "took (s)": source["seconds"],
        "stale": stale(name, source, here) or "no",
        "other versions": other_versions(source, here),
    }


# ---------------------------------------------------------------------- aims
def aim_rows(name: str, source: Source, flag: str) -> list[Row]:
    """Every aim of one result; the ratio is how many times better than the aim, where that is one."""
    rows = []
    for check in source["checks"]:
        value, aim = float(check["value"]), float(check["aim"])
        rows.append(
            {
                "source": f"{name}, {source['environment']['date']}" + (" (stale)" if flag else ""),
                "what": check["text"],
                "aim": f"{'>=' if check['at_least'] else '<='} {aim:.4g}",
                "measured": value,
                "times better than the aim": times_better(value, aim, check["at_least"]),
                "verdict": check["verdict"],
            }
        )
    return rows


def times_better(value: float, aim: float, at_least: bool) -> float | str:
    """value / aim or aim / value; empty for aims of zero and for differences, which are no scale."""
    if not (value > 0.0 and aim > 0.0):
        return ""
    return value / aim if at_least else aim / value


# ---------------------------------------------------------------------- ratios
def ratios(comparison: Comparison, source: Source) -> dict[str, list[float]]:
    """How many times faster than each rival we were, case by case."""
    found: dict[str, list[float]] = {}
    for title, rows in source["tables"].items():
        if not title.startswith(comparison.table):
            continue
        for row in rows:
            cell = row.get(comparison.column, "")
            rival = _rival(comparison, row)
            if isinstance(cell, int | float) and cell > 0.0 and rival != "convexscore":
                value = 1.0 / cell if comparison.ours_first else float(cell)
                found.setdefault(rival, []).append(value)
    return found


def _rival(comparison: Comparison, row: Row) -> str:
    if comparison.rival.startswith("{"):
        return str(row.get(comparison.rival[1:-1], ""))
    return comparison.rival


def ratio_rows(sources: dict[str, Source], flags: dict[str, str]) -> list[Row]:
    """One row per comparison and rival."""
    rows = []
    for comparison in COMPARISONS:
        source = sources.get(comparison.source)
        if source is None:
            continue
        check = next((c for c in source["checks"] if re.match(comparison.aim, c["text"])), None)
        for rival, times in ratios(comparison, source).items():
            ordered = sorted(times)
            row: Row = {
                "what": comparison.what,
                "compared with": rival,
                "kind": "floor" if comparison.floor else "rival",
                "cases": len(times),
                "times faster, least": ordered[0],
                "median": ordered[len(ordered) // 2],
                "most": ordered[-1],
                "aim": "",
                "source": f"{comparison.source}, {source['environment']['date']}"
                + (" (stale)" if flags[comparison.source] else ""),
            }
            if check is not None and (
                rival in check["text"] or not comparison.rival.startswith("{")
            ):
                aim = float(check["aim"])
                row["aim"] = 1.0 / aim if comparison.ours_first else aim
                row["aimed at"] = check["text"]
            rows.append(row)
    return rows


# ---------------------------------------------------------------------- the report
def run(settings: Settings, seed: int) -> Report:
    here = environment()
    sources, missing = read_sources(settings)
    if not sources:
        raise FileNotFoundError(
            f"no results in {Path(__file__).parent / settings.folder}; run python -m benchmarks first."
        )
    flags = {name: stale(name, source, here) for name, source in sources.items()}
    of_sources = [source_row(name, source, here) for name, source in sources.items()]
    aims = [row for name, source in sources.items() for row in aim_rows(name, source, flags[name])]
    times = ratio_rows(sources, flags)
    tables = {"Aims": aims, "How many times faster": times, "Sources": of_sources}
    missed = [row for row in aims if row["verdict"] == "FAIL"]
    checks = [
        Check(
            "benchmarks without a committed result", _unmeasured(sources, missing), 0, timing=True
        ),
        Check(
            "committed results that are stale", sum(bool(f) for f in flags.values()), 0, timing=True
        ),
    ]
    notes = [
        f"{len(aims)} aims, {len(missed)} missed"
        + "".join(f"; {row['source']}: {row['what']}" for row in missed)
        + ".",
        "Times faster: the rival's seconds over ours, medians of the source, its rows as cases; below 1 "
        "the rival is faster.  A floor is work that any method has to do (reading, drawing), so its "
        "ratios are below 1.",
        "`until a run is within 1 %`: only cases in which some restart was; how many never were is in "
        "convex_vs_sgd.",
        "Stale: another version of convexscore, other settings than the benchmark has now, or a quick "
        "run.  A ratio holds for the machine of its source.",
        *(f"{name} is missing: {reason}." for name, reason in missing.items()),
    ]
    return Report(tables, checks, notes)


def _unmeasured(sources: dict[str, Source], missing: Iterable[str]) -> int:
    return len(list(missing)) + sum(source["quick"] for source in sources.values())


def draw(report: Report) -> Any:
    """Range and median of every ratio on a logarithmic axis, with its aim."""
    rows = report.tables["How many times faster"]
    fig, (axes,) = figure(9.6, 1.5 + 0.27 * len(rows))
    colors = {"rival": "C0", "floor": "0.55"}
    places = range(len(rows))
    for k, row in zip(places, rows, strict=True):
        color = colors[row["kind"]]
        least, most = row["times faster, least"], row["most"]
        axes.plot(
            [least, most], [k, k], color=color, linewidth=4, alpha=0.35, solid_capstyle="round"
        )
        axes.plot([least, row["median"], most], [k] * 3, "o", color=color, markersize=4.5)
        if row["aim"] != "":
            axes.plot(row["aim"], k, "|", color="C3", markersize=13, markeredgewidth=2.2)
    axes.axvline(1.0, color="0.3", linewidth=1.0)
    axes.set_yticks(places, [f"{row['what']}: {row['compared with']}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="times faster: their seconds / ours (left of 1: they are faster)")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    for color, label in (
        ("C0", "rival: least, median, most over cases"),
        ("0.55", "floor that nobody can beat"),
    ):
        axes.plot([], [], "o-", color=color, label=label)
    axes.plot(
        [], [], "|", color="C3", markersize=12, markeredgewidth=2.2, label="aim (of one case)"
    )
    axes.legend(fontsize=8, loc="upper left")
    return fig
