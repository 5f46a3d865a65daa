"""Why a network is optimal: no neuron anywhere is worth its price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore.plotting.certificate_curve import CertificateCurve, certificate_curve
from convexscore.plotting.drawing import KINK_COLOR, Floats, axes_and_figure
from convexscore.scores.network import TwoLayerNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from convexscore.models.score import ConvexScore

# More vertices than this are thinned, keeping every local extreme of a stretch of the curve.
_MAX_VERTICES = 8_000


class CertificateDisplay:
    r"""The curve \|G(t)\| over all kink positions t, under or over the price beta.

    Where the curve is below beta a new neuron would cost more than it gains; the network's own
    kinks sit where it touches beta.  A curve above beta says where a neuron is missing (and a kink
    well below beta is one that does not pay).

    Parameters
    ----------
    curve : CertificateCurve
    beta : float
    kinks : (K,) positions of the network's kinks

    Attributes
    ----------
    max_violation : float
        max \|G\| / beta - 1.
    kinks : (K,) kinks inside the range of the data, the only ones marked
    ax_, figure_ : matplotlib Axes and Figure
    line_ : Line2D, the curve
    bound_ : Line2D, the bound beta
    kinks_ : Line2D, one mark per kink
    zero_line_ : Line2D

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from convexscore import gaussian_regime
    >>> from convexscore.plotting import CertificateDisplay
    >>> x = [-1.5, -0.5, 0.25, 0.75, 1.0]
    >>> best = gaussian_regime(x).network(4.0)
    >>> display = CertificateDisplay.from_network(best, x, beta=4.0, ax=Figure().subplots())
    >>> display.kinks_.get_ydata().round(9).tolist()     # both kinks touch beta
    [4.0, 4.0]
    """

    def __init__(self, curve: CertificateCurve, beta: float, kinks: ArrayLike) -> None:
        self.curve = curve
        self.beta = float(beta)
        self.max_violation = float(curve.G_abs.max()) / self.beta - 1.0
        kinks = np.asarray(kinks, dtype=np.float64)
        low, high = float(curve.t[0]), float(curve.t[-1])
        # score matching puts a kink one rounding unit beside its data value
        reach = 1e-9 * (high - low)
        inside = (kinks >= low - reach) & (kinks <= high + reach)
        self.kinks: Floats = np.clip(kinks[inside], low, high)

    @classmethod
    def from_estimator(
        cls,
        fit: ConvexScore,
        X: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        **line_options: Any,
    ) -> CertificateDisplay:
        """Draw the certificate of a fitted ConvexScore.

        Parameters
        ----------
        fit : ConvexScore
        X : array_like of shape (n,) or (n, 1)
            The data of the fit.  Not needed after denoising: the noisy points are kept in the fit.
        sample_weight : array_like of shape (n,), optional
            The weights of the fit.
        ax : Axes, optional
        name : str, optional
            Label of the curve.
        **line_options
            Passed to ``Axes.plot`` for the curve.
        """
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(fit)
        if fit.n_features_in_ > 1:
            raise ValueError(
                f"CertificateDisplay draws fits of one column; this one has {fit.n_features_in_}. "
                "For two use CertificateMapDisplay; print(fit.certificate_) works in any dimension."
            )
        labels = fit.noise_labels_
        points = X if fit.noisy_points_ is None else fit.noisy_points_
        if points is None:
            raise ValueError("X must be the data of the fit; got None. Pass the column you fitted.")
        if sample_weight is not None and fit.noisy_points_ is not None:
            weights = np.asarray(sample_weight, dtype=np.float64).ravel()
            sample_weight = np.tile(
                weights[weights > 0], np.size(points) // np.count_nonzero(weights)
            )
        curve = certificate_curve(
            fit.network_,
            points,
            beta=fit.beta_,
            objective=fit.objective,
            labels=labels,
            skip=bool(fit.skip),
            sample_weight=sample_weight,
            constraint=fit.constraint,
        )
        display = cls(curve, fit.beta_, fit.network_.breakpoints())
        return display.plot(ax=ax, name=name, **line_options)

    @classmethod
    def from_network(
        cls,
        network: TwoLayerNetwork,
        x: ArrayLike,
        *,
        beta: float,
        objective: str = "score_matching",
        labels: ArrayLike | None = None,
        skip: bool | None = None,
        sample_weight: ArrayLike | None = None,
        ax: Axes | None = None,
        name: str | None = None,
        **line_options: Any,
    ) -> CertificateDisplay:
        """Draw the certificate of any one-dimensional network, also a badly trained one.

        Parameters
        ----------
        network, x, beta, objective, labels, skip, sample_weight
            As in :func:`convexscore.certify`.
        ax, name, **line_options
            As in :meth:`from_estimator`.
        """
        curve = certificate_curve(
            network,
            x,
            beta=beta,
            objective=objective,
            labels=labels,
            skip=skip,
            sample_weight=sample_weight,
        )
        return cls(curve, beta, network.breakpoints()).plot(ax=ax, name=name, **line_options)

    def plot(
        self, *, ax: Axes | None = None, name: str | None = None, **line_options: Any
    ) -> CertificateDisplay:
        """Draw; options as in :meth:`from_estimator`."""
        self.ax_, self.figure_ = axes_and_figure(ax)
        self.zero_line_ = self.ax_.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
        self.bound_ = self.ax_.axhline(
            self.beta, color="black", linestyle="--", linewidth=1.0, label=f"β = {self.beta:.4g}"
        )
        t, height = _thin(self.curve)
        label = "|G(t)|" if name is None else name
        options: dict[str, Any] = {"label": label, "linewidth": 1.3}
        (self.line_,) = self.ax_.plot(t, height, **(options | line_options))
        (self.kinks_,) = self.ax_.plot(
            self.kinks,
            np.interp(self.kinks, self.curve.t, self.curve.G_abs),
            linestyle="none",
            marker="o",
            markersize=5,
            color=KINK_COLOR,
            zorder=3,
            label=f"{self.kinks.size} kink{'s' * (self.kinks.size != 1)}",
        )
        self.ax_.set(xlabel="kink position t", ylabel="|G(t)|, gain of a neuron at t")
        # room above the bound for the legend, which would hide kinks that touch it
        top = max(self.beta, float(self.curve.G_abs.max()), self.ax_.get_ylim()[1] / 1.4)
        self.ax_.set_ylim(-0.05 * top, 1.4 * top)
        self.ax_.legend(loc="upper center", ncols=3, fontsize="small")
        return self


def _thin(curve: CertificateCurve) -> tuple[Floats, Floats]:
    """The curve, or the lowest and highest vertex of each of a few thousand stretches of it."""
    t, height = curve.t, curve.G_abs
    if t.size <= _MAX_VERTICES:
        return t, height
    width = -(-t.size // (_MAX_VERTICES // 2))
    starts = np.arange(0, t.size - width + 1, width)
    block = height[: starts.size * width].reshape(starts.size, width)
    rest = np.arange(starts.size * width, t.size)
    keep = np.unique(
        np.concatenate(([0], starts + block.argmin(axis=1), starts + block.argmax(axis=1), rest))
    )
    return t[keep], height[keep]
