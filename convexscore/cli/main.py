"""The command line: ``convexscore fit | diffuse | sample | demo | bench``."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convexscore import __version__
from convexscore.cli.bench import add_bench_parser
from convexscore.cli.data import add_data_options, read_table
from convexscore.cli.diffuse import add_diffuse

if TYPE_CHECKING:
    from convexscore.models.diffusion import ConvexDiffusion
    from convexscore.models.score import ConvexScore

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
    arguments = parser.parse_args(argv)
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
    import numpy as np

    from convexscore.cli.text import describe_data, describe_fit
    from convexscore.models.score import fit_convex_score
    from convexscore.objectives.options import ScoreOptions

    table = read_table(arguments)
    d = len(table.names)
    print(describe_data(arguments.data, table), flush=True)
    # options not given keep the library's own defaults, which live there only
    options: Any = {
        k: getattr(arguments, k) for k in ScoreOptions.__annotations__ if k in arguments
    }
    fit = fit_convex_score(table.values, sample_weight=table.weights, **options)
    if d > 1:
        # scikit-learn's name for it; kept in the file, for the header of samples
        fit.feature_names_in_ = np.array(table.names, dtype=object)
    print(describe_fit(fit))
    if arguments.out is not None:
        from convexscore.persistence import save

        print(f"saved        {save(fit, arguments.out)}")
    if arguments.plot is not None:
        from convexscore.cli.figures import save_figure

        save_figure(fit, table, arguments.plot)
        print(f"figure       {arguments.plot}")
    return 0


def _sample(arguments: argparse.Namespace) -> int:
    from convexscore.cli.columns import write_columns
    from convexscore.models.score import ConvexScore
    from convexscore.persistence import load

    fit = load(arguments.fit)
    chain = {name: getattr(arguments, name) for name in ("step", "n_steps") if name in arguments}
    draw = _draw_from_fit if isinstance(fit, ConvexScore) else _draw_from_model
    method, samples = draw(fit, arguments, chain)
    write_columns(arguments.out, samples, _names(fit))
    if arguments.out is not None:
        print(f"{len(samples)} samples ({method}) written to {arguments.out}")
    return 0


def _draw_from_fit(fit: ConvexScore, arguments: Any, chain: dict[str, Any]) -> tuple[str, Any]:
    method = arguments.method or ("exact" if fit.n_features_in_ == 1 else "langevin")
    seed = arguments.random_state
    return method, fit.sample(arguments.n, method=method, random_state=seed, **chain)


def _draw_from_model(
    model: ConvexDiffusion, arguments: Any, chain: dict[str, Any]
) -> tuple[str, Any]:
    method = arguments.method or "ddpm"
    seed = arguments.random_state
    return method, model.sample(arguments.n, method=method, random_state=seed, **chain)


def _names(fit: ConvexScore | ConvexDiffusion) -> list[str]:
    """Header of samples: the names of the columns where the fit knows them, else x or x1, x2, ..."""
    if fit.n_features_in_ == 1:
        return ["x"]
    names = getattr(fit, "feature_names_in_", None)
    if names is None:
        return [f"x{k + 1}" for k in range(fit.n_features_in_)]
    return [str(name) for name in names]


def _demo(arguments: argparse.Namespace) -> int:
    from convexscore.cli.demo import run_demo

    print(run_demo(arguments.out, random_state=0))
    return 0


# ------------------------------------------------------------------------------------ arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convexscore",
        allow_abbrev=False,
        description="Globally optimal two-layer score networks of one or several columns of data.",
    )
    parser.add_argument("--version", action="version", version=f"convexscore {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)
    _add_fit(commands)
    add_diffuse(commands)
    _add_sample(commands)
    demo = commands.add_parser(
        "demo", allow_abbrev=False, help="fit, certify, plot and sample a real data column"
    )
    demo.add_argument("--out", default="demo_output", metavar="FOLDER", help="%(default)s")
    demo.set_defaults(command=_demo)
    add_bench_parser(commands)
    return parser


def _add_fit(commands: Any) -> None:
    fit = commands.add_parser(
        "fit",
        allow_abbrev=False,
        help="fit columns of a CSV file",
        description="Fit columns of a CSV file with a header row; print beta and certificate.",
        argument_default=argparse.SUPPRESS,
        epilog="Options not given have the defaults of convexscore.fit_convex_score.",
    )
    add_data_options(fit)
    fit.add_argument("--out", default=None, type=Path, metavar="fit.npz", help="save the fit")
    fit.add_argument("--plot", default=None, type=Path, metavar="fit.png", help="save a figure")
    model = fit.add_argument_group("model")
    model.add_argument("--objective", metavar="{score_matching,denoising}")
    model.add_argument("--activation", metavar="{relu,abs,leaky_relu,leaky_relu(SLOPE)}")
    model.add_argument(
        "--skip", action=argparse.BooleanOptionalAction, help="a skip connection V x"
    )
    model.add_argument("--beta", type=_beta, metavar="{NUMBER,cv}", help="penalty")
    model.add_argument("--noise", type=float, help="noise level of denoising, in units of the data")
    model.add_argument("--n-draws", type=int, help="noisy copies per point (denoising)")
    model.add_argument("--labels", metavar="{noisy,smoothed}", help="labels of denoising")
    model.add_argument(
        "--constraint", metavar="{density,gradient,log-concave}",
        help="what the score must be: have a density (one column), be the gradient of a log-density, "
        "of a concave one",
    )  # fmt: skip
    model.add_argument("--tol", type=float, help="relative duality gap that counts as optimal")
    model.add_argument("--random-state", type=int, metavar="SEED")
    several = fit.add_argument_group("several columns")
    several.add_argument(
        "--standardize", metavar="{columns,whitening}", help="the data that are penalised"
    )
    several.add_argument(
        "--n-starts", type=int,
        help="local searches per round, where not all neurons can be looked at",
    )  # fmt: skip
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
        help="draw samples from a saved fit or diffusion model",
        argument_default=argparse.SUPPRESS,
    )
    sample.add_argument("fit", type=Path, metavar="fit.npz")
    sample.add_argument("-n", type=int, default=1000, metavar="N", help="how many (%(default)s)")
    sample.add_argument(
        "--out", default=None, type=Path, metavar="samples.csv", help="default: standard output"
    )
    sample.add_argument(
        "--method", default=None, metavar="{exact,langevin,mala,ddpm,...}",
        help="default: exact, with several columns langevin; mala then needs --constraint gradient; "
        "diffusion models: ddpm, ancestral, probability_flow, heun, annealed_langevin, "
        "predictor_corrector",
    )  # fmt: skip
    sample.add_argument(
        "--step", type=float, help="step of the chain, in squared units of x (diffusion: of Z)"
    )
    sample.add_argument("--n-steps", type=int, help="steps of every chain (of its grid)")
    sample.add_argument("--random-state", type=int, default=None, metavar="SEED")
    sample.set_defaults(command=_sample)


def _beta(text: str) -> float | str:
    if text == "cv":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number or cv, got {text!r}") from None
