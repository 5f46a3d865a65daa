"""Command line: ``python -m benchmarks [NAME ...] [--quick] [--out DIR]``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from benchmarks import NAMES, load
from benchmarks.harness import Report, single_thread, write, write_summary

RESULTS = Path(__file__).parent / "results"


def run_one(name: str, *, quick: bool, seed: int, out: Path) -> Report:
    """Run one benchmark, print its tables and verdicts, write its files."""
    module = load(name)
    settings = module.QUICK if quick else module.FULL
    print(f"\n== {name}{' (quick)' if quick else ''}: {module.TITLE}", flush=True)
    started = perf_counter()
    with single_thread():
        report = module.run(settings, seed)
    report = report.completed(name, module.TITLE, settings, seed, quick, perf_counter() - started)
    print(report.markdown(heading=False), flush=True)
    write(report, out, module.draw(report))
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named benchmarks; 0 unless ``--strict`` and an aim was missed."""
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
    out = arguments.out or (RESULTS / "quick" if arguments.quick else RESULTS)
    reports = [
        run_one(name, quick=arguments.quick, seed=arguments.seed, out=out)
        for name in arguments.names or NAMES
    ]
    write_summary(reports, out)
    checks = [check for report in reports for check in report.checks]
    missed = [check for check in checks if check.verdict == "FAIL"]
    print(f"\n{len(checks)} aims, {len(missed)} missed; results in {out}")
    for check in missed:
        print(f"  {check}")
    return 1 if missed and arguments.strict else 0


if __name__ == "__main__":
    raise SystemExit(main())
