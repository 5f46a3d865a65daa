"""Train many two-layer score networks at once on the objective that the convex solver minimises."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.random import RandomState, check_random_state
from convexscore._tools.threads import threads_for
from convexscore._tools.validation import (
    check_choice,
    check_count,
    check_positive,
    check_weighted_points,
)
from convexscore.objectives.objective import Denoising, ScoreObjective
from convexscore.objectives.options import (
    ProblemOptions,
    make_problem,
    refuse_without_effect,
)
from convexscore.scores.activations import Activation, get_activation
from convexscore.scores.network import TwoLayerNetwork
from convexscore.training.batches import columns_of, rows_of
from convexscore.training.first_order import descend
from convexscore.training.history import Callback, History, chosen_epochs
from convexscore.training.initialization import Initialization, initial_parameters
from convexscore.training.lbfgs import LBFGS, minimize_runs
from convexscore.training.loss import TrainingLoss
from convexscore.training.optimizers import Optimizer, get_optimizer
from convexscore.training.parameters import Layout, training_units
from convexscore.training.result import TrainingRuns, runs_of
from convexscore.training.sources import FreshNoise, Source

DEFAULT_WIDTH = 100


def train(
    problem: ScoreObjective | FreshNoise,
    *,
    beta: float,
    width: int | None = None,
    optimizer: str | Optimizer = "adam",
    n_restarts: int = 1,
    n_epochs: int = 1000,
    activation: str | Activation = "relu",
    skip: bool = True,
    constraint: str | None = None,
    initialization: Initialization = "data",
    record: int | ArrayLike = 100,
    snapshots: int | ArrayLike = 0,
    callback: Callback | None = None,
    progress: bool = False,
    random_state: RandomState = None,
) -> TrainingRuns:
    r"""Train two-layer networks by gradients: every learning rate times every restart, all at once.

    .. math:: \min_{u,w,b,V,c}\ \sum_i m_i\left[\tfrac12\|s(x_i) - l_i\|^2 +
              \delta\operatorname{tr}\nabla s(x_i)\right]
              + \tfrac\beta2\sum_j\left(\|u_j\|^2 + \|w_j\|^2\right)

    The objective of `ConvexScore` with the weight decay that a framework would use; at its minimum over
    rescalings of the neurons it is :math:`\beta\sum_j\|u_j\|\|w_j\|`.

    Parameters
    ----------
    problem : ScoreObjective or FreshNoise
        From `objectives.score_matching` or `objectives.denoising`; with `FreshNoise` the noise is drawn
        anew in every epoch and losses are reported on its fixed draw.
    beta : float >= 0
        Penalty, on sums over samples.
    width : int, optional
        Neurons m; default 100, or those of the network in ``initialization``.
    optimizer : str or SGD, Adam, LBFGS
        "sgd", "momentum", "adam", "lbfgs", or settings such as ``Adam(lr=[1e-2, 1e-3])``.  Gradients are
        divided by the total weight of the points, the usual meaning of a learning rate.
    n_restarts : int
        Restarts per learning rate.  Restart k starts from the same weights and sees the same batches
        and noise at every learning rate.
    n_epochs : int
        Passes over the points (L-BFGS: most iterations).
    activation : {"relu", "abs", "leaky_relu"}, "leaky_relu(slope)" or Activation
    skip : bool
        Whether the unpenalised term V x is present.
    constraint : {None, "gradient"}
        "gradient": several columns have :math:`w_j = y_j u_j` and a symmetric V; u and y are trained.
    initialization : {"data", "fan_in"} or TwoLayerNetwork
        "data": kinks through the data, balanced neurons; "fan_in": uniform as in deep-learning
        frameworks.
    record, snapshots : int or list of int
        After which epochs losses and weights are kept: so many, evenly spaced, or these.  The first
        and last loss and the last weights always are; snapshots imply losses.
    callback : callable, optional
        ``callback(epoch, losses)`` at every recorded epoch, losses (R,); returning True ends the
        training.  L-BFGS: after every run, with its number.
    progress : bool
        Show a progress bar, if tqdm is installed.
    random_state : None, int, Generator or RandomState
        Initial weights, batches and fresh noise, one stream per restart.

    Returns
    -------
    TrainingRuns
        R = (number of learning rates) * n_restarts runs, restarts of the first learning rate first.

    Raises
    ------
    ValueError, TypeError
        For arguments out of range.

    Notes
    -----
    A run does not depend on the runs beside it, to the last bit.  A run whose objective exceeds 1e8 times
    its natural size is frozen at its last finite weights and marked in ``diverged``.
    Training is in the coordinates (x - mean) / scale, one scale for all columns (a power of two): the
    same problem, with learning rates and initial weights that fit data of any location and scale.
    Per step O(R n m d) time, cache-sized blocks of memory; one column O(R (n + m log n)), by prefix sums
    on the sorted points.  The jumps of the divergence term where a kink crosses a point are in no
    gradient, which is why score matching is hard to descend.

    References
    ----------
    Zhang, Pilanci (2024), arXiv 2402.01965, section on simulations: the non-convex training.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import objectives, training
    >>> x = np.random.default_rng(0).normal(size=60)
    >>> problem = objectives.denoising(x, noise=0.5, random_state=0)
    >>> runs = training.train(problem, beta=5.0, width=20, n_restarts=3, n_epochs=300, random_state=0)
    >>> runs.losses.shape, runs.best
    ((3, 101), TwoLayerNetwork(dim=1, n_neurons=20, activation='relu', skip=True))
    >>> bool((runs.gaps() > -1e-9).all())  # nobody is below the certified optimum
    True
    """
    fresh = problem if isinstance(problem, FreshNoise) else None
    fixed = problem.problem if isinstance(problem, FreshNoise) else problem
    if not isinstance(fixed, ScoreObjective):
        raise TypeError(
            f"problem must be a ScoreObjective or FreshNoise; got {type(problem).__name__}. Build one "
            "with objectives.score_matching(X), objectives.denoising(X, noise=...) or "
            "training.FreshNoise(X, noise=...), or call train_score_network(X, ...)."
        )
    settings = get_optimizer(optimizer)
    if isinstance(settings, LBFGS) and fresh is not None:
        raise ValueError(
            "optimizer: L-BFGS needs a fixed objective, and FreshNoise draws a new one every epoch. Pass "
            "problem.problem, or use Adam or SGD."
        )
    beta = check_positive(beta, name="beta", strict=False)
    n_restarts = check_count(n_restarts, name="n_restarts")
    n_epochs = check_count(n_epochs, name="n_epochs")
    check_choice(skip, (True, False), name="skip")
    check_choice(progress, (True, False), name="progress")
    check_choice(constraint, (None, "gradient"), name="constraint")
    if callback is not None and not callable(callback):
        raise TypeError(
            f"callback must be None or a callable callback(epoch, losses); got "
            f"{type(callback).__name__}. Pass the function itself, not its result."
        )
    if width is not None:
        check_count(width, name="width")
    elif isinstance(initialization, TwoLayerNetwork):
        width = initialization.n_neurons
    else:
        width = DEFAULT_WIDTH
    kept = {*chosen_epochs(snapshots, n_epochs, "snapshots"), n_epochs}
    epochs = {0, *chosen_epochs(record, n_epochs, "record"), *kept}
    conservative = constraint == "gradient" and fixed.dim > 1
    layout = Layout(fixed.dim, width, skip, conservative, get_activation(activation))
    units = training_units(fixed)
    inside = units.objective(fixed)
    loss = TrainingLoss(layout, beta, inside.divergence)
    swept = (np.nan,) if isinstance(settings, LBFGS) else settings.learning_rates
    rates, restart = np.repeat(swept, n_restarts), np.tile(np.arange(n_restarts), len(swept))
    # numbers of the weights and of the epochs are streams of their own
    streams = [rng.spawn(2) for rng in check_random_state(random_state).spawn(n_restarts)]
    draws, shuffles = zip(*streams, strict=True)
    theta = initial_parameters(initialization, inside.points, layout, units, draws)[restart]
    # one thread: the blocks are small, and results do not depend on how many cores there are
    with threads_for(0), np.errstate(all="ignore"):
        history = History(
            theta, loss, columns_of(rows_of(inside)), epochs=epochs, snapshots=kept,
            per_sample=1.0 / fixed.total_weight, callback=callback,
        )  # fmt: skip
        if isinstance(settings, LBFGS):
            theta = minimize_runs(theta, settings, history, progress=progress)
        else:
            source = Source(inside, fresh, units, settings.batch_size)
            theta = descend(theta, settings, history, source, rates=rates, streams=shuffles,
                            stream_of=restart, progress=progress)  # fmt: skip
    return runs_of(history, theta, fixed, units, optimizer=settings, restarts=restart,
                   learning_rates=rates)  # fmt: skip


class TrainerOptions(TypedDict, total=False):
    """How :func:`train` trains, said once for the functions that pass it on."""

    width: int | None
    optimizer: str | Optimizer
    n_restarts: int
    n_epochs: int
    initialization: Initialization
    record: int | ArrayLike
    snapshots: int | ArrayLike
    callback: Callback | None
    progress: bool


class TrainingOptions(ProblemOptions, TrainerOptions, total=False):
    """A problem and how it is trained."""


def train_score_network(
    X: ArrayLike,
    *,
    beta: float,
    fresh_noise: bool = False,
    sample_weight: ArrayLike | None = None,
    random_state: RandomState = None,
    **options: Unpack[TrainingOptions],
) -> TrainingRuns:
    """Train on data, with the options of `fit_convex_score` for the problem and of `train` for the rest.

    Parameters
    ----------
    X : array_like of shape (n,) or (n, d)
    beta : float
        Penalty, sums over samples.
    fresh_noise : bool
        Denoising: draw new noise in every epoch; losses are those of the fixed noise.
    sample_weight : array_like of shape (n,), optional
    random_state : None, int, Generator or RandomState
        With the same value the noise of denoising, hence the problem, is that of
        ``fit_convex_score(X, ...)``; initial weights and batches come next.
    **options
        The problem, as in `ConvexScore` (without standardize; constraint None or "gradient"), and those
        of `train`.

    Returns
    -------
    TrainingRuns

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore import fit_convex_score, training
    >>> x = np.random.default_rng(0).normal(size=60)
    >>> task = dict(objective="denoising", noise=0.5, beta=5.0, random_state=0)
    >>> runs = training.train_score_network(x, optimizer="lbfgs", n_restarts=5, width=20, **task)
    >>> optimum = fit_convex_score(x, **task)
    >>> bool(-1e-9 < runs.gaps(optimum).min() < 1e-3)
    True
    """
    check_choice(fresh_noise, (True, False), name="fresh_noise")
    given: dict[str, Any] = dict(options)
    how = {name: given.pop(name) for name in TrainerOptions.__annotations__ if name in given}
    chosen = make_problem(**given)
    refuse_without_effect(
        "standardize",
        chosen.standardize,
        "training by gradients",
        "fit_convex_score; rescale X yourself",
    )
    points, weights = check_weighted_points(X, sample_weight)
    rng = check_random_state(random_state)
    kind = chosen.objective
    problem: ScoreObjective | FreshNoise
    if not fresh_noise:
        problem = kind.build(points, weights, rng)
    elif isinstance(kind, Denoising):
        problem = FreshNoise(points, kind.noise, kind.n_draws, kind.labels, weights, rng)
    else:
        raise ValueError(
            "fresh_noise=True needs objective='denoising'; got 'score_matching', which has no noise."
        )
    case = chosen.case
    return train(
        problem,
        beta=beta,
        activation=case.activation,
        skip=case.skip,
        constraint=case.constraint,
        random_state=rng,
        **how,
    )
