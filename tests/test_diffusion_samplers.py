"""Samplers along noise levels against the exact law of their own discretisation.

With the score of a Gaussian every sampler is an affine recursion, so the law of its output is
known in closed form. It is written out below step by step, in the textbook form of each method
rather than the package's, and compared twice: exactly, by feeding unit impulses for the noise, and
statistically, with the real noise.
"""

import dataclasses
import functools
import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from convexscore.samplers import (
    ChainDivergedError,
    DiffusionResult,
    RunOptions,
    ancestral,
    annealed_langevin,
    ddpm,
    heun,
    langevin,
    mala,
    predictor_corrector,
    probability_flow,
)
from convexscore.samplers import run as loop
from convexscore.samplers.noise import ChainNoise
from convexscore.samplers.options import DEFAULTS
from convexscore.schedules import (
    exponential_grid,
    geometric_levels,
    two_phase_grid,
    uniform_grid,
)

OK = 1e-4  # a right sampler gives a smaller p-value with one seed in ten thousand

# Uneven steps, the last ones short.
GRID = two_phase_grid(0.4, 3, 10)
LEVELS = geometric_levels(4.0, 0.3, 6)


# ---- Gaussian targets and their affine recursions ----------------------------------------------


@dataclass(frozen=True)
class Normal:
    """X ~ N(mean, cov) and the score of scale * X + sigma * G."""

    mean: np.ndarray
    cov: np.ndarray

    @property
    def d(self):
        return len(self.mean)

    def precision(self, scale, sigma):
        return np.linalg.inv(scale**2 * self.cov + sigma**2 * np.eye(self.d))

    def score_vp(self, x, t):
        scale, sigma = np.exp(-t), np.sqrt(1 - np.exp(-2 * t))
        points = x.reshape(len(x), self.d)
        s = -(points - scale * self.mean) @ self.precision(scale, sigma)
        return s.reshape(x.shape)

    def score_ve(self, x, sigma):
        points = x.reshape(len(x), self.d)
        return (-(points - self.mean) @ self.precision(1.0, sigma)).reshape(x.shape)

    def posterior(self, law, scale, sigma):
        """Law of E[X | z] for z ~ law."""
        gain = scale * self.cov @ self.precision(scale, sigma)
        return law.affine(gain, self.mean - scale * gain @ self.mean)


@dataclass(frozen=True)
class Law:
    mean: np.ndarray
    cov: np.ndarray

    def affine(self, matrix, shift, noise=0.0):
        """Law of matrix x + shift + sqrt(noise) z."""
        cov = matrix @ self.cov @ matrix.T + noise * np.eye(len(self.mean))
        return Law(matrix @ self.mean + shift, cov)


def langevin_step(target, law, scale, sigma, step, excess):
    p = target.precision(scale, sigma)
    return law.affine(
        np.eye(target.d) - step / 2 * p, step / 2 * p @ (scale * target.mean), excess * step
    )


def vp_levels(times):
    return [(np.exp(-t), np.sqrt(1 - np.exp(-2 * t))) for t in times]


def ddpm_law(target, law, excess=1.0, denoise=True, grid=GRID):
    # Frozen score: the linear equation dx = (x + 2 s) dtau + sqrt(2) dB, solved on each step.
    for (scale, sigma), gamma in zip(vp_levels(grid.times), grid.steps, strict=False):
        p, eye = target.precision(scale, sigma), np.eye(target.d)
        grown = np.exp(gamma)
        law = law.affine(
            grown * eye - 2 * (grown - 1) * p,
            2 * (grown - 1) * p @ (scale * target.mean),
            excess * (grown**2 - 1),
        )
    return target.posterior(law, *vp_levels([grid.end])[0]) if denoise else law


def ancestral_law(target, law, excess=1.0, denoise=True, grid=GRID, variance="posterior"):
    levels = vp_levels(grid.times)
    for (scale, sigma), (scale_next, sigma_next) in itertools.pairwise(levels):
        # Ho et al. (7): q(x_next | x, x0) with x0 replaced by E[X | x].
        ratio = scale / scale_next
        noise = 1 - ratio**2
        gain = scale * target.cov @ target.precision(scale, sigma)
        weight_x, weight_x0 = ratio * sigma_next**2 / sigma**2, scale_next * noise / sigma**2
        law = law.affine(
            weight_x * np.eye(target.d) + weight_x0 * gain,
            weight_x0 * (target.mean - scale * gain @ target.mean),
            excess * noise * (sigma_next**2 / sigma**2 if variance == "posterior" else 1.0),
        )
    return target.posterior(law, *levels[-1]) if denoise else law


def flow_map(target, gamma, scale, sigma):
    p, grown = target.precision(scale, sigma), np.exp(gamma)
    return (
        grown * np.eye(target.d) - (grown - 1) * p,
        (grown - 1) * p @ (scale * target.mean),
    )


def flow_law(target, law, excess=1.0, denoise=True, grid=GRID):
    law = Law(law.mean, excess * law.cov)  # all its noise is in the start
    for (scale, sigma), gamma in zip(vp_levels(grid.times), grid.steps, strict=False):
        law = law.affine(*flow_map(target, gamma, scale, sigma))
    return target.posterior(law, *vp_levels([grid.end])[0]) if denoise else law


def heun_law(target, law, excess=1.0, denoise=True, grid=GRID):
    law = Law(law.mean, excess * law.cov)
    levels = vp_levels(grid.times)
    for k, gamma in enumerate(grid.steps):
        (scale, sigma), (scale2, sigma2) = levels[k], levels[k + 1]
        matrix, shift = flow_map(target, gamma, scale, sigma)
        p, p2 = target.precision(scale, sigma), target.precision(scale2, sigma2)
        # The weight of the slope: integral of (r / gamma) exp(gamma - r) dr, by quadrature.
        r, w = np.polynomial.legendre.leggauss(20)
        r = (r + 1) / 2 * gamma
        weight = (w * r / gamma * np.exp(gamma - r)).sum() * gamma / 2
        change = p - p2 @ matrix, p2 @ (scale2 * target.mean - shift) - p @ (scale * target.mean)
        law = law.affine(matrix + weight * change[0], shift + weight * change[1])
    return target.posterior(law, *levels[-1]) if denoise else law


def annealed_law(target, law, excess=1.0, denoise=True):
    for sigma in LEVELS:
        for _ in range(3):
            law = langevin_step(target, law, 1.0, sigma, 0.05 * (sigma / 0.3) ** 2, excess)
    return target.posterior(law, 1.0, 0.3) if denoise else law


def corrector_law(target, law, excess=1.0, denoise=True, variance="forward"):
    for sigma, sigma_next in itertools.pairwise(LEVELS):
        p, beta = target.precision(1.0, sigma), sigma**2 - sigma_next**2
        noise = beta if variance == "forward" else beta * sigma_next**2 / sigma**2
        law = law.affine(np.eye(target.d) - beta * p, beta * p @ target.mean, excess * noise)
        for _ in range(2):
            law = langevin_step(target, law, 1.0, sigma_next, 0.3 * sigma_next**2, excess)
    return target.posterior(law, 1.0, LEVELS[-1]) if denoise else law


@dataclass(frozen=True)
class Case:
    """A sampler with its schedule, the recursion of its law, and its noise per coordinate."""

    name: str
    sample: Callable
    law: Callable
    n_steps: int
    n_normals: int = 1
    is_time: bool = True

    def run(self, target, x0, **options):
        return self.sample(target.score_vp if self.is_time else target.score_ve, x0, **options)

    def run_any(self, score, x0, **options):
        return self.sample(score, x0, **options)

    @property
    def prior_variance(self):
        return 1.0 if self.is_time else LEVELS[0] ** 2


def on_schedule(sampler, schedule, **fixed):
    return lambda score, x0, **options: sampler(score, x0, schedule, **{**fixed, **options})


CASES = [
    Case("ddpm", on_schedule(ddpm, GRID), ddpm_law, 10),
    Case("ancestral", on_schedule(ancestral, GRID), ancestral_law, 10),
    Case(
        "ancestral, forward variance",
        on_schedule(ancestral, GRID, variance="forward"),
        functools.partial(ancestral_law, variance="forward"),
        10,
    ),
    Case("probability_flow", on_schedule(probability_flow, GRID), flow_law, 10, 0),
    Case("heun", on_schedule(heun, GRID), heun_law, 10, 0),
    Case(
        "annealed_langevin",
        on_schedule(annealed_langevin, LEVELS, step=0.05, n_steps=3),
        annealed_law,
        18,
        is_time=False,
    ),
    Case(
        "predictor_corrector",
        on_schedule(predictor_corrector, LEVELS, n_corrector=2, corrector_step=0.3),
        corrector_law,
        5,
        3,
        is_time=False,
    ),
    Case(
        "predictor_corrector, posterior variance",
        on_schedule(
            predictor_corrector, LEVELS, n_corrector=2, corrector_step=0.3, variance="posterior"
        ),
        functools.partial(corrector_law, variance="posterior"),
        5,
        3,
        is_time=False,
    ),
]
TARGETS = [
    pytest.param(Normal(np.array([1.5]), np.array([[0.4]])), id="line"),
    pytest.param(Normal(np.array([1.0, -2.0]), np.diag([0.2, 3.0])), id="diagonal"),
    pytest.param(Normal(np.array([1.0, 0.5]), np.array([[1.0, 0.8], [0.8, 0.9]])), id="full"),
]
every_sampler = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_target = pytest.mark.parametrize("target", TARGETS)


class Impulses:
    """Noise in which chain 1 + d + j has its only number, a one, at the j-th draw of the run."""

    offset = 1

    def __init__(self, random_state, n_chains, n_normals, n_steps):
        self._shape, self._next = (n_chains, n_normals), 0

    def next_step(self):
        z = np.zeros(self._shape)
        first = self.offset + self._next * self._shape[1]
        z[np.arange(first, first + self._shape[1]), np.arange(self._shape[1])] = 1
        self._next += 1
        return z


def law_by_impulses(monkeypatch, case, target, start, **options):
    """Mean and covariance of a sampler's output, read off its linear response: no Monte Carlo."""
    d = target.d
    monkeypatch.setattr(loop, "ChainNoise", Impulses)
    monkeypatch.setattr(Impulses, "offset", 1 + d)
    x0 = np.zeros((1 + d + case.n_steps * case.n_normals * d, d)) + start.mean
    x0[1 : 1 + d] += np.eye(d)
    out = case.run(target, x0, **options).samples
    response = out[1:] - out[0]
    cov = response[:d].T @ start.cov @ response[:d] + response[d:].T @ response[d:]
    return Law(out[0], cov)


def smallest_p_value(samples, law):
    """Smallest of the p-values of mean, variances and covariances of the whitened samples."""
    white = np.linalg.solve(np.linalg.cholesky(law.cov), (samples - law.mean).T)
    d, n = white.shape
    values = [stats.chi2.sf(n * (white.mean(axis=1) ** 2).sum(), d)]
    for squares in (white**2).sum(axis=1):
        values.append(2 * min(stats.chi2.cdf(squares, n), stats.chi2.sf(squares, n)))
    if d == 2:
        values.append(2 * stats.norm.sf(abs((white[0] * white[1]).sum()) / np.sqrt(n)))
    return min(values)


# ---- The law of every sampler ------------------------------------------------------------------


@every_sampler
@every_target
@pytest.mark.parametrize("denoise", [False, True])
def test_output_law_is_the_discretised_one_exactly(monkeypatch, case, target, denoise):
    start = Law(np.full(target.d, 0.7), 1.3 * np.eye(target.d))
    law = law_by_impulses(monkeypatch, case, target, start, final_denoising=denoise)
    expected = case.law(target, start, denoise=denoise)
    np.testing.assert_allclose(law.mean, expected.mean, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(law.cov, expected.cov, rtol=1e-10, atol=1e-12)
    # Negative controls: other noise, and the other kind of ending.
    louder = case.law(target, start, 1.01, denoise)
    other = case.law(target, start, 1.0, not denoise)
    variances = np.diag(law.cov)
    assert np.abs(variances / np.diag(louder.cov) - 1).max() > 1e-4
    assert np.abs(variances / np.diag(other.cov) - 1).max() > 1e-3


@every_sampler
@every_target
def test_samples_follow_the_discretised_law(case, target):
    d = target.d
    run = case.run(target, None, n_samples=20_000, dim=d, random_state=1, final_denoising=False)
    start = Law(np.zeros(d), case.prior_variance * np.eye(d))
    assert smallest_p_value(run.samples, case.law(target, start, denoise=False)) > OK
    # Negative control: a fifth more noise variance in every step (for flows: in the start).
    assert smallest_p_value(run.samples, case.law(target, start, 1.2, denoise=False)) < 1e-10


def test_a_sampler_with_wrong_noise_fails_the_same_test(monkeypatch):
    class TooLoud(ChainNoise):
        def next_step(self):
            return 1.05 * super().next_step()

    target = Normal(np.array([1.5]), np.array([[0.4]]))
    start = Law(np.zeros(1), np.ones((1, 1)))
    x0 = np.random.default_rng(0).normal(size=(20_000, 1))
    options = dict(random_state=1, final_denoising=False)
    right = ddpm(target.score_vp, x0, GRID, **options).samples
    monkeypatch.setattr(loop, "ChainNoise", TooLoud)
    wrong = ddpm(target.score_vp, x0, GRID, **options).samples
    expected = ddpm_law(target, start, denoise=False)
    assert smallest_p_value(right, expected) > OK
    assert smallest_p_value(wrong, expected) < 1e-10


# ---- Order in the step -------------------------------------------------------------------------


def orders(errors):
    """log2 of the ratio of successive errors, each with half the steps' length of the last."""
    return np.log2(np.abs(np.array(errors[:-1]) / np.array(errors[1:])))


@pytest.mark.parametrize(("sampler", "order"), [(probability_flow, 1), (heun, 2)])
def test_order_of_the_flow(sampler, order):
    target = Normal(np.array([1.5]), np.array([[0.4]]))
    errors = []
    for n_steps in (40, 80, 160, 320):
        grid = uniform_grid(3.0, n_steps, end=0.05)
        x = sampler(target.score_vp, [-1.0, 2.0], grid, final_denoising=False).samples
        # The flow carries the law at T to the law at delta: means onto means, scaled by the stds.
        (top, _), (low, _) = vp_levels([3.0])[0], vp_levels([0.05])[0]
        ratio = np.sqrt((low**2 * 0.4 + 1 - low**2) / (top**2 * 0.4 + 1 - top**2))
        errors.append(np.abs(x - low * 1.5 - ratio * (np.array([-1.0, 2.0]) - top * 1.5)).max())
    np.testing.assert_allclose(orders(errors), order, atol=0.1)
    assert errors[-1] < {1: 1e-2, 2: 1e-4}[order]


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[2]], ids=lambda case: case.name)
def test_ddpm_variance_is_first_order_in_the_step(monkeypatch, case):
    target = Normal(np.array([0.0]), np.array([[0.4]]))
    sampler = {"ddpm": ddpm}.get(case.name, ancestral)
    fixed = {"variance": "forward"} if "forward" in case.name else {}
    errors = []
    for n_steps in (160, 320, 640):
        grid = uniform_grid(3.0, n_steps, end=0.05)
        sized = Case(case.name, on_schedule(sampler, grid, **fixed), case.law, n_steps)
        (top, _), (low, _) = vp_levels([3.0])[0], vp_levels([0.05])[0]
        start = Law(np.zeros(1), np.array([[top**2 * 0.4 + 1 - top**2]]))  # the right one
        law = law_by_impulses(monkeypatch, sized, target, start, final_denoising=False)
        errors.append(law.cov[0, 0] - (low**2 * 0.4 + 1 - low**2))
    np.testing.assert_allclose(orders(errors), 1, atol=0.07)


def test_langevin_bias_is_first_order_in_the_step(monkeypatch):
    monkeypatch.setattr(loop, "ChainNoise", Impulses)
    monkeypatch.setattr(Impulses, "offset", 0)
    variance, errors = 0.4, []
    for step in (0.08, 0.04, 0.02, 0.01):
        n_steps = round(20 * variance / step) * 2
        x0 = np.zeros(n_steps)  # one chain per impulse
        run = langevin(lambda x: -x / variance, x0, step=step, n_steps=n_steps)
        errors.append((run.samples**2).sum() - variance)
        # Stationary up to exp(-40), and then v / (1 - step / 4v).
        assert errors[-1] + variance == pytest.approx(variance / (1 - step / (4 * variance)))
    np.testing.assert_allclose(orders(errors), 1, atol=0.05)


def test_heun_beats_euler_at_equal_cost_on_a_mixture():
    # Not Gaussian: the flow of the line maps quantiles onto quantiles.
    grid = exponential_grid(4.0, 400, end=1e-2)
    fine = heun(mixture_score, np.linspace(-2, 2, 41), grid, final_denoising=False).samples
    for n in (20, 40):
        one = probability_flow(
            mixture_score, np.linspace(-2, 2, 41), exponential_grid(4.0, 2 * n, end=1e-2),
            final_denoising=False,
        ).samples  # fmt: skip
        two = heun(
            mixture_score, np.linspace(-2, 2, 41), exponential_grid(4.0, n, end=1e-2),
            final_denoising=False,
        ).samples  # fmt: skip
        assert np.abs(two - fine).max() < 0.5 * np.abs(one - fine).max()


# ---- A law with two modes ----------------------------------------------------------------------

WEIGHTS, MEANS, WIDTH = np.array([0.2, 0.8]), np.array([-2.0, 1.0]), 0.3


def mixture_parts(x, scale, sigma):
    variance = scale**2 * WIDTH**2 + sigma**2
    gaps = x[..., None] - scale * MEANS
    return variance, gaps, WEIGHTS * np.exp(-(gaps**2) / (2 * variance))


def mixture_score(x, t, scale=None, sigma=None):
    scale, sigma = (np.exp(-t), np.sqrt(1 - np.exp(-2 * t))) if scale is None else (scale, sigma)
    variance, gaps, parts = mixture_parts(x, scale, sigma)
    return -(parts * gaps).sum(-1) / (parts.sum(-1) * variance)


def mixture_cdf(scale, sigma):
    std = np.sqrt(scale**2 * WIDTH**2 + sigma**2)
    return lambda q: stats.norm.cdf(np.subtract.outer(q, scale * MEANS) / std) @ WEIGHTS


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [ddpm, ancestral, heun, probability_flow])
def test_vp_samplers_find_both_modes_in_their_shares(sampler):
    grid = exponential_grid(6.0, 400, end=1e-3)
    run = sampler(
        mixture_score, None, grid, n_samples=10_000, random_state=2, final_denoising=False
    )
    assert stats.kstest(run.samples, mixture_cdf(*vp_levels([1e-3])[0])).pvalue > OK
    # Negative control: from a short horizon N(0, 1) is the wrong start.
    short = exponential_grid(0.3, 400, end=1e-3)
    run = sampler(
        mixture_score, None, short, n_samples=10_000, random_state=2, final_denoising=False
    )
    assert stats.kstest(run.samples, mixture_cdf(*vp_levels([1e-3])[0])).pvalue < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize(
    "sampler",
    [
        functools.partial(annealed_langevin, step=0.002, n_steps=30),
        functools.partial(predictor_corrector, n_corrector=2),
    ],
    ids=["annealed_langevin", "predictor_corrector"],
)
def test_ve_samplers_find_both_modes_in_their_shares(sampler):
    def score(x, sigma):
        return mixture_score(x, None, 1.0, sigma)

    options = dict(n_samples=4000, random_state=3, final_denoising=False)
    run = sampler(score, None, geometric_levels(20.0, 0.15, 100), **options)
    assert abs((run.samples < -0.5).mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 4000)
    assert stats.kstest(run.samples, mixture_cdf(1.0, 0.15)).pvalue > OK
    # Negative control: without the large levels the shares are those of the start, which sits
    # around 0.
    run = sampler(score, None, geometric_levels(0.3, 0.15, 10), **options)
    assert (run.samples < -0.5).mean() < 0.15


# ---- One contract for all ----------------------------------------------------------------------


def simple_score(x, level):
    return -(x - 1) / (1 + level) ** 2


@every_sampler
@pytest.mark.parametrize("n_few", [3, 70])
@pytest.mark.parametrize("dim", [None, 2])
def test_a_chain_does_not_depend_on_the_chains_beside_it(case, n_few, dim):
    options = dict(random_state=12, keep_trajectory=True, dim=dim)
    many = case.run_any(simple_score, None, n_samples=200, **options)
    few = case.run_any(simple_score, None, n_samples=n_few, **options)
    np.testing.assert_array_equal(many.trajectory[:, :n_few], few.trajectory)
    assert len(np.unique(many.samples)) == many.samples.size
    small = case.run_any(simple_score, None, n_samples=200, batch_size=7, **options)
    np.testing.assert_array_equal(small.trajectory, many.trajectory)


@pytest.mark.slow
@every_sampler
def test_same_seed_same_result(case):
    run = functools.partial(case.run_any, simple_score, None, n_samples=6)
    first = run(random_state=0).samples
    np.testing.assert_array_equal(run(random_state=0).samples, first)
    assert np.all(run(random_state=1).samples != first)
    # Successive calls with one generator continue, they do not repeat.
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(run(random_state=rng).samples, first)
    assert np.all(run(random_state=rng).samples != first)


@every_sampler
def test_start_and_noise_are_different_streams(case):
    options = dict(random_state=4, keep_trajectory=True, final_denoising=False)
    run = case.run_any(lambda x, level: np.zeros_like(x), None, n_samples=5000, **options)
    start, rest = run.trajectory[0], run.samples
    std = np.sqrt(case.prior_variance)
    assert stats.kstest(start / std, stats.norm.cdf).pvalue > OK
    # Without score every sampler but the growth of the VP process is a random walk from the start.
    growth = np.exp(GRID.horizon - GRID.end) if case.is_time else 1.0
    noise = rest - growth * start
    if case.n_normals:
        assert abs(np.corrcoef(noise, start)[0, 1]) < 4 / np.sqrt(5000)
    else:
        np.testing.assert_allclose(rest, growth * start, rtol=1e-12)
    # The noise does not depend on whether the start was drawn or given.
    again = case.run_any(lambda x, level: np.zeros_like(x), start, **options)
    np.testing.assert_array_equal(again.samples, rest)


@every_sampler
def test_column_and_flat_chains_are_the_same(case):
    flat = case.run_any(simple_score, None, n_samples=6, random_state=0)
    column = case.run_any(simple_score, None, n_samples=6, dim=1, random_state=0)
    assert flat.samples.shape == (6,) and column.samples.shape == (6, 1)
    np.testing.assert_allclose(column.samples[:, 0], flat.samples, rtol=1e-12)
    given = case.run_any(simple_score, np.arange(6.0), random_state=0)
    given_column = case.run_any(simple_score, np.arange(6.0)[:, None], random_state=0)
    np.testing.assert_allclose(given_column.samples[:, 0], given.samples, rtol=1e-12)


def test_ddpm_equals_a_slow_loop():
    x0, n = np.random.default_rng(0).normal(size=(5, 2)), GRID.n_steps
    run = ddpm(simple_score, x0, GRID, random_state=8, keep_trajectory=True, batch_size=2)
    _, noise_state = np.random.default_rng(8).spawn(2)
    noise = ChainNoise(noise_state, 5, 2, n)
    x = x0.copy()
    np.testing.assert_array_equal(run.trajectory[0], x0)
    for k in range(n):
        z, gamma = noise.next_step(), GRID.steps[k]
        for i in range(5):
            s = -(x[i] - 1) / (1 + GRID.times[k]) ** 2
            x[i] = np.exp(gamma) * x[i] + 2 * (np.exp(gamma) - 1) * s
            x[i] += np.sqrt(np.exp(2 * gamma) - 1) * z[i]
        np.testing.assert_allclose(run.trajectory[k + 1], x, rtol=1e-12)
    scale, sigma = vp_levels([GRID.end])[0]
    last = (x - sigma**2 * (x - 1) / (1 + GRID.end) ** 2) / scale
    np.testing.assert_allclose(run.samples, last, rtol=1e-12)


@every_sampler
def test_trajectory_times_and_thinning(case):
    options = dict(n_samples=4, dim=2, random_state=0, keep_trajectory=True)
    full = case.run_any(simple_score, None, **options)
    n = case.n_steps
    assert full.n_steps == n
    assert full.trajectory.shape == (n + 2, 4, 2) and full.times.shape == (n + 2,)
    np.testing.assert_array_equal(full.trajectory[-1], full.samples)
    assert full.times[-1] == 0.0 and np.all(np.diff(full.times) <= 0)
    expected = GRID.times if case.is_time else LEVELS
    np.testing.assert_array_equal(np.unique(full.times[:-1]), np.sort(expected))
    noisy = case.run_any(simple_score, None, final_denoising=False, **options)
    np.testing.assert_array_equal(noisy.trajectory, full.trajectory[:-1])
    np.testing.assert_array_equal(noisy.samples, full.trajectory[-2])
    thinned = case.run_any(simple_score, None, thin=4, **options)
    kept = [*sorted({*range(0, n + 1, 4), n}), n + 1]
    np.testing.assert_array_equal(thinned.trajectory, full.trajectory[kept])
    np.testing.assert_array_equal(thinned.times, full.times[kept])
    plain = case.run_any(simple_score, None, n_samples=4, dim=2, random_state=0)
    assert plain.trajectory is None and plain.times is None
    np.testing.assert_array_equal(plain.samples, full.samples)


@every_sampler
def test_callback_sees_every_state_and_can_stop(case):
    seen = []

    def callback(step, x):
        assert not x.flags.writeable
        seen.append((step, x))
        return step == 3

    options = dict(n_samples=3, random_state=0, keep_trajectory=True)
    stopped = case.run_any(simple_score, None, callback=callback, **options)
    whole = case.run_any(simple_score, None, **options)
    assert [step for step, _ in seen] == [1, 2, 3] and stopped.n_steps == 3
    np.testing.assert_array_equal([x for _, x in seen], stopped.trajectory[1:])
    np.testing.assert_array_equal(stopped.trajectory, whole.trajectory[:4])
    np.testing.assert_array_equal(stopped.samples, seen[-1][1])  # noisy, not denoised


@every_sampler
def test_result_progress_and_start(case, capsys):
    pytest.importorskip("tqdm")
    x0 = np.zeros(3)
    result = case.run_any(simple_score, x0, random_state=0, progress=True)
    assert f"{case.n_steps}/{case.n_steps}" in capsys.readouterr().err
    np.testing.assert_array_equal(x0, 0)
    assert isinstance(result, DiffusionResult) and result.seconds > 0
    assert repr(result).startswith("DiffusionResult(samples=array(3,), trajectory=None, n_steps=")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.n_steps = 2


def test_a_grid_that_ends_at_zero_needs_no_denoising():
    called = []

    def score(x, t):
        called.append(t)
        return -x

    run = ddpm(score, np.ones(3), [1.0, 0.5, 0.0], random_state=0, keep_trajectory=True)
    assert 0.0 not in called and run.times.tolist() == [1.0, 0.5, 0.0, 0.0]
    np.testing.assert_array_equal(run.trajectory[-1], run.trajectory[-2])


def test_a_score_may_return_the_array_it_was_given():
    for case in CASES:
        alias = case.run_any(lambda x, level: x, np.ones(3), random_state=0)
        fresh = case.run_any(lambda x, level: x.copy(), np.ones(3), random_state=0)
        np.testing.assert_array_equal(alias.samples, fresh.samples)


# ---- Divergence and errors ---------------------------------------------------------------------


@every_sampler
def test_divergence_names_the_step_and_the_chains(case):
    last = GRID.times[-2] if case.is_time else LEVELS[-2]

    def score(x, level):  # not a number for two chains, from the last but one level on
        hole = (level <= last) & (x > 0.5e6)
        return np.where(hole, np.nan, 0 * x)

    x0 = np.array([0.0, 1e6, 0.0, 1e6])
    with pytest.raises(ChainDivergedError, match=r"2 of 4 chains \(1, 3\) are non-finite") as info:
        case.run_any(score, x0, random_state=0)
    assert info.value.chains == (1, 3)
    first_bad = {"annealed_langevin": 13, "heun": 9}.get(
        case.name, case.n_steps if case.is_time else 4
    )
    assert info.value.step == first_bad
    assert f"step {first_bad} of {case.n_steps}" in str(info.value)
    assert ("from t = " if case.is_time else "from sigma = ") in str(info.value)


@every_sampler
def test_explosion_is_reported_not_returned(case):
    with pytest.raises(ChainDivergedError, match="take more or smaller steps"):
        case.run_any(lambda x, level: 1e4 * x, np.ones(3), random_state=0)


def test_not_a_number_in_the_denoising_step_only():
    def score(x, t):
        return np.where(t == GRID.end, np.nan, -x)

    with pytest.raises(
        ChainDivergedError, match=r"the final denoising step, from t = 0\.0"
    ) as info:
        ddpm(score, np.ones(3), GRID, random_state=0)
    assert info.value.step == 11
    assert np.isfinite(ddpm(score, np.ones(3), GRID, final_denoising=False).samples).all()


def test_annealed_langevin_beyond_its_stability_limit():
    options = dict(n_steps=400, n_samples=5, random_state=0)

    def point_mass(x, sigma):
        return -x / sigma**2

    annealed_langevin(point_mass, None, [1.0, 0.5], step=3.9 * 0.25, **options)
    with pytest.raises(ChainDivergedError, match="sigma = 1"):
        annealed_langevin(point_mass, None, [1.0, 0.5], step=4.5 * 0.25, **options)


BAD_ARGUMENTS = [
    (dict(x0=None), ValueError, "x0=None needs n_samples, .* got n_samples=None"),
    (dict(n_samples=3), ValueError, "n_samples and dim describe .* got n_samples=3, dim=None"),
    (dict(dim=3), ValueError, "got n_samples=None, dim=3. Leave them out"),
    (dict(x0=None, n_samples=0), ValueError, "n_samples must be an integer >= 1; got 0"),
    (dict(x0=None, n_samples=2.0), ValueError, r"n_samples must be an integer >= 1; got 2\.0"),
    (dict(x0=None, n_samples=2, dim=0), ValueError, "dim must be an integer >= 1; got 0"),
    (dict(batch_size=0), ValueError, "batch_size must be an integer >= 1; got 0"),
    (dict(thin=0), ValueError, "thin must be an integer >= 1; got 0"),
    (dict(thin=2), ValueError, "thin=2 has no effect .*keep_trajectory=True"),
    (dict(callback=3), TypeError, "callback must be None or a callable"),
    (dict(random_sate=0), TypeError, "unexpected keyword random_sate.*mean random_state"),
    (dict(denoise=False), TypeError, "unexpected keyword denoise.*Allowed are .*final_denoising"),
    (dict(n_normals=3), TypeError, "unexpected keyword n_normals"),
    (dict(burn_in=3), TypeError, "burn_in has no effect on .*langevin and mala"),
    (dict(random_state="x"), TypeError, "random_state must be None"),
    (dict(x0=1.0), ValueError, r"x0 must have shape \(n_chains,\)"),
    (dict(x0=np.array([0, np.nan])), ValueError, "x0 must be finite; 1 of 2 values"),
    (dict(score=None), TypeError, r"score must be a callable \(x, (t|sigma)\) .* got NoneType"),
    (dict(score=lambda x, t: x[:, None]), ValueError, r"score must return .* got shape \(3, 1\)"),
    (
        dict(score=lambda x, t: np.where(np.arange(3) == 1, np.nan, x)),
        ValueError,
        "score must be finite at x0; .* 1 of 3 chains",
    ),
]


@every_sampler
@pytest.mark.parametrize(("arguments", "error", "message"), BAD_ARGUMENTS)
def test_errors_name_the_argument_and_the_remedy(case, arguments, error, message):
    options = dict(score=simple_score, x0=np.zeros(3)) | arguments
    with pytest.raises(error, match=message):
        case.run_any(options.pop("score"), options.pop("x0"), **options)


BAD_SCHEDULES = [
    (ddpm, dict(grid=[0.5, 1.0]), "times must be at least two strictly decreasing"),
    (heun, dict(grid=3.0), r"grid must have shape \(K,\).* got shape \(\)"),
    (ancestral, dict(grid=GRID, variance="x"), "variance must be one of 'posterior', 'forward'"),
    (annealed_langevin, dict(levels=[1.0, 2.0], step=1, n_steps=1), "levels must be .* decreasing"),
    (annealed_langevin, dict(levels=[1.0, 0.0], step=1, n_steps=1), "noise levels sigma > 0"),
    (annealed_langevin, dict(levels=LEVELS, step=0, n_steps=1), "step must be finite and > 0"),
    (annealed_langevin, dict(levels=LEVELS, step=1, n_steps=0), "n_steps must be an integer >= 1"),
    (predictor_corrector, dict(levels=[1.0]), "levels must be at least 2"),
    (
        predictor_corrector,
        dict(levels=LEVELS, n_corrector=-1),
        "n_corrector must be an integer >= 0",
    ),
    (predictor_corrector, dict(levels=LEVELS, corrector_step=-1), "corrector_step must be finite"),
    (predictor_corrector, dict(levels=LEVELS, n_corrector=0, corrector_step=0.2), "no effect with"),
]


@pytest.mark.parametrize(("sampler", "arguments", "message"), BAD_SCHEDULES)
def test_bad_schedules_are_refused(sampler, arguments, message):
    with pytest.raises(ValueError, match=message):
        sampler(simple_score, np.zeros(3), **arguments)


def test_keywords_of_another_method_are_no_run_options():
    """``step`` is a name inside, too: it must not get lost on the way."""
    for keyword, close in (("step", ""), ("varaince", "Did you mean variance")):
        with pytest.raises(TypeError, match=f"ancestral got an unexpected .*{keyword}.*{close}"):
            ancestral(simple_score, np.zeros(3), GRID, **{keyword: 0.1})


def test_run_options_are_said_once():
    assert set(RunOptions.__annotations__) == set(DEFAULTS)
    for name in DEFAULTS:
        assert name in RunOptions.__doc__
    for sampler in (ddpm, ancestral, probability_flow, heun, annealed_langevin, mala, langevin):
        assert not set(inspect.signature(sampler).parameters) & set(DEFAULTS)
        assert "RunOptions" in sampler.__doc__


def test_one_level_is_plain_langevin():
    options = dict(step=0.1, n_steps=20)
    one = annealed_langevin(
        lambda x, sigma: -x, np.zeros(4), [0.3], random_state=0, final_denoising=False, **options
    )
    _, noise_state = np.random.default_rng(0).spawn(2)
    plain = langevin(lambda x: -x, np.zeros(4), random_state=noise_state, **options)
    np.testing.assert_allclose(one.samples, plain.samples, rtol=1e-13)
