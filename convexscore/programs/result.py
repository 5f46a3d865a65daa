"""What every convex program returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..networks import TwoLayerNetwork


@dataclass(frozen=True, eq=False)
class ConvexProgram:
    """A solved convex program and the network it describes.

    Attributes
    ----------
    problem : cvxpy.Problem
        The program itself.  It is stated for standardised data (and, for denoising, standardised
        labels), because conic solvers need that; ``value = scale * problem.value +
        constant``.
    variables : dict of str to cvxpy.Variable
        ``{"y": y}``: one outer weight per column.
    value : float
        Optimal value in the unit of the data, all constants included: the network objective
        :math:`\\sum_i m_i[\\tfrac12|s(x_i)-l_i|^2 + s'(x_i)] + \\beta\\sum_j |u_j||w_j|` (without
        ``s'`` for denoising).
    weights : ndarray of shape (k,)
        The optimal ``y`` in the unit of the data, as the solver left it.
    network : TwoLayerNetwork
        The network with ``|u_j| = 1``: equal columns merged, columns below 1e-9 times the largest
        weight dropped (or 1e-9 of the standardised unit, if that is larger: all may be idle),
        kinks one rounding to the side of their data point that the column counted.
    status : str
        The solver's status, ``"optimal"`` or ``"optimal_inaccurate"``.
    solver : str
    scale, constant : float
    """

    problem: Any = field(repr=False)
    variables: dict[str, Any] = field(repr=False)
    value: float
    weights: NDArray[np.float64] = field(repr=False)
    network: TwoLayerNetwork
    status: str
    solver: str
    scale: float = field(repr=False)
    constant: float = field(repr=False)

    @property
    def n_neurons(self) -> int:
        """Number of neurons of the network."""
        return self.network.n_neurons
