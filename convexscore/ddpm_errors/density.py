"""The law of a DDPM run on the line, as a density instead of samples."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_column, check_positive
from convexscore.ddpm_errors.lab import check_score
from convexscore.ddpm_errors.line_densities import bulk, resolved
from convexscore.ddpm_errors.transition import Start, converged_chain, standard_normal
from convexscore.schedules.levels import LevelScore
from convexscore.schedules.time_grids import TimeGrid, as_time_grid


def ddpm_density(
    score: LevelScore,
    grid: TimeGrid | ArrayLike,
    X: ArrayLike,
    *,
    start: Any = None,
    tol: float = 1e-4,
) -> Floats:
    r"""Exact density of the last state of `convexscore.samplers.ddpm` in one dimension.

    The law of ``ddpm(score, None, grid, final_denoising=False).samples``, without sampling: the
    density is propagated step by step, :math:`p_{k+1}(y) = \int p_k(x) N(y; m_k(x), v_k)\,dx`.

    Parameters
    ----------
    score : callable
        ``score(x, t)``, x of shape (n,).
    grid : TimeGrid or array_like (K+1,)
        Decreasing remaining times. A grid cut short gives the law on the way.
    X : array_like (n,) or (n, 1)
        Where to evaluate it.
    start : one-dimensional target, optional
        The law of the first states, with ``log_density`` and ``sample``; N(0, 1) if None.
    tol : float > 0
        Numerical error allowed, in total variation.

    Returns
    -------
    ndarray (n,)

    Raises
    ------
    ValueError, TypeError
        As in `error_decomposition`.

    Notes
    -----
    Values below about 1e-28 are not accurate.

    Examples
    --------
    >>> from convexscore.ddpm_errors import ddpm_density
    >>> from convexscore.schedules import uniform_grid
    >>> for n in (2, 20, 200):  # the exact score of N(0, 1), whose density at 0 is 0.3989
    ...     print(ddpm_density(lambda x, t: -x, uniform_grid(1.0, n), [0.0]).round(4))
    [0.2862]
    [0.39]
    [0.3981]
    """
    line = as_time_grid(grid)
    tol = check_positive(tol, name="tol", hint="It is in total variation.")
    points = check_column(X, name="X", min_distinct=1)
    estimate = check_score(score)
    first = standard_normal() if start is None else _start_of(start)
    return converged_chain(estimate, line, first, None, tol).at(points)


def _start_of(target: Any) -> Start:
    """A start of unknown smoothness: its details are looked for on ever finer nodes."""
    for name in ("log_density", "sample"):
        if not callable(getattr(target, name, None)):
            raise TypeError(
                f"start must be a target of convexscore.targets with log_density and sample; got "
                f"{type(target).__name__}. None starts from N(0, 1)."
            )
    low, high = bulk(target)
    nodes, _ = resolved(target.log_density, low, high, (high - low) / 256, name="start")
    return Start(target.log_density, low, high, width=4 * nodes.spacing)
