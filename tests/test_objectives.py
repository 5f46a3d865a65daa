"""Objectives: noise, labels, and their exact expectations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from convexscore.objectives import denoising, score_matching, smoothed_score
from convexscore.solvers.line_problem import prepare


def test_noisy_points_and_labels():
    x = np.random.default_rng(0).gamma(2.0, size=4000)
    problem = denoising(x, noise=0.3, n_draws=3, random_state=1)
    delta = -problem.labels[:, 0] * 0.3
    assert np.allclose(problem.points[:, 0], np.tile(x, 3) + 0.3 * delta)
    assert kstest(delta, "norm").pvalue > 0.01
    assert kstest(1.1 * delta, "norm").pvalue < 1e-6  # negative control
    again = denoising(x, noise=0.3, n_draws=3, random_state=1)
    assert np.array_equal(problem.points, again.points)


def test_smoothed_labels_equal_the_softmax_by_hand():
    rng = np.random.default_rng(1)
    x, at = rng.normal(size=30), np.r_[rng.normal(size=20), 60.0, -45.0]
    weights = rng.uniform(0.5, 2.0, size=30)
    noise = 0.4
    for w in (None, weights):
        log = -((at[:, None] - x) ** 2) / (2 * noise**2)
        pi = np.exp(log - log.max(1, keepdims=True)) * (1.0 if w is None else w)
        pi /= pi.sum(1, keepdims=True)
        expected = (pi * (x - at[:, None])).sum(1) / noise**2
        near = np.abs(at) < 10
        got = smoothed_score(x, at[near], noise=noise, sample_weight=w)
        assert np.allclose(got, expected[near], rtol=1e-12)


def test_smoothed_labels_are_the_mean_of_noisy_labels():
    x = np.array([-1.0, 0.0, 2.0])
    noise = 0.8
    problem = denoising(x, noise=noise, n_draws=200_000, random_state=0)
    at, label = problem.points[:, 0], problem.labels[:, 0]
    bins = np.linspace(-2, 3, 26)
    which = np.digitize(at, bins)
    centre = np.array([at[which == k].mean() for k in range(1, 26)])
    mean = np.array([label[which == k].mean() for k in range(1, 26)])
    assert np.abs(mean - smoothed_score(x, centre, noise=noise)).max() < 0.06
    other = denoising(x, noise=noise, n_draws=50, labels="smoothed", random_state=0)
    assert np.allclose(
        other.labels[:, 0], smoothed_score(x, other.points[:, 0], noise=noise), rtol=1e-12
    )
    assert np.var(other.labels) < 0.8 * np.var(label)


def test_preparation_keeps_every_digit_and_merges_rounding_ties():
    x = np.array([0.3, 0.1 + 0.2, 1.0, 5.0, 5.0])
    problem = prepare(score_matching(x))
    assert problem.data.mass.tolist() == [2.0, 1.0, 2.0]
    offset = 1e8 + np.array([0.0, 1.0, 2.5])
    moved = prepare(score_matching(offset))
    assert (moved.data.x * moved.scale).tolist() == [0.0, 1.0, 2.5]
    assert np.log2(moved.scale) == round(np.log2(moved.scale))
    with pytest.raises(ValueError, match="constant up to rounding"):
        prepare(score_matching(np.array([1e8, 1e8 + 3e-8])))


def test_ties_with_labels_keep_the_objective():
    from convexscore.objectives import ScoreObjective

    x, labels = np.array([0.0, 0.0, 1.0, 1.0, 3.0]), np.array([1.0, 2.0, 0.0, 4.0, -1.0])
    weights = np.array([1.0, 2.0, 1.0, 1.0, 0.5])
    problem = prepare(ScoreObjective(x[:, None], labels[:, None], 0.0, weights))
    s = 0.7 - 0.2 * x
    direct = 0.5 * np.sum(weights * (s - labels) ** 2)
    z = 0.7 - 0.2 * problem.values
    data = problem.data
    mean = data.label_mass / data.mass / problem.scale
    merged = 0.5 * np.sum(data.mass * (z - mean) ** 2) + data.constant / problem.scale**2
    assert merged == pytest.approx(direct, rel=1e-13)
