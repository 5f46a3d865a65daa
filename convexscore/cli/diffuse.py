"""``convexscore diffuse``: a diffusion model of columns of a file, and its samples."""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

from convexscore.cli.data import add_data_options, read_table

# Samples are another use of randomness than fits: the same seed must not give the same stream.
_SAMPLES = 1


def diffuse(arguments: argparse.Namespace) -> int:
    """Fit, report, save, sample, draw; whatever was asked for."""
    import numpy as np

    from convexscore.cli.text import describe_data, describe_diffusion, describe_samples
    from convexscore.models.diffusion import fit_convex_diffusion
    from convexscore.models.diffusion_sampling import check_plan
    from convexscore.objectives.options import DiffusionOptions

    for folder in (arguments.out, arguments.samples, arguments.plot):
        # before minutes of work, not after
        if folder is not None and not folder.absolute().parent.is_dir():
            raise FileNotFoundError(f"there is no folder {folder.absolute().parent} for {folder}.")
    how = {name: getattr(arguments, name) for name in ("n_steps", "step") if name in arguments}
    check_plan(arguments.n, method=arguments.method, **how)
    table = read_table(arguments)
    print(describe_data(arguments.data, table), flush=True)
    # options not given keep the library's own defaults, which live there only
    options: Any = {
        k: getattr(arguments, k) for k in DiffusionOptions.__annotations__ if k in arguments
    }
    started = perf_counter()
    model = fit_convex_diffusion(table.values, sample_weight=table.weights, **options)
    seconds = perf_counter() - started
    if len(table.names) > 1:
        # scikit-learn's name for it; kept in the file, for the header of samples
        model.feature_names_in_ = np.array(table.names, dtype=object)
    print(describe_diffusion(model, seconds), flush=True)
    if arguments.out is not None:
        from convexscore.persistence import save

        print(f"saved        {save(model, arguments.out)}")
    if arguments.samples is None and arguments.plot is None:
        return 0
    started = perf_counter()
    samples = model.sample(
        arguments.n,
        method=arguments.method,
        random_state=sampling_seed(options.get("random_state")),
        **how,
    )
    seconds = perf_counter() - started
    print(describe_samples(samples, table, arguments.method, seconds))
    if arguments.samples is not None:
        from convexscore.cli.columns import write_columns

        write_columns(arguments.samples, samples, table.names)
        print(f"written      {arguments.samples}")
    if arguments.plot is not None:
        from convexscore.cli.figures import save_samples_figure

        save_samples_figure(samples, table, arguments.plot)
        print(f"figure       {arguments.plot}")
    return 0


def sampling_seed(random_state: int | None) -> Any:
    """Seed of the samples that belongs to the seed of the fit."""
    import numpy as np

    if random_state is None:
        return None
    return np.random.default_rng([random_state, _SAMPLES])


def add_diffuse(commands: Any) -> None:
    """The arguments of the command."""
    parser = commands.add_parser(
        "diffuse",
        allow_abbrev=False,
        help="fit a diffusion model to columns of a CSV file and sample it",
        description="Fit one certified score per noise level to columns of a CSV file with a header "
        "row; print the certificates of all levels; save, sample and draw.",
        argument_default=argparse.SUPPRESS,
        epilog="Options not given have the defaults of convexscore.fit_convex_diffusion.",
    )
    add_data_options(parser)
    parser.add_argument(
        "--out", default=None, type=Path, metavar="model.npz", help="save the model"
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--schedule", metavar="{vp,ve}", help="meaning of time in the saved model's score"
    )
    model.add_argument("--n-levels", type=int, metavar="L", help="noise levels")
    model.add_argument(
        "--levels", type=_numbers, metavar="S1,S2,...", help="the levels themselves, decreasing"
    )
    model.add_argument("--sigma-max", type=float, help="largest level, in standardised units")
    model.add_argument("--sigma-min", type=float, help="smallest level")
    model.add_argument("--activation", metavar="{relu,abs,leaky_relu,leaky_relu(SLOPE)}")
    model.add_argument(
        "--skip", action=argparse.BooleanOptionalAction, help="a skip connection V x"
    )
    model.add_argument(
        "--constraint", metavar="{gradient,log-concave}", help="scores that are gradients"
    )
    model.add_argument(
        "--beta", type=_beta, metavar="{NUMBER,rule,cv,cv-per-level}",
        help="penalty, or with commas one per level",
    )  # fmt: skip
    model.add_argument("--cv", type=int, metavar="FOLDS", help="folds of --beta cv")
    model.add_argument("--n-draws", type=int, help="noisy copies per point")
    model.add_argument("--labels", metavar="{smoothed,noisy}")
    model.add_argument(
        "--standardize", type=_standardize, metavar="{auto,scale,none,columns,whitening}",
        help="the units in which levels are given and neurons penalised",
    )  # fmt: skip
    model.add_argument("--tol", type=float, help="relative gap of each level")
    model.add_argument("--n-starts", type=int, help="local searches per round")
    model.add_argument(
        "--random-state", type=int, metavar="SEED", help="of the fit and the samples"
    )
    work = parser.add_argument_group("work")
    work.add_argument("--n-jobs", type=int, metavar="N", help="worker processes, -1 for all cores")
    work.add_argument("--progress", action="store_true", help="progress bars (tqdm)")
    sample = parser.add_argument_group("samples")
    sample.add_argument(
        "--samples", default=None, type=Path, metavar="samples.csv", help="write samples"
    )
    sample.add_argument(
        "--plot", default=None, type=Path, metavar="samples.png",
        help="figure of samples and data, one or two columns",
    )  # fmt: skip
    sample.add_argument("-n", type=int, default=1000, metavar="N", help="how many (%(default)s)")
    sample.add_argument(
        "--method", default="ddpm",
        metavar="{ddpm,ancestral,probability_flow,heun,annealed_langevin,predictor_corrector}",
        help="default: %(default)s",
    )  # fmt: skip
    sample.add_argument(
        "--n-steps", type=int, help="steps; of annealed_langevin steps at every level"
    )
    sample.add_argument(
        "--step", type=float, help="annealed_langevin: step at the last level, standardised"
    )
    parser.set_defaults(command=diffuse)


def _numbers(text: str) -> list[float]:
    try:
        return [float(cell) for cell in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be numbers with commas between them, got {text!r}"
        ) from None


def _beta(text: str) -> str | float | list[float]:
    if text in ("cv", "cv-per-level", "rule"):
        return text
    try:
        values = [float(cell) for cell in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be cv, cv-per-level, rule, a number or one per level, got {text!r}"
        ) from None
    return values if len(values) > 1 else values[0]


def _standardize(text: str) -> str | None:
    return None if text == "none" else text
