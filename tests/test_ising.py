"""Laws on spins against brute force over all states, and their samplers against enumeration."""

import functools
import itertools
import tracemalloc

import numpy as np
import pytest
from oracles import fine_slopes
from scipy import stats
from scipy.special import logsumexp

from convexscore.scores import vp_score
from convexscore.targets import Ising, Noised, SpinLaw, round_to_spins
from convexscore.targets.spins.counting import spin_index, spin_total_variation
from convexscore.targets.spins.enumeration import MAX_SPINS


def random_law(dim, strength=1.0, seed=0):
    rng = np.random.default_rng(seed)
    a = strength * rng.normal(size=(dim, dim))
    return Ising((a + a.T) / 2, strength * rng.normal(size=dim))


class Triples(SpinLaw):
    """A second law, by its energies alone: no couplings of pairs, every three spins interact."""

    dim = None

    def __init__(self, dim, field=0.2, seed=0):
        self.dim, self.field = dim, field
        self.triples = np.array(list(itertools.combinations(range(dim), 3)), dtype=int).reshape(
            -1, 3
        )
        self.weights = np.random.default_rng(seed).normal(size=len(self.triples))

    def energy(self, x):
        x = np.asarray(x)
        return x[:, self.triples].prod(axis=2) @ self.weights + self.field * x.sum(axis=1)


class BruteForce:
    """A list of all states, one at a time."""

    def __init__(self, law):
        # the last coordinate of product runs fastest, our bit 0 does
        states = [state[::-1] for state in itertools.product([-1.0, 1.0], repeat=law.dim)]
        self.states = np.array(states)
        self.energies = np.array([self.energy_of(law, x) for x in self.states])
        self.log_partition = logsumexp(self.energies)
        self.p = np.exp(self.energies - self.log_partition)

    @staticmethod
    def energy_of(law, x):
        if isinstance(law, Ising):
            return 0.5 * x @ law.couplings @ x + law.field @ x
        triples = zip(law.weights, itertools.combinations(x, 3), strict=True)
        return sum(k * a * b * c for k, (a, b, c) in triples) + law.field * sum(x)

    def noised_log_density(self, z, scale, sigma):
        squares = ((z[:, None, :] - scale * self.states) ** 2).sum(axis=2) / sigma**2
        constant = z.shape[1] * np.log(np.sqrt(2 * np.pi) * sigma)
        return logsumexp(self.energies - self.log_partition - 0.5 * squares, axis=1) - constant

    def denoise(self, z, scale, sigma):
        logs = self.energies + scale / sigma**2 * z @ self.states.T
        weight = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
        return weight @ self.states


# ---- enumeration -----------------------------------------------------------------------------


KINDS = pytest.mark.parametrize("make", [random_law, Triples], ids=["pairs", "triples"])


@KINDS
@pytest.mark.parametrize("dim", [1, 2, 3, 7, 10])
def test_partition_mean_and_correlations(make, dim):
    law = make(dim)
    slow = BruteForce(law)
    assert repr(law) == f"{type(law).__name__}(dim={dim})"
    np.testing.assert_allclose(law.energies(), slow.energies, atol=1e-12)
    np.testing.assert_allclose(law.log_partition, slow.log_partition, rtol=1e-12)
    np.testing.assert_allclose(law.probabilities(), slow.p, rtol=1e-10)
    np.testing.assert_allclose(law.mean, slow.p @ slow.states, atol=1e-12)
    second = slow.states.T @ (slow.p[:, None] * slow.states)
    np.testing.assert_allclose(law.correlations, second, atol=1e-12)
    covariance = np.cov(slow.states.T, aweights=slow.p, ddof=0)
    np.testing.assert_allclose(law.covariance, np.atleast_2d(covariance), atol=1e-10)
    np.testing.assert_allclose(law.energy(slow.states), slow.energies, atol=1e-12)
    np.testing.assert_allclose(law.log_probability(slow.states), np.log(slow.p), rtol=1e-10)


def test_closed_forms():
    """Free spins; a pair; the ring, whose partition function is a trace of a transfer matrix."""
    h = np.array([0.3, -1.0, 2.0])
    free = Ising(np.zeros((3, 3)), h)
    np.testing.assert_allclose(free.log_partition, np.log(2 * np.cosh(h)).sum(), rtol=1e-14)
    np.testing.assert_allclose(free.mean, np.tanh(h), rtol=1e-13)
    np.testing.assert_allclose(Ising([[0, 0.7], [0.7, 0]]).correlations[0, 1], np.tanh(0.7))
    ring = np.roll(np.eye(9), 1, axis=0)
    law = Ising(0.4 * (ring + ring.T))
    trace = (2 * np.cosh(0.4)) ** 9 + (2 * np.sinh(0.4)) ** 9
    np.testing.assert_allclose(law.log_partition, np.log(trace), rtol=1e-13)


@KINDS
@pytest.mark.parametrize("dim", [1, 2, 5, 10])
@pytest.mark.parametrize("level", [(1.0, 0.5), (0.6, 0.8), (0.0, 1.0), (1.0, 0.02)])
def test_noised_density_and_denoiser(make, dim, level):
    law = make(dim, seed=1)
    slow = BruteForce(law)
    z = np.random.default_rng(0).normal(size=(30, dim))
    density = slow.noised_log_density(z, *level)
    np.testing.assert_allclose(law.noised_log_density(z, *level), density, rtol=1e-11, atol=1e-10)
    np.testing.assert_allclose(law.denoise(z, *level), slow.denoise(z, *level), atol=1e-9)


@KINDS
@pytest.mark.parametrize("level", [(1.0, 0.5), (0.6, 0.8), (0.9, 0.2)])
def test_noised_score_is_the_gradient_of_the_enumerated_log_density(make, level):
    law = make(7, seed=2)
    slow, noised = BruteForce(law), law.noised(*level)
    z = noised.sample(10, random_state=0)
    slope = fine_slopes(lambda y: slow.noised_log_density(y, *level), z)
    np.testing.assert_allclose(noised.score(z), slope, atol=2e-7)
    exact = slow.noised_log_density(z, *level)
    np.testing.assert_allclose(noised.log_density(z), exact, atol=1e-10)
    twice = law.noised(2 * level[0], 0.6 * level[1]).noised(0.5, np.sqrt(0.91) * level[1])
    np.testing.assert_allclose(twice.score(z), noised.score(z), atol=1e-9)
    scale, sigma = np.exp(-0.3), np.sqrt(1 - np.exp(-0.6))
    expected = (scale * slow.denoise(z, scale, sigma) - z) / sigma**2
    np.testing.assert_allclose(vp_score(law)(z, 0.3), expected, atol=1e-10)


def test_tiny_noise_far_points_and_strong_couplings():
    law = random_law(6, seed=4)
    slow = BruteForce(law)
    z = slow.states[:10] + 1e-4 * np.random.default_rng(0).normal(size=(10, 6))
    np.testing.assert_allclose(law.denoise(z, 1.0, 1e-4), slow.states[:10], atol=0)
    density = law.noised_log_density(z, 1.0, 1e-4)
    np.testing.assert_allclose(density, slow.noised_log_density(z, 1.0, 1e-4), rtol=1e-9)
    score = law.noised(1.0, 1e-4).score(z)
    np.testing.assert_allclose(score, (slow.states[:10] - z) / 1e-8, rtol=1e-6)
    far = np.full((2, 6), -1e9)
    assert np.isfinite(law.noised_log_density(far, 1.0, 1e-4)).all()
    np.testing.assert_allclose(law.noised(1.0, 1.0).score(far), -1 - far, rtol=1e-12)
    # Fields of the size of the couplings, both huge: products of exponentials underflow, and the
    # rows are summed in log space.
    frozen = random_law(6, strength=400.0, seed=5)
    z = 60.0 * np.random.default_rng(1).normal(size=(200, 6))
    exact = BruteForce(frozen)
    np.testing.assert_allclose(frozen.denoise(z, 1.0, 0.3), exact.denoise(z, 1.0, 0.3), atol=1e-9)
    density = frozen.noised_log_density(z, 1.0, 0.3)
    np.testing.assert_allclose(density, exact.noised_log_density(z, 1.0, 0.3), rtol=1e-10)
    logs, _ = frozen._states.tilt(z / 0.09)
    assert (logs - frozen._states.top < np.log(1e-250)).any()  # that path was taken


@pytest.mark.slow
def test_twenty_spins_in_bounded_memory():
    """Two arrays of 2^20 numbers are 17 MB; a table of the states would take 168 MB."""
    law = Ising.sherrington_kirkpatrick(20, 0.5, field=np.linspace(-0.5, 1.0, 20), random_state=0)
    tracemalloc.start()
    x = law.sample(3000, random_state=0)
    mean, m = law.mean, law.denoise(x + 0.5, 1.0, 0.7)
    density = law.noised_log_density(x + 0.5, 1.0, 0.7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 90e6
    # By hand: the first ten spins by the last ten, a table of 2^10 by 2^10.
    half = np.array(list(itertools.product([-1.0, 1.0], repeat=10)))
    parts = [law.couplings[:10, :10], law.couplings[10:, 10:]]
    logs = np.add.outer(*(0.5 * ((half @ part) * half).sum(axis=1) for part in parts))
    logs += half @ law.couplings[:10, 10:] @ half.T

    def by_hand(field):
        tilted = logs + np.add.outer(half @ field[:10], half @ field[10:])
        p = np.exp(tilted - logsumexp(tilted))
        return logsumexp(tilted), np.append(p.sum(axis=1) @ half, p.sum(axis=0) @ half)

    log_partition, slow = by_hand(law.field)
    np.testing.assert_allclose(mean, slow, atol=1e-10)
    for k in range(4):
        z = x[k] + 0.5
        log_mass, slow = by_hand(law.field + z / 0.49)
        np.testing.assert_allclose(m[k], slow, atol=1e-10)
        log_mass -= log_partition + (z @ z + 20) / 0.98 + 10 * np.log(2 * np.pi * 0.49)
        assert density[k] == pytest.approx(log_mass, abs=1e-9)


# ---- samples ---------------------------------------------------------------------------------


def fits(law, x):
    """Whether the counts of all states, rare ones put together, and the distance are as by chance."""
    p = law.probabilities()
    counts = np.bincount(spin_index(x, law.dim), minlength=p.size)
    rare = p * len(x) < 5
    observed = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(p[~rare], p[rare].sum()) * len(x)
    keep = expected > 0
    distance = spin_total_variation(x, law)
    by_distance = abs(distance.value - distance.floor) < 3 * distance.deviation
    by_counts = stats.chisquare(observed[keep], expected[keep]).pvalue > 1e-4
    assert by_distance == by_counts
    return by_counts


@pytest.mark.parametrize("method", ["exact", "gibbs"])
def test_samplers_against_enumeration(method):
    law = Ising.sherrington_kirkpatrick(8, 0.8, field=0.2, random_state=1)
    # A diagonal changes nothing, neither the law nor the chain.
    law = Ising(law.couplings + np.diag(np.linspace(-1.0, 1.5, 8)), law.field)
    x = law.sample(20_000, method=method, n_sweeps=60, random_state=2)
    assert set(np.unique(x)) == {-1.0, 1.0} and fits(law, x)
    mean_error = (x.mean(0) - law.mean) / np.sqrt((1 - law.mean**2) / len(x))
    assert np.abs(mean_error).max() < 4.5
    # Negative control: a law ten percent hotter.
    assert not fits(Ising(0.9 * law.couplings, law.field), x)


def test_a_law_of_energies_alone_is_sampled_exactly():
    law = Triples(7, seed=1)
    x = law.sample(20_000, random_state=2)
    assert np.array_equal(law.sample(70, random_state=2), x[:70]) and fits(law, x)
    # Negative control: an Ising law with the same means and correlations it could have.
    pairs = Ising(np.arctanh(0.9 * (law.correlations - np.eye(7))), np.arctanh(law.mean))
    assert not fits(pairs, x)
    off = spin_total_variation(x, pairs)
    assert off.value > off.floor + 20 * off.deviation
    with pytest.raises(ValueError, match=rf"d <= {MAX_SPINS}; this law has d = 25"):
        Triples(25).sample(1)


def test_samples_do_not_depend_on_how_many_are_drawn():
    law = Ising.sherrington_kirkpatrick(8, 0.5, random_state=1)
    for method in ("exact", "gibbs"):
        options = dict(method=method, n_sweeps=5, random_state=4)
        many, few = law.sample(200, **options), law.sample(70, **options)
        assert np.array_equal(many[:70], few)
    assert law.sample(0).shape == law.sample(0, method="gibbs").shape == (0, 8)


def test_beyond_enumeration_gibbs_goes_on():
    field = np.linspace(-2, 2, 40)
    law = Ising(np.zeros((40, 40)), field)
    x = law.sample(4000, n_sweeps=2, random_state=0)  # free spins mix in one sweep
    error = (x.mean(0) - np.tanh(field)) / np.sqrt((1 - np.tanh(field) ** 2) / 4000)
    assert np.abs(error).max() < 4.5
    assert np.array_equal(Ising(np.zeros((30, 30)), 1e6).sample(3, n_sweeps=1), np.ones((3, 30)))
    # A chain of couplings has neighbour correlations tanh(0.5), without any enumeration.
    neighbours = 0.5 * (np.eye(40, k=1) + np.eye(40, k=-1))
    y = Ising(neighbours).sample(8000, n_sweeps=60, random_state=1)
    links = y[:, 1:] * y[:, :-1]
    assert abs(links.mean() - np.tanh(0.5)) < 4.5 * np.sqrt((1 - np.tanh(0.5) ** 2) / links.size)
    exact = functools.partial(law.sample, 1, method="exact")
    for ask in (lambda: law.log_partition, lambda: law.denoise(x, 1.0, 1.0), exact):
        with pytest.raises(ValueError, match=rf"d <= {MAX_SPINS}; this law has d = 40.*gibbs"):
            ask()
    # With an approximate denoiser the law still has a score at any noise.
    free = Noised(law, 0.8, 0.6, denoiser=lambda z, s, sigma: np.tanh(field + s * z / sigma**2))
    z = free.sample(5, random_state=0)
    np.testing.assert_allclose(free.score(z), (0.8 * np.tanh(field + z * 0.8 / 0.36) - z) / 0.36)


def test_noise_floor_is_the_expected_variation():
    law = Ising.sherrington_kirkpatrick(5, 0.7, field=0.3, random_state=2)
    values = [spin_total_variation(law.sample(150, random_state=s), law).value for s in range(400)]
    distance = spin_total_variation(law.sample(150, random_state=0), law)
    assert abs(np.mean(values) - distance.floor) < 4.5 * np.std(values) / 20
    assert np.std(values) < distance.deviation
    # One sample: 1 - E p(x).
    single = spin_total_variation(law.sample(1, random_state=0), law)
    np.testing.assert_allclose(single.floor, 1 - (law.probabilities() ** 2).sum(), rtol=1e-12)
    certain = Ising(np.zeros((3, 3)), 400.0)
    sure = spin_total_variation(np.ones((10, 3)), certain)
    assert sure.value == 0.0 and sure.floor < 1e-12
    assert "chance explains" in repr(distance)


def test_rounding():
    x = np.array([[0.2, -3.0, 0.0]])
    assert round_to_spins(x).tolist() == [[1.0, -1.0, 1.0]]
    means = np.tile([0.6, -0.2, 1.0, -1.5], (40_000, 1))
    spins = round_to_spins(means, method="random", random_state=0)
    assert np.abs(spins.mean(0) - [0.6, -0.2, 1.0, -1.0]).max() < 0.02
    assert (spins[:, 2] == 1).all() and (spins[:, 3] == -1).all()


def test_sherrington_kirkpatrick_scaling():
    law = Ising.sherrington_kirkpatrick(300, 0.7, random_state=0)
    a = law.couplings
    assert np.array_equal(a, a.T) and not np.diag(a).any()
    off = a[np.triu_indices(300, 1)]
    assert abs(off.std() * np.sqrt(300) - 0.7) < 4.5 * 0.7 / np.sqrt(2 * off.size)
    assert abs(np.linalg.norm(a, 2) - 1.4) < 0.1  # the semicircle ends at 2 beta
    again = Ising.sherrington_kirkpatrick(300, 0.7, random_state=0)
    assert np.array_equal(again.couplings, a)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Ising(np.zeros((2, 3))), r"couplings must have shape \(d, d\); got shape \(2, 3\)"),
        (lambda: Ising([[0.0, 1.0], [0.0, 0.0]]), "couplings must be symmetric"),
        (lambda: Ising(0.0), r"couplings must have shape \(d, d\)"),
        (lambda: Ising([[0.0, np.nan], [np.nan, 0.0]]), "couplings must be finite; 2 of 4"),
        (lambda: Ising(np.zeros((2, 2)), [1.0]), r"field must be a number or have shape \(2,\)"),
        (lambda: Ising.sherrington_kirkpatrick(0, 1.0), "dim must be an integer >= 1"),
        (lambda: Ising.sherrington_kirkpatrick(3, -1.0), "beta"),
        (lambda: random_law(3).sample(2, method="tap"), "method must be one of"),
        (lambda: random_law(3).sample(2, method="gibbs", n_sweeps=0), "n_sweeps"),
        (lambda: random_law(3).noised(1.0, 0.0), "sigma must be > 0"),
        (lambda: random_law(3).denoise(np.zeros((2, 4)), 1.0, 1.0), r"\(n, 3\).*got shape \(2, 4\)"),
        (lambda: round_to_spins([0.1, np.nan]), "x must not be NaN; 1 of 2"),
        (lambda: round_to_spins(np.ones(2), method="up"), "method must be one of"),
        (lambda: spin_index([[0.5, 1.0]], 2), r"spins -1 and 1 only; 1 of 2.*round_to_spins"),
        (lambda: spin_total_variation(np.zeros((0, 3)), random_law(3)), "at least one row"),
    ],
)  # fmt: skip
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
