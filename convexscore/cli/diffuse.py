"""``convexscore diffuse``: a diffusion model of columns of a file, and its samples."""

from __future__ import annotations

from argparse import Namespace
from time import perf_counter
from typing import Any

from convexscore.cli.data import add_data_options, write_columns
from convexscore.cli.fit import fitted
from convexscore.cli.options import SAMPLING, add_files, add_options, add_sampling_options, given
from convexscore.objectives.options import DiffusionOptions

# Samples are another use of randomness than fits: the same seed must not give the same stream.
_SAMPLES = 1


def add_diffuse(commands: Any) -> None:
    """The arguments of the command."""
    parser = commands.add_parser(
        "diffuse",
        help="fit a diffusion model to columns of a CSV file and sample it",
        description="Fit one certified score per noise level to columns of a CSV file with a header "
        "row; print the certificates of all levels; save, sample and draw.",
    )
    add_data_options(parser)
    add_files(
        parser,
        out="model.npz: save the model",
        samples="samples.csv: write samples",
        plot="samples.png: figure of samples and data, one or two columns",
    )
    add_options(parser, DiffusionOptions, "fit_convex_diffusion")
    methods = "{ddpm,ancestral,probability_flow,heun,annealed_langevin,predictor_corrector}"
    add_sampling_options(parser, methods, "default: ddpm")
    parser.set_defaults(command=_diffuse)


def _diffuse(arguments: Namespace) -> int:
    """Fit, report, save, sample, draw; whatever was asked for."""
    from convexscore.cli.text import describe_diffusion, describe_samples
    from convexscore.models.diffusion import fit_convex_diffusion
    from convexscore.models.diffusion_sampling import check_plan

    # before minutes of work, not after
    for path in (arguments.out, arguments.samples, arguments.plot):
        if path is not None and not path.absolute().parent.is_dir():
            raise FileNotFoundError(f"there is no folder {path.absolute().parent} for {path}.")
    how = {"method": "ddpm", **given(arguments, SAMPLING)}
    check_plan(arguments.n, **how)
    table, model = fitted(arguments, DiffusionOptions, fit_convex_diffusion, describe_diffusion)
    if arguments.samples is None and arguments.plot is None:
        return 0
    started = perf_counter()
    seed = sampling_seed(getattr(arguments, "random_state", None))
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
