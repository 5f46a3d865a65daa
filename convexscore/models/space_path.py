"""Warm-started fits of several columns for a decreasing sequence of betas."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import DataWarning, UnboundedObjectiveError
from convexscore.models.space_fit import DEFAULT_TOL, VectorProblem, build_problem
from convexscore.objectives.options import ProblemOptions
from convexscore.scores.network import TwoLayerNetwork
from convexscore.selection.space_selection import bandwidth, held_out_loss
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.oracles.choice import make_oracle
from convexscore.solvers.space.solve import MultivariateFit, largest_start, solve

Floats = NDArray[np.float64]

# The grid ends this factor below the beta of the first neuron: hundreds of neurons, far into
# over-fitting, and each further value costs a multiple of all before.
_GRID_RATIO = 1e-2


@dataclass(frozen=True, eq=False)
class VectorPath:
    """Networks in the units of the data for decreasing betas, (B,) each; ``held_out`` may be None."""

    betas: Floats
    networks: tuple[TwoLayerNetwork, ...]
    certificates: tuple[Certificate, ...]
    held_out: Floats | None


def solve_path(
    X: Floats,
    options: ProblemOptions,
    *,
    betas: Floats | None,
    n_betas: int,
    tol: float | None,
    n_starts: int,
    sample_weight: Floats | None,
    held: Floats | None,
    rng: np.random.Generator,
) -> VectorPath:
    """Fit (n, d) data, d >= 2, for each beta from the fit of the one before.

    Random numbers are those of a single fit with the same seed: first the noise, then the local searches.

    Parameters
    ----------
    betas : (B,) decreasing, or None for ``n_betas`` values from just above the first neuron.
    held : (k, d) rows for the held-out loss, or None.

    Raises
    ------
    UnboundedObjectiveError
        Below the boundedness limit of given ``betas``.  A grid of our own ends there, with a warning.
    """
    streams = rng.spawn(3)  # folds (none here), local searches, held-out draws
    built = build_problem(X, options, sample_weight, rng, name="x")
    oracle = make_oracle(built.problem, n_starts=n_starts, random_state=streams[1])
    given = betas is not None
    if betas is None:
        betas = largest_start(built.problem, oracle) * np.geomspace(1.02, _GRID_RATIO, n_betas)
    networks: list[TwoLayerNetwork] = []
    certificates: list[Certificate] = []
    fit: MultivariateFit | None = None
    for beta in betas:
        try:
            fit = solve(
                built.problem,
                float(beta),
                oracle,
                tol=DEFAULT_TOL if tol is None else tol,
                warm=fit,
                effort=1,
            )
        except UnboundedObjectiveError:
            if given or fit is None:
                raise
            _warn_of_the_end(betas, len(networks))
            break
        networks.append(built.standardization.network_back(fit.network))
        certificates.append(fit.certificate)
    seed = int(streams[2].integers(2**63))
    return VectorPath(
        betas[: len(networks)],
        tuple(networks),
        tuple(certificates),
        None if held is None else _held_out(networks, X, held, built, options, seed),
    )


def _held_out(
    networks: Sequence[TwoLayerNetwork],
    X: Floats,
    held: Floats,
    built: VectorProblem,
    options: ProblemOptions,
    seed: int,
) -> Floats:
    """Mean loss of each network; the same draws for all, so that differences are not noise."""
    to_z = built.standardization
    width = options.noise or bandwidth(to_z.points(X), built.objective.effective_size)
    losses = np.array(
        [
            held_out_loss(
                network, held, width=width, rng=np.random.default_rng(seed), standardization=to_z
            ).mean()
            for network in networks
        ]
    )
    # the variance of the labels, as for one column
    return losses if options.noise is None else losses + 0.5 * held.shape[1] / width**2


def _warn_of_the_end(betas: Floats, count: int) -> None:
    warnings.warn(
        f"the path ends at beta = {betas[count - 1]:.4g}, after {count} of {betas.size} values: at the "
        f"next, beta = {betas[count]:.4g}, score matching is unbounded below. Give betas above that "
        "to choose the values, or use objective='denoising', which has no limit.",
        DataWarning,
        stacklevel=4,
    )
