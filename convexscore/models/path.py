"""Regularisation paths: the optimum for a decreasing sequence of betas."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convexscore._tools.exceptions import DataWarning, UnboundedObjectiveError
from convexscore._tools.random import check_random_state
from convexscore._tools.streams import Streams
from convexscore._tools.threads import threads_for
from convexscore._tools.typing import Floats
from convexscore._tools.validation import (
    check_count,
    check_points,
    check_weighted_points,
)
from convexscore.objectives import PathOptions
from convexscore.objectives.options import check_effort, make_problem, refuse_without_effect
from convexscore.scores import TwoLayerNetwork
from convexscore.selection import HeldOut
from convexscore.selection.cross_validation import beta_grid, held_out_width
from convexscore.solvers import Certificate, Fit, problem_on
from convexscore.solvers.training_problem import refuse_idle_starts

# Size of the grid and the factor below the first kink at which it ends.  Several columns: far into
# over-fitting there are hundreds of neurons, and each further value costs a multiple of all before.
_LINE_GRID = (40, 1e-3)
_SPACE_GRID = (25, 1e-2)


@dataclass(frozen=True)
class RegularizationPath:
    """Optimal scores along decreasing beta.

    Attributes
    ----------
    betas : (B,) decreasing.
    objective : (B,) optimal values, sums over samples in the units of the data (standardised data
        with ``standardize``).
    scores : tuple of B callables, X -> s(X): :class:`~convexscore.PiecewiseLinearScore` for one
        column, the networks for several.
    networks : tuple of B :class:`~convexscore.TwoLayerNetwork`, in the units of the data.
    certificates : tuple of B certificates.
    held_out : (B,) mean held-out objective on ``X_held_out``, or None.
    """

    betas: Floats
    objective: Floats
    scores: tuple[Callable[[ArrayLike], Floats], ...]
    networks: tuple[TwoLayerNetwork, ...]
    certificates: tuple[Certificate, ...]
    held_out: Floats | None

    @property
    def n_neurons(self) -> NDArray[np.intp]:
        """(B,) neurons of each network."""
        return np.array([network.n_neurons for network in self.networks], dtype=np.intp)

    @property
    def kinks(self) -> tuple[Floats, ...]:
        """One column: the positions of the kinks of each score, increasing."""
        return tuple(network.breakpoints() for network in self.networks)

    @property
    def n_features(self) -> int:
        """Number of columns d."""
        return self.networks[0].dim

    def __repr__(self) -> str:
        counts = self.n_neurons
        return (
            f"RegularizationPath({len(self.betas)} values of beta from {self.betas[0]:g} to "
            f"{self.betas[-1]:g}, {counts[0]} to {counts[-1]} neurons)"
        )


def regularization_path(
    X: ArrayLike,
    *,
    betas: Sequence[float] | ArrayLike | None = None,
    n_betas: int | None = None,
    sample_weight: ArrayLike | None = None,
    X_held_out: ArrayLike | None = None,
    **options: Unpack[PathOptions],
) -> RegularizationPath:
    r"""Globally optimal scores for a decreasing sequence of betas, each warm-started by the last.

    The optimal value :math:`P^*(\beta) = \min_s L(s) + \beta\,\|s\|`, a minimum of functions that are
    linear in :math:`\beta`, increases with beta and is concave; its slope is the path norm of the
    network.

    Parameters
    ----------
    X : array_like of shape (n,), (n, 1) or (n, d)
    betas : sequence of float, optional
        Sorted decreasingly.  Default: a geometric grid.
    n_betas : int, optional
        Its size, without ``betas``.  One column: default 40, from just above the first kink over three
        decades or to just above the boundedness limit.  Several: default 25, from just above the first
        neuron over two decades; score matching ends earlier, where it becomes unbounded below.
    sample_weight : array_like of shape (n,), optional
    X_held_out : array_like, optional
        Points for ``held_out``, the mean objective on data the fit has not seen, as for ``beta="cv"``
        (:mod:`convexscore.selection.held_out`).
    **options
        As in :func:`convexscore.fit_convex_score`, without beta and its choice.

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
    >>> bool(path.n_neurons[0] < path.n_neurons[-1]), bool(np.all(np.diff(path.objective) <= 0))
    (True, True)
    >>> points = np.column_stack([x, np.sin(3 * x)])
    >>> plane = regularization_path(points, objective="denoising", noise=0.5, n_betas=4, random_state=0)
    >>> bool(plane.n_neurons[0] == 0 < plane.n_neurons[-1]), plane.scores[-1](points).shape
    (True, (80, 2))
    """
    given: dict[str, Any] = dict(options)
    tol, n_starts, seed = (given.pop(name, None) for name in ("tol", "n_starts", "random_state"))
    problem = make_problem(**given)
    check_effort(tol, n_starts)
    points, weights = check_weighted_points(X, sample_weight)
    default_count, ratio = _LINE_GRID if points.shape[1] == 1 else _SPACE_GRID
    if betas is not None:
        refuse_without_effect("n_betas", n_betas, "betas, which say everything", "betas=None")
    count = default_count if n_betas is None else check_count(n_betas, name="n_betas", minimum=2)
    streams = Streams.of(check_random_state(seed))
    held_rows = None if X_held_out is None else _check_held(X_held_out, points.shape[1])
    with threads_for(points.size):
        training = problem_on(
            points,
            problem,
            weights,
            rng=streams.noise,
            searches=streams.searches,
            n_starts=n_starts,
        )
        refuse_idle_starts(n_starts, training, rough=False)
        grid = beta_grid(training, count, ratio) if betas is None else _check_betas(betas)
        training.check_beta(float(grid[-1]))
        fits: list[Fit] = []
        for beta in grid:
            warm = fits[-1].warm if fits else None
            try:
                fits.append(training.fit(float(beta), tol=tol, warm=warm, effort=1))
            except UnboundedObjectiveError:
                if betas is not None or not fits:
                    raise
                _warn_of_the_end(grid, len(fits))
                break
    held_out = None
    if held_rows is not None:
        width, seed = held_out_width(training, problem.noise), int(streams.held_out.integers(2**63))
        held = HeldOut(held_rows, None, width, problem.noise, training.standardization, seed)
        held_out = np.array([held.mean(fit.score) for fit in fits])
    return RegularizationPath(
        betas=grid[: len(fits)],
        objective=np.array([fit.certificate.objective for fit in fits]),
        scores=tuple(fit.score.natural for fit in fits),
        networks=tuple(fit.network for fit in fits),
        certificates=tuple(fit.certificate for fit in fits),
        held_out=held_out,
    )


def _check_betas(betas: Any) -> Floats:
    grid = np.sort(np.atleast_1d(np.asarray(betas, dtype=np.float64)))[::-1]
    if grid.ndim != 1 or grid.size == 0 or not (np.isfinite(grid) & (grid > 0)).all():
        raise ValueError(f"betas must be positive finite numbers; got {betas!r}.")
    return grid


def _check_held(X_held_out: ArrayLike, d: int) -> Floats:
    held = check_points(X_held_out, name="X_held_out", min_distinct=1)
    if held.shape[1] != d:
        raise ValueError(
            f"X_held_out must have {d} columns, like X; got {held.shape[1]}. Pass rows of the same "
            "variables."
        )
    return held


def _warn_of_the_end(betas: Floats, count: int) -> None:
    warnings.warn(
        f"the path ends at beta = {betas[count - 1]:.4g}, after {count} of {betas.size} values: at the "
        f"next, beta = {betas[count]:.4g}, score matching is unbounded below. Give betas above that "
        "to choose the values, or use objective='denoising', which has no limit.",
        DataWarning,
        stacklevel=3,
    )
