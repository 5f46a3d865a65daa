"""Plain Langevin keeps the shares it starts with, noise levels find them: the numbers."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import bimodal, langevin_vs_ddpm  # noqa: E402
from benchmarks.bimodal import LAW, STEP, CallCounter, LangevinLaw  # noqa: E402
from convexscore import (  # noqa: E402
    fit_convex_diffusion,
    fit_convex_score,
    metrics,
    samplers,
    schedules,
    scores,
    targets,
)

N = 4000
SE = float(np.sqrt(0.2 * 0.8 / N))
# enough for what is asked here: 512 steps and a few bits more
FAST = 10


@pytest.fixture(scope="module")
def exact_law():
    return LangevinLaw.on_grid(LAW, STEP)


@pytest.fixture(scope="module")
def after_300():
    """Samples of every sampler after 300 calls of the exact score, and the calls counted."""
    found = {}
    for name, sampler in bimodal.exact_samplers(N, seed=0).items():
        counter = CallCounter()
        found[name] = sampler(300, counter), counter.n
    return found


# ---------------------------------------------------------------------- the failure and its repair
def test_all_samplers_use_the_same_number_of_score_calls(after_300):
    assert len(after_300) == 7
    assert all(300 <= calls <= 302 for _, calls in after_300.values())


def test_langevin_and_mala_keep_the_shares_they_start_with(after_300):
    weight = {name: bimodal.weight_of(x) for name, (x, _) in after_300.items()}
    for sampler in ("Langevin", "MALA"):
        assert weight[f"{sampler} from the large mode"] < 0.01
        assert weight[f"{sampler} from half and half"] == pytest.approx(0.5, abs=0.02)
    # the score is right: chains that start right stay right
    assert weight["Langevin from true samples"] == pytest.approx(0.2, abs=4 * SE)


def test_ddpm_finds_the_shares_within_the_noise_floor(after_300):
    def draw(n, random_state):
        return LAW.sample(n, random_state=random_state)

    x = after_300["DDPM"][0]
    assert bimodal.weight_of(x) == pytest.approx(0.2, abs=3 * SE)
    truth = LAW.sample(N, random_state=99)
    for metric in (metrics.energy_distance, metrics.total_variation_grid):
        floor = metrics.noise_floor(
            metric, draw, N, n_repeats=60, quantile=0.99, random_state=0
        ).upper
        assert metric(x, truth) <= floor
        # the control: what must not be within the floor is far from it
        assert metric(after_300["Langevin from the large mode"][0], truth) > 3.0 * floor
        assert metric(after_300["Langevin from half and half"][0], truth) > 3.0 * floor


def test_annealing_comes_close_with_the_same_calls_and_closer_with_more(after_300):
    few = bimodal.weight_of(after_300["annealed Langevin"][0])
    many = bimodal.weight_of(bimodal.by_annealing(2000, CallCounter(), n=N, seed=0))
    assert abs(few - 0.2) < 0.05
    assert abs(many - 0.2) < 4 * SE


def test_ddpm_does_not_find_weights_that_are_not_in_its_score():
    """The control: with the score of equal weights, DDPM returns equal weights."""
    equal = targets.GaussianMixture([0.5, 0.5], [-4.0, 4.0], 1.0)
    grid = schedules.exponential_grid(5.0, 200)
    run = samplers.ddpm(scores.vp_score(equal), None, grid, n_samples=N, random_state=0)
    assert bimodal.weight_of(run.samples) == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(N))


# ---------------------------------------------------------------------- the exact law of Langevin
def test_exact_weights_agree_with_chains_written_out_here(exact_law):
    rng = np.random.default_rng(5)
    x = -4.0 + rng.normal(size=20_000)
    at, shares = [50, 200, 400], []
    for step in range(1, at[-1] + 1):
        # the score of the mixture in closed form
        right = 1.0 / (1.0 + 4.0 * np.exp(-8.0 * x))
        x = x + 0.5 * STEP * (-(x + 4.0) + 8.0 * right) + np.sqrt(STEP) * rng.normal(size=x.size)
        if step in at:
            shares.append(np.mean(x > 0))
    exact = np.array(exact_law.weights("from the large mode", at))
    error = np.sqrt(exact * (1 - exact) / x.size)
    assert np.all(np.abs(shares - exact) < 4 * error)
    # the control: another step size is seen
    slow = LangevinLaw.on_grid(LAW, 0.5 * STEP, FAST).weights("from the large mode", [400])[0]
    assert abs(shares[-1] - slow) > 4 * error[-1]


def test_powers_of_the_transition_matrix(exact_law):
    for power in exact_law.powers:
        assert np.allclose(power.sum(axis=1), 1.0, atol=1e-9) and power.min() >= 0.0
    # 13 = 8 + 4 + 1 steps, one at a time
    law = bimodal.start_law("from half and half")
    for _ in range(13):
        law = law @ exact_law.powers[0]
    right = law[bimodal.GRID > 0].sum() + 0.5 * law[bimodal.GRID == 0].sum()
    assert exact_law.weights("from half and half", [0, 13]) == pytest.approx([0.5, right])
    # both starts end at the same weight: nearly the right one, for Langevin has a bias
    last = 2**20 - 1
    ends = [
        exact_law.weights(where, [last])[0]
        for where in ("from the large mode", "from half and half")
    ]
    assert ends[0] == pytest.approx(ends[1], abs=1e-9)
    assert 0.2 < ends[0] < 0.205


def test_steps_until_the_weight_is_right(exact_law):
    steps = exact_law.steps_to_balance()
    before, after = exact_law.weights("from the large mode", [int(0.998 * steps), steps])
    assert before < 0.18 <= after
    assert steps == pytest.approx(30_112, rel=2e-3)


def test_the_time_to_cross_is_exponential_in_the_depth_of_the_valley():
    """Eyring-Kramers: rate of crossing = prefactor times exp(-depth), prefactors within two."""
    rates, depths = [], []
    for distance in (3.0, 3.5, 4.0):
        law = targets.GaussianMixture([0.8, 0.2], [-distance, distance], 1.0)
        kernel = LangevinLaw.on_grid(law, 0.1, 1).powers[0]
        second = np.sort(np.abs(np.linalg.eigvals(kernel)))[-2]
        rates.append(-np.log(second))
        between = np.linspace(-distance, distance, 2001)
        heights = law.log_density(between)
        depths.append(law.log_density([distance])[0] - heights.min())
    slope = np.diff(np.log(rates)) / np.diff(depths)
    assert np.all((slope < -0.8) & (slope > -1.1))


# ---------------------------------------------------------------------- learned scores
def test_learned_noise_levels_bring_the_shares_of_the_training_sample():
    x = LAW.sample(400, random_state=1)
    share = bimodal.weight_of(x)
    many = fit_convex_diffusion(x, n_levels=12, beta="rule", n_draws=4, random_state=0)
    assert many.certificates_.optimal
    drawn = many.sample(N, n_steps=300, random_state=0)
    assert bimodal.weight_of(drawn) == pytest.approx(share, abs=0.03)
    # plain Langevin on the learned score of a fine level, as many steps
    finest = float(many.levels_[-3])
    stuck = samplers.langevin(
        lambda z: many.ve_score(z, finest), np.full(N, -4.0), step=0.1, n_steps=300, random_state=0
    )
    assert abs(bimodal.weight_of(stuck.samples) - share) > 0.1


def test_score_matching_on_clean_data_hardly_sees_the_weights():
    """Two training samples of other shares, the same points in each mode: how far the laws move."""
    rng = np.random.default_rng(0)
    left, right = -4.0 + rng.normal(size=500), 4.0 + rng.normal(size=500)
    weights, shares = [], []
    for n_left in (500, 125):
        x = np.concatenate([left[:n_left], right[: 625 - n_left]])
        fit = fit_convex_score(x, beta=15.0, constraint="density")
        weights.append(1.0 - float(fit.piecewise_.cdf(0.0)))
        shares.append(bimodal.weight_of(x))
    assert shares == pytest.approx([0.2, 0.8], abs=2e-3)
    assert max(abs(np.subtract(weights, shares))) > 0.05


# ---------------------------------------------------------------------- the benchmark's parts
def test_start_shares():
    found = bimodal.starts(N, seed=0)
    shares = {name: bimodal.weight_of(x) for name, x in found.items()}
    assert shares["from the large mode"] < 1e-3
    assert shares["from half and half"] == pytest.approx(0.5, abs=1e-3)
    assert shares["from true samples"] == pytest.approx(0.2, abs=4 * SE)


def test_floors_accept_true_samples_and_refuse_others():
    settings = langevin_vs_ddpm.Settings(1500, 10, 10, (10,), 60, 100)
    floors = langevin_vs_ddpm.Floors.of_truth(1500, settings, 0)
    good = floors.judge(LAW.sample(1500, random_state=77))
    bad = floors.judge(LAW.sample(1500, random_state=77) + 0.5)
    for metric in ("TV", "energy distance"):
        assert good[f"{metric} / floor"] <= 1.0 < bad[f"{metric} / floor"]
        assert good[metric] / good[f"{metric} / floor"] == floors.floors[metric].upper
    assert langevin_vs_ddpm.mass_right() == pytest.approx(0.2 + 0.6 * 3.167e-5, rel=1e-6)


def test_stops_and_the_smallest_budget():
    assert langevin_vs_ddpm.stops(700) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 700]
    traces = {
        "annealed Langevin": {10: 0.5, 100: 0.19, 200: 0.3, 300: 0.21},
        "DDPM": {10: 0.3, 50: 0.215},
    }
    assert langevin_vs_ddpm.enough_budget(traces) == {"annealed Langevin": 300, "DDPM": 50}
