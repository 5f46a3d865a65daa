"""Samples (of Langevin chains, say) against the exact density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_column
from convexscore.metrics import kolmogorov_smirnov
from convexscore.plotting.density_display import histogram
from convexscore.plotting.drawing import (
    axes_and_figure,
    legend_above,
    plot_grid,
    score_of,
)
from convexscore.scores.piecewise import PiecewiseLinearScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SampleDisplay:
    """Histogram of samples with the exact density they should follow.

    Parameters
    ----------
    score : PiecewiseLinearScore
        Must be integrable.
    samples : array_like of shape (n,) or (n, 1)
    grid : array_like, optional

    Attributes
    ----------
    ks_distance : float
        Kolmogorov-Smirnov distance between samples and law; about 1.36 / sqrt(n) is exceeded by
        one in twenty sets of n independent exact samples.
    ax_, figure_ : matplotlib Axes and Figure
    line_ : Line2D, the exact density
    bars_ : BarContainer
    edges_, heights_ : histogram edges (B + 1,) and heights (B,)

    Raises
    ------
    NotIntegrableError
        If the score belongs to no density; nothing is drawn.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from convexscore import PiecewiseLinearScore
    >>> from convexscore.plotting import SampleDisplay
    >>> normal = PiecewiseLinearScore([0.0], [0.0], -1.0, -1.0)
    >>> samples = normal.sample(400, random_state=0)
    >>> display = SampleDisplay.from_estimator(normal, samples, ax=Figure().subplots())
    >>> bool(display.ks_distance < 1.36 / 20)
    True
    """

    def __init__(
        self, score: PiecewiseLinearScore, samples: ArrayLike, *, grid: ArrayLike | None = None
    ) -> None:
        self.score = score
        self.samples = check_column(samples, name="samples", min_distinct=1)
        self.grid = plot_grid(score, self.samples, grid)
        self.density = score.density(self.grid)
        self.ks_distance = kolmogorov_smirnov(self.samples, score.cdf)

    @classmethod
    def from_estimator(
        cls,
        fit: object,
        samples: ArrayLike,
        *,
        bins: int | str | ArrayLike = "auto",
        grid: ArrayLike | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        **line_options: Any,
    ) -> SampleDisplay:
        """Draw samples against the law of a fitted ConvexScore, a network or a score.

        Parameters
        ----------
        fit : ConvexScore, TwoLayerNetwork or PiecewiseLinearScore
        samples : array_like of shape (n,) or (n, 1)
        bins : as in ``numpy.histogram``
        grid : array_like, optional
        ax : Axes, optional
        name : str, optional
            Label of the histogram, default "samples".
        **line_options
            Passed to ``Axes.plot`` for the density.
        """
        display = cls(score_of(fit), samples, grid=grid)
        return display.plot(ax=ax, bins=bins, name=name, **line_options)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        bins: int | str | ArrayLike = "auto",
        name: str | None = None,
        **line_options: Any,
    ) -> SampleDisplay:
        """Draw; options as in :meth:`from_estimator`."""
        self.heights_, self.edges_ = histogram(self.samples, bins)
        self.ax_, self.figure_ = axes_and_figure(ax)
        self.bars_ = self.ax_.bar(
            self.edges_[:-1],
            self.heights_,
            np.diff(self.edges_),
            align="edge",
            color="tab:orange",
            alpha=0.45,
            edgecolor="white",
            linewidth=0.5,
            label=f"{self.samples.size} {'samples' if name is None else name}",
        )
        options: dict[str, Any] = {"label": "exact density", "linewidth": 1.6, "color": "tab:blue"}
        (self.line_,) = self.ax_.plot(self.grid, self.density, **(options | line_options))
        self.ax_.set(xlabel="x", ylabel="density p(x)")
        legend_above(self.ax_)
        return self
