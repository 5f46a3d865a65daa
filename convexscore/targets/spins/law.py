"""Laws on {-1, 1}^d given by their energies: everything that enumeration makes exact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.validation import check_count
from convexscore.schedules.levels import Level, by_row, check_noise
from convexscore.targets.base import Noised
from convexscore.targets.inputs import LOG_2PI, Floats, as_points, row_blocks
from convexscore.targets.spins.enumeration import MAX_SPINS, Enumeration, spins_of


class SpinLaw(ABC):
    r"""Law on spins, :math:`\mu(x) \propto \exp(E(x))`, :math:`x \in \{-1, 1\}^d`.

    .. math:: E[X | aX + \sigma G = z] = \text{mean of the law with energies }
        E(x) + (a z / \sigma^2)^\top x

    A new law writes ``dim`` and ``energy(x)`` (or overrides ``energies()`` where all of them are
    cheaper together) and has samples, moments, probabilities, posterior means and noised scores.
    Being discrete it has no score of its own; ``noised(scale, sigma)`` has one for every sigma > 0.

    Raises
    ------
    ValueError
        From everything exact beyond 24 spins.

    Notes
    -----
    Enumeration asks for 2^d energies once and holds two arrays of them (16 MB at 20 spins, 256 MB
    at 24). Posterior means and noised densities of n points are then two matrix products,
    4 n 2^d flops, without an exponential per state: the field az/σ² factorises over a low and a
    high half of the spins. Rows in which this would underflow are summed in log space, O(2^d)
    exponentials each.

    References
    ----------
    Mei, Wu (2023), arXiv 2309.11420, section 3.

    Examples
    --------
    The Curie-Weiss magnet:

    >>> import numpy as np
    >>> from convexscore.targets import SpinLaw
    >>> class CurieWeiss(SpinLaw):
    ...     dim = 3
    ...     def energy(self, x):
    ...         return np.sum(x, axis=1) ** 2 / (2 * self.dim)
    >>> CurieWeiss().correlations.round(3)
    array([[1.   , 0.411, 0.411],
           [0.411, 1.   , 0.411],
           [0.411, 0.411, 1.   ]])
    >>> CurieWeiss().noised(0.8, 0.6).score([[0.8, 0.8, 0.8]]).round(3)
    array([[-0.035, -0.035, -0.035]])
    """

    @property
    @abstractmethod
    def dim(self) -> int:
        """Number of spins d."""

    @abstractmethod
    def energy(self, x: ArrayLike) -> Floats:
        """E(x) of spins (n, d), shape (n,), up to a constant."""

    def energies(self) -> Floats:
        """E of all states, (2^d,); state i has spin j = +1 where bit j of i is set."""
        out = np.empty(2**self.dim)
        for rows in row_blocks(out.size, self.dim):
            out[rows] = self.energy(spins_of(np.arange(rows.start, rows.stop), self.dim))
        return out

    @cached_property
    def _states(self) -> Enumeration:
        if self.dim > MAX_SPINS:
            raise ValueError(
                f"exact sums over 2^d states are done for d <= {MAX_SPINS}; this law has "
                f"d = {self.dim}. Sample with a Markov chain (Ising: sample(n, method='gibbs')), "
                f"and for scores pass an approximate denoiser to Noised or vp_score."
            )
        return Enumeration(self.energies(), self.dim)

    @cached_property
    def _moments(self) -> tuple[Floats, Floats]:
        return self._states.moments()

    @property
    def log_partition(self) -> float:
        """log of the sum over all states of exp(E(x))."""
        return self._states.log_total

    @property
    def mean(self) -> Floats:
        """E x, (d,)."""
        return self._moments[0]

    @property
    def correlations(self) -> Floats:
        """E x x', (d, d): second moments, not centred; the diagonal is 1."""
        return self._moments[1]

    @property
    def covariance(self) -> Floats:
        """E x x' - E x E x', (d, d)."""
        return self.correlations - np.outer(self.mean, self.mean)

    def probabilities(self) -> Floats:
        """Probabilities of all states, (2^d,), numbered as in `energies`."""
        return (self._states.weights / self._states.weights.sum()).ravel()

    def log_probability(self, x: ArrayLike) -> Floats:
        """log mu(x) of spins, (n,)."""
        return self.energy(x) - self.log_partition

    def sample(self, n: int, *, random_state: RandomState = None) -> Floats:
        """n exact draws of spins, (n, d); the first k do not depend on n."""
        n = check_count(n, name="n", minimum=0)
        uniform = check_random_state(random_state).random(n)
        cumulative = np.cumsum(self._states.weights)
        state = np.searchsorted(cumulative, cumulative[-1] * uniform, side="right")
        return spins_of(np.minimum(state, cumulative.size - 1), self.dim)

    def noised(self, scale: Level, sigma: Level) -> Noised:
        """The law of ``scale * X + sigma * G``, sigma > 0."""
        return Noised(self, scale, sigma)

    def denoise(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        """E[X | scale X + sigma G = z], in the shape of z; entries in [-1, 1]."""
        points, shape = as_points(z, self.dim, name="z")
        return self._tilt(points, *check_noise(scale, sigma))[1].reshape(shape)

    def noised_log_density(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        """Log-density (n,) of ``scale * X + sigma * G``."""
        scale, sigma = check_noise(scale, sigma)
        points, _ = as_points(z, self.dim, name="z")
        logs, _ = self._tilt(points, scale, sigma)
        # sum|f| of `tilt` completes the square: nothing large is left to cancel.
        squares = ((np.abs(points) - by_row(scale, points)) ** 2).sum(axis=1) / sigma**2
        constant = self.dim * (0.5 * LOG_2PI + np.log(sigma)) + self.log_partition
        return logs - 0.5 * squares - constant

    def _tilt(self, points: Floats, scale: Level, sigma: Level) -> tuple[Floats, Floats]:
        return self._states.tilt(points * by_row(scale / sigma**2, points))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(dim={self.dim})"
