"""The main job on one real column: fit, certificate, density, samples, figure, table, files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.tables import aligned
from convexscore._tools.typing import Floats
from convexscore.cli.figures import demo_figure
from convexscore.cli.text import describe_fit
from convexscore.metrics import kolmogorov_smirnov
from convexscore.models.score import ConvexScore, fit_convex_score
from convexscore.persistence import save
from convexscore.scores.piecewise import PiecewiseLinearScore

_N_CHAINS = 5_000
_N_STEPS = 3_000
# Kolmogorov: exceeded by one in twenty sets of n independent draws of the very law.
_KS_CRITICAL = 1.358


@dataclass(frozen=True)
class DemoReport:
    """What :func:`run_demo` did.

    Attributes
    ----------
    files : tuple of Path
        demo.png, fit.npz, samples.csv, summary.txt.
    fit : ConvexScore
    samples : (5000,) end points of the Langevin chains.
    summary : str
        The printed table, with the names of the files.
    """

    files: tuple[Path, ...]
    fit: ConvexScore
    samples: Floats
    summary: str


def demo_column() -> tuple[str, Floats]:
    """Absorbance ratio OD280/OD315 of 178 wines, a real column with two modes.

    The optical density of the diluted wine at 280 nm over that at 315 nm, a measure of its protein;
    from scikit-learn's copy of the UCI wine data.

    Examples
    --------
    >>> from convexscore.cli.demo import demo_column
    >>> name, x = demo_column()
    >>> x.shape
    (178,)
    """
    from sklearn.datasets import load_wine

    data = load_wine()
    column = data.feature_names.index("od280/od315_of_diluted_wines")
    return "OD280/OD315", np.asarray(data.data[:, column], dtype=np.float64)


def run_demo(out_dir: str | os.PathLike[str], *, random_state: RandomState = 0) -> DemoReport:
    """Fit, certify, draw and sample one column of scikit-learn's wine data; no download.

    The default fit (score matching, ReLU with skip connection, beta by cross-validation); if its
    tails do not belong to a density, the fit with ``constraint="density"``, and the summary says so.

    Parameters
    ----------
    out_dir : path
        Folder to write to; made if missing.  Files of an earlier run are replaced.
    random_state : None, int, Generator or RandomState
        Folds and chains.

    Returns
    -------
    DemoReport
        Its ``summary`` is what the command prints.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rng = check_random_state(random_state)
    name, x = demo_column()

    times = [perf_counter()]
    fit = fit_convex_score(x, random_state=rng)
    if not fit.piecewise_.is_integrable:
        fit = fit_convex_score(x, constraint="density", random_state=rng)
    times.append(perf_counter())
    samples = fit.sample(_N_CHAINS, method="langevin", n_steps=_N_STEPS, random_state=rng)
    times.append(perf_counter())

    summary = _summary(name, x, fit, samples, np.diff(times))
    picture, model, draws, text = files = tuple(
        folder / file for file in ("demo.png", "fit.npz", "samples.csv", "summary.txt")
    )
    demo_figure(name, x, fit, samples).savefig(picture, dpi=120)
    save(fit, model)
    np.savetxt(draws, samples, fmt="%.17g", header=name, comments="")
    text.write_text(summary, encoding="utf-8")
    listing = "\n".join(f"  {path}" for path in files)
    return DemoReport(files, fit, samples, f"{summary}\nwritten to\n{listing}")


def _summary(name: str, x: Floats, fit: ConvexScore, samples: Floats, seconds: Floats) -> str:
    law = fit.piecewise_
    ks = [
        (label, f"{kolmogorov_smirnov(y, law.cdf):.4f}", f"({_KS_CRITICAL / y.size**0.5:.4f})")
        for label, y in (("data to fitted law", x), ("Langevin to fitted law", samples))
    ]
    return "\n".join(
        [
            f"data         {name} of {x.size} wines, {np.unique(x).size} distinct values",
            describe_fit(fit),
            f"seconds      {seconds[0]:.2f} cross-validated fit, {seconds[1]:.2f} for {samples.size} "
            f"chains of {_N_STEPS} steps",
            "",
            *law_table(x, law, samples),
            "",
            "Kolmogorov-Smirnov distance (in brackets: exceeded by 1 in 20 sets of as many exact draws)",
            *aligned(ks, indent="  "),
            "",
        ]
    )


def law_table(x: Floats, law: PiecewiseLinearScore, samples: Floats) -> list[str]:
    """Mean, standard deviation and quantiles of the data, the fitted law and the samples."""
    levels = (0.05, 0.25, 0.5, 0.75, 0.95)
    names = ["mean", "std", *(f"{100 * q:g} % quantile" for q in levels)]
    columns = [
        [x.mean(), x.std(), *np.quantile(x, levels)],
        [law.mean(), law.var() ** 0.5, *law.ppf(levels)],
        [samples.mean(), samples.std(), *np.quantile(samples, levels)],
    ]
    rows = [
        (name, *(f"{cell:.4g}" for cell in row)) for name, *row in zip(names, *columns, strict=True)
    ]
    return aligned([("", "data", "fitted law", "Langevin"), *rows], numbers=True)
