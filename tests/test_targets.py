"""Targets against closed forms, quadrature, finite differences, and samples with controls."""

import itertools
import math

import numpy as np
import pytest
from oracles import fine_slopes
from scipy import integrate, stats
from scipy.spatial.distance import cdist
from scipy.special import log_ndtr

from convexscore import targets
from convexscore.scores import ve_score, vp_score
from convexscore.targets import Gaussian, GaussianMixture, Ising, LineLaw, Noised

OK = 1e-4  # a right sampler gives a smaller p-value with one seed in ten thousand
LEVELS = [(1.0, 0.5), (0.6, 0.8), (0.02, 1.0)]

GAUSSIAN = Gaussian([1.0, -2.0, 0.5], [[2.0, 0.8, 0.0], [0.8, 1.0, -0.3], [0.0, -0.3, 0.5]])
FULL = GaussianMixture(
    [1.0, 2.0, 1.0],
    [[0.0, 0.0], [2.0, 1.0], [-1.0, 3.0]],
    [[[1.0, 0.6], [0.6, 0.8]], [[0.2, 0.0], [0.0, 1.5]], [[0.5, -0.2], [-0.2, 0.3]]],
)
SHARED = GaussianMixture([0.2, 0.5, 0.3], FULL.means, [[0.7, 0.3], [0.3, 0.4]])
CUBE = GaussianMixture(
    [1.0, 3.0],
    [[0.0, 1.0, 0.0], [1.5, 0.0, -1.0]],
    [GAUSSIAN.covariance, [[0.5, 0.1, 0.2], [0.1, 0.9, -0.4], [0.2, -0.4, 1.3]]],
)
ROUND = GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.3, 1.2])
QUARTIC = LineLaw(lambda x: -((x**2 - 1.0) ** 2) + 0.3 * x, (-4.0, 4.0))
LAPLACE = LineLaw.from_scipy(stats.laplace(), breaks=[0.0])
RING = targets.ring_of_gaussians(weights=np.arange(1.0, 9.0))
SHAPES = [targets.banana(), targets.two_moons(share=0.3), targets.spiral(), RING]
LAWS = [GAUSSIAN, FULL, CUBE, SHARED, ROUND, QUARTIC, LAPLACE, *SHAPES]
every_law = pytest.mark.parametrize("law", LAWS, ids=repr)


# ---- what all of them promise ----------------------------------------------------------------


@every_law
def test_score_is_the_gradient_of_the_log_density(law):
    x = law.sample(20, random_state=0)
    np.testing.assert_allclose(law.score(x), fine_slopes(law.log_density, x), atol=3e-7)
    for scale, sigma in LEVELS:
        noised = law.noised(scale, sigma)
        z = noised.sample(20, random_state=1)
        slope = fine_slopes(noised.log_density, z)
        np.testing.assert_allclose(noised.score(z), slope, atol=3e-7)
        tweedie = (z + sigma**2 * noised.score(z)) / scale
        np.testing.assert_allclose(law.denoise(z, scale, sigma), tweedie, atol=1e-9)


@every_law
def test_noise_on_noise_is_more_noise(law):
    twice = law.noised(0.7, 0.4).noised(0.5, 0.3)
    once = law.noised(0.35, math.hypot(0.5 * 0.4, 0.3))
    z = once.sample(20, random_state=3)
    np.testing.assert_allclose(twice.score(z), once.score(z), atol=1e-9)
    np.testing.assert_allclose(twice.log_density(z), once.log_density(z), atol=1e-9)
    # And the mean of the first noisy variable given the second, by Tweedie on the outer noise.
    tweedie = (z + 0.3**2 * once.score(z)) / 0.5
    np.testing.assert_allclose(law.noised(0.7, 0.4).denoise(z, 0.5, 0.3), tweedie, atol=1e-9)


@pytest.mark.parametrize("dim", [2, 5, 10])
def test_draws_do_not_depend_on_how_many_there_are(dim):
    """To the last bit, also the rows that a matrix product treats as its remainder."""
    rng = np.random.default_rng(dim)
    factors = rng.standard_normal((2, dim, dim))
    covariances = factors @ factors.transpose(0, 2, 1)
    mixture = GaussianMixture([1.0, 2.0], rng.standard_normal((2, dim)), covariances)
    for law in (Gaussian(np.zeros(dim), covariances[0]), mixture):
        many = law.sample(300, random_state=5)
        for n in [*range(1, 70), 299]:
            assert np.array_equal(law.sample(n, random_state=5), many[:n])


@every_law
def test_shapes_seeds_and_limits(law):
    assert isinstance(law, targets.Target) and isinstance(law.noised(1.0, 1.0), targets.Target)
    many, few = law.sample(50, random_state=5), law.sample(7, random_state=5)
    assert np.array_equal(many[:7], few)
    assert many.shape == ((50,) if law.dim == 1 else (50, law.dim))
    noised = law.noised(0.6, 0.8)
    assert np.array_equal(noised.sample(9, random_state=5)[:4], noised.sample(4, random_state=5))
    assert noised.score(many).shape == many.shape and noised.log_density(many).shape == (50,)
    if law.dim == 1:
        np.testing.assert_array_equal(noised.score(many[:, None])[:, 0], noised.score(many))
        np.testing.assert_array_equal(noised.log_density(many[:, None]), noised.log_density(many))
    assert law.sample(0).shape[0] == 0
    # Without noise it is the law itself; without signal it is the noise, and the mean is all.
    np.testing.assert_allclose(law.noised(1.0, 0.0).score(few), law.score(few), atol=1e-8)
    np.testing.assert_allclose(vp_score(law)(few, 0.0), law.score(few), atol=1e-8)
    np.testing.assert_allclose(law.noised(0.0, 2.0).score(few), -few / 4.0, atol=1e-12)
    nothing = np.broadcast_to(law.denoise(0 * few, 0.0, 1.0), few.shape)
    np.testing.assert_allclose(nothing, np.broadcast_to(law.mean, few.shape), atol=1e-9)


@every_law
def test_tiny_noise_and_far_points_stay_finite_and_accurate(law):
    x = law.sample(30, random_state=6)
    tiny = law.noised(1.0, 1e-4)
    # The smooth laws hardly feel noise of 1e-4; a corner of Laplace would (none is this close).
    np.testing.assert_allclose(tiny.score(x), law.score(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tiny.log_density(x), law.log_density(x), atol=1e-4)
    far = 1e6 * np.ones_like(x)
    for sigma in (1e-4, 1.0):
        noised = law.noised(1.0, sigma)
        assert np.isfinite(noised.score(far)).all() and np.isfinite(noised.log_density(far)).all()
        assert (noised.score(far) < 0).all() or law is GAUSSIAN
    posterior = law.denoise(x, 1.0, 1e-4)
    np.testing.assert_allclose(posterior, x, atol=1e-6)


@pytest.mark.parametrize("law", [GAUSSIAN, FULL, CUBE, SHARED, QUARTIC, *SHAPES], ids=repr)
def test_sample_moments(law):
    n = 40_000

    def largest_deviation(x, mean, covariance):
        """Of mean and covariance after whitening, in standard errors."""
        white = (x.reshape(n, -1) - mean) @ np.linalg.inv(np.linalg.cholesky(covariance)).T
        squares = white[:, :, None] * white[:, None, :]
        errors = white.mean(0), (squares.mean(0) - np.eye(law.dim)) / squares.std(0)
        return max(np.abs(e).max() for e in errors) * np.sqrt(n)

    mean = np.atleast_1d(law.mean)
    covariance = np.atleast_2d(law.variance if law.dim == 1 else law.covariance)
    x = law.sample(n, random_state=7)
    assert largest_deviation(x, mean, covariance) < 5
    assert largest_deviation(x, mean, 1.1 * covariance) > 8  # negative control
    z = law.noised(0.6, 0.8).sample(n, random_state=8)
    noisy = 0.36 * covariance + 0.64 * np.eye(law.dim)
    assert largest_deviation(z, 0.6 * mean, noisy) < 5
    assert largest_deviation(z, 0.6 * mean, 0.36 * covariance + 1.28 * np.eye(law.dim)) > 6


ROUND_PLANE = GaussianMixture([0.3, 0.0, 0.7], np.eye(3)[:, :2], [0.3, 1.0, 0.0])
EXACT = [*LAWS, ROUND_PLANE, Ising([[0.0, 0.5], [0.5, 0.0]], [0.3, -0.2]), Noised(FULL, 0.9, 0.3)]


@pytest.mark.parametrize("law", EXACT, ids=repr)
def test_levels_may_be_one_a_row(law):
    """Against the loop over rows, one number each."""
    sigma = np.array([0.5, 0.8, 1.0, 1e-3, 2.0, 0.5, 30.0, 0.05])
    scale = np.array([1.0, 0.6, 0.02, 1.0, 0.0, 1.0, 1e-9, 0.9])
    z = 1.2 * law.sample(8, random_state=11) + 0.1

    def loop(f, *levels):
        rows = zip(range(len(z)), *(level.tolist() for level in levels), strict=True)
        return np.concatenate([f(z[i : i + 1], *level) for i, *level in rows])

    close = dict(rtol=1e-9, atol=1e-10)
    slow = loop(law.denoise, scale, sigma)
    np.testing.assert_allclose(law.denoise(z, scale, sigma), slow, **close)
    noised = law.noised(scale, sigma)
    slow = loop(lambda x, a, s: Noised(law, a, s).score(x), scale, sigma)
    np.testing.assert_allclose(noised.score(z), slow, **close)
    if not isinstance(law, Noised):
        slow = loop(lambda x, a, s: law.noised(a, s).log_density(x), scale, sigma)
        np.testing.assert_allclose(noised.log_density(z), slow, **close)
    # More noise on top, one number or one a row.
    for more in ((0.5, 0.3), (scale[::-1].clip(0.1), sigma[::-1])):
        levels = [np.broadcast_to(level, 8) for level in more]
        pairs = (scale, sigma, *levels)
        slow = loop(lambda x, a, s, b, t: Noised(law, a, s).denoise(x, b, t), *pairs)
        np.testing.assert_allclose(noised.denoise(z, *more), slow, **close)
        slow = loop(lambda x, a, s, b, t: Noised(law, a, s).noised(b, t).score(x), *pairs)
        np.testing.assert_allclose(noised.noised(*more).score(z), slow, **close)
    # Scores of both processes, rows without noise among them where the law has a score.
    quiet = 0.0 if isinstance(law, targets.Target) and law is not ROUND_PLANE else 0.3
    times = np.array([0.5, quiet, 3.0, 0.5, quiet, 1e-2, 60.0, 0.2])
    for score in (vp_score(law), ve_score(law)):
        np.testing.assert_allclose(score(z, times), loop(score, times), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(score(z, np.full(8, quiet)), score(z, quiet), atol=1e-8)
        assert np.abs(score(z, times) - loop(score, times[::-1])).max() > 0.05  # negative control
    assert noised.sample(8, random_state=0).shape == z.shape
    with pytest.raises(ValueError, match="got 8 levels for points of shape"):
        noised.score(z[:5])


def test_noise_of_levels_by_row_has_these_levels():
    sigma = np.repeat([0.5, 3.0], 20_000)
    z = GAUSSIAN.noised(np.repeat([2.0, 0.1], 20_000), sigma).sample(40_000, random_state=0)
    for part, scale, noise in ((z[:20_000], 2.0, 0.5), (z[20_000:], 0.1, 3.0)):
        wanted = scale**2 * GAUSSIAN.covariance + noise**2 * np.eye(3)
        white = np.linalg.solve(np.linalg.cholesky(wanted), (part - scale * GAUSSIAN.mean).T)
        assert np.abs(np.cov(white) - np.eye(3)).max() < 5 * np.sqrt(2 / 20_000)


# ---- Gaussian and mixtures -------------------------------------------------------------------


@pytest.mark.parametrize("law", [GAUSSIAN, FULL, CUBE, SHARED, ROUND, RING], ids=repr)
@pytest.mark.parametrize(("scale", "sigma"), [(1.0, 0.0), (0.6, 0.8)])
def test_density_against_a_plain_sum(law, scale, sigma):
    x, total = law.sample(30, random_state=9), 0.0
    parts = [(1.0, law.mean, law.covariance)]
    if law is not GAUSSIAN:
        parts = zip(law.weights, law.means, law.covariances, strict=True)
    for weight, mean, covariance in parts:
        noisy = scale**2 * covariance + sigma**2 * np.eye(law.dim)
        total = total + weight * stats.multivariate_normal(scale * mean, noisy).pdf(x)
    noised = law.noised(scale, sigma)
    np.testing.assert_allclose(noised.log_density(x), np.log(total), atol=1e-10)
    exact = scale**2 * law.covariance + sigma**2 * np.eye(law.dim)
    np.testing.assert_allclose(noised.covariance, exact, atol=1e-12)
    # The wrapper that knows the denoiser only agrees with the closed form.
    if sigma:
        wrapped = Noised(law, scale, sigma)
        np.testing.assert_allclose(wrapped.score(x), noised.score(x), atol=1e-12)
        for level in ((0.5, 0.3), (0.0, 1.0)):
            mean = noised.denoise(x, *level)
            np.testing.assert_allclose(wrapped.denoise(x, *level), mean, atol=1e-12)


def test_points_without_spread_give_the_kernel_density_score():
    points = np.random.default_rng(0).normal(size=(30, 2))
    law = GaussianMixture(np.ones(30), points, 0.0)
    assert (cdist(law.sample(50, random_state=0), points).min(axis=1) == 0).all()
    z = np.array([[0.3, 0.1], [1e3, -2e3]])
    share = np.exp(-cdist(z[:1], points, "sqeuclidean") / (2 * 0.2**2))
    np.testing.assert_allclose(law.denoise(z, 1.0, 0.2)[0], (share @ points / share.sum())[0])
    farthest = points[np.argmax(points @ [1.0, -2.0])]
    np.testing.assert_allclose(law.denoise(z, 1.0, 0.2)[1], farthest)
    for ask in (law.score, Gaussian([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]]).log_density):
        with pytest.raises(ValueError, match=r"singular.*noised"):
            ask(z)


@pytest.mark.slow
@pytest.mark.parametrize("law", [FULL, *SHAPES], ids=repr)
@pytest.mark.parametrize("angle", [0.3, 1.9])
def test_projections_of_planar_samples(law, angle):
    """A projected mixture is a mixture on the line, whose distribution function is known."""
    direction = np.array([np.cos(angle), np.sin(angle)])

    def cdf(weights):
        means, sds = law.means @ direction, np.sqrt(direction @ law.covariances @ direction)
        return lambda q: (weights * stats.norm.cdf((np.asarray(q)[:, None] - means) / sds)).sum(1)

    x = law.sample(20_000, random_state=10) @ direction
    assert stats.kstest(x, cdf(law.weights)).pvalue > OK
    wrong = law.weights * np.linspace(0.4, 1.6, law.n_components)
    assert stats.kstest(x, cdf(wrong / wrong.sum())).pvalue < OK


# ---- planar shapes ---------------------------------------------------------------------------


def test_strokes_are_continuous_lines():
    line = targets.stroke(lambda t: np.column_stack([40 * t, 0 * t]), thickness=0.5)
    x = np.column_stack([np.linspace(10, 30, 401), np.zeros(401)])
    assert np.ptp(line.log_density(x)) < 1e-7  # ripple of the row of Gaussians
    assert np.abs(line.score(x)).max() < 1e-6
    # Evenly in t on a quadratic parameter: density along the line proportional to 1/sqrt(x).
    slow = targets.stroke(
        lambda t: np.column_stack([40 * t**2, 0 * t]), thickness=0.1, along="parameter"
    )
    ratio = np.exp(np.diff(slow.log_density([[10.0, 0.0], [30.0, 0.0]])))
    np.testing.assert_allclose(ratio, np.sqrt(10 / 30), rtol=1e-3)


def test_shapes_are_where_they_should_be():
    spiral = targets.spiral()
    angle, radius = np.arange(80) * np.pi / 20, np.linspace(10, 2.1, 80)
    drawn = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
    assert cdist(drawn, spiral.means).min(axis=1).max() < 0.3
    moons = targets.two_moons(thickness=0.05, share=0.3)
    half = moons.n_components // 2
    np.testing.assert_allclose(np.linalg.norm(moons.means[:half], axis=1), 1.0)
    np.testing.assert_allclose(np.linalg.norm(moons.means[half:] - [1.0, 0.5], axis=1), 1.0)
    assert moons.means[:half, 1].min() > -1e-12 and moons.means[half:, 1].max() < 0.5 + 1e-12
    np.testing.assert_allclose(moons.weights[:half].sum(), 0.3)
    banana = targets.banana(width=2.0, curvature=0.3, thickness=0.2)
    np.testing.assert_allclose(banana.mean, 0.0, atol=0.01)
    u = banana.means[:, 0]
    np.testing.assert_allclose(banana.means[:, 1], 0.3 * (u**2 - 4.0))
    np.testing.assert_allclose(banana.covariance[0, 0], 4.0 + 0.04, rtol=2e-3)  # cut at 4 sd


# ---- laws on the line ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("law", [stats.laplace(), stats.gamma(4.0), stats.t(5), stats.uniform()])
@pytest.mark.parametrize("level", [(1.0, 0.5), (0.6, 0.8), (0.9, 0.05), (0.9, 0.01)])
def test_noised_line_law_against_adaptive_quadrature(law, level):
    scale, sigma = level
    exact = LineLaw.from_scipy(law, breaks=[0.0] if law.dist.name == "laplace" else ())
    for z in (-1.0, 0.001, 0.4, 2.0):
        ends = np.clip((z + sigma * np.array([-9, 9])) / scale, *exact.interval)
        if ends[0] == ends[1]:
            continue
        cuts = [ends[0], 0.0, ends[1]] if ends[0] < 0 < ends[1] else ends

        def mass(x, k, z=z):
            return x**k * law.pdf(x) * stats.norm.pdf(z, scale * x, sigma)

        total, first = (
            sum(integrate.quad(mass, a, b, args=(k,), epsabs=0, epsrel=1e-10)[0]
                for a, b in itertools.pairwise(cuts))
            for k in (0, 1)
        )  # fmt: skip
        density = exact.noised_log_density([z], scale, sigma)[0]
        np.testing.assert_allclose(density, np.log(total), atol=1e-9)
        mean = exact.denoise([z], scale, sigma)[0]
        np.testing.assert_allclose(mean, first / total, atol=1e-8)


def test_uniform_law_far_outside_in_closed_form():
    law = LineLaw.from_scipy(stats.uniform())
    z = np.array([-30.0, -1.0, 0.2, 1.0, 1.3, 1000.0])
    for sigma in (1e-4, 0.05, 3.0):
        # Phi(a) - Phi(b) in log space, from the side where it is small
        side = np.where(z > 0.5, 1 - z, z)
        near, far = log_ndtr(side / sigma), log_ndtr((side - 1) / sigma)
        log_q = near + np.log1p(-np.exp(far - near))
        noised = law.noised(1.0, sigma)
        np.testing.assert_allclose(noised.log_density(z), log_q, rtol=1e-9, atol=1e-9)
        ends = np.exp(stats.norm.logpdf(np.array([z, z - 1]) / sigma) - log_q)
        slope = ends[0] - ends[1]
        # The closed form's own exponents z²/(2 sigma²) lose digits far outside.
        rtol = 1e-9 + 4e-15 * (z / sigma) ** 2
        error = np.abs(noised.score(z) - slope / sigma)
        assert (error <= rtol * np.abs(slope / sigma) + 1e-7).all()
        mean = law.denoise(z, 1.0, sigma)[2]
        np.testing.assert_allclose(mean, 0.2 if sigma < 0.1 else 0.4985, atol=2e-2)


@pytest.mark.parametrize(
    "frozen",
    [stats.gamma(4.0), stats.t(5), stats.gamma(0.5), stats.cauchy(), stats.norm(5, 0.1)],
    ids=["gamma", "t", "pole at 0", "cauchy", "narrow"],
)
def test_line_law_quantiles_and_samples(frozen):
    law = LineLaw.from_scipy(frozen)
    q = np.array([1e-9, 1e-4, 0.1, 0.5, 0.77, 1 - 1e-6])
    np.testing.assert_allclose(law.cdf(frozen.ppf(q)), q, atol=2e-12)
    np.testing.assert_allclose(frozen.cdf(law.ppf(q)), q, atol=2e-12)
    assert (np.diff(law.ppf(np.linspace(0, 1, 1001))) > 0).all()
    x = law.sample(20_000, random_state=0)
    assert stats.kstest(x, frozen.cdf).pvalue > OK
    iqr = np.diff(frozen.ppf([0.25, 0.75]))[0]
    assert stats.kstest(x + 0.05 * iqr, frozen.cdf).pvalue < OK  # negative control
    inside = frozen.ppf([0.2, 0.5, 0.9])
    np.testing.assert_allclose(law.log_density(inside), frozen.logpdf(inside), atol=1e-9)


def test_line_law_score_by_differences_and_noiseless_scaling():
    x = np.linspace(-3, 3, 61)
    exact = -4 * x * (x**2 - 1) + 0.3
    np.testing.assert_allclose(QUARTIC.score(x), exact, atol=1e-8)
    y = np.array([-3.0, -1e-9, 1e-9, 2.0])
    np.testing.assert_allclose(LAPLACE.score(y), -np.sign(y), atol=1e-7)  # never across the kink
    at_its_end = LineLaw(lambda x: np.where(x >= 0, -x, np.nan), (0.0, 30.0))
    np.testing.assert_allclose(at_its_end.score([0.0, 1e-12]), -1.0, atol=1e-7)
    half = LAPLACE.noised(0.5, 0.0)
    np.testing.assert_allclose(half.score(y), -2 * np.sign(y), atol=1e-7)
    np.testing.assert_allclose(half.log_density([0.25]), LAPLACE.log_density([0.5]) + np.log(2))
    assert np.isnan(QUARTIC.score([5.0])).all() and QUARTIC.log_density([5.0])[0] == -np.inf
    lost = QUARTIC.noised(1.0, 0.1).score([np.nan, 0.3, np.inf])
    assert np.isnan(lost[[0, 2]]).all() and np.isfinite(lost[1])
    with_gap = LineLaw(lambda x: np.where(np.abs(x) < 1, -np.inf, 0.0), (-2, 2), breaks=[-1.0, 1.0])
    np.testing.assert_allclose(with_gap.mean, 0.0, atol=1e-15)
    np.testing.assert_allclose(with_gap.denoise([0.01, -0.01], 1.0, 0.01), [1, -1], atol=2e-2)


def test_line_law_finds_peaks_at_breaks():
    def comb(x):
        return np.logaddexp(-0.5 * (x / 1e-7) ** 2 - np.log(1e-7), -0.5 * x**2)

    law = LineLaw(comb, (-9.0, 9.0), breaks=[-1e-6, 1e-6])
    np.testing.assert_allclose(law.cdf([-1e-5, 1e-5]), [0.25, 0.75], atol=1e-5)


# ---- the interface: other models join with a denoiser -----------------------------------------


class Spike:
    """X = ± v, a rank-one spike: nothing but samples and a posterior mean."""

    def __init__(self, v):
        self.v, self.dim = v, len(v)

    def sample(self, n, *, random_state=None):
        return np.random.default_rng(random_state).choice([-1.0, 1.0], size=(n, 1)) * self.v

    def denoise(self, z, scale, sigma):
        return np.tanh(scale * (z @ self.v) / sigma**2)[:, None] * self.v

    def noised(self, scale, sigma):
        return Noised(self, scale, sigma)


def test_a_new_model_needs_a_denoiser_only():
    v = np.array([1.0, -0.5, 2.0])
    spike, same = Spike(v), GaussianMixture([0.5, 0.5], [v, -v], 0.0)
    assert isinstance(spike, targets.Law) and not isinstance(spike, targets.Target)
    z = spike.noised(0.8, 0.6).sample(20, random_state=0)
    assert isinstance(spike.noised(0.8, 0.6), targets.Target)
    once = spike.noised(0.8, 0.6), same.noised(0.8, 0.6)
    for mine, exact in (once, [law.noised(0.5, 0.4) for law in once]):
        np.testing.assert_allclose(mine.score(z), exact.score(z), atol=1e-12)
        np.testing.assert_allclose(
            mine.denoise(z, 0.5, 0.4), exact.denoise(z, 0.5, 0.4), atol=1e-12
        )
    for law in (spike, spike.denoise):
        np.testing.assert_allclose(vp_score(law)(z, 0.3), vp_score(same)(z, 0.3), atol=1e-11)
        np.testing.assert_allclose(ve_score(law)(z, 0.3), ve_score(same)(z, 0.3), atol=1e-11)
    with pytest.raises(NotImplementedError, match=r"Spike gives no log-density.*Langevin"):
        spike.noised(0.8, 0.6).log_density(z)


def test_an_approximate_denoiser_replaces_the_exact_one():
    law = Noised(GAUSSIAN, 0.8, 0.6, denoiser=lambda z, scale, sigma: 0.0 * z)
    z = law.sample(5, random_state=0)
    np.testing.assert_allclose(law.score(z), -z / 0.36)
    np.testing.assert_allclose(law.noised(0.5, 0.3).score(z), -z / (0.09 + 0.09))
    with pytest.raises(ValueError, match=r"denoiser must return.*\(5, 3\)"):
        Noised(GAUSSIAN, 0.8, 0.6, denoiser=lambda z, scale, sigma: z[:, 0]).score(z)
    with pytest.raises(TypeError, match="callable"):
        Noised(GAUSSIAN, 0.8, 0.6, denoiser=0.0)
    with pytest.raises(TypeError, match="target must be a law"):
        vp_score(3.0)
    np.testing.assert_allclose(vp_score(QUARTIC)(z[:, 0], 40.0), -z[:, 0], atol=1e-9)
    for bad in (-1.0, np.nan, -np.ones(5), True):
        with pytest.raises(ValueError, match=r"t must be (finite|a number)"):
            vp_score(GAUSSIAN)(z, bad)
    with pytest.raises(ValueError, match="one number or one a row; got 2 levels"):
        vp_score(GAUSSIAN)(z, np.ones(2))


# ---- bad input -------------------------------------------------------------------------------

BAD_CALLS = [
    (lambda law, z: law.score(np.zeros((2, 7))), r"of dimension \d; got shape \(2, 7\)"),
    (lambda law, z: law.log_density(0.0), "one point per row"),
    (lambda law, z: law.score(z.astype(complex)), "x must be real"),
    (lambda law, z: law.noised(-1.0, 1.0), "scale must be finite and >= 0; got -1"),
    (lambda law, z: law.denoise(z, 1.0, np.inf), "sigma must be finite"),
    (lambda law, z: law.denoise(z, 1.0, 0.0), "sigma must be > 0 here; got sigma=0"),
    (lambda law, z: law.noised(0.0, 0.0), "or 0 with scale > 0"),
    (lambda law, z: law.noised("1", 1.0), "scale must be a number"),
    (lambda law, z: law.denoise(z, 1.0, np.ones(3)), "got 3 levels for points"),
    (lambda law, z: law.sample(-1), "n must be an integer >= 0"),
]


@pytest.mark.parametrize("law", [GAUSSIAN, FULL, QUARTIC, Noised(QUARTIC, 1.0, 1.0)], ids=repr)
@pytest.mark.parametrize(("call", "message"), BAD_CALLS)
def test_bad_points_and_levels(law, call, message):
    with pytest.raises(ValueError, match=message):
        call(law, np.zeros((2, law.dim)))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Gaussian([[0.0]]), r"mean must have shape \(\) or \(d,\)"),
        (lambda: Gaussian([0.0, np.nan]), "mean must be finite; 1 of 2"),
        (
            lambda: Gaussian([0.0, 1.0], [1.0, 2.0]),
            r"covariance must be one of.*\(2,\)\. A diagonal covariance is numpy\.diag\(variances\)",
        ),
        (lambda: Gaussian([0.0, 1.0], [[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (
            lambda: Gaussian([0.0, 1.0], [[1.0, 2.0], [2.0, 1.0]]),
            "semi-definite.*-1. Check its signs",
        ),
        (lambda: Gaussian(0.0, -1.0), "semi-definite"),
        (lambda: GaussianMixture([1.0, -1.0], [0.0, 1.0], 1.0), "weights must be >= 0"),
        (lambda: GaussianMixture([0.0, 0.0], [0.0, 1.0], 1.0), "not all 0"),
        (
            lambda: GaussianMixture([1.0], [0.0, 1.0], 1.0),
            r"means must have shape \(1, d\).*\(2,\)\. Give as many means as weights",
        ),
        (lambda: GaussianMixture(1.0, [0.0], 1.0), r"weights must have shape \(K,\)"),
        (lambda: GaussianMixture([1.0], [0.0], [1.0, 2.0]), "covariances must be one of"),
        (lambda: targets.ring_of_gaussians(0), "n_modes"),
        (lambda: targets.two_moons(share=1.0), "share must be > 0 and < 1"),
        (lambda: targets.spiral(thickness=0.0), "thickness"),
        (lambda: targets.stroke(lambda t: t, thickness=1.0), "what curve returns must have shape"),
        (lambda: targets.stroke(lambda t: t, thickness=1.0, along="time"), "along must be one of"),
        (lambda: Gaussian([1j]), "mean must be real"),
        (lambda: LineLaw(lambda x: np.full_like(x, -np.inf), (0, 1)), "-inf at all 512 .*breaks"),
        (lambda: LineLaw(lambda x: np.full_like(x, np.nan), (0, 1)), "not NaN"),
        (lambda: LineLaw(lambda x: 0.0, (0, 1)), r"log_density must return .*one number a point"),
        (lambda: LineLaw(lambda x: -x, (1, 0)), r"finite a < b; got \(1, 0\)"),
        (lambda: LineLaw(lambda x: -x, (0, np.inf)), r"got \(0, inf\)\. Cut unbounded tails"),
        (lambda: LineLaw(lambda x: -x, (0, 1), breaks=[1.0]), "strictly inside"),
        (lambda: LineLaw.from_scipy(stats.poisson(3.0)), "frozen continuous law"),
        (lambda: LineLaw(stats.norm(), (0, 1)), "from_scipy"),
        (lambda: QUARTIC.ppf([1.1]), r"q must be in \[0, 1\]"),
    ],
)
def test_bad_laws(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
