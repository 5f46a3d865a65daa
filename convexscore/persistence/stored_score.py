"""Is the network of a file still the function that was saved?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore.objectives.standardization import Standardization
from convexscore.persistence.archive import BadFile
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore

Floats = NDArray[np.float64]

# Network and piecewise score are the same function, up to rounding that is measured on saving (far
# from zero the positions of kinks are coarse).  On load they may differ by twice that plus this
# share of the terms the network sums, far above rounding and far below any real damage.
_AGREEMENT = 1e-9
# Rows of the training data among the probes of a network of several dimensions.
_PROBED_ROWS = 64


@dataclass(frozen=True, eq=False)
class Probes:
    """Points (k, d) and the scores of the network there, (k, d)."""

    points: Floats
    scores: Floats


def probes_of(network: TwoLayerNetwork, rows: Floats) -> Probes:
    """Some rows of the data and, for each neuron, a point on the side where it is active.

    The latter is a row moved along u to one spread of the data beyond the kink, so that no neuron
    can change unseen.
    """
    chosen = rows[:: -(-len(rows) // _PROBED_ROWS)]
    live = np.abs(network.u).max(axis=1, initial=0.0) > 0.0
    u, b = network.u[live], network.b[live]
    at = rows[np.arange(len(u)) % len(rows)]
    norm = np.sqrt(np.einsum("kd,kd->k", u, u))
    spread = float(np.ptp(rows, axis=0).max()) or 1.0
    beyond = spread - (np.einsum("kd,kd->k", at, u) + b) / norm
    points = np.concatenate([chosen, at + (beyond / norm)[:, None] * u])
    return Probes(points, network(points))


def require_same_at_probes(network: TwoLayerNetwork, probes: Probes) -> None:
    """Raise BadFile unless the network has the stored scores, up to rounding of another machine."""
    points = probes.points
    size = np.abs(points) @ np.abs(network.u.T) + np.abs(network.b)
    terms = size @ np.abs(network.w) + np.abs(network.offset)
    if network.skip is not None:
        terms += np.abs(points) @ np.abs(network.skip.T)
    apart = np.abs(network(points) - probes.scores)
    excess = apart - _AGREEMENT * terms
    if not (excess <= 0).all():
        row, k = np.unravel_index(int(np.argmax(excess)), excess.shape)
        raise BadFile(
            f"its network and its stored scores differ by {apart[row, k]:.3g} at x = "
            f"({', '.join(f'{value:.6g}' for value in points[row][:5])}"
            f"{', ...' if network.dim > 5 else ''}); it was altered since. Save the fit again."
        )


def require_same_as_piecewise(
    network: TwoLayerNetwork, score: PiecewiseLinearScore, known: float
) -> None:
    """Raise BadFile unless both are the same function; ``known``: the difference on saving."""
    points, apart = _differences(network, score)
    terms = np.abs(network.w[:, 0]) @ np.abs(network.u * points + network.b[:, None])
    terms += np.abs(network.offset[0])
    if network.skip is not None:
        terms += np.abs(network.skip[0, 0] * points)
    excess = apart - 2.0 * known - _AGREEMENT * terms
    if not (excess <= 0).all():
        worst = int(np.argmax(excess))
        raise BadFile(
            f"its network and its piecewise-linear score differ by {apart[worst]:.3g} at "
            f"x = {points[worst]:.6g}, {known:.3g} when it was saved; it was altered since. "
            "Save the fit again."
        )


def difference_from_piecewise(network: TwoLayerNetwork, score: PiecewiseLinearScore) -> float:
    """Largest difference between the two forms of a score of one column."""
    return float(_differences(network, score)[1].max())


def _differences(network: TwoLayerNetwork, score: PiecewiseLinearScore) -> tuple[Floats, Floats]:
    """|network - piecewise| at the knots and one spread of the knots beyond either end."""
    knots = score.knots
    reach = float(knots[-1] - knots[0]) or max(abs(float(knots[0])), 1.0)
    points = np.concatenate([[knots[0] - reach], knots, [knots[-1] + reach]])
    return points, np.abs(network(points) - score(points))


def inverse_error(made: Standardization) -> float:
    """How far the matrix times its inverse is from the identity: rounding, if not altered."""
    return float(np.abs(made.matrix @ made.inverse - np.eye(made.dim)).max())
