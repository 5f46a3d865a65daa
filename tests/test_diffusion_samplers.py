"""Samplers along noise levels against the steps of the textbooks; the contract of all samplers."""

import dataclasses
import functools
import inspect
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from convexscore import targets
from convexscore.samplers import ChainDivergedError, RunOptions, langevin, mala
from convexscore.samplers import run as loop
from convexscore.samplers.along_levels import annealed_langevin, predictor_corrector
from convexscore.samplers.along_times import ancestral, ddpm, heun, probability_flow
from convexscore.samplers.noise import ChainNoise
from convexscore.samplers.options import DEFAULTS
from convexscore.schedules import exponential_grid, geometric_levels, two_phase_grid, uniform_grid
from convexscore.scores import ve_score, vp_score

OK = 1e-4  # a right sampler gives a smaller p-value with one seed in ten thousand

# Uneven steps, the last ones short.
GRID = two_phase_grid(0.4, 3, 10)
LEVELS = geometric_levels(4.0, 0.3, 6)


def vp_levels(times):
    return [(np.exp(-t), np.sqrt(1 - np.exp(-2 * t))) for t in times]


def denoised(x, score, scale, sigma):
    return (x + sigma**2 * score) / scale


# ---- The steps in the textbooks' form: x and normal numbers z() to the states after each step ---


def ddpm_steps(score, x, z):
    """The linear equation dx = (x + 2 s) dtau + sqrt(2) dB with s frozen, solved on each step."""
    for t, gamma in zip(GRID.times, GRID.steps, strict=False):
        grown = np.exp(gamma)
        x = grown * x + 2 * (grown - 1) * score(x, t) + np.sqrt(grown**2 - 1) * z()
        yield x


def ancestral_steps(score, x, z, *, variance="posterior"):
    """Ho et al. (7): q(x_next | x, x0) with x0 replaced by E[X | x]."""
    levels = itertools.pairwise(vp_levels(GRID.times))
    for t, ((scale, sigma), (scale_next, sigma_next)) in zip(GRID.times, levels, strict=False):
        x0, ratio = denoised(x, score(x, t), scale, sigma), scale / scale_next
        mean = (ratio * sigma_next**2 * x + scale_next * (1 - ratio**2) * x0) / sigma**2
        shrunk = (sigma_next / sigma) ** 2 if variance == "posterior" else 1.0
        x = mean + np.sqrt((1 - ratio**2) * shrunk) * z()
        yield x


def flow_steps(score, x, z):
    """The linear equation dx = (x + s) dtau with s frozen, solved on each step."""
    for t, gamma in zip(GRID.times, GRID.steps, strict=False):
        x = np.exp(gamma) * x + (np.exp(gamma) - 1) * score(x, t)
        yield x


def heun_steps(score, x, z):
    """The same with s linear between the ends, its weight an integral, here by quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(20)
    for t, gamma in zip(GRID.times, GRID.steps, strict=False):
        r = (nodes + 1) / 2 * gamma
        weight = (weights * r / gamma * np.exp(gamma - r)).sum() * gamma / 2
        here = score(x, t)
        x = np.exp(gamma) * x + (np.exp(gamma) - 1) * here
        x = x + weight * (score(x, t - gamma) - here)
        yield x


def langevin_step(score, x, z, sigma, step):
    return x + step / 2 * score(x, sigma) + np.sqrt(step) * z()


def annealed_steps(score, x, z, *, step, n_steps):
    for sigma in np.repeat(LEVELS, n_steps):
        x = langevin_step(score, x, z, sigma, step * (sigma / LEVELS[-1]) ** 2)
        yield x


def corrector_steps(score, x, z, *, n_corrector, corrector_step, variance="forward"):
    for sigma, after in itertools.pairwise(LEVELS):
        beta = sigma**2 - after**2
        tau2 = beta if variance == "forward" else beta * after**2 / sigma**2
        x = x + beta * score(x, sigma) + np.sqrt(tau2) * z()
        for _ in range(n_corrector):
            x = langevin_step(score, x, z, after, corrector_step * after**2)
        yield x


@dataclass(frozen=True)
class Case:
    """A sampler with its schedule, its steps, and its normal numbers per coordinate and step."""

    sampler: Callable
    steps: Callable
    n_steps: int
    n_normals: int = 1
    is_time: bool = True
    fixed: dict = dataclasses.field(default_factory=dict)

    def __call__(self, score, x0=None, **options):
        return self.sampler(score, x0, GRID if self.is_time else LEVELS, **self.fixed, **options)

    @property
    def prior_variance(self):
        return 1.0 if self.is_time else LEVELS[0] ** 2


FORWARD, POSTERIOR = {"variance": "forward"}, {"variance": "posterior"}
ALD, PC = {"step": 0.05, "n_steps": 3}, {"n_corrector": 2, "corrector_step": 0.3}
CASES = {
    "ddpm": Case(ddpm, ddpm_steps, 10),
    "ancestral": Case(ancestral, ancestral_steps, 10),
    "ancestral, forward variance": Case(ancestral, ancestral_steps, 10, 1, True, FORWARD),
    "probability_flow": Case(probability_flow, flow_steps, 10, 0),
    "heun": Case(heun, heun_steps, 10, 0),
    "annealed": Case(annealed_langevin, annealed_steps, 18, 1, False, ALD),
    "corrector": Case(predictor_corrector, corrector_steps, 5, 3, False, PC),
    "corrector, posterior variance": Case(
        predictor_corrector, corrector_steps, 5, 3, False, PC | POSTERIOR
    ),
}


def every(values):
    return pytest.mark.parametrize("case", values.values(), ids=values)


every_sampler = every(CASES)


@every_sampler
@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_every_step_is_that_of_the_textbooks(case, shape):
    def score(x, level):  # neither linear in x nor in the level, and no function of one coordinate
        return np.sin(x + level) - x.reshape(len(x), -1).sum(1).reshape(-1, *[1] * (x.ndim - 1)) / 2

    x0 = np.random.default_rng(0).normal(size=shape)
    run = case(score, x0, random_state=8, keep_trajectory=True, batch_size=2)
    d, m = x0[0].size, case.n_normals
    noise = ChainNoise(np.random.default_rng(8).spawn(2)[1], 5, d * max(m, 1), case.n_steps)
    blocks = (noise.next_step().reshape(5, max(m, 1), *shape[1:]) for _ in range(case.n_steps))
    numbers = (block[:, j] for block in blocks for j in range(max(m, 1)))
    states = [x0, *case.steps(score, x0, lambda: next(numbers), **case.fixed)]
    last = GRID.end if case.is_time else LEVELS[-1]
    scale, sigma = vp_levels([last])[0] if case.is_time else (1.0, last)
    states.append(denoised(states[-1], score(states[-1], last), scale, sigma))
    np.testing.assert_allclose(run.trajectory, states, rtol=1e-10, atol=1e-12)


# ---- The law of the output, with the real noise -------------------------------------------------

GAUSSIANS = {
    "line": targets.Gaussian([1.5], [[0.4]]),
    "plane": targets.Gaussian([1.0, 0.5], [[1.0, 0.8], [0.8, 0.9]]),
}


def law_of_steps(case, score, d):
    """Mean and covariance of affine steps: their answers to the start's and every number's unit."""
    units = np.eye(1 + d * (1 + case.n_steps * case.n_normals))
    blocks = iter(units[1 + d :].reshape(-1, d, len(units)))
    *_, last = case.steps(
        score,
        np.sqrt(case.prior_variance) * units[:, 1 : 1 + d],
        lambda: next(blocks).T,
        **case.fixed,
    )
    answers = last[1:] - last[0]
    return last[0], answers.T @ answers


def smallest_p_value(samples, mean, covariance):
    """Of means, variances and the correlation of the samples, whitened."""
    white = np.linalg.solve(np.linalg.cholesky(covariance), (samples - mean).T)
    d, n = white.shape
    squares = (white**2).sum(axis=1)
    tails = np.minimum(stats.chi2.cdf(squares, n), stats.chi2.sf(squares, n))
    values = [stats.chi2.sf(n * (white.mean(axis=1) ** 2).sum(), d), *2 * tails]
    crossed = [(white[i] * white[j]).sum() for i, j in itertools.combinations(range(d), 2)]
    return min([*values, *2 * stats.norm.sf(np.abs(crossed) / np.sqrt(n))])


class TooLoud(ChainNoise):
    def next_step(self):
        return 1.05 * super().next_step()


@every_sampler
@pytest.mark.parametrize("law", GAUSSIANS.values(), ids=GAUSSIANS)
def test_samples_follow_the_law_of_the_steps(monkeypatch, case, law):
    def score(x, level):
        return (vp_score if case.is_time else ve_score)(law)(x, level)

    d, options = law.dim, dict(random_state=1, final_denoising=False)
    expected = law_of_steps(case, score, d)
    run = case(score, n_samples=20_000, dim=d, keep_trajectory=True, **options)
    assert smallest_p_value(run.samples, *expected) > OK
    # Negative control: noise five per cent too loud; that of a flow is all in the start.
    monkeypatch.setattr(loop, "ChainNoise", TooLoud)
    start = run.trajectory[0] * (1.0 if case.n_normals else 1.05)
    assert smallest_p_value(case(score, start, **options).samples, *expected) < 1e-10


# ---- Order in the step -------------------------------------------------------------------------


def orders(errors):
    """log2 of the ratio of successive errors, each with half the steps' length of the last."""
    return np.log2(np.abs(np.array(errors[:-1]) / np.array(errors[1:])))


(TOP, _), (LOW, _) = vp_levels([3.0, 0.05])
# Of X ~ N(1.5, 0.4) at the two times.
VARIANCE_AT_TOP, VARIANCE_AT_LOW = (a**2 * 0.4 + 1 - a**2 for a in (TOP, LOW))


def gaussian_score(x, t, mean=1.5):
    a = np.exp(-t)
    return -(x - a * mean) / (a**2 * 0.4 + 1 - a**2)


@pytest.mark.parametrize(("sampler", "order"), [(probability_flow, 1), (heun, 2)])
def test_order_of_the_flow(sampler, order):
    errors, start = [], np.array([-1.0, 2.0])
    for n_steps in (40, 80, 160, 320):
        grid = uniform_grid(3.0, n_steps, end=0.05)
        x = sampler(gaussian_score, start, grid, final_denoising=False).samples
        # The flow carries the law at T to the law at delta: means onto means, scaled by the stds.
        ratio = np.sqrt(VARIANCE_AT_LOW / VARIANCE_AT_TOP)
        errors.append(np.abs(x - LOW * 1.5 - ratio * (start - TOP * 1.5)).max())
    np.testing.assert_allclose(orders(errors), order, atol=0.1)
    assert errors[-1] < {1: 1e-2, 2: 1e-4}[order]


class Impulses:
    """Noise in which the k-th chain has its only number, a one, in step k."""

    def __init__(self, random_state, n_chains, n_normals, n_steps):
        self._steps = iter(np.eye(n_steps, n_chains))

    def next_step(self):
        return next(self._steps)[:, None]


@pytest.mark.parametrize(("sampler", "fixed"), [(ddpm, {}), (ancestral, {}), (ancestral, FORWARD)])
def test_ddpm_variance_is_first_order_in_the_step(monkeypatch, sampler, fixed):
    monkeypatch.setattr(loop, "ChainNoise", Impulses)
    errors = []
    for n_steps in (160, 320, 640):
        grid, x0 = uniform_grid(3.0, n_steps, end=0.05), np.zeros(n_steps + 1)
        x0[-1] = np.sqrt(VARIANCE_AT_TOP)  # the start's own impulse
        score = functools.partial(gaussian_score, mean=0.0)
        run = sampler(score, x0, grid, final_denoising=False, **fixed)
        errors.append((run.samples**2).sum() - VARIANCE_AT_LOW)
    np.testing.assert_allclose(orders(errors), 1, atol=0.07)


def test_langevin_bias_is_first_order_in_the_step(monkeypatch):
    monkeypatch.setattr(loop, "ChainNoise", Impulses)
    variance, errors = 0.4, []
    for step in (0.08, 0.04, 0.02, 0.01):
        n_steps = round(20 * variance / step) * 2
        x0 = np.zeros(n_steps)  # one chain per impulse
        run = langevin(lambda x: -x / variance, x0, step=step, n_steps=n_steps)
        errors.append((run.samples**2).sum() - variance)
        # Stationary up to exp(-40), and then v / (1 - step / 4v).
        assert errors[-1] + variance == pytest.approx(variance / (1 - step / (4 * variance)))
    np.testing.assert_allclose(orders(errors), 1, atol=0.05)


# ---- A law with two modes ----------------------------------------------------------------------

WEIGHTS, MEANS, WIDTH = np.array([0.2, 0.8]), np.array([-2.0, 1.0]), 0.3


def mixture_ve(x, sigma, scale=1.0):
    variance = scale**2 * WIDTH**2 + sigma**2
    gaps = x[..., None] - scale * MEANS
    parts = WEIGHTS * np.exp(-(gaps**2) / (2 * variance))
    return -(parts * gaps).sum(-1) / (parts.sum(-1) * variance)


def mixture_vp(x, t):
    return mixture_ve(x, *vp_levels([t])[0][::-1])


def mixture_cdf(scale, sigma):
    std = np.sqrt(scale**2 * WIDTH**2 + sigma**2)
    return lambda q: stats.norm.cdf(np.subtract.outer(q, scale * MEANS) / std) @ WEIGHTS


@pytest.mark.slow
@pytest.mark.parametrize("sampler", [ddpm, ancestral, heun, probability_flow])
def test_vp_samplers_find_both_modes_in_their_shares(sampler):
    # Negative control: from a short horizon N(0, 1) is the wrong start.
    for horizon, least, most in ((6.0, OK, 1.0), (0.3, 0.0, 1e-10)):
        grid = exponential_grid(horizon, 400, end=1e-3)
        options = dict(n_samples=10_000, random_state=2, final_denoising=False)
        samples = sampler(mixture_vp, None, grid, **options).samples
        p_value = stats.kstest(samples, mixture_cdf(*vp_levels([1e-3])[0])).pvalue
        assert least <= p_value <= most


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "fixed"),
    [(annealed_langevin, dict(step=0.002, n_steps=30)), (predictor_corrector, dict(n_corrector=2))],
)
def test_ve_samplers_find_both_modes_in_their_shares(sampler, fixed):
    options = dict(n_samples=4000, random_state=3, final_denoising=False) | fixed
    samples = sampler(mixture_ve, None, geometric_levels(20.0, 0.15, 100), **options).samples
    assert abs((samples < -0.5).mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 4000)
    assert stats.kstest(samples, mixture_cdf(1.0, 0.15)).pvalue > OK
    # Negative control: without the large levels the shares are those of the start, around 0.
    samples = sampler(mixture_ve, None, geometric_levels(0.3, 0.15, 10), **options).samples
    assert (samples < -0.5).mean() < 0.15


# ---- One contract for all ----------------------------------------------------------------------


def simple_score(x, level=0.0):
    return -(x - 1) / (1 + level) ** 2


def simple_log_density(x):
    return -((x - 1) ** 2).reshape(len(x), -1).sum(axis=1) / 2


def chains(sampler, *functions):
    """A sampler of one score in the form of a case; drawn starts do not depend on their number."""

    def run(score, x0=None, *, n_samples=None, dim=None, **options):
        if n_samples is not None:
            shape = (n_samples,) if dim is None else (n_samples, dim)
            x0 = np.random.default_rng(0).normal(size=shape)
        one_score = score if score is None else lambda x: score(x, 0.0)
        return sampler(one_score, *functions, x0, **{"step": 0.5, "n_steps": 10, **options})

    return run


CHAINS = {"langevin": chains(langevin), "mala": chains(mala, simple_log_density)}
every_kind = every(CASES | CHAINS)


@every_kind
@pytest.mark.parametrize("n_few", [3, 70])
@pytest.mark.parametrize("dim", [None, 2])
def test_a_chain_does_not_depend_on_the_chains_beside_it(case, n_few, dim):
    run = functools.partial(case, simple_score, random_state=12, keep_trajectory=True, dim=dim)
    many, few = run(n_samples=200), run(n_samples=n_few)
    np.testing.assert_array_equal(many.trajectory[:, :n_few], few.trajectory)
    assert len(np.unique(many.samples)) == many.samples.size
    if isinstance(case, Case):
        small = run(n_samples=200, batch_size=7)
        np.testing.assert_array_equal(small.trajectory, many.trajectory)


@every_kind
def test_same_seed_same_result(case):
    run = functools.partial(case, simple_score, n_samples=6)
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
    run = case(lambda x, level: np.zeros_like(x), None, n_samples=5000, **options)
    start, rest = run.trajectory[0], run.samples
    assert stats.kstest(start / np.sqrt(case.prior_variance), stats.norm.cdf).pvalue > OK
    # Without score every sampler but the growth of the VP process is a random walk from the start.
    growth = np.exp(GRID.horizon - GRID.end) if case.is_time else 1.0
    if case.n_normals:
        assert abs(np.corrcoef(rest - growth * start, start)[0, 1]) < 4 / np.sqrt(5000)
    else:
        np.testing.assert_allclose(rest, growth * start, rtol=1e-12)
    # The noise does not depend on whether the start was drawn or given.
    again = case(lambda x, level: np.zeros_like(x), start, **options)
    np.testing.assert_array_equal(again.samples, rest)


@every_kind
def test_column_and_flat_chains_are_the_same(case):
    flat = case(simple_score, n_samples=6, random_state=0)
    column = case(simple_score, n_samples=6, dim=1, random_state=0)
    assert flat.samples.shape == (6,) and column.samples.shape == (6, 1)
    np.testing.assert_allclose(column.samples[:, 0], flat.samples, rtol=1e-12)
    given = case(simple_score, np.arange(6.0), random_state=0)
    given_column = case(simple_score, np.arange(6.0)[:, None], random_state=0)
    np.testing.assert_allclose(given_column.samples[:, 0], given.samples, rtol=1e-12)


@every_sampler
def test_trajectory_times_and_thinning(case):
    plain = functools.partial(case, simple_score, n_samples=4, dim=2, random_state=0)
    kept = functools.partial(plain, keep_trajectory=True)
    full, n = kept(), case.n_steps
    assert full.n_steps == n
    assert full.trajectory.shape == (n + 2, 4, 2) and full.times.shape == (n + 2,)
    np.testing.assert_array_equal(full.trajectory[-1], full.samples)
    assert full.times[-1] == 0.0 and np.all(np.diff(full.times) <= 0)
    expected = GRID.times if case.is_time else LEVELS
    np.testing.assert_array_equal(np.unique(full.times[:-1]), np.sort(expected))
    noisy = kept(final_denoising=False)
    np.testing.assert_array_equal(noisy.trajectory, full.trajectory[:-1])
    np.testing.assert_array_equal(noisy.samples, full.trajectory[-2])
    thinned, rows = kept(thin=4), [*sorted({*range(0, n + 1, 4), n}), n + 1]
    np.testing.assert_array_equal(thinned.trajectory, full.trajectory[rows])
    np.testing.assert_array_equal(thinned.times, full.times[rows])
    assert plain().trajectory is None and plain().times is None
    np.testing.assert_array_equal(plain().samples, full.samples)


@every_kind
def test_callback_sees_every_state_and_can_stop(case):
    seen = []

    def callback(step, x):
        assert not x.flags.writeable
        seen.append((step, x))
        return step == 3

    run = functools.partial(case, simple_score, n_samples=3, random_state=0, keep_trajectory=True)
    stopped, whole, first = run(callback=callback), run(), isinstance(case, Case)
    assert [step for step, _ in seen] == [1, 2, 3] and stopped.n_steps == 3 < whole.n_steps
    np.testing.assert_array_equal([x for _, x in seen], stopped.trajectory[first:])
    np.testing.assert_array_equal(stopped.trajectory, whole.trajectory[: 3 + first])
    np.testing.assert_array_equal(stopped.samples, seen[-1][1])  # noisy, not denoised


@every_kind
def test_result_progress_and_start(case, capsys):
    pytest.importorskip("tqdm")
    x0 = np.zeros(3)
    result = case(simple_score, x0, random_state=0, progress=True)
    n = result.n_steps
    assert f"{n}/{n}" in capsys.readouterr().err
    np.testing.assert_array_equal(x0, 0)
    kind = "Diffusion" if isinstance(case, Case) else "Langevin"
    assert repr(result).startswith(
        f"{kind}Result(samples=array(3,), trajectory=None, n_steps={n}, seconds={result.seconds:.3g}"
    )
    assert result.seconds > 0 and getattr(result, "step", 0.5) == 0.5
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.n_steps = 2


def test_a_grid_that_ends_at_zero_needs_no_denoising():
    called = []

    def score(x, t):
        called.append(t)
        return -x

    run = ddpm(score, np.ones(3), [1.0, 0.5, 0.0], random_state=0, keep_trajectory=True)
    assert called == [1.0, 1.0, 0.5]  # the start is checked first
    assert run.times.tolist() == [1.0, 0.5, 0.0, 0.0]
    np.testing.assert_array_equal(run.trajectory[-1], run.trajectory[-2])


@every_sampler
def test_a_score_may_return_the_array_it_was_given(case):
    alias = case(lambda x, level: x, np.ones(3), random_state=0)
    fresh = case(lambda x, level: x.copy(), np.ones(3), random_state=0)
    np.testing.assert_array_equal(alias.samples, fresh.samples)


# ---- Divergence and errors ---------------------------------------------------------------------


@every_sampler
def test_divergence_names_the_step_and_the_chains(case):
    last = GRID.times[-2] if case.is_time else LEVELS[-2]

    def score(x, level):  # not a number for two chains, from the last but one level on
        hole = (level <= last) & (x > 0.5e6)
        return np.where(hole, np.nan, 0 * x)

    x0 = np.array([0.0, 1e6, 0.0, 1e6])
    for batch_size in (2, 4096):  # whatever the batch
        match = r"2 of 4 chains \(1, 3\) are non-finite"
        with pytest.raises(ChainDivergedError, match=match) as info:
            case(score, x0, random_state=0, batch_size=batch_size)
        assert info.value.chains == (1, 3)
    n = case.n_steps
    bad = {annealed_langevin: 13, heun: 9}.get(case.sampler, n if case.is_time else 4)
    assert info.value.step == bad and f"step {bad} of {n}" in str(info.value)
    assert ("from t = " if case.is_time else "from sigma = ") in str(info.value)
    with pytest.raises(ChainDivergedError, match="take more or smaller steps"):
        case(lambda x, level: 1e4 * x, np.ones(3), random_state=0)


def test_not_a_number_in_the_denoising_step_only():
    def score(x, t):
        return np.where(t == GRID.end, np.nan, -x)

    with pytest.raises(ChainDivergedError, match=r"final denoising step, from t = 0\.0") as info:
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


def nan_for_one(x, level):
    return np.where(np.arange(3) == 1, np.nan, x)


OF_ALL = [
    (dict(thin=0), ValueError, "thin must be an integer >= 1; got 0"),
    (dict(thin=2), ValueError, "thin=2 has no effect .*keep_trajectory=True"),
    (dict(callback=3), TypeError, "callback must be a callable"),
    (dict(random_sate=0), TypeError, "unexpected keyword random_sate.*mean random_state"),
    (dict(colour=3), TypeError, r"colour. Allowed are .*keep_trajectory, thin"),
    (dict(random_state="x"), TypeError, "random_state must be None"),
    (dict(x0=1.0), ValueError, r"x0 must have shape \(n_chains,\) .* numpy.full"),
    (dict(x0=np.zeros((0, 2))), ValueError, r"not empty; got shape \(0, 2\)"),
    (dict(x0=np.zeros((2, 2, 2))), ValueError, r"got shape \(2, 2, 2\)"),
    (dict(x0=np.array([0, np.inf, np.nan])), ValueError, "x0 must be finite; 2 of 3 values"),
    (dict(x0=np.array(["a"])), ValueError, "x0 must be numeric"),
    (dict(x0=np.array([1j])), ValueError, "x0 must be real"),
    (dict(score=None), TypeError, r"score must be a callable .* got NoneType"),
    (dict(score=lambda x, t: x[:, None]), ValueError, r"score must return .* got shape \(3, 1\)"),
    (dict(score=nan_for_one), ValueError, "score must be finite at x0; .* 1 of 3 chains"),
]
ALONG_LEVELS = [
    (dict(x0=None), ValueError, "x0=None needs n_samples, .* got n_samples=None"),
    (dict(n_samples=3), ValueError, "n_samples and dim describe .* got n_samples=3, dim=None"),
    (dict(dim=3), ValueError, "got n_samples=None, dim=3. Leave them out"),
    (dict(x0=None, n_samples=0), ValueError, "n_samples must be an integer >= 1; got 0"),
    (dict(x0=None, n_samples=2.0), ValueError, r"n_samples must be an integer >= 1; got 2\.0"),
    (dict(x0=None, n_samples=2, dim=0), ValueError, "dim must be an integer >= 1; got 0"),
    (dict(batch_size=0), ValueError, "batch_size must be an integer >= 1; got 0"),
    (dict(denoise=False), TypeError, "unexpected keyword denoise.*Allowed are .*final_denoising"),
    (dict(n_normals=3), TypeError, "unexpected keyword n_normals"),
    (dict(burn_in=3), TypeError, "burn_in has no effect on .*langevin and mala"),
    (dict(score=None), TypeError, r"score must be a callable \(x, (t|sigma)\)"),
]
OF_CHAINS = [
    (dict(step=0.0), ValueError, "step must be finite and > 0; got 0"),
    (dict(step=np.nan), ValueError, "step must be finite and > 0; got nan"),
    (dict(step="1"), ValueError, "step must be a number > 0; got '1'"),
    (dict(n_steps=0), ValueError, "n_steps must be an integer >= 1; got 0"),
    (dict(n_steps=2.5), ValueError, r"n_steps must be an integer >= 1; got 2\.5"),
    (dict(burn_in=-1), ValueError, "burn_in must be an integer >= 0; got -1"),
    (dict(burn_in=10), ValueError, r"burn_in must be smaller than n_steps.*Use n_steps=10 \+"),
    (dict(thin=11, keep_trajectory=True), ValueError, "thin must be at most .* = 10"),
    (dict(n_step=3), TypeError, "unexpected keyword n_step.*mean n_steps"),
    (dict(colour=3), TypeError, r"colour. Allowed are step, n_steps, .*burn_in\."),
    (dict(batch_size=3), TypeError, "batch_size has no effect on (langevin|mala).*noise levels"),
    (dict(final_denoising=False), TypeError, "final_denoising has no effect on"),
]
BAD_ARGUMENTS = [(case, *bad) for case in CASES.values() for bad in OF_ALL + ALONG_LEVELS]
BAD_ARGUMENTS += [(case, *bad) for case in CHAINS.values() for bad in OF_ALL + OF_CHAINS]


@pytest.mark.parametrize(("case", "arguments", "error", "message"), BAD_ARGUMENTS)
def test_errors_name_the_argument_and_the_remedy(case, arguments, error, message):
    with pytest.raises(error, match=message):
        case(**(dict(score=simple_score, x0=np.zeros(3)) | arguments))


ANNEALED = dict(levels=LEVELS, step=1, n_steps=1)


@pytest.mark.parametrize(
    ("sampler", "arguments", "message"),
    [
        (ddpm, dict(grid=[0.5, 1.0]), "times must be at least two strictly decreasing"),
        (heun, dict(grid=3.0), r"grid must have shape \(K,\).* got shape \(\)"),
        (
            ancestral,
            dict(grid=GRID, variance="x"),
            "variance must be one of 'posterior', 'forward'",
        ),
        (annealed_langevin, ANNEALED | dict(levels=[1.0, 2.0]), "levels must be .* decreasing"),
        (annealed_langevin, ANNEALED | dict(levels=[1.0, 0.0]), "noise levels sigma > 0"),
        (annealed_langevin, ANNEALED | dict(step=0), "step must be finite and > 0"),
        (annealed_langevin, ANNEALED | dict(n_steps=0), "n_steps must be an integer >= 1"),
        (predictor_corrector, dict(levels=[1.0]), "levels must be at least 2"),
        (predictor_corrector, dict(levels=LEVELS, n_corrector=-1), "n_corrector must be .* >= 0"),
        (predictor_corrector, dict(levels=LEVELS, corrector_step=-1), "corrector_step must be fin"),
        (predictor_corrector, dict(levels=LEVELS, n_corrector=0, corrector_step=0.2), "no effect"),
    ],
)
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
    for sampler in (mala, langevin, *(case.sampler for case in CASES.values())):
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
