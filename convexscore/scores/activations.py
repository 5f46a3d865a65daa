"""Activations of the two-layer network: value, one-sided derivative, jump at the kink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Activation:
    r"""A piecewise linear activation :math:`\sigma` with its only kink at 0.

    Attributes
    ----------
    name : str
        ``"relu"`` or ``"abs"``.
    value, derivative : callable
        Elementwise functions of the pre-activation ``z``.  At ``z = 0`` the derivative is the one
        from the right: the side :math:`\{u^\top x + b \ge 0\}` counts as active.
    slope_jump : float
        :math:`\sigma'(0+) - \sigma'(0-)`: 1 for ReLU, 2 for the absolute value.

    Examples
    --------
    >>> from convexscore.scores.activations import get_activation
    >>> relu = get_activation("relu")
    >>> relu.value([-1.0, 0.0, 2.0]).tolist(), relu.derivative([-1.0, 0.0, 2.0]).tolist()
    ([0.0, 0.0, 2.0], [0.0, 1.0, 1.0])
    """

    name: str
    value: Callable[..., FloatArray]
    derivative: Callable[..., FloatArray]
    slope_jump: float


def _relu(z: object) -> FloatArray:
    return np.maximum(np.asarray(z, dtype=np.float64), 0.0)


def _relu_derivative(z: object) -> FloatArray:
    return (np.asarray(z, dtype=np.float64) >= 0).astype(np.float64)


def _abs(z: object) -> FloatArray:
    return np.abs(np.asarray(z, dtype=np.float64))


def _abs_derivative(z: object) -> FloatArray:
    return np.where(np.asarray(z, dtype=np.float64) >= 0, 1.0, -1.0)


RELU = Activation("relu", _relu, _relu_derivative, 1.0)
ABS = Activation("abs", _abs, _abs_derivative, 2.0)
_BY_NAME = {activation.name: activation for activation in (RELU, ABS)}


def get_activation(name: str | Activation) -> Activation:
    """Return the activation of that name (an :class:`Activation` passes through).

    Raises
    ------
    ValueError
        If the name is neither ``"relu"`` nor ``"abs"``.

    Examples
    --------
    >>> get_activation("abs").slope_jump
    2.0
    """
    if isinstance(name, Activation):
        return name
    if isinstance(name, str) and name in _BY_NAME:
        return _BY_NAME[name]
    allowed = ", ".join(repr(key) for key in _BY_NAME)
    raise ValueError(f"activation must be one of {allowed}, got {name!r}.")
