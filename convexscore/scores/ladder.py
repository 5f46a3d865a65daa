r"""One score for all noise levels from scores at some of them: the denoiser is interpolated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.schedules.levels import Level, by_row
from convexscore.scores.noised import tweedie_mean

# A level that went through times and back agrees to rounding only.
_ABOVE = 1 + 1e-12
_AT_A_LEVEL = 1e-9


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
    a level; where every row has a noise of its own, each score is asked once, at the rows it has a
    share in.

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

    @cached_property
    def _spectrum(self) -> tuple[Floats, Floats]:
        """Variances of the data along their principal axes, and the axes, in columns."""
        variances, axes = np.linalg.eigh(self.covariance)
        return variances.clip(min=0.0), axes

    def score(self, y: Floats, sigma: Level) -> Floats:
        """Score of the law of X + sigma G at y (n, d); sigma >= 0, one number or (n,), one a row."""
        return self._by_height(y, sigma, self._gaussian_score, self._joined)

    def denoise(self, y: Floats, sigma: Level) -> Floats:
        """E[X | X + sigma G = y] by Tweedie's formula."""
        return self._by_height(y, sigma, self._gaussian_mean, self._tweedie)

    def _by_height(
        self,
        y: Floats,
        sigma: Level,
        above: Callable[[Floats, Level], Floats],
        within: Callable[[Floats, Level], Floats],
    ) -> Floats:
        """One function for the noise above the ladder, one for the rest."""
        top = self.levels[0] * _ABOVE
        if isinstance(sigma, float):
            return above(y, sigma) if sigma > top else within(y, sigma)
        by_row(sigma, y)
        out, high = np.empty_like(y), sigma > top
        for rows, part in ((high, above), (~high, within)):
            if rows.any():
                out[rows] = part(y[rows], sigma[rows])
        return out

    def _joined(self, y: Floats, sigma: Level) -> Floats:
        """Every score times its share; of all rows, or of those where it has one."""
        shares = self._shares(np.atleast_1d(sigma))
        used = np.flatnonzero(shares.any(axis=0)).tolist()
        if len(shares) == 1:
            first, *rest = (shares[0, k] * self.scores[k](y) for k in used)
            return sum(rest, first)
        out = np.zeros_like(y)
        for k in used:
            rows = np.flatnonzero(shares[:, k])
            out[rows] += shares[rows, k, None] * self.scores[k](y[rows])
        return out

    def _shares(self, sigma: Floats) -> Floats:
        r"""Coefficient of every score at every noise, (n, L).

        The hat functions of the levels in :math:`\log\sigma` belong to denoisers, hence
        :math:`(\sigma_l/\sigma)^2` times them to scores.
        """
        noise = np.maximum(sigma, self.levels[-1])
        count = np.arange(len(self.levels))
        at = np.interp(-np.log(noise), -np.log(self.levels), count)
        whole = np.rint(at)
        at = np.where(np.abs(at - whole) < _AT_A_LEVEL, whole, at)
        hats = np.maximum(1.0 - np.abs(at[:, None] - count), 0.0)
        shares: Floats = hats * (self.levels / noise[:, None]) ** 2
        return shares

    def _tweedie(self, y: Floats, sigma: Level) -> Floats:
        return tweedie_mean(y, self._joined(y, sigma), 1.0, sigma)

    def _gaussian_score(self, y: Floats, sigma: Level) -> Floats:
        along, noise, total = self._along_axes(y, sigma)
        score: Floats = -(along / noise / total) @ self._spectrum[1].T
        return score

    def _gaussian_mean(self, y: Floats, sigma: Level) -> Floats:
        """Not y + sigma^2 s: far above the data the two terms cancel to nothing but rounding."""
        along, noise, total = self._along_axes(y, sigma)
        variances, axes = self._spectrum
        mean: Floats = self.mean + (along * (variances / noise / total)) @ axes.T
        return mean

    def _along_axes(self, y: Floats, sigma: Level) -> tuple[Floats, Level, Floats]:
        """y - mean along the axes, the noise of every row, and (v + sigma^2) / sigma.

        No square of sigma is formed: it may be beyond what a float holds.
        """
        noise, (variances, axes) = by_row(sigma, y), self._spectrum
        return (y - self.mean) @ axes, noise, variances / noise + noise
