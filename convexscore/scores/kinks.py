"""Floating-point care for the kinks of one-dimensional networks.

A score matching loss depends on which side of a kink each data point lies, and kinks sit on or one
rounding beside data points; so the side must survive every change of weights.
"""

from __future__ import annotations

from math import fsum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
_EPS = float(np.finfo(np.float64).eps)
# Relative changes (in roundings) tried to keep two neighbouring floats apart, smallest first.
_TRIALS = [0, *(s * k for k in (1, 2, 3, 4, 6, *2 ** np.arange(3, 13)) for s in (1, -1))]


def _first_active(size: FloatArray, b: FloatArray) -> FloatArray:
    """Return the smallest float y with fl(size*y) + b >= 0, for size > 0."""
    start = np.where(b == 0, 0.0, -b / size)
    best, found = start.copy(), np.zeros(len(start), bool)
    candidate = start
    for _ in range(3):
        candidate = np.nextafter(candidate, -np.inf)
    for _ in range(7):
        hit = ~found & (size * candidate >= -b) & (b != 0)
        best[hit], found = candidate[hit], found | hit
        candidate = np.nextafter(candidate, np.inf)
    return best


def kinks(u: FloatArray, b: FloatArray) -> FloatArray:
    """Return -b/u as the last float on the active side of u*x + b >= 0, as computed."""
    sign = np.sign(u)
    return sign * _first_active(np.abs(u), b) + 0.0


def rescale(u: FloatArray, b: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (u', b') with u' = target up to a few roundings and the active side of (u, b).

    The product u'*x can round two neighbouring floats to the same number; then u' a few units in
    the last place away usually separates them (at most 1e-12 of it are tried).
    """
    edge = _first_active(np.abs(u), b)
    below = np.nextafter(edge, -np.inf)
    wanted = np.abs(target)
    size, separated = wanted.copy(), np.zeros(len(wanted), bool)
    for step in _TRIALS:
        trial = wanted * (1.0 + step * _EPS)
        hit = ~separated & (trial * edge > trial * below)
        size[hit], separated = trial[hit], separated | hit
    return np.sign(target) * size, -size * edge + 0.0


def merge(positions: FloatArray) -> tuple[FloatArray, NDArray[np.intp]]:
    """Return increasing knots and, for each position, the knot it belongs to.

    Positions within a few units in the last place are one knot, at the middle of the group (for
    the two copies nudged to either side of a data point: the point itself).
    """
    distinct, inverse = np.unique(positions, return_inverse=True)
    reach = np.maximum(np.abs(distinct[1:]), _EPS * (distinct[-1] - distinct[0]))
    is_new = np.concatenate([[True], np.diff(distinct) > 4 * np.spacing(reach)])
    group = np.cumsum(is_new) - 1
    first = np.flatnonzero(is_new)
    last = np.append(first[1:], len(distinct)) - 1
    knots = distinct[first] + 0.5 * (distinct[last] - distinct[first])
    return knots, group[inverse]


def sum_by_group(terms: FloatArray, group: NDArray[np.intp], n_groups: int) -> FloatArray:
    """Return the exactly rounded sum of the terms of each group."""
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(1, n_groups))
    return np.array([fsum(part) for part in np.split(terms[order], starts)])


def running_sums(terms: FloatArray, start: FloatArray | list[float]) -> FloatArray:
    """Return sum(start) + terms[0] + ... + terms[k] for every k, in doubled precision."""
    high = fsum(start)
    low = fsum([*start, -high])
    out = np.empty(len(terms))
    for k, term in enumerate(terms.tolist()):
        total = high + term
        shift = total - high
        low += (high - (total - shift)) + (term - shift)
        high = total
        out[k] = high + low
    return out


def values_from(increments: FloatArray, origin: int, value: float) -> FloatArray:
    """Return values whose differences are ``increments`` and whose entry ``origin`` is given."""
    right = running_sums(increments[origin:], [value])
    left = running_sums(-increments[:origin][::-1], [value])[::-1]
    return np.concatenate([left, [value], right])
