"""``convexscore diffuse``: a diffusion model of columns of a file, and its samples."""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

from convexscore.cli.data import add_data_options, asked_table, write_columns
from convexscore.cli.options import add_options, given
from convexscore.cli.sample import add_sampling_options, sampling
from convexscore.objectives.options import DiffusionOptions

# Samples are another use of randomness than fits: the same seed must not give the same stream.
_SAMPLES = 1


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
    add_options(parser, DiffusionOptions)
    sample = parser.add_argument_group("samples")
    sample.add_argument(
        "--samples", default=None, type=Path, metavar="samples.csv", help="write samples"
    )
    sample.add_argument(
        "--plot", default=None, type=Path, metavar="samples.png",
        help="figure of samples and data, one or two columns",
    )  # fmt: skip
    methods = "{ddpm,ancestral,probability_flow,heun,annealed_langevin,predictor_corrector}"
    add_sampling_options(sample, methods, "default: ddpm")
    parser.set_defaults(command=_diffuse)


def _diffuse(arguments: argparse.Namespace) -> int:
    """Fit, report, save, sample, draw; whatever was asked for."""
    from convexscore.cli.text import describe_data, describe_diffusion, describe_samples
    from convexscore.models.diffusion import fit_convex_diffusion
    from convexscore.models.diffusion_sampling import check_plan

    # before minutes of work, not after
    for folder in (arguments.out, arguments.samples, arguments.plot):
        if folder is not None and not folder.absolute().parent.is_dir():
            raise FileNotFoundError(f"there is no folder {folder.absolute().parent} for {folder}.")
    how = {"method": "ddpm", **sampling(arguments)}
    check_plan(arguments.n, **how)
    table = asked_table(arguments)
    print(describe_data(arguments.data, table), flush=True)
    options = given(arguments, DiffusionOptions)
    started = perf_counter()
    model = fit_convex_diffusion(table.values, sample_weight=table.weights, **options)
    table.name_columns_of(model)
    print(describe_diffusion(model, perf_counter() - started), flush=True)
    if arguments.out is not None:
        from convexscore.persistence import save

        print(f"saved        {save(model, arguments.out)}")
    if arguments.samples is None and arguments.plot is None:
        return 0
    started = perf_counter()
    seed = sampling_seed(options.get("random_state"))
    samples = model.sample(arguments.n, random_state=seed, **how)
    print(describe_samples(samples, table, how["method"], perf_counter() - started))
    if arguments.samples is not None:
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

    return None if random_state is None else np.random.default_rng([random_state, _SAMPLES])
