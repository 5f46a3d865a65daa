r"""One score for all noise levels from scores at some of them: the denoiser is interpolated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.noised import tweedie_mean

Floats = NDArray[np.float64]

# A level that went through times and back agrees to rounding only.
_ABOVE = 1 + 1e-12


@dataclass(frozen=True, eq=False)
class ScoreLadder:
    r"""VE scores at levels :math:`\sigma_1 > \dots > \sigma_L`, joined through their denoisers.

    Between two levels the denoiser :math:`m(y; \sigma) = y + \sigma^2 s(y; \sigma)`, a bounded function
    that changes slowly with :math:`\log\sigma`, is interpolated linearly in :math:`\log\sigma`; the
    score itself grows like :math:`1/\sigma^2`.  Above the first level the score is that of the Gaussian
    with the moments of the data; below the last one it is that of the last level.

    Parameters
    ----------
    levels : (L,) strictly decreasing, > 0.
    scores : L callables (n, d) -> (n, d).
    mean, covariance : (d,), (d, d), moments of the data.

    Notes
    -----
    Second order in the ratio of neighbouring levels.  Two scores per evaluation between levels, one at
    a level.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.scores.ladder import ScoreLadder
    >>> levels = np.array([2.0, 1.0, 0.5])
    >>> scores = [lambda y, v=1 + s**2: -y / v for s in levels]     # of N(0, 1)
    >>> ladder = ScoreLadder(levels, scores, np.zeros(1), np.eye(1))
    >>> y = np.array([[3.0]])
    >>> ladder.score(y, 1.0).item(), ladder.score(y, 3.0).round(12).item()
    (-1.5, -0.3)
    >>> round(ladder.denoise(y, 1.5).item(), 3), round(3.0 / 3.25, 3)
    (0.974, 0.923)
    """

    levels: Floats
    scores: Sequence[Callable[[Floats], Floats]]
    mean: Floats
    covariance: Floats
    _log: Floats = field(init=False, repr=False)
    _variances: Floats = field(init=False, repr=False)
    _axes: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_log", np.log(self.levels))
        variances, axes = np.linalg.eigh(self.covariance)
        object.__setattr__(self, "_variances", variances.clip(min=0.0))
        object.__setattr__(self, "_axes", axes)

    def score(self, y: Floats, sigma: float) -> Floats:
        """Score of the law of X + sigma G at y (n, d)."""
        levels = self.levels
        if sigma > levels[0] * _ABOVE:
            rotated, _, total = self._shrunk(y, sigma)
            return -(rotated / sigma / total) @ self._axes.T
        if sigma <= levels[-1] * _ABOVE:
            return self.scores[-1](y)
        upper, share = self._between(sigma)
        if share == 0.0:
            return self.scores[upper](y)
        first = (1.0 - share) * (levels[upper] / sigma) ** 2
        second = share * (levels[upper + 1] / sigma) ** 2
        return first * self.scores[upper](y) + second * self.scores[upper + 1](y)

    def denoise(self, y: Floats, sigma: float) -> Floats:
        """E[X | X + sigma G = y] by Tweedie's formula."""
        if sigma > self.levels[0] * _ABOVE:
            # not y + sigma^2 s: far above the data the two terms cancel to nothing but rounding
            rotated, gain, _ = self._shrunk(y, sigma)
            return self.mean + (rotated * gain) @ self._axes.T
        return tweedie_mean(y, self.score(y, sigma), 1.0, sigma)

    def _between(self, sigma: float) -> tuple[int, float]:
        """Index of the level above and the share of the one below."""
        at = np.log(sigma)
        upper = min(int(np.searchsorted(-self._log, -at, side="right")) - 1, len(self._log) - 2)
        upper = max(upper, 0)
        share = (self._log[upper] - at) / (self._log[upper] - self._log[upper + 1])
        # levels that went through times and back agree to rounding only
        if abs(share) < 1e-9:
            return upper, 0.0
        if abs(share - 1.0) < 1e-9:
            return upper + 1, 0.0
        return upper, float(share)

    def _shrunk(self, y: Floats, sigma: float) -> tuple[Floats, Floats, Floats]:
        """The Gaussian: y along the axes, the posterior mean's share of it, (v + sigma^2) / sigma.

        No square of sigma is formed: it may be beyond what a float holds.
        """
        total = self._variances / sigma + sigma
        return (y - self.mean) @ self._axes, self._variances / sigma / total, total
