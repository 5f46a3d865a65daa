r"""Sums over all 2^d states of a law on {-1, 1}^d, without a list of the states.

State i has spin j = +1 where bit j of i is set. Splitting the bits into a low and a high half, the
weights exp(energy) are a matrix W (2^h x 2^l), and an additional field f factorises:

.. math:: \sum_x e^{E(x) + f \cdot x} = u(f_{high})^\top W\, u(f_{low}), \qquad
          u(f)_x = e^{f \cdot x}.

So every field costs two rows of a matrix product and no exponential of a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from convexscore.targets.inputs import Floats, row_blocks

# Two arrays of 2^d numbers are held: 256 MB at 24 spins.
MAX_SPINS = 24
# Below this, terms that underflowed might matter: the row is summed in log space.
_SAFE = 1e-250


def spins_of(index: np.ndarray, dim: int) -> Floats:
    """Spins (n, d) of state numbers (n,)."""
    bits = (index[:, None] >> np.arange(dim)) & 1
    return np.where(bits == 1, 1.0, -1.0)


def all_energies(couplings: Floats, field: Floats) -> Floats:
    """x'Ax/2 + h.x of all states, (2^d,), by adding one spin after the other."""
    onto = (_sums((-c, c) for c in couplings[:j, j]) + h for j, h in enumerate(field))
    return _spin_by_spin(np.full(1, 0.5 * np.trace(couplings)), ((-e, e) for e in onto), np.add)


def _spin_by_spin(
    values: Floats, pairs: Iterable[tuple[Any, Any]], put: Callable[[Floats, Any], Floats]
) -> Floats:
    """Values of all states, along the last axis, from what each spin adds when it is -1 or 1."""
    for down, up in pairs:
        values = np.concatenate([put(values, down), put(values, up)], axis=-1)
    return values


def _sums(pairs: Iterable[tuple[Any, Any]]) -> Floats:
    return _spin_by_spin(np.zeros(1), pairs, np.add)


class Enumeration:
    """All energies as a matrix (2^high, 2^low): the state number is row * 2^low + column.

    Beside it ``top``, the largest; ``weights``, exp(energy - top); ``low`` and ``high``, the spins
    by column and by row.
    """

    def __init__(self, energies: Floats, dim: int) -> None:
        self.energies = energies.reshape(2 ** (dim // 2), -1)
        n_high, n_low = self.energies.shape
        self.low = spins_of(np.arange(n_low), dim - dim // 2)
        self.high = spins_of(np.arange(n_high), dim // 2)
        self.top = float(self.energies.max())
        self.weights = self.energies - self.top
        np.exp(self.weights, out=self.weights)
        self.log_total = self.top + float(np.log(self.weights.sum()))

    def moments(self) -> tuple[Floats, Floats]:
        """E x (d,) and E x x' (d, d)."""
        joint = self.weights / self.weights.sum()
        by_low, by_high = joint.sum(axis=0), joint.sum(axis=1)
        mean = np.concatenate([by_low @ self.low, by_high @ self.high])
        cross = self.low.T @ joint.T @ self.high
        low = (self.low * by_low[:, None]).T @ self.low
        high = (self.high * by_high[:, None]).T @ self.high
        second = np.block([[low, cross], [cross.T, high]])
        np.fill_diagonal(second, 1.0)
        return mean, 0.5 * (second + second.T)

    def tilt(self, fields: Floats) -> tuple[Floats, Floats]:
        """log sum_x exp(E(x) + f.x) - sum|f|, (n,), and the mean of x there, (n, d)."""
        n_low = self.low.shape[1]
        logs, means = np.empty(len(fields)), np.empty_like(fields)
        for rows in row_blocks(len(fields), 2 * self.energies.shape[1]):
            low, high = _factors(fields[rows, :n_low]), _factors(fields[rows, n_low:])
            by_low = low * (high @ self.weights)
            by_high = high * (low @ self.weights.T)
            total = by_low.sum(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                means[rows, :n_low] = (by_low @ self.low) / total[:, None]
                means[rows, n_low:] = (by_high @ self.high) / by_high.sum(axis=1)[:, None]
                logs[rows] = self.top + np.log(total)
            for i in np.flatnonzero(total < _SAFE):
                k = rows.start + i
                logs[k], means[k] = self._tilt_in_logs(fields[k])
        return logs, np.clip(means, -1.0, 1.0, out=means)

    def _tilt_in_logs(self, field: Floats) -> tuple[float, Floats]:
        n_low = self.low.shape[1]
        joint = self.energies + _penalties(field[:n_low])
        joint += _penalties(field[n_low:])[:, None]
        top = float(joint.max())
        joint -= top
        np.exp(joint, out=joint)
        total = float(joint.sum())
        parts = joint.sum(axis=0) @ self.low, joint.sum(axis=1) @ self.high
        return top + float(np.log(total)), np.concatenate(parts) / total


def _factors(fields: Floats) -> Floats:
    """exp(f.x - sum|f|) of all states, (n, 2^k): products of k exponentials a row."""
    columns = ((f, np.abs(f)) for f in fields.T[:, :, None])
    pairs = ((np.exp(-f - size), np.exp(f - size)) for f, size in columns)
    return _spin_by_spin(np.ones((len(fields), 1)), pairs, np.multiply)


def _penalties(field: Floats) -> Floats:
    """f.x - sum|f| of all states, (2^k,)."""
    return _sums((-(f + abs(f)), f - abs(f)) for f in field)
