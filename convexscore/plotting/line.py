"""One column: the score with its kinks, the density over the data, samples against their law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_column, check_weights
from convexscore.metrics import kolmogorov_smirnov
from convexscore.plotting.drawing import (
    DATA_COLOR,
    axes_and_figure,
    column_or_none,
    draw_kinks,
    draw_rug,
    legend_above,
    plot_grid,
    score_of,
)
from convexscore.scores.piecewise import PiecewiseLinearScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ScoreDisplay:
    """Score s(x) with its kinks marked and, where given, the data as a rug.

    Parameters
    ----------
    score : PiecewiseLinearScore
    kinks : (K,) positions to mark; default those knots where the slope changes.
    X : array_like of shape (n,), optional
        Data for the rug.
    grid : array_like, optional
        Where to draw; default covers data and kinks.

    Attributes
    ----------
    ax_, figure_ : matplotlib Axes and Figure
    line_ : Line2D, the score
    kinks_ : Line2D, one mark per kink
    rug_ : Line2D or None
    zero_line_ : Line2D

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from convexscore import PiecewiseLinearScore
    >>> from convexscore.plotting import ScoreDisplay
    >>> score = PiecewiseLinearScore([-1.0, 1.0], [2.0, -2.0], -1.0, -1.0)
    >>> display = ScoreDisplay.from_estimator(score, ax=Figure().subplots())
    >>> display.kinks_.get_xdata().tolist()
    [-1.0, 1.0]
    """

    def __init__(
        self,
        score: PiecewiseLinearScore,
        *,
        kinks: ArrayLike | None = None,
        X: ArrayLike | None = None,
        grid: ArrayLike | None = None,
    ) -> None:
        self.score = score
        self.kinks: Floats = _corners(score) if kinks is None else np.asarray(kinks, dtype=float)
        self.X = column_or_none(X)
        self.grid = plot_grid(score, self.X, grid)

    @classmethod
    def from_estimator(
        cls,
        fit: object,
        X: ArrayLike | None = None,
        *,
        grid: ArrayLike | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        rug: bool = True,
        **line_options: Any,
    ) -> ScoreDisplay:
        """Draw the score of a fitted ConvexScore, a network or a PiecewiseLinearScore.

        Parameters
        ----------
        fit : ConvexScore, TwoLayerNetwork or PiecewiseLinearScore
        X : array_like of shape (n,) or (n, 1), optional
            Data, for the rug and the range.
        grid : array_like, optional
        ax : Axes, optional
        name : str, optional
            Label of the line.
        rug : bool
        **line_options
            Passed to ``Axes.plot`` for the score.
        """
        display = cls(score_of(fit), X=X, grid=grid)
        return display.plot(ax=ax, name=name, rug=rug, **line_options)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        name: str | None = None,
        rug: bool = True,
        **line_options: Any,
    ) -> ScoreDisplay:
        """Draw; options as in :meth:`from_estimator`."""
        values = self.score(self.grid)
        self.ax_, self.figure_ = axes_and_figure(ax)
        self.zero_line_ = self.ax_.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
        label = "score s(x)" if name is None else name
        options: dict[str, Any] = {"label": label, "linewidth": 1.6}
        (self.line_,) = self.ax_.plot(self.grid, values, **(options | line_options))
        visible = self.kinks[(self.kinks >= self.grid[0]) & (self.kinks <= self.grid[-1])]
        self.kinks_ = draw_kinks(self.ax_, visible, self.score(visible), self.kinks.size)
        self.rug_ = draw_rug(self.ax_, self.X) if rug and self.X is not None else None
        self.ax_.set(xlabel="x", ylabel="score  s(x) = d/dx log p(x)")
        self.ax_.legend(loc="best", fontsize="small")
        return self


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
            label, style = self.data_label, {"color": DATA_COLOR}
            self.bars_ = _bars(self.ax_, self.heights_, self.edges_, label=label, **style)
        label = "fitted density" if name is None else name
        options: dict[str, Any] = {"label": label, "linewidth": 1.6}
        (self.line_,) = self.ax_.plot(self.grid, self.density, **(options | line_options))
        self.ax_.set(xlabel="x", ylabel="density p(x)")
        legend_above(self.ax_)
        return self


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
        label = f"{self.samples.size} {'samples' if name is None else name}"
        style = {"color": "tab:orange", "alpha": 0.45}
        self.bars_ = _bars(self.ax_, self.heights_, self.edges_, label=label, **style)
        options: dict[str, Any] = {"label": "exact density", "linewidth": 1.6, "color": "tab:blue"}
        (self.line_,) = self.ax_.plot(self.grid, self.density, **(options | line_options))
        self.ax_.set(xlabel="x", ylabel="density p(x)")
        legend_above(self.ax_)
        return self


def _corners(score: PiecewiseLinearScore) -> Floats:
    """Knots where the slope changes by more than rounding."""
    inner = np.diff(score.values) / np.diff(score.knots)
    slopes = np.concatenate(([score.left_slope], inner, [score.right_slope]))
    size = np.maximum(np.abs(slopes[1:]), np.abs(slopes[:-1]))
    return score.knots[np.abs(np.diff(slopes)) > 1e-9 * size]


def _bars(ax: Axes, heights: Floats, edges: Floats, **style: Any) -> Any:
    edge: dict[str, Any] = {"align": "edge", "edgecolor": "white", "linewidth": 0.5}
    return ax.bar(edges[:-1], heights, np.diff(edges), **edge, **style)


def histogram(
    x: np.ndarray, bins: int | str | ArrayLike, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Density histogram; numpy has no automatic number of bins for weighted data."""
    if weights is not None and isinstance(bins, str):
        bins = max(1, int(np.ceil(np.sqrt(x.size))))
    return np.histogram(x, bins=bins, density=True, weights=weights)  # type: ignore[arg-type]
