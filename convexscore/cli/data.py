"""Columns of numbers from and to CSV files, and the options that choose them."""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np

from convexscore._tools.typing import Floats

_DELIMITERS = (",", ";", "\t", "|")
_SNIFFED_LINES = 20
_SHOWN_NAMES = 20


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of a file, with their weights.

    Attributes
    ----------
    names : headers of the columns.
    values : (n,) for one column, (n, d) for several.
    weights : (n,) or None.
    n_dropped : rows left out because a cell was missing or not a number.
    """

    names: tuple[str, ...]
    values: Floats
    weights: Floats | None
    n_dropped: int


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """A CSV file, its columns, weights and what to do with gaps."""
    parser.add_argument("data", type=Path, metavar="data.csv")
    columns = parser.add_mutually_exclusive_group()
    columns.add_argument(
        "--column", action="append", dest="columns", metavar="NAME",
        help="name or 0-based index, repeated for several; may be left out when there is one column",
    )  # fmt: skip
    columns.add_argument(
        "--columns", metavar="{A,B,...,all}",
        help="several at once: names with commas between them, or all but the weights",
    )  # fmt: skip
    parser.add_argument("--weights", metavar="COLUMN", help="sample weights")
    parser.add_argument("--delimiter", help="default: found from the first lines")
    parser.add_argument(
        "--drop-missing", action="store_true",
        help="leave out rows whose cell is empty or not a number, instead of stopping",
    )  # fmt: skip


def read_table(
    path: str | PathLike[str],
    *,
    columns: Sequence[str] | str | None = None,
    weights: str | None = None,
    delimiter: str | None = None,
    drop_missing: bool = False,
) -> Table:
    """Read columns (and one of weights) of a CSV file with a header row.

    Parameters
    ----------
    path : path-like
        UTF-8 text; blank lines are ignored.
    columns : sequence of str, or str, optional
        Header names, or 0-based indices, in one str with commas between them; "all": all but the
        weights.  May be left out in a file of one column.
    weights : str, optional
    delimiter : str, optional
        Default: the one of comma, semicolon, tab and bar that the first lines agree on.
    drop_missing : bool
        Leave out rows with a missing or non-numeric cell instead of refusing them.

    Raises
    ------
    ValueError
        With the name of the file and, for a bad cell, its line.
    OSError
        If the file cannot be opened.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "data.csv"
    ...     _ = path.write_text("a;b\\n1;2.5\\n3;4.5\\n")
    ...     table = read_table(path, columns=["b"])
    >>> table.values.tolist()
    [2.5, 4.5]
    """
    header, rows = _read_rows(path, delimiter)
    find = partial(_position, path, header)
    weight = [] if weights is None else [find(weights, "--weights")]
    if columns == "all":
        wanted = [k for k in range(len(header)) if k not in weight]
        if not wanted:
            raise ValueError(f"{path} has no column but the weights; expected columns of data.")
    elif columns is None and len(header) == 1:
        wanted = [0]
    elif columns is None:
        raise ValueError(
            f"{path} has {len(header)} columns; choose one with --column: {_listed(header)} (several: "
            "repeat --column, or --columns all)."
        )
    else:
        asked = columns.split(",") if isinstance(columns, str) else columns
        wanted = [find(column.strip(), "--column") for column in asked]
    for k in wanted:
        if wanted.count(k) > 1:
            raise ValueError(
                f"{path}: column {header[k]!r} was chosen twice; name every column once."
            )
    numbers = _numbers(path, header, rows, [*wanted, *weight], drop_missing)
    d = len(wanted)
    return Table(
        names=tuple(header[k] for k in wanted),
        values=numbers[:, 0] if d == 1 else np.ascontiguousarray(numbers[:, :d]),
        weights=numbers[:, d] if weight else None,
        n_dropped=len(rows) - len(numbers),
    )


def write_columns(path: str | PathLike[str] | None, values: Floats, names: Sequence[str]) -> None:
    """Write (n,) or (n, d) numbers under a header, each in full precision; to stdout without a path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(map(repr, row) for row in values.reshape(len(values), -1).tolist())
    if path is None:
        sys.stdout.write(text.getvalue())
    else:
        Path(path).write_text(text.getvalue(), encoding="utf-8")


def _read_rows(
    path: str | PathLike[str], delimiter: str | None
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows with the numbers of their lines."""
    if delimiter is not None and len(delimiter) != 1:
        raise ValueError(f"the delimiter must be one character; got {delimiter!r}.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if delimiter is None:
                delimiter = _sniff([line for line, _ in zip(file, range(_SNIFFED_LINES))])  # noqa: B905
                file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}.") from error
    if not rows:
        raise ValueError(f"{path} is empty; expected a header row and at least two lines of data.")
    header = [name.strip() for name in rows[0][1]]
    if all(_number(name) is not None for name in header):
        raise ValueError(
            f"{path}: the first line, {', '.join(header[:5])}, looks like data. "
            "Add a header row with the names of the columns."
        )
    return header, rows[1:]


def _sniff(lines: list[str]) -> str:
    """The delimiter that splits the first lines into the same number of cells, the most.

    Of ragged lines at least the header decides.
    """

    def merit(delimiter: str) -> tuple[int, int]:
        widths = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
        return max(widths) if len(widths) == 1 else 1, lines[0].count(delimiter)

    return max(_DELIMITERS, key=merit) if lines else ","


def _listed(header: list[str]) -> str:
    return ", ".join(header[:_SHOWN_NAMES]) + (", ..." if len(header) > _SHOWN_NAMES else "")


def _position(path: str | PathLike[str], header: list[str], column: str, option: str) -> int:
    places = [k for k, name in enumerate(header) if name == column]
    if not places and column.isdecimal() and int(column) < len(header):
        places = [int(column)]
    if len(places) == 1:
        return places[0]
    if places:
        raise ValueError(
            f"{path} has {len(places)} columns named {column!r}; give {option} by index: "
            f"{' or '.join(map(str, places))}."
        )
    raise ValueError(
        f"{path} has no column {column!r}; {option} must be one of {_listed(header)}, or an index from "
        f"0 to {len(header) - 1}."
    )


def _number(cell: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(cell)
    except ValueError:
        return None
    # float() accepts 1_000, which in a file of data is a typing error
    return value if math.isfinite(value) and "_" not in cell else None


def _numbers(
    path: str | PathLike[str],
    header: list[str],
    rows: list[tuple[int, list[str]]],
    wanted: list[int],
    drop_missing: bool,
) -> Floats:
    """The cells of the rows in which all of them are numbers."""
    kept = []
    for line, row in rows:
        cells = [row[k].strip() if k < len(row) else "" for k in wanted]
        numbers = [_number(cell) for cell in cells]
        if None not in numbers:
            kept.append(numbers)
        elif not drop_missing:
            bad = numbers.index(None)
            what = f"holds {cells[bad]!r}, which is not a finite number"
            raise ValueError(
                f"{path}, line {line}: column {header[wanted[bad]]!r} "
                f"{what if cells[bad] else 'is empty'}. "
                "Correct the file, or leave out such rows with --drop-missing."
            )
    if not kept:
        what = f"all {len(rows)} rows were dropped"
        raise ValueError(
            f"{path}: no numbers in column {header[wanted[0]]!r}; "
            f"{what if rows else 'there are no rows under the header'}."
        )
    return np.array(kept, dtype=np.float64)
