"""The options of the library as options of the command line, from the dictionaries that name them."""

from __future__ import annotations

import argparse
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


def add_options(parser: argparse.ArgumentParser, options: type) -> None:
    """An option for each entry of a typed dictionary.

    Examples
    --------
    >>> import argparse
    >>> from convexscore.cli.options import add_options
    >>> from convexscore.objectives.options import DiffusionOptions
    >>> parser = argparse.ArgumentParser(argument_default=argparse.SUPPRESS)
    >>> add_options(parser, DiffusionOptions)
    >>> arguments = parser.parse_args(["--levels", "3,1", "--standardize", "none", "--no-skip"])
    >>> arguments.levels, arguments.standardize, arguments.skip
    ([3.0, 1.0], None, False)
    """
    group = parser.add_argument_group("model")
    for name, kind in get_type_hints(options).items():
        metavar, text = _HELP[name]
        how: dict[str, Any] = {"help": text, **_parsing(kind)}
        if metavar is not None:
            how["metavar"] = metavar
        group.add_argument(f"--{name.replace('_', '-')}", **how)


def given(arguments: argparse.Namespace, options: type) -> Any:
    """Those that were given: the others keep the library's own defaults, which live there only."""
    return {name: getattr(arguments, name) for name in get_type_hints(options) if name in arguments}


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
