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

from convexscore._tools.typing import Floats
from convexscore.training.batches import Batch
from convexscore.training.parameters import Weights

# Pre-activations are formed in blocks of at most this many numbers (512 kB): they stay in cache.
_BLOCK = 1 << 16
# Bit operations run at memory speed; sign and products with a boolean mask take two to three times
# as long.
_SIGN_BIT = np.int64(np.iinfo(np.int64).min)
_ONE = np.float64(1.0).view(np.int64)


def dense_terms(weights: Weights, batch: Batch, divergence: float) -> tuple[Floats, Weights]:
    """Value (R,) and gradient of the data part of networks with |.| neurons.

    O(R n m d) time, 1 MB of memory beside the weights.  One matrix product per run and block: what is
    computed for a run does not depend, to the last bit, on the runs beside it.
    """
    runs, width, _ = weights.inner.shape
    n_blocks = max(1, -(-batch.size * width // _BLOCK))
    block = -(-batch.size // n_blocks)
    chunk = max(1, _BLOCK // (block * max(1, width)))
    value, slopes = np.empty(runs), weights.zeros()
    for start in range(0, runs, chunk):
        some = slice(start, start + chunk)
        part = batch.take(some)
        value[some] = _chunk(weights.take(some), part, block, divergence, slopes.take(some))
    return value, slopes


def _chunk(
    weights: Weights, batch: Batch, block: int, divergence: float, slopes: Weights
) -> Floats:
    """Value of some runs; their gradient is added to ``slopes``."""
    count, width, dim = weights.outer.shape
    outer_turned = weights.outer.transpose(0, 2, 1)
    value, sign_mass = np.zeros(count), np.zeros((count, width))
    for start in range(0, batch.size, block):
        part = batch.take(columns=slice(start, start + block))
        z = np.matmul(weights.inner, part.points)
        hidden = np.abs(z)
        residual = np.matmul(outer_turned, hidden)
        residual += np.matmul(weights.linear, part.points)
        residual -= part.labels
        weighted = residual * part.mass[..., None, :]
        residual *= weighted
        value += 0.5 * residual.reshape(count, -1).sum(axis=1)
        slopes.outer[...] += np.matmul(hidden, weighted.transpose(0, 2, 1))
        bits = z.view(np.int64)
        bits &= _SIGN_BIT
        bits |= _ONE  # z now holds 1.0 or -1.0
        if divergence:
            sign_mass += np.matmul(z, part.mass[..., None])[..., 0]
        back = np.matmul(weights.outer, weighted, out=hidden)
        back *= z
        turned = part.points.swapaxes(-1, -2)
        slopes.inner[...] += np.matmul(back, turned)
        slopes.linear[...] += np.matmul(weighted, turned)
    if divergence:  # of all points: sum_j N_j u_j.w_j + M tr V
        u, w, axes = weights.inner[:, :, :dim], weights.outer, np.arange(dim)
        sign_mass *= divergence
        total = divergence * batch.mass.sum(axis=-1)
        traces = sum(weights.linear[:, k, k] for k in axes)
        value += (sign_mass * (u * w).sum(axis=2)).sum(axis=1) + total * traces
        slopes.outer[...] += sign_mass[:, :, None] * u
        slopes.inner[:, :, :dim] += sign_mass[:, :, None] * w
        slopes.linear[:, axes, axes] += total[..., None]
    return value
