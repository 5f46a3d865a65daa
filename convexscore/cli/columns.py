"""Columns of numbers from and to CSV files; whatever is wrong is named with its line."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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


def read_columns(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    every: bool = False,
    weights: str | None = None,
    delimiter: str | None = None,
    drop_missing: bool = False,
) -> Table:
    """Read columns (and one of weights) of a CSV file with a header row.

    Parameters
    ----------
    path : path-like
        UTF-8 text; blank lines are ignored.
    columns, weights : str, optional
        Header names, or 0-based indices.  ``columns`` may be left out in a file of one column.
    every : bool
        All columns but the weights.
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
    ...     table = read_columns(path, columns=["b"])
    >>> table.values.tolist()
    [2.5, 4.5]
    """
    path = Path(path)
    if delimiter is not None and len(delimiter) != 1:
        raise ValueError(f"the delimiter must be one character; got {delimiter!r}.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if delimiter is None:
                delimiter = _sniff([line for line, _ in zip(file, range(_SNIFFED_LINES))])  # noqa: B905
                file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            rows = [(reader.line_num, row) for row in reader if row]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8.") from error
    except csv.Error as error:
        raise ValueError(f"{path} is not a readable CSV file: {error}.") from error
    if not rows:
        raise ValueError(f"{path} is empty; expected a header row and at least two lines of data.")
    header = [name.strip() for name in rows[0][1]]
    if all(_number(name) is not None for name in header):
        raise ValueError(
            f"{path}: the first line, {', '.join(header[:5])}, looks like data. "
            "Add a header row with the names of the columns."
        )
    weight = None if weights is None else _position(path, header, weights, option="--weights")
    if every:
        wanted = [k for k in range(len(header)) if k != weight]
        if not wanted:
            raise ValueError(f"{path} has no column but the weights; expected columns of data.")
    else:
        chosen: Sequence[str | None] = columns or [None]
        wanted = [_position(path, header, column, option="--column") for column in chosen]
    _refuse_repeated(path, header, wanted)
    cells = wanted if weight is None else [*wanted, weight]
    numbers, n_dropped = _numbers(path, header, rows[1:], cells, drop_missing)
    d = len(wanted)
    return Table(
        names=tuple(header[k] for k in wanted),
        values=numbers[:, 0] if d == 1 else np.ascontiguousarray(numbers[:, :d]),
        weights=None if weight is None else numbers[:, d],
        n_dropped=n_dropped,
    )


def write_columns(
    path: str | os.PathLike[str] | None, values: Floats, names: Sequence[str]
) -> None:
    """Write (n,) or (n, d) numbers under a header, each in full precision; to stdout without a path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(map(repr, row) for row in values.reshape(len(values), -1).tolist())
    if path is None:
        sys.stdout.write(text.getvalue())
    else:
        Path(path).write_text(text.getvalue(), encoding="utf-8")


def _refuse_repeated(path: Path, header: list[str], wanted: list[int]) -> None:
    for place, k in enumerate(wanted):
        if k in wanted[:place]:
            raise ValueError(
                f"{path}: column {header[k]!r} was chosen twice; name every column once."
            )


def _sniff(lines: list[str]) -> str:
    """The delimiter that splits the first lines into the same number of cells, the most."""
    best, most = ",", 1
    for delimiter in _DELIMITERS:
        widths = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
        if len(widths) == 1 and max(widths) > most:
            best, most = delimiter, max(widths)
    if most == 1:
        # ragged lines: at least the header decides
        best = max(_DELIMITERS, key=lambda mark: lines[0].count(mark) if lines else 0)
    return best


def _position(path: Path, header: list[str], column: str | None, *, option: str) -> int:
    names = ", ".join(header[:_SHOWN_NAMES]) + (", ..." if len(header) > _SHOWN_NAMES else "")
    if column is None:
        if len(header) == 1:
            return 0
        raise ValueError(
            f"{path} has {len(header)} columns; choose one with {option}: {names} (several: repeat "
            f"{option}, or --columns all)."
        )
    if header.count(column) == 1:
        return header.index(column)
    if header.count(column) > 1:
        places = [k for k, name in enumerate(header) if name == column]
        raise ValueError(
            f"{path} has {len(places)} columns named {column!r}; give {option} by index: "
            f"{' or '.join(map(str, places))}."
        )
    if column.isdecimal() and int(column) < len(header):
        return int(column)
    raise ValueError(
        f"{path} has no column {column!r}; {option} must be one of {names}, or an index from 0 to "
        f"{len(header) - 1}."
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
    path: Path,
    header: list[str],
    rows: list[tuple[int, list[str]]],
    wanted: list[int],
    drop_missing: bool,
) -> tuple[Floats, int]:
    kept: list[list[float]] = []
    for line, row in rows:
        numbers = []
        for k in wanted:
            cell = row[k].strip() if k < len(row) else ""
            number = _number(cell)
            if number is not None:
                numbers.append(number)
            elif not drop_missing:
                what = f"holds {cell!r}, which is not a finite number" if cell else "is empty"
                raise ValueError(
                    f"{path}, line {line}: column {header[k]!r} {what}. "
                    "Correct the file, or leave out such rows with --drop-missing."
                )
        if len(numbers) == len(wanted):
            kept.append(numbers)
    n_dropped = len(rows) - len(kept)
    if not kept:
        what = (
            f"all {n_dropped} rows were dropped" if rows else "there are no rows under the header"
        )
        raise ValueError(f"{path}: no numbers in column {header[wanted[0]]!r}; {what}.")
    return np.array(kept), n_dropped
