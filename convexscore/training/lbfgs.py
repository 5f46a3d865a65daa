"""L-BFGS (scipy) on the full objective, one run after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.progress import progress_bar
from convexscore._tools.validation import check_count, check_positive
from convexscore.training.history import (
    CONVERGED,
    FINISHED,
    STALLED,
    STOPPED,
    UNBOUNDED,
    Callback,
    Clock,
    History,
)
from convexscore.training.loss import TrainingLoss

Floats = NDArray[np.float64]


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


class _Run:
    """One run: scipy's function and callback, and the weights at the planned epochs."""

    def __init__(
        self, theta: Floats, loss: TrainingLoss, history: History, index: int, scale: float
    ):
        self.theta, self.loss, self.scale = theta, loss, scale
        self.batch, self.limit = history.batch, float(history.limit[index])
        self.planned = history.plan.epochs
        self.last = self.planned[-1]
        self.iteration, self.status = 0, FINISHED
        self.clock = Clock()
        self.kept: list[tuple[Floats, float]] = [(theta.copy(), 0.0)]

    def objective(self, theta: Floats) -> tuple[float, Floats]:
        value, gradient = self.loss.gradient(theta[None], self.batch)
        scaled, slope = float(value[0]) * self.scale, gradient[0] * self.scale
        if not np.isfinite(scaled) or not np.isfinite(slope).all():
            # a step of the line search far out: refuse it
            return float(np.finfo(float).max) ** 0.5, np.zeros_like(slope)
        if value[0] < -self.limit:
            self.status = UNBOUNDED
            raise _Stop
        return scaled, slope

    def after_iteration(self, theta: Floats) -> None:
        self.theta = np.array(theta)
        self.iteration += 1
        if len(self.kept) < len(self.planned) and self.planned[len(self.kept)] == self.iteration:
            self.kept.append((self.theta, self.clock.stop()))
            self.clock.start()
        if self.iteration >= self.last:
            raise _Stop

    def minimize(self, settings: LBFGS) -> None:
        """Iterate until converged, out of iterations or stalled."""
        from scipy import optimize

        minimize: Any = optimize.minimize  # its stubs do not know functions with gradients
        options = {
            "maxcor": settings.memory,
            "gtol": settings.gtol,
            "ftol": settings.ftol,
            "maxiter": self.last + 1,
            "maxfun": 50 * self.last + 1000,
        }
        self.clock.start()
        for _ in range(settings.n_resets + 1):
            before = self.iteration
            try:
                found = minimize(
                    self.objective,
                    self.theta,
                    jac=True,
                    method="L-BFGS-B",
                    callback=self.after_iteration,
                    options=options,
                )
            except _Stop:
                break
            flat = float(np.abs(found.jac).max()) <= max(_FLAT, settings.gtol)
            self.status = CONVERGED if found.success and flat else STALLED
            if self.status == CONVERGED or self.iteration == before:
                break
        self.kept.append((self.theta, self.clock.stop()))


def minimize_runs(
    theta: Floats,
    loss: TrainingLoss,
    settings: LBFGS,
    history: History,
    *,
    per_sample: float,
    callback: Callback | None = None,
    progress: bool = False,
) -> Floats:
    """Minimise every row of parameters (R, p); afterwards the history is that of all runs.

    The callback is called after each run with its number from 1 and the objectives of all runs, those
    not yet trained at their start.
    """
    runs = [_Run(row.copy(), loss, history, index, per_sample) for index, row in enumerate(theta)]
    losses = history.objective(theta)
    with progress_bar(len(runs), show=progress, description="L-BFGS runs") as advance:
        for index, run in enumerate(runs):
            run.minimize(settings)
            losses[index] = history.objective(run.theta[None])[0]
            advance(1)
            if callback is not None:
                shown = losses.copy()
                shown.flags.writeable = False
                if callback(index + 1, shown) is True:
                    for rest in runs[index + 1 :]:
                        rest.status = STOPPED
                    break
    _write_down(runs, history)
    return np.array([run.theta for run in runs])


def _write_down(runs: list[_Run], history: History) -> None:
    """Bring runs of different lengths onto the planned epochs: ended ones stay where they ended."""
    everyone = np.arange(len(runs))
    for k, epoch in enumerate(history.plan.epochs):
        shown = [run.kept[min(k, len(run.kept) - 1)] for run in runs]
        theta = np.array([weights for weights, _ in shown])
        history.keep(epoch, epoch, theta, 0.0, everyone)
        history.seconds[:, k] = [seconds for _, seconds in shown]
    history.status[:] = [run.status for run in runs]
    history.ended_at[:] = [run.iteration for run in runs]
