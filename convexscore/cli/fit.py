"""``convexscore fit``: the certified score of columns of a file."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from convexscore.cli.data import Table, add_data_options, read_table
from convexscore.cli.options import add_files, add_options, given
from convexscore.objectives.options import ScoreOptions


def add_fit(commands: Any) -> None:
    """The arguments of the command."""
    parser = commands.add_parser(
        "fit",
        help="fit columns of a CSV file",
        description="Fit columns of a CSV file with a header row; print beta and certificate.",
    )
    add_data_options(parser)
    add_files(parser, out="fit.npz: save the fit", plot="fit.png: save a figure")
    add_options(parser, ScoreOptions, "fit_convex_score")
    parser.set_defaults(command=_fit)


def _fit(arguments: Namespace) -> int:
    from convexscore.cli.text import describe_fit
    from convexscore.models.score import fit_convex_score

    table, fit = fitted(
        arguments, ScoreOptions, fit_convex_score, lambda fit, seconds: describe_fit(fit)
    )
    if arguments.plot is not None:
        from convexscore.cli.figures import save_figure

        save_figure(fit, table, arguments.plot)
        print(f"figure       {arguments.plot}")
    return 0


def fitted(
    arguments: Namespace,
    options: type,
    fit: Callable[..., Any],
    describe: Callable[[Any, float], str],
) -> tuple[Table, Any]:
    """Read the columns and fit them; say what they are and what came out, and save it if asked to."""
    from convexscore.cli.text import describe_data

    names = ("columns", "weights", "delimiter", "drop_missing")
    table = read_table(arguments.data, **{name: getattr(arguments, name) for name in names})
    if (d := len(table.names)) > 2 and arguments.plot is not None:
        raise ValueError(
            f"--plot draws fits of one or two columns; {d} were chosen. Leave out --plot, or choose two."
        )
    print(describe_data(arguments.data, table), flush=True)
    started = perf_counter()
    chosen = given(arguments, options.__annotations__)
    model = fit(table.values, sample_weight=table.weights, **chosen)
    if d > 1:  # scikit-learn's name: kept in the file of a model, for the header of samples
        model.feature_names_in_ = np.array(table.names, dtype=object)
    print(describe(model, perf_counter() - started), flush=True)
    if arguments.out is not None:
        from convexscore.persistence import save

        print(f"saved        {save(model, arguments.out)}")
    return table, model
