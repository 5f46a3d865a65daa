"""First-order optimisers: frozen settings, and one update rule for many runs at once.

An optimiser sees gradients of the objective *per sample* (divided by the total weight of the points), so
that a learning rate means what it means elsewhere.  Weight decay is in the objective, not a rule of the
optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi
from numbers import Real
from typing import TypeAlias

import numpy as np

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.training.lbfgs import LBFGS

Rates: TypeAlias = float | Sequence[float]
# (step, n_steps) to a factor of the learning rate; steps count from 0
Schedule: TypeAlias = Callable[[int, int], float]

_SCHEDULES: dict[str, Schedule] = {
    "constant": lambda step, n_steps: 1.0,
    # half a cosine (Loshchilov, Hutter 2017, arXiv 1608.03983, equation 5)
    "cosine": lambda step, n_steps: 0.5 * (1.0 + cos(pi * (step / n_steps))),
}


@dataclass(frozen=True, kw_only=True)
class _FirstOrder:
    """What SGD and Adam have in common."""

    lr: Rates = 1e-2
    batch_size: int | None = None
    schedule: str | Schedule = "constant"

    def __post_init__(self) -> None:
        rates = np.atleast_1d(self.lr)
        if not rates.size:
            raise ValueError("lr is empty; pass one learning rate or several, as in [1e-2, 1e-3].")
        for rate in rates:
            check_positive(
                rate, name="lr", hint="Learning rates refer to the objective per sample."
            )
        if self.batch_size is not None:
            check_count(self.batch_size, name="batch_size")
        if not callable(self.schedule):
            check_choice(self.schedule, tuple(_SCHEDULES), name="schedule")

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return tuple(float(rate) for rate in np.atleast_1d(self.lr))

    def factor(self, step: int, n_steps: int) -> float:
        """What the schedule multiplies the learning rates by in a step, checked."""
        schedule = self.schedule if callable(self.schedule) else _SCHEDULES[self.schedule]
        factor = schedule(step, n_steps)
        if not isinstance(factor, Real) or not 0.0 <= float(factor) < float("inf"):
            raise ValueError(
                f"schedule must return a finite factor >= 0; got {factor!r} from {schedule!r} at step "
                f"{step} of {n_steps}."
            )
        return float(factor)


def _check_memory(value: float, name: str) -> None:
    if check_positive(value, name=name, strict=False) >= 1.0:
        raise ValueError(
            f"{name} must be in [0, 1); got {value!r}. Common values are 0.9 to 0.999."
        )


@dataclass(frozen=True, kw_only=True)
class SGD(_FirstOrder):
    r"""Gradient descent with momentum, on all points or on mini-batches.

    .. math:: v \leftarrow \mu v + g,\qquad \theta \leftarrow \theta - \eta v

    Parameters
    ----------
    lr : float or sequence of floats
        Learning rates; every one is run with every restart.
    batch_size : int, optional
        Points per step, drawn without replacement within an epoch; None: all of them.
    schedule : {"constant", "cosine"} or callable
        ``schedule(step, n_steps)`` multiplies the learning rate, for example
        ``lambda step, n_steps: 1 / (1 + 10 * step / n_steps)``.
    momentum : float in [0, 1)
        Heavy ball; 0 for none.

    References
    ----------
    Polyak (1964), *Some methods of speeding up the convergence of iteration methods*.

    Examples
    --------
    >>> from convexscore.training import SGD
    >>> SGD(lr=[1.0, 1e-2, 1e-6], momentum=0.9, batch_size=32).learning_rates
    (1.0, 0.01, 1e-06)
    """

    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_memory(self.momentum, "momentum")

    @property
    def n_memories(self) -> int:
        """Arrays (R, p) that are remembered between steps, zero at first."""
        return 1 if self.momentum else 0

    def step(self, memory: Floats, gradient: Floats, rates: Floats, number: int) -> Floats:
        """What to subtract from the parameters (R, p); ``rates`` (R, 1), ``number`` from 1."""
        if not self.momentum:
            return rates * gradient
        velocity = memory[0]
        velocity *= self.momentum
        velocity += gradient
        return rates * velocity


@dataclass(frozen=True, kw_only=True)
class Adam(_FirstOrder):
    r"""Adam, on all points or on mini-batches.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1) g,\quad v \leftarrow \beta_2 v + (1 - \beta_2) g^2,
              \quad \theta \leftarrow \theta - \eta \frac{m/(1 - \beta_1^t)}
              {\sqrt{v/(1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    lr, batch_size, schedule
        As in `SGD`.
    beta1, beta2 : float in [0, 1)
        Memory of the two averages (not the penalty).
    epsilon : float > 0

    References
    ----------
    Kingma, Ba (2015), *Adam: a method for stochastic optimization*, algorithm 1, arXiv 1412.6980.

    Examples
    --------
    >>> from convexscore.training import Adam
    >>> Adam(lr=3e-3).learning_rates
    (0.003,)
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    n_memories = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_memory(self.beta1, "beta1")
        _check_memory(self.beta2, "beta2")
        check_positive(self.epsilon, name="epsilon")

    def step(self, memory: Floats, gradient: Floats, rates: Floats, number: int) -> Floats:
        """As in `SGD`."""
        mean, square = memory
        mean *= self.beta1
        mean += (1.0 - self.beta1) * gradient
        square *= self.beta2
        gradient = gradient * gradient
        gradient *= 1.0 - self.beta2
        square += gradient
        root = np.sqrt(square, out=gradient)
        root /= np.sqrt(1.0 - self.beta2**number)
        root += self.epsilon
        change = mean / root
        change *= rates / (1.0 - self.beta1**number)
        return change


Optimizer: TypeAlias = SGD | Adam | LBFGS
_BY_NAME: dict[str, Optimizer] = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "adam": Adam(),
    "lbfgs": LBFGS(),
}


def get_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """The optimiser of that name with its defaults; an optimiser passes through."""
    if isinstance(optimizer, SGD | Adam | LBFGS):
        return optimizer
    return _BY_NAME[check_choice(optimizer, tuple(_BY_NAME), name="optimizer")]
