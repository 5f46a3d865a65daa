"""Plain-text tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.piecewise import PiecewiseLinearScore

Floats = NDArray[np.float64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


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


def law_table(x: Floats, law: PiecewiseLinearScore, samples: Floats) -> list[str]:
    """Mean, standard deviation and quantiles of the data, the fitted law and the samples."""
    rows = [("", "data", "fitted law", "Langevin")]
    rows.append(("mean", *_cells(x.mean(), law.mean(), samples.mean())))
    rows.append(("std", *_cells(x.std(), np.sqrt(law.var()), samples.std())))
    for q in QUANTILES:
        found = _cells(np.quantile(x, q), float(law.ppf(q)), np.quantile(samples, q))
        rows.append((f"{100 * q:g} % quantile", *found))
    return aligned(rows, numbers=True)


def _cells(*values: float) -> tuple[str, str, str]:
    data, law, samples = (f"{value:.4g}" for value in values)
    return data, law, samples
