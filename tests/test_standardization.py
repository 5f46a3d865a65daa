"""Standardisation: the chain rule, round trips, equivariance and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import random_network

from convexscore.objectives import denoising, standardization

MODES = [None, "columns", "whitening"]


def cloud(n=80, d=3, seed=0, scale=1.0, offset=0.0):
    rng = np.random.default_rng(seed)
    return offset + scale * rng.normal(size=(n, d)) @ (np.eye(d) + 0.5 * rng.normal(size=(d, d)))


def some_network(d, *kind, **options):
    return random_network(np.random.default_rng(1), d, *kind, **options)


# ---------------------------------------------------------------------------------- the map


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("offset, scale", [(0.0, 1.0), (1e8, 1.0), (-3.0, 1e-8), (1e3, 1e8)])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_the_standardised_points(d, offset, scale, weighted):
    X = cloud(d=d, offset=offset, scale=scale)
    weights = np.random.default_rng(5).integers(0, 4, size=80) if weighted else None
    copies = X if weights is None else np.repeat(X, weights, axis=0)
    accuracy = 1e-13 + 4e-16 * abs(offset) / scale
    for mode in ("columns", "whitening"):
        made = standardization(X, mode, sample_weight=weights)
        z = made.points(copies)
        assert np.abs(z.mean(axis=0)).max() < 10 * accuracy
        covariance = np.atleast_2d(np.cov(z.T, ddof=0))
        assert np.abs(np.diag(covariance) - 1.0).max() < 10 * accuracy
        if mode == "whitening":
            assert np.abs(covariance - np.eye(d)).max() < 50 * accuracy
        else:
            assert np.array_equal(made.matrix, np.diag(np.diag(made.matrix)))
            assert np.allclose(np.diag(made.inverse), copies.std(axis=0), rtol=10 * accuracy)
        assert np.abs(made.matrix @ made.inverse - np.eye(d)).max() < 1e-13
        assert np.abs(made.points_back(z) - copies).max() < 1e-13 * scale + 3e-16 * abs(offset)


def test_nothing_changes_without_standardisation():
    X, net = cloud(), some_network(3)
    made = standardization(X, None)
    assert made.points(X) is X and made.labels(X) is X and made.network_back(net) is net
    assert made.network_forward(net) is net and np.array_equal(made.matrix, np.eye(3))
    constant = np.c_[X[:, 0], np.ones(80), 2 * X[:, 0]]
    assert standardization(constant, None).points(constant) is constant


def test_whitening_of_columns_in_very_different_units():
    X = cloud(d=4)
    z = standardization(X * [1e-8, 1.0, 1e8, 1e150], "whitening").points(
        X * [1e-8, 1.0, 1e8, 1e150]
    )
    assert np.abs(np.cov(z.T, ddof=0) - np.eye(4)).max() < 1e-13
    assert np.allclose(z, standardization(X, "whitening").points(X), atol=1e-12)


def test_whitened_data_are_a_rotation_of_those_of_any_affine_image():
    rng = np.random.default_rng(3)
    X, A, shift = cloud(d=4), rng.normal(size=(4, 4)), rng.normal(size=4)
    z = standardization(X, "whitening").points(X)
    moved = X @ A.T + shift
    other = standardization(moved, "whitening").points(moved)
    rotation = z.T @ other / len(z)
    assert np.abs(rotation @ rotation.T - np.eye(4)).max() < 1e-12
    assert np.abs(z @ rotation - other).max() < 1e-12
    # positive scalings of the columns and translations leave it as it is, in both modes
    for mode in ("columns", "whitening"):
        same = X * [2.0, 0.3, 1e5, 7.0] + shift
        image = standardization(same, mode).points(same)
        assert np.abs(image - standardization(X, mode).points(X)).max() < 1e-12


# ---------------------------------------------------------------------------------- networks


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("activation", ["relu", "abs"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("d", [1, 2, 6])
def test_score_back_is_the_transposed_matrix_times_the_score(mode, activation, skip, d):
    X = cloud(d=d, offset=3.0, scale=2.0)
    made, net = standardization(X, mode), some_network(d, activation, skip)
    back = made.network_back(net)
    assert back.activation.name == activation and (back.skip is None) == (not skip)
    z = made.points(X)
    expected = np.stack([made.matrix.T @ row for row in net(z)])
    assert np.abs(back(X) - expected).max() < 1e-12 * np.abs(expected).max()
    assert np.allclose(made.labels_back(net(z)), expected, rtol=1e-13, atol=1e-13)
    assert np.allclose(made.labels(expected), net(z), rtol=1e-12, atol=1e-12)
    jacobian = np.stack([made.matrix.T @ J @ made.matrix for J in net.jacobian(z)])
    assert np.abs(back.jacobian(X) - jacobian).max() < 1e-12 * np.abs(jacobian).max()
    forward = made.network_forward(back)
    for name in ("u", "w", "b", "offset"):
        assert np.allclose(getattr(forward, name), getattr(net, name), rtol=1e-12, atol=1e-12)
    if skip:
        assert np.allclose(forward.skip, net.skip, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_networks_at_extreme_scales(scale, offset):
    X, net = scale * cloud(d=3, offset=offset), some_network(3)
    for mode in ("columns", "whitening"):
        made = standardization(X, mode)
        expected = net(made.points(X)) @ made.matrix
        error = np.abs(made.network_back(net)(X) - expected).max() / np.abs(expected).max()
        assert error < 1e-13 + 1e-14 * offset


def test_conservative_networks_stay_conservative():
    X = cloud(d=4, offset=2.0)
    made, net = standardization(X, "whitening"), some_network(4, conservative=True)
    back = made.network_back(net)
    y = np.sum(back.w * back.u, axis=1) / np.sum(back.u**2, axis=1)
    assert np.allclose(y, np.sum(net.w * net.u, axis=1) / np.sum(net.u**2, axis=1), rtol=1e-12)
    assert np.abs(back.w - y[:, None] * back.u).max() < 1e-13
    assert np.array_equal(back.skip, back.skip.T)
    asymmetry = back.jacobian(X) - back.jacobian(X).transpose(0, 2, 1)
    assert np.abs(asymmetry).max() < 1e-12
    again = made.network_forward(back)
    assert np.array_equal(again.skip, again.skip.T)


@pytest.mark.parametrize("mode", MODES)
def test_labels_are_the_score_of_the_transformed_noise(mode):
    X = cloud(d=2)
    made = standardization(X, mode)
    problem = denoising(X, noise=0.3, n_draws=2, random_state=0)
    covariance = 0.3**2 * made.matrix @ made.matrix.T
    image = made.objective(problem)
    assert image.divergence == 0.0 and image.sample_weight is None
    moved = image.points - made.points(np.tile(X, (2, 1)))
    assert np.allclose(image.labels, -moved @ np.linalg.inv(covariance), rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------------------------- refusals


def test_rank_deficient_data_are_refused_by_whitening_only():
    X = cloud(d=4)
    X[:, 3] = X[:, 0] - 2 * X[:, 1] + 1.0
    message = (
        r"^standardize='whitening' needs linearly independent columns, but X \(80 rows, 4 columns\)"
        r" has rank 3 after centring\. Use standardize='columns', drop 1 dependent columns, or "
        r"reduce X to 3 columns by PCA"
    )
    with pytest.raises(ValueError, match=message):
        standardization(X, "whitening")
    with pytest.raises(ValueError, match=message):  # rounding of an offset is no direction
        standardization(X + np.array([0.0, 0.0, 0.0, 1e9]), "whitening")
    assert standardization(X, "columns").points(X).std(axis=0) == pytest.approx(np.ones(4))
    with pytest.raises(ValueError, match=r"\(3 rows, 4 columns\) has rank 2"):
        standardization(X[:3], "whitening")
    with pytest.raises(ValueError, match=r"has rank 1"):  # weights that leave two points
        standardization(X[:, :3], "whitening", sample_weight=np.r_[1.0, np.zeros(78), 1.0])
    # nearly dependent is not dependent
    X[:, 3] += 1e-6 * np.random.default_rng(9).normal(size=80)
    z = standardization(X, "whitening").points(X)
    assert np.abs(np.cov(z.T, ddof=0) - np.eye(4)).max() < 1e-8


@pytest.mark.parametrize("mode", ["columns", "whitening"])
def test_constant_columns_are_named(mode):
    X = cloud(d=3)
    X[:, 1] = 0.1
    with pytest.raises(
        ValueError,
        match=rf"^standardize='{mode}' needs columns that vary, but column 1 of X is constant.*"
        r"\(0\.1\)\. Drop what is constant, for example np\.delete\(X, \[1\], axis=1\)",
    ):
        standardization(X, mode)
    X[:, 2] = 1e9 + 1e-7 * (np.arange(80) % 2)
    with pytest.raises(ValueError, match=r"delete\(X, \[1, 2\], axis=1\)"):
        standardization(X, mode)


def test_other_refusals():
    X = cloud()
    with pytest.raises(
        ValueError, match=r"^standardize .* None, 'scale', 'columns', 'whit.*; got 'pca'"
    ):
        standardization(X, "pca")
    with pytest.raises(ValueError, match=r"^X must be finite"):
        standardization(np.r_[X, [[np.nan] * 3]], "columns")
    with pytest.raises(ValueError, match=r"^x must have shape \(\.\.\., 3\)"):
        standardization(X, "columns").points(X[:, :2])


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_one_factor_for_all_columns_does_not_see_rotations(unit):
    rng = np.random.default_rng(4)
    x = unit * (rng.normal(size=(50, 3)) * [1.0, 5.0, 0.0] + [3.0, 0.0, 7.0])  # one column constant
    weights = rng.integers(0, 3, size=50).astype(float)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    made = standardization(x, "scale", sample_weight=weights)
    z = made.points(x)
    assert np.average(z, axis=0, weights=weights) == pytest.approx(np.zeros(3), abs=1e-12)
    assert np.average((z**2).mean(axis=1), weights=weights) == pytest.approx(1.0, rel=1e-12)
    assert made.points_back(z) == pytest.approx(x, rel=1e-12, abs=1e-12 * unit)
    turned = standardization(x @ turn.T, "scale", sample_weight=weights)
    assert turned.matrix == pytest.approx(made.matrix, rel=1e-12)
