"""Where score matching stops being bounded below."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.exceptions import UnboundedObjectiveError
from convexscore.programs.inputs import as_points, as_weights
from convexscore.scores.activations import Activation, get_activation


def smallest_beta(
    x: ArrayLike,
    activation: str | Activation = "relu",
    skip: bool = False,
    *,
    sample_weight: ArrayLike | None = None,
) -> float:
    r"""Return :math:`\beta_0`: score matching is bounded below exactly for
    :math:`\beta \ge \beta_0`.

    Let :math:`m_{end}` be the larger multiplicity (total weight) of the two extreme data values
    and :math:`m_{int}` the largest one strictly between them.

    - ReLU, with or without skip: :math:`\max(m_{end}, m_{int}/2)`
    - absolute value, no skip: :math:`\max(m_{end}, m_{int})`
    - absolute value with skip: :math:`\max(2 m_{end}, m_{int})`

    Equal to the largest :math:`-b^\top y` over :math:`Ay = 0`, :math:`\|y\|_1 \le 1`: functions
    that vanish on the data while their derivatives there do not.

    Examples
    --------
    >>> smallest_beta([0.0, 1.0, 2.0]), smallest_beta([0.0, 1.0, 1.0, 1.0, 2.0], "abs", True)
    (1.0, 3.0)
    """
    points = as_points("x", x)
    weights = as_weights(sample_weight, len(points))
    _, which = np.unique(points, return_inverse=True)
    multiplicity = np.bincount(which, weights=weights)
    end = float(max(multiplicity[0], multiplicity[-1]))
    interior = float(np.max(multiplicity[1:-1], initial=0.0))
    if get_activation(activation).name == "relu":
        return max(end, interior / 2)
    return max(2 * end, interior) if skip else max(end, interior)


def unbounded_error(beta: float, limit: float) -> UnboundedObjectiveError:
    """Return the error that names the limit."""
    return UnboundedObjectiveError(
        f"score matching is unbounded below at beta={beta:g}: on these data beta must be at "
        f"least {limit:g}. The limit grows with repeated values; raise beta, or use denoising, "
        "which is bounded for every beta."
    )
