"""First-order optimisers: frozen settings, and one update rule for many runs at once.

An optimiser sees gradients of the objective *per sample* (divided by the total weight of the points,
unless ``reduction="sum"``), so that a learning rate means what it means elsewhere.  Weight decay is
in the objective, not a rule of the optimiser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.validation import check_choice, check_count, check_positive
from convexscore.training.lbfgs import LBFGS
from convexscore.training.learning_rates import Schedule, get_schedule

Floats = NDArray[np.float64]
Rates: TypeAlias = float | Sequence[float]

__all__ = ["SGD", "Adam", "OptimizerState", "get_optimizer"]


def _rates(lr: Any) -> tuple[float, ...]:
    return tuple(float(rate) for rate in np.atleast_1d(np.asarray(lr, dtype=np.float64)))


def _check_common(lr: Any, batch_size: Any, schedule: Any) -> None:
    rates = [lr] if isinstance(lr, str) or not np.iterable(lr) else list(lr)
    if not rates:
        raise ValueError(
            "lr is empty; pass one learning rate or several, for example [1e-2, 1e-3]."
        )
    for rate in rates:
        check_positive(rate, name="lr", hint="Learning rates refer to the objective per sample.")
    if batch_size is not None:
        check_count(batch_size, name="batch_size")
    get_schedule(schedule)


def _check_memory(value: Any, name: str) -> None:
    if check_positive(value, name=name, strict=False) >= 1.0:
        raise ValueError(
            f"{name} must be in [0, 1); got {value!r}. Common values are 0.9 to 0.999."
        )


@dataclass(eq=False)
class OptimizerState:
    """What an optimiser remembers of each run (R, p), and how many steps it has taken."""

    memory: list[Floats] = field(default_factory=list)
    n_steps: int = 0

    def keep(self, runs: NDArray[np.bool_]) -> None:
        """Forget the runs that are no longer trained."""
        self.memory = [rows[runs] for rows in self.memory]


@dataclass(frozen=True)
class SGD:
    r"""Gradient descent with momentum, on all points or on mini-batches.

    .. math:: v \leftarrow \mu v + g,\qquad \theta \leftarrow \theta - \eta v
              \quad\text{(Nesterov: } \theta \leftarrow \theta - \eta(g + \mu v)\text{)}

    Parameters
    ----------
    lr : float or sequence of floats
        Learning rates; every one is run with every restart.
    momentum : float in [0, 1)
        Heavy ball; 0 for none.
    nesterov : bool
    batch_size : int, optional
        Points per step, drawn without replacement within an epoch; None: all of them.
    schedule : str or callable
        "constant", "step", "cosine", "inverse-time", "warm-up", or (step, n_steps) -> factor.

    References
    ----------
    Polyak (1964), *Some methods of speeding up the convergence of iteration methods*; Sutskever,
    Martens, Dahl, Hinton (2013), *On the importance of initialization and momentum*, for Nesterov's.

    Examples
    --------
    >>> from convexscore.training import SGD
    >>> SGD(lr=[1.0, 1e-2, 1e-6], momentum=0.9, batch_size=32).learning_rates
    (1.0, 0.01, 1e-06)
    """

    lr: Rates = 1e-2
    momentum: float = 0.0
    nesterov: bool = False
    batch_size: int | None = None
    schedule: str | Schedule = "constant"

    def __post_init__(self) -> None:
        _check_common(self.lr, self.batch_size, self.schedule)
        _check_memory(self.momentum, "momentum")
        check_choice(self.nesterov, (True, False), name="nesterov")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs momentum > 0; got 0. Use momentum=0.9.")

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return _rates(self.lr)

    def start(self, shape: tuple[int, ...]) -> OptimizerState:
        """State before the first step of R runs with p parameters."""
        return OptimizerState([np.zeros(shape)] if self.momentum else [])

    def step(self, state: OptimizerState, gradient: Floats, rates: Floats) -> Floats:
        """What to subtract from the parameters (R, p); ``rates`` has shape (R, 1)."""
        state.n_steps += 1
        if not self.momentum:
            return rates * gradient
        velocity = state.memory[0]
        velocity *= self.momentum
        velocity += gradient
        if self.nesterov:
            return rates * (gradient + self.momentum * velocity)
        return rates * velocity


@dataclass(frozen=True)
class Adam:
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

    lr: Rates = 1e-2
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    batch_size: int | None = None
    schedule: str | Schedule = "constant"

    def __post_init__(self) -> None:
        _check_common(self.lr, self.batch_size, self.schedule)
        _check_memory(self.beta1, "beta1")
        _check_memory(self.beta2, "beta2")
        check_positive(self.epsilon, name="epsilon")

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return _rates(self.lr)

    def start(self, shape: tuple[int, ...]) -> OptimizerState:
        """State before the first step of R runs with p parameters."""
        return OptimizerState([np.zeros(shape), np.zeros(shape)])

    def step(self, state: OptimizerState, gradient: Floats, rates: Floats) -> Floats:
        """What to subtract from the parameters (R, p); ``rates`` has shape (R, 1)."""
        state.n_steps += 1
        mean, square = state.memory
        mean *= self.beta1
        mean += (1.0 - self.beta1) * gradient
        square *= self.beta2
        gradient = gradient * gradient
        gradient *= 1.0 - self.beta2
        square += gradient
        root = np.sqrt(square, out=gradient)
        root /= np.sqrt(1.0 - self.beta2**state.n_steps)
        root += self.epsilon
        change = mean / root
        change *= rates / (1.0 - self.beta1**state.n_steps)
        return change


Optimizer: TypeAlias = SGD | Adam | LBFGS
_BY_NAME: dict[str, Optimizer] = {
    "sgd": SGD(),
    "momentum": SGD(momentum=0.9),
    "nesterov": SGD(momentum=0.9, nesterov=True),
    "adam": Adam(),
    "lbfgs": LBFGS(),
}


def get_optimizer(optimizer: str | Optimizer) -> Optimizer:
    """The optimiser of that name with its defaults; an optimiser passes through.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> from convexscore.training import get_optimizer
    >>> get_optimizer("momentum").momentum
    0.9
    """
    if isinstance(optimizer, str) and optimizer in _BY_NAME:
        return _BY_NAME[optimizer]
    if isinstance(optimizer, SGD | Adam | LBFGS):
        return optimizer
    names = ", ".join(repr(name) for name in _BY_NAME)
    raise ValueError(
        f"optimizer must be one of {names} or an SGD, Adam or LBFGS object; got {optimizer!r}. "
        "Pass for example Adam(lr=[1e-2, 1e-3])."
    )
