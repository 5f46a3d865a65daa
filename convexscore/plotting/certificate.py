"""Why a network is optimal: no neuron anywhere, no kink and no line, is worth its price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.models.certificate_curve import CertificateCurve, certificate_curve
from convexscore.models.certificate_map import CertificateMap, certificate_map
from convexscore.objectives.options import GivenProblem
from convexscore.plotting.drawing import (
    KINK_COLOR,
    Display,
    check_fitted,
    draw_kinks,
    draw_line,
    taken,
)
from convexscore.scores.network import TwoLayerNetwork

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

    from convexscore.models.score import ConvexScore

# Ratios above 1 by no more than this are drawn as 1: fits stop at a tolerance.
_TOLERANCE = 1e-2
# What a problem is made of; other options are those of drawing.
_PROBLEM = {*GivenProblem.__annotations__, "beta", "n_angles", "n_offsets"}
# Fewer neurons than this get the larger mark.
_FEW = 60


class _CertificateDisplay(Display):
    """What a network is worth: computed from a fit, or from any network and its problem."""

    _columns: int
    coordinates = ""

    @classmethod
    def _of(cls, network: TwoLayerNetwork, X: ArrayLike, **problem: Any) -> Self:
        raise NotImplementedError

    @classmethod
    def from_estimator(
        cls,
        fit: ConvexScore,
        X: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | None = None,
        **options: Any,
    ) -> Self:
        """Draw the certificate of a fitted ConvexScore.

        Parameters
        ----------
        fit : ConvexScore
            Of one column, or for the map of two.  With ``standardize`` the map is in the standardised
            coordinates, where the problem was solved and its certificate holds; the axis labels say so.
        X : array_like of shape (n,) or (n, d)
            The data of the fit.  Not needed after denoising: the noisy points are kept in the fit.
        sample_weight : array_like of shape (n,), optional
            The weights of the fit.
        **options
            As for :meth:`plot`; for the map also ``n_angles``, ``n_offsets`` of
            :func:`convexscore.models.certificate_map.certificate_map`.
        """
        if isinstance(fit, TwoLayerNetwork):
            raise TypeError(
                "fit must be a fitted ConvexScore; got a TwoLayerNetwork. Use from_network, which takes "
                "the data and beta."
            )
        check_fitted(fit)
        if fit.n_features_in_ != cls._columns:
            raise ValueError(
                f"{cls.__name__} draws fits of {cls._columns} column(s); this one has "
                f"{fit.n_features_in_}. CertificateDisplay is for one, CertificateMapDisplay for two; "
                "print(fit.certificate_) works in any dimension."
            )
        points, labels = fit.noisy_points_, fit.noise_labels_
        if points is None:
            if X is None:
                raise ValueError("X must be the data of the fit; got None. Pass what you fitted.")
            points = np.asarray(X)
        elif sample_weight is not None:
            weights = np.asarray(sample_weight, dtype=np.float64).ravel()
            sample_weight = np.tile(weights[weights > 0], len(points) // np.count_nonzero(weights))
        network = fit.network_
        if fit.standardize is not None:
            to_z = fit.standardization_
            network, points = to_z.network_forward(network), to_z.points(points)
            labels = None if labels is None else to_z.labels(labels)
        options |= {"beta": fit.beta_, "objective": fit.objective, "constraint": fit.constraint}
        options |= {"labels": labels, "skip": bool(fit.skip), "sample_weight": sample_weight}
        display = cls._of(network, points, **taken(options, _PROBLEM))
        display.coordinates = "" if fit.standardize is None else "standardised"
        display.plot(**options)
        return display

    @classmethod
    def from_network(cls, network: TwoLayerNetwork, X: ArrayLike, **options: Any) -> Self:
        """Draw the certificate of any network, also a badly trained one.

        Parameters
        ----------
        network, X
            As in :func:`convexscore.certify`.
        **options
            The problem as in :func:`convexscore.certify`, ``beta`` and where they differ from the
            default ``objective``, ``labels``, ``skip``, ``sample_weight``, ``constraint``; the others
            as in :meth:`from_estimator`.
        """
        display = cls._of(network, X, **taken(options, _PROBLEM))
        display.plot(**options)
        return display


class CertificateDisplay(_CertificateDisplay):
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
    >>> from convexscore.models import gaussian_regime
    >>> from convexscore.plotting import CertificateDisplay
    >>> x = [-1.5, -0.5, 0.25, 0.75, 1.0]
    >>> best = gaussian_regime(x).network(4.0)
    >>> display = CertificateDisplay.from_network(best, x, beta=4.0, ax=Figure().subplots())
    >>> display.kinks_.get_ydata().round(9).tolist()     # both kinks touch beta
    [4.0, 4.0]
    """

    _columns = 1

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
    def _of(cls, network: TwoLayerNetwork, X: ArrayLike, **problem: Any) -> Self:
        curve = certificate_curve(network, X, **problem)
        return cls(curve, problem["beta"], network.breakpoints())

    def plot(
        self, *, ax: Axes | None = None, name: str = "|G(t)|", **line_options: Any
    ) -> CertificateDisplay:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
        name : str
            Label of the curve.
        **line_options
            Passed to ``Axes.plot`` for the curve.
        """
        ax = self._axes(ax)
        self.zero_line_ = ax.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
        style: dict[str, Any] = {"color": "black", "linestyle": "--", "linewidth": 1.0}
        self.bound_ = ax.axhline(self.beta, label=f"β = {self.beta:.4g}", **style)
        self.line_ = draw_line(ax, *self.curve, line_options, label=name, linewidth=1.3)
        height = np.interp(self.kinks, self.curve.t, self.curve.G_abs)
        self.kinks_ = draw_kinks(ax, self.kinks, height, self.kinks.size)
        ax.set(xlabel="kink position t", ylabel="|G(t)|, gain of a neuron at t")
        # room above the bound for the legend, which would hide kinks that touch it
        top = ax.dataLim.y1
        ax.set_ylim(-0.05 * top, 1.4 * top)
        ax.legend(loc="upper center", ncols=3, fontsize="small")
        return self


class CertificateMapDisplay(_CertificateDisplay):
    r"""Map of \|\|G\|\| / beta over all lines of the plane: direction across, offset up.

    Every point of the map is a neuron, the line :math:`u^\top(x - \bar x) = t` with u in direction
    theta.  Its colour is what it would gain over what it costs.  Of an optimal network the map stays
    at or below 1, and its own neurons (dots) sit where it touches 1.  Where it exceeds 1 (red, with a
    black line around) a neuron is missing; dots well below 1 do not pay.

    Parameters
    ----------
    map : CertificateMap

    Attributes
    ----------
    max_violation : float
        Largest ratio on the grid and at the network's neurons, minus 1; at most that of the fit's
        certificate.
    coordinates : str
        What the axis labels call the coordinates; of standardised fits "standardised".
    ax_, figure_ : matplotlib Axes and Figure
    mesh_ : QuadMesh
    bound_ : QuadContourSet, the level 1, or None where nothing exceeds it
    neurons_ : Line2D, one mark per neuron
    colorbar_ : Colorbar

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from convexscore import TwoLayerNetwork
    >>> from convexscore.plotting import CertificateMapDisplay
    >>> X = np.random.default_rng(0).normal(size=(30, 2))
    >>> gaussian = TwoLayerNetwork(
    ...     np.zeros((0, 2)), np.zeros((0, 2)), [], skip=-np.eye(2), offset=[0, 0]
    ... )
    >>> display = CertificateMapDisplay.from_network(gaussian, X, beta=25.0, ax=Figure().subplots())
    >>> display.max_violation < 0      # no line is worth its price
    True
    """

    _columns = 2

    def __init__(self, map: CertificateMap) -> None:
        self.map = map
        self.max_violation = map.largest - 1.0

    @classmethod
    def _of(cls, network: TwoLayerNetwork, X: ArrayLike, **problem: Any) -> Self:
        return cls(certificate_map(network, X, **problem))

    def plot(self, *, ax: Axes | None = None, **mesh_options: Any) -> CertificateMapDisplay:
        """Draw.

        Parameters
        ----------
        ax : Axes, optional
        **mesh_options
            Passed to ``Axes.pcolormesh``.
        """
        seen, ax = self.map, self._axes(ax)
        degrees = np.degrees(seen.angles)
        violated = self.max_violation > _TOLERANCE
        cmap, norm = _colors(seen.largest if violated else 1.0)
        mesh: dict[str, Any] = {"cmap": cmap, "norm": norm, "shading": "nearest"}
        mesh |= {"rasterized": True} | mesh_options
        ratio = seen.ratio if violated else np.minimum(seen.ratio, 1.0)
        self.mesh_ = ax.pcolormesh(degrees, seen.offsets, ratio.T, **mesh)
        self.bound_: Any = None
        if float(seen.ratio.max()) > 1.0 + _TOLERANCE:
            level: dict[str, Any] = {"levels": [1.0], "colors": "black", "linewidths": 0.9}
            self.bound_ = ax.contour(degrees, seen.offsets, seen.ratio.T, **level)
        count = seen.neuron_angles.size
        size, edge = (5.5, 0.8) if count <= _FEW else (3.5, 0.4)
        style: dict[str, Any] = {"color": KINK_COLOR, "markeredgecolor": "white", "zorder": 3}
        style |= {"markersize": size, "markeredgewidth": edge}
        style |= {"label": f"{count} neuron{'s' * (count != 1)}"}
        (self.neurons_,) = ax.plot(
            np.degrees(seen.neuron_angles), seen.neuron_offsets, "o", **style
        )
        label = f"{seen.measure} / β,  β = {seen.beta:.4g}"
        self.colorbar_ = self.figure_.colorbar(self.mesh_, ax=ax, label=label)
        x_unit = f", {self.coordinates} coordinates" if self.coordinates else ""
        y_unit = f" ({self.coordinates})" if self.coordinates else ""
        ax.set(
            xlim=(degrees[0], degrees[-1]),
            ylim=(seen.offsets[0], seen.offsets[-1]),
            xticks=np.arange(0.0, degrees[-1] + 1.0, 90.0 if degrees[-1] > 200.0 else 45.0),
            xlabel=f"direction θ of u (degrees{x_unit})",
            ylabel=f"offset of the line from the mean{y_unit}",
        )
        ax.set_title(f"largest {seen.measure} / β seen: {seen.largest:.5g}", fontsize="medium")
        ax.legend(loc="upper right", fontsize="small", framealpha=0.85)
        return self


def _colors(largest: float) -> tuple[Colormap, Normalize]:
    """White to blue up to 1; beyond, if anything is there, yellow to red."""
    from matplotlib import colormaps
    from matplotlib.colors import LinearSegmentedColormap, Normalize, TwoSlopeNorm

    below = colormaps["YlGnBu"](np.linspace(0.0, 0.95, 128))
    if largest <= 1.0:
        return LinearSegmentedColormap.from_list("below", below), Normalize(0.0, 1.0)
    above = colormaps["YlOrRd"](np.linspace(0.2, 0.9, 128))
    both = LinearSegmentedColormap.from_list("around one", np.concatenate([below, above]), N=512)
    return both, TwoSlopeNorm(1.0, 0.0, largest)
