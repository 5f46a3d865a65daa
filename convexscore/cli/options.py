"""Options of the commands: those of the library, from the dictionaries that name them, and the others."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import numpy as np

# What a value looks like and what it is for.  What may be combined, and all defaults, the library says.
_HELP = {
    "objective": ("{score_matching,denoising}", "what is fitted"),
    "activation": ("{relu,abs,leaky_relu(A)}", "of the neurons"),
    "skip": (None, "a skip connection V x"),
    "constraint": (
        "{density,gradient,log-concave}",
        "what the score must be: have a density (one column), be the gradient of a log-density, of a "
        "concave one",
    ),
    "noise": (None, "noise level of denoising, in units of the data"),
    "n_draws": ("N", "noisy copies per point (denoising)"),
    "labels": ("{noisy,smoothed}", "labels of denoising"),
    "standardize": ("{columns,whitening,...}", "the data that are penalised; none: as they are"),
    "tol": (None, "relative duality gap that counts as optimal"),
    "n_starts": ("N", "local searches per round, where not all neurons can be looked at"),
    "random_state": ("SEED", "of everything that is drawn"),
    "beta": ("{NUMBER,cv,...}", "penalty; levels: rule, cv, cv-per-level, or one each with commas"),
    "cv": ("FOLDS", "folds of --beta cv"),
    "n_betas": ("N", "size of the grid of --beta cv"),
    "one_standard_error": (None, "--beta cv: largest within one standard error of the best"),
    "schedule": ("{vp,ve}", "meaning of time in the saved model's score"),
    "n_levels": ("L", "noise levels"),
    "levels": ("S1,S2,...", "the levels themselves, decreasing"),
    "sigma_max": (None, "largest level, in standardised units"),
    "sigma_min": (None, "smallest level"),
    "n_jobs": ("N", "worker processes, -1 for all cores"),
    "progress": (None, "progress bars (tqdm)"),
}
SAMPLING = ("method", "step", "n_steps")


def add_options(parser: argparse.ArgumentParser, options: type, function: str) -> None:
    """An option for each entry of the typed dictionary of a function.

    Examples
    --------
    >>> import argparse
    >>> from convexscore.cli.options import add_options
    >>> from convexscore.objectives.options import DiffusionOptions
    >>> parser = argparse.ArgumentParser()
    >>> add_options(parser, DiffusionOptions, "fit_convex_diffusion")
    >>> parser.parse_args(["--levels", "3,1", "--standardize", "none", "--no-skip"])
    Namespace(levels=[3.0, 1.0], standardize=None, skip=False)
    """
    parser.epilog = f"Options not given have the defaults of convexscore.{function}."
    group = parser.add_argument_group("model", argument_default=argparse.SUPPRESS)
    for name, kind in get_type_hints(options).items():
        metavar, text = _HELP[name]
        how: dict[str, Any] = {"help": text, **_parsing(kind)}
        if metavar is not None:
            how["metavar"] = metavar
        group.add_argument(f"--{name.replace('_', '-')}", **how)


def add_sampling_options(parser: argparse.ArgumentParser, methods: str, text: str) -> None:
    """How many samples, and the sampler with its steps."""
    group = parser.add_argument_group("samples", argument_default=argparse.SUPPRESS)
    group.add_argument("-n", type=int, default=1000, metavar="N", help="how many (%(default)s)")
    group.add_argument("--method", metavar=methods, help=text)
    group.add_argument(
        "--step", type=float, help="of chains and annealed_langevin, in squared units of x (of Z)"
    )
    group.add_argument(
        "--n-steps", type=int, help="steps of every chain, at every level, of the grid"
    )


def add_files(parser: argparse.ArgumentParser, **files: str) -> None:
    """Options that name files to write: their names, and what for."""
    for option, text in files.items():
        metavar, _, purpose = text.partition(": ")
        parser.add_argument(f"--{option}", type=Path, metavar=metavar, help=purpose)


def given(arguments: argparse.Namespace, options: Iterable[str]) -> Any:
    """Those that were given: the others keep the library's own defaults, which live there only."""
    return {name: getattr(arguments, name) for name in options if name in arguments}


def _parsing(kind: Any) -> dict[str, Any]:
    kinds = set(get_args(kind) or (kind,)) - {NoneType}
    if kinds == {bool}:
        return {"action": argparse.BooleanOptionalAction}
    if kinds == {float}:
        return {"type": float}
    if kinds == {int} or np.random.Generator in kinds:
        return {"type": int}
    return {"type": _value}


def _value(text: str) -> Any:
    """A number, several with commas between them, none, or a word."""
    try:
        numbers = [float(cell) for cell in text.split(",")]
    except ValueError:
        return None if text == "none" else text
    return numbers if len(numbers) > 1 else numbers[0]
