"""``convexscore bench``: the benchmarks of a source checkout, which no installed wheel contains."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_INTERRUPTED = 130


def add_bench_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``bench``; its ``command`` is `run_bench`.

    Examples
    --------
    >>> import argparse
    >>> from convexscore.cli.bench import add_bench_parser
    >>> parser = argparse.ArgumentParser()
    >>> _ = add_bench_parser(parser.add_subparsers())
    >>> arguments = parser.parse_args(["bench", "figure1", "--quick"])
    >>> arguments.names, arguments.quick
    (['figure1'], True)
    """
    bench: argparse.ArgumentParser = subparsers.add_parser(
        "bench",
        allow_abbrev=False,
        help="run the benchmarks of a source checkout",
        description="Run benchmarks of a source checkout: the one convexscore is imported from, or the "
        "current folder. Says first how long it will take; writes JSON, tables and figures.",
    )
    bench.add_argument(
        "names", nargs="*", metavar="NAME",
        help="such as figure1; default: all. A wrong name lists them",
    )  # fmt: skip
    bench.add_argument("--quick", action="store_true", help="small sizes; aims on time not judged")
    bench.add_argument(
        "--out", type=Path, metavar="FOLDER", help="default: benchmarks/results of the checkout"
    )
    bench.add_argument("--seed", type=int, default=0, help="draws other data (%(default)s)")
    bench.add_argument("--strict", action="store_true", help="exit code 1 if an aim is missed")
    bench.set_defaults(command=run_bench)
    return bench


def run_bench(arguments: argparse.Namespace) -> int:
    """Run ``python -m benchmarks`` of the checkout in a process of its own; returns its exit code.

    Raises
    ------
    ValueError
        If there is no checkout.
    """
    root = find_checkout()
    command = [sys.executable, "-m", "benchmarks", *arguments.names]
    command += ["--seed", str(arguments.seed)]
    if arguments.quick:
        command.append("--quick")
    if arguments.strict:
        command.append("--strict")
    if arguments.out is not None:
        # the other process runs in the checkout; folders are meant from here
        command += ["--out", str(Path.cwd() / arguments.out)]
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    sys.stdout.flush()
    try:
        return subprocess.run(command, cwd=root, env=environment, check=False).returncode
    except KeyboardInterrupt:  # the other process has been told as well, and says what is finished
        return _INTERRUPTED


def find_checkout() -> Path:
    """Root of the source checkout: where this package lies, else the current folder.

    Raises
    ------
    ValueError
        If neither is one: the package was installed from a wheel, and the current folder is elsewhere.
    """
    for root in (Path(__file__).resolve().parents[2], Path.cwd()):
        if is_checkout(root):
            return root
    raise ValueError(
        "the benchmarks are not part of the installed package, and the current folder "
        f"{Path.cwd()} is no clone of the repository. Clone it, and run `convexscore bench` there "
        "(or pip install -e . in it, then anywhere)."
    )


def is_checkout(root: Path) -> bool:
    """Whether the folder holds this package and its benchmarks, not just anything of that name."""
    parts = ("benchmarks/__main__.py", "benchmarks/harness.py", "convexscore/__init__.py")
    return all((root / part).is_file() for part in parts)
