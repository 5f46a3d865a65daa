"""The picture of the README: ``python docs/picture.py`` writes docs/images/demo.png.

The fit of ``make demo``, in three panels: the score, why it is optimal, the density that belongs to it.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_wine

from convexscore import fit_convex_score
from convexscore.plotting import CertificateDisplay, DensityDisplay, ScoreDisplay

BLUE, GREY = "#1f6fb2", "#d5d9de"


def picture(path: Path) -> Path:
    """Fit, draw, write."""
    x = load_wine().data[:, 11]
    fit = fit_convex_score(x, random_state=0)
    figure = Figure(figsize=(11.0, 3.5), layout="constrained")
    left, middle, right = figure.subplots(1, 3)

    inside = np.union1d(np.linspace(x.min(), x.max(), 400), fit.piecewise_.knots)
    score = ScoreDisplay.from_estimator(fit, x, grid=inside, ax=left, color=BLUE, linewidth=2)
    proof = CertificateDisplay.from_estimator(fit, x, ax=middle, color=BLUE, linewidth=1.2)
    density = DensityDisplay.from_estimator(fit, x, bins=24, ax=right, color=BLUE, linewidth=2)
    for bar in density.bars_:
        bar.set_facecolor(GREY)
    for marks in (score.kinks_, proof.kinks_):
        marks.set(markersize=7, markeredgecolor="white")
    middle.fill_between(proof.curve.t, proof.curve.G_abs, color=BLUE, alpha=0.12, linewidth=0)
    proof.bound_.set_label(f"price β = {fit.beta_:.3g}")
    proof.line_.set_label("gain")

    titles = (
        (left, f"The optimal score: {fit.certificate_.n_neurons} neurons", "score s(x)"),
        (middle, "The proof: no neuron gains its price", "gain of a neuron with kink at x"),
        (right, f"The density, and {x.size} data", "density p(x)"),
    )
    for ax, title, label in titles:
        ax.set_title(title, loc="left", fontsize=11)
        ax.set(xlabel="x: absorbance ratio of a wine", ylabel=label, xlim=(0.9, 4.4))
        ax.spines[["top", "right"]].set_visible(False)
        place, columns = ("upper right", 1) if ax is left else ("upper center", 3)
        ax.legend(
            loc=place, ncols=columns, fontsize=9, frameon=False, handlelength=1.4, columnspacing=1.2
        )
    figure.savefig(path, dpi=150)
    return path


if __name__ == "__main__":
    default = Path(__file__).parent / "images" / "demo.png"
    print(picture(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
