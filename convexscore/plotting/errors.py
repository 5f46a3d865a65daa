"""The three errors of DDPM, measured, next to what is proven of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convexscore.ddpm_errors import ErrorCurve, ErrorSweep
from convexscore.plotting.drawing import axes_and_figure, subplots

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ALONE_COLOR = "tab:blue"
BOUND_COLOR = "tab:orange"
TOTAL_COLOR = "0.55"
# Empty decades below the measured errors are cut off here, relative to the largest.
_SMALLEST = 1e-8
# More labels than this run into each other.
_MOST_TICKS = 7


class ErrorDecompositionDisplay:
    """Three panels: initialisation against T, discretisation against K, score against its error.

    Parameters
    ----------
    sweep : ErrorSweep

    Attributes
    ----------
    axes_ : tuple of three Axes
    ax_ : Axes, the first
    figure_ : Figure
    alone_, total_, bound_, theorem_ : tuple of three Line2D
        Error alone, error of the whole run, proven bound of the error alone, and the theorem's term
        (dashed): its constant is not known, so it is drawn from the last point of the bound.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from convexscore import scores, targets
    >>> from convexscore.ddpm_errors import error_sweep
    >>> from convexscore.plotting import ErrorDecompositionDisplay
    >>> law = targets.GaussianMixture([0.3, 0.7], [-1.5, 1.0], [0.1, 0.2])
    >>> exact = scores.vp_score(law)
    >>> few = dict(horizons=[1.0, 2.0], n_steps=[8, 16], strengths=[0.5, 1.0], steps=16)
    >>> sweep = error_sweep(law, lambda x, t: exact(x, t) + 0.1, **few)
    >>> display = ErrorDecompositionDisplay.from_sweep(sweep, ax=Figure().subplots(1, 3))
    >>> [ax.get_xlabel() for ax in display.axes_]
    ['horizon T', 'number of steps K', 'error of the score ε']
    """

    def __init__(self, sweep: ErrorSweep) -> None:
        if not isinstance(sweep, ErrorSweep):
            raise TypeError(
                f"sweep must be an ErrorSweep; got {type(sweep).__name__}. Make one with "
                f"error_sweep(law, score)."
            )
        self.sweep = sweep

    @classmethod
    def from_sweep(
        cls, sweep: ErrorSweep, *, ax: Sequence[Axes] | None = None, **line_options: Any
    ) -> ErrorDecompositionDisplay:
        """Draw the result of `error_sweep`.

        Parameters
        ----------
        sweep : ErrorSweep
        ax : three Axes, optional
        **line_options
            Passed to ``Axes.plot`` for the errors alone.
        """
        return cls(sweep).plot(ax=ax, **line_options)

    def plot(
        self, *, ax: Sequence[Axes] | None = None, **line_options: Any
    ) -> ErrorDecompositionDisplay:
        """Draw; options as in :meth:`from_sweep`."""
        if ax is None:
            self.figure_, panels = subplots(
                1, 3, figsize=(13.0, 4.2), sharey=True, layout="constrained"
            )
            self.axes_: tuple[Axes, ...] = tuple(panels)
        else:
            self.axes_ = tuple(np.ravel(np.asarray(ax, dtype=object)))
            if len(self.axes_) != 3:
                raise ValueError(f"ax must be three Axes, one a source; got {len(self.axes_)}.")
            _, self.figure_ = axes_and_figure(self.axes_[0])
        self.ax_ = self.axes_[0]
        sweep = self.sweep
        rows = (
            (sweep.initialisation, "initialisation", "horizon T", rf"$e^{{{sweep.rate:.2f}\,T}}$"),
            (
                sweep.discretisation,
                "discretisation",
                "number of steps K",
                rf"$K^{{{sweep.order_in_steps:.2f}}}$",
            ),
            (sweep.score, "score", "error of the score ε", rf"$ε^{{{sweep.order_in_score:.2f}}}$"),
        )
        drawn = []
        for axes, (curve, name, label, order) in zip(self.axes_, rows, strict=True):
            drawn.append(_draw(axes, curve, line_options))
            axes.set_yscale("log")
            if name != "initialisation":
                axes.set_xscale("log")
                every = -(-len(curve.values) // _MOST_TICKS)
                axes.minorticks_off()
                axes.set_xticks(curve.values[::-1][::every], minor=False)
                axes.xaxis.set_major_formatter("{x:.0f}" if name == "discretisation" else "{x:.2g}")
            axes.set(xlabel=label, title=f"{name}: alone ∝ {order}")
        self.alone_, self.total_, self.bound_, self.theorem_ = zip(*drawn, strict=True)
        self.ax_.set_ylabel("total variation")
        self._share_limits()
        self.ax_.legend(loc="lower left", fontsize="small")
        return self

    def _share_limits(self) -> None:
        curves = (self.sweep.initialisation, self.sweep.discretisation, self.sweep.score)
        positive = np.concatenate([np.concatenate([c.alone, c.total]) for c in curves])
        positive = positive[positive > 0]
        low = max(float(positive.min()), _SMALLEST * float(positive.max()))
        for axes in self.axes_:
            axes.set_ylim(0.5 * low, 2.0)


def _draw(axes: Axes, curve: ErrorCurve, line_options: dict[str, Any]) -> tuple[Any, ...]:
    options: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.8}
    options |= {"color": ALONE_COLOR, "label": "this error alone (measured)"}
    (total,) = axes.plot(
        curve.values,
        curve.total,
        marker="s",
        markersize=3.5,
        linewidth=1.2,
        color=TOTAL_COLOR,
        label="all three errors (measured)",
    )
    (alone,) = axes.plot(curve.values, curve.alone, **(options | line_options))
    (bound,) = axes.plot(
        curve.values,
        curve.bound,
        linewidth=4.0,
        alpha=0.6,
        color=BOUND_COLOR,
        label="proven bound (Girsanov)",
    )
    scale = curve.bound[-1] / curve.theorem[-1] if curve.theorem[-1] > 0 else 1.0
    (theorem,) = axes.plot(
        curve.values,
        scale * curve.theorem,
        linestyle="--",
        linewidth=1.2,
        color="black",
        label="scaling in CCL23, Theorem 2",
    )
    axes.grid(alpha=0.25)
    return alone, total, bound, theorem
