"""Checks of user input; every message names the argument, what came, what is allowed, what to do."""

from __future__ import annotations

import numbers
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse

from convexscore._tools.typing import Floats


def check_column(x: ArrayLike, *, name: str = "x", min_distinct: int = 2) -> Floats:
    """One column of finite numbers as a float64 array (n,)."""
    column = as_real(x, name, "(n,) or (n, 1)")
    if column.ndim != 1 and column.shape[1:] != (1,):
        raise ValueError(
            f"{name} must have shape (n,) or (n, 1); got shape {column.shape}. "
            "Pass one column, for example x[:, 0]."
        )
    return check_points(column, name=name, min_distinct=min_distinct)[:, 0]


def check_points(X: ArrayLike, *, name: str = "X", min_distinct: int = 2) -> Floats:
    """Points as rows of finite numbers, a C-contiguous float64 array (n, d).

    ``(n,)`` counts as ``(n, 1)``.  Arrays that already have the right type and order are not copied.

    Examples
    --------
    >>> check_points([[0, 1], [2, 3], [4, 5]]).shape, check_points([0.0, 1.0]).shape
    ((3, 2), (2, 1))
    """
    raw = as_real(X, name)
    if raw.ndim not in (1, 2):
        remedy = f"{name}.reshape(len({name}), -1)" if raw.ndim > 2 else f"[{name}]"
        raise ValueError(
            f"{name} must have shape (n,) or (n, d), one point per row; got shape {raw.shape}. "
            f"Pass a table, for example {remedy}."
        )
    points = np.ascontiguousarray(raw if raw.ndim == 2 else raw[:, None])
    if points.shape[1] == 0:
        raise ValueError(
            f"{name} must have at least one column; got 0 feature(s) (shape={points.shape}) while a "
            "minimum of 1 is required. Check which columns were selected."
        )
    _refuse_rows(points, name, min_distinct)
    return points


def _refuse_rows(points: Floats, name: str, min_distinct: int) -> None:
    """Non-finite, too few, too far apart or all the same; one column in the words of columns."""
    n, d = points.shape
    bad = ~np.isfinite(points)
    if bad.any():
        rows = bad.any(axis=1)
        where = f", in {rows.sum()} of {n} rows, the first is row {rows.argmax()}"
        remedy = f"Remove those rows, for example {name}[np.isfinite({name}).all(axis=1)]."
        if d == 1:
            where, remedy = "", f"Remove them, for example {name}[np.isfinite({name})]."
        raise ValueError(
            f"{name} must be finite; {bad.sum()} of {points.size} values are NaN or infinity{where}. "
            f"{remedy}"
        )
    if n < min_distinct:
        hint = ""
        if n == 1 and d > 1:
            hint = f" If these are {d} values of one variable, pass {name}.ravel()."
        raise ValueError(
            f"{name} must hold at least {min_distinct} {'values' if d == 1 else 'points'}; got {n} "
            f"(n_samples = {n}, shape {points.shape}, one point per row). Provide more data.{hint}"
        )
    if n == 0:
        return
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(over="ignore"):
        wide = ~(high - low <= 1e300)
    if wide.any():
        k = int(wide.argmax())
        raise ValueError(
            f"{name if d == 1 else f'column {k} of {name}'} spans {low[k]:g} to {high[k]:g}, which "
            "overflows; rescale the data."
        )
    if min_distinct > 1 and (low == high).all():
        times = f" ({low[0]:g}, {n} times)" if d == 1 else f": all rows are equal ({n} times)"
        raise ValueError(
            f"{name} is constant{times}: a score needs at least 2 distinct values. Provide data that "
            "vary."
        )


def as_real(X: ArrayLike, name: str, shape: str = "(n,) or (n, d)") -> Floats:
    """Anything array-like as an array of real float64 numbers, without copy where possible."""
    if type(X) is np.ndarray and X.dtype == np.float64:  # every step of a chain comes by here
        return X
    if issparse(X):
        raise ValueError(
            f"{name} must be a dense array; got sparse {type(X).__name__}. Pass {name}.toarray()."
        )
    try:
        raw = np.asarray(X)
        if not np.iscomplexobj(raw):
            return raw.astype(np.float64, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name} must be numeric with shape {shape}; got {type(X).__name__} that cannot "
            f"be converted to float ({error})."
        ) from error
    raise ValueError(
        f"{name} must be real. Complex data not supported: pass the real part or the modulus."
    )


def check_array(value: ArrayLike, *, name: str, shape: str, ndim: Container[int]) -> Floats:
    """Finite real numbers as a fresh float64 array, not empty, with as many axes as allowed.

    Examples
    --------
    >>> check_array([3, 2], name="levels", shape="(L,)", ndim=(1,))
    array([3., 2.])
    """
    array = np.array(as_real(value, name, shape), order="C")
    if array.ndim not in ndim or array.size == 0:
        raise ValueError(f"{name} must have shape {shape}, not empty; got shape {array.shape}.")
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise ValueError(
            f"{name} must be finite; {bad} of {array.size} values are NaN or infinity. Remove or "
            "replace them."
        )
    return array


def check_weighted_points(
    X: ArrayLike, sample_weight: ArrayLike | None, *, name: str = "X"
) -> tuple[Floats, Floats | None]:
    """Data (n, d) and weights (n,) without the samples of weight zero."""
    points = check_points(X, name=name)
    weights = check_weights(sample_weight, len(points))
    if weights is not None and not (weights > 0).all():
        points, weights = points[weights > 0], weights[weights > 0]
        check_points(points, name=f"{name}[sample_weight > 0]")
    return points, weights


def check_weights(sample_weight: ArrayLike | None, n: int) -> Floats | None:
    """Non-negative finite weights (n,), not all zero; ``None`` stays ``None``."""
    if sample_weight is None:
        return None
    weights = as_real(sample_weight, "sample_weight", f"({n},)")
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
    return np.ascontiguousarray(weights)  # BLAS sums a column of a table in another order


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


def check_callable(value: Any, *, name: str, form: str, hint: str) -> None:
    """A function, not its result or something else."""
    if not callable(value):
        raise TypeError(f"{name} must be a callable {form}; got {type(value).__name__}. {hint}")


def check_returned(value: ArrayLike, shape: tuple[int, ...], *, name: str, hint: str) -> Floats:
    """What a user's function returned, as floats of the shape that it must have."""
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(
            f"{name} must return an array of shape {shape}; got shape {array.shape}. {hint}"
        )
    return array


def check_scores(values: ArrayLike, points: Floats, *, name: str = "score", hint: str) -> Floats:
    """What a score returned at the points: of their shape and finite."""
    shapes = "Points of one variable come as (n,) or (n, 1), of several as (n, d)."
    found = check_returned(values, points.shape, name=name, hint=shapes)
    bad = ~np.isfinite(found)
    if bad.any():
        raise ValueError(
            f"{name} must be finite; {np.count_nonzero(bad)} of {bad.size} values are not, the first is "
            f"{found[bad][0]} at x = {points[bad][0]:.6g}. {hint}"
        )
    return found
