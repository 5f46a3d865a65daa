"""The one figure of the demonstration: density, score, proof of optimality, samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from convexscore.models.score import ConvexScore
from convexscore.plotting import CertificateDisplay, DensityDisplay, SampleDisplay, ScoreDisplay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]


def demo_figure(name: str, x: Floats, fit: ConvexScore, samples: Floats) -> Figure:
    """Four panels on their own figure; nothing is shown and pyplot is not involved.

    Parameters
    ----------
    name : str
        What the data are, for the x axes.
    x : (n,) the data the fit was made on.
    fit : ConvexScore
        With an integrable score.
    samples : (m,) Langevin samples.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install matplotlib") from error
    figure = Figure(figsize=(11.0, 7.6), layout="constrained")
    (top_left, top_right), (low_left, low_right) = figure.subplots(2, 2)
    bins = np.histogram_bin_edges(x, bins=30)

    DensityDisplay.from_estimator(fit, x, bins=bins, ax=top_left)
    # far out the straight tails would flatten everything else
    between = np.union1d(np.linspace(x.min(), x.max(), 400), fit.piecewise_.knots)
    ScoreDisplay.from_estimator(fit, x, grid=between, ax=top_right, label="s(x)")
    CertificateDisplay.from_estimator(fit, x, ax=low_left)
    SampleDisplay.from_estimator(fit, samples, bins=60, ax=low_right, name="Langevin samples")

    gap = max(fit.certificate_.relative_gap, np.finfo(float).eps)
    titles = (
        (top_left, f"{x.size} data and the density of the fitted score"),
        (top_right, f"The optimal score: {fit.certificate_.n_neurons} neurons"),
        (low_left, f"Why it is optimal: no neuron exceeds β (relative gap ≤ {gap:.0e})"),
        (low_right, "Langevin dynamics on the score against the exact density"),
    )
    for ax, title in titles:
        ax.set_title(title, fontsize="medium", loc="left")
        ax.set_xlabel(name)
    low_left.set_xlabel(f"kink position t ({name})")
    for ax in (top_right, low_left, low_right):
        ax.set_xlim(top_left.get_xlim())
    return figure
