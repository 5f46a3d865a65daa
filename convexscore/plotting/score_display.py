"""The score function, its kinks and the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore.plotting.drawing import (
    KINK_COLOR,
    Floats,
    axes_and_figure,
    column_or_none,
    draw_rug,
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
        count = f"{self.kinks.size} kink{'s' * (self.kinks.size != 1)}"
        (self.kinks_,) = self.ax_.plot(
            visible,
            self.score(visible),
            linestyle="none",
            marker="o",
            markersize=5,
            color=KINK_COLOR,
            label=count,
            zorder=3,
        )
        self.rug_ = draw_rug(self.ax_, self.X) if rug and self.X is not None else None
        self.ax_.set(xlabel="x", ylabel="score  s(x) = d/dx log p(x)")
        self.ax_.legend(loc="best", fontsize="small")
        return self


def _corners(score: PiecewiseLinearScore) -> Floats:
    """Knots where the slope changes by more than rounding."""
    inner = np.diff(score.values) / np.diff(score.knots)
    slopes = np.concatenate(([score.left_slope], inner, [score.right_slope]))
    size = np.maximum(np.abs(slopes[1:]), np.abs(slopes[:-1]))
    return score.knots[np.abs(np.diff(slopes)) > 1e-9 * size]
