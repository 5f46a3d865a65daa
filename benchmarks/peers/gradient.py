"""Gradient training as kind peers of the convex solver: rates swept, many restarts, one run timed alone.

Every run counts with its best recorded epoch and with ||u|| ||w|| in place of the weight decay it
descends, so neither the end of a schedule nor unbalanced neurons are held against it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from benchmarks.harness import Floats
from benchmarks.peers import mlp, torch_networks
from convexscore import TwoLayerNetwork, training
from convexscore.objectives import ScoreObjective
from convexscore.training.optimizers import Optimizer


@dataclass(frozen=True)
class Effort:
    """How long and how often everybody trains."""

    steps: int  # gradient steps; iterations of L-BFGS
    batch_steps: int  # of mini-batches
    batch: int
    restarts: int
    sweep_restarts: int  # at every learning rate, to choose one
    outside_runs: int  # of scikit-learn and torch, at each of their rates
    rates: tuple[float, ...] = (0.3, 0.1, 0.03, 0.01, 0.003)
    outside_rates: tuple[float, ...] = (1e-2, 1e-3)
    records: int = 25


@dataclass(frozen=True, eq=False)
class Peer:
    """What R restarts of one method at its best learning rate reached.

    ``objectives`` (R, K) at K recorded epochs, ``seconds`` (K,) of one run alone; ``lowest`` is the
    lowest objective of any run at any rate and epoch; ``all_seconds`` are those of all R restarts,
    ``sweep_seconds`` those of finding the rate.
    """

    name: str
    rate: float | None
    objectives: Floats
    seconds: Floats
    all_seconds: float
    sweep_seconds: float
    lowest: float

    @property
    def best(self) -> Floats:
        """Best recorded objective of every run (R,)."""
        return np.asarray(self.objectives.min(axis=1))

    @property
    def one_run(self) -> float:
        """Seconds of one run."""
        return float(self.seconds[-1])

    def success(self, level: float) -> float:
        """Share of the restarts whose best objective is at most ``level``."""
        return float((self.best <= level).mean())

    def expected_seconds(self, level: float) -> float | None:
        """Restarting one after the other, expected seconds until the level is met; None: never seen.

        Failures cost a whole run each, (1 - p) / p of them on average; the success costs its time to
        the level.
        """
        met = self.objectives <= level
        good = met.any(axis=1)
        if not good.any():
            return None
        p = good.mean()
        arrival = self.seconds[met[good].argmax(axis=1)]
        return float((1.0 - p) / p * self.one_run + arrival.mean())


def methods(effort: Effort) -> dict[str, Callable[[tuple[float, ...]], Optimizer]]:
    """The first-order methods, from learning rates to settings; batches hold ``effort.batch`` points."""
    batch = effort.batch
    return {
        "SGD": lambda rates: training.SGD(lr=rates, momentum=0.9, batch_size=batch),
        "SGD, cosine": lambda rates: training.SGD(
            lr=rates, momentum=0.9, batch_size=batch, schedule="cosine"
        ),
        "Adam": lambda rates: training.Adam(lr=rates, batch_size=batch),
        "Adam, cosine": lambda rates: training.Adam(lr=rates, schedule="cosine"),
    }


def train_peers(
    problem: ScoreObjective, beta: float, width: int, skip: bool, effort: Effort, seed: int
) -> list[Peer]:
    """SGD, Adam and L-BFGS of the package; Adam of scikit-learn (denoising without skip) and torch."""
    common = {"beta": beta, "width": width, "skip": skip, "random_state": seed}
    peers = []
    for name, make in methods(effort).items():
        peers.append(_first_order(name, make, problem, effort, common))
    peers.append(_lbfgs(problem, effort, common))
    if problem.labels is not None and not skip:
        peers.append(_sklearn(problem, beta, width, effort, seed))
    if torch_networks.installed():
        peers.append(_torch(problem, beta, width, skip, effort, seed))
    return peers


def objective(problem: ScoreObjective, network: TwoLayerNetwork, beta: float) -> float:
    """The objective of a network with ||u|| ||w|| as penalty; unit sample weights."""
    score = network(problem.points)
    rest = score if problem.labels is None else score - problem.labels
    value = 0.5 * float((rest * rest).sum()) + beta * network.path_norm()
    if problem.divergence:
        value += problem.divergence * float(network.divergence(problem.points).sum())
    return value


def _first_order(name, make, problem, effort, common):  # type: ignore[no-untyped-def]
    """Sweep the rates with a few restarts, then all restarts and one run alone at the best rate."""
    epochs = effort.steps
    if make((1.0,)).batch_size is not None:
        epochs = _batch_epochs(problem.n_samples, effort)

    def train(rates: tuple[float, ...], restarts: int) -> tuple[training.TrainingRuns, float]:
        started = perf_counter()
        runs = training.train(
            problem,
            optimizer=make(rates),
            n_restarts=restarts,
            n_epochs=epochs,
            record=training.log_epochs(epochs, min(epochs + 1, effort.records)),
            **common,
        )
        return runs, perf_counter() - started

    sweep, sweep_seconds = train(effort.rates, effort.sweep_restarts)
    reached = sweep.path_losses.min(axis=1).reshape(len(effort.rates), -1)
    rate = effort.rates[int(np.median(reached, axis=1).argmin())]
    runs, all_seconds = train((rate,), effort.restarts)
    alone, _ = train((rate,), 1)
    lowest = min(float(r.path_losses.min()) for r in (sweep, runs))
    return Peer(name, rate, runs.path_losses, alone.seconds[0], all_seconds, sweep_seconds, lowest)


def _batch_epochs(n: int, effort: Effort) -> int:
    """Passes over the points that make the steps of mini-batches."""
    return -(-effort.batch_steps // -(-n // min(effort.batch, n)))


def _lbfgs(problem, effort, common):  # type: ignore[no-untyped-def]
    """Every run has a clock of its own; the mean of them stands for one run."""
    started = perf_counter()
    runs = training.train(
        problem,
        optimizer="lbfgs",
        n_restarts=effort.restarts,
        n_epochs=effort.steps,
        record=training.log_epochs(effort.steps, effort.records),
        **common,
    )
    seconds = perf_counter() - started
    losses = runs.path_losses
    return Peer(
        "L-BFGS", None, losses, runs.seconds.mean(axis=0), seconds, 0.0, float(losses.min())
    )


def _sklearn(problem: ScoreObjective, beta: float, width: int, effort: Effort, seed: int) -> Peer:
    """MLPRegressor on standardised points, which is the same problem; see `mlp`.

    It shows its weights at the end only: one record.
    """
    assert problem.labels is not None
    points, scale = problem.points, float(problem.points.std())
    task = mlp.Task((points - points.mean(axis=0)) / scale, problem.labels * scale, beta)
    epochs = _batch_epochs(len(points), effort)

    def run(rate: float, number: int) -> tuple[Floats, Floats]:
        row = mlp.adam_run(task, width, rate, seed + number, epochs=epochs, batch=effort.batch)
        return np.array([row["objective"] / scale**2]), np.array([row["seconds"]])

    return _outside("Adam, scikit-learn", run, effort)


def _torch(
    problem: ScoreObjective, beta: float, width: int, skip: bool, effort: Effort, seed: int
) -> Peer:
    """Autograd and torch.optim on the same objective."""
    epochs = _batch_epochs(problem.n_samples, effort)
    record = training.log_epochs(epochs, min(epochs + 1, effort.records))

    def run(rate: float, number: int) -> tuple[Floats, Floats]:
        found = torch_networks.train_two_layers(
            problem, beta=beta, width=width, skip=skip, rate=rate, batch=effort.batch,
            n_epochs=epochs, record=(*record, epochs), seed=(seed + number) % 2**63,
        )  # fmt: skip
        values = [objective(problem, network, beta) for _, network in found]
        return np.array(values), np.array([seconds for seconds, _ in found])

    run(effort.outside_rates[0], 0)  # first calls
    return _outside("Adam, torch", run, effort)


def _outside(name: str, run: Callable[[float, int], tuple[Floats, Floats]], effort: Effort) -> Peer:
    """Runs of somebody else's code one by one, at each rate: objectives and seconds at the records."""
    runs = {
        rate: [run(rate, number) for number in range(effort.outside_runs)]
        for rate in effort.outside_rates
    }
    objectives = {rate: np.array([values for values, _ in rows]) for rate, rows in runs.items()}
    seconds = {rate: np.array([times for _, times in rows]) for rate, rows in runs.items()}
    rate = min(objectives, key=lambda key: float(np.median(objectives[key].min(axis=1))))
    return Peer(
        name,
        rate,
        objectives[rate],
        np.median(seconds[rate], axis=0),
        float(seconds[rate][:, -1].sum()),
        float(sum(times[:, -1].sum() for times in seconds.values())),
        min(float(values.min()) for values in objectives.values()),
    )
