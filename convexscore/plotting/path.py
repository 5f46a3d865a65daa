"""From the Gaussian to over-fitting: kinks or neurons, and losses, along beta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.models.path import RegularizationPath
from convexscore.plotting.drawing import KINK_COLOR, Display, draw_line
from convexscore.selection.cross_validation import BetaSelection

if TYPE_CHECKING:
    from matplotlib.axes import Axes


# More neurons than this are drawn on a logarithmic axis.
_MANY = 40
# Height of the loss axis in units of what the neurons gain, or of this share of the smallest loss.
_HEIGHT = 4.0
_LEAST_GAIN = 0.25


class PathDisplay(Display):
    """Kinks and loss against beta (decreasing to the right), or a cross-validation curve.

    For one column the positions of the kinks, for several the number of neurons.

    Parameters
    ----------
    path : RegularizationPath, optional
    selection : BetaSelection, optional
        One of the two, or both: the curve of the selection under the kinks of the path.

    Attributes
    ----------
    ax_ : Axes, the first of ``axes_``
    axes_ : tuple of Axes, the kinks or neurons (for a path) and the loss
    figure_ : Figure
    kinks_ : Line2D or None, one mark per kink and beta (one column)
    neurons_ : Line2D or None, number of neurons (several columns)
    loss_ : Line2D or None, the loss curve
    error_bars_ : ErrorbarContainer or None
    chosen_ : tuple of Line2D, the chosen beta in each axes

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from convexscore import regularization_path
    >>> from convexscore.plotting import PathDisplay
    >>> x = np.concatenate([np.linspace(-3, -2, 30), np.linspace(1, 3, 50)])
    >>> path = regularization_path(x, n_betas=5)
    >>> display = PathDisplay.from_path(path, ax=Figure().subplots(2))
    >>> display.loss_.get_xdata().size
    5
    """

    def __init__(
        self,
        path: RegularizationPath | None = None,
        *,
        selection: BetaSelection | None = None,
    ) -> None:
        if path is None and selection is None:
            raise ValueError("pass a RegularizationPath, a BetaSelection, or both; got neither.")
        self.path = path
        self.selection = selection

    @classmethod
    def from_path(cls, path: RegularizationPath, **options: Any) -> Self:
        """Draw kinks or neurons and, below, the objective or the held-out loss against beta.

        The axis of a held-out loss that grows without bound ends a few times the gain over the first
        value above the minimum.

        Parameters
        ----------
        path : RegularizationPath
        **options
            ``selection``, whose cross-validation curve replaces the path's own loss; the others as
            for :meth:`plot`.
        """
        return cls._drawn(path, **options)

    @classmethod
    def from_estimator(cls, fit: object, **options: Any) -> Self:
        """Draw the cross-validation curve with its standard errors and the chosen beta.

        Parameters
        ----------
        fit : ConvexScore
            Fitted with ``beta="cv"``.
        **options
            As for :meth:`plot`.

        Raises
        ------
        ValueError
            If beta was given, so that there is no curve.
        """
        selection = getattr(fit, "beta_selection_", None)
        if selection is None:
            raise ValueError(
                "fit has no cross-validation curve (beta_selection_ is None): fit with beta='cv', "
                "or draw regularization_path(X) with PathDisplay.from_path."
            )
        return cls._drawn(selection=selection, **options)

    def plot(self, *, ax: Axes | Sequence[Axes] | None = None, **line_options: Any) -> Self:
        """Draw.

        Parameters
        ----------
        ax : Axes or pair of Axes, optional
            One Axes: for a path kinks or neurons alone.  Two: these and the loss.
        **line_options
            Passed to ``Axes.plot`` for the loss.
        """
        from matplotlib.ticker import LogFormatter

        self._choose_axes(ax)
        self.kinks_: Any = None
        self.neurons_: Any = None
        self.loss_: Any = None
        self.error_bars_: Any = None
        self.chosen_: tuple[Any, ...] = ()
        if self.path is not None:
            draw = self._plot_kinks if self.path.n_features == 1 else self._plot_neurons
            draw(self.ax_, self.path)
        if self.path is None or len(self.axes_) > 1:
            self._plot_loss(self.axes_[-1], line_options)
        for axes in self.axes_:
            axes.set_xscale("log")
            # 40 and 30 where a path spans less than a decade, not 4 x 10^1 and 3 x 10^1 over each other
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.3, 0.4)))
            if not axes.xaxis_inverted():
                axes.invert_xaxis()
            if self.selection is not None:
                beta = self.selection.beta
                style: dict[str, Any] = {"color": "black", "linestyle": ":", "linewidth": 1.2}
                self.chosen_ += (axes.axvline(beta, label=f"chosen β = {beta:.3g}", **style),)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(loc="best", fontsize="small")
        self.axes_[-1].set_xlabel("β  (large: Gaussian, small: over-fitting)")
        return self

    def _choose_axes(self, ax: Axes | Sequence[Axes] | None) -> None:
        panels = 1 if self.path is None else 2
        if hasattr(ax, "plot") or (ax is None and panels == 1):
            self.axes_: tuple[Axes, ...] = (self._axes(cast(Any, ax)),)
            return
        allowed = "one Axes or a pair of Axes" if panels == 2 else "one Axes"
        self.axes_ = self._panels(ax, (panels, 1), allowed, sharex=True)

    def _plot_kinks(self, ax: Axes, path: RegularizationPath) -> None:
        where = np.repeat(path.betas, [k.size for k in path.kinks])
        kinks = np.concatenate([np.zeros(0), *path.kinks])
        (self.kinks_,) = ax.plot(where, kinks, ".", markersize=4, color=KINK_COLOR)
        # the range of beta also where the optimum has no kinks
        ax.update_datalim([(b, ax.dataLim.y0) for b in path.betas[[0, -1]]], updatey=False)
        ax.autoscale_view()
        ax.set_ylabel("kink positions")

    def _plot_neurons(self, ax: Axes, path: RegularizationPath) -> None:
        from matplotlib.ticker import MaxNLocator

        style: dict[str, Any] = {"marker": ".", "linewidth": 1.3, "color": KINK_COLOR}
        (self.neurons_,) = ax.plot(path.betas, path.n_neurons, **style)
        if path.n_neurons.max() > _MANY:
            # 0 has a place, and the first few neurons are told apart
            ax.set_yscale("symlog", linthresh=1.0)
            ax.yaxis.set_major_formatter("{x:.0f}")
        else:
            ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylim(bottom=0.0)
        ax.set_ylabel("neurons")

    def _plot_loss(self, ax: Axes, line_options: dict[str, Any]) -> None:
        options: dict[str, Any] = {"marker": ".", "linewidth": 1.3}
        if self.selection is not None:
            chosen = self.selection
            # beyond where the path was followed the curve is NaN
            seen = np.isfinite(chosen.loss)
            held: Floats | None = chosen.loss[seen]
            options |= {"elinewidth": 0.8, "capsize": 2.0, "yerr": chosen.standard_error[seen]}
            options |= {"label": "held-out loss ± standard error"} | line_options
            self.error_bars_ = ax.errorbar(chosen.betas[seen], chosen.loss[seen], **options)
            self.loss_ = self.error_bars_.lines[0]
        else:
            assert self.path is not None
            held = self.path.held_out
            values, label = self.path.objective, "optimal objective (training, with penalty)"
            if held is not None:
                values, label = held, "held-out loss"
            self.loss_ = draw_line(
                ax, self.path.betas, values, line_options, label=label, **options
            )
        ax.set_ylabel("objective" if held is None else "held-out loss per point")
        if held is not None:
            _end_above(ax, held)


def _end_above(ax: Axes, loss: Floats) -> None:
    """Cut the axis where the loss of over-fitted scores would flatten all the rest."""
    low = float(loss.min())
    top = low + _HEIGHT * max(float(loss[0]) - low, _LEAST_GAIN * abs(low))
    if loss.max() > top > low:
        ax.set_ylim(low - 0.1 * (top - low), top)
