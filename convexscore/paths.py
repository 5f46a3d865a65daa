"""Regularisation paths: the optimum for a decreasing sequence of betas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._random import RandomState, check_random_state
from convexscore._validation import check_count, check_positive
from convexscore.piecewise import PiecewiseLinearScore
from convexscore.problem_options import ProblemOptions
from convexscore.selection import beta_grid, held_out_loss
from convexscore.solvers.line_cases import LineCase
from convexscore.solvers.line_problem import LineProblem, prepare
from convexscore.solvers.result import Certificate
from convexscore.solvers.univariate import check_bounded, solve

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RegularizationPath:
    """Optimal scores along decreasing beta.

    Attributes
    ----------
    betas : (B,) decreasing.
    objective : (B,) optimal values, sums over samples in the units of the data.
    n_kinks : (B,) kinks strictly inside the data.
    kinks : tuple of B arrays, positions of all kinks.
    scores : tuple of B :class:`~convexscore.PiecewiseLinearScore`.
    held_out : (B,) mean held-out objective on ``x_held_out``, or None.
    certificates : tuple of B certificates.
    """

    betas: Floats
    objective: Floats
    n_kinks: NDArray[np.intp]
    kinks: tuple[Floats, ...]
    scores: tuple[PiecewiseLinearScore, ...]
    held_out: Floats | None
    certificates: tuple[Certificate, ...]

    def __repr__(self) -> str:
        return (
            f"RegularizationPath({len(self.betas)} values of beta from {self.betas[0]:g} to "
            f"{self.betas[-1]:g}, {self.n_kinks[0]} to {self.n_kinks[-1]} kinks)"
        )


def regularization_path(
    x: ArrayLike,
    *,
    betas: Sequence[float] | ArrayLike | None = None,
    n_betas: int = 40,
    objective: str = "score_matching",
    activation: str = "relu",
    skip: bool = True,
    noise: float | None = None,
    n_draws: int = 1,
    labels: str = "noisy",
    tails: str = "free",
    shape: str | None = None,
    tol: float = 1e-10,
    sample_weight: ArrayLike | None = None,
    x_held_out: ArrayLike | None = None,
    random_state: RandomState = None,
) -> RegularizationPath:
    """Globally optimal scores for a decreasing sequence of betas, each warm-started by the last.

    Parameters
    ----------
    x : array_like of shape (n,) or (n, 1)
    betas : sequence of float, optional
        Sorted decreasingly.  Default: ``n_betas`` values, geometric from just above the first kink.
    x_held_out : array_like, optional
        Points for ``held_out``, the mean objective on data the fit has not seen (for denoising:
        freshly noised, in the low-variance form of :func:`held_out_loss`).
    others
        As in :func:`convexscore.fit_convex_score`.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import regularization_path
    >>> x = np.concatenate([np.linspace(-3, -2, 30), np.linspace(1, 3, 50)])
    >>> path = regularization_path(x, n_betas=5)
    >>> bool(path.n_kinks[0] < path.n_kinks[-1]), bool(np.all(np.diff(path.objective) <= 0))
    (True, True)
    """
    options = ProblemOptions(objective, activation, skip, noise, n_draws, labels, tails, shape)
    rng = check_random_state(random_state)
    problem = prepare(options.build(x, sample_weight, rng))
    case = options.case
    check_positive(tol, name="tol")
    grid = beta_grid(problem, case, check_count(n_betas, name="n_betas", minimum=2))
    if betas is not None:
        grid = _check_betas(betas, problem, case)
    held = None if x_held_out is None else options.build(x_held_out, None, rng, name="x_held_out")
    warm = None
    fits = []
    for beta in grid:
        fit = solve(problem, case, float(beta), tol=tol, warm=warm)
        warm = fit.warm
        fits.append(fit)
    return RegularizationPath(
        betas=grid,
        objective=np.array([f.certificate.objective for f in fits]),
        n_kinks=np.array([len(f.solution.knots) - 2 for f in fits], dtype=np.intp),
        kinks=tuple(f.network.breakpoints() for f in fits),
        scores=tuple(f.score for f in fits),
        held_out=None
        if held is None
        else np.array(
            [
                float(np.mean(held_out_loss(f.score, held.points[:, 0], noise=options.noise)))
                for f in fits
            ]
        ),
        certificates=tuple(f.certificate for f in fits),
    )


def _check_betas(betas: ArrayLike, problem: LineProblem, case: LineCase) -> Floats:
    grid = np.sort(np.atleast_1d(np.asarray(betas, dtype=np.float64)))[::-1]
    if grid.ndim != 1 or grid.size == 0 or not np.isfinite(grid).all() or (grid <= 0).any():
        raise ValueError(f"betas must be positive finite numbers; got {betas!r}.")
    check_bounded(problem, case, float(grid[-1]))
    return grid
