"""From the solution of a convex program back to the network it describes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexscore.programs.matrices import centred
from convexscore.scores.activations import Activation, get_activation
from convexscore.scores.network import TwoLayerNetwork

FloatArray = NDArray[np.float64]

# Weights below this fraction of the largest one (or of the unit weight of the standardised
# program, if that is larger: all of them may be idle) are taken for zero.
PRUNE_BELOW = 1e-9

# Per block of columns: the sign of u, and the side of the data point on which the kink lies.
# ReLU: C1 {x_i >= x_j}, C2 {x_i > x_j}, C3 {x_i <= x_j}, C4 {x_i < x_j}.
_TIED_BLOCKS = {"relu": ((1, -1), (1, 1), (-1, 1), (-1, -1)), "abs": ((1, -1), (-1, 1))}
_PLAIN_BLOCKS = {"relu": ((1, 0), (-1, 0)), "abs": ((1, 0),)}


def column_neurons(
    x: FloatArray, activation: str | Activation, *, one_sided: bool
) -> tuple[FloatArray, FloatArray]:
    """Return the orientation ``u`` (k,) and kink (k,) of every column of the matrices.

    With ``one_sided`` (score matching) a kink lies one rounding beside its data point, so that
    the derivative there is the one the column counted.  If another data point already sits there
    the kink stays on its own point: the convention sigma'(0) = "active" then does the same.

    Examples
    --------
    >>> u, kinks = column_neurons(np.array([0.0, 1.0]), "relu", one_sided=False)
    >>> u.tolist(), kinks.tolist()
    ([1.0, 1.0, -1.0, -1.0], [0.0, 1.0, 0.0, 1.0])
    """
    blocks = (_TIED_BLOCKS if one_sided else _PLAIN_BLOCKS)[get_activation(activation).name]
    signs, positions = [], []
    for sign, side in blocks:
        kinks = x if side == 0 else np.nextafter(x, side * np.inf)
        if side == -sign:
            kinks = np.where(np.isin(kinks, x), x, kinks)
        signs.append(np.full(len(x), float(sign)))
        positions.append(kinks)
    return np.concatenate(signs), np.concatenate(positions)


def network_from_weights(
    x: FloatArray,
    labels: FloatArray,
    weights: FloatArray,
    y: FloatArray,
    activation: str | Activation,
    *,
    skip: bool,
    score_matching: bool,
    unit: float,
) -> TwoLayerNetwork:
    """Return the unit-norm network of outer weights ``y`` with optimal skip and offset.

    The offset makes the weighted residual ``s(x_i) - l_i`` average to zero; the skip makes its
    product with ``x_i`` sum to zero, for score matching to minus the total weight.  ``unit`` is
    the size in the unit of the data of a weight of one in the standardised program.
    """
    u, kinks = column_neurons(x, activation, one_sided=score_matching)
    neurons, which = np.unique(np.column_stack([u, kinks]), axis=0, return_inverse=True)
    outer = np.bincount(which.ravel(), weights=y, minlength=len(neurons))
    keep = np.abs(outer) > PRUNE_BELOW * np.max(np.abs(outer), initial=unit)
    u, kinks, outer = neurons[keep, 0], neurons[keep, 1], outer[keep]
    hidden = TwoLayerNetwork(u, outer, -u * kinks, offset=0.0, activation=activation)
    remainder = labels - hidden(x)
    total = weights.sum()
    slope = None
    if skip:
        x_bar = centred(x, weights)
        moment = (weights * x_bar) @ remainder - (total if score_matching else 0.0)
        slope = moment / ((weights * x_bar) @ x_bar)
        remainder = remainder - slope * x
    offset = weights @ remainder / total
    return TwoLayerNetwork(u, outer, -u * kinks, skip=slope, offset=offset, activation=activation)
