"""From real vectors to spins, and from spins to how far they are from their law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaln, xlog1py, xlogy

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.validation import check_choice
from convexscore.targets.inputs import Floats, as_points
from convexscore.targets.spins.law import SpinLaw


def round_to_spins(
    x: ArrayLike, *, method: str = "sign", random_state: RandomState = None
) -> Floats:
    """Real numbers to spins -1.0 and 1.0, in the shape of x.

    Parameters
    ----------
    x : array
        Samples near spins, or means of spins.
    method : {"sign", "random"}
        "sign": the nearer spin, 0 goes to 1. "random": +1 with probability (1 + x)/2, so that the
        mean is x where \\|x\\| <= 1; larger values count as ±1.
    random_state : None, int, Generator or RandomState
        Of "random".

    Raises
    ------
    ValueError
        If a value is NaN or the method unknown.

    References
    ----------
    El Alaoui, Montanari, Sellke (2022), arXiv 2203.05093, Algorithm 1 (randomised rounding).

    Examples
    --------
    >>> from convexscore.targets import round_to_spins
    >>> round_to_spins([[0.9, -1.2], [0.0, -0.1]])
    array([[ 1., -1.],
           [ 1., -1.]])
    """
    values = np.asarray(x, dtype=np.float64)
    check_choice(method, ("sign", "random"), name="method")
    if np.isnan(values).any():
        raise ValueError(
            f"x must not be NaN; {np.isnan(values).sum()} of {values.size} values are. Drop them."
        )
    if method == "sign":
        return np.where(values >= 0, 1.0, -1.0)
    uniform = check_random_state(random_state).random(values.shape)
    return np.where(2.0 * uniform - 1.0 < values, 1.0, -1.0)


def spin_index(x: ArrayLike, dim: int) -> np.ndarray:
    """State numbers (n,) of spins (n, dim): bit j is set where spin j is +1.

    Examples
    --------
    >>> from convexscore.targets import spin_index
    >>> spin_index([[-1, -1, -1], [1, -1, 1]], 3)
    array([0, 5])
    """
    points, _ = as_points(x, dim)
    wrong = np.abs(points) != 1
    if wrong.any():
        raise ValueError(
            f"x must hold spins -1 and 1 only; {int(wrong.sum())} of {points.size} values are "
            f"neither, for example {points[wrong][0]:g}. Use round_to_spins(x) first."
        )
    return (points > 0) @ (1 << np.arange(dim, dtype=np.int64))


@dataclass(frozen=True)
class SpinDistance:
    """Total variation of an empirical law of spins from the true one, and what chance explains.

    Attributes
    ----------
    value : float
        Total variation, in [0, 1].
    floor : float
        Its exact expectation for as many independent exact samples.
    deviation : float
        Bound 1/(2 sqrt(n)) on the standard deviation around the floor.
    n : int
        Number of samples.
    """

    value: float
    floor: float
    deviation: float
    n: int

    def __repr__(self) -> str:
        return (
            f"SpinDistance({self.value:.4f}, of which chance explains {self.floor:.4f} "
            f"± {self.deviation:.4f}; n={self.n})"
        )


def spin_total_variation(samples: ArrayLike, law: SpinLaw) -> SpinDistance:
    r"""Total variation between samples of spins and their law, over all 2^d states.

    .. math:: \tfrac12 \sum_x |\hat\mu_n(x) - \mu(x)|

    with the value that n exact samples have on average (the noise floor), in closed form: a
    binomial count with k = ⌊np⌋ + 1 has mean absolute deviation
    :math:`2k(1-p)\binom{n}{k}p^k(1-p)^{n-k}`.

    Parameters
    ----------
    samples : array (n, d)
        Spins -1 and 1; round real samples with `round_to_spins`.
    law : SpinLaw
        With at most 24 spins.

    Returns
    -------
    SpinDistance
        ``value``, ``floor``, ``deviation``, ``n``.

    Raises
    ------
    ValueError
        If a value is not a spin, there are no samples, or d > 24.

    References
    ----------
    De Moivre's formula: Diaconis, Zabell (1991), *Closed form summation for classical
    distributions*; the deviation is Efron-Stein's: one sample moves the value by at most 1/n.

    Examples
    --------
    >>> from convexscore.targets import Ising, spin_total_variation
    >>> law = Ising.sherrington_kirkpatrick(6, 0.5, random_state=0)
    >>> distance = spin_total_variation(law.sample(2000, random_state=1), law)
    >>> bool(abs(distance.value - distance.floor) < 3 * distance.deviation)
    True
    """
    p = law.probabilities()
    index = spin_index(samples, law.dim)
    n = len(index)
    if n == 0:
        raise ValueError("samples must hold at least one row; got none. Draw some first.")
    counts = np.bincount(index, minlength=p.size)
    value = 0.5 * float(np.abs(counts / n - p).sum())
    return SpinDistance(value, _expected_variation(p, n), 0.5 / float(np.sqrt(n)), n)


def _expected_variation(p: Floats, n: int) -> float:
    k = np.minimum(np.floor(n * p) + 1.0, n)
    log_binomial = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    # At p = 1 the count is n, without deviation: log(1 - p) = -inf says so.
    log_deviation = np.log(2.0 * k) + log_binomial + xlogy(k, p) + xlog1py(n - k + 1.0, -p)
    return 0.5 * float(np.exp(log_deviation).sum()) / n
