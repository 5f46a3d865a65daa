r"""The activations of the two-layer network: :math:`\sigma(z) = a z + b |z|`, one kink, at 0.

Everything the solvers know of an activation are the two numbers a and b.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.typing import Floats

_LEAKY = re.compile(r"leaky_relu(?:\((.+)\))?")
# The slope that deep learning libraries give a leaky ReLU unless told otherwise.
_DEFAULT_SLOPE = 0.01


@dataclass(frozen=True)
class Activation:
    r"""The function :math:`\sigma(z) = \max(z, \alpha z) = a z + b |z|`.

    Parameters
    ----------
    negative_slope : float
        :math:`\alpha`, the slope for negative z, in [-1, 1): 0 is ReLU, -1 the absolute value, anything
        else a leaky ReLU.  Other pairs of slopes are these functions times a constant (the same networks
        at another penalty) or mirrored.

    Attributes
    ----------
    odd, even : float
        :math:`a = (1 + \alpha)/2` and :math:`b = (1 - \alpha)/2`; a >= 0, b > 0, a + b = 1.
    slope_jump : float
        :math:`\sigma'(0+) - \sigma'(0-) = 2b`: 1 for ReLU, 2 for the absolute value.
    name : str
        ``"relu"``, ``"abs"``, ``"leaky_relu"`` (slope 0.01) or, for example, ``"leaky_relu(0.2)"``; what
        :func:`get_activation` takes back.

    Raises
    ------
    ValueError
        If the slope is not a number in [-1, 1).

    Examples
    --------
    >>> from convexscore.scores.activations import Activation
    >>> leaky = Activation(0.2)
    >>> leaky.name, leaky.odd, leaky.even
    ('leaky_relu(0.2)', 0.6, 0.4)
    >>> leaky.value([-1.0, 0.0, 2.0]).tolist(), leaky.derivative([-1.0, 0.0, 2.0]).tolist()
    ([-0.2, 0.0, 2.0], [0.2, 1.0, 1.0])
    """

    negative_slope: float

    def __post_init__(self) -> None:
        slope = self.negative_slope
        number = isinstance(slope, int | float | np.number) and not isinstance(slope, bool)
        if not number or not -1.0 <= slope < 1.0:
            raise ValueError(
                f"negative_slope must be a number in [-1, 1); got {slope!r}. 0 is ReLU, -1 the absolute "
                "value, a leaky ReLU has 0.01 to 0.3."
            )
        object.__setattr__(self, "negative_slope", float(slope) + 0.0)

    @cached_property
    def odd(self) -> float:
        return 0.5 * (1.0 + self.negative_slope)

    @cached_property
    def even(self) -> float:
        return 0.5 * (1.0 - self.negative_slope)

    @property
    def slope_jump(self) -> float:
        return 1.0 - self.negative_slope

    @cached_property
    def name(self) -> str:
        slope = self.negative_slope
        short = {0.0: "relu", -1.0: "abs", _DEFAULT_SLOPE: "leaky_relu"}
        return short.get(slope, f"leaky_relu({slope!r})")

    def __str__(self) -> str:
        return self.name

    def value(self, z: ArrayLike, out: Floats | None = None) -> Floats:
        r""":math:`\sigma(z)`, elementwise; ``out`` may be z itself."""
        z = np.asarray(z, dtype=np.float64)
        if self.negative_slope == 0.0:
            return np.maximum(z, 0.0, out=out)
        if self.negative_slope == -1.0:
            return np.abs(z, out=out)
        return np.maximum(z, self.negative_slope * z, out=out)

    def derivative(self, z: ArrayLike, *, left: bool = False) -> Floats:
        r""":math:`\sigma'(z)`; at z = 0 from the right, or from the ``left``.

        From the right the side :math:`\{u^\top x + b \ge 0\}` counts as active.
        """
        z = np.asarray(z, dtype=np.float64)
        active: NDArray[np.bool_] = z > 0.0 if left else z >= 0.0
        if self.negative_slope == 0.0:  # several times as fast
            return active.astype(np.float64)
        return np.where(active, 1.0, self.negative_slope)

    def antiderivative(self, z: ArrayLike) -> Floats:
        r""":math:`\Psi(z) = a z^2/2 + b z|z|/2`, whose derivative is :math:`\sigma`.

        Examples
        --------
        >>> get_activation("abs").antiderivative([-2.0, 2.0]).tolist()
        [-2.0, 2.0]
        """
        z = np.asarray(z, dtype=np.float64)
        return 0.5 * self.value(z) * z


def get_activation(spelling: str | Activation) -> Activation:
    """The activation of that name (an :class:`Activation` passes through).

    Raises
    ------
    ValueError
        If the name is not ``"relu"``, ``"abs"``, ``"leaky_relu"`` or ``"leaky_relu(slope)"``.

    Examples
    --------
    >>> get_activation("abs").slope_jump, get_activation("leaky_relu").negative_slope
    (2.0, 0.01)
    >>> get_activation("leaky_relu(0.2)")
    Activation(negative_slope=0.2)
    """
    if isinstance(spelling, Activation):
        return spelling
    found = _of_name(spelling) if isinstance(spelling, str) else None
    if found is None:
        raise ValueError(
            "activation must be one of 'relu', 'abs', 'leaky_relu', 'leaky_relu(slope)' with a slope in "
            f"[-1, 1), or an Activation; got {spelling!r}."
        )
    return found


RELU = Activation(0.0)
ABS = Activation(-1.0)


@lru_cache(maxsize=64)
def _of_name(name: str) -> Activation | None:
    if name in ("relu", "abs"):
        return RELU if name == "relu" else ABS
    leaky = _LEAKY.fullmatch(name)
    if leaky is None:
        return None
    try:
        return Activation(float(leaky[1]) if leaky[1] else _DEFAULT_SLOPE)
    except ValueError:
        return None
