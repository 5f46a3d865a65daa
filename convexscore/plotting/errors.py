"""The three errors of DDPM, measured, next to what is proven of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from convexscore.ddpm_errors import ErrorCurve, ErrorSweep
from convexscore.plotting.drawing import Display, draw_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALONE: dict[str, Any] = {"marker": "o", "markersize": 4, "linewidth": 1.8, "color": "tab:blue"}
_TOTAL: dict[str, Any] = {"marker": "s", "markersize": 3.5, "linewidth": 1.2, "color": "0.55"}
_BOUND: dict[str, Any] = {"linewidth": 4.0, "alpha": 0.6, "color": "tab:orange"}
_THEOREM: dict[str, Any] = {"linestyle": "--", "linewidth": 1.2, "color": "black"}
# Smallest error shown, relative to the largest.
_SMALLEST = 1e-8
# More labels than this run into each other.
_MOST_TICKS = 7


class ErrorDecompositionDisplay(Display):
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
    def from_sweep(cls, sweep: ErrorSweep, **options: Any) -> Self:
        """Draw the result of `error_sweep`; options as for :meth:`plot`."""
        return cls._drawn(sweep, **options)

    def plot(self, *, ax: Sequence[Axes] | None = None, **line_options: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : three Axes, optional
        **line_options
            Passed to ``Axes.plot`` for the errors alone.
        """
        allowed = "three Axes, one a source"
        self.axes_ = self._panels(ax, (1, 3), allowed, figsize=(13.0, 4.2), sharey=True)
        sweep = self.sweep
        curves = (sweep.initialisation, sweep.discretisation, sweep.score)
        titles = (
            rf"initialisation: alone ∝ $e^{{{sweep.rate:.2f}\,T}}$",
            rf"discretisation: alone ∝ $K^{{{sweep.order_in_steps:.2f}}}$",
            rf"score: alone ∝ $ε^{{{sweep.order_in_score:.2f}}}$",
        )
        labels = ("horizon T", "number of steps K", "error of the score ε")
        # empty decades below the measured errors are cut off
        measured = np.concatenate([np.concatenate([c.alone, c.total]) for c in curves])
        measured = measured[measured > 0]
        low = max(float(measured.min()), _SMALLEST * float(measured.max()))
        drawn = []
        for axes, curve, title, label in zip(self.axes_, curves, titles, labels, strict=True):
            drawn.append(_draw(axes, curve, line_options))
            axes.set(xlabel=label, title=title, yscale="log")
            if curve is not sweep.initialisation:
                axes.set_xscale("log")
                every = -(-len(curve.values) // _MOST_TICKS)
                axes.minorticks_off()
                axes.set_xticks(curve.values[::-1][::every], minor=False)
                whole = curve is sweep.discretisation
                axes.xaxis.set_major_formatter("{x:.0f}" if whole else "{x:.2g}")
            axes.set_ylim(0.5 * low, 2.0)
        self.alone_, self.total_, self.bound_, self.theorem_ = zip(*drawn, strict=True)
        self.ax_.set_ylabel("total variation")
        self.ax_.legend(loc="lower left", fontsize="small")
        return self


def _draw(axes: Axes, curve: ErrorCurve, line_options: dict[str, Any]) -> tuple[Any, ...]:
    x = curve.values
    total = draw_line(axes, x, curve.total, _TOTAL, label="all three errors (measured)")
    label = "this error alone (measured)"
    alone = draw_line(axes, x, curve.alone, _ALONE | line_options, label=label)
    bound = draw_line(axes, x, curve.bound, _BOUND, label="proven bound (Girsanov)")
    scale = curve.bound[-1] / curve.theorem[-1] if curve.theorem[-1] > 0 else 1.0
    label = "scaling in CCL23, Theorem 2"
    theorem = draw_line(axes, x, scale * curve.theorem, _THEOREM, label=label)
    axes.grid(alpha=0.25)
    return alone, total, bound, theorem
