"""``convexscore sample``: samples of a saved fit or diffusion model."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from convexscore.cli.options import SAMPLING, add_files, add_sampling_options, given


def add_sample(commands: Any) -> None:
    """The arguments of the command."""
    text = "draw samples from a saved fit or diffusion model"
    parser = commands.add_parser("sample", help=text)
    parser.add_argument("fit", type=Path, metavar="fit.npz")
    add_files(parser, out="samples.csv: default: standard output")
    parser.add_argument("--random-state", type=int, metavar="SEED")
    add_sampling_options(
        parser,
        "{exact,langevin,mala,ddpm,...}",
        "default: exact, with several columns langevin; diffusion models: ddpm; of these also ancestral, "
        "probability_flow, heun, annealed_langevin, predictor_corrector",
    )
    parser.set_defaults(command=_sample)


def _sample(arguments: Namespace) -> int:
    from convexscore.cli.data import write_columns
    from convexscore.persistence import load

    fit = load(arguments.fit)
    how = given(arguments, SAMPLING)
    method = how.setdefault("method", _default_method(fit))
    samples = fit.sample(arguments.n, random_state=arguments.random_state, **how)
    names = ["x"]
    if (d := fit.n_features_in_) > 1:
        names = getattr(fit, "feature_names_in_", [f"x{k + 1}" for k in range(d)])
    write_columns(arguments.out, samples, names)
    if arguments.out is not None:
        print(f"{len(samples)} samples ({method}) written to {arguments.out}")
    return 0


def _default_method(fit: Any) -> str:
    score = getattr(fit, "score_", None)
    if score is None:
        return "ddpm"
    return "exact" if score.samples_exactly else "langevin"
