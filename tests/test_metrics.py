"""Metrics against closed forms, double loops and scipy; floors against fresh true samples."""

import json
import math
import sys
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, stats

from convexscore import metrics
from convexscore.metrics import (
    energy_distance,
    fisher_divergence,
    kernel_stein_discrepancy,
    kolmogorov_smirnov,
    median_distance,
    mmd,
    noise_floor,
    report,
    sliced_w2,
    total_variation_grid,
    transport,
    wasserstein,
)
from convexscore.metrics import pairs as _pairs
from convexscore.metrics.scores import _stein_kernel

TWO_SAMPLES = {
    "energy_distance": energy_distance,
    "energy_distance unbiased": partial(energy_distance, unbiased=True),
    "mmd": mmd,
    "mmd unbiased": partial(mmd, unbiased=True),
    "sliced_w2": sliced_w2,
    "total_variation_grid": total_variation_grid,
}
ON_THE_LINE = {
    **TWO_SAMPLES,
    "kolmogorov_smirnov": kolmogorov_smirnov,
    "wasserstein_1": partial(wasserstein, p=1),
    "wasserstein_2": partial(wasserstein, p=2),
}
normal = lambda n, random_state: random_state.normal(size=n)  # noqa: E731
planar = lambda n, random_state: random_state.normal(size=(n, 2))  # noqa: E731


def each(table):
    return pytest.mark.parametrize("metric", table.values(), ids=list(table))


def draw(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def loop_mean(kernel, a, b, *, skip_own=False):
    """The mean over pairs, written out."""
    values = [
        kernel(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (skip_own and i == j)
    ]
    return sum(values) / len(values)


def gaussian_kernel(h):
    return lambda p, q: math.exp(-float(np.sum((p - q) ** 2)) / (2 * h**2))


def distance(p, q):
    return float(np.linalg.norm(p - q))


# ---- energy distance and MMD -----------------------------------------------------------------


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_pair_metrics_against_a_double_loop(d, unbiased):
    x, y = draw(0, (13, d), (9, d))
    y += 0.4
    x[1], y[:3] = x[0], x[0]  # ties within and between
    within = partial(loop_mean, skip_own=unbiased)
    wanted = 2 * loop_mean(distance, x, y) - within(distance, x, x) - within(distance, y, y)
    assert energy_distance(x, y, unbiased=unbiased) == pytest.approx(wanted, rel=1e-12)
    k = gaussian_kernel(0.7)
    wanted = within(k, x, x) + within(k, y, y) - 2 * loop_mean(k, x, y)
    assert mmd(x, y, bandwidth=0.7, unbiased=unbiased) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (40, 40), (40, 17)])
def test_one_column_against_scipy(sizes):
    x, y = draw(1, *sizes)
    y[: len(y) // 2] = x[0]  # ties within and between
    root = stats.energy_distance(x, y)
    assert energy_distance(x, y) == pytest.approx(root**2, rel=1e-10)
    assert wasserstein(x, y, p=1) == pytest.approx(stats.wasserstein_distance(x, y), rel=1e-12)
    known = stats.ks_2samp(x, y, method="exact").statistic
    assert kolmogorov_smirnov(x, y) == pytest.approx(known, abs=1e-15)


# What a pair adds, and its mean over pairs whose difference is N(m, v).
ENERGY = energy_distance, 0.0, lambda m, v: stats.foldnorm(m / v**0.5, scale=v**0.5).mean()
KERNEL = (
    partial(mmd, bandwidth=0.8), -1.0,
    lambda m, v: -0.8 * (0.64 + v) ** -0.5 * math.exp(-(m**2) / (2 * (0.64 + v))),
)  # fmt: skip


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(("metric", "own", "mean"), [ENERGY, KERNEL], ids=["energy", "mmd"])
def test_mean_over_gaussian_samples(metric, own, mean, unbiased):
    """The U-statistic is unbiased at n = 8 and m = 5, the V-statistic has the bias it states."""

    def law_value(shift):
        return 2 * mean(shift, 1.0 + 2.25) - mean(0.0, 2.0) - mean(0.0, 4.5)

    rng, shift = np.random.default_rng(3), 0.6
    pairs = [(rng.normal(size=8), rng.normal(shift, 1.5, size=5)) for _ in range(4000)]
    values = np.array([metric(x, y, unbiased=unbiased) for x, y in pairs])
    error = values.std() / len(values) ** 0.5
    bias = 0.0 if unbiased else (mean(0.0, 2.0) - own) / 8 + (mean(0.0, 4.5) - own) / 5
    assert abs(values.mean() - law_value(shift) - bias) < 4 * error
    # Negative controls: another law, and for the V-statistic the law's value without bias.
    assert abs(values.mean() - law_value(shift + 0.3) - bias) > 5 * error
    assert unbiased or bias > 20 * error
    assert (values.min() < 0) == unbiased


def test_median_distance():
    x, y = draw(4, (30, 3), (21, 3))
    pooled = np.vstack([x, y])
    wanted = np.median([distance(p, q) for i, p in enumerate(pooled) for q in pooled[:i]])
    assert median_distance(x, y) == pytest.approx(wanted, rel=1e-12)
    assert mmd(x, y) == mmd(x, y, bandwidth=median_distance(x, y))
    # Mostly duplicates: the median of the distances that are not zero; none at all: 1.
    assert median_distance([0.0, 0.0, 0.0, 0.0, 2.0]) == 2.0
    assert median_distance([5.0]) == median_distance([5.0, 5.0], [5.0]) == 1.0
    assert mmd([5.0, 5.0], [5.0]) == 0.0
    # A part stands for the whole, and a far sample keeps its share of it.
    big = np.random.default_rng(0).normal(size=30_000)
    assert median_distance(big[:15_000], big[15_000:]) == pytest.approx(0.9539, abs=0.08)
    assert 90 < median_distance(big[:15_000], big[15_000:] + 100) < 110


def test_blocks_change_nothing(monkeypatch):
    x, y = draw(5, (203, 3), (101, 3))

    def values():
        return [
            *(f(x, y, unbiased=u) for f in (energy_distance, mmd) for u in (False, True)),
            *(kernel_stein_discrepancy(np.negative, x, unbiased=u) for u in (False, True)),
            *(sliced_w2(x, z) for z in (y, x + 1)),
        ]

    whole = values()
    for size in (1, 50, 997):
        monkeypatch.setattr(_pairs, "_BLOCK_SIZE", size)
        monkeypatch.setattr(transport, "_BLOCK_SIZE", size)
        np.testing.assert_allclose(values(), whole, rtol=1e-10)


@pytest.mark.slow
def test_memory_is_bounded():
    """20 000 points have 3.2 GB of pairs."""
    x, y = draw(6, (20_000, 2), (300, 2))
    for call in (energy_distance, sliced_w2):
        tracemalloc.start()
        call(x, y)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 120e6


# ---- transport -------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("sizes", [(7, 7), (6, 4), (3, 8), (1, 5), (12, 18)])
def test_line_transport_against_repetition(sizes, p):
    """Repeat both samples to the same size: then the sorted points are coupled in order."""
    x, y = draw(7, *sizes)
    common = math.lcm(*sizes)
    big_x, big_y = (np.sort(np.repeat(z, common // len(z))) for z in (x, y))
    wanted = np.mean(np.abs(big_x - big_y) ** p) ** (1 / p)
    assert wasserstein(x, y, p=p) == pytest.approx(wanted, rel=1e-12)


def test_w2_of_affine_images():
    """W2 of x and m + s x (s > 0) by the moments of x; of N(0,1) and N(m, s²) in the limit."""
    [x], m, s = draw(8, 400), 1.3, 0.6
    moments = np.mean(((s - 1) * x + m) ** 2) ** 0.5
    assert wasserstein(x, m + s * x[::-1]) == pytest.approx(moments, rel=1e-12)
    levels = (np.arange(200_000) + 0.5) / 200_000
    gaussians = wasserstein(stats.norm.ppf(levels), stats.norm.ppf(levels[::3], m, s))
    assert gaussians == pytest.approx(math.hypot(m, 1 - s), rel=1e-4)


def test_sliced_w2_closed_forms():
    [x] = draw(9, (300, 4))
    v = np.array([1.0, -2.0, 2.0, 4.0])  # length 5
    many = partial(sliced_w2, n_projections=4000)
    # Relative error of the mean of (θ·v)² over 4000 directions: below 2 %, so 1 % for the root.
    assert many(x, x + v) == pytest.approx(5 / 2, rel=0.03)
    scaled = 0.5 * np.mean(np.sum(x**2, axis=1) / 4) ** 0.5
    assert many(x, 1.5 * x) == pytest.approx(scaled, rel=0.03)
    assert sliced_w2(x[:, 0], x[:, 0] + 2, n_projections=1) == pytest.approx(2.0, rel=1e-12)
    a, b = sliced_w2(x, x + v, random_state=1), sliced_w2(x, x + v, random_state=2)
    assert a != b and a == sliced_w2(x, x + v, random_state=1)


def test_space_transport_against_assignment():
    pytest.importorskip("ot")
    x, y = draw(10, (40, 3), (40, 3))
    for p in (1, 2):
        cost = np.array([[distance(a, b) ** p for b in y] for a in x])
        best = cost[optimize.linear_sum_assignment(cost)].mean() ** (1 / p)
        assert wasserstein(x, y, p=p) == pytest.approx(best, rel=1e-9)
        # Every point three times is the same law.
        assert wasserstein(np.repeat(x, 3, axis=0), y, p=p) == pytest.approx(best, rel=1e-9)


def test_transport_without_pot(monkeypatch):
    monkeypatch.setitem(sys.modules, "ot", None)
    x, y = draw(10, (4, 2), (4, 2))
    with pytest.raises(ImportError, match=r"needs POT.*pip install 'convexscore\[transport\]'"):
        wasserstein(x, y)
    assert wasserstein(x[:, :1], y[:, 0]) > 0
    with pytest.raises(ValueError, match=r"at most 1e.08 pairs.*got 20000 x 20000.*sliced_w2"):
        wasserstein(np.zeros((20_000, 2)), np.zeros((20_000, 2)))


# ---- histograms and distribution functions ---------------------------------------------------


def test_one_sample_ks_against_scipy():
    [x] = draw(11, 50)
    wanted = stats.kstest(x, stats.norm(0.2).cdf).statistic
    assert kolmogorov_smirnov(x, stats.norm(0.2).cdf) == pytest.approx(wanted, abs=1e-15)
    with pytest.raises(ValueError, match=r"Y must be a distribution function.*Pass for instance"):
        kolmogorov_smirnov(x, lambda t: t)


def test_total_variation_against_numpy_histograms():
    x, y = draw(12, (500, 2), (320, 2))
    edges = np.linspace(-6, 6, 9), np.linspace(-7, 7, 5)
    p, q = (np.histogram2d(*z.T, bins=edges)[0] / len(z) for z in (x, y))
    wanted = np.abs(p - q).sum() / 2
    assert total_variation_grid(x, y, bins=edges) == pytest.approx(wanted, abs=1e-14)
    p, q = (np.histogram(z[:, 0], bins=edges[0])[0] / len(z) for z in (x, y))
    on_line = total_variation_grid(x[:, 0], y[:, 0], bins=edges[0])
    assert on_line == pytest.approx(np.abs(p - q).sum() / 2, abs=1e-14)


def test_total_variation_loses_nothing_outside():
    x = np.linspace(0, 1, 200)
    assert total_variation_grid(x, np.r_[x[:100], np.full(100, 1e9)], bins=[0, 1.5]) == 0.5
    assert total_variation_grid([-5.0], [7.0], bins=[0, 1]) == 1.0
    # One point far away must not hide the rest in one cell.
    y = np.r_[x[:-1] + 0.4, 1e9]
    assert total_variation_grid(x, y) == pytest.approx(0.4, abs=0.1)


def test_total_variation_of_gaussians():
    """2 Φ(m/2) - 1 for unit Gaussians a distance m apart, from 200 000 points."""
    x, y = draw(13, 200_000, 200_000)
    known = 2 * stats.norm.cdf(0.5) - 1
    assert total_variation_grid(x, y + 1, bins=60) == pytest.approx(known, abs=0.01)
    assert total_variation_grid(x, y, bins=60) < 0.02


# ---- scores ----------------------------------------------------------------------------------


def test_fisher_divergence_of_gaussians():
    """Exact by Gauss-Hermite quadrature as sample weights."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    mu, v, mu_true, v_true = 0.4, 2.0, -0.3, 0.8
    x = mu_true + v_true**0.5 * nodes
    found = partial(
        fisher_divergence, lambda x: (mu - x) / v, lambda x: (mu_true - x) / v_true, x,
        sample_weight=weights,
    )  # fmt: skip
    wanted = (mu - mu_true) ** 2 / v**2 + v_true * (1 / v - 1 / v_true) ** 2
    assert found() == pytest.approx(wanted, rel=1e-12)
    assert found(relative=True) == pytest.approx(wanted * v_true, rel=1e-12)  # E s*² = 1/v*


def test_fisher_divergence_sums_over_coordinates():
    x, w = draw(14, (20, 3))[0], np.arange(20) % 4
    matrix = np.array([[1.0, 0.5, 0], [0, 2, 0], [0, 0, 1]])
    loop = [sum((row @ matrix + row) ** 2) for row in x]
    args = (lambda x: x @ matrix, np.negative, x)
    assert fisher_divergence(*args) == pytest.approx(np.mean(loop), rel=1e-12)
    repeated = fisher_divergence(*args[:2], np.repeat(x, w, axis=0))
    assert fisher_divergence(*args, sample_weight=w) == pytest.approx(repeated, rel=1e-12)
    shapes = []
    for points in (x[:, 0], x[:, :1]):
        fisher_divergence(lambda z: shapes.append(z.shape) or z, np.negative, points)
    assert shapes == [(20,), (20, 1)]


def test_stein_kernel_by_finite_differences():
    """u(x, y) from a kernel, differentiated numerically."""
    x = draw(15, (4, 2))[0]
    h, e = 1.3, 1e-4
    slopes = np.sin(x) - x
    steps = e * np.eye(2)
    k = lambda p, q: (1 + np.sum((p - q) ** 2) / h**2) ** -0.5  # noqa: E731
    table = _stein_kernel(x, slopes, h)(slice(0, 4), slice(0, 4))
    for i, p in enumerate(x):
        for j, q in enumerate(x):
            in_x = np.array([k(p + s, q) - k(p - s, q) for s in steps]) / (2 * e)
            in_y = np.array([k(p, q + s) - k(p, q - s) for s in steps]) / (2 * e)
            mixed = sum(
                k(p + s, q + s) - k(p + s, q - s) - k(p - s, q + s) + k(p - s, q - s) for s in steps
            ) / (4 * e * e)
            wanted = slopes[i] @ slopes[j] * k(p, q) + slopes[i] @ in_y + slopes[j] @ in_x + mixed
            assert table[i, j] == pytest.approx(wanted, abs=1e-6)  # rounding of the differences
    value = kernel_stein_discrepancy(lambda x: np.sin(x) - x, x, bandwidth=h)
    assert value == pytest.approx(table.mean(), rel=1e-12)
    value = kernel_stein_discrepancy(lambda x: np.sin(x) - x, x, bandwidth=h, unbiased=True)
    own = np.diag(table)
    assert value == pytest.approx((table.sum() - own.sum()) / 12, rel=1e-12)
    np.testing.assert_allclose(own, np.sum(slopes**2, axis=1) + 2 / h**2, rtol=1e-12)


def test_stein_identity():
    """E u(X, y) = 0 under the law of the score for every y, by quadrature; not under another."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    x = 12 * nodes
    density = weights * 12 * stats.norm.pdf(x)
    table = _stein_kernel(x[:, None], -x[:, None], 0.9)(slice(0, 400), slice(0, 400))
    assert np.abs(density @ table).max() < 1e-11
    wrong = weights * 12 * stats.norm.pdf(x, 0.1)
    assert wrong @ table @ wrong > 1e-3


@pytest.mark.parametrize("unbiased", [False, True])
def test_mean_of_stein_statistics(unbiased):
    """The U-statistic is unbiased, the V-statistic has the mean it states; N(0.5, 1) is seen."""
    samples = np.random.default_rng(16).normal(size=(1500, 10))
    wanted = 0.0 if unbiased else (1 + 1 / 1.0**2) / 10
    call = partial(kernel_stein_discrepancy, np.negative, bandwidth=1.0, unbiased=unbiased)
    values = np.array([call(x) for x in samples])
    error = values.std() / len(values) ** 0.5
    assert abs(values.mean() - wanted) < 4 * error
    assert np.mean([call(x + 0.5) for x in samples[:400]]) - wanted > 10 * error
    assert (values.min() < 0) == unbiased


# ---- invariances -----------------------------------------------------------------------------


@each(TWO_SAMPLES)
def test_symmetry_translation_and_scale(metric):
    x, y = draw(17, (80, 2), (61, 2))
    y *= [1.5, 0.5]
    value = metric(x, y)
    shift = np.array([7.0, -3.0])
    # The median heuristic looks at the pooled rows, of which there are few enough here.
    assert metric(y, x) == pytest.approx(value, rel=1e-10)
    assert metric(x + shift, y + shift) == pytest.approx(value, rel=1e-9, abs=1e-12)
    unitless = metric in (mmd, TWO_SAMPLES["mmd unbiased"], total_variation_grid)
    factor = 1.0 if unitless else 4.0
    assert metric(4 * x, 4 * y) == pytest.approx(factor * value, rel=1e-9)
    assert metric(x[::-1], y[::-1]) == pytest.approx(value, rel=1e-10)


columns = hnp.arrays(
    np.float64, st.integers(1, 12), elements=st.integers(-4, 4).map(float)
)  # many ties


@given(columns, columns)
def test_ties_and_tiny_samples(x, y):
    """Repeating every point changes no V-statistic; a sample is at distance zero from itself."""
    for name, metric in ON_THE_LINE.items():
        if "unbiased" in name:
            continue
        if name == "total_variation_grid":
            metric = partial(metric, bins=np.arange(-4, 5))
        elif name == "mmd":
            metric = partial(metric, bandwidth=1.0)
        value = metric(x, y)
        assert value >= 0
        assert metric(np.repeat(x, 2), np.repeat(y, 3)) == pytest.approx(value, abs=1e-7)
        assert metric(x, x[::-1]) == pytest.approx(0, abs=1e-7)
        if sorted(x) == sorted(y):
            assert value == pytest.approx(0, abs=1e-7)


@each(ON_THE_LINE)
def test_constant_samples_are_allowed(metric):
    assert metric([2.0, 2.0, 2.0], [2.0, 2.0]) == 0.0
    assert metric(np.full((3, 1), 2.0), [2, 2]) == 0.0


# ---- noise floors ----------------------------------------------------------------------------


def test_floor_from_a_sampler_has_the_known_mean():
    mean = (1 / 60 + 1 / 40) * 2 / math.pi**0.5
    floor = noise_floor(energy_distance, normal, (60, 40), n_repeats=2000, random_state=0)
    error = floor.values.std() / 2000**0.5
    assert abs(floor.mean - mean) < 4 * error
    assert floor.mean == pytest.approx(floor.values.mean())
    assert floor.upper == np.quantile(floor.values, 0.95)
    assert floor.correction == 1.0 and floor.sizes == floor.sizes_used == (60, 40)
    # Negative control: other sizes.
    other = noise_floor(energy_distance, normal, 60, n_repeats=2000, random_state=0)
    assert abs(other.mean - mean) > 10 * error


@pytest.mark.slow
def test_floor_from_one_sample_is_honest():
    """The mean over many test samples of the corrected floor is the floor of fresh samples."""
    plans = {
        # Three Monte Carlo errors: values of rate 1 vary more. The mean of W2 of Gaussians is not
        # yet proportional to the root of the size: 4.5 % too low.
        energy_distance: 0.17,
        partial(mmd, bandwidth=1.0): 0.17,
        sliced_w2: 0.045 + 0.08,
        kolmogorov_smirnov: 0.08,
        partial(total_variation_grid, bins=np.linspace(-2, 2, 7)): 0.08,
    }
    tests = draw(20, (250, 200))[0]
    for metric, tolerance in plans.items():
        fresh = noise_floor(metric, normal, (400, 200), n_repeats=600, random_state=1)
        from_halves = [
            noise_floor(metric, x, (400, 200), n_repeats=3, random_state=k)
            for k, x in enumerate(tests)
        ]
        assert from_halves[0].sizes_used == (100, 100)
        assert np.mean([f.mean for f in from_halves]) == pytest.approx(fresh.mean, rel=tolerance)
        # Negative control: without the correction it is too high by 1.6 or more.
        uncorrected = np.mean([f.mean / f.correction for f in from_halves])
        assert uncorrected > 1.4 * fresh.mean


def test_floor_of_a_large_sample_needs_no_correction():
    [x] = draw(21, 1000)
    seen = []
    metric = lambda a, b: seen.append((a, b)) or 1.0  # noqa: E731
    floor = noise_floor(metric, x, (300, 700), n_repeats=3, random_state=0)
    assert floor.correction == 1.0 and floor.mean == 1.0
    for a, b in seen:
        np.testing.assert_array_equal(np.sort(np.r_[a, b]), np.sort(x))  # disjoint parts
    assert not np.array_equal(seen[0][0], seen[1][0])


def test_floor_of_a_one_sample_metric():
    stein = partial(kernel_stein_discrepancy, np.negative, bandwidth=1.0)
    floor = noise_floor(stein, normal, (50,), n_repeats=800, random_state=0)
    assert floor.mean == pytest.approx(2 / 50, rel=0.1)
    [x] = draw(22, 60)
    small = noise_floor(stein, x, (50,), n_repeats=10, random_state=0)
    assert small.sizes_used == (30,) and small.correction == pytest.approx(30 / 50)


def test_floor_streams_do_not_depend_on_the_number_of_repeats():
    few = noise_floor(energy_distance, normal, 20, n_repeats=3, random_state=5)
    many = noise_floor(energy_distance, normal, 20, n_repeats=9, random_state=5)
    np.testing.assert_array_equal(few.values, many.values[:3])
    assert "20 and 20 points" in repr(few) and "95 % quantile" in repr(few)
    halved = noise_floor(energy_distance, np.arange(10.0), 20, n_repeats=3, random_state=5)
    assert "from 5 and 5 points corrected by 0.25" in repr(halved)


def test_unknown_rate():
    own = lambda a, b: float(abs(a.mean() - b.mean()))  # noqa: E731
    with pytest.raises(ValueError, match=r"truth has too few points.*n=5, or rate="):
        noise_floor(own, np.arange(10.0), 20)
    assert noise_floor(own, np.arange(10.0), 20, rate=0.5).correction == 0.5
    assert noise_floor(own, np.arange(10.0), 5).correction == 1.0


# ---- right and wrong laws, and the report ----------------------------------------------------


def mixture(weight):
    def sample(n, *, random_state):
        z = random_state.normal(size=(n, 2))
        z[:, 0] += np.where(random_state.random(n) < weight, 2, -2)
        return z

    return sample


@pytest.mark.slow
def test_report_tells_right_from_wrong():
    rng = np.random.default_rng(23)
    truth = mixture(0.5)
    test = truth(1000, random_state=rng)
    for source in (None, truth):
        table = partial(report, X_test=test, truth=source, n_repeats=15, random_state=0)
        right = table(truth(1000, random_state=rng))
        wrong = table(mixture(0.7)(1000, random_state=rng))
        assert [row.metric for row in right.rows] == [
            "energy_distance", "sliced_w2", "mmd", "total_variation_grid",
        ]  # fmt: skip
        for row in right.rows:
            assert row.ratio < 5
            assert row.value < 2 * row.upper
        for name in ("energy_distance", "sliced_w2", "mmd"):
            assert wrong[name].ratio > 4
            assert wrong[name].value > 1.5 * wrong[name].upper
        assert wrong["total_variation_grid"].value > wrong["total_variation_grid"].upper


def test_report_ratios_of_true_samples_average_to_one():
    """Also with the size correction, Y four times as large as the test sample."""
    rng = np.random.default_rng(24)
    ratios = []
    for k in range(40):
        table = report(rng.normal(size=800), rng.normal(size=200), n_repeats=10, random_state=k)
        # Value over floor: a ratio of two noisy numbers, so the means are compared.
        ratios.append([(row.value, row.floor) for row in table.rows])
    value, floor = np.mean(ratios, axis=0).T
    np.testing.assert_allclose(value / floor, 1, atol=0.4)
    assert len(value) == 6


def test_report_table():
    x, y = draw(25, (300, 1), 400)
    score = lambda x: -x  # noqa: E731
    table = report(y, x, score=score, n_repeats=4, max_points=100, random_state=0)
    names = [row.metric for row in table.rows]
    assert names == [
        "energy_distance", "wasserstein_1", "wasserstein_2", "mmd", "kolmogorov_smirnov",
        "total_variation_grid", "kernel_stein_discrepancy",
    ]  # fmt: skip
    assert (table["mmd"].n, table["mmd"].m) == (100, 100)
    assert (table["wasserstein_1"].n, table["wasserstein_1"].m) == (400, 300)
    assert (table["kernel_stein_discrepancy"].n, table["kernel_stein_discrepancy"].m) == (100, 0)
    assert table["wasserstein_2"].value == wasserstein(y, x)
    assert table["energy_distance"].value == energy_distance(y, x)
    assert all(row.ratio == row.value / row.floor for row in table.rows)
    lines = repr(table).splitlines()
    assert lines[0].split() == ["metric", "value", "floor", "95", "%", "ratio", "n", "m"]
    assert len(lines) == 9 and lines[-1].startswith("floor: 4 repeats, random disjoint parts of X")
    assert len({len(line) for line in lines[:-1]}) == 1
    assert json.loads(json.dumps(table.to_dict())) == table.to_dict()
    assert table == report(y, x, score=score, n_repeats=4, max_points=100, random_state=0)
    with pytest.raises(KeyError, match=r"metric must be one of energy_distance"):
        table["fid"]
    with pytest.raises(AttributeError):
        table.n_repeats = 5


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3)])
def test_report_calls_the_score_in_the_shape_of_the_data(shape):
    x = draw(26, shape)[0]
    seen = set()

    def score(z):
        seen.add(z.ndim)
        return -z

    table = report(x + 0.1, x, score=score, truth=x, n_repeats=2, random_state=0)
    assert seen == {len(shape)}
    assert "truth" in table.floor_from
    fresh = report(x, x, score=score, truth=lambda n, random_state: x[:n], random_state=0)
    assert fresh["kernel_stein_discrepancy"].ratio == pytest.approx(1.0)
    assert fresh["energy_distance"].ratio == 1.0  # all zero: value and floor


def test_report_ratio_over_a_floor_of_zero():
    table = report(np.full(8, 1.0), np.zeros(8), n_repeats=2, random_state=0)
    assert all(row.floor == 0 and row.ratio == math.inf for row in table.rows)


def test_report_sees_a_far_outlier_and_a_missing_mode():
    rng = np.random.default_rng(27)
    test = np.where(rng.random(1000) < 0.3, -3, 3) + rng.normal(size=1000)
    one_mode = 3 + rng.normal(size=1000)
    table = report(one_mode, test, random_state=0)
    assert all(row.value > 2 * row.upper for row in table.rows)


# ---- what is refused -------------------------------------------------------------------------


@each(ON_THE_LINE)
def test_bad_samples(metric):
    good = [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match=r"^X must be finite; 1 of 3 values"):
        metric([0.0, np.nan, 1.0], good)
    with pytest.raises(ValueError, match=r"^Y must be finite; 1 of 2 values"):
        metric(good, [np.inf, 1.0])
    with pytest.raises(ValueError, match=r"^X must hold at least 1 values; got 0"):
        metric([], good)
    with pytest.raises(ValueError, match=r"^Y must have shape"):
        metric(good, np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match=r"^Y must be numeric"):
        metric(good, ["a", "b"])


@each(TWO_SAMPLES)
def test_dimensions_must_agree(metric):
    with pytest.raises(ValueError, match=r"same number of columns; got 2 and 3.*transpose"):
        metric(np.zeros((4, 2)), np.zeros((5, 3)))


x3, ok = np.zeros((5, 3)), np.arange(5.0)
REFUSED = [
    (lambda: mmd(ok, ok, unbiased="no"), "unbiased must be True or False; got 'no'"),
    (lambda: energy_distance([1.0], ok, unbiased=True),
     "X must hold at least 2 points with unbiased=True; got 1"),
    (lambda: kernel_stein_discrepancy(np.negative, [1.0], unbiased=True),
     "X must hold at least 2 points"),
    (lambda: mmd(ok, ok, bandwidth=0), "bandwidth must be .*> 0; got 0.*None takes"),
    (lambda: wasserstein(ok, ok, p=3), "p must be one of 1, 2; got 3"),
    (lambda: sliced_w2(x3, x3, n_projections=0), "n_projections must be an integer"),
    (lambda: total_variation_grid(x3, x3), "1 or 2 columns for a grid; got 3"),
    (lambda: total_variation_grid(ok, ok, bins="auto"), "bins must be an integer >= 1"),
    (lambda: total_variation_grid(ok, ok, bins=[0, 2, 1]), "strictly increasing edges.*unique"),
    (lambda: total_variation_grid(x3[:, :2], x3[:, :2], bins=[[0, 1]]),
     r"one array of edges per axis \(2\); got 1"),
    (lambda: kolmogorov_smirnov(x3, x3), r"X must have shape \(n,\) or \(n, 1\)"),
    (lambda: fisher_divergence(lambda x: x[:, None], np.negative, ok),
     r"^score must return an array of shape \(5,\)"),
    (lambda: fisher_divergence(np.negative, lambda x: x * np.nan, ok),
     "^target_score must be finite; 5 of 5"),
    (lambda: fisher_divergence(np.negative, np.zeros_like, ok, relative=True),
     "target_score must not be zero"),
    (lambda: fisher_divergence(np.negative, np.negative, ok, sample_weight=[1, 2]),
     "sample_weight must have shape"),
    (lambda: noise_floor(mmd, normal, (1, 2, 3)), r"n must be an int, \(n, m\) or \(n,\)"),
    (lambda: noise_floor(mmd, normal, 0), "n must be an integer >= 1; got 0"),
    (lambda: noise_floor(mmd, normal, 5, quantile=1.0), "quantile must be between"),
    (lambda: noise_floor(mmd, ok, 5, rate=-1), "rate must be finite and > 0"),
    (lambda: noise_floor(mmd, normal, 5, n_repeats=0), "n_repeats must be an integer"),
    (lambda: noise_floor(mmd, [1.0], 5), "at least 2 points to be split; got 1"),
    (lambda: noise_floor(mmd, lambda n, random_state: np.zeros(3), 5),
     "truth must return n points as rows; got shape"),
    (lambda: report(ok, ok[:3]), "X_test must hold at least 4 points"),
    (lambda: report(x3, ok), "Y and X_test must have the same number"),
    (lambda: report([np.nan, 1.0], ok), "^Y must be finite"),
    (lambda: report(ok, ok, max_points=1), "max_points must be an integer >= 2"),
]  # fmt: skip


@pytest.mark.parametrize("call, match", REFUSED)
def test_refused_options(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_refused_types():
    with pytest.raises(TypeError, match=r"^score must be a callable.*got float"):
        fisher_divergence(1.0, np.negative, ok)
    with pytest.raises(TypeError, match=r"^score must be a callable"):
        kernel_stein_discrepancy(None, ok)
    with pytest.raises(TypeError, match=r"^metric must be a callable.*got str"):
        noise_floor("mmd", normal, 5)


def test_public_names():
    assert sorted(metrics.__all__) == metrics.__all__
    assert all(getattr(metrics, name).__doc__ for name in metrics.__all__)
