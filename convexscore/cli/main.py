"""The command line: ``convexscore fit | diffuse | sample | demo | bench``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from convexscore import __version__
from convexscore.cli.bench import add_bench_parser
from convexscore.cli.diffuse import add_diffuse
from convexscore.cli.fit import add_fit
from convexscore.cli.sample import add_sample

_FAILED = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0, or 2 after a one-line error on stderr.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default: those of the process.

    Examples
    --------
    >>> from convexscore.cli import main
    >>> main(["fit", "no_such_file.csv"])    # the message goes to stderr
    2
    """
    arguments = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning)
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        try:
            code = arguments.command(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            # the reader of our output (head, less) has seen enough; nothing more can be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (ValueError, OSError, RuntimeError) as error:
            _say("error", error)
            return _FAILED
    return int(code)


def _say(what: str, message: object) -> None:
    print(f"convexscore: {what}: {' '.join(str(message).split())}", file=sys.stderr)


def _show_warning(message: Warning | str, *_: Any) -> None:
    _say("warning", message)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convexscore",
        allow_abbrev=False,
        description="Globally optimal two-layer score networks of one or several columns of data.",
    )
    parser.add_argument("--version", action="version", version=f"convexscore {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    add_fit(commands)
    add_diffuse(commands)
    add_sample(commands)
    demo = commands.add_parser(
        "demo", allow_abbrev=False, help="fit, certify, plot and sample a real data column"
    )
    demo.add_argument("--out", default="demo_output", metavar="FOLDER", help="%(default)s")
    demo.set_defaults(command=_demo)
    add_bench_parser(commands)
    return parser


def _demo(arguments: argparse.Namespace) -> int:
    from convexscore.cli.demo import run_demo

    print(run_demo(arguments.out, random_state=0))
    return 0
