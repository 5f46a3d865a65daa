"""Samplers in the benchmarks: exact laws of Langevin, floors, counts, the judge of a spin glass."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import ising_score, langevin_vs_ddpm, sampler_speed
from benchmarks.problems import bimodal
from benchmarks.problems.bimodal import LAW, STEP, CallCounter, LangevinLaw
from convexscore import fit_convex_diffusion, fit_convex_score, samplers, targets
from convexscore.samplers.noise import ChainNoise

N = 4000
SE = float(np.sqrt(0.2 * 0.8 / N))
WRONG_STARTS = ("from the large mode", "from half and half")


# ---------------------------------------------------------------------- the exact law of Langevin
@pytest.fixture(scope="module")
def exact_law():
    return LangevinLaw.on_grid(LAW, STEP)


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
    slow = LangevinLaw.on_grid(LAW, 0.5 * STEP, 10).weights("from the large mode", [400])[0]
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
    ends = [exact_law.weights(where, [2**20 - 1])[0] for where in WRONG_STARTS]
    assert ends[0] == pytest.approx(ends[1], abs=1e-9) and 0.2 < ends[0] < 0.205
    steps = exact_law.steps_to_balance()
    before, after = exact_law.weights("from the large mode", [int(0.998 * steps), steps])
    assert before < 0.18 <= after and steps == pytest.approx(30_112, rel=2e-3)


@pytest.mark.slow
def test_the_time_to_cross_is_exponential_in_the_depth_of_the_valley():
    """Eyring-Kramers: rate of crossing = prefactor times exp(-depth), prefactors within two."""
    rates, depths = [], []
    for distance in (3.0, 3.5, 4.0):
        law = targets.GaussianMixture([0.8, 0.2], [-distance, distance], 1.0)
        kernel = LangevinLaw.on_grid(law, 0.1, 1).powers[0]
        rates.append(-np.log(np.sort(np.abs(np.linalg.eigvals(kernel)))[-2]))
        heights = law.log_density(np.linspace(-distance, distance, 2001))
        depths.append(heights[-1] - heights.min())
    slope = np.diff(np.log(rates)) / np.diff(depths)
    assert np.all((slope < -0.8) & (slope > -1.1))


# ---------------------------------------------------------------------- shares of the modes
@pytest.mark.slow
def test_langevin_and_mala_keep_the_shares_they_start_with():
    weight = {}
    for name, sampler in bimodal.exact_samplers(N, seed=0).items():
        counter = CallCounter()
        weight[name] = bimodal.weight_of(sampler(300, counter))
        assert 300 <= counter.n <= 302
    assert len(weight) == 7
    for sampler in ("Langevin", "MALA"):
        assert weight[f"{sampler} from the large mode"] < 0.01
        assert weight[f"{sampler} from half and half"] == pytest.approx(0.5, abs=0.02)
    # the score is right: chains that start right stay right
    assert weight["Langevin from true samples"] == pytest.approx(0.2, abs=4 * SE)
    assert weight["DDPM"] == pytest.approx(0.2, abs=3 * SE)
    # annealing comes close with the same calls, and closer with more
    many = bimodal.by_annealing(2000, CallCounter(), n=N, seed=0)
    assert abs(weight["annealed Langevin"] - 0.2) < 0.05
    assert abs(bimodal.weight_of(many) - 0.2) < 4 * SE


@pytest.mark.slow
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


def test_starts_have_the_shares_they_are_named_for():
    shares = {name: bimodal.weight_of(x) for name, x in bimodal.starts(N, seed=0).items()}
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


# ---------------------------------------------------------------------- what samplers are timed by
@pytest.mark.parametrize("sampler", sampler_speed.SAMPLERS, ids=lambda sampler: sampler.name)
@pytest.mark.parametrize("steps", [20, 500])
def test_samplers_are_compared_at_the_scores_and_numbers_they_take(sampler, steps, monkeypatch):
    calls, drawn = [], []

    def counting(noise, draw=ChainNoise.next_step):
        z = draw(noise)
        drawn.append(z.size)
        return z

    def score(x, t):
        calls.append(x.shape)
        return -x

    monkeypatch.setattr(ChainNoise, "next_step", counting)
    samples = sampler.run(score, 5, 2, steps)
    assert samples.shape == (5, 2) and np.isfinite(samples).all()
    # One at the start, for the limit of an explosion, and one to denoise.
    assert len(calls) == sampler.scores * steps + 2
    assert sum(drawn) == 5 * 2 * (sampler.normals * steps + 1)  # and the start


def test_scores_of_the_speed_benchmark_visit_all_their_pieces():
    cases = sampler_speed.make_cases(sampler_speed.Settings(500, 500, 50), 0)
    assert [case.shape for case in cases] == [(500,)] * 3 + [(500, 2)] * 3
    for case in cases:
        x = sampler_speed.SAMPLERS[0].run(case.score, case.chains, case.dim, 50)
        assert np.isfinite(x).all() and 0.1 < x.std() < 5
    x = sampler_speed.SAMPLERS[0].run(cases[1].score, 5000, None, 50)
    knots = sampler_speed.ndtri((np.arange(100) + 0.5) / 100)
    assert (np.bincount(np.searchsorted(knots, x), minlength=101) > 0).all()


def test_the_unit_of_time_is_as_many_normal_numbers(monkeypatch):
    drawn, generator = [], np.random.default_rng(0)

    class Counting:
        def standard_normal(self, out):
            generator.standard_normal(out=out)
            drawn.append(out.copy())

    monkeypatch.setattr(np.random, "default_rng", lambda seed: Counting())
    assert sampler_speed.draw_seconds((20, 2), 5) > 0.0
    assert [z.shape for z in drawn] == [(20, 2)] * 5
    assert len(np.unique(drawn)) == 200


# ---------------------------------------------------------------------- the spin glass
def test_pairwise_fit_is_the_maximum_of_the_likelihood():
    law = targets.Ising.sherrington_kirkpatrick(6, 0.7, field=0.2, random_state=0)
    few = law.sample(300, random_state=1)
    fitted = ising_score.pairwise_fit(few)
    # Its moments are those of the sample, and only of the sample.
    np.testing.assert_allclose(fitted.mean, few.mean(0), atol=1e-6)
    np.testing.assert_allclose(fitted.correlations, few.T @ few / 300, atol=1e-6)
    assert fitted.log_probability(few).mean() > law.log_probability(few).mean()
    many = ising_score.pairwise_fit(law.sample(100_000, random_state=2))
    assert np.abs(many.couplings - law.couplings).max() < 0.03
    assert np.abs(fitted.couplings - law.couplings).max() > 0.03
    free = ising_score.independent_fit(few)
    np.testing.assert_allclose(free.mean, few.mean(0), atol=1e-12)
    assert not free.couplings.any()
    assert np.isfinite(ising_score.independent_fit(np.ones((5, 2))).field).all()


def test_the_judge_knows_exact_samples_from_others():
    settings = ising_score.Settings(6, n_train=500, n_samples=5000)
    truth = ising_score.Truth.draw(settings, 0)
    assert truth.train.shape == (500, 6)
    good = truth.judge("exact", truth.law.sample(5000, random_state=9))
    assert abs(good["beyond the floor"]) < 4 * good["floor's deviation"]
    assert abs(good["strength of correlations"] - 1) < 0.15
    hot = targets.Ising(0.7 * truth.law.couplings, truth.law.field).sample(5000, random_state=9)
    bad = truth.judge("hotter", hot)
    assert bad["beyond the floor"] > 4 * bad["floor's deviation"]
    assert bad["strength of correlations"] < 0.85
    assert bad["correlation error (rms)"] > 3 * good["correlation error (rms)"]
    # Samples that are not spins are rounded, and how far they were is told.
    moved = truth.judge("moved", 0.75 * truth.law.sample(5000, random_state=9))
    assert moved["total variation"] == good["total variation"]
    assert moved["distance from spins (rms)"] == pytest.approx(0.25)
    scale = np.exp(-truth.grid.end)
    assert np.sqrt(1 - scale**2) / scale == pytest.approx(settings.sigma_min)
