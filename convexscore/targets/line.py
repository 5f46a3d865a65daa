"""Laws on an interval of the line, given by any density, noised by quadrature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools import validation
from convexscore._tools.random import RandomState, check_random_state
from convexscore.schedules.levels import Level, by_row, check_noise
from convexscore.targets.base import Noised
from convexscore.targets.inputs import Floats, as_points, row_blocks
from convexscore.targets.line_posterior import posterior
from convexscore.targets.panels import GAUSS_X, Panels, resolve

# Mass beyond the interval at either end, where the support of a scipy law is unbounded.
_TAIL = 1e-15
Function: TypeAlias = Callable[[Floats], ArrayLike]


class LineLaw:
    r"""A law on an interval, by its log-density; score, noise and samples by quadrature.

    .. math:: q(z) = \int p(x)\, N(z; a x, \sigma^2)\, dx, \qquad
              E[X | z] = \int x\, p(x)\, N(z; a x, \sigma^2)\, dx \,/\, q(z)

    Parameters
    ----------
    log_density : callable
        Takes points (m,) inside the interval, returns log p up to a constant, (m,); -inf where
        there is no mass.
    interval : (a, b)
        Both finite. The law is the density *cut to it*, and normalised.
    breaks : sequence of numbers
        Points inside where the density is not smooth (kinks, jumps); two, one on either side, bracket
        a narrow peak.

    Raises
    ------
    ValueError, TypeError
        If the interval is not finite and increasing, a break is outside, or ``log_density``
        returns another shape, NaN, +inf, or -inf everywhere.

    Notes
    -----
    16-point Gauss-Legendre panels, halved until their masses are right to 1e-11; features
    narrower than 1/500 of the interval need to be bracketed by ``breaks``. Noise wider than the panels
    is integrated on the stored nodes, O(n P); narrower noise on a window around every z, where
    ``log_density`` is called again. Far z and tiny sigma are fine, all in log space. Outside the
    interval ``log_density`` is -inf and ``score`` is NaN, which MALA rejects.

    Samples are the quantiles of uniform numbers, accurate to 1e-11 in probability (1e-8 next to an
    integrable pole at an end other than 0, where floating-point numbers are too coarse).

    References
    ----------
    Trefethen (2008), *Is Gauss quadrature better than Clenshaw-Curtis?* (the rule); Mei, Wu
    (2023), arXiv 2309.11420, section 2 (posterior mean and score).

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import stats
    >>> from convexscore.targets import LineLaw
    >>> quartic = LineLaw(lambda x: -((x**2 - 1.0) ** 2), (-4.0, 4.0))
    >>> quartic.score([0.0, 0.5]).round(6)
    array([0. , 1.5])
    >>> laplace = LineLaw.from_scipy(stats.laplace(), breaks=[0.0])
    >>> laplace.noised(1.0, 0.5).score([-1.0, 3.0]).round(4)
    array([ 0.9063, -1.    ])
    """

    dim = 1

    def __init__(
        self, log_density: Function, interval: tuple[float, float], *, breaks: Sequence[float] = ()
    ) -> None:
        hint = "For a frozen scipy law use LineLaw.from_scipy."
        validation.check_callable(log_density, name="log_density", form="of points (m,)", hint=hint)
        self._raw = log_density
        edges = _read_edges(interval, breaks)
        self.interval = float(edges[0]), float(edges[-1])
        self._breaks = edges[1:-1]
        self._panels: Panels = resolve(self._evaluate, edges)

    @classmethod
    def from_scipy(cls, law: Any, *, breaks: Sequence[float] = ()) -> LineLaw:
        """A frozen continuous law of ``scipy.stats``; unbounded tails are cut at mass 1e-15.

        Examples
        --------
        >>> from scipy import stats
        >>> from convexscore.targets import LineLaw
        >>> LineLaw.from_scipy(stats.gamma(4.0)).mean.round(9)
        np.float64(4.0)
        """
        if not all(callable(getattr(law, name, None)) for name in ("logpdf", "ppf", "support")):
            raise TypeError(
                f"law must be a frozen continuous law of scipy.stats; got {type(law).__name__}. "
                f"For example scipy.stats.gamma(4.0), with its parameters."
            )
        low, high = law.support()
        low = law.ppf(_TAIL) if np.isinf(low) else low
        high = law.isf(_TAIL) if np.isinf(high) else high
        return cls(law.logpdf, (float(low), float(high)), breaks=breaks)

    @property
    def mean(self) -> np.float64:
        return np.float64((np.exp(self._panels.log_masses) * self._panels.nodes).sum())

    @property
    def variance(self) -> np.float64:
        centred = self._panels.nodes - self.mean
        return np.float64((np.exp(self._panels.log_masses) * centred**2).sum())

    def sample(self, n: int, *, random_state: RandomState = None) -> Floats:
        """n draws (n,); the first k do not depend on n."""
        n = validation.check_count(n, name="n", minimum=0)
        return self.ppf(check_random_state(random_state).random(n))

    def cdf(self, x: ArrayLike) -> Floats:
        """Distribution function, in the shape of x."""
        points, shape = as_points(x, 1)
        return self._panels.cdf(points[:, 0]).reshape(shape)

    def ppf(self, q: ArrayLike) -> Floats:
        """Quantiles of probabilities in [0, 1], in the shape of q."""
        levels, shape = as_points(q, 1, name="q")
        if not ((levels >= 0) & (levels <= 1)).all():
            raise ValueError(
                f"q must be in [0, 1]; got values from {levels.min():g} to {levels.max():g}."
            )
        out = np.empty(len(levels))
        for rows in row_blocks(len(levels), 4 * len(GAUSS_X)):
            out[rows] = self._panels.ppf(levels[rows, 0])
        return out.reshape(shape)

    def log_density(self, x: ArrayLike) -> Floats:
        """Normalised log-density (n,), -inf outside the interval."""
        points = as_points(x, 1)[0][:, 0]
        out = np.full(points.shape, -np.inf)
        inside = (points >= self.interval[0]) & (points <= self.interval[1])
        out[inside] = self._evaluate(points[inside]) - self._panels.log_total
        return out

    def score(self, x: ArrayLike) -> Floats:
        """Derivative of the log-density, by fourth-order differences; NaN outside the interval."""
        points, shape = as_points(x, 1)
        out = np.full(points.shape, np.nan)
        inside = (points >= self.interval[0]) & (points <= self.interval[1])
        out[inside] = self._difference_quotient(points[inside])
        return out.reshape(shape)

    def noised(self, scale: Level, sigma: Level) -> LineLaw | Noised:
        """The law of ``scale * X + sigma * G``."""
        scale, sigma = check_noise(scale, sigma, noiseless=True)
        if not (isinstance(scale, float) and sigma == 0):
            return Noised(self, scale, sigma)
        ends, breaks = scale * np.array(self.interval), tuple(scale * self._breaks)
        return LineLaw(lambda x: self._raw(x / scale), (ends[0], ends[1]), breaks=breaks)

    def denoise(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        """E[X | scale X + sigma G = z], in the shape of z."""
        return self._posterior(z, scale, sigma)[1].reshape(np.shape(z))

    def noised_log_density(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        """Log-density (n,) of ``scale * X + sigma * G``."""
        return self._posterior(z, scale, sigma)[0]

    def _posterior(self, z: ArrayLike, scale: Level, sigma: Level) -> tuple[Floats, Floats]:
        scale, sigma = check_noise(scale, sigma)
        flat = as_points(z, 1, name="z")[0][:, 0]
        levels = by_row(scale, flat), by_row(sigma, flat)
        return posterior(self._panels, self._evaluate, flat, *levels)

    def _difference_quotient(self, x: Floats) -> Floats:
        """Fourth order, with steps a small part of the panel that never cross a break."""
        panels = self._panels.edges
        width = np.diff(panels)[self._panels.index(x)]
        ends = np.concatenate([panels[:1], self._breaks, panels[-1:]])
        piece = np.clip(np.searchsorted(ends, x, side="right") - 1, 0, len(ends) - 2)
        left, right = ends[piece], ends[piece + 1]
        x = np.clip(x, left + 1e-6 * width, right - 1e-6 * width)
        h = np.minimum(2e-3 * width, 0.4 * np.minimum(x - left, right - x))
        near = self._evaluate(x + h) - self._evaluate(x - h)
        far = self._evaluate(x + 2 * h) - self._evaluate(x - 2 * h)
        return (8.0 * near - far) / (12.0 * h)

    def _evaluate(self, x: Floats) -> Floats:
        """The given log-density, checked; a pole is allowed at the ends and breaks only."""
        hint = "It is one number a point: write it with numpy functions."
        value = validation.check_returned(self._raw(x), x.shape, name="log_density", hint=hint)
        bad = ~(value < np.inf)
        if bad.any():
            bad &= ~(np.isposinf(value) & np.isin(x, [*self.interval, *self._breaks]))
        if bad.any():
            raise ValueError(
                f"log_density must be < +inf and not NaN inside the interval; it is "
                f"{value[bad][0]} at x = {x[bad][0]:g}. Shrink the interval."
            )
        return value

    def __repr__(self) -> str:
        a, b = self.interval
        return f"LineLaw(interval=({a:g}, {b:g}), n_panels={len(self._panels.edges) - 1})"


def _read_edges(interval: tuple[float, float], breaks: Sequence[float]) -> Floats:
    ends = validation.as_real(interval, "interval", "(2,)")
    if ends.shape != (2,) or not np.isfinite(ends).all() or not ends[0] < ends[1]:
        raise ValueError(
            f"interval must be (a, b) with finite a < b; got {interval!r}. Cut unbounded tails "
            f"where they hold no mass that matters."
        )
    inner = np.unique(validation.as_real(breaks, "breaks", "(m,)"))
    if not ((inner > ends[0]) & (inner < ends[1])).all():
        raise ValueError(
            f"breaks must be numbers strictly inside the interval ({ends[0]:g}, {ends[1]:g}); got "
            f"{list(inner)}. Leave out those at its ends."
        )
    return np.concatenate([ends[:1], inner, ends[1:]])
