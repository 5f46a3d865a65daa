"""Objectives: noise, labels, and their exact expectations."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction
from math import exp, log

import numpy as np
import pytest
from oracles import softmax_labels
from scipy.stats import kstest

from convexscore import fit_convex_score, regularization_path
from convexscore.objectives import (
    ScoreObjective,
    denoising,
    score_matching,
    smoothed_labels,
    smoothed_score,
)
from convexscore.solvers.line.problem import prepare
from convexscore.training import train_score_network


@pytest.mark.parametrize("draws", [2, 3, 6])
def test_copies_are_pairs_of_opposite_displacements(draws):
    x = np.random.default_rng(0).normal(size=(500, 2))
    problem = denoising(x, noise=0.3, n_draws=draws, random_state=1)
    delta = (-0.3 * problem.labels).reshape(draws, 500, 2)
    first = (draws + 1) // 2
    assert np.array_equal(delta[first:], -delta[: draws - first])
    half = delta[:first].ravel()
    assert kstest(half, "norm").pvalue > 0.01
    assert len(np.unique(half)) == half.size  # no number twice within the first half


def test_every_entry_minimises_the_same_default_pair():
    x = np.random.default_rng(0).gamma(2.0, size=20)
    task = dict(objective="denoising", noise=0.4, beta=3.0, random_state=6)
    drawn = denoising(x, noise=0.4, random_state=6)
    np.testing.assert_allclose(drawn.points[:20, 0] + drawn.points[20:, 0], 2 * x, rtol=1e-14)
    fit = fit_convex_score(x, **task)
    assert np.array_equal(fit.noisy_points_, drawn.points[:, 0])
    trained = train_score_network(x, n_epochs=1, **task)
    assert np.array_equal(trained.problem.points, drawn.points)
    fresh = train_score_network(x, n_epochs=1, fresh_noise=True, **task)
    assert fresh.problem.n_samples == 40
    path = regularization_path(x, objective="denoising", noise=0.4, betas=[3.0], random_state=6)
    assert path.objective[0] == pytest.approx(fit.certificate_.objective, rel=1e-9)


def test_pairs_take_the_label_noise_out_of_what_is_linear():
    """Sum of label times point, whose mean is -n I per draw: independent copies scatter by 1 / noise."""
    x, noise = np.random.default_rng(0).normal(size=(400, 2)) + 3.0, 0.05
    products = {}
    for draws in (1, 2):
        found = []
        for seed in range(60):
            problem = denoising(x, noise=noise, n_draws=draws, random_state=seed)
            found.append(problem.labels.T @ problem.points / problem.n_samples)
        products[draws] = np.array(found)
        error = products[draws].std(axis=0) / np.sqrt(60)
        assert (np.abs(products[draws].mean(axis=0) + np.eye(2)) < 5.0 * error + 1e-12).all()
    ratio = products[2].std(axis=0) / products[1].std(axis=0)
    # of the scatter |x| / noise sqrt(n) only that of delta delta' / sqrt(n) is left
    assert ratio.max() < 0.05


@pytest.mark.parametrize("weighted", [False, True])
def test_smoothed_labels_equal_the_softmax_by_hand(weighted):
    rng = np.random.default_rng(1)
    x, at = rng.normal(size=(30, 1)), rng.normal(size=(20, 1))
    weights = rng.uniform(0.5, 2.0, size=30) if weighted else None
    got = smoothed_score(x[:, 0], at[:, 0], noise=0.4, sample_weight=weights)
    expected = softmax_labels(x, at, 0.4, weights)[:, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-13)


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


# ------------------------------------------------------------------------------ many dimensions


def test_score_matching_keeps_points_and_drops_zero_weights():
    X = np.random.default_rng(0).normal(size=(20, 3))
    problem = score_matching(X)
    assert problem.points is X and problem.labels is None and problem.dim == 3
    assert (problem.n_samples, problem.total_weight, problem.divergence) == (20, 20.0, 1.0)
    weights = np.r_[0.0, 2.0, np.zeros(3), np.ones(15)]
    part = score_matching(X, sample_weight=weights)
    assert np.array_equal(part.points, X[weights > 0])
    assert part.total_weight == 17.0 and part.effective_size == pytest.approx(17**2 / 19)
    only = np.r_[1.0, np.zeros(19)]
    with pytest.raises(
        ValueError, match=r"^X\[sample_weight > 0\] must hold at least 2 points; got 1"
    ):
        score_matching(X, sample_weight=only)


def noise_of(seed):
    """The stream that `denoising` draws from: derived from the seed, not the seed's own."""
    return np.random.default_rng(np.random.default_rng(seed).integers(2**63))


def test_noise_in_the_plane_is_stacked_draw_after_draw():
    X = np.random.default_rng(0).gamma(2.0, size=(6000, 2))
    problem = denoising(X, noise=0.3, n_draws=2, random_state=1)
    delta = noise_of(1).standard_normal((6000, 2))
    assert np.array_equal(problem.points, np.r_[X + 0.3 * delta, X - 0.3 * delta])
    assert np.array_equal(problem.labels[:6000], -delta / 0.3)
    assert kstest(-0.3 * problem.labels.ravel(), "norm").pvalue > 0.01
    assert kstest(-0.33 * problem.labels.ravel(), "norm").pvalue < 1e-6  # negative control
    assert problem.divergence == 0.0 and problem.sample_weight is None


def test_one_column_draws_the_noise_of_the_same_numbers_in_one_axis():
    x = np.random.default_rng(0).normal(size=30)
    first = noise_of(5).standard_normal((2, 30))
    delta = np.concatenate([first, -first[:1]])
    for points in (x, x[:, None]):
        problem = denoising(points, noise=0.7, n_draws=3, random_state=5)
        assert np.array_equal(problem.points, (x + 0.7 * delta).reshape(-1, 1))
        assert np.array_equal(problem.labels, (-delta / 0.7).reshape(-1, 1))


@pytest.mark.parametrize("labels", ["noisy", "smoothed"])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_points_of_weight_zero_leave_no_trace(labels, d):
    X = np.random.default_rng(0).normal(size=(12, d))
    weights = np.r_[0.0, np.ones(9), 3.0, 0.0]
    X[0] = 1e6  # far from every other point: its kernel sum is zero
    problem = denoising(
        X, noise=0.4, n_draws=2, labels=labels, sample_weight=weights, random_state=3
    )
    full = denoising(X, noise=0.4, n_draws=2, random_state=3)
    keep = np.tile(weights > 0, 2)
    assert np.array_equal(problem.points, full.points[keep])
    assert np.array_equal(problem.sample_weight, np.tile(weights[weights > 0], 2))
    if labels == "smoothed":
        expected = slow_score(X, problem.points, 0.4, weights)
        assert np.allclose(problem.labels, expected, rtol=1e-11, atol=1e-11)
    else:
        assert np.array_equal(problem.labels, full.labels[keep])


def slow_score(x, at, noise, weights=None):
    """The formula point by point, squared distances in exact rational arithmetic."""
    weights = np.ones(len(x)) if weights is None else weights
    used = [
        (list(map(Fraction, p.tolist())), float(w))
        for p, w in zip(x, weights, strict=True)
        if w > 0
    ]
    out = np.empty(np.shape(at))
    for row, y in enumerate(at):
        y = list(map(Fraction, y.tolist()))
        gaps = [[a - b for a, b in zip(p, y, strict=True)] for p, _ in used]
        squares = [sum(g * g for g in gap) for gap in gaps]
        nearest = min(squares)
        logs = [
            float((nearest - s) / (2 * Fraction(noise) ** 2)) + log(w)
            for s, (_, w) in zip(squares, used, strict=True)
        ]
        kernel = [exp(v - max(logs)) for v in logs]
        for k in range(len(y)):
            mean = sum(p * float(gap[k]) for p, gap in zip(kernel, gaps, strict=True))
            out[row, k] = mean / sum(kernel) / noise**2
    return out


@pytest.mark.slow
@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("ratio", [1e-6, 0.02, 0.5, 30.0])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("weighted", [False, True])
def test_smoothed_labels_equal_the_formula_in_exact_arithmetic(d, ratio, scale, weighted):
    rng = np.random.default_rng(7)
    noise = ratio * scale
    x = scale * np.vstack([rng.normal(size=(25, d)), [[100.0] * d] * 2])
    # neighbours within a few noise levels, and duplicates
    x = np.vstack([x, x[:8] + noise * rng.normal(size=(8, d)), x[:3]])
    at = np.vstack([x + noise * rng.normal(size=x.shape), scale * rng.normal(size=(5, d))])
    weights = rng.uniform(0.1, 5.0, size=len(x)) if weighted else None
    got = smoothed_score(x, at, noise=noise, sample_weight=weights)
    expected = slow_score(x, at, noise, weights)
    size = np.linalg.norm(expected, axis=1, keepdims=True) + 1 / noise
    # exponents of far queries are themselves of size (distance / noise)^2
    near = noise * np.linalg.norm(expected, axis=1) < 20
    assert near.sum() >= len(x)
    assert (np.abs(got - expected) / size)[near].max() < 1e-11
    assert (np.abs(got - expected) / size).max() < 1e-8


@pytest.mark.parametrize("d", [1, 2, 3, 6])
def test_smoothed_labels_do_not_feel_an_offset(d):
    rng = np.random.default_rng(2)
    # multiples of 2^-20: adding 2^26 is exact
    x = np.round(rng.normal(size=(200, d)) * 2**20) / 2**20
    at = np.round((x + 0.01 * rng.normal(size=x.shape)) * 2**20) / 2**20
    for noise in (0.01, 2.0):
        here = smoothed_score(x, at, noise=noise)
        there = smoothed_score(x + 2.0**26, at + 2.0**26, noise=noise)
        assert np.allclose(here, there, rtol=1e-12, atol=1e-11 / noise)


@pytest.mark.parametrize("d", [1, 2, 4])
def test_smoothed_labels_far_from_every_point_and_behind_a_tiny_weight(d):
    x = np.zeros((3, d))
    x[:, 0] = [0.0, 0.1, 15.0]
    at = np.zeros((3, d))
    at[:, 0] = [60.0, -45.0, 0.0]
    for weights in (None, np.array([1e-60, 1e-60, 1.0])):
        got = smoothed_score(x, at, noise=1.0, sample_weight=weights)
        assert np.allclose(got, slow_score(x, at, 1.0, weights), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("d", [2, 3, 8])
@pytest.mark.parametrize("noise", [1e-4, 0.03, 0.3, 5.0])
def test_blocks_and_trees_change_nothing(d, noise, monkeypatch):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(400, d))
    at = np.repeat(x, 2, axis=0) + noise * rng.normal(size=(800, d))
    whole = smoothed_score(x, at, noise=noise)
    direct = softmax_labels(x, at, noise)
    assert np.allclose(whole, direct, rtol=1e-11, atol=1e-11 / noise)
    monkeypatch.setattr(smoothed_labels, "_BLOCK", 1500)
    monkeypatch.setattr(smoothed_labels, "_TREE_ROWS", 7)
    in_parts = smoothed_score(x, at, noise=noise)
    assert np.allclose(in_parts, whole, rtol=1e-11, atol=1e-11 / noise)


@pytest.mark.parametrize("d, noise", [(2, 0.05), (2, 3.0), (6, 0.5)])
def test_memory_of_smoothed_labels_is_bounded(d, noise):
    x = np.random.default_rng(0).normal(size=(4000, d))
    tracemalloc.start()
    smoothed_score(x, x + noise, noise=noise)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * 8 * smoothed_labels._BLOCK  # the matrix of all pairs takes 128 MB
