"""What the convex programs return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore.scores.network import TwoLayerNetwork


@dataclass(frozen=True, eq=False)
class ConvexProgram:
    r"""A solved convex program and the network it describes.

    "Optimal" is the solver's word, not a certificate: :func:`convexscore.certify` judges the network
    on its own, from the data.

    Attributes
    ----------
    problem : cvxpy.Problem
        The program itself.  It is stated for standardised data (and, for denoising, standardised
        labels), because conic solvers need that; ``value = scale * problem.value + constant``.
    variables : dict of str to cvxpy.Variable, or to a list of one for every pattern
    value : float
        Optimal value in the unit of the data, all constants included: the network objective
        :math:`\sum_i m_i[\tfrac12|s(x_i)-l_i|^2 + \mathrm{div}\,s(x_i)] + \beta\sum_j |u_j||w_j|`,
        without divergence for denoising, without labels for score matching.
    weights : ndarray
        The optimal outer weights in the unit of the data, as the solver left them: (m,) for the
        columns of a univariate program, (m, d) for a dictionary, and the matrices (p, d, k) of the
        inputs, without the bias row, for patterns.
    fitted : ndarray of shape (n, k)
        The values at the data points.
    network : TwoLayerNetwork or None
        None for relaxations, which belong to no network.  Idle neurons are left out (below 1e-9,
        in several dimensions 1e-7, of the largest weight or of the standardised unit, if that is
        larger: all may be idle).  One column: ``|u_j| = 1``, equal columns merged, kinks one
        rounding to the side of their data point that the column counted.
    status : str
        The solver's word: ``"optimal"`` or, with a ConvergenceWarning, ``"optimal_inaccurate"``.
    accuracy : float
        The tolerance at which Clarabel said so; nan if it did not, and for other solvers.
    solver : str
    scale, constant : float
    patterns : ndarray of shape (p, n), bool, or None
        The patterns used: repeated and useless ones are left out.
    """

    problem: Any = field(repr=False)
    variables: dict[str, Any] = field(repr=False)
    value: float
    weights: NDArray[np.float64] = field(repr=False)
    fitted: NDArray[np.float64] = field(repr=False)
    network: TwoLayerNetwork | None
    status: str
    accuracy: float
    solver: str
    scale: float = field(repr=False)
    constant: float = field(default=0.0, repr=False)
    patterns: NDArray[np.bool_] | None = field(default=None, repr=False)
