"""``convexscore sample``: samples of a saved fit or diffusion model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_sample(commands: Any) -> None:
    """The arguments of the command."""
    parser = commands.add_parser(
        "sample",
        allow_abbrev=False,
        help="draw samples from a saved fit or diffusion model",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("fit", type=Path, metavar="fit.npz")
    parser.add_argument(
        "--out", default=None, type=Path, metavar="samples.csv", help="default: standard output"
    )
    parser.add_argument("--random-state", type=int, metavar="SEED")
    add_sampling_options(
        parser,
        "{exact,langevin,mala,ddpm,...}",
        "default: exact, with several columns langevin; diffusion models: ddpm; of these also ancestral, "
        "probability_flow, heun, annealed_langevin, predictor_corrector",
    )
    parser.set_defaults(command=_sample)


def add_sampling_options(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, methods: str, text: str
) -> None:
    """How many samples, and the sampler with its steps."""
    parser.add_argument("-n", type=int, default=1000, metavar="N", help="how many (%(default)s)")
    parser.add_argument("--method", metavar=methods, help=text)
    parser.add_argument(
        "--step", type=float, help="of chains and annealed_langevin, in squared units of x (of Z)"
    )
    parser.add_argument(
        "--n-steps", type=int, help="steps of every chain, at every level, of the grid"
    )


def sampling(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options of sampling that were given."""
    return {
        name: getattr(arguments, name)
        for name in ("method", "step", "n_steps")
        if name in arguments
    }


def _sample(arguments: argparse.Namespace) -> int:
    from convexscore.cli.data import write_columns
    from convexscore.persistence import load

    fit = load(arguments.fit)
    how = sampling(arguments)
    method = how.setdefault("method", _default_method(fit))
    seed = getattr(arguments, "random_state", None)
    samples = fit.sample(arguments.n, random_state=seed, **how)
    write_columns(arguments.out, samples, _names(fit))
    if arguments.out is not None:
        print(f"{len(samples)} samples ({method}) written to {arguments.out}")
    return 0


def _default_method(fit: Any) -> str:
    from convexscore.models.score import ConvexScore

    if not isinstance(fit, ConvexScore):
        return "ddpm"
    return "exact" if fit.score_.samples_exactly else "langevin"


def _names(fit: Any) -> list[str]:
    """Header of samples: the names of the columns where the fit knows them, else x or x1, x2, ..."""
    d = fit.n_features_in_
    if d == 1:
        return ["x"]
    return [
        str(name) for name in getattr(fit, "feature_names_in_", [f"x{k + 1}" for k in range(d)])
    ]
