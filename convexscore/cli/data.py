"""The options of the command line that say which columns of which file are the data."""

from __future__ import annotations

import argparse
from pathlib import Path

from convexscore.cli.columns import Table, read_columns


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """A CSV file, its columns, weights and what to do with gaps."""
    parser.add_argument("data", type=Path, metavar="data.csv")
    parser.add_argument(
        "--column", action="append", default=None, metavar="NAME",
        help="name or 0-based index, repeated for several; may be left out when there is one column "
        "only",
    )  # fmt: skip
    parser.add_argument(
        "--columns", default=None, metavar="{A,B,...,all}",
        help="several at once: names with commas between them, or all but the weights",
    )  # fmt: skip
    parser.add_argument(
        "--weights", default=None, metavar="COLUMN", help="column of sample weights"
    )
    parser.add_argument("--delimiter", default=None, help="default: found from the first lines")
    parser.add_argument(
        "--drop-missing", action="store_true", default=False,
        help="leave out rows whose cell is empty or not a number, instead of stopping",
    )  # fmt: skip


def read_table(arguments: argparse.Namespace) -> Table:
    """The columns that were asked for; refuses a figure of more than two before any work."""
    table = read_columns(
        arguments.data,
        columns=_chosen_columns(arguments),
        every=arguments.columns == "all",
        weights=arguments.weights,
        delimiter=arguments.delimiter,
        drop_missing=arguments.drop_missing,
    )
    d = len(table.names)
    if d > 2 and arguments.plot is not None:
        raise ValueError(
            f"--plot draws fits of one or two columns; {d} were chosen. Leave out --plot, or choose two."
        )
    return table


def _chosen_columns(arguments: argparse.Namespace) -> list[str] | None:
    """What --column and --columns ask for; None: not said."""
    if arguments.columns is None:
        chosen: list[str] | None = arguments.column
        return chosen
    if arguments.column is not None:
        raise ValueError("--column and --columns were both given; use one of them.")
    if arguments.columns == "all":
        return None
    names = [name.strip() for name in arguments.columns.split(",")]
    if not all(names):
        raise ValueError(
            f"--columns must be names with commas between them, or all; got {arguments.columns!r}."
        )
    return names
