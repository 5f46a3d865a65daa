"""What the benchmarks of samplers and of the spin glass count and compare is what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import ising_score, sampler_speed  # noqa: E402
from convexscore import targets  # noqa: E402
from convexscore.samplers.noise import ChainNoise  # noqa: E402


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
    line = cases[1]
    x = sampler_speed.SAMPLERS[0].run(line.score, 5000, None, 50)
    knots = sampler_speed.ndtri((np.arange(100) + 0.5) / 100)
    counts = np.bincount(np.searchsorted(knots, x), minlength=101)
    assert (counts > 0).all()


def test_drawing_takes_its_time_in_proportion():
    few = min(sampler_speed.draw_seconds((20_000,), 5) for _ in range(5))
    many = min(sampler_speed.draw_seconds((20_000,), 50) for _ in range(5))
    assert 3 < many / few < 30


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
    grid = truth.grid
    scale = np.exp(-grid.end)
    assert np.sqrt(1 - scale**2) / scale == pytest.approx(settings.sigma_min)
