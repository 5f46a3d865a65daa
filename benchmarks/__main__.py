"""Command line: ``python -m benchmarks [NAME ...] [--quick] [--out DIR]``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks import NAMES, load
from benchmarks.harness import Report, single_thread, write, write_summary

RESULTS = Path(__file__).parent / "results"
STOPPED = 130  # exit status of a program that was interrupted


def run_one(name: str, *, quick: bool, seed: int, out: Path, progress: str = "") -> Report:
    """Run one benchmark, print its tables and verdicts, write its files."""
    module = load(name)
    settings = module.QUICK if quick else module.FULL
    print(f"\n== {progress}{name}{' (quick)' if quick else ''}: {module.TITLE}", flush=True)
    started = perf_counter()
    with single_thread():
        report = module.run(settings, seed)
    report = report.completed(name, module.TITLE, settings, seed, quick, perf_counter() - started)
    print(report.markdown(heading=False), flush=True)
    write(report, out, module.draw(report))
    print(f"-- {name}: {duration(report.seconds)}", flush=True)
    return report


# ---------------------------------------------------------------------- how long it will take
def known_seconds(names: Sequence[str], folder: Path) -> dict[str, float]:
    """Seconds of earlier runs, from the records in the folder; benchmarks without one are left out."""
    found = {}
    for name in names:
        try:
            record = json.loads((folder / f"{name}.json").read_text())
            found[name] = float(record["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def duration(seconds: float) -> str:
    """12 s, 3 min 5 s, 1 h 4 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, 1)} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def estimate(names: Sequence[str], known: dict[str, float]) -> str:
    """What to expect of a run, and for which benchmarks nothing is known."""
    count = f"{len(names)} benchmark{'s' * (len(names) != 1)}"
    total = sum(known.get(name, 0.0) for name in names)
    unknown = [name for name in names if name not in known]
    if len(unknown) == len(names):
        return f"{count}; no earlier run is on record to say how long that takes."
    text = f"{count}, about {duration(total)} going by the records of earlier runs"
    if unknown:
        text += f", not counting {', '.join(unknown)}, of which there is none"
    return text + "."


def headline(names: Sequence[str], position: int, known: dict[str, float]) -> str:
    """[2/11, about 40 s, then 3 min 5 s to go] before the name of a benchmark."""
    parts = [f"{position + 1}/{len(names)}"]
    name, later = names[position], [other for other in names[position + 1 :] if other in known]
    if name in known:
        parts.append(f"about {duration(known[name])}")
    if later:
        parts.append(f"then {duration(sum(known[other] for other in later))} to go")
    return f"[{', '.join(parts)}] "


# ---------------------------------------------------------------------- the command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the named benchmarks; 0 unless ``--strict`` and an aim was missed, or interrupted."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default all: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes; aims on time not judged")
    parser.add_argument("--out", type=Path, help=f"folder for results (default {RESULTS})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strict", action="store_true", help="exit status 1 if an aim is missed")
    arguments = parser.parse_args(argv)
    unknown = sorted(set(arguments.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark named {', '.join(unknown)}; choose from {', '.join(NAMES)}")
    if arguments.seed < 0:
        parser.error(f"--seed must be an integer >= 0; got {arguments.seed}")
    names = tuple(arguments.names) or NAMES
    own = RESULTS / "quick" if arguments.quick else RESULTS
    out = arguments.out or own
    known = known_seconds(names, own)
    print(estimate(names, known), flush=True)
    reports: list[Report] = []
    try:
        for position, name in enumerate(names):
            reports.append(
                run_one(
                    name, quick=arguments.quick, seed=arguments.seed, out=out,
                    progress=headline(names, position, known),
                )
            )  # fmt: skip
    except KeyboardInterrupt:
        print(f"\nstopped during {names[len(reports)]}; finished: {len(reports)} of {len(names)}, "
              f"results in {out}")  # fmt: skip
        return STOPPED
    write_summary(out, NAMES)
    checks = [check for report in reports for check in report.checks]
    missed = [check for check in checks if check.verdict == "FAIL"]
    spent = duration(sum(report.seconds for report in reports))
    print(f"\n{len(checks)} aims, {len(missed)} missed; {spent}; results in {out}")
    for check in missed:
        print(f"  {check}")
    return 1 if missed and arguments.strict else 0


if __name__ == "__main__":
    raise SystemExit(main())
