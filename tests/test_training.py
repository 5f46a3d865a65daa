"""Training by gradients: optimisers, restarts, divergence, gaps to the global optimum."""

from __future__ import annotations

import re

import numpy as np
import pytest

from convexscore import TwoLayerNetwork, UnboundedObjectiveError, fit_convex_score
from convexscore import training as tr
from convexscore.objectives import denoising, score_matching
from convexscore.scores.activations import RELU
from convexscore.training.batches import full_batch
from convexscore.training.loss import TrainingLoss
from convexscore.training.parameters import Layout, Units

X1 = np.concatenate([np.linspace(-2.6, -1.2, 14), np.linspace(0.2, 2.4, 16)])
X2 = (
    np.random.default_rng(12).normal([[-1.5, 0.0], [1.0, 1.0]], 0.6, size=(20, 2, 2)).reshape(-1, 2)
)


def dsm(X, seed=0):
    return denoising(X, noise=0.5, n_draws=1, random_state=seed)


# ---- optimisers against loops ----------------------------------------------------------------


def slow_sgd(gradient, theta, lr, momentum, nesterov, factors):
    velocity = 0.0 * theta
    for factor in factors:
        g = gradient(theta)
        velocity = momentum * velocity + g
        theta = theta - lr * factor * (g + momentum * velocity if nesterov else velocity)
    return theta


def slow_adam(gradient, theta, lr, beta1, beta2, epsilon, factors):
    mean, square = 0.0 * theta, 0.0 * theta
    for t, factor in enumerate(factors, start=1):
        g = gradient(theta)
        mean = beta1 * mean + (1 - beta1) * g
        square = beta2 * square + (1 - beta2) * g**2
        corrected = mean / (1 - beta1**t)
        theta = theta - lr * factor * corrected / (np.sqrt(square / (1 - beta2**t)) + epsilon)
    return theta


@pytest.mark.parametrize(
    ("settings", "slow"),
    [
        (tr.SGD(lr=0.02), lambda f, t, s: slow_sgd(f, t, 0.02, 0.0, False, s)),
        (tr.SGD(lr=0.02, momentum=0.8), lambda f, t, s: slow_sgd(f, t, 0.02, 0.8, False, s)),
        (
            tr.SGD(lr=0.02, momentum=0.8, nesterov=True, schedule="cosine"),
            lambda f, t, s: slow_sgd(f, t, 0.02, 0.8, True, s),
        ),
        (
            tr.Adam(lr=0.05, beta1=0.7, beta2=0.9, epsilon=1e-3, schedule=tr.WarmUp("step")),
            lambda f, t, s: slow_adam(f, t, 0.05, 0.7, 0.9, 1e-3, s),
        ),
    ],
)
@pytest.mark.parametrize("X", [X1[:, None], X2])
def test_optimizers_against_their_formulas(settings, slow, X):
    problem, beta, epochs = dsm(X), 1.5, 40
    runs = tr.train(
        problem, beta=beta, width=6, optimizer=settings, n_epochs=epochs, snapshots=[0],
        rescale=False, random_state=0,
    )  # fmt: skip
    layout = Layout(problem.dim, 6, True, False)
    loss = TrainingLoss(layout, RELU, beta, 0.0)
    units = Units.of(problem, False)
    start = units.parameters(layout, runs.network(0, snapshot=0))

    def gradient(theta):
        return loss.gradient(theta[None], full_batch(problem))[1][0] / problem.n_samples

    schedule = tr.get_schedule(settings.schedule)
    wanted = slow(gradient, start, [schedule(t, epochs) for t in range(epochs)])
    found = units.parameters(layout, runs.network(0))
    np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    assert np.abs(found - start).max() > 0.01


def test_reduction_only_scales_the_learning_rate():
    problem = dsm(X1)
    mean = tr.train(problem, beta=2.0, width=5, optimizer=tr.SGD(lr=0.03), n_epochs=30,
                    rescale=False, random_state=0)  # fmt: skip
    total = tr.train(problem, beta=2.0, width=5, optimizer=tr.SGD(lr=0.03 / len(X1)), n_epochs=30,
                     rescale=False, reduction="sum", random_state=0)  # fmt: skip
    np.testing.assert_allclose(mean.losses, total.losses, rtol=1e-10)


@pytest.mark.parametrize("schedule", ["constant", "step", "cosine", "inverse-time", "warm-up"])
def test_schedules_are_factors_at_most_one(schedule):
    factors = [tr.get_schedule(schedule)(step, 200) for step in range(200)]
    assert max(factors) == 1.0 and min(factors) >= 0.0
    if schedule == "constant":
        assert min(factors) == 1.0
    elif schedule == "warm-up":
        assert np.argmax(factors) == 9 and factors[0] == 0.1 and factors[-1] == 1.0
    else:
        assert factors[0] == 1.0 and factors[-1] < 0.2 and np.all(np.diff(factors) <= 0)


def test_warm_up_hands_the_rest_to_the_other_schedule():
    warm = tr.WarmUp(tr.Cosine(final=0.1), share=0.25)
    assert [warm(step, 8) for step in (0, 1)] == [0.5, 1.0]
    assert [warm(2 + k, 8) for k in range(6)] == [tr.Cosine(final=0.1)(k, 6) for k in range(6)]


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
        return tr.train(
            problem, beta=9.0, width=37, activation=activation, n_restarts=n_restarts, n_epochs=12,
            optimizer=tr.SGD(lr=rates, momentum=0.5, **options), record=4, random_state=3,
        )  # fmt: skip

    many = trained([1e9, 0.01, 0.003], 7)
    assert many.diverged[:7].all() and not many.diverged[7:].any()
    np.testing.assert_array_equal(many.learning_rates, np.repeat([1e9, 0.01, 0.003], 7))
    np.testing.assert_array_equal(many.restarts, np.tile(np.arange(7), 3))
    for rate, first, few in ((0.01, 7, 1), (0.003, 14, 3)):
        alone = trained(rate, few)
        np.testing.assert_array_equal(alone.losses, many.losses[first : first + few])
        for k in range(few):
            mine, other = alone.network(k), many.network(first + k)
            for name in ("u", "w", "b", "skip", "offset"):
                np.testing.assert_array_equal(getattr(mine, name), getattr(other, name))
    assert np.unique(many.losses[7:, -1]).size == 14  # and they are all different


def test_restarts_share_start_and_noise_across_learning_rates():
    runs = tr.train(dsm(X1), beta=2.0, width=5, optimizer=tr.Adam(lr=[1e-2, 1e-3], batch_size=8),
                    n_restarts=3, n_epochs=4, random_state=0)  # fmt: skip
    np.testing.assert_array_equal(runs.losses[:3, 0], runs.losses[3:, 0])
    assert not np.array_equal(runs.losses[:3, 1], runs.losses[3:, 1])


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", tr.SGD(batch_size=6)])
def test_a_seed_determines_everything_and_another_changes_it(optimizer):
    def losses(seed):
        return tr.train(dsm(X2), beta=3.0, width=6, optimizer=optimizer, n_restarts=2, n_epochs=20,
                        random_state=seed).losses  # fmt: skip

    np.testing.assert_array_equal(losses(5), losses(5))
    assert not np.array_equal(losses(5), losses(6))
    np.testing.assert_array_equal(losses(5), losses(np.random.default_rng(5)))


def test_global_random_state_is_neither_read_nor_written():
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    tr.train(dsm(X1), beta=3.0, width=6, n_epochs=3, random_state=None)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_weights_count_as_repetitions():
    weights = np.arange(len(X2)) % 3
    doubled = np.repeat(X2, weights, axis=0)
    options = dict(
        beta=4.0, width=8, n_epochs=50, n_restarts=2, initialization="he", random_state=0
    )
    weighted = tr.train(score_matching(X2, sample_weight=weights), **options)
    repeated = tr.train(score_matching(doubled), **options)
    np.testing.assert_allclose(weighted.losses, repeated.losses, rtol=1e-8)


# ---- the global optimum ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("X", "activation", "skip", "beta", "within"),
    [
        (X1, "relu", True, 0.7, 5e-4),
        (X1, "relu", False, 0.7, 5e-4),
        (X1, "abs", True, 0.7, 1e-3),
        (X1, "abs", False, 0.7, 5e-3),  # all runs end in local minima 0.2 % above the optimum
        (X2, "relu", True, 2.0, 1e-3),
        (X2, "abs", True, 6.0, 5e-4),
        (X2, "abs", False, 10.0, 1e-3),
    ],
)
def test_best_of_many_runs_reaches_the_convex_optimum_and_nobody_goes_below(
    X, activation, skip, beta, within
):
    task = dict(objective="denoising", noise=0.5, n_draws=1, beta=beta, activation=activation,
                skip=skip)  # fmt: skip
    optimum = fit_convex_score(X, random_state=0, **task)
    assert optimum.certificate_.optimal and optimum.certificate_.n_neurons >= 2
    best = []
    for optimizer, epochs in ((tr.LBFGS(), 600), (tr.Adam(lr=0.1, schedule="cosine"), 800)):
        runs = tr.train_score_network(
            X, optimizer=optimizer, n_restarts=8, n_epochs=epochs, width=30, random_state=0, **task
        )
        np.testing.assert_array_equal(runs.problem.points.squeeze(), optimum.noisy_points_)
        gaps = runs.gaps(optimum)
        assert gaps.min() > -1e-9  # at any time, of any run
        assert gaps[:, 0].min() > 0.1  # there was something to learn
        assert np.all(runs.losses >= runs.path_losses - 1e-9 * np.abs(runs.losses))
        best.append(gaps[runs.best_run, -1])
    assert min(best) < within and max(best) < 1e-2


@pytest.mark.slow
def test_conservative_training_reaches_the_conservative_optimum():
    task = dict(objective="denoising", noise=0.5, beta=3.0, constraint="gradient", random_state=0)
    optimum = fit_convex_score(X2, **task)
    runs = tr.train_score_network(X2, optimizer="lbfgs", n_restarts=6, width=30, **task)
    assert all(network.is_conservative() for network in runs.networks)
    gaps = runs.gaps(optimum)
    assert gaps.min() > -1e-9 and gaps[runs.best_run, -1] < 1e-3
    assert runs.certify().objective == pytest.approx(runs.path_losses[runs.best_run, -1], rel=1e-9)


@pytest.mark.parametrize("X", [X1, X2])
def test_score_matching_never_goes_below_and_gets_stuck(X):
    """The jumps of the divergence are in no gradient: training ends far above the optimum."""
    beta = 5.0
    optimum = fit_convex_score(X, beta=beta)
    gaps = []
    for optimizer in (tr.Adam(lr=[0.1, 0.01]), tr.LBFGS()):
        runs = tr.train_score_network(
            X, beta=beta, optimizer=optimizer, n_restarts=5, width=40, n_epochs=600, random_state=0
        )
        gaps.append(runs.gaps(optimum))
        assert gaps[-1].min() > -1e-9
    assert min(gap[:, -1].min() for gap in gaps) > 0.02


def test_score_matching_of_gaussian_data_is_learned():
    """Where the optimum is V x + c there are no kinks to miss."""
    beta = 60.0
    optimum = fit_convex_score(X1, beta=beta)
    assert np.allclose(optimum.score_function(X1), -(X1 - X1.mean()) / X1.var())
    runs = tr.train(score_matching(X1), beta=beta, optimizer=tr.Adam(lr=0.02, schedule="cosine"),
                    n_epochs=1500, n_restarts=3, width=20, random_state=0)  # fmt: skip
    gaps = runs.gaps(optimum)
    assert gaps.min() > -1e-9 and gaps[:, -1].max() < 1e-5


@pytest.mark.parametrize(
    ("X", "beta", "some"), [(X1, 0.7, True), (X1, 40.0, False), (X2, 4.0, True)]
)
def test_training_from_the_optimum_stays_there(X, beta, some):
    optimum = fit_convex_score(X, objective="denoising", noise=0.5, beta=beta, random_state=0)
    network = optimum.network_.balanced()
    runs = tr.train_score_network(
        X, objective="denoising", noise=0.5, beta=beta, initialization=network, random_state=0,
        optimizer=tr.SGD(lr=1e-3), n_epochs=100,
    )  # fmt: skip
    assert runs.width == network.n_neurons and (network.n_neurons > 1) == some
    gaps = runs.gaps(optimum)
    assert np.abs(gaps).max() < 2e-4 and gaps.min() > -1e-9
    assert runs.losses[0, 0] == pytest.approx(optimum.certificate_.objective, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("X", "activation"), [(X1, "relu"), (X1, "abs"), (X2, "relu")])
def test_neurons_end_balanced(X, activation):
    """Where the gradient vanishes |u_j| = |w_j|, so that weight decay is the path norm."""
    runs = tr.train(dsm(X), beta=2.0, width=12, activation=activation, n_epochs=3000, n_restarts=3,
                    initialization="he", optimizer=tr.Adam(lr=0.05, schedule="cosine"),
                    random_state=0)  # fmt: skip
    start, end = (runs.losses / runs.path_losses - 1.0)[:, [0, -1]].T
    assert start.min() > 0.01 and end.max() < 1e-3
    for network in runs.networks:
        u, w = np.linalg.norm(network.u, axis=1), np.linalg.norm(network.w, axis=1)
        kept = np.maximum(u, w) > 0.1
        assert kept.any()
        np.testing.assert_allclose(u[kept], w[kept], rtol=2e-2)


# ---- scale -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2.0**-27, 2.0**10])
@pytest.mark.parametrize("kind", ["score_matching", "denoising", "fresh", "fresh smoothed"])
def test_training_does_not_depend_on_the_units_of_the_data(kind, scale):
    def trained(factor, offset):
        x = factor * X2 + offset
        problem = score_matching(x)
        if kind == "denoising":
            problem = denoising(x, noise=0.5 * factor, random_state=0)
        elif kind != "score_matching":
            labels = "smoothed" if "smoothed" in kind else "noisy"
            problem = tr.FreshNoise(x, noise=0.5 * factor, labels=labels, random_state=0)
        return tr.train(problem, beta=4.0, width=10, n_epochs=40, n_restarts=2, random_state=0)

    plain, scaled = trained(1.0, 0.0), trained(scale, 3.0 * scale)
    np.testing.assert_allclose(scaled.losses * scale**2, plain.losses, rtol=1e-6)
    point = X2[:3]
    np.testing.assert_allclose(
        scaled.network(1)(scale * (point + 3.0)) * scale, plain.network(1)(point), rtol=1e-5
    )


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
    runs = tr.train(dsm(X), beta=2.0, width=15, optimizer=optimizer, n_restarts=2, n_epochs=60,
                    snapshots=6, random_state=0)  # fmt: skip
    assert runs.diverged.tolist() == [True] * 6 + [False] * 2
    assert set(runs.statuses) == {"diverged", "finished"}
    assert (runs.ended_at[:6] >= 1).all() and (runs.ended_at[6:] == -1).all()
    for array in (runs.losses, runs.path_losses, runs.data_losses, runs.seconds):
        assert np.isfinite(array).all()
    after = np.searchsorted(runs.steps, runs.ended_at[:6].max())
    assert (runs.losses[:6, after:] == runs.losses[:6, -1:]).all()  # frozen
    assert all(np.isfinite(net(X)).all() for net in runs.networks)
    assert runs.best_run >= 6
    assert (runs.gaps() > -1e-9).all()
    assert "6 diverged" in repr(runs)


def test_all_runs_diverged_still_gives_a_result():
    runs = tr.train(dsm(X1), beta=2.0, width=5, optimizer=tr.SGD(lr=1e8), n_restarts=2, n_epochs=20)
    assert runs.diverged.all() and np.isfinite(runs.best(X1)).all()


def test_unbounded_score_matching_is_recognised():
    """Points on a line in the plane: V may fall without bound across it, at no cost."""
    t = np.linspace(-1.0, 1.0, 12)
    problem = score_matching(np.column_stack([t, 2.0 * t]))
    nothing = TwoLayerNetwork(
        np.zeros((0, 2)), np.zeros((0, 2)), [], offset=[0, 0], skip=np.zeros((2, 2))
    )
    runs = tr.train(problem, beta=2.0, optimizer="lbfgs", initialization=nothing, n_epochs=500)
    assert runs.statuses == ("unbounded",) and runs.diverged.all()
    assert np.isfinite(runs.losses).all() and runs.losses[0, -1] < -1e3
    with pytest.raises(UnboundedObjectiveError):
        runs.gaps()


# ---- what is recorded ------------------------------------------------------------------------


def test_records_and_snapshots():
    runs = tr.train(dsm(X2), beta=3.0, width=8, optimizer=tr.Adam(batch_size=8), n_restarts=2,
                    n_epochs=20, record=[3, 7], snapshots=[0, 7, 12], random_state=0)  # fmt: skip
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


def test_logarithmic_records():
    epochs = tr.log_epochs(500, 20)
    assert epochs[0] == 0 and epochs[-1] == 500 and len(epochs) <= 20
    runs = tr.train(dsm(X1), beta=3.0, width=3, n_epochs=500, record=epochs, random_state=0)
    assert runs.epochs.tolist() == epochs


def test_lbfgs_never_goes_up_and_says_how_it_ended():
    runs = tr.train(dsm(X2), beta=3.0, width=20, optimizer="lbfgs", n_restarts=3, n_epochs=400,
                    record=50, random_state=0)  # fmt: skip
    assert (np.diff(runs.losses) <= 1e-12 * runs.losses[:, 1:]).all()
    assert set(runs.statuses) <= {"converged", "finished", "stalled"}
    assert (runs.ended_at > 20).all() and np.isnan(runs.learning_rates).all()
    few = tr.train(dsm(X2), beta=3.0, width=20, optimizer="lbfgs", n_epochs=7, random_state=0)
    assert few.statuses == ("finished",) and few.ended_at.tolist() == [7]
    assert few.epochs.tolist() == list(range(8)) and np.unique(few.losses).size == 8


def test_losses_are_reported_on_the_fixed_problem():
    source = tr.FreshNoise(X1, noise=0.5, random_state=7)
    fixed = denoising(X1, noise=0.5, random_state=7)
    np.testing.assert_array_equal(source.problem.points, fixed.points)
    options = dict(beta=3.0, width=9, n_epochs=1, random_state=0)
    fresh, plain = tr.train(source, **options), tr.train(fixed, **options)
    assert fresh.losses[0, 0] == plain.losses[0, 0] and fresh.losses[0, 1] != plain.losses[0, 1]


def test_fresh_noise_overfits_less_than_fixed_noise():
    """Ten points, little penalty: on new noise the net trained on fresh noise is better."""
    x = np.random.default_rng(2).normal(size=10)
    test = denoising(x, noise=0.3, n_draws=500, random_state=99)
    losses = {}
    for fresh in (False, True):
        runs = tr.train_score_network(
            x, objective="denoising", noise=0.3, fresh_noise=fresh, beta=0.01, width=40,
            optimizer=tr.Adam(lr=0.03, schedule="cosine"), n_epochs=1500, n_restarts=4,
            random_state=0,
        )  # fmt: skip
        losses[fresh] = [np.mean((net(test.points) - test.labels) ** 2) for net in runs.networks]
    assert max(losses[True]) < min(losses[False])


def test_callback_sees_losses_and_can_stop():
    seen = []

    def stop_at_ten(epoch, losses):
        seen.append(epoch)
        assert losses.shape == (2,)
        with pytest.raises(ValueError, match="read-only"):
            losses[0] = 0.0
        return epoch == 10

    runs = tr.train(dsm(X1), beta=3.0, width=4, n_restarts=2, n_epochs=50, record=10,
                    callback=stop_at_ten, random_state=0)  # fmt: skip
    assert seen == [5, 10] and runs.epochs.tolist() == [0, 5, 10]
    assert runs.snapshot_epochs.tolist() == [10] and runs.losses.shape == (2, 3)
    assert set(runs.statuses) == {"stopped by the callback"}
    full = tr.train(
        dsm(X1), beta=3.0, width=4, n_restarts=2, n_epochs=50, record=10, random_state=0
    )
    np.testing.assert_array_equal(runs.losses, full.losses[:, :3])


def test_callback_of_lbfgs_comes_after_every_run():
    seen = []
    runs = tr.train(dsm(X1), beta=3.0, width=4, n_restarts=3, n_epochs=50, optimizer="lbfgs",
                    callback=lambda k, losses: seen.append(k) or k == 2, random_state=0)  # fmt: skip
    assert seen == [1, 2] and runs.statuses[2] == "stopped by the callback"
    assert runs.losses[2, 0] == runs.losses[2, -1] and runs.losses[1, 0] > runs.losses[1, -1]


def test_progress_bar_counts_epochs(capsys):
    pytest.importorskip("tqdm")
    tr.train(dsm(X1), beta=3.0, width=4, n_epochs=5, progress=True)
    assert "5/5" in capsys.readouterr().err


def test_table_has_one_line_per_run_best_first():
    runs = tr.train(dsm(X1), beta=3.0, width=4, optimizer=tr.SGD(lr=[1e6, 0.01]), n_restarts=2,
                    n_epochs=50, random_state=0)  # fmt: skip
    optimum = fit_convex_score(
        X1, objective="denoising", noise=0.5, n_draws=1, beta=3.0, random_state=0
    )
    rows = runs.rows(optimum)
    assert [row["run"] for row in rows] == [0, 1, 2, 3]
    assert rows[2]["learning rate"] == 0.01 and rows[2]["gap"] > 0
    lines = runs.table().splitlines()
    assert len(lines) == 5 and lines[1].split()[0] == str(runs.best_run)
    assert "diverged" in lines[-1] and "gap" not in lines[0] and "gap" in runs.table(optimum)


# ---- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"problem": X1}, TypeError, "problem must be a ScoreObjective"),
        ({"beta": -1.0}, ValueError, "beta must be finite and >= 0"),
        ({"beta": "cv"}, ValueError, "beta must be a number"),
        ({"width": 0}, ValueError, "width must be an integer >= 1"),
        ({"optimizer": "adamw"}, ValueError, "optimizer must be one of 'sgd'"),
        ({"n_restarts": 0}, ValueError, "n_restarts"),
        ({"n_epochs": 1.5}, ValueError, "n_epochs"),
        ({"activation": "tanh"}, ValueError, "activation must be one of"),
        ({"skip": None}, ValueError, "skip must be one of"),
        ({"initialization": "xavier"}, ValueError, "initialization must be one of 'data'"),
        ({"record": -1}, ValueError, "record must be an integer >= 0"),
        ({"snapshots": [0, 99]}, ValueError, "must lie between 0 and 10"),
        ({"record": [0.5]}, ValueError, "record must be a number of epochs or a list"),
        ({"reduction": "none"}, ValueError, "reduction must be one of"),
        ({"callback": 3}, TypeError, "callback must be None or a callable"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"optimizer": tr.SGD(schedule=lambda step, n: -1.0)}, ValueError, "finite factor >= 0"),
        (
            {"problem": tr.FreshNoise(X1, noise=0.5), "optimizer": "lbfgs"},
            ValueError,
            "L-BFGS needs",
        ),
        (
            {"initialization": [TwoLayerNetwork([1.0], [1.0], [0.0], offset=0.0)] * 2},
            ValueError,
            "2 networks for n_restarts = 1",
        ),
        (
            {"initialization": TwoLayerNetwork([1.0], [1.0], [0.0], offset=0.0), "width": 3},
            ValueError,
            "cannot start the training",
        ),
        (
            {
                "initialization": TwoLayerNetwork([1.0], [1.0], [0.0], offset=0.0, skip=1.0),
                "skip": False,
                "width": None,
            },
            ValueError,
            "train with skip=True",
        ),
    ],
)
def test_bad_arguments(change, error, message):
    arguments = {"problem": dsm(X1), "beta": 1.0, "width": 4, "n_epochs": 10, **change}
    with pytest.raises(error, match=re.escape(message)):
        tr.train(arguments.pop("problem"), **arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tr.SGD(lr=0.0), "lr must be finite and > 0"),
        (lambda: tr.SGD(lr=[]), "lr is empty"),
        (lambda: tr.SGD(lr="fast"), "lr must be a number"),
        (lambda: tr.SGD(momentum=1.0), "momentum must be in [0, 1)"),
        (lambda: tr.SGD(nesterov=True), "nesterov=True needs momentum"),
        (lambda: tr.SGD(batch_size=0), "batch_size must be an integer >= 1"),
        (lambda: tr.Adam(beta2=1.5), "beta2 must be in [0, 1)"),
        (lambda: tr.Adam(epsilon=0.0), "epsilon must be finite and > 0"),
        (lambda: tr.Adam(schedule="exponential"), "schedule must be one of"),
        (lambda: tr.StepDecay(at=(0.5, 1.5)), "at must be between 0 and 1"),
        (lambda: tr.LBFGS(memory=0), "memory must be an integer >= 1"),
        (lambda: tr.FreshNoise(X1, noise=-1.0), "noise must be finite and > 0"),
        (lambda: tr.FreshNoise(X1, noise=1.0, labels="none"), "labels must be one of"),
        (lambda: tr.log_epochs(0), "n_epochs must be an integer >= 1"),
        (lambda: tr.train_score_network(X1, beta=1.0, fresh_noise=True), "which has no noise"),
        (
            lambda: tr.train_score_network(X1, beta=1.0, objective="denoising"),
            "noise must be given",
        ),
        (lambda: tr.train_score_network([[np.nan], [1.0]], beta=1.0), "must be finite"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_bad_questions_to_a_result():
    runs = tr.train(dsm(X1), beta=3.0, width=4, n_epochs=5, random_state=0)
    with pytest.raises(ValueError, match="run must be an index"):
        runs.network(1)
    with pytest.raises(ValueError, match="snapshot must be an index"):
        runs.network(0, snapshot=5)
    with pytest.raises(TypeError, match="optimum must be"):
        runs.gaps("best")
    other = fit_convex_score(X1, objective="denoising", noise=0.5, beta=4.0, random_state=0)
    with pytest.raises(ValueError, match="fitted to 60 other noisy points than the 30 of the runs"):
        runs.gaps(other)
    same = dict(objective="denoising", noise=0.5, n_draws=1, random_state=0)
    with pytest.raises(ValueError, match="the runs are for beta = 3"):
        runs.gaps(fit_convex_score(X1, beta=4.0, **same))
    elsewhere = fit_convex_score(X1, beta=3.0, **same | {"random_state": 1})
    with pytest.raises(ValueError, match="fitted to 30 other noisy points"):
        runs.gaps(elsewhere)
    assert (runs.gaps(fit_convex_score(X1, beta=3.0, **same)) > 0).all()
