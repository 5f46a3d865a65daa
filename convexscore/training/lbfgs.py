"""L-BFGS (scipy) on the full objective, one run after the other."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from convexscore._tools.progress import progress_bar
from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_positive
from convexscore.training.history import History


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS, scipy's L-BFGS-B without bounds; an epoch is one iteration.

    Parameters
    ----------
    memory : int
        Gradient pairs kept.
    gtol : float
        A run has converged when no entry of the gradient of the objective per sample exceeds this.
    ftol : float
        A run has also converged when an iteration lowers the objective by less than this share of it
        and no entry of the gradient exceeds 1e-4.
    n_resets : int
        How often a run starts again with empty memory after its line search has failed.  The score
        matching objective jumps where a kink crosses a point, and there line searches fail.

    Notes
    -----
    Learning rates do not exist: a sweep has one run per restart.  Only the fixed objective on all
    points can be minimised: no mini-batches and no fresh noise.

    References
    ----------
    Liu, Nocedal (1989), *On the limited memory BFGS method for large scale optimization*.

    Examples
    --------
    >>> from convexscore.training import LBFGS
    >>> LBFGS(memory=20).n_resets
    5
    """

    memory: int = 10
    gtol: float = 1e-7
    ftol: float = 1e-13
    n_resets: int = 5

    def __post_init__(self) -> None:
        check_count(self.memory, name="memory")
        check_positive(self.gtol, name="gtol", strict=False)
        check_positive(self.ftol, name="ftol", strict=False)
        check_count(self.n_resets, name="n_resets", minimum=0)


# Little progress with a larger gradient (of the objective per sample) is a failed line search.
_FLAT = 1e-4


class _Stop(Exception):
    """Ends a run from within scipy's loop."""


def minimize_runs(
    theta: Floats, settings: LBFGS, history: History, *, progress: bool = False
) -> Floats:
    """Minimise every row of parameters (R, p); afterwards the history is that of all runs.

    The callback is called after each run with its number from 1 and the objectives of all runs, those
    not yet trained at their start.
    """
    # weights and times of all runs at the planned epochs; runs that end stay where they ended
    kept = np.repeat(theta[None], len(history.epochs), axis=0)
    seconds = np.zeros(kept.shape[:2])
    statuses, iterations = history.status.copy(), np.zeros(len(theta), dtype=np.intp)
    losses, _ = history.loss.values(theta, history.batch)
    with progress_bar(len(theta), show=progress, description="L-BFGS runs") as advance:
        for run in range(len(theta)):
            statuses[run], iterations[run] = _minimize(
                settings, history, float(history.limit[run]), kept[:, run], seconds[:, run]
            )
            losses[run : run + 1] = history.loss.values(kept[-1, run : run + 1], history.batch)[0]
            advance(1)
            if history.stops(run + 1, losses):
                statuses[run + 1 :] = "stopped by the callback"
                break
    for epoch, weights, times in zip(history.epochs, kept, seconds, strict=True):
        history.keep(epoch, epoch, weights, times)
    history.status, history.ended_at = statuses, iterations
    return kept[-1]


def _minimize(
    settings: LBFGS, history: History, limit: float, kept: Floats, seconds: Floats
) -> tuple[str, int]:
    """Status and iterations of one run, whose weights (K, p) and times (K,) are written down."""
    from scipy import optimize

    minimize: Any = optimize.minimize  # its stubs do not know functions with gradients
    last, began, iteration = history.epochs[-1], perf_counter(), 0

    def objective(theta: Floats) -> tuple[float, Floats]:
        value, gradient = history.loss.gradient(theta[None], history.batch)
        scaled, slope = float(value[0]) * history.per_sample, gradient[0] * history.per_sample
        if not np.isfinite(scaled) or not np.isfinite(slope).all():
            # a step of the line search far out: refuse it
            return float(np.finfo(float).max) ** 0.5, np.zeros_like(slope)
        if value[0] < -limit:
            raise _Stop("unbounded")
        return scaled, slope

    def after_iteration(theta: Floats) -> None:
        nonlocal iteration
        iteration += 1
        due = int(np.searchsorted(history.epochs, iteration))
        kept[due:], seconds[due:] = theta, perf_counter() - began
        if iteration >= last:
            raise _Stop("finished")

    options = {
        "maxcor": settings.memory,
        "gtol": settings.gtol,
        "ftol": settings.ftol,
        "maxiter": last + 1,
        "maxfun": 50 * last + 1000,
    }
    for _ in range(settings.n_resets + 1):
        before = iteration
        try:
            found = minimize(
                objective, kept[-1], jac=True, method="L-BFGS-B", callback=after_iteration,
                options=options,
            )  # fmt: skip
        except _Stop as reason:
            return str(reason), iteration
        flat = float(np.abs(found.jac).max()) <= max(_FLAT, settings.gtol)
        if found.success and flat:
            return "converged", iteration
        if iteration == before:
            break
    return "stalled", iteration
