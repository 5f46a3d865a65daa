"""Ising laws on {-1, 1}^d: exact by enumeration up to 24 spins, heat-bath chains beyond."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.targets.base import Noised
from convexscore.targets.inputs import (
    LOG_2PI,
    Floats,
    as_points,
    check_level,
    check_symmetric,
    finite_array,
)
from convexscore.targets.spins.enumeration import MAX_SPINS, Enumeration, spins_of
from convexscore.targets.spins.gibbs import heat_bath

# sample(method="auto") enumerates up to here: 16 MB and some 20 ms.
_AUTO_EXACT = 20


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Ising:
    r"""Ising law on spins, :math:`\mu(x) \propto \exp(\tfrac12 x^\top A x + h^\top x)`.

    .. math:: E[X | aX + \sigma G = z] = \text{mean of the law with field } h + a z / \sigma^2

    Being discrete it has no score; ``noised(scale, sigma)`` has one for every sigma > 0.

    Parameters
    ----------
    couplings : array (d, d)
        A, symmetric. Its diagonal only adds the constant tr(A)/2 to the energy.
    field : number or array (d,)
        h.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, values are not finite or A is not symmetric; from everything exact
        beyond 24 spins.

    Notes
    -----
    Enumeration builds 2^d energies once, spin by spin, and holds two arrays of them (16 MB at 20
    spins, 256 MB at 24). Posterior means and noised densities of n points are then two matrix
    products, 4 n 2^d flops, without an exponential per state: the field az/σ² factorises over a
    low and a high half of the spins. Rows in which this would underflow are summed in log space,
    O(2^d) exponentials each.

    References
    ----------
    Mei, Wu (2023), arXiv 2309.11420, section 3; El Alaoui, Montanari, Sellke (2022), arXiv
    2203.05093 (Sherrington-Kirkpatrick).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.targets import Ising
    >>> pair = Ising([[0.0, 0.5], [0.5, 0.0]], field=0.0)
    >>> pair.correlations.round(4)  # tanh(1/2)
    array([[1.    , 0.4621],
           [0.4621, 1.    ]])
    >>> pair.noised(0.8, 0.6).score([[0.8, 0.8]]).round(3)
    array([[-0.049, -0.049]])
    """

    couplings: Floats
    field: Floats

    def __init__(self, couplings: ArrayLike, field: ArrayLike = 0.0) -> None:
        matrix = finite_array(couplings, name="couplings")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.size == 0:
            raise ValueError(
                f"couplings must have shape (d, d); got shape {matrix.shape}. For independent "
                f"spins use numpy.zeros((d, d))."
            )
        object.__setattr__(self, "couplings", check_symmetric(matrix, name="couplings"))
        values = finite_array(field, name="field")
        if values.shape not in ((), (len(matrix),)):
            raise ValueError(
                f"field must be a number or have shape ({len(matrix)},), one value a spin; got "
                f"shape {values.shape}."
            )
        object.__setattr__(self, "field", np.broadcast_to(values, (len(matrix),)))

    @classmethod
    def sherrington_kirkpatrick(
        cls, dim: int, beta: float, *, field: ArrayLike = 0.0, random_state: RandomState = None
    ) -> Ising:
        """The Sherrington-Kirkpatrick spin glass: A = beta J, J_ij ~ N(0, 1/d), no diagonal.

        Parameters
        ----------
        dim : int >= 1
        beta : float >= 0
            Inverse temperature; the high-temperature phase is beta < 1 (without field).
        field : number or array (d,)
        random_state : None, int, Generator or RandomState
            Of the couplings.

        References
        ----------
        El Alaoui, Montanari, Sellke (2022), arXiv 2203.05093, section 1.

        Examples
        --------
        >>> from convexscore.targets import Ising
        >>> Ising.sherrington_kirkpatrick(10, 0.5, random_state=0)
        Ising(dim=10)
        """
        dim = check_count(dim, name="dim")
        beta = check_positive(beta, name="beta", strict=False)
        upper = np.triu(check_random_state(random_state).standard_normal((dim, dim)), k=1)
        return cls(beta / np.sqrt(dim) * (upper + upper.T), field)

    @property
    def dim(self) -> int:
        return len(self.couplings)

    @cached_property
    def _states(self) -> Enumeration:
        if self.dim > MAX_SPINS:
            raise ValueError(
                f"exact sums over 2^d states are done for d <= {MAX_SPINS}; this law has "
                f"d = {self.dim}. Sample with sample(n, method='gibbs'), and for scores pass an "
                f"approximate denoiser to Noised or vp_score."
            )
        return Enumeration.of(self.couplings, self.field)

    @cached_property
    def _moments(self) -> tuple[Floats, Floats]:
        return self._states.moments()

    @property
    def log_partition(self) -> float:
        """log of the sum over all states of exp(x'Ax/2 + h.x)."""
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
        """Probabilities of all states, (2^d,); state i has spin j = +1 where bit j of i is set."""
        return (self._states.weights / self._states.weights.sum()).ravel()

    def energy(self, x: ArrayLike) -> Floats:
        """x'Ax/2 + h.x, (n,), in any dimension."""
        points, _ = as_points(x, self.dim)
        return np.einsum("ij,ij->i", points, 0.5 * points @ self.couplings + self.field)

    def log_probability(self, x: ArrayLike) -> Floats:
        """log mu(x) of spins, (n,)."""
        return self.energy(x) - self.log_partition

    def sample(
        self,
        n: int,
        *,
        method: str = "auto",
        n_sweeps: int = 200,
        random_state: RandomState = None,
    ) -> Floats:
        """n draws of spins, (n, d); the first k do not depend on n.

        Parameters
        ----------
        n : int >= 0
        method : {"auto", "exact", "gibbs"}
            Exact sampling needs d <= 24; "auto" uses it up to d = 20. Gibbs runs one heat-bath
            chain a sample from a uniform start, time O(n d²) a sweep; at low temperature it may
            stay in the valley it started in, and nothing warns of that.
        n_sweeps : int >= 1
            Sweeps of every Gibbs chain.
        random_state : None, int, Generator or RandomState
        """
        n = check_count(n, name="n", minimum=0)
        check_choice(method, ("auto", "exact", "gibbs"), name="method")
        if method == "gibbs" or (method == "auto" and self.dim > _AUTO_EXACT):
            sweeps = check_count(n_sweeps, name="n_sweeps")
            return heat_bath(
                self.couplings, self.field, n, n_sweeps=sweeps, random_state=random_state
            )
        uniform = check_random_state(random_state).random(n)
        cumulative = np.cumsum(self._states.weights)
        state = np.searchsorted(cumulative, cumulative[-1] * uniform, side="right")
        return spins_of(np.minimum(state, cumulative.size - 1), self.dim)

    def noised(self, scale: float, sigma: float) -> Noised:
        """The law of ``scale * X + sigma * G``, sigma > 0."""
        return Noised(self, scale, sigma)

    def denoise(self, z: ArrayLike, scale: float, sigma: float) -> Floats:
        """E[X | scale X + sigma G = z], in the shape of z; entries in [-1, 1]."""
        scale, sigma = check_level(scale, sigma)
        points, shape = as_points(z, self.dim, name="z")
        return self._states.tilt(points * (scale / sigma**2))[1].reshape(shape)

    def noised_log_density(self, z: ArrayLike, scale: float, sigma: float) -> Floats:
        """Log-density (n,) of ``scale * X + sigma * G``."""
        scale, sigma = check_level(scale, sigma)
        points, _ = as_points(z, self.dim, name="z")
        logs, _ = self._states.tilt(points * (scale / sigma**2))
        # sum|f| of `tilt` completes the square: nothing large is left to cancel.
        squares = ((np.abs(points) - scale) ** 2).sum(axis=1) / sigma**2
        constant = self.dim * (0.5 * LOG_2PI + np.log(sigma)) + self.log_partition
        return logs - 0.5 * squares - constant

    def __repr__(self) -> str:
        return f"Ising(dim={self.dim})"
