"""What the convex programs return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.network import TwoLayerNetwork


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
        ``{"y": y}``: one outer weight per column.  Programs for vector scores have ``"W"`` (or
        ``"y"`` for conservative ones), ``"offset"`` and ``"skip"`` as far as they are free.
    value : float
        Optimal value in the unit of the data, all constants included: the network objective
        :math:`\\sum_i m_i[\\tfrac12|s(x_i)-l_i|^2 + s'(x_i)] + \\beta\\sum_j |u_j||w_j|` (without
        ``s'`` for denoising; in several dimensions with norms and the divergence).
    weights : ndarray of shape (k,) or (k, d)
        The optimal outer weights in the unit of the data, as the solver left them.
    network : TwoLayerNetwork
        One dimension: ``|u_j| = 1``, equal columns merged, columns below 1e-9 times the largest
        weight dropped (or 1e-9 of the standardised unit, if that is larger: all may be idle),
        kinks one rounding to the side of their data point that the column counted.  Dictionaries
        in several dimensions: the neurons as they were given, the idle ones dropped.
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


@dataclass(frozen=True, eq=False)
class PatternProgram:
    """A solved convex program over activation patterns (gates).

    Attributes
    ----------
    problem : cvxpy.Problem
        Stated for standardised data: ``value = scale * problem.value``.
    variables : dict of str to cvxpy.Variable or list of them
    value : float
        Optimal value in the unit of the data.
    patterns : ndarray of shape (p, n), bool
        The patterns used: repeated ones, those that are active nowhere (ReLU) and complements
        (absolute value) are left out.
    weights : ndarray of shape (p, d, k)
        The matrices :math:`W_D` of the inputs, in the unit of the data, without the bias row.
    fitted : ndarray of shape (n, k)
        The values :math:`\\sum_D D'[X\\ 1]W_D + XV^\\top + 1c^\\top` at the points.
    network : TwoLayerNetwork or None
        A network with the same values and divergence at the points; ``None`` for relaxations,
        which belong to no network.
    status : str
    solver : str
    scale : float
    """

    problem: Any = field(repr=False)
    variables: dict[str, Any] = field(repr=False)
    value: float
    patterns: NDArray[np.bool_] = field(repr=False)
    weights: NDArray[np.float64] = field(repr=False)
    fitted: NDArray[np.float64] = field(repr=False)
    network: TwoLayerNetwork | None
    status: str
    solver: str
    scale: float = field(repr=False)
