"""The score-accuracy benchmark: its laws and peers against slow oracles, its small form end to end."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import gaussian_kde, kurtosis, multivariate_normal

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # benchmarks/ is no part of the installed package
    sys.path.insert(0, ROOT)

from benchmarks import (  # noqa: E402
    accuracy_fits,
    kernel_family,
    laws,
    score_accuracy,
    score_peers,
    silu_network,
)


def slopes(function, at, step=1e-5):
    """Central differences of a function of rows, (n, d)."""
    out = np.empty_like(at)
    for j in range(at.shape[1]):
        shift = np.zeros(at.shape[1])
        shift[j] = step
        out[:, j] = (function(at + shift) - function(at - shift)) / (2 * step)
    return out


# ---------------------------------------------------------------------- laws of several columns
@pytest.mark.parametrize("law", laws.PLANAR + laws.TEN, ids=lambda law: law.name)
def test_score_density_and_samples_belong_together(law):
    x = law.sample(np.random.default_rng(0), 20_000)
    assert x.shape == (20_000, law.dim)
    inside = x[:50]
    assert np.allclose(law.score(inside), slopes(law.log_density, inside), atol=2e-5)
    # Stein: E s = 0 and E x s' = -I, each within five standard errors
    s = law.score(x)
    products = np.einsum("ni,nj->nij", x, s) + np.eye(law.dim)
    for values in (s, products.reshape(len(x), -1)):
        assert (np.abs(values.mean(0)) < 5.0 * values.std(0) / np.sqrt(len(x)) + 1e-12).all()
    # and with a wrong score the same test fails
    wrong = np.einsum("ni,nj->nij", x, 1.3 * s) + np.eye(law.dim)
    diagonal = np.einsum("nii->ni", wrong)
    assert (np.abs(diagonal.mean(0)) > 5.0 * diagonal.std(0) / np.sqrt(len(x))).any()


def test_products_have_independent_columns_of_the_right_law():
    x = laws.TEN[2].sample(np.random.default_rng(3), 20_000)
    assert np.abs(np.corrcoef(x.T) - np.eye(10)).max() < 0.04
    assert kurtosis(x, axis=0) == pytest.approx(3.0, abs=1.0)


# ---------------------------------------------------------------------- peers in several columns
def test_kernel_density_peer_is_that_of_scipy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)) @ np.array([[1.0, 0.0], [0.8, 0.5]]) + 3.0
    score = score_peers.whitened(
        x, lambda z: score_peers.kernel_score(z, score_peers.silverman_bandwidth(z))
    )
    reference = gaussian_kde(x.T, bw_method="silverman")
    at = x[:10] + 0.1
    assert np.allclose(score(at), slopes(lambda y: reference.logpdf(y.T), at), atol=1e-5)


def test_leave_one_out_likelihood_by_hand():
    x, h = np.random.default_rng(1).normal(size=(12, 3)), 0.6
    kept = [
        np.mean([multivariate_normal.pdf(x[i], x[j], h**2) for j in range(12) if j != i])
        for i in range(12)
    ]
    assert score_peers.leave_one_out_likelihood(x, h) == pytest.approx(np.log(kept).mean())


def test_gaussian_and_mixture_peers_recover_their_own_laws():
    gaussian, mixture = laws.PLANAR[0], laws.TEN[1]
    x, at = (gaussian.sample(np.random.default_rng(k), 4000) for k in (0, 1))
    assert score_accuracy.fisher_error(gaussian, score_peers.gaussian_score(x), at) < 0.005
    x, at = (mixture.sample(np.random.default_rng(k), 4000) for k in (0, 1))
    score, components = score_peers.em_mixture_score(x, max_components=5, n_init=1, seed=2)
    assert components == 3
    assert score_accuracy.fisher_error(mixture, score, at) < 0.1
    # one Gaussian is not enough for three
    assert score_accuracy.fisher_error(mixture, score_peers.gaussian_score(x), at) > 0.1


def test_kernel_family_minimises_the_score_matching_loss():
    rng = np.random.default_rng(0)
    x, centres, width = rng.normal(size=(40, 2)), rng.normal(size=(7, 2)), 0.9
    alpha = rng.normal(size=7)

    def density(y):  # log of the unnormalised density
        square = ((y[:, None] - centres) ** 2).sum(-1)
        return np.exp(-0.5 * square / width**2) @ alpha - 0.5 * (y**2).sum(1)

    score = kernel_family.family_score(x, centres, alpha, width)
    assert np.allclose(score, slopes(density, x), atol=1e-6)

    def loss(a):
        s = kernel_family.family_score(x, centres, a, width)
        trace = sum(
            slopes(lambda y, j=j: kernel_family.family_score(y, centres, a, width)[:, j], x)[:, j]
            for j in range(2)
        )
        return float(np.mean(0.5 * (s**2).sum(1) + trace))

    found = kernel_family.moments(x, centres, width)
    zero = loss(np.zeros(7))
    assert found.loss(alpha) == pytest.approx(loss(alpha) - zero, abs=1e-6)
    kernel = np.eye(7)
    best = kernel_family.solve(found, kernel, 1e-3)
    penalised = [found.loss(a) + 5e-4 * a @ a for a in best + 0.01 * rng.normal(size=(20, 7))]
    assert found.loss(best) + 5e-4 * best @ best < min(penalised)


def test_kernel_family_learns_a_ring():
    law = laws.PLANAR[1]
    x, at = law.sample(np.random.default_rng(0), 1000), law.sample(np.random.default_rng(1), 4000)
    score, _ = kernel_family.kernel_family_score(x, n_centres=150, rng=np.random.default_rng(2))
    error = score_accuracy.fisher_error(law, score, at)
    gaussian = score_accuracy.fisher_error(law, score_peers.gaussian_score(x), at)
    assert error < 0.4 < 0.8 < gaussian


def test_silu_gradient_is_that_of_its_loss():
    rng = np.random.default_rng(0)
    weights = silu_network.initial_weights(2, 5, rng)
    x, delta = rng.normal(size=(9, 2)), rng.normal(size=(9, 2))
    _, gradient = silu_network.loss_and_gradient(weights, x, delta)
    for w, g in zip(weights, gradient, strict=True):
        assert w.shape == g.shape
        index = tuple(rng.integers(size) for size in w.shape)
        kept, values = w[index], []
        for move in (1e-6, -1e-6):
            w[index] = kept + move
            values.append(silu_network.loss_and_gradient(weights, x, delta)[0])
        w[index] = kept
        assert g[index] == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_silu_network_learns_and_its_units_follow_the_data():
    x = np.random.default_rng(0).normal(size=400)
    options = {"seconds": 60.0, "width": 32, "most_steps": 600}
    one = silu_network.train_silu_score(x, noise=0.4, rng=np.random.default_rng(1), **options)
    at = np.linspace(-2, 2, 41)
    assert one.steps == 600
    assert np.mean((one.score(at) + at / 1.16) ** 2) < 0.1 * np.mean(at**2)
    far = silu_network.train_silu_score(
        1e6 * x, noise=0.4e6, rng=np.random.default_rng(1), **options
    )
    assert np.allclose(1e6 * far.score(1e6 * at), one.score(at), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------------- the fits
def test_streams_of_data_noise_and_methods_differ_and_repeat():
    x = np.random.default_rng(0).normal(size=(50, 2))
    first, again = (
        accuracy_fits.Sample(x, np.random.SeedSequence(3), accuracy_fits.Effort()) for _ in range(2)
    )
    names = accuracy_fits.METHODS
    draws = [first.rng(name).normal() for name in names]
    assert len(set(draws)) == len(names)
    assert draws == [again.rng(name).normal() for name in names]
    assert draws[0] == first.rng(names[0]).normal()


def test_a_method_that_fails_is_recorded_and_counts_as_infinite(monkeypatch):
    def broken(method, sample):
        if method == accuracy_fits.KDE:
            raise ValueError("no bandwidth")
        return lambda at: -1.1 * at

    monkeypatch.setattr(score_accuracy, "fit", broken)
    law = laws.LAWS[0]
    rows = score_accuracy.one_sample(law.name, 300, 0, score_accuracy.QUICK, silu=True)
    failed = [row for row in rows if row["failure"]]
    assert [row["method"] for row in failed] == [accuracy_fits.KDE]
    assert failed[0]["failure"] == "ValueError: no bandwidth"
    row = score_accuracy._row(law, 300, rows)
    assert row[accuracy_fits.KDE] == np.inf and row[accuracy_fits.SM] == pytest.approx(0.01)


# ---------------------------------------------------------------------- end to end
def test_quick_form_shows_what_it_claims():
    report = score_accuracy.run(score_accuracy.QUICK, 0)
    rows = {row["law"]: row for row in report.data if "best peer" in row}
    assert set(rows) == set(score_accuracy.QUICK.laws)
    for row in rows.values():
        values = [row[m] for m in accuracy_fits.METHODS if m in row]
        assert np.isfinite(values).all() and min(values) > 0.0
    # a Gaussian's score misses half of the Laplace score in the limit: E(sgn x - x/2)^2 = 1/2
    assert rows["Laplace"]["fitted Gaussian"] == pytest.approx(0.5, abs=0.1)
    for name in ("mixture of 3", "ring of 8"):  # Adam on score matching misses the modes
        assert rows[name][accuracy_fits.ADAM_SM] > 1.3 * rows[name][accuracy_fits.SM]
    lost = [
        row for row in report.tables["Ours against the best peer"] if row["verdict"] == "we lose"
    ]
    note = next(note for note in report.notes if note.startswith("We lose on"))
    assert all(row["law"] in note for row in lost)
    assert score_accuracy.draw(report) is not None
