"""What training returns: losses, times, weights and their gaps to the global optimum."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.models.certify import certify
from convexscore.objectives.objective import ScoreObjective
from convexscore.objectives.standardization import Standardization
from convexscore.scores.activations import Activation
from convexscore.scores.network import TwoLayerNetwork
from convexscore.solvers.certificate import Certificate
from convexscore.training.history import History, Ints
from convexscore.training.parameters import Layout

if TYPE_CHECKING:
    from convexscore.training.optimizers import Optimizer

# Objectives smaller than this share of their natural unit count as this much in relative gaps.
_SMALL = 1e-6


@dataclass(frozen=True, eq=False)
class TrainingRuns:
    r"""R trained networks with their histories at K epochs.  Units are those of the data.

    Attributes
    ----------
    problem : ScoreObjective
        The fixed problem on which losses are reported.
    beta, optimizer, activation, width
        What was trained.
    learning_rates : (R,)
        NaN for L-BFGS.
    restarts : (R,)
        Which restart a run is; restart k has the same start and stream at every learning rate.
    epochs, steps : (K,)
        Passes over the data and gradient steps (L-BFGS: iterations) at the records; 0 is the start.
    losses : (R, K)
        :math:`\text{data} + \tfrac\beta2\sum_j\|u_j\|^2 + \|w_j\|^2`, what is descended.
    path_losses : (R, K)
        :math:`\text{data} + \beta\sum_j\|u_j\|\|w_j\|`, the least of ``losses`` over rescalings of
        the neurons: what a certificate compares with the optimum.
    seconds : (R, K)
        Wall-clock time of training, without that of recording.  Runs trained at once share a clock;
        L-BFGS runs have one each.
    diverged : (R,)
        Runs that blew up, frozen from there on at their last finite weights.
    ended_at : (R,)
        Step at which a run blew up (L-BFGS: iterations of every run); -1 otherwise.
    statuses : tuple of str
        "finished" (all epochs), "diverged", "unbounded" (downwards: beta is below the limit of score
        matching), "stopped by the callback"; L-BFGS also "converged" and "stalled" (line search).
    snapshot_epochs : (S,)
        After which epochs there are networks.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import objectives, training
    >>> problem = objectives.score_matching(np.random.default_rng(0).normal(size=50))
    >>> runs = training.train(problem, beta=20.0, width=10, optimizer=training.SGD(lr=[0.05, 1e4]),
    ...                       n_epochs=200, snapshots=4, random_state=0)
    >>> runs.statuses, runs.snapshot_epochs.tolist()
    (('finished', 'diverged'), [0, 50, 100, 150, 200])
    >>> runs.network(0, snapshot=0).n_neurons
    10
    """

    problem: ScoreObjective
    beta: float
    optimizer: Optimizer
    learning_rates: Floats
    restarts: Ints
    epochs: Ints
    steps: Ints
    losses: Floats
    path_losses: Floats
    seconds: Floats
    ended_at: Ints
    statuses: tuple[str, ...]
    snapshot_epochs: Ints
    _snapshots: Floats = field(repr=False)
    _layout: Layout = field(repr=False)
    _units: Standardization = field(repr=False)

    @property
    def n_runs(self) -> int:
        return len(self.losses)

    @property
    def width(self) -> int:
        """Neurons m of every network."""
        return self._layout.width

    @property
    def activation(self) -> Activation:
        return self._layout.activation

    @property
    def diverged(self) -> NDArray[np.bool_]:
        return np.isin(self.statuses, ("diverged", "unbounded"))

    def __repr__(self) -> str:
        best = f"{self.path_losses[self.best_run, -1]:.6g}"
        return (
            f"TrainingRuns({self.n_runs} runs of {self.width} {self.activation} neurons, "
            f"{self.optimizer!r}, {int(self.epochs[-1])} epochs: best objective {best}, "
            f"{int(self.diverged.sum())} diverged)"
        )

    # ---- networks ---------------------------------------------------------------------------

    def network(self, run: int, *, snapshot: int = -1) -> TwoLayerNetwork:
        """The network of one run at a snapshot, by default the last."""
        theta = self._snapshots[snapshot, run]
        return self._units.network_back(self._layout.network(theta))

    @property
    def networks(self) -> list[TwoLayerNetwork]:
        """The final networks of all runs."""
        return [self.network(run) for run in range(self.n_runs)]

    @property
    def best_run(self) -> int:
        """The run with the lowest final ``path_losses`` among those that have not diverged."""
        final = self.path_losses[:, -1]
        size = np.where(self.diverged, np.abs(final), final)
        return int(np.lexsort((size, self.diverged))[0])

    @property
    def best(self) -> TwoLayerNetwork:
        """The final network of ``best_run``."""
        return self.network(self.best_run)

    # ---- distance to the optimum ------------------------------------------------------------

    def certify(self, run: int | None = None, *, snapshot: int = -1, **options: Any) -> Certificate:
        """Certificate of one network (default: the best) for its training problem; see `certify`.

        Parameters
        ----------
        run, snapshot : int
        **options
            ``reference``, ``n_starts``, ``tol``, ``random_state`` of `convexscore.certify`.
        """
        problem = self.problem
        return certify(
            self.network(self.best_run if run is None else run, snapshot=snapshot),
            problem.points,
            beta=self.beta,
            objective="score_matching" if problem.labels is None else "denoising",
            labels=problem.labels,
            skip=self._layout.skip,
            sample_weight=problem.sample_weight,
            constraint="gradient" if self._layout.conservative else None,
            **options,
        )

    def lower_bound(self, optimum: Any = None) -> float:
        """A value below which no network of any width can go.

        Parameters
        ----------
        optimum : Certificate, fitted ConvexScore or float, optional
            Of the same problem; None: certify the best network, which solves the convex problem.

        Raises
        ------
        ValueError
            The optimum is of another beta, or was fitted to other noisy points.
        """
        if optimum is None:
            optimum = self.certify()
        self._check_noise(getattr(optimum, "noisy_points_", None))
        certificate = getattr(optimum, "certificate_", optimum)
        if isinstance(certificate, Certificate):
            if not np.isclose(certificate.beta, self.beta, rtol=1e-12, atol=0.0):
                raise ValueError(
                    f"optimum is for beta = {certificate.beta:g}, the runs are for beta = {self.beta:g}; "
                    "pass the optimum of the same problem."
                )
            return float(certificate.dual_objective)
        if not isinstance(certificate, Real):
            raise TypeError(
                "optimum must be a Certificate, a fitted ConvexScore, a number or None; got "
                f"{type(optimum).__name__}."
            )
        return float(certificate)

    def gaps(self, optimum: Any = None) -> Floats:
        r"""Relative gaps (R, K) to the global optimum along training.

        .. math:: (\text{path loss} - D) / |D|,

        D the certified lower bound (where it all but vanishes: relative to 1e-6 times the total weight
        over the variance of the points).

        Parameters
        ----------
        optimum : Certificate, fitted ConvexScore or float, optional
            As in `lower_bound`.

        Raises
        ------
        ValueError
            Score matching with beta below the boundedness limit has no optimum.
        """
        bound = self.lower_bound(optimum)
        weights = self.problem.sample_weight
        centred = self.problem.points - np.average(self.problem.points, axis=0, weights=weights)
        variance = float(np.average(np.sum(centred**2, axis=1), weights=weights)) / self.problem.dim
        natural = _SMALL * self.problem.total_weight / variance
        return np.asarray((self.path_losses - bound) / max(abs(bound), natural))

    def _check_noise(self, points: Floats | None) -> None:
        """Refuse an optimum of other noise, below which training may well go."""
        if points is None or self.problem.labels is None:
            return
        own = self.problem.points
        near = 1e-9 * float(np.abs(own).max())
        if points.size != own.size or np.abs(points.reshape(own.shape) - own).max() > near:
            raise ValueError(
                f"optimum was fitted to {len(points)} other noisy points than the {len(own)} of the "
                "runs; give both the same noise, n_draws and random_state."
            )


def runs_of(
    history: History,
    theta: Floats,
    problem: ScoreObjective,
    units: Standardization,
    *,
    optimizer: Optimizer,
    restarts: Ints,
    learning_rates: Floats,
) -> TrainingRuns:
    """The result in the units of the data; ``theta`` are the last weights."""
    epochs, steps, losses, path_losses, seconds = zip(*history.records, strict=True)
    kept = dict(history.kept) | {epochs[-1]: theta}  # the callback may have ended the training
    unit = float(units.matrix[0, 0]) ** 2  # what the objective in z is in the units of the data
    return TrainingRuns(
        problem=problem,
        beta=history.loss.beta,
        optimizer=optimizer,
        learning_rates=learning_rates,
        restarts=restarts,
        epochs=np.array(epochs),
        steps=np.array(steps),
        losses=np.column_stack(losses) * unit,
        path_losses=np.column_stack(path_losses) * unit,
        seconds=np.column_stack(seconds),
        ended_at=history.ended_at,
        statuses=tuple(history.status),
        snapshot_epochs=np.array(list(kept)),
        _snapshots=np.array(list(kept.values())),
        _layout=history.loss.layout,
        _units=units,
    )
