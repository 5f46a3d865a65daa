r"""Data part of the objective of many networks with |.| neurons and its gradient, in any dimension.

With :math:`z = a_j^\top[x, 1]`, signs :math:`\sigma_{ij}` of z and weighted residual
:math:`\rho_i = m_i(s(x_i) - l_i)`:

.. math:: \partial w_j = \sum_i |z_{ij}|\rho_i + \delta N_j u_j,\quad
          \partial a_j = \sum_i \sigma_{ij}(w_j^\top\rho_i)[x_i, 1] + \delta N_j [w_j, 0],\quad
          \partial L = \sum_i \rho_i [x_i, 1]^\top + \delta M [I, 0],

:math:`N_j = \sum_i m_i\sigma_{ij}`, :math:`M = \sum_i m_i`.  :math:`N_j` jumps where a kink crosses a
point: that change of the score matching objective is in no gradient.  ReLU is half |z| plus half z.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexscore.training.batches import Batch
from convexscore.training.parameters import Weights

Floats = NDArray[np.float64]

# Pre-activations are formed in blocks of at most this many numbers (512 kB): they stay in cache.
_BLOCK = 1 << 16
# The absolute value and bit operations run at memory speed; maximum, sign and products with a
# boolean mask take two to three times as long.
_SIGN_BIT = np.int64(np.iinfo(np.int64).min)
_ONE = np.float64(1.0).view(np.int64)


class Workspace:
    """Buffers that survive from step to step: fresh memory costs as much as the arithmetic."""

    def __init__(self) -> None:
        self._buffers: dict[str, Floats] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> Floats:
        """An uninitialised contiguous array; valid until the name is asked for again."""
        size = int(np.prod(shape))
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size)
        return buffer[:size].reshape(shape)


def dense_terms(
    weights: Weights,
    batch: Batch,
    divergence: float,
    workspace: Workspace,
    *,
    gradient: bool = True,
) -> tuple[Floats, Weights | None]:
    """Value (R,) and gradient of the data part of networks with |.| neurons.

    O(R n m d) time, 1 MB of memory beside the weights.  One matrix product per run and block: what is
    computed for a run does not depend, to the last bit, on the runs beside it.
    """
    runs, width, _ = weights.inner.shape
    n = batch.size
    n_blocks = max(1, -(-n * width // _BLOCK))
    block = -(-n // n_blocks)
    chunk = max(1, _BLOCK // (block * max(1, width)))
    value = np.empty(runs)
    slopes = weights.zeros() if gradient else None
    for start in range(0, runs, chunk):
        some = slice(start, min(start + chunk, runs))
        value[some] = _chunk(weights, batch, some, block, divergence, workspace, slopes)
    return value, slopes


def _chunk(
    weights: Weights,
    batch: Batch,
    runs: slice,
    block: int,
    divergence: float,
    workspace: Workspace,
    gradient: Weights | None,
) -> Floats:
    """Value of some runs; their gradient is added to ``gradient``."""
    inner, outer, linear = weights.inner[runs], weights.outer[runs], weights.linear[runs]
    count, width = outer.shape[:2]
    outer_turned = outer.transpose(0, 2, 1)
    value = np.zeros(count)
    sign_mass = np.zeros((count, width))
    for start in range(0, batch.size, block):
        part = batch.part(runs, slice(start, start + block))
        points = part.points
        shape = (count, width, part.size)
        z = np.matmul(inner, points, out=workspace.array("z", shape))
        hidden = np.abs(z, out=workspace.array("hidden", shape))
        residual = np.matmul(outer_turned, hidden)
        residual += np.matmul(linear, points)
        if part.labels is not None:
            residual -= part.labels
        weighted = residual * part.mass[..., None, :]
        residual *= weighted
        value += 0.5 * residual.reshape(count, -1).sum(axis=1)
        if gradient is not None:
            gradient.outer[runs] += np.matmul(hidden, weighted.transpose(0, 2, 1))
        bits = z.view(np.int64)
        bits &= _SIGN_BIT
        if divergence:
            bits |= _ONE  # z now holds 1.0 or -1.0
            sign_mass += np.matmul(z, part.mass[..., None])[..., 0]
        if gradient is None:
            continue
        back = np.matmul(outer, weighted, out=hidden)
        if divergence:
            back *= z
        else:
            flipped = back.view(np.int64)
            flipped ^= bits
        turned = points.swapaxes(-1, -2)
        gradient.inner[runs] += np.matmul(back, turned)
        gradient.linear[runs] += np.matmul(weighted, turned)
    if divergence:
        total = divergence * batch.mass.sum(axis=-1)
        total = np.broadcast_to(total, (len(weights.inner),))[runs]
        value += _divergence_terms(weights, runs, divergence * sign_mass, total, gradient)
    return value


def _divergence_terms(
    weights: Weights, runs: slice, sign_mass: Floats, total: Floats, gradient: Weights | None
) -> Floats:
    r"""Sum of the divergences, :math:`\sum_j N_j u_j^\top w_j + M \operatorname{tr} V`."""
    dim = weights.outer.shape[2]
    u, w = weights.inner[runs, :, :dim], weights.outer[runs]
    traces = np.zeros(len(u))
    for k in range(dim):
        traces += weights.linear[runs, k, k]
        if gradient is not None:
            gradient.linear[runs, k, k] += total
    if gradient is not None:
        gradient.outer[runs] += sign_mass[:, :, None] * u
        gradient.inner[runs, :, :dim] += sign_mass[:, :, None] * w
    return np.asarray((sign_mass * (u * w).sum(axis=2)).sum(axis=1) + total * traces)
