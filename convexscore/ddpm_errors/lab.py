"""What every measurement shares: exact score, marginals, runs, common nodes, bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from convexscore._tools.typing import Floats
from convexscore.ddpm_errors.line_densities import EvenGrid
from convexscore.ddpm_errors.marginals import Divergences, Marginals, reversed_from_normal
from convexscore.ddpm_errors.transition import GaussianSources, Start, converged_chain
from convexscore.schedules.levels import LevelScore
from convexscore.schedules.time_grids import TimeGrid
from convexscore.scores.noised import vp_score

SOURCES = ("initialisation", "discretisation", "score")


@dataclass(frozen=True)
class ErrorBound:
    r"""What the theorems say of one error.

    Attributes
    ----------
    kl : float
        Proven, constant included: the part of this error in the relative entropy of path laws
        (Girsanov's theorem), which is at least that of the last states. For the score, of runs
        with infinitely many steps.
    tv : float
        Proven: :math:`\min(1, \sqrt{KL/2})` (Pinsker).
    ccl23 : float
        Term of Theorem 2 of CCL23 for TV, **up to a constant**.
    bdd23 : float
        Term of Theorem 1 of BDD23 for KL, **up to a constant**.
    """

    kl: float
    tv: float
    ccl23: float
    bdd23: float


class ErrorLab:
    """What every measurement on one law shares: exact score, marginals, runs, common nodes."""

    def __init__(self, law: Any, end: float, tol: float) -> None:
        dim = getattr(law, "dim", None)
        if not hasattr(law, "noised") or dim is None:
            raise TypeError(
                f"law must be a law of convexscore.targets, with noised(scale, sigma); got "
                f"{type(law).__name__}. For a density on the line use targets.LineLaw."
            )
        if dim != 1:
            raise ValueError(
                f"law must have dimension 1; got {dim}. Densities are computed on a grid of the "
                f"line: take one coordinate."
            )
        self.exact = vp_score(law)
        self.marginals = Marginals(law, end)
        self.tol = tol

    def run(self, score: LevelScore, grid: TimeGrid, start: Start) -> GaussianSources:
        return converged_chain(score, grid, start, self.marginals.interval, self.tol)

    def on_common_nodes(
        self, chains: dict[str, GaussianSources], horizon: float
    ) -> tuple[EvenGrid, dict[str, Floats]]:
        """Nodes that resolve the target and every chain, and all densities there."""
        target, _ = self.marginals.nodes(self.marginals.end)
        low = min(target.low, *(chain.low for chain in chains.values()))
        high = max(target.high, *(chain.high for chain in chains.values()))
        narrowest = min(np.sqrt(chain.variance) for chain in chains.values())
        spacing = min(target.spacing, 0.5 * narrowest)
        width = high - low
        for _ in range(6):
            nodes = EvenGrid.covering(low, high, spacing)
            x = nodes.points
            log_target = self.marginals.log_density(self.marginals.end, x)
            reverse = reversed_from_normal(self.marginals, horizon, x, log_target)
            if abs(nodes.spacing * reverse.sum() - 1) < 1e-8:
                break
            # a short horizon: N(0, 1) goes back to where the target has next to nothing
            low, high = low - width, high + width
        else:
            raise ValueError(
                f"the reverse process from N(0, 1) at time {horizon:g} ends outside of "
                f"[{low:.4g}, {high:.4g}], far from the law: N(0, 1) has next to no mass where the "
                f"noised law is. Take a longer horizon, or standardise the law."
            )
        on_nodes = cache(lambda chain: chain.on(nodes))
        densities = {name: on_nodes(chain) for name, chain in chains.items()}
        return nodes, densities | {"target": np.exp(log_target), "initialisation": reverse}


def error_bounds(parts: Divergences, grid: TimeGrid) -> dict[str, ErrorBound]:
    """The proven bounds and the theorems' terms, by source."""
    horizon, gamma = grid.horizon - grid.end, grid.steps
    m2 = np.sqrt(parts.second_moment)
    with np.errstate(divide="ignore"):  # infinite for a grid that ends at 0, as in the theorem
        kappa = (gamma / np.minimum(1.0, grid.times[1:])).max()
    per_step = parts.lipschitz * (np.sqrt(gamma) + m2 * gamma)
    kl = [parts.start, parts.steps, parts.score]
    kl.append(max(0.0, sum(kl) + parts.cross))
    ccl23 = [
        np.sqrt(parts.last) * np.exp(-horizon),
        np.sqrt((gamma * per_step**2).sum()),
        np.sqrt(parts.score),
    ]
    ccl23.append(sum(ccl23))
    bdd23 = [np.exp(-2 * horizon), kappa**2 * grid.n_steps + kappa * horizon, parts.score]
    bdd23.append(sum(bdd23))
    return {
        name: ErrorBound(float(k), float(min(1.0, np.sqrt(k / 2))), float(c), float(b))
        for name, k, c, b in zip((*SOURCES, "total"), kl, ccl23, bdd23, strict=True)
    }


def refined(grid: TimeGrid, parts: int) -> TimeGrid:
    """Every step cut into equal parts."""
    n = grid.n_steps
    return TimeGrid(np.interp(np.arange(parts * n + 1) / parts, np.arange(n + 1), grid.times))


def check_score(score: LevelScore) -> LevelScore:
    if not callable(score):
        raise TypeError(
            f"score must be a callable (x, t) -> score at x; got {type(score).__name__}. Pass for "
            f"instance model.score_function."
        )
    return score
