"""Histogram of the data under the density that belongs to the fitted score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_weights
from convexscore.plotting.drawing import (
    DATA_COLOR,
    Floats,
    axes_and_figure,
    column_or_none,
    legend_above,
    plot_grid,
    score_of,
)
from convexscore.scores.piecewise import PiecewiseLinearScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class DensityDisplay:
    """Fitted density over a histogram of the data.

    Parameters
    ----------
    score : PiecewiseLinearScore
        Must be integrable.
    X : array_like of shape (n,), optional
    sample_weight : array_like of shape (n,), optional
    grid : array_like, optional
    data_label : str

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
    line_ : Line2D, the density
    bars_ : BarContainer or None
    edges_, heights_ : histogram edges (B + 1,) and heights (B,), or None

    Raises
    ------
    NotIntegrableError
        If the score belongs to no density; nothing is drawn.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from convexscore import PiecewiseLinearScore
    >>> from convexscore.plotting import DensityDisplay
    >>> normal = PiecewiseLinearScore([0.0], [0.0], -1.0, -1.0)
    >>> display = DensityDisplay.from_estimator(normal, [-1.0, 0.0, 0.5], ax=Figure().subplots())
    >>> round(float(display.line_.get_ydata().max()), 4)
    0.3989
    """

    def __init__(
        self,
        score: PiecewiseLinearScore,
        *,
        X: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        grid: ArrayLike | None = None,
        data_label: str = "data",
    ) -> None:
        self.score = score
        self.X = column_or_none(X)
        if sample_weight is not None and self.X is None:
            raise ValueError("sample_weight was given without X; pass both.")
        self.sample_weight = None if self.X is None else check_weights(sample_weight, self.X.size)
        self.data_label = data_label
        self.grid = plot_grid(score, self.X, grid)
        self.density = score.density(self.grid)

    @classmethod
    def from_estimator(
        cls,
        fit: object,
        X: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        bins: int | str | ArrayLike = "auto",
        grid: ArrayLike | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        **line_options: Any,
    ) -> DensityDisplay:
        """Draw the density of a fitted ConvexScore, a network or a PiecewiseLinearScore.

        Parameters
        ----------
        fit : ConvexScore, TwoLayerNetwork or PiecewiseLinearScore
        X : array_like of shape (n,) or (n, 1), optional
            Data of the histogram.  Default after denoising: the noisy points, whose law is fitted.
        sample_weight : array_like of shape (n,), optional
        bins : as in ``numpy.histogram``; "auto" falls back to sqrt(n) with weights.
        grid : array_like, optional
        ax : Axes, optional
        name : str, optional
            Label of the line.
        **line_options
            Passed to ``Axes.plot`` for the density.
        """
        label = "data"
        noisy = getattr(fit, "noisy_points_", None)
        if X is None and noisy is not None and sample_weight is None:
            X, label = noisy, "noisy data"
        display = cls(score_of(fit), X=X, sample_weight=sample_weight, grid=grid, data_label=label)
        return display.plot(ax=ax, bins=bins, name=name, **line_options)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        bins: int | str | ArrayLike = "auto",
        name: str | None = None,
        **line_options: Any,
    ) -> DensityDisplay:
        """Draw; options as in :meth:`from_estimator`."""
        self.edges_: Floats | None = None
        self.heights_: Floats | None = None
        self.bars_: Any = None
        if self.X is not None:
            self.heights_, self.edges_ = histogram(self.X, bins, self.sample_weight)
        self.ax_, self.figure_ = axes_and_figure(ax)
        if self.edges_ is not None and self.heights_ is not None:
            self.bars_ = self.ax_.bar(
                self.edges_[:-1],
                self.heights_,
                np.diff(self.edges_),
                align="edge",
                color=DATA_COLOR,
                edgecolor="white",
                linewidth=0.5,
                label=self.data_label,
            )
        label = "fitted density" if name is None else name
        options: dict[str, Any] = {"label": label, "linewidth": 1.6}
        (self.line_,) = self.ax_.plot(self.grid, self.density, **(options | line_options))
        self.ax_.set(xlabel="x", ylabel="density p(x)")
        legend_above(self.ax_)
        return self


def histogram(
    x: np.ndarray, bins: int | str | ArrayLike, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Density histogram; numpy has no automatic number of bins for weighted data."""
    if weights is not None and isinstance(bins, str):
        bins = max(1, int(np.ceil(np.sqrt(x.size))))
    return np.histogram(x, bins=bins, density=True, weights=weights)  # type: ignore[arg-type]
