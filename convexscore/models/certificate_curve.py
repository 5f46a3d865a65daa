"""How much every possible neuron would help: the curve behind the certificate."""

from __future__ import annotations

from typing import NamedTuple, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_positive
from convexscore.models.certify import network_problem
from convexscore.objectives.options import GivenProblem
from convexscore.scores import TwoLayerNetwork
from convexscore.solvers import training_problem
from convexscore.solvers.line.certificate import dual_point
from convexscore.solvers.line.solve import solve
from convexscore.solvers.line.training import LineTraining


class CertificateCurve(NamedTuple):
    """Kink positions, increasing, and the largest \\|G\\| of a neuron with its kink there."""

    t: Floats
    G_abs: Floats


def certificate_curve(
    network: TwoLayerNetwork,
    X: ArrayLike,
    *,
    beta: float,
    **given: Unpack[GivenProblem],
) -> CertificateCurve:
    r"""Largest \|G\| of the neurons with their kink at t, for every data value t.

    .. math:: G(u, t) = \sum_i m_i \left[r_i\,\sigma(u (x_i - t))
              + \delta\,u\,\sigma'(u (x_i - t))\right], \qquad u = \pm 1,

    r = s - l the residual of the network after c (and V) have been set to their best, and
    :math:`\delta` = 1 for score matching, 0 for denoising.  \|G\| is the rate at which the loss
    falls when a neuron is grown there, and beta is its price: the network is a global optimum if
    and only if :math:`|G| \le \beta` everywhere, with equality at its own kinks.

    Parameters
    ----------
    network, X, beta, objective, labels, skip, sample_weight
        As in :func:`convexscore.certify`.
    constraint
        Of the constrained problem, if the network is the optimum of one: the multipliers of the
        constraints, which come from solving it, are then part of G.

    Returns
    -------
    CertificateCurve
        ``t`` (P,) the distinct data values and ``G_abs`` (P,), in the units of beta.  Between two
        data values \|G\| is at most the straight line joining them, so nothing is missed.

    Raises
    ------
    ValueError
        If shapes or options do not fit, or beta is below the boundedness limit.

    Notes
    -----
    O(n log n) time, O(n) memory.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, univariate theorems (dual constraints).

    Examples
    --------
    >>> from convexscore.models import gaussian_regime
    >>> from convexscore.plotting import certificate_curve
    >>> x = [-1.5, -0.5, 0.25, 0.75, 1.0]
    >>> curve = certificate_curve(gaussian_regime(x).network(4.0), x, beta=4.0)
    >>> curve.G_abs.round(3).tolist()
    [4.0, 3.364, 2.727, 3.061, 4.0]
    """
    training = training_problem(*network_problem(network, X, **given))
    if not isinstance(training, LineTraining):
        raise ValueError(
            f"network must be of one dimension; got {network!r}. certificate_map looks at two columns."
        )
    check_positive(beta, name="beta")
    training.check_beta(beta)
    problem = training.problem
    hint = None
    if training.case.constraint is not None:
        hint = solve(problem, training.case, beta).hint
    # not by way of its knots: a trained network may have kinks at 1e20, where they hold no digits
    score = np.asarray(network(problem.values))
    point = dual_point(problem, training.case, beta, score, hint)
    return CertificateCurve(problem.values, point.columns)
