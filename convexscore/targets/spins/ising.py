"""Ising laws on {-1, 1}^d: exact by enumeration up to 24 spins, heat-bath chains beyond."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state, spawn_generators
from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.targets.inputs import Floats, as_points, check_symmetric, finite_array
from convexscore.targets.spins.enumeration import all_energies
from convexscore.targets.spins.law import SpinLaw

# sample(method="auto") enumerates up to here: 16 MB and some 20 ms.
_AUTO_EXACT = 20
# Chains that share a stream, as in the samplers: a generator a chain would cost more than the chain.
_STREAM_WIDTH = 64


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Ising(SpinLaw):
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
    As for every `SpinLaw`; the 2^d energies are built spin by spin, O(2^d).

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
        matrix = finite_array(couplings, name="couplings", shape="(d, d)", ndim=(2,))
        d = len(matrix)
        if matrix.shape != (d, d):
            raise ValueError(
                f"couplings must have shape (d, d); got shape {matrix.shape}. Pass one row a spin."
            )
        values = finite_array(field, name="field", shape="() or (d,)", ndim=(0, 1))
        if values.shape not in ((), (d,)):
            raise ValueError(
                f"field must be a number or have shape ({d},), one a spin; got {values.shape}."
            )
        symmetric = check_symmetric(matrix, name="couplings")
        self.__dict__.update(couplings=symmetric, field=np.broadcast_to(values, (d,)))

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

    def energy(self, x: ArrayLike) -> Floats:
        """x'Ax/2 + h.x, (n,), in any dimension."""
        points, _ = as_points(x, self.dim)
        return np.einsum("ij,ij->i", points, 0.5 * points @ self.couplings + self.field)

    def energies(self) -> Floats:
        """E of all states, (2^d,), by adding one spin after the other."""
        return all_energies(self.couplings, self.field)

    def sample(
        self, n: int, *, method: str = "auto", n_sweeps: int = 200, random_state: RandomState = None
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
            return heat_bath(self.couplings, self.field, n, sweeps, random_state)
        return super().sample(n, random_state=random_state)


def heat_bath(
    couplings: Floats, field: Floats, n: int, n_sweeps: int, random_state: RandomState
) -> Floats:
    """Final spins (n, d) of n chains started at uniform random spins.

    A chain's random numbers do not depend on n. Time O(n d²) a sweep, as d matrix-vector products.
    """
    dim = len(field)
    coupled = couplings - np.diag(np.diag(couplings))  # x_i² = 1: the diagonal is a constant
    generators = spawn_generators(random_state, -(-n // _STREAM_WIDTH))
    uniform = np.empty((len(generators), dim, _STREAM_WIDTH))

    def draw() -> Floats:
        for generator, out in zip(generators, uniform, strict=True):
            generator.random(out=out)
        return np.moveaxis(uniform, 1, 0).reshape(dim, -1)[:, :n]

    spins = np.where(draw() < 0.5, -1.0, 1.0)
    with np.errstate(over="ignore"):  # a huge field makes exp infinite and the choice certain
        for _ in range(n_sweeps):
            for i, u in enumerate(draw()):
                local = coupled[i] @ spins + field[i]
                # P(x_i = 1 | others) = 1 / (1 + exp(-2 local))
                spins[i] = np.where(u * (1.0 + np.exp(-2.0 * local)) < 1.0, 1.0, -1.0)
    return np.ascontiguousarray(spins.T)
