"""Where the error of DDPM comes from: start, steps and score, measured on the line without samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.tables import aligned
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_positive
from convexscore.ddpm_errors.lab import (
    SOURCES,
    ErrorBound,
    ErrorLab,
    check_score,
    error_bounds,
    refined,
)
from convexscore.ddpm_errors.line_densities import Distance, distance
from convexscore.ddpm_errors.marginals import divergences
from convexscore.ddpm_errors.transition import GaussianSources, standard_normal
from convexscore.schedules.levels import LevelScore
from convexscore.schedules.time_grids import TimeGrid, as_time_grid


@dataclass(frozen=True, eq=False)
class ErrorDecomposition:
    r"""Result of `error_decomposition`: three errors alone, in turn, together, and their bounds.

    Attributes
    ----------
    initialisation, discretisation, score : Distance
        Each error **alone**, the other two switched off; ``tv``, ``kl`` and ``w2``.
    total : Distance
        All three together: the run as it is, from the target.
    in_turn : tuple of Distance
        Switched on one after the other, discretisation first, then score, then initialisation, on
        the grid as given. Their total variations add up to at least that of ``total``.
    bounds : dict
        An `ErrorBound` for "initialisation", "discretisation", "score" and "total".
    score_error : float
        :math:`\varepsilon = \big(\sum_k \gamma_k E_{q_{t_k}}|\hat s - s|^2 / (T - \delta)\big)^{1/2}`,
        the mean square error of the score over the grid, in units of 1/x.
    grid : TimeGrid
    x : ndarray (m,)
        Even nodes.
    densities : dict
        Densities (m,) at ``x``: "target", the three sources (each alone; "score" with the estimate,
        on the refined grid) and "total".
    accuracy : float
        Total variation by which halving the nodes changed any of the laws: the numerical error.
    """

    initialisation: Distance
    discretisation: Distance
    score: Distance
    total: Distance
    in_turn: tuple[Distance, Distance, Distance]
    bounds: dict[str, ErrorBound]
    score_error: float
    grid: TimeGrid
    accuracy: float
    x: Floats = field(repr=False)
    densities: dict[str, Floats] = field(repr=False)

    @property
    def sum_in_turn(self) -> float:
        """Sum of the total variations in turn: at least that of ``total``."""
        return float(sum(part.tv for part in self.in_turn))

    def __repr__(self) -> str:
        head = ("", "TV", "KL", "W2", "TV in turn", "TV bound", "KL bound", "CCL23 ~")
        table: list[tuple[str, ...]] = [head]
        in_turn = dict(
            zip(("discretisation", "score", "initialisation"), self.in_turn, strict=True)
        )
        for name in (*SOURCES, "total"):
            alone, bound = getattr(self, name), self.bounds[name]
            turn = in_turn[name].tv if name in in_turn else self.sum_in_turn
            numbers = (alone.tv, alone.kl, alone.w2, turn, bound.tv, bound.kl, bound.ccl23)
            table.append((name, *(f"{value:.3g}" for value in numbers)))
        foot = (
            f"score error {self.score_error:.3g}, {self.grid!r}, accuracy {self.accuracy:.0e} (TV)"
        )
        return "\n".join([*aligned(table, numbers=True), foot])


def error_decomposition(
    law: Any,
    score: LevelScore | None = None,
    *,
    grid: TimeGrid | ArrayLike,
    refine: int = 4,
    tol: float = 1e-4,
) -> ErrorDecomposition:
    r"""Measure the three errors of DDPM on a one-dimensional law, exactly.

    With exact score, infinitely many steps and the right start DDPM returns
    :math:`q_\delta`, the law of the data with the noise of the last time. What is lost by

    - **initialisation**: starting from N(0, 1) instead of :math:`q_T`, the law of the noised data;
    - **discretisation**: freezing the score within each step;
    - **score**: using an estimate instead of :math:`\nabla\log q_t`,

    is the distance of two laws on the line. All of them are densities computed by quadrature: there
    is no sampling noise, so errors of 1e-6 are seen.

    Parameters
    ----------
    law : law of `convexscore.targets`, one-dimensional
        `GaussianMixture`, `Gaussian`, `LineLaw`, or anything whose ``noised(scale, sigma)`` has a
        ``log_density``, ``score`` and ``sample``.
    score : callable, optional
        The estimate ``score(x, t)`` of the score of :math:`e^{-t}X + \sqrt{1-e^{-2t}}\,G`, as for
        `convexscore.samplers.ddpm`, for instance ``model.score_function``; x of shape (n,). None:
        the exact score, so that the error of the score is zero.
    grid : TimeGrid or array_like (K+1,)
        Decreasing remaining times, as for `convexscore.samplers.ddpm`.
    refine : int >= 1
        The error of the score alone is the distance between runs with estimate and exact score on
        a grid with every step cut into this many.
    tol : float > 0
        Numerical error allowed in each law, in total variation.

    Returns
    -------
    ErrorDecomposition
        ``print`` shows the table.

    Raises
    ------
    ValueError
        If the law has another dimension or no density at the last time, if ``score`` returns
        something else than finite numbers of the shape of x, or if a density cannot be computed
        to ``tol``.
    TypeError
        If ``law`` or ``score`` is of another kind.

    Notes
    -----
    *Alone.* Initialisation: the exact reverse process from N(0, 1), in closed form. Discretisation:
    exact score, from :math:`q_T`, on ``grid``. Score: see ``refine``; from :math:`q_T`.

    *Bounds.* Girsanov's theorem (proof of Theorem 2 of CCL23) gives, constants included,

    .. math:: KL(q_\delta \| p) \le KL(q_T \| N(0,1)) + \sum_k \int_{t_{k+1}}^{t_k}
        E\,|\hat s(X_{t_k}, t_k) - s_t(X_t)|^2\, dt ,

    and in one dimension both terms are computed. CCL23 bounds them further, up to constants by

    .. math:: TV \lesssim \sqrt{KL(q \| N(0,1))}\, e^{-T} + (L\sqrt{h} + L m_2 h)\sqrt{T}
        + \varepsilon \sqrt{T}

    with L the Lipschitz constant of the score, h the step, :math:`m_2^2 = E X^2`. Here L and h are
    those of each step, :math:`h\,T` a sum over steps, which is the same for equal steps and equal
    L; q is :math:`q_\delta` and T the time from δ. BDD23:
    :math:`KL \lesssim e^{-2T} + (\kappa^2 K + \kappa T) + \varepsilon^2 T` with
    :math:`\kappa = \max_k \gamma_k / \min(1, t_{k+1})`.

    *Orders.* The theorems are not sharp here. Let m be the first moment in which the law differs
    from N(0, 1) (m = 1 if its mean is not 0). :math:`q_T` differs from N(0, 1) by
    :math:`e^{-mT}`, and the reverse process forgets that difference at the same rate once more:
    initialisation decreases like :math:`e^{-2mT}`. Discretisation decreases like 1/K, the bounds
    like :math:`K^{-1/2}`. The error of the score is linear in it, as in the bound.

    *Cost.* A step costs the number of nodes, (range of x) / (noise of the step) or what the
    details of the law need, times the nodes within 12 standard deviations of that noise, about 100;
    and two calls of the score.

    References
    ----------
    CCL23: Chen, Chewi, Li, Li, Salim, Zhang, *Sampling is as easy as learning the score*, ICLR 2023,
    Theorem 2. BDD23: Benton, De Bortoli, Doucet, Deligiannidis, *Nearly d-linear convergence bounds
    for diffusion models via stochastic localization*, arXiv 2308.03686, Theorem 1.

    Examples
    --------
    >>> from convexscore import scores, targets
    >>> from convexscore.ddpm_errors import error_decomposition
    >>> from convexscore.schedules import exponential_grid
    >>> law = targets.GaussianMixture([0.3, 0.7], [-1.5, 1.0], [0.1, 0.2])
    >>> exact = scores.vp_score(law)
    >>> grid = exponential_grid(3.0, 40, end=0.01)
    >>> errors = error_decomposition(law, lambda x, t: exact(x, t) + 0.1, grid=grid)
    >>> round(errors.score_error, 6)
    0.1
    >>> errors.total.tv <= errors.sum_in_turn
    True
    """
    line = as_time_grid(grid)
    refine = check_count(refine, name="refine")
    tol = check_positive(tol, name="tol", hint="It is in total variation.")
    lab = ErrorLab(law, line.end, tol)
    estimate = None if score is None else check_score(score)
    start = lab.marginals.start(line.horizon)
    exact = lab.run(lab.exact, line, start)
    names = ("discretisation", "both", "score", "fine")
    chains: dict[str, GaussianSources] = dict.fromkeys(names, exact)
    if estimate is not None:
        chains["both"] = chains["score"] = lab.run(estimate, line, start)
        if refine > 1:
            fine = refined(line, refine)
            chains["score"] = lab.run(estimate, fine, start)
            chains["fine"] = lab.run(lab.exact, fine, start)
    chains["total"] = lab.run(estimate or lab.exact, line, standard_normal())
    nodes, densities = lab.on_common_nodes(chains, line.horizon)

    def between(reference: str, other: str) -> Distance:
        return distance(densities[reference], densities[other], nodes.spacing)

    parts = divergences(lab.marginals, lab.exact, estimate, line)
    kept = ("target", *SOURCES, "total")
    return ErrorDecomposition(
        initialisation=between("target", "initialisation"),
        discretisation=between("target", "discretisation"),
        score=between("fine", "score"),
        total=between("target", "total"),
        in_turn=(
            between("target", "discretisation"),
            between("discretisation", "both"),
            between("both", "total"),
        ),
        bounds=error_bounds(parts, line),
        score_error=float(np.sqrt(parts.score / (line.horizon - line.end))),
        grid=line,
        accuracy=max(chain.accuracy for chain in chains.values()),
        x=nodes.points,
        densities={name: densities[name] for name in kept},
    )
