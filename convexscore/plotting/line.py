"""One column: the score with its kinks, the density over the data, samples against their law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_column, check_weights
from convexscore.metrics import kolmogorov_smirnov
from convexscore.plotting.drawing import (
    Display,
    draw_kinks,
    draw_line,
    draw_rug,
    plot_grid,
    score_of,
)
from convexscore.scores.piecewise import PiecewiseLinearScore

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ScoreDisplay(Display):
    """Score s(x) with its kinks marked and, where given, the data as a rug.

    Parameters
    ----------
    score : PiecewiseLinearScore
    X : array_like of shape (n,), optional
        Data for the rug.
    grid : array_like, optional
        Where to draw; default covers data and kinks.

    Attributes
    ----------
    kinks : (K,) knots where the slope changes, marked
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
        X: ArrayLike | None = None,
        grid: ArrayLike | None = None,
    ) -> None:
        self.score = score
        self.kinks = _corners(score)
        self.X = None if X is None else check_column(X, name="X", min_distinct=1)
        self.grid = plot_grid(score, self.X, grid)

    @classmethod
    def from_estimator(cls, fit: object, X: ArrayLike | None = None, **options: Any) -> Self:
        """Draw the score of a fitted ConvexScore, a network or a PiecewiseLinearScore.

        Parameters
        ----------
        fit : ConvexScore, TwoLayerNetwork or PiecewiseLinearScore
        X : array_like of shape (n,) or (n, 1), optional
            Data, for the rug and the range.
        **options
            ``grid`` as for the class, the others as for :meth:`plot`.
        """
        return cls._drawn(score_of(fit), X=X, **options)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        name: str = "score s(x)",
        rug: bool = True,
        **line_options: Any,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
        name : str
            Label of the line.
        rug : bool
            Whether to mark the data.
        **line_options
            Passed to ``Axes.plot`` for the score.
        """
        values = self.score(self.grid)
        ax = self._axes(ax)
        self.zero_line_ = ax.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
        self.line_ = draw_line(ax, self.grid, values, line_options, label=name, linewidth=1.6)
        visible = self.kinks[(self.kinks >= self.grid[0]) & (self.kinks <= self.grid[-1])]
        self.kinks_ = draw_kinks(ax, visible, self.score(visible), self.kinks.size)
        self.rug_ = draw_rug(ax, self.X) if rug and self.X is not None else None
        ax.set(xlabel="x", ylabel="score  s(x) = d/dx log p(x)")
        ax.legend(loc="best", fontsize="small")
        return self


class DensityDisplay(Display):
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
        self.X = None if X is None else check_column(X, name="X", min_distinct=1)
        if sample_weight is not None and self.X is None:
            raise ValueError("sample_weight was given without X; pass both.")
        self.sample_weight = None if self.X is None else check_weights(sample_weight, self.X.size)
        self.data_label = data_label
        self.grid = plot_grid(score, self.X, grid)
        self.density = score.density(self.grid)

    @classmethod
    def from_estimator(cls, fit: object, X: ArrayLike | None = None, **options: Any) -> Self:
        """Draw the density of a fitted ConvexScore, a network or a PiecewiseLinearScore.

        Parameters
        ----------
        fit : ConvexScore, TwoLayerNetwork or PiecewiseLinearScore
        X : array_like of shape (n,) or (n, 1), optional
            Data of the histogram.  Default after denoising: the noisy points, whose law is fitted.
        **options
            ``sample_weight`` and ``grid`` as for the class, the others as for :meth:`plot`.
        """
        noisy = getattr(fit, "noisy_points_", None)
        if X is None and noisy is not None and options.get("sample_weight") is None:
            X, options = noisy, {"data_label": "noisy data"} | options
        return cls._drawn(score_of(fit), X=X, **options)

    def plot(
        self,
        *,
        ax: Axes | None = None,
        bins: int | str | ArrayLike = "auto",
        name: str | None = None,
        **line_options: Any,
    ) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
        bins : as in ``numpy.histogram``; "auto" falls back to sqrt(n) with weights.
        name : str, optional
            Label of the fitted density, or of the samples.
        **line_options
            Passed to ``Axes.plot`` for the density.
        """
        self.heights_: Any = None
        self.edges_: Any = None
        self.bars_: Any = None
        if self.X is not None:
            self.heights_, self.edges_ = histogram(self.X, bins, self.sample_weight)
        ax = self._axes(ax)
        bars, line = self._styles(name)
        if self.X is not None:
            bars |= {"align": "edge", "edgecolor": "white", "linewidth": 0.5}
            self.bars_ = ax.bar(self.edges_[:-1], self.heights_, np.diff(self.edges_), **bars)
        self.line_ = draw_line(ax, self.grid, self.density, line_options, linewidth=1.6, **line)
        ax.set(xlabel="x", ylabel="density p(x)")
        # the legend in a strip of its own over the highest bar or curve
        ax.set_ylim(0.0, 1.15 * ax.dataLim.y1)
        ax.legend(loc="upper center", ncols=3, fontsize="small")
        return self

    def _styles(self, name: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of bars and line."""
        return {"label": self.data_label, "color": "0.8"}, {"label": name or "fitted density"}


class SampleDisplay(DensityDisplay):
    """Histogram of samples with the exact density they should follow.

    Parameters
    ----------
    score : PiecewiseLinearScore
        Must be integrable.
    X : array_like of shape (n,) or (n, 1)
        The samples.
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
        self, score: PiecewiseLinearScore, X: ArrayLike, *, grid: ArrayLike | None = None
    ) -> None:
        samples = check_column(X, name="X", min_distinct=1)
        super().__init__(score, X=samples, grid=grid)
        self.ks_distance = kolmogorov_smirnov(samples, score.cdf)
        self._count = samples.size

    @classmethod
    def from_estimator(cls, fit: object, X: ArrayLike | None = None, **options: Any) -> Self:
        """Draw samples against the law of a fitted ConvexScore, a network or a score.

        Parameters
        ----------
        fit : ConvexScore, TwoLayerNetwork or PiecewiseLinearScore
        X : array_like of shape (n,) or (n, 1)
            The samples.
        **options
            ``grid`` as for the class, the others as for :meth:`plot`.
        """
        return cls._drawn(score_of(fit), X, **options)

    def _styles(self, name: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
        bars = {"label": f"{self._count} {name or 'samples'}", "color": "tab:orange", "alpha": 0.45}
        return bars, {"label": "exact density", "color": "tab:blue"}


def _corners(score: PiecewiseLinearScore) -> Floats:
    """Knots where the slope changes by more than rounding."""
    inner = np.diff(score.values) / np.diff(score.knots)
    slopes = np.concatenate(([score.left_slope], inner, [score.right_slope]))
    size = np.maximum(np.abs(slopes[1:]), np.abs(slopes[:-1]))
    return score.knots[np.abs(np.diff(slopes)) > 1e-9 * size]


def histogram(
    x: np.ndarray, bins: int | str | ArrayLike, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Density histogram; numpy has no automatic number of bins for weighted data."""
    if weights is not None and isinstance(bins, str):
        bins = max(1, int(np.ceil(np.sqrt(x.size))))
    return np.histogram(x, bins=bins, density=True, weights=weights)  # type: ignore[arg-type]
