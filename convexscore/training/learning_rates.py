"""Learning-rate schedules: pure functions (step, n_steps) -> factor of the learning rate.

``step`` counts gradient steps from 0, ``n_steps`` is how many there will be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import cos, pi
from numbers import Real
from typing import TypeAlias

from convexscore._tools.validation import check_positive

Schedule: TypeAlias = Callable[[int, int], float]

__all__ = ["Constant", "Cosine", "InverseTime", "Schedule", "StepDecay", "WarmUp", "get_schedule"]


def _check_share(value: float, name: str) -> None:
    if check_positive(value, name=name, strict=False) > 1.0:
        raise ValueError(f"{name} must be between 0 and 1; got {value!r}. It is a share.")


@dataclass(frozen=True)
class Constant:
    """Factor 1 throughout.

    Examples
    --------
    >>> from convexscore.training import Constant
    >>> Constant()(7, 100)
    1.0
    """

    def __call__(self, step: int, n_steps: int) -> float:
        return 1.0


@dataclass(frozen=True)
class StepDecay:
    """Multiply by ``factor`` at each of some shares of the training.

    Parameters
    ----------
    factor : float > 0
    at : tuple of floats between 0 and 1

    Examples
    --------
    >>> from convexscore.training import StepDecay
    >>> drop = StepDecay(factor=0.5, at=(0.5, 0.75))
    >>> [drop(step, 8) for step in range(8)]
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    factor: float = 0.1
    at: tuple[float, ...] = (0.5, 0.75)

    def __post_init__(self) -> None:
        check_positive(self.factor, name="factor")
        for share in self.at:
            _check_share(share, "at")

    def __call__(self, step: int, n_steps: int) -> float:
        return float(self.factor ** sum(step >= share * n_steps for share in self.at))


@dataclass(frozen=True)
class Cosine:
    r"""Half a cosine from 1 to ``final``: f + (1 - f)(1 + cos(pi step / n_steps)) / 2.

    References
    ----------
    Loshchilov, Hutter (2017), *SGDR*, equation 5, arXiv 1608.03983.

    Examples
    --------
    >>> from convexscore.training import Cosine
    >>> [round(Cosine()(step, 4), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        _check_share(self.final, "final")

    def __call__(self, step: int, n_steps: int) -> float:
        return self.final + 0.5 * (1.0 - self.final) * (1.0 + cos(pi * min(step / n_steps, 1.0)))


@dataclass(frozen=True)
class InverseTime:
    """1 / (1 + step / (share * n_steps)): half the rate after that share of the training.

    Decays as the Robbins-Monro conditions ask.

    Examples
    --------
    >>> from convexscore.training import InverseTime
    >>> InverseTime(share=0.25)(25, 100), InverseTime(share=0.25)(75, 100)
    (0.5, 0.25)
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        check_positive(self.share, name="share")

    def __call__(self, step: int, n_steps: int) -> float:
        return 1.0 / (1.0 + step / (self.share * n_steps))


@dataclass(frozen=True)
class WarmUp:
    """A straight line up to 1 over the first ``share`` of the steps, then another schedule.

    Examples
    --------
    >>> from convexscore.training import Constant, WarmUp
    >>> [WarmUp(Constant(), share=0.5)(step, 8) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """

    then: Schedule = field(default_factory=Constant)
    share: float = 0.05

    def __post_init__(self) -> None:
        _check_share(self.share, "share")
        object.__setattr__(self, "then", get_schedule(self.then))

    def __call__(self, step: int, n_steps: int) -> float:
        rising = round(self.share * n_steps)
        if step < rising:
            return (step + 1) / rising
        return self.then(step - rising, max(n_steps - rising, 1))


_BY_NAME: dict[str, Callable[[], Schedule]] = {
    "constant": Constant,
    "step": StepDecay,
    "cosine": Cosine,
    "inverse-time": InverseTime,
    "warm-up": WarmUp,
}


def get_schedule(schedule: str | Schedule) -> Schedule:
    """The schedule of that name with its defaults; a callable passes through.

    Raises
    ------
    ValueError
        If there is no such name, or it is not callable.

    Examples
    --------
    >>> from convexscore.training import get_schedule
    >>> get_schedule("cosine")
    Cosine(final=0.0)
    """
    if isinstance(schedule, str) and schedule in _BY_NAME:
        return _BY_NAME[schedule]()
    if not isinstance(schedule, str) and callable(schedule) and not isinstance(schedule, type):
        return schedule
    names = ", ".join(repr(name) for name in _BY_NAME)
    raise ValueError(
        f"schedule must be one of {names} or a callable (step, n_steps) -> factor; got "
        f"{schedule!r}. Pass for example Cosine(final=0.01)."
    )


def checked_factor(schedule: Schedule, step: int, n_steps: int) -> float:
    """The factor of a step, with what a user's function returned checked."""
    factor = schedule(step, n_steps)
    if not isinstance(factor, Real) or not 0.0 <= float(factor) < float("inf"):
        raise ValueError(
            f"schedule must return a finite factor >= 0; got {factor!r} from {schedule!r} at step "
            f"{step} of {n_steps}."
        )
    return float(factor)
