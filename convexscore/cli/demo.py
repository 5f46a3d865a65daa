"""The main job on one real column: fit, certificate, density, samples, figure, table, files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.tables import aligned
from convexscore.cli.demo_figure import demo_figure
from convexscore.metrics import kolmogorov_smirnov
from convexscore.models.score import ConvexScore, fit_convex_score
from convexscore.scores.piecewise import PiecewiseLinearScore
from convexscore.solvers.certificate import Certificate

Floats = NDArray[np.float64]

_N_CHAINS = 5_000
_N_STEPS = 3_000
# Kolmogorov: exceeded by one in twenty sets of n independent draws of the very law.
_KS_CRITICAL = 1.358


@dataclass(frozen=True)
class DemoReport:
    """What :func:`run_demo` did.

    Attributes
    ----------
    folder : Path
        Where the files are.
    files : tuple of Path
        demo.png, fit.npz, samples.csv, summary.txt.
    fit : ConvexScore
    x : (n,) the data column.
    samples : (5000,) end points of the Langevin chains.
    summary : str
        The printed table.
    """

    folder: Path
    files: tuple[Path, ...]
    fit: ConvexScore
    x: Floats
    samples: Floats
    summary: str

    def __str__(self) -> str:
        return self.summary


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
        ``print(report)`` shows the table.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rng = check_random_state(random_state)
    name, x = demo_column()

    started = perf_counter()
    constraint = None
    fit = fit_convex_score(x, random_state=rng)
    if not fit.piecewise_.is_integrable:
        constraint = "density"
        fit = fit_convex_score(x, constraint=constraint, random_state=rng)
    fit_seconds = perf_counter() - started
    started = perf_counter()
    samples = fit.sample(_N_CHAINS, method="langevin", n_steps=_N_STEPS, random_state=rng)
    chain_seconds = perf_counter() - started

    summary = _summary(name, x, fit, samples, constraint, fit_seconds, chain_seconds)
    files = _write(folder, name, x, fit, samples, summary)
    listing = "\n".join(f"  {path}" for path in files)
    return DemoReport(folder, files, fit, x, samples, f"{summary}\nwritten to\n{listing}")


def _summary(
    name: str,
    x: Floats,
    fit: ConvexScore,
    samples: Floats,
    constraint: str | None,
    fit_seconds: float,
    chain_seconds: float,
) -> str:
    law, proof = fit.piecewise_, fit.certificate_
    facts = [
        ("data", f"{name} of {x.size} wines, {np.unique(x).size} distinct values"),
        ("fit", f"score matching, ReLU with skip connection, constraint {constraint}"),
        ("beta", f"{fit.beta_:.4g}, {_choice(fit)}"),
        ("neurons", f"{proof.n_neurons}, kinks at {_positions(fit.network_.breakpoints())}"),
        ("objective", f"{proof.objective:.10g}"),
        ("duality gap", f"{_gap(proof)}: no network of any width is lower by more"),
        ("violation", f"{proof.max_violation:.1e} of beta, the largest over all neurons"),
        ("certificate", proof.message),
        ("seconds", f"{fit_seconds:.2f} cross-validated fit ({proof.seconds:.3f} final solve), "
         f"{chain_seconds:.2f} for {samples.size} chains of {_N_STEPS} steps"),
    ]  # fmt: skip
    distances = [
        ("data to fitted law", kolmogorov_smirnov(x, law.cdf), x.size),
        ("Langevin to fitted law", kolmogorov_smirnov(samples, law.cdf), samples.size),
    ]
    ks = [
        (label, f"{distance:.4f}", f"({_KS_CRITICAL / np.sqrt(n):.4f})")
        for label, distance, n in distances
    ]
    note = "in brackets: exceeded by 1 in 20 sets of as many exact draws"
    return "\n".join(
        [
            *aligned(facts),
            "",
            *law_table(x, law, samples),
            "",
            f"Kolmogorov-Smirnov distance ({note})",
            *aligned(ks, indent="  "),
            "",
        ]
    )


def _choice(fit: ConvexScore) -> str:
    selection = fit.beta_selection_
    return "given" if selection is None else f"chosen by {selection.n_folds}-fold cross-validation"


def _gap(proof: Certificate) -> str:
    rounding = float(np.finfo(float).eps) * abs(proof.objective)
    return f"{proof.gap:.1e}" if proof.gap > rounding else f"below {rounding:.0e} (rounding)"


def _positions(kinks: Floats) -> str:
    return ", ".join(f"{t:.4g}" for t in kinks) if kinks.size else "none"


def _write(
    folder: Path, name: str, x: Floats, fit: ConvexScore, samples: Floats, summary: str
) -> tuple[Path, ...]:
    from convexscore.persistence import save

    picture, model, draws, text = (
        folder / file for file in ("demo.png", "fit.npz", "samples.csv", "summary.txt")
    )
    demo_figure(name, x, fit, samples).savefig(picture, dpi=120)
    save(fit, model)
    np.savetxt(draws, samples, fmt="%.17g", header=name, comments="")
    text.write_text(summary, encoding="utf-8")
    return picture, model, draws, text


def law_table(x: Floats, law: PiecewiseLinearScore, samples: Floats) -> list[str]:
    """Mean, standard deviation and quantiles of the data, the fitted law and the samples."""
    rows = [("", "data", "fitted law", "Langevin")]
    rows.append(("mean", *_cells(x.mean(), law.mean(), samples.mean())))
    rows.append(("std", *_cells(x.std(), np.sqrt(law.var()), samples.std())))
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        found = _cells(np.quantile(x, q), float(law.ppf(q)), np.quantile(samples, q))
        rows.append((f"{100 * q:g} % quantile", *found))
    return aligned(rows, numbers=True)


def _cells(*values: float) -> tuple[str, str, str]:
    data, law, samples = (f"{value:.4g}" for value in values)
    return data, law, samples
