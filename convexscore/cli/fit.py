"""``convexscore fit``: the certified score of columns of a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from convexscore.cli.data import add_data_options, asked_table
from convexscore.cli.options import add_options, given
from convexscore.objectives.options import ScoreOptions


def add_fit(commands: Any) -> None:
    """The arguments of the command."""
    parser = commands.add_parser(
        "fit",
        allow_abbrev=False,
        help="fit columns of a CSV file",
        description="Fit columns of a CSV file with a header row; print beta and certificate.",
        argument_default=argparse.SUPPRESS,
        epilog="Options not given have the defaults of convexscore.fit_convex_score.",
    )
    add_data_options(parser)
    parser.add_argument("--out", default=None, type=Path, metavar="fit.npz", help="save the fit")
    parser.add_argument("--plot", default=None, type=Path, metavar="fit.png", help="save a figure")
    add_options(parser, ScoreOptions)
    parser.set_defaults(command=_fit)


def _fit(arguments: argparse.Namespace) -> int:
    from convexscore.cli.text import describe_data, describe_fit
    from convexscore.models.score import fit_convex_score

    table = asked_table(arguments)
    print(describe_data(arguments.data, table), flush=True)
    options = given(arguments, ScoreOptions)
    fit = fit_convex_score(table.values, sample_weight=table.weights, **options)
    table.name_columns_of(fit)
    print(describe_fit(fit))
    if arguments.out is not None:
        from convexscore.persistence import save

        print(f"saved        {save(fit, arguments.out)}")
    if arguments.plot is not None:
        from convexscore.cli.figures import save_figure

        save_figure(fit, table, arguments.plot)
        print(f"figure       {arguments.plot}")
    return 0
