"""The command line: ``convexscore fit | sample | demo | bench``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexscore import __version__

if TYPE_CHECKING:
    from convexscore._columns import Table
    from convexscore.estimators import ConvexScore

# Options of the fit; those not given keep the library's own defaults, which live there only.
_FIT_OPTIONS = (
    "objective", "activation", "skip", "beta", "noise", "n_draws", "labels", "tails", "shape",
    "cv", "n_betas", "one_standard_error", "tol", "random_state",
)  # fmt: skip
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
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.command is not _bench:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
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
            print(f"convexscore: error: {' '.join(str(error).split())}", file=sys.stderr)
            return _FAILED
    return int(code)


def _show_warning(message: Warning | str, *_: Any) -> None:
    print(f"convexscore: warning: {' '.join(str(message).split())}", file=sys.stderr)


# ------------------------------------------------------------------------------------ commands


def _fit(arguments: argparse.Namespace) -> int:
    from convexscore._cli_report import describe_data, describe_fit
    from convexscore._columns import read_columns
    from convexscore.estimators import fit_convex_score

    table = read_columns(
        arguments.data,
        column=arguments.column,
        weights=arguments.weights,
        delimiter=arguments.delimiter,
        drop_missing=arguments.drop_missing,
    )
    print(describe_data(arguments.data, table), flush=True)
    options = {name: getattr(arguments, name) for name in _FIT_OPTIONS if name in arguments}
    fit = fit_convex_score(table.values, sample_weight=table.weights, **options)
    print(describe_fit(fit))
    if arguments.out is not None:
        from convexscore.persistence import save

        print(f"saved        {save(fit, arguments.out)}")
    if arguments.plot is not None:
        _plot(fit, table, arguments.plot)
        print(f"figure       {arguments.plot}")
    return 0


def _plot(fit: ConvexScore, table: Table, path: Path) -> None:
    # a Figure of its own, not pyplot's: no window, no global state
    from matplotlib.figure import Figure

    from convexscore.plotting import DensityDisplay, ScoreDisplay

    # the law that denoising fits is that of the noisy points, which the displays find themselves
    x = table.values if fit.noisy_points_ is None else None
    law = fit.piecewise_.is_integrable
    figure = Figure(figsize=(7.0, 7.0 if law else 3.6), layout="constrained")
    axes = figure.subplots(2 if law else 1, 1, squeeze=False)[:, 0]
    ScoreDisplay.from_estimator(fit, x, ax=axes[0])
    if law:
        weights = None if x is None else table.weights
        DensityDisplay.from_estimator(fit, x, sample_weight=weights, ax=axes[1])
    axes[-1].set_xlabel(table.name)
    figure.savefig(path, dpi=150)


def _sample(arguments: argparse.Namespace) -> int:
    from convexscore._columns import write_column
    from convexscore.persistence import load

    fit = load(arguments.fit)
    chain = {name: getattr(arguments, name) for name in ("step", "n_steps") if name in arguments}
    if chain and arguments.method == "exact":
        raise ValueError(
            "--step and --n-steps belong to --method langevin or mala; exact has none."
        )
    samples = fit.sample(
        arguments.n, method=arguments.method, random_state=arguments.random_state, **chain
    )
    write_column(arguments.out, samples)
    if arguments.out is not None:
        print(f"{samples.size} samples ({arguments.method}) written to {arguments.out}")
    return 0


def _demo(arguments: argparse.Namespace) -> int:
    from convexscore.report.demo import run_demo

    print(run_demo(arguments.out, random_state=0))
    return 0


def _bench(arguments: argparse.Namespace) -> int:
    if not Path("benchmarks", "__main__.py").is_file():
        raise ValueError(
            "the benchmarks are not part of the installed package; run `convexscore bench` in a "
            f"clone of the repository (no benchmarks folder in {Path.cwd()})."
        )
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments.rest], check=False
    ).returncode


# ------------------------------------------------------------------------------------ arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convexscore",
        allow_abbrev=False,
        description="Globally optimal two-layer score networks of one column of data.",
    )
    parser.add_argument("--version", action="version", version=f"convexscore {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    _add_fit(commands)
    _add_sample(commands)
    demo = commands.add_parser(
        "demo", allow_abbrev=False, help="fit, certify, plot and sample a real data column"
    )
    demo.add_argument("--out", default="demo_output", metavar="FOLDER", help="%(default)s")
    demo.set_defaults(command=_demo)
    bench = commands.add_parser(
        "bench",
        allow_abbrev=False,
        help="run the benchmarks of a clone (further arguments are passed on)",
    )
    bench.set_defaults(command=_bench)
    return parser


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        allow_abbrev=False,
        help="fit one column of a CSV file",
        description="Fit one column of a CSV file with a header row; print beta and certificate.",
        argument_default=argparse.SUPPRESS,
        epilog="Options not given have the defaults of convexscore.fit_convex_score.",
    )
    fit.add_argument("data", type=Path, metavar="data.csv")
    fit.add_argument(
        "--column", default=None, metavar="NAME", help="name or 0-based index; may be left out "
        "when there is one column only",
    )  # fmt: skip
    fit.add_argument("--weights", default=None, metavar="COLUMN", help="column of sample weights")
    fit.add_argument("--delimiter", default=None, help="default: found from the first lines")
    fit.add_argument(
        "--drop-missing", action="store_true", default=False,
        help="leave out rows whose cell is empty or not a number, instead of stopping",
    )  # fmt: skip
    fit.add_argument("--out", default=None, type=Path, metavar="fit.npz", help="save the fit")
    fit.add_argument("--plot", default=None, type=Path, metavar="fit.png", help="save a figure")
    model = fit.add_argument_group("model")
    model.add_argument("--objective", metavar="{score_matching,denoising}")
    model.add_argument("--activation", metavar="{relu,abs}")
    model.add_argument(
        "--skip", action=argparse.BooleanOptionalAction, help="a skip connection V x"
    )
    model.add_argument("--beta", type=_beta, metavar="{NUMBER,cv}", help="penalty")
    model.add_argument("--noise", type=float, help="noise level of denoising, in units of the data")
    model.add_argument("--n-draws", type=int, help="noisy copies per point (denoising)")
    model.add_argument("--labels", metavar="{noisy,smoothed}", help="labels of denoising")
    model.add_argument("--tails", metavar="{free,integrable}")
    model.add_argument("--shape", metavar="log-concave")
    model.add_argument("--tol", type=float, help="violation of optimality, in units of beta")
    model.add_argument("--random-state", type=int, metavar="SEED")
    selection = fit.add_argument_group("choice of beta (--beta cv)")
    selection.add_argument("--cv", type=int, metavar="FOLDS")
    selection.add_argument("--n-betas", type=int, help="size of the grid")
    selection.add_argument(
        "--one-standard-error",
        action="store_true",
        help="largest beta within one standard error of the best",
    )
    fit.set_defaults(command=_fit)


def _add_sample(commands: Any) -> None:
    sample = commands.add_parser(
        "sample",
        allow_abbrev=False,
        help="draw samples from a saved fit",
        argument_default=argparse.SUPPRESS,
    )
    sample.add_argument("fit", type=Path, metavar="fit.npz")
    sample.add_argument("-n", type=int, default=1000, metavar="N", help="how many (%(default)s)")
    sample.add_argument(
        "--out", default=None, type=Path, metavar="samples.csv", help="default: standard output"
    )
    sample.add_argument("--method", default="exact", metavar="{exact,langevin,mala}")
    sample.add_argument("--step", type=float, help="step of the chain, in squared units of x")
    sample.add_argument("--n-steps", type=int, help="steps of every chain")
    sample.add_argument("--random-state", type=int, default=None, metavar="SEED")
    sample.set_defaults(command=_sample)


def _beta(text: str) -> float | str:
    if text == "cv":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or cv, got {text!r}") from None
