"""The command line: ``convexscore fit | diffuse | sample | demo | bench``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from convexscore import __version__
from convexscore.cli.bench import add_bench
from convexscore.cli.diffuse import add_diffuse
from convexscore.cli.fit import add_fit
from convexscore.cli.sample import add_sample


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
        warnings.showwarning = _say  # type: ignore[assignment]
        try:
            code = arguments.command(arguments)
            sys.stdout.flush()
        except BrokenPipeError:
            # the reader of our output (head, less) has seen enough; nothing more can be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (ValueError, OSError, RuntimeError) as error:
            _say(error, what="error")
            return 2
    return int(code)


def _say(message: object, *_: Any, what: str = "warning") -> None:
    print(f"convexscore: {what}: {' '.join(str(message).split())}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Options are said in full, those of the commands too, whose parsers are of this class."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="convexscore",
        description="Globally optimal two-layer score networks of one or several columns of data.",
    )
    parser.add_argument("--version", action="version", version=f"convexscore {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    add_fit(commands)
    add_diffuse(commands)
    add_sample(commands)
    text = "fit, certify, plot and sample a real data column"
    demo = commands.add_parser("demo", help=text)
    demo.add_argument("--out", default="demo_output", metavar="FOLDER", help="%(default)s")
    demo.set_defaults(command=_demo)
    add_bench(commands)
    return parser


def _demo(arguments: argparse.Namespace) -> int:
    from convexscore.cli.demo import run_demo

    print(run_demo(arguments.out, random_state=0).summary)
    return 0
