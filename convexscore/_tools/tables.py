"""Plain-text tables."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], *, indent: str = "", numbers: bool = False) -> list[str]:
    """Rows as lines with columns of equal width; all but the first right-aligned if ``numbers``.

    Examples
    --------
    >>> from convexscore._tools.tables import aligned
    >>> aligned([("n", "178"), ("beta", "8")])
    ['n     178', 'beta  8']
    """
    widths = [max(len(row[j]) for row in rows) for j in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if numbers and j else cell.ljust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines
