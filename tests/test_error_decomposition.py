"""The error decomposition against closed forms, brute-force integrals, and runs of the sampler."""

import dataclasses
import itertools
from functools import partial

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import integrate, stats

from convexscore import targets
from convexscore.ddpm_errors import ddpm_density, error_decomposition, error_sweep
from convexscore.ddpm_errors.lab import SOURCES
from convexscore.ddpm_errors.line_densities import EvenGrid, distance, total_variation
from convexscore.ddpm_errors.marginals import Marginals, divergences
from convexscore.ddpm_errors.transition import GaussianSources
from convexscore.plotting import ErrorDecompositionDisplay
from convexscore.samplers import ddpm
from convexscore.schedules import exponential_grid, uniform_grid, vp
from convexscore.scores import vp_score

GRID = exponential_grid(3.0, 24, end=0.02)
MIXTURE = targets.GaussianMixture([0.3, 0.7], [-1.0, 1.4], [0.1, 0.25])
EXACT = vp_score(MIXTURE)
NORMAL = targets.Gaussian([1.5], [[0.4]])


def shifted(x, t):
    return EXACT(x, t) + 0.2 * np.cos(2 * x)


def kinked(x, t):
    return EXACT(x, t) + 0.5 * np.abs(x - 0.3) - 0.5 * np.abs(x + 0.4)


# ---- A Gaussian: everything in closed form -----------------------------------------------------


def chain_of_normal(mean, variance, law_mean, law_variance, grid, excess=1.0):
    """Mean and variance along the run with the exact score: a linear recursion."""
    for t, gamma in zip(grid.times, grid.steps, strict=False):
        scale, sigma = vp(t)
        q = scale**2 * law_variance + sigma**2
        slope = np.exp(gamma) - 2 * np.expm1(gamma) / q
        mean = slope * mean + 2 * np.expm1(gamma) * scale * law_mean / q
        variance = slope**2 * variance + excess * np.expm1(2 * gamma)
    return mean, variance


def noised_normal(t, mean=1.5, variance=0.4):
    scale, sigma = vp(t)
    return scale * mean, scale**2 * variance + sigma**2


def normal_distance(q, p):
    """TV by adaptive quadrature; KL and W2 by their formulas; arguments (mean, variance)."""
    (m, v), (n, w) = q, p
    laws = stats.norm(m, np.sqrt(v)), stats.norm(n, np.sqrt(w))
    # the densities cross where a quadratic vanishes: one of the differences of cdfs is TV
    roots = np.roots([1 / v - 1 / w, -2 * (m / v - n / w), m**2 / v - n**2 / w + np.log(v / w)])
    cuts = np.concatenate([[-np.inf], np.sort(np.real(roots)), [np.inf]])
    tv = 0.5 * sum(
        abs((laws[0].cdf(b) - laws[0].cdf(a)) - (laws[1].cdf(b) - laws[1].cdf(a)))
        for a, b in itertools.pairwise(cuts)
    )
    kl = 0.5 * (v / w + (m - n) ** 2 / w - 1 + np.log(w / v))
    return tv, kl, np.hypot(m - n, np.sqrt(v) - np.sqrt(w))


@pytest.mark.parametrize("start", [None, NORMAL.noised(*vp(GRID.horizon))], ids=["N(0,1)", "q_T"])
def test_density_of_a_gaussian_run_is_the_linear_recursion(start):
    first = (0.0, 1.0) if start is None else noised_normal(GRID.horizon)
    mean, variance = chain_of_normal(*first, 1.5, 0.4, GRID)
    x = np.linspace(-4, 6, 101)
    found = ddpm_density(vp_score(NORMAL), GRID, x, start=start, tol=1e-6)
    expected = stats.norm(mean, np.sqrt(variance)).pdf(x)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
    # a recursion with two percent more noise is another law
    mean, variance = chain_of_normal(*first, 1.5, 0.4, GRID, excess=1.02)
    assert np.abs(found - stats.norm(mean, np.sqrt(variance)).pdf(x)).max() > 1e-3


def test_errors_of_a_gaussian_in_closed_form():
    # the estimate is the exact score of N(1.2, 0.6)
    estimate = vp_score(targets.Gaussian([1.2], [[0.6]]))
    errors = error_decomposition(NORMAL, estimate, grid=GRID, refine=1, tol=1e-6)
    target, at_horizon = noised_normal(GRID.end), noised_normal(GRID.horizon)
    # the exact reverse process is X_end given X_T, a linear regression
    a = np.exp(-(GRID.horizon - GRID.end))
    gain = a * target[1] / at_horizon[1]
    backward = (
        target[0] + gain * (0.0 - at_horizon[0]),
        gain**2 * 1.0 + target[1] - gain**2 * at_horizon[1],
    )
    alone = chain_of_normal(*at_horizon, 1.5, 0.4, GRID)
    both = chain_of_normal(*at_horizon, 1.2, 0.6, GRID)
    total = chain_of_normal(0.0, 1.0, 1.2, 0.6, GRID)
    for found, q, p in (
        (errors.initialisation, target, backward),
        (errors.discretisation, target, alone),
        (errors.score, alone, both),
        (errors.total, target, total),
        (errors.in_turn[1], alone, both),
        (errors.in_turn[2], both, total),
    ):
        expected = normal_distance(q, p)
        np.testing.assert_allclose(found.tv, expected[0], rtol=1e-5)
        np.testing.assert_allclose(found.kl, expected[1], rtol=1e-6)
        np.testing.assert_allclose(found.w2, expected[2], rtol=2e-3)
    # the proven bounds, from the recursion of the marginals
    start_kl = normal_distance(at_horizon, (0.0, 1.0))[1]
    np.testing.assert_allclose(errors.bounds["initialisation"].kl, start_kl, rtol=1e-9)
    square = 0.0
    for t, gamma in zip(GRID.times, GRID.steps, strict=False):
        (m, v), (n, w) = noised_normal(t), noised_normal(t, 1.2, 0.6)
        slope = 1 / v - 1 / w
        square += gamma * (slope**2 * v + ((n - m) / w) ** 2)
    np.testing.assert_allclose(errors.bounds["score"].kl, square, rtol=1e-9)
    np.testing.assert_allclose(errors.score_error**2, square / (3.0 - 0.02), rtol=1e-9)


def test_distances_of_two_gaussians():
    for spacing in (0.3, 0.1):
        x = np.arange(-12, 12, spacing)
        for p in ((0.3, 1.0), (0.0, 1.3), (2.0, 0.5), (1e-6, 1.0)):
            found = distance(
                stats.norm(0, 1).pdf(x), stats.norm(p[0], np.sqrt(p[1])).pdf(x), spacing
            )
            tv, kl, w2 = normal_distance((0.0, 1.0), p) if p[1] != 1 else (
                2 * stats.norm.cdf(p[0] / 2) - 1, p[0] ** 2 / 2, p[0]
            )  # fmt: skip
            np.testing.assert_allclose(found.tv, tv, rtol=0.2 * spacing**3)
            np.testing.assert_allclose(found.kl, kl, rtol=1e-8)
            if w2 > 1e-3:
                np.testing.assert_allclose(found.w2, w2, rtol=0.5 * spacing**2)
    # corners at crossings: without them the trapezoidal rule is ten times worse
    q, p = stats.norm(0, 1).pdf(x), stats.norm(0.3, 1).pdf(x)
    tv = 2 * stats.norm.cdf(0.15) - 1
    plain = 0.5 * spacing * np.abs(q - p).sum()
    assert abs(plain - tv) > 10 * abs(total_variation(q, p, spacing) - tv)


def test_kl_is_nan_rather_than_wrong():
    x = np.linspace(-20, 20, 2001)
    q, p = stats.norm(0, 1).pdf(x), stats.norm(15, 1).pdf(x)
    far = distance(q, p, x[1] - x[0])
    assert np.isnan(far.kl) and far.tv > 0.999 and abs(far.w2 - 15) < 1e-3
    assert distance(q, q, x[1] - x[0]).kl == 0.0


# ---- A mixture against brute force and against the sampler -------------------------------------


def panels(*edges):
    """Gauss-Legendre nodes and weights between the edges, which are at the corners of `kinked`."""
    u, w = np.polynomial.legendre.leggauss(40)
    pairs = list(itertools.pairwise(edges))
    nodes = np.concatenate([0.5 * (a + b) + 0.5 * (b - a) * u for a, b in pairs])
    return nodes, np.concatenate([0.5 * (b - a) * w for a, b in pairs])


def test_two_steps_against_gauss_legendre():
    z, weight_z = panels(-10, -5, -2, -0.4, 0.3, 2, 5, 10)
    x, weight_x = panels(-9, -4, -2, -0.4, 0.3, 2, 4, 9)

    def kernel(a, b, t, s):
        mean = np.exp(t - s) * a + 2 * np.expm1(t - s) * kinked(a, t)
        return stats.norm.pdf(b[:, None], mean, np.sqrt(np.expm1(2 * (t - s))))

    y = np.linspace(-3, 4, 29)
    first = kernel(z, x, 1.2, 0.7) @ (weight_z * stats.norm.pdf(z))
    expected = kernel(x, y, 0.7, 0.4) @ (weight_x * first)
    grid = [1.2, 0.7, 0.4]
    assert np.abs(ddpm_density(kinked, grid, y, tol=5e-5) - expected).max() < 5e-5
    assert np.abs(ddpm_density(EXACT, grid, y) - expected).max() > 1e-2


def test_sources_on_a_grid_are_sources_at_its_points():
    rng = np.random.default_rng(0)
    sources = GaussianSources(rng.random(50), rng.normal(size=50), 0.01, -3.0, 3.0)
    for low, spacing, n in ((-4.0, 0.05, 160), (0.0, 0.031, 20), (5.0, 0.02, 9), (-9.0, 0.07, 3)):
        grid = EvenGrid(low, spacing, n)
        np.testing.assert_allclose(
            sources.on(grid), sources.at(grid.points), rtol=1e-10, atol=1e-30
        )


@pytest.mark.slow
@pytest.mark.parametrize("score", [EXACT, shifted, kinked], ids=["exact", "shifted", "kinked"])
def test_density_is_that_of_the_sampler(score):
    samples = ddpm(
        score, None, GRID, n_samples=100_000, final_denoising=False, random_state=5
    ).samples
    x = np.linspace(-6, 6, 4001)

    def cdf_of(density):
        cumulative = integrate.cumulative_trapezoid(density, x, initial=0.0)
        return lambda y: np.interp(y, x, cumulative / cumulative[-1])

    right = cdf_of(ddpm_density(score, GRID, x))
    assert stats.kstest(samples, right).pvalue > 1e-4
    # the target, and a run with fewer steps, are other laws
    shorter = exponential_grid(3.0, 15, end=0.02)
    for wrong in (
        np.exp(MIXTURE.noised(*vp(0.02)).log_density(x)),
        ddpm_density(score, shorter, x),
    ):
        assert stats.kstest(samples, cdf_of(wrong)).pvalue < 1e-6


@pytest.mark.slow
def test_total_is_the_histogram_of_the_sampler():
    errors = error_decomposition(MIXTURE, shifted, grid=GRID)
    n, edges = 200_000, np.linspace(-3, 4, 41)
    truth = np.histogram(MIXTURE.noised(*vp(GRID.end)).sample(n, random_state=2), edges)[0] / n
    noise = np.sqrt(2 * truth / n / (2 * np.pi)).sum()
    options = dict(n_samples=n, final_denoising=False, random_state=1)
    right = errors.total.tv, errors.discretisation.tv
    for score, expected, other in ((shifted, *right), (EXACT, *right[::-1])):
        shares = np.histogram(ddpm(score, None, GRID, **options).samples, edges)[0] / n
        distance = 0.5 * np.abs(shares - truth).sum()
        # cells lose a little, noise adds a little
        assert abs(distance - expected) < noise + 0.02 * expected
        assert not abs(distance - other) < noise + 0.02 * other


def test_densities_and_fields():
    errors = error_decomposition(MIXTURE, shifted, grid=GRID)
    h = errors.x[1] - errors.x[0]
    assert set(errors.densities) == {"target", *SOURCES, "total"}
    for density in errors.densities.values():
        assert abs(h * density.sum() - 1) < 1e-6
    again = distance(errors.densities["target"], errors.densities["total"], h)
    np.testing.assert_allclose(dataclasses.astuple(again), dataclasses.astuple(errors.total))
    at = ddpm_density(shifted, GRID, errors.x[::50])
    np.testing.assert_allclose(errors.densities["total"][::50], at, atol=1e-5)
    assert errors.accuracy < 1e-4
    text = repr(errors)
    for word in (*SOURCES, "total", f"{errors.total.tv:.3g}", "n_steps=24"):
        assert word in text
    with pytest.raises(dataclasses.FrozenInstanceError):
        errors.total = None


def test_the_exact_score_as_an_estimate_makes_no_error():
    given = error_decomposition(MIXTURE, EXACT, grid=GRID)
    none = error_decomposition(MIXTURE, grid=GRID)
    assert given.score.tv == none.score.tv == given.score_error == none.score_error == 0
    assert given.total == none.total and none.total.tv > 0.01
    assert none.in_turn[1].tv == 0 and none.bounds["score"].kl == 0


# ---- Bounds ------------------------------------------------------------------------------------

CASES = {
    "mixture": (MIXTURE, shifted, GRID),
    "kinked": (MIXTURE, kinked, uniform_grid(2.0, 15, end=0.05)),
    "far": (targets.GaussianMixture([0.5, 0.5], [48, 53], [0.01, 1]), None, GRID),
    "short": (
        targets.GaussianMixture([0.5, 0.5], [2, 3], 0.1),
        None,
        uniform_grid(0.3, 9, end=0.1),
    ),
    "points": (targets.GaussianMixture([0.2, 0.8], [-2, 0.5], 0.0), None, GRID),
    "beta": (targets.LineLaw.from_scipy(stats.beta(2, 3)), lambda x, t: 0.3 - x, GRID),
    "tiny": (targets.GaussianMixture([0.5, 0.5], [1e-8, 3e-8], [1e-18, 1e-17]), None, GRID),
    "no noise left": (MIXTURE, None, uniform_grid(2.0, 30, end=0.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_inequalities(case):
    law, score, grid = CASES[case]
    errors = error_decomposition(law, score, grid=grid)
    assert errors.accuracy <= 1e-4
    assert errors.total.tv <= errors.sum_in_turn + 1e-9
    assert errors.in_turn[0] == errors.discretisation
    for name in ("initialisation", "discretisation", "total"):
        found, bound = getattr(errors, name), errors.bounds[name]
        assert found.kl <= bound.kl + 1e-12 and found.tv <= bound.tv + 1e-9
        assert 2 * found.tv**2 <= found.kl + 1e-9  # Pinsker, of the measured numbers
        assert np.isfinite([found.tv, found.kl, found.w2]).all()
    # by data processing the start matters less after the run, whatever the score
    q_t = law.noised(*vp(grid.horizon))
    x = np.linspace(-60, 60, 200_001)
    at_start = total_variation(np.exp(q_t.log_density(x)), stats.norm.pdf(x), x[1] - x[0])
    assert errors.initialisation.tv <= at_start + 1e-9
    assert errors.in_turn[2].tv <= at_start + 1e-4


def test_score_error_bound_holds_on_fine_grids_and_is_not_vacuous():
    grid = exponential_grid(3.0, 200, end=0.02)
    errors = error_decomposition(MIXTURE, shifted, grid=grid, refine=1)
    assert errors.score.kl <= errors.bounds["score"].kl
    assert errors.score.kl > 0.05 * errors.bounds["score"].kl


def test_terms_of_girsanov_against_integrals_and_draws():
    steeper = lambda x, t: 1.3 * EXACT(x, t)  # noqa: E731
    grid = uniform_grid(1.5, 6, end=0.1)
    parts = divergences(Marginals(MIXTURE, grid.end), EXACT, steeper, grid)
    x = np.linspace(-9, 9, 6001)

    def fisher(t):
        q = np.exp(MIXTURE.noised(*vp(t)).log_density(x))
        return np.sum(q * EXACT(x, t) ** 2) * (x[1] - x[0])

    nodes, weights = np.polynomial.legendre.leggauss(12)
    steps = 0.0
    rng = np.random.default_rng(0)
    sampled, cross = 0.0, 0.0
    for t, gamma in zip(grid.times, grid.steps, strict=False):
        for node, weight in zip(nodes, weights, strict=True):
            s = t - gamma / 2 * (1 + node)
            steps += weight * gamma / 2 * (fisher(s) - (2 * np.exp(s - t) - 1) * fisher(t))
        for s in t - gamma * (np.arange(8) + 0.5) / 8:
            early = MIXTURE.noised(*vp(s)).sample(20_000, random_state=rng)
            scale, sigma = vp(t - s)
            late = scale * early + sigma * rng.standard_normal(early.shape)
            frozen, now, estimate = EXACT(late, t), EXACT(early, s), steeper(late, t)
            sampled += gamma / 8 * np.mean((frozen - now) ** 2)
            cross += gamma / 8 * np.mean(2 * (estimate - frozen) * (frozen - now))
    np.testing.assert_allclose(parts.steps, steps, rtol=1e-7)
    np.testing.assert_allclose(parts.steps, sampled, rtol=0.02)
    np.testing.assert_allclose(parts.cross, cross, rtol=0.05)
    np.testing.assert_allclose(
        parts.score, sum(0.09 * g * fisher(t) for t, g in zip(grid.times, grid.steps, strict=False))
    )
    slopes = [np.abs(np.diff(EXACT(x, t))).max() / (x[1] - x[0]) for t in grid.times[:-1]]
    np.testing.assert_allclose(parts.lipschitz, slopes, rtol=0.02)


# ---- Orders ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_orders_of_the_three_errors():
    options = dict(end=0.02, steps=32, n_steps=[32, 64, 128], strengths=[0.1, 0.2, 1.0])
    sweep = error_sweep(MIXTURE, shifted, horizons=[1.0, 2.0, 3.0, 4.0], **options)
    assert abs(sweep.rate + 2) < 0.02
    assert abs(sweep.order_in_steps + 1) < 0.03
    assert abs(sweep.order_in_score - 1) < 0.02
    first, second, third = sweep.initialisation, sweep.discretisation, sweep.score
    # the bounds: e^{-T}, K^{-1/2}, linear; all above what they bound
    assert abs(np.diff(np.log(first.bound))[-1] + 1) < 0.02
    assert abs(np.log2(second.bound[-1] / second.bound[-2]) + 0.5) < 0.03
    np.testing.assert_allclose(third.bound / third.values, third.bound[0] / third.values[0])
    for curve in (first, second, third):
        assert (curve.alone < curve.bound).all()
    # with little of one error the other two remain
    errors = error_decomposition(
        MIXTURE, shifted, grid=exponential_grid(4.0, 32, end=0.02), refine=2
    )
    for curve, at in ((first, -1), (second, 0), (third, -1)):
        np.testing.assert_allclose(curve.total[at], errors.total.tv, atol=2e-4)
    np.testing.assert_allclose(second.alone[0], errors.discretisation.tv, atol=2e-4)
    np.testing.assert_allclose(third.alone[-1], errors.score.tv, atol=2e-4)
    np.testing.assert_allclose(third.values[-1], errors.score_error)
    assert first.total[-1] > 20 * first.alone[-1]
    assert "orders: exp(-2.0" in repr(sweep)


def test_matching_moments_make_the_start_matter_less():
    def alone(law, horizon):
        found = error_decomposition(law, grid=exponential_grid(horizon, 8, end=0.05))
        at_start = found.bounds["initialisation"].kl
        return np.log([found.initialisation.tv, np.sqrt(at_start)])

    symmetric = targets.GaussianMixture([0.5, 0.5], [-1, 1], 0.2)
    standard = targets.GaussianMixture([0.2, 0.8], [-1.6, 0.4], 0.36)  # mean 0, variance 1
    for law, order in ((MIXTURE, 1), (symmetric, 2), (standard, 3)):
        rate = alone(law, 3.0) - alone(law, 2.0)
        np.testing.assert_allclose(rate, [-2 * order, -order], rtol=0.03)


def test_uniform_steps_reproduce_the_formula_of_the_theorem():
    grid = uniform_grid(2.0, 20, end=0.5)
    bounds = error_decomposition(NORMAL, lambda x, t: 0.0 * x, grid=grid).bounds
    h, horizon = 0.075, 1.5
    mean, variance = noised_normal(0.5)
    lipschitz = np.array([1 / noised_normal(t)[1] for t in grid.times[:-1]])
    m2 = np.sqrt(mean**2 + variance)
    per_step = lipschitz * (np.sqrt(h) + m2 * h)
    theorem = np.sqrt(horizon * np.mean(per_step**2))
    assert abs(bounds["discretisation"].ccl23 / theorem - 1) < 1e-9
    kl = normal_distance((mean, variance), (0.0, 1.0))[1]
    assert abs(bounds["initialisation"].ccl23 / (np.sqrt(kl) * np.exp(-horizon)) - 1) < 1e-9
    kappa = h / 0.5
    assert abs(bounds["discretisation"].bdd23 - (kappa**2 * 20 + kappa * horizon)) < 1e-12
    assert bounds["score"].ccl23 == np.sqrt(bounds["score"].bdd23)


# ---- Bad input ---------------------------------------------------------------------------------

LINE = dict(grid=[1.0, 0.5])
SWEEP = partial(error_sweep, MIXTURE, shifted)


class Nameless:
    dim = 1

    def sample(self, n, *, random_state=None):
        return np.zeros(n)

    def noised(self, scale, sigma):
        return targets.Noised(self, scale, sigma)


def half_nan(x, t):
    return np.where(x > 1, np.nan, -x)


REFUSED_LAWS = [
    (targets.Gaussian([0, 0], np.eye(2)), None, LINE, ValueError, "law must have dimension 1"),
    (np.zeros(3), None, LINE, TypeError, "law must be a law of convexscore.targets"),
    (Nameless(), None, LINE, NotImplementedError, "gives no log-density"),
    (MIXTURE, 3.0, LINE, TypeError, "score must be a callable .* got float"),
    (MIXTURE, lambda x, t: x[:, None], LINE, ValueError, "score must return an array"),
    (MIXTURE, half_nan, LINE, ValueError, r"score must be finite; .* nan at x = 1\."),
    (MIXTURE, None, dict(grid=[0.5, 1.0]), ValueError, "strictly decreasing"),
    (MIXTURE, None, LINE | dict(refine=0), ValueError, "refine must be an integer >= 1"),
    (MIXTURE, None, LINE | dict(tol=0.0), ValueError, "tol must be finite and > 0"),
    (MIXTURE, lambda x, t: x**3, dict(grid=GRID), ValueError, "needs .* nodes; at most"),
    (
        MIXTURE, lambda x, t: np.sign(np.sin(9 * x)) - x, dict(grid=GRID, tol=1e-5),
        ValueError, "the score has jumps or very sharp corners. Raise tol",
    ),
    (
        targets.GaussianMixture([1e-6, 1.0], [1e3, 0.0], 1.0), None, LINE,
        ValueError, "integrates to 0.999999 .* draws miss it",
    ),
    (
        targets.GaussianMixture([0.5, 0.5], [1e8, 3e8], 1e16), None, dict(grid=GRID),
        ValueError, "Standardise the law",
    ),
]  # fmt: skip
REFUSED = [
    *((partial(error_decomposition, law, score), *rest) for law, score, *rest in REFUSED_LAWS),
    (partial(ddpm_density, None, GRID, [0.0]), {}, TypeError, "score must be a callable"),
    (partial(ddpm_density, EXACT, GRID, [0.0]), dict(start=0.0), TypeError, "start must be a .* None"),
    (partial(ddpm_density, EXACT, GRID, np.eye(2)), {}, ValueError, r"X must have shape \(n,\)"),
    (partial(error_sweep, MIXTURE, None), {}, TypeError, "score must be a callable"),
    (SWEEP, dict(horizons=[2.0, 1.0]), ValueError, "horizons must be at least two increasing"),
    (SWEEP, dict(horizons=[0.001, 1.0]), ValueError, "horizons must be > end=0.01"),
    (SWEEP, dict(n_steps=[4]), ValueError, "n_steps must be at least two increasing"),
    (SWEEP, dict(n_steps=[4, 5.5]), ValueError, "n_steps must be whole numbers"),
    (SWEEP, dict(strengths=[0.0, 1.0]), ValueError, "strengths must be at least two increasing numbers"),
    (SWEEP, dict(steps=0), ValueError, "steps must be an integer >= 1"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "options", "error", "message"), REFUSED)
def test_bad_input_is_refused(call, options, error, message):
    with pytest.raises(error, match=message):
        call(**options)


# ---- Figure ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_side_effects")
def test_display_draws_the_sweep():
    few = dict(horizons=[0.5, 1.0, 2.0], n_steps=[8, 16], strengths=[0.5, 1.0], steps=16, end=0.05)
    sweep = error_sweep(MIXTURE, shifted, **few)
    figure = Figure()
    display = ErrorDecompositionDisplay.from_sweep(sweep, ax=figure.subplots(1, 3), color="black")
    assert display.figure_ is figure and display.ax_ is display.axes_[0]
    for k, curve in enumerate((sweep.initialisation, sweep.discretisation, sweep.score)):
        for name in ("alone", "total", "bound"):
            x, y = getattr(display, f"{name}_")[k].get_data()
            np.testing.assert_array_equal(x, curve.values)
            np.testing.assert_array_equal(y, getattr(curve, name))
        dashed = display.theorem_[k].get_ydata()
        np.testing.assert_allclose(dashed / curve.theorem, curve.bound[-1] / curve.theorem[-1])
        assert display.axes_[k].get_yscale() == "log" and display.alone_[k].get_color() == "black"
    assert [ax.get_xscale() for ax in display.axes_] == ["linear", "log", "log"]
    own = ErrorDecompositionDisplay.from_sweep(sweep)
    assert len(own.axes_) == 3 and own.figure_ is not figure
    with pytest.raises(ValueError, match="ax must be three Axes, one a source; got 2"):
        ErrorDecompositionDisplay.from_sweep(sweep, ax=Figure().subplots(1, 2))
    with pytest.raises(TypeError, match="sweep must be an ErrorSweep"):
        ErrorDecompositionDisplay.from_sweep(None)
