"""Grids of Ornstein–Uhlenbeck times, from much noise to little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_array, check_count, check_positive


@dataclass(frozen=True, eq=False, repr=False)
class TimeGrid:
    r"""Ornstein–Uhlenbeck times a sampler walks through, from much noise to little.

    Parameters
    ----------
    times : array_like (K+1,)
        *Remaining* noise times :math:`T = t_0 > t_1 > \dots > t_K = \delta \ge 0`. The papers count
        the time of the sampler instead, which is T minus ours.

    Raises
    ------
    ValueError
        If the times are fewer than two, not finite, negative or not strictly decreasing.

    Examples
    --------
    >>> from convexscore.schedules import TimeGrid
    >>> grid = TimeGrid([2.0, 1.0, 0.5])
    >>> grid
    TimeGrid(horizon=2, end=0.5, n_steps=2)
    >>> grid.steps.tolist()
    [1.0, 0.5]
    """

    times: Floats

    def __post_init__(self) -> None:
        times = as_line("times", self.times)
        if len(times) < 2 or times[-1] < 0 or not (np.diff(times) < 0).all():
            raise ValueError(
                f"times must be at least two strictly decreasing numbers >= 0, remaining noise "
                f"times from the horizon down; got {shown(times)}. Sort and deduplicate them, "
                f"or use uniform_grid, exponential_grid or two_phase_grid."
            )
        times.setflags(write=False)
        object.__setattr__(self, "times", times)

    @property
    def steps(self) -> Floats:
        """Step lengths :math:`\\gamma_k = t_k - t_{k+1} > 0`, shape (K,)."""
        return -np.diff(self.times)

    @property
    def n_steps(self) -> int:
        """Number of steps K."""
        return len(self.times) - 1

    @property
    def horizon(self) -> float:
        """The first time T."""
        return float(self.times[0])

    @property
    def end(self) -> float:
        """The last time δ."""
        return float(self.times[-1])

    def __repr__(self) -> str:
        return f"TimeGrid(horizon={self.horizon:g}, end={self.end:g}, n_steps={self.n_steps})"


def uniform_grid(horizon: float, n_steps: int, *, end: float = 1e-3) -> TimeGrid:
    r"""Equal steps :math:`\gamma = (T - \delta)/K`, the grid of the theorems of CCL23.

    Parameters
    ----------
    horizon : float
        T. The start :math:`N(0, I)` is wrong by about :math:`e^{-T}` (total variation).
    n_steps : int
        K.
    end : float
        :math:`\delta \ge 0`; 0 only for laws whose own score exists.

    References
    ----------
    Chen, Chewi, Li, Li, Salim, Zhang, *Sampling is as easy as learning the score*, ICLR 2023.

    Examples
    --------
    >>> from convexscore.schedules import uniform_grid
    >>> uniform_grid(2.0, 4, end=0.0).times.tolist()
    [2.0, 1.5, 1.0, 0.5, 0.0]
    """
    horizon, end = _check_ends(horizon, end, strict=False)
    n_steps = check_count(n_steps, name="n_steps")
    return TimeGrid(np.linspace(horizon, end, n_steps + 1))


def exponential_grid(horizon: float, n_steps: int, *, end: float = 1e-3) -> TimeGrid:
    r"""Steps proportional to min(1, remaining time): equal while t > 1, geometric below.

    The times are equally spaced in :math:`\tau(t) = t - 1` for :math:`t \ge 1`, :math:`\log t`
    below, that is, with :math:`\kappa = (\tau(T) - \tau(\delta))/K`

    .. math:: \gamma_k \le (e^\kappa - 1) \min\{1, t_{k+1}\}.

    Parameters
    ----------
    horizon, n_steps : float, int
        T and K.
    end : float
        :math:`0 < \delta < T`.

    References
    ----------
    Benton, De Bortoli, Doucet, Deligiannidis, arXiv 2308.03686 (the condition on the steps).

    Examples
    --------
    >>> from convexscore.schedules import exponential_grid
    >>> exponential_grid(1.0, 3, end=0.125).times.round(6).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    horizon, end = _check_ends(horizon, end, strict=True)
    n_steps = check_count(n_steps, name="n_steps")
    first, last = (t - 1.0 if t >= 1.0 else float(np.log(t)) for t in (horizon, end))
    tau = np.linspace(first, last, n_steps + 1)
    times = np.where(tau >= 0, 1 + tau, np.exp(np.minimum(tau, 0)))
    times[0], times[-1] = horizon, end  # not their round trip through log and exp
    return TimeGrid(times)


def two_phase_grid(kappa: float, n_uniform: int, n_total: int) -> TimeGrid:
    r"""Grid of MW23 and BDD23: N₀ steps of length κ, then steps that shrink geometrically.

    .. math:: T = \kappa N_0 + 1, \qquad t_k = 1 + \kappa (N_0 - k) \;(k \le N_0), \qquad
        t_k = (1 + \kappa)^{N_0 - k} \;(N_0 \le k \le N),

    so that :math:`\gamma_k \le \kappa \min\{1, t_{k+1}\}` and :math:`\delta = (1+\kappa)^{N_0-N}`
    (remaining times; the papers' are T minus these).

    Parameters
    ----------
    kappa : float > 0
    n_uniform, n_total : int
        :math:`N_0 \ge 0` and :math:`N \ge N_0`, at least 1.

    References
    ----------
    Mei, Wu, arXiv 2309.11420, Definition 1; Benton et al., arXiv 2308.03686.

    Examples
    --------
    >>> from convexscore.schedules import two_phase_grid
    >>> two_phase_grid(1.0, 2, 4).times.tolist()
    [3.0, 2.0, 1.0, 0.5, 0.25]
    """
    kappa = check_positive(kappa, name="kappa", hint="It is the length of the first steps.")
    n_uniform = check_count(n_uniform, name="n_uniform", minimum=0)
    n_total = check_count(n_total, name="n_total", minimum=max(n_uniform, 1))  # counts all steps
    k = np.arange(n_total + 1)
    geometric = np.exp(-np.log1p(kappa) * np.maximum(k - n_uniform, 0))
    return TimeGrid(np.where(k < n_uniform, 1 + kappa * (n_uniform - k), geometric))


GridLike: TypeAlias = TimeGrid | ArrayLike


def as_time_grid(grid: GridLike) -> TimeGrid:
    """A grid as it is; anything else as its decreasing times."""
    return grid if isinstance(grid, TimeGrid) else TimeGrid(as_line("grid", grid))


def as_line(name: str, values: ArrayLike) -> Floats:
    """A fresh one-dimensional array of finite numbers, not empty."""
    return check_array(values, name=name, shape="(K,)", ndim=(1,))


def shown(values: Floats) -> str:
    """A few of the values, for messages."""
    return np.array2string(values, threshold=6, edgeitems=2, precision=4)


def _check_ends(horizon: float, end: float, *, strict: bool) -> tuple[float, float]:
    horizon = check_positive(horizon, name="horizon", hint="5 leaves less than one percent.")
    end = check_positive(end, name="end", strict=strict, hint="It is the last remaining time.")
    if not end < horizon:
        raise ValueError(
            f"end must be < horizon; got end={end:g}, horizon={horizon:g}. Samplers run down to end."
        )
    return horizon, end
