"""``convexscore bench``: the benchmarks of a source checkout, which no installed wheel contains."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

_INTERRUPTED = 130


def add_bench(commands: Any) -> None:
    """The command; its arguments are those of ``python -m benchmarks``, which reads them.

    Examples
    --------
    >>> import argparse
    >>> from convexscore.cli.bench import add_bench
    >>> parser = argparse.ArgumentParser()
    >>> add_bench(parser.add_subparsers())
    >>> parser.parse_args(["bench", "figure1", "--quick"]).arguments
    ['figure1', '--quick']
    """
    # no argument is an option here: there are none that begin with a zero byte
    bench = commands.add_parser(
        "bench", help="run the benchmarks of a source checkout", add_help=False, prefix_chars="\0"
    )
    bench.add_argument("arguments", nargs="*")
    bench.set_defaults(command=run_bench)


def run_bench(given: Namespace) -> int:
    """Run ``python -m benchmarks`` of the checkout in a process of its own; returns its exit code.

    The checkout is the one this package lies in, else the current folder.

    Raises
    ------
    ValueError
        If neither is one: the package was installed from a wheel, and the current folder is elsewhere.
    """
    places = (Path(__file__).resolve().parents[2], Path.cwd())
    # this package and its benchmarks, not just anything of that name
    parts = ("benchmarks/__main__.py", "benchmarks/harness.py", "convexscore/__init__.py")
    roots = [root for root in places if all((root / part).is_file() for part in parts)]
    if not roots:
        raise ValueError(
            "the benchmarks are not part of the installed package, and the current folder "
            f"{Path.cwd()} is no clone of the repository. Clone it, and run `convexscore bench` there "
            "(or pip install -e . in it, then anywhere)."
        )
    paths = [str(roots[0]), *filter(None, [os.environ.get("PYTHONPATH")])]
    # nor a folder of that name where the command is given
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    sys.stdout.flush()
    try:
        command = [sys.executable, "-m", "benchmarks", *given.arguments]
        return subprocess.run(command, env=environment, check=False).returncode
    except KeyboardInterrupt:  # the other process has been told as well, and says what is finished
        return _INTERRUPTED
