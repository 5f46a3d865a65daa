"""Training by gradients: optimisers, restarts, divergence, gaps to the global optimum."""

from __future__ import annotations

import re

import numpy as np
import pytest

from convexscore import TwoLayerNetwork, UnboundedObjectiveError, fit_convex_score
from convexscore import training as tr
from convexscore.objectives import denoising, score_matching
from convexscore.scores.activations import RELU
from convexscore.training.batches import columns_of, rows_of
from convexscore.training.loss import TrainingLoss
from convexscore.training.parameters import Layout, training_units

X1 = np.concatenate([np.linspace(-2.6, -1.2, 14), np.linspace(0.2, 2.4, 16)])
X2 = (
    np.random.default_rng(12).normal([[-1.5, 0.0], [1.0, 1.0]], 0.6, size=(20, 2, 2)).reshape(-1, 2)
)
NETWORK = TwoLayerNetwork([1.0], [1.0], [0.0], offset=0.0, skip=1.0)


def dsm(X, seed=0):
    return denoising(X, noise=0.5, n_draws=1, random_state=seed)


def train(problem, **options):
    return tr.train(problem, **{"beta": 3.0, "width": 8, "random_state": 0, **options})


# ---- optimisers against loops ----------------------------------------------------------------


def slow_sgd(gradient, theta, factors, momentum=0.0):
    velocity = 0.0 * theta
    for factor in factors:
        velocity = momentum * velocity + gradient(theta)
        theta = theta - 0.02 * factor * velocity
    return theta


def slow_adam(gradient, theta, factors):
    mean, square = 0.0 * theta, 0.0 * theta
    for t, factor in enumerate(factors, start=1):
        g = gradient(theta)
        mean = 0.7 * mean + 0.3 * g
        square = 0.9 * square + 0.1 * g**2
        root = np.sqrt(square / (1 - 0.9**t)) + 1e-3
        theta = theta - 0.05 * factor * mean / (1 - 0.7**t) / root
    return theta


def decay(step, n_steps):
    return 1.0 / (1.0 + 10.0 * step / n_steps)


@pytest.mark.parametrize(
    ("settings", "slow"),
    [
        (tr.SGD(lr=0.02, schedule=decay), slow_sgd),
        (tr.SGD(lr=0.02, momentum=0.8), lambda *of: slow_sgd(*of, momentum=0.8)),
        (tr.Adam(lr=0.05, beta1=0.7, beta2=0.9, epsilon=1e-3, schedule="cosine"), slow_adam),
    ],
)
@pytest.mark.parametrize("X", [X1[:, None], X2])
def test_optimizers_against_their_formulas(settings, slow, X):
    """In the units of training, on gradients of the objective per sample."""
    problem, steps = dsm(X), np.arange(40)
    units, layout = training_units(problem), Layout(X.shape[1], 6, True, False, RELU)
    loss, batch = TrainingLoss(layout, 1.5, 0.0), columns_of(rows_of(units.objective(problem)))
    runs = train(problem, beta=1.5, width=6, optimizer=settings, n_epochs=40, snapshots=[0])
    start, found = (
        layout.pack(units.network_forward(runs.network(0, snapshot=k))) for k in (0, -1)
    )
    factors = {"constant": 0 * steps + 1, "cosine": 0.5 * (1 + np.cos(np.pi * steps / 40))}
    wanted = slow(
        lambda theta: loss.gradient(theta[None], batch)[1][0] / problem.n_samples,
        start,
        factors.get(settings.schedule, decay(steps, 40)),
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    assert np.abs(found - start).max() > 0.01


# ---- restarts and learning rates at once -----------------------------------------------------

SWEEPS = [
    (score_matching(X1), "relu", {}),
    (dsm(X1), "abs", {"batch_size": 8}),
    (tr.FreshNoise(X1, noise=0.4, random_state=1), "relu", {"batch_size": 7}),
    (dsm(X2), "relu", {}),
    (score_matching(X2), "abs", {"batch_size": 9}),
    (tr.FreshNoise(X2, noise=0.4, n_draws=2, labels="smoothed", random_state=1), "relu", {}),
    (dsm(np.random.default_rng(1).normal(size=(300, 5))), "relu", {}),
    (dsm(np.random.default_rng(1).normal(size=(2300, 2))), "abs", {}),  # several blocks
]


@pytest.mark.parametrize(("problem", "activation", "options"), SWEEPS)
def test_a_run_does_not_depend_on_the_runs_beside_it(problem, activation, options):
    """Bitwise: any other number of restarts, other learning rates, neighbours that blow up."""

    def trained(rates, n_restarts):
        return train(
            problem, beta=9.0, width=37, activation=activation, n_restarts=n_restarts, n_epochs=12,
            optimizer=tr.SGD(lr=rates, momentum=0.5, **options), record=4, random_state=3,
        )  # fmt: skip

    many = trained([1e9, 0.01, 0.003], 7)
    assert many.diverged[:7].all() and not many.diverged[7:].any()
    np.testing.assert_array_equal(many.learning_rates, np.repeat([1e9, 0.01, 0.003], 7))
    np.testing.assert_array_equal(many.restarts, np.tile(np.arange(7), 3))
    np.testing.assert_array_equal(many.losses[:14, 0], many.losses[7:, 0])  # the same starts
    for rate, first, few in ((0.01, 7, 1), (0.003, 14, 3)):
        alone = trained(rate, few)
        np.testing.assert_array_equal(alone.losses, many.losses[first : first + few])
        for k in range(few):
            mine, other = alone.network(k), many.network(first + k)
            for name in ("u", "w", "b", "skip", "offset"):
                np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))
    assert np.unique(many.losses[7:, -1]).size == 14  # and they are all different


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", tr.SGD(batch_size=6)])
def test_a_seed_determines_everything_and_global_state_nothing(optimizer):
    def losses(seed):
        return train(
            dsm(X2), optimizer=optimizer, n_restarts=2, n_epochs=20, random_state=seed
        ).losses

    before = np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(losses(5), losses(np.random.default_rng(5)))
    assert not np.array_equal(losses(5), losses(6)) and not np.array_equal(losses(5), losses(None))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_weights_count_as_repetitions():
    weights = np.arange(len(X2)) % 3
    options = {"beta": 4.0, "n_epochs": 50, "n_restarts": 2, "initialization": "fan_in"}
    weighted = train(score_matching(X2, sample_weight=weights), **options)
    repeated = train(score_matching(np.repeat(X2, weights, axis=0)), **options)
    np.testing.assert_allclose(weighted.losses, repeated.losses, rtol=1e-8)


# ---- the global optimum ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("X", "activation", "skip", "beta", "within", "constraint"),
    [
        (X1, "relu", True, 0.7, 5e-4, None),
        (X1, "relu", False, 0.7, 5e-4, None),
        (X1, "abs", True, 0.7, 1e-3, None),
        (X1, "abs", False, 0.7, 5e-3, None),  # local minima 0.2 % above the optimum
        (X2, "relu", True, 2.0, 1e-3, None),
        (X2, "abs", True, 6.0, 5e-4, None),
        (X2, "abs", False, 10.0, 1e-3, None),
        (X2, "relu", True, 1.5, 1e-3, "gradient"),
    ],
)
def test_best_of_many_runs_reaches_the_convex_optimum_and_nobody_goes_below(
    X, activation, skip, beta, within, constraint
):
    task = dict(objective="denoising", noise=0.5, n_draws=1, beta=beta, activation=activation,
                skip=skip, constraint=constraint, random_state=0)  # fmt: skip
    optimum = fit_convex_score(X, **task)
    assert optimum.certificate_.optimal and optimum.certificate_.n_neurons >= 2
    best, excess = [], []
    for optimizer, epochs in ((tr.LBFGS(), 600), (tr.Adam(lr=0.1, schedule="cosine"), 800)):
        runs = tr.train_score_network(
            X, optimizer=optimizer, n_restarts=8, n_epochs=epochs, width=30, **task
        )
        np.testing.assert_array_equal(runs.problem.points.squeeze(), optimum.noisy_points_)
        assert constraint is None or all(network.is_conservative() for network in runs.networks)
        gaps = runs.gaps(optimum)
        assert gaps.min() > -1e-9  # at any time, of any run
        assert gaps[:, 0].min() > 0.1  # there was something to learn
        assert np.all(runs.losses >= runs.path_losses - 1e-9 * np.abs(runs.losses))
        best.append(gaps[runs.best_run, -1])
        reached = runs.path_losses[runs.best_run, -1]
        excess.append(runs.losses[runs.best_run, -1] / reached - 1.0)
        assert runs.certify().objective == pytest.approx(reached, rel=1e-9)
    assert min(best) < within and max(best) < 1e-2
    # where the gradient vanishes |u_j| = |w_j|, so that the weight decay is the path norm
    assert min(excess) < 1e-3


@pytest.mark.parametrize("X", [X1, X2])
@pytest.mark.parametrize("optimizer", [tr.Adam(lr=[0.1, 0.01]), tr.LBFGS()])
def test_score_matching_never_goes_below_and_gets_stuck(X, optimizer):
    """The jumps of the divergence are in no gradient: training ends far above the optimum."""
    runs = tr.train_score_network(
        X, beta=5.0, optimizer=optimizer, n_restarts=5, width=40, n_epochs=600, random_state=0
    )
    gaps = runs.gaps(fit_convex_score(X, beta=5.0))
    assert gaps.min() > -1e-9 and gaps[:, -1].min() > 0.02


def test_score_matching_of_gaussian_data_is_learned():
    """Where the optimum is V x + c there are no kinks to miss."""
    optimum = fit_convex_score(X1, beta=60.0)
    assert np.allclose(optimum.score_function(X1), -(X1 - X1.mean()) / X1.var())
    runs = train(score_matching(X1), beta=60.0, optimizer=tr.Adam(lr=0.02, schedule="cosine"),
                 n_epochs=1500, n_restarts=3, width=20)  # fmt: skip
    gaps = runs.gaps(optimum)
    assert gaps.min() > -1e-9 and gaps[:, -1].max() < 1e-5


@pytest.mark.parametrize(
    ("X", "beta", "some"), [(X1, 0.7, True), (X1, 40.0, False), (X2, 4.0, True)]
)
def test_training_from_the_optimum_stays_there(X, beta, some):
    task = {"objective": "denoising", "noise": 0.5, "beta": beta, "random_state": 0}
    optimum = fit_convex_score(X, **task)
    network = optimum.network_.balanced()
    runs = tr.train_score_network(
        X, initialization=network, optimizer=tr.SGD(lr=1e-3), n_epochs=100, **task
    )
    assert runs.width == network.n_neurons and (network.n_neurons > 1) == some
    gaps = runs.gaps(optimum)
    assert np.abs(gaps).max() < 2e-4 and gaps.min() > -1e-9
    assert runs.losses[0, 0] == pytest.approx(optimum.certificate_.objective, rel=1e-6)


# ---- scale -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scale", "offset"), [(2.0**-27, 3.0 * 2.0**-27), (2.0**10, -5e3), (2.0**25, 1e9)]
)
@pytest.mark.parametrize(
    "problem",
    [
        lambda x, scale: score_matching(x),
        lambda x, scale: denoising(x, noise=0.5 * scale, random_state=0),
        lambda x, scale: tr.FreshNoise(x, noise=0.5 * scale, random_state=0),
        lambda x, scale: tr.FreshNoise(x, noise=0.5 * scale, labels="smoothed", random_state=0),
    ],
)
def test_training_does_not_depend_on_the_units_of_the_data(problem, scale, offset):
    x, options = scale * X2 + offset, {"beta": 4.0, "n_epochs": 40, "n_restarts": 2}
    plain, scaled = train(problem(X2, 1.0), **options), train(problem(x, scale), **options)
    np.testing.assert_allclose(scaled.losses * scale**2, plain.losses, rtol=1e-6)
    found = scaled.network(1)(x[:3]) * scale
    np.testing.assert_allclose(found, plain.network(1)(X2[:3]), rtol=1e-5)


# ---- divergence ------------------------------------------------------------------------------


@pytest.mark.parametrize("X", [X1, X2])
@pytest.mark.parametrize(
    "optimizer",
    [
        tr.SGD(lr=[1e300, 1e4, 20.0, 1e-3]),
        tr.SGD(lr=[1e300, 1e4, 20.0, 1e-3], momentum=0.9, batch_size=8),
        tr.Adam(lr=[1e300, 1e9, 1e6, 1e-3]),
    ],
)
def test_runs_that_blow_up_are_frozen_and_said_so(X, optimizer):
    runs = train(dsm(X), beta=2.0, width=15, optimizer=optimizer, n_restarts=2, n_epochs=60,
                 snapshots=6)  # fmt: skip
    assert runs.diverged.tolist() == [True] * 6 + [False] * 2
    assert set(runs.statuses) == {"diverged", "finished"}
    assert (runs.ended_at[:6] >= 1).all() and (runs.ended_at[6:] == -1).all()
    for array in (runs.losses, runs.path_losses, runs.seconds):
        assert np.isfinite(array).all()
    after = np.searchsorted(runs.steps, runs.ended_at[:6].max())
    assert (runs.losses[:6, after:] == runs.losses[:6, -1:]).all()  # frozen
    assert all(np.isfinite(net(X)).all() for net in runs.networks)
    assert runs.best_run >= 6
    assert (runs.gaps() > -1e-9).all()
    assert "6 diverged" in repr(runs)


def test_all_runs_diverged_still_gives_a_result():
    runs = train(dsm(X1), optimizer=tr.SGD(lr=1e8), n_restarts=2, n_epochs=20)
    assert runs.diverged.all() and np.isfinite(runs.best(X1)).all()


def test_unbounded_score_matching_is_recognised():
    """Points on a line in the plane: V may fall without bound across it, at no cost."""
    t = np.linspace(-1.0, 1.0, 12)
    problem = score_matching(np.column_stack([t, 2.0 * t]))
    none = np.zeros((0, 2))
    nothing = TwoLayerNetwork(none, none, [], offset=[0, 0], skip=np.zeros((2, 2)))
    runs = train(problem, optimizer="lbfgs", initialization=nothing, width=None, n_epochs=500)
    assert runs.statuses == ("unbounded",) and runs.diverged.all()
    assert np.isfinite(runs.losses).all() and runs.losses[0, -1] < -1e3
    with pytest.raises(UnboundedObjectiveError):
        runs.gaps()


# ---- what is recorded ------------------------------------------------------------------------


def test_records_and_snapshots():
    runs = train(dsm(X2), optimizer=tr.Adam(batch_size=8), n_restarts=2,
                 n_epochs=20, record=[3, 7], snapshots=[0, 7, 12])  # fmt: skip
    assert runs.epochs.tolist() == [0, 3, 7, 12, 20]
    assert runs.steps.tolist() == [0, 15, 35, 60, 100]
    assert runs.snapshot_epochs.tolist() == [0, 7, 12, 20]
    assert runs.losses.shape == runs.path_losses.shape == runs.seconds.shape == (2, 5)
    assert (np.diff(runs.seconds) > 0).all() and (runs.seconds[:, 0] == 0).all()
    for snapshot, k in ((0, 0), (1, 2), (2, 3), (-1, 4)):
        certificate = runs.certify(1, snapshot=snapshot)
        assert certificate.objective == pytest.approx(runs.path_losses[1, k], rel=1e-10)
    bound = certificate.dual_objective
    np.testing.assert_allclose(runs.gaps(bound), (runs.path_losses - bound) / abs(bound))
    assert runs.gaps(bound)[1, -1] == pytest.approx(certificate.gap / abs(bound), rel=1e-9)


def test_lbfgs_never_goes_up_and_says_how_it_ended():
    runs = train(dsm(X2), width=20, optimizer="lbfgs", n_restarts=3, n_epochs=400, record=50)
    assert (np.diff(runs.losses) <= 1e-12 * runs.losses[:, 1:]).all()
    assert set(runs.statuses) <= {"converged", "finished", "stalled"}
    assert (runs.ended_at > 20).all() and np.isnan(runs.learning_rates).all()
    few = train(dsm(X2), width=20, optimizer="lbfgs", n_epochs=7)
    assert few.statuses == ("finished",) and few.ended_at.tolist() == [7]
    assert few.epochs.tolist() == list(range(8)) and np.unique(few.losses).size == 8


def test_losses_of_fresh_noise_are_those_of_the_fixed_noise():
    task = {"objective": "denoising", "noise": 0.5, "beta": 3.0, "n_epochs": 1, "random_state": 7}
    (first, fresh), (start, plain) = (
        tr.train_score_network(X1, fresh_noise=fresh, **task).losses[0] for fresh in (True, False)
    )
    assert first == start and fresh != plain


def test_fresh_noise_overfits_less_than_fixed_noise():
    """Ten points, little penalty: on new noise the net trained on fresh noise is better."""
    x = np.random.default_rng(2).normal(size=10)
    test = denoising(x, noise=0.3, n_draws=500, random_state=99)
    how = {"optimizer": tr.Adam(lr=0.03, schedule="cosine"), "n_epochs": 1500, "n_restarts": 4}
    how |= {"objective": "denoising", "noise": 0.3, "beta": 0.01, "width": 40, "random_state": 0}
    fixed, fresh = (
        [np.mean((net(test.points) - test.labels) ** 2)
         for net in tr.train_score_network(x, fresh_noise=fresh, **how).networks]
        for fresh in (False, True)
    )  # fmt: skip
    assert max(fresh) < min(fixed)


def test_callback_sees_losses_and_can_stop():
    seen = []

    def stop_at_ten(epoch, losses):
        seen.append(epoch)
        assert losses.shape == (2,)
        with pytest.raises(ValueError, match="read-only"):
            losses[0] = 0.0
        return epoch == 10

    options = {"n_restarts": 2, "n_epochs": 50, "record": 10}
    runs = train(dsm(X1), callback=stop_at_ten, **options)
    assert seen == [5, 10] and runs.epochs.tolist() == [0, 5, 10]
    assert runs.snapshot_epochs.tolist() == [10] and runs.losses.shape == (2, 3)
    assert set(runs.statuses) == {"stopped by the callback"}
    np.testing.assert_array_equal(runs.losses, train(dsm(X1), **options).losses[:, :3])


def test_callback_of_lbfgs_comes_after_every_run():
    seen = []
    runs = train(dsm(X1), n_restarts=3, n_epochs=50, optimizer="lbfgs",
                 callback=lambda k, losses: seen.append(k) or k == 2)  # fmt: skip
    assert seen == [1, 2] and runs.statuses[2] == "stopped by the callback"
    assert runs.losses[2, 0] == runs.losses[2, -1] and runs.losses[1, 0] > runs.losses[1, -1]


def test_progress_bar_counts_epochs(capsys):
    pytest.importorskip("tqdm")
    train(dsm(X1), n_epochs=5, progress=True)
    assert "5/5" in capsys.readouterr().err


# ---- bad input -------------------------------------------------------------------------------


def short(problem=None, **options):
    return train(dsm(X1) if problem is None else problem, n_epochs=10, **options)


@pytest.mark.parametrize(
    ("call", "options", "message"),
    [
        (short, {"beta": -1.0}, "beta must be finite and >= 0"),
        (short, {"width": 0}, "width must be an integer >= 1"),
        (short, {"optimizer": "adamw"}, "optimizer must be one of 'sgd'"),
        (short, {"n_restarts": 0}, "n_restarts"),
        (short, {"activation": "tanh"}, "activation must be one of"),
        (short, {"skip": None}, "skip must be one of"),
        (short, {"record": -1}, "record must be an integer >= 0"),
        (short, {"snapshots": [0, 99]}, "between 0 and n_epochs = 10"),
        (short, {"record": [0.5]}, "record must be a number of epochs or a list"),
        (short, {"random_state": -1}, "random_state"),
        (short, {"optimizer": tr.SGD(schedule=lambda step, n: -1.0)}, "finite factor >= 0"),
        (short, {"problem": tr.FreshNoise(X1, noise=0.5), "optimizer": "lbfgs"}, "L-BFGS needs"),
        (short, {"initialization": "xavier"}, "initialization must be one of 'data'"),
        (short, {"initialization": NETWORK, "width": 3}, "cannot start the training"),
        (short, {"initialization": NETWORK, "width": None, "skip": False}, "with skip=True"),
        (train, {"problem": dsm(X1), "n_epochs": 1.5}, "n_epochs"),
        (tr.SGD, {"lr": 0.0}, "lr must be finite and > 0"),
        (tr.SGD, {"lr": []}, "lr is empty"),
        (tr.SGD, {"lr": "fast"}, "lr must be a number"),
        (tr.SGD, {"momentum": 1.0}, "momentum must be in [0, 1)"),
        (tr.SGD, {"batch_size": 0}, "batch_size must be an integer >= 1"),
        (tr.Adam, {"beta2": 1.5}, "beta2 must be in [0, 1)"),
        (tr.Adam, {"epsilon": 0.0}, "epsilon must be finite and > 0"),
        (tr.Adam, {"schedule": "exponential"}, "schedule must be one of"),
        (tr.LBFGS, {"memory": 0}, "memory must be an integer >= 1"),
        (tr.FreshNoise, {"X": X1, "noise": -1.0}, "noise must be finite and > 0"),
        (tr.train_score_network, {"X": X1, "beta": 1.0, "fresh_noise": True}, "has no noise"),
    ],
)
def test_bad_arguments(call, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call(**options)


def test_arguments_of_a_wrong_type():
    with pytest.raises(TypeError, match="problem must be a ScoreObjective"):
        short(X1)
    with pytest.raises(TypeError, match="callback must be None or a callable"):
        short(callback=3)


def test_bad_questions_to_a_result():
    runs = train(dsm(X1), n_epochs=5)
    same = dict(objective="denoising", noise=0.5, n_draws=1, beta=3.0, random_state=0)
    assert (runs.gaps(fit_convex_score(X1, **same)) > 0).all()
    with pytest.raises(IndexError):
        runs.network(1)
    with pytest.raises(TypeError, match="optimum must be"):
        runs.gaps("best")
    for change, message in (
        ({"n_draws": 2}, "fitted to 60 other noisy points than the 30 of the runs"),
        ({"beta": 4.0}, "the runs are for beta = 3"),
        ({"random_state": 1}, "fitted to 30 other noisy points"),
    ):
        with pytest.raises(ValueError, match=message):
            runs.gaps(fit_convex_score(X1, **same | change))
