"""Regularisation paths: the optimum for a decreasing sequence of betas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.threads import threads_for
from convexscore._tools.validation import (
    check_count,
    check_points,
    check_positive,
    check_weighted_points,
)
from convexscore.models.space_path import solve_path
from convexscore.objectives.objective import DEFAULT_DRAWS
from convexscore.objectives.options import ProblemOptions
from convexscore.scores.network import TwoLayerNetwork
from convexscore.selection.line_selection import beta_grid, held_out_loss
from convexscore.solvers.certificate import Certificate
from convexscore.solvers.line.problem import prepare
from convexscore.solvers.line.solve import check_bounded, solve
from convexscore.solvers.oracles.choice import DEFAULT_STARTS

Floats = NDArray[np.float64]

# Largest violation, in units of beta, of a fit of one column.
_LINE_TOL = 1e-10
_LINE_BETAS, _VECTOR_BETAS = 40, 25


@dataclass(frozen=True)
class RegularizationPath:
    """Optimal scores along decreasing beta.

    Attributes
    ----------
    betas : (B,) decreasing.
    objective : (B,) optimal values, sums over samples in the units of the data (standardised data
        with ``standardize``).
    n_kinks : (B,) kinks strictly inside the data; empty for several columns.
    kinks : tuple of B arrays, positions of all kinks; empty for several columns.
    scores : tuple of B callables, x -> s(x): :class:`~convexscore.PiecewiseLinearScore` for one
        column, the networks for several.
    held_out : (B,) mean held-out objective on ``x_held_out``, or None.
    certificates : tuple of B certificates.
    networks : tuple of B :class:`~convexscore.TwoLayerNetwork`, in the units of the data.
    """

    betas: Floats
    objective: Floats
    n_kinks: NDArray[np.intp]
    kinks: tuple[Floats, ...]
    scores: tuple[Callable[[ArrayLike], Floats], ...]
    held_out: Floats | None
    certificates: tuple[Certificate, ...]
    networks: tuple[TwoLayerNetwork, ...]

    @property
    def n_neurons(self) -> NDArray[np.intp]:
        """(B,) neurons of each network."""
        return np.array([network.n_neurons for network in self.networks], dtype=np.intp)

    @property
    def n_features(self) -> int:
        """Number of columns d."""
        return self.networks[0].dim

    def __repr__(self) -> str:
        one = self.n_features == 1
        counts, what = (self.n_kinks, "kinks") if one else (self.n_neurons, "neurons")
        return (
            f"RegularizationPath({len(self.betas)} values of beta from {self.betas[0]:g} to "
            f"{self.betas[-1]:g}, {counts[0]} to {counts[-1]} {what})"
        )


def regularization_path(
    x: ArrayLike,
    *,
    betas: Sequence[float] | ArrayLike | None = None,
    n_betas: int | None = None,
    objective: str = "score_matching",
    activation: str = "relu",
    skip: bool = True,
    noise: float | None = None,
    n_draws: int = DEFAULT_DRAWS,
    labels: str = "noisy",
    tails: str = "free",
    shape: str | None = None,
    conservative: bool = False,
    standardize: str | None = None,
    tol: float | None = None,
    n_starts: int = DEFAULT_STARTS,
    sample_weight: ArrayLike | None = None,
    x_held_out: ArrayLike | None = None,
    random_state: RandomState = None,
) -> RegularizationPath:
    r"""Globally optimal scores for a decreasing sequence of betas, each warm-started by the last.

    The optimal value :math:`P^*(\beta) = \min_s L(s) + \beta\,\|s\|`, a minimum of functions that are
    linear in :math:`\beta`, increases with beta and is concave; its slope is the path norm of the
    network.

    Parameters
    ----------
    x : array_like of shape (n,), (n, 1) or (n, d)
    betas : sequence of float, optional
        Sorted decreasingly.  Default: a geometric grid.
    n_betas : int, optional
        Its size.  One column: default 40, from just above the first kink over three decades or to just
        above the boundedness limit.  Several: default 25, from just above the first neuron over two
        decades; score matching ends earlier, where it becomes unbounded below.
    tol : float, optional
        One column: largest violation in units of beta, default 1e-10; several: relative duality gap,
        default 1e-4.
    x_held_out : array_like, optional
        Points for ``held_out``, the mean objective on data the fit has not seen (for denoising:
        freshly noised, in the low-variance form of :func:`convexscore.selection.held_out_loss`;
        several columns: that of the standardised problem, blurred as for ``beta="cv"``, see
        :func:`convexscore.selection.space_selection.held_out_loss`).
    others
        As in :func:`convexscore.fit_convex_score`.

    Returns
    -------
    RegularizationPath

    Raises
    ------
    ValueError
        Bad data or options; UnboundedObjectiveError (a ValueError) if one of the given ``betas`` is
        below the boundedness limit.

    Warns
    -----
    DataWarning
        Several columns, default grid: the path ends where score matching becomes unbounded below.

    Notes
    -----
    Several columns: the neurons and the dual point of one beta start the next, the geometry of the
    pricing is computed once.  The limit is not known beforehand; the path finds it.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import regularization_path
    >>> x = np.concatenate([np.linspace(-3, -2, 30), np.linspace(1, 3, 50)])
    >>> path = regularization_path(x, n_betas=5)
    >>> bool(path.n_kinks[0] < path.n_kinks[-1]), bool(np.all(np.diff(path.objective) <= 0))
    (True, True)
    >>> points = np.column_stack([x, np.sin(3 * x)])
    >>> plane = regularization_path(points, objective="denoising", noise=0.5, n_betas=4, random_state=0)
    >>> bool(plane.n_neurons[0] == 0 < plane.n_neurons[-1]), plane.scores[-1](points).shape
    (True, (80, 2))
    """
    options = ProblemOptions(
        objective,
        activation,
        skip,
        noise,
        n_draws,
        labels,
        tails,
        shape,
        conservative,
        standardize,
    )
    rng = check_random_state(random_state)
    if tol is not None:
        check_positive(tol, name="tol")
    check_count(n_starts, name="n_starts")
    if n_betas is not None:
        check_count(n_betas, name="n_betas", minimum=2)
    points, weights = check_weighted_points(x, sample_weight, name="x")
    given = None if betas is None else _check_betas(betas)
    held = None if x_held_out is None else _check_held(x_held_out, points.shape[1])
    if points.shape[1] == 1:
        count = _LINE_BETAS if n_betas is None else n_betas
        return _line_path(points[:, 0], options, given, count, tol, weights, held, rng)
    with threads_for(points.size):
        path = solve_path(
            points,
            options,
            betas=given,
            n_betas=_VECTOR_BETAS if n_betas is None else n_betas,
            tol=tol,
            n_starts=n_starts,
            sample_weight=weights,
            held=held,
            rng=rng,
        )
    return RegularizationPath(
        betas=path.betas,
        objective=np.array([c.objective for c in path.certificates]),
        n_kinks=np.zeros(0, dtype=np.intp),
        kinks=(),
        scores=path.networks,
        held_out=path.held_out,
        certificates=path.certificates,
        networks=path.networks,
    )


def _line_path(
    x: Floats,
    options: ProblemOptions,
    betas: Floats | None,
    n_betas: int,
    tol: float | None,
    weights: Floats | None,
    held_points: Floats | None,
    rng: np.random.Generator,
) -> RegularizationPath:
    """One column: the exact solver on the line."""
    problem = prepare(options.build(x, weights, rng))
    case = options.case
    grid = beta_grid(problem, case, n_betas) if betas is None else betas
    if betas is not None:
        check_bounded(problem, case, float(grid[-1]))
    held = None
    if held_points is not None:
        held = options.build(held_points, None, rng, name="x_held_out", min_distinct=1)
    warm = None
    fits = []
    for beta in grid:
        fit = solve(problem, case, float(beta), tol=_LINE_TOL if tol is None else tol, warm=warm)
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
        networks=tuple(f.network for f in fits),
    )


def _check_betas(betas: ArrayLike) -> Floats:
    grid = np.sort(np.atleast_1d(np.asarray(betas, dtype=np.float64)))[::-1]
    if grid.ndim != 1 or grid.size == 0 or not np.isfinite(grid).all() or (grid <= 0).any():
        raise ValueError(f"betas must be positive finite numbers; got {betas!r}.")
    return grid


def _check_held(x_held_out: ArrayLike, d: int) -> Floats:
    held = check_points(x_held_out, name="x_held_out", min_distinct=1)
    if held.shape[1] != d:
        raise ValueError(
            f"x_held_out must have {d} columns, like x; got {held.shape[1]}. Pass rows of the same "
            "variables."
        )
    return held
