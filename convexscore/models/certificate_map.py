"""How much every possible neuron in the plane would help: the map behind the planar certificate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_positive
from convexscore.models.certify import network_problem
from convexscore.objectives.options import GivenProblem
from convexscore.scores import TwoLayerNetwork
from convexscore.solvers import training_problem
from convexscore.solvers.oracles.base import NeuronSet
from convexscore.solvers.oracles.exact import in_memory
from convexscore.solvers.space.training import SpaceTraining


@dataclass(frozen=True, eq=False)
class CertificateMap:
    """Gain over price of neurons, by the direction of their line and its distance from the mean.

    Attributes
    ----------
    angles : (A,) direction of u in radians, u = (cos, sin).
    offsets : (B,) where the line is along u: u.(x - centre) = offset, so b = -offset - u.centre.
    ratio : (A, B) the measure over beta.
    centre : (2,) weighted mean of the points.
    neuron_angles, neuron_offsets : (K,) the network's own neurons with w != 0; turned around where
        angles go half around the circle.
    neuron_ratio : (K,) the measure over beta at them, with their side of every point.
    beta : float
    measure : "‖G‖", "|u·G|" (conservative) or "u·G" (log-concave).
    """

    angles: Floats
    offsets: Floats
    ratio: Floats
    centre: Floats
    neuron_angles: Floats
    neuron_offsets: Floats
    neuron_ratio: Floats
    beta: float
    measure: str = "‖G‖"

    @property
    def largest(self) -> float:
        """Largest ratio seen: on the grid or at a neuron of the network."""
        return max(float(self.ratio.max()), float(self.neuron_ratio.max(initial=-np.inf)))


def certificate_map(
    network: TwoLayerNetwork,
    X: ArrayLike,
    *,
    beta: float,
    n_angles: int = 361,
    n_offsets: int = 301,
    **given: Unpack[GivenProblem],
) -> CertificateMap:
    r"""\|\|G\|\| / beta over all lines of the plane, on a grid of directions and offsets.

    .. math:: G(u, b) = \sum_i m_i \left[r_i\,\sigma(u^\top x_i + b)
              + \delta\,u\,\sigma'(u^\top x_i + b)\right], \qquad \|u\| = 1,

    r = s - l the residual of the network after c (and V) have been set to their best, and
    :math:`\delta` = 1 for score matching, 0 for denoising.  The network is a global optimum if and only
    if :math:`\|G\| \le \beta` for all neurons, with equality at its own.  Conservative networks are
    measured by :math:`|u^\top G|`, log-concave ones by :math:`u^\top G`.

    Parameters
    ----------
    network : TwoLayerNetwork
        Of two dimensions, with weights of any scale.
    X : array_like of shape (n, 2)
        The points; for denoising the *noisy* points.
    beta : float
        Penalty, sums over samples.
    objective : {"score_matching", "denoising"}
    labels : array_like of shape (n, 2)
        Denoising only.
    skip : bool, optional
        Whether the problem has a skip connection; default: whether the network has one.
    sample_weight : array_like of shape (n,), optional
    constraint : {None, "gradient", "log-concave"}
        Whether only networks with w = y u and a symmetric V compete, and whether y <= 0.
    n_angles, n_offsets : int
        Size of the grid.  Angles go around the circle, or half around it where (u, b) and (-u, -b) have
        the same ratio: for the absolute value, and with a skip connection (ReLU(z) - ReLU(-z) = z),
        but not for log-concave fits.  Offsets cover the points, beyond which nothing changes.

    Returns
    -------
    CertificateMap

    Raises
    ------
    ValueError
        If shapes or options do not fit.

    Notes
    -----
    O(A (n log B + B)) time and O(n + A B) memory: for each direction the points are sorted into the
    strips between the lines, and partial sums give G at every offset.

    On the grid the largest ratio is a lower bound for the supremum, which the fit's certificate has;
    with score matching the ratio jumps at the lines through points.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965 (multivariate programs, dual constraints).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import TwoLayerNetwork
    >>> from convexscore.plotting import certificate_map
    >>> X, labels = [[-1, 0], [0, 0], [1, 0]], [[1, 0], [-2, 0], [1, 0]]
    >>> flat = TwoLayerNetwork(np.zeros((0, 2)), np.zeros((0, 2)), [], offset=[0.0, 0.0])
    >>> seen = certificate_map(flat, X, beta=2.0, objective="denoising", labels=labels)
    >>> seen.ratio.shape, round(seen.largest, 12)  # a line through the middle point gains 1
    ((361, 301), 0.5)
    """
    if not isinstance(network, TwoLayerNetwork) or network.dim != 2:
        raise ValueError(
            f"network must be a TwoLayerNetwork of dimension 2; got {network!r}. Pass fit.network_ of a "
            "fit to two columns; certificate_curve draws one column."
        )
    check_positive(beta, name="beta")
    check_count(n_angles, name="n_angles", minimum=2)
    check_count(n_offsets, name="n_offsets", minimum=2)
    training = training_problem(*network_problem(network, X, **given))
    assert isinstance(training, SpaceTraining)
    problem = training.problem
    neurons = in_memory(problem.neurons)
    rows, _, _ = problem.rows.judge(network, problem.centre, problem.scale)
    folded = (not neurons.activation.odd or problem.case.free_skip) and not neurons.sign
    angles = np.linspace(0.0, np.pi if folded else 2.0 * np.pi, n_angles)
    reach = 1.02 * neurons.reach[1]
    offsets = np.linspace(-reach, reach, n_offsets)
    ratio = np.stack([measure_along(neurons, rows, angle, offsets) for angle in angles]) / beta

    columns, weights, _, _ = problem.columns_of(network)
    columns = columns.keep(np.flatnonzero(weights.any(axis=1)))
    own = neurons.evaluate(rows, columns.u, columns.b) / beta
    place = np.arctan2(columns.u[:, 1], columns.u[:, 0]) % (2.0 * np.pi)
    other_side = folded & (place >= np.pi)
    place = np.where(other_side, place - np.pi, place)
    along = problem.scale * np.where(other_side, columns.b, -columns.b)
    measure = "u·G" if neurons.sign else "|u·G|" if neurons.conservative else "‖G‖"
    grid = (angles, problem.scale * offsets, ratio)
    return CertificateMap(*grid, problem.centre, place, along, own, float(beta), measure)


def measure_along(neurons: NeuronSet, residual: Floats, angle: float, offsets: Floats) -> Floats:
    """The measure h of the neurons sigma(u.x - t), t in ``offsets``, u = (cos, sin): (B,).

    O(n log B + B): sums over the points at or beyond each line, from sums between the lines.
    """
    u = np.array([np.cos(angle), np.sin(angle)])
    position = neurons.points @ u
    # points with k lines at or before them are at or beyond the first k
    lines = np.searchsorted(offsets, position, side="right")
    moments = np.column_stack([residual, residual * position[:, None], neurons.mass])
    counts = [np.bincount(lines, part, minlength=len(offsets) + 1) for part in moments.T]
    between = np.stack(counts, axis=1)
    beyond = np.cumsum(between[::-1], axis=0)[::-1]
    total, active = beyond[0], beyond[1:]
    # slope 1 on the active side, that of negative arguments on the other
    sigma = neurons.activation
    active = sigma.slope_jump * active + sigma.negative_slope * total
    t = offsets[:, None]
    gradient = active[:, 2:4] - t * active[:, :2]
    if neurons.divergence:
        gradient = gradient + neurons.divergence * active[:, 4:] * u
    return neurons.measure(gradient, np.broadcast_to(u, gradient.shape))
