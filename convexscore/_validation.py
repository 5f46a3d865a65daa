"""Checks of user input; every message names the argument, what came, what is allowed, what to do."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def check_column(x: ArrayLike, *, name: str = "x", min_distinct: int = 2) -> Floats:
    """One column of finite numbers as a float64 array (n,)."""
    try:
        raw = np.asarray(x)
        column = np.empty(0) if np.iscomplexobj(raw) else raw.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be numeric with shape (n,) or (n, 1); got {type(x).__name__} that cannot "
            f"be converted to float ({error})."
        ) from error
    if np.iscomplexobj(raw):
        raise ValueError(
            f"{name} must be real. Complex data not supported: pass the real part or the modulus."
        )
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise ValueError(
            f"{name} must have shape (n,) or (n, 1); got shape {column.shape}. "
            "Pass one column, for example x[:, 0]."
        )
    if not np.isfinite(column).all():
        bad = int(np.count_nonzero(~np.isfinite(column)))
        raise ValueError(
            f"{name} must be finite; {bad} of {column.size} values are NaN or infinity. "
            f"Remove them, for example {name}[np.isfinite({name})]."
        )
    if column.size < min_distinct:
        raise ValueError(
            f"{name} must hold at least {min_distinct} values; got {column.size} (n_samples = "
            f"{column.size}). Provide more data."
        )
    low, high = float(column.min()), float(column.max())
    if not np.isfinite(high - low):
        raise ValueError(f"{name} spans {low:g} to {high:g}, which overflows; rescale the data.")
    if min_distinct > 1 and low == high:
        raise ValueError(
            f"{name} is constant ({low:g}, {column.size} times): a score needs at least "
            "2 distinct values."
        )
    return column


def check_weights(sample_weight: ArrayLike | None, n: int) -> Floats | None:
    """Non-negative finite weights (n,), not all zero; ``None`` stays ``None``."""
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weight must be numeric, one per sample; {error}.") from error
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight must have shape ({n},), one weight per sample; got {weights.shape}."
        )
    bad = ~np.isfinite(weights) | (weights < 0)
    if bad.any():
        raise ValueError(
            f"sample_weight must be finite and >= 0; {int(bad.sum())} of {n} are not, the first is "
            f"{weights[np.argmax(bad)]:g}. Drop those samples or give them weight 0."
        )
    if not (weights > 0).any():
        raise ValueError("sample_weight is zero everywhere; at least two samples need weight > 0.")
    return weights


def check_choice(value: Any, allowed: Sequence[Any], *, name: str) -> Any:
    """One of a few options."""
    if not any(type(value) is type(option) and value == option for option in allowed):
        options = ", ".join(repr(option) for option in allowed)
        raise ValueError(f"{name} must be one of {options}; got {value!r}.")
    return value


def check_positive(value: Any, *, name: str, hint: str = "", strict: bool = True) -> float:
    """A finite number > 0 (or >= 0)."""
    relation = ">" if strict else ">="
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ValueError(f"{name} must be a number {relation} 0; got {value!r}. {hint}".rstrip())
    number = float(value)
    if not np.isfinite(number) or number < 0 or (strict and number == 0):
        raise ValueError(f"{name} must be finite and {relation} 0; got {number:g}. {hint}".rstrip())
    return number


def check_count(value: Any, *, name: str, minimum: int = 1) -> int:
    """An integer >= minimum."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or int(value) < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}; got {value!r}.")
    return int(value)
