"""Planar shapes used in teaching, all of them Gaussian mixtures.

A ring of Gaussians is one; the curves (banana, two moons, spiral) are drawn with a round pen: a
fine row of equal Gaussians, spaced by at most their standard deviation, which looks and samples
like a continuous stroke (the ripple of its density along the curve is below 1e-8). So the score,
the density and the posterior mean at *every* noise level are exact, not approximated.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.validation import check_choice, check_count, check_positive, check_returned
from convexscore.targets.inputs import Floats, finite_array
from convexscore.targets.mixture import GaussianMixture

# Arc lengths are sums over this many chords of a curve.
_CHORDS = 20_000


def ring_of_gaussians(
    n_modes: int = 8, *, radius: float = 2.0, spread: float = 0.2, weights: ArrayLike | None = None
) -> GaussianMixture:
    r"""Equally spaced round Gaussians on a circle, the first one at angle 0.

    .. math:: \sum_k w_k N\big(r(\cos\tfrac{2\pi k}{K}, \sin\tfrac{2\pi k}{K}), \tau^2 I\big)

    Parameters
    ----------
    n_modes : int >= 1
    radius : float
    spread : float > 0
        Standard deviation of each Gaussian, in the units of ``radius``.
    weights : array (n_modes,), optional
        Shares of the modes, equal by default.

    Returns
    -------
    GaussianMixture

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from convexscore.targets import ring_of_gaussians
    >>> ring_of_gaussians(8, radius=2.0).covariance.round(6)  # r^2/2 + 0.2^2
    array([[2.04, 0.  ],
           [0.  , 2.04]])
    """
    n_modes = check_count(n_modes, name="n_modes")
    spread = check_positive(spread, name="spread")
    angle = 2.0 * np.pi * np.arange(n_modes) / n_modes
    means = radius * np.column_stack([np.cos(angle), np.sin(angle)])
    shares = np.ones(n_modes) if weights is None else weights
    return GaussianMixture(shares, means, spread**2)


def stroke(
    curve: Callable[[Floats], ArrayLike],
    *,
    thickness: float,
    along: str = "length",
    weight: Callable[[Floats], ArrayLike] | None = None,
) -> GaussianMixture:
    r"""A curve drawn with a round pen: a row of Gaussians at most one standard deviation apart.

    Parameters
    ----------
    curve : callable
        Takes parameters t (m,) in [0, 1], increasing, and returns points (m, d).
    thickness : float > 0
        Standard deviation of the pen, in the units of the curve.
    along : {"length", "parameter"}
        Mass spread evenly along the length of the curve, or evenly in t.
    weight : callable, optional
        Relative density at t, a factor on top; 1 by default.

    Returns
    -------
    GaussianMixture
        With a shared covariance ``thickness**2 * I``.

    Raises
    ------
    ValueError
        If the curve does not return finite points, or an argument is out of its range.

    Notes
    -----
    Equal Gaussians one standard deviation apart on a line add up to a constant up to a relative
    :math:`2 e^{-2\pi^2} < 10^{-8}` (Poisson summation).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.targets import stroke
    >>> line = stroke(lambda t: np.column_stack([10 * t, 0 * t]), thickness=0.5)
    >>> line.n_components
    21
    """
    thickness = check_positive(thickness, name="thickness")
    check_choice(along, ("length", "parameter"), name="along")
    t = np.linspace(0.0, 1.0, _CHORDS + 1)
    points = finite_array(curve(t), name="what curve returns", shape="(m, d)", ndim=(2,))
    hint = "It is given parameters (m,) and returns points (m, d)."
    check_returned(points, (len(t), points.shape[1]), name="curve", hint=hint)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    n_gaps = max(1, ceil(length[-1] / thickness * (1 - 1e-9)))
    places = np.interp(np.linspace(0.0, length[-1], n_gaps + 1), length, t)
    means = np.asarray(curve(places), dtype=np.float64)
    shares = np.ones(n_gaps + 1)
    if along == "parameter":
        shares = np.gradient(places)
    if weight is not None:
        shares = shares * np.asarray(weight(places), dtype=np.float64)
    return GaussianMixture(shares, means, thickness**2)


def banana(
    *, width: float = 1.0, curvature: float = 0.5, thickness: float = 0.25
) -> GaussianMixture:
    r"""A bent Gaussian, as a stroke along a parabola.

    .. math:: X = \big(U,\; c\,(U^2 - w^2)\big) + \tau G, \qquad U \sim N(0, w^2)

    with U cut at 4 w, so that the second coordinate has mean 0.

    Parameters
    ----------
    width, curvature, thickness : float
        w, c and τ > 0.

    Returns
    -------
    GaussianMixture

    Raises
    ------
    ValueError
        If the thickness is not > 0 or a number not finite.

    References
    ----------
    Haario, Saksman, Tamminen (1999), *Adaptive proposal distribution for random walk Metropolis
    algorithm*, section 3 (the shape; theirs has no pen).

    Examples
    --------
    >>> from convexscore.targets import banana
    >>> banana().covariance.diagonal().round(2)
    array([1.06, 0.56])
    """

    def curve(t: Floats) -> Floats:
        u = 4.0 * width * (2.0 * t - 1.0)
        return np.column_stack([u, curvature * (u**2 - width**2)])

    def bell(t: Floats) -> Floats:
        return np.exp(-0.5 * (4.0 * (2.0 * t - 1.0)) ** 2)

    return stroke(curve, thickness=thickness, along="parameter", weight=bell)


def two_moons(*, thickness: float = 0.1, share: float = 0.5) -> GaussianMixture:
    """Two interleaved half circles of radius 1, centred at (0, 0) and (1, 1/2).

    The upper one opens downwards, the lower one upwards, as in scikit-learn's ``make_moons``.

    Parameters
    ----------
    thickness : float > 0
        Standard deviation of the stroke.
    share : float in (0, 1)
        Mass of the upper moon.

    Returns
    -------
    GaussianMixture
        The components of the upper moon come first.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> from convexscore.targets import two_moons
    >>> two_moons().mean.round(3)
    array([0.5 , 0.25])
    """
    share = check_positive(share, name="share")
    if not share < 1:
        raise ValueError(f"share must be > 0 and < 1; got {share:g}. It is the upper moon's mass.")

    def half_circle(t: Floats) -> Floats:
        return np.column_stack([np.cos(np.pi * t), np.sin(np.pi * t)])

    upper = stroke(half_circle, thickness=thickness)
    weights = np.concatenate([share * upper.weights, (1.0 - share) * upper.weights])
    means = np.vstack([upper.means, np.array([1.0, 0.5]) - upper.means])
    return GaussianMixture(weights, means, thickness**2)


def spiral(
    *, turns: float = 1.975, outer: float = 10.0, inner: float = 2.1, thickness: float = 0.3
) -> GaussianMixture:
    """A spiral from radius ``outer`` at angle 0 inwards to ``inner``, evenly along its length.

    The default is the curve of the planar experiments of the field: points i = 0 … 79 at angle
    i π / 20 and radius (100 - i) / 10.

    Parameters
    ----------
    turns : float
        Revolutions, counter-clockwise.
    outer, inner : float
        First and last radius.
    thickness : float > 0
        Standard deviation of the stroke.

    Returns
    -------
    GaussianMixture

    Raises
    ------
    ValueError
        If an argument is out of its range.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, Figure 3.

    Examples
    --------
    >>> from convexscore.targets import spiral
    >>> spiral().means[[0, -1]].round(2)
    array([[10.  ,  0.  ],
           [ 2.07, -0.33]])
    """

    def curve(t: Floats) -> Floats:
        angle, radius = 2.0 * np.pi * turns * t, outer + (inner - outer) * t
        return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])

    return stroke(curve, thickness=thickness)
