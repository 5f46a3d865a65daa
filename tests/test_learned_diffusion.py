"""What a learned diffusion is worth: samples against the law, in units of the training set's own noise.

The unit is the *floor*: the same metric between two independent true samples of the training size.  A
model that knew the law would have ratio 1 on average, and so would a copy of the training set.  One
ratio scatters (energy distance of a perfect sampler: 95 % quantile 2.2 floors), so ratios are averaged
over independent draws from one model, and the bounds hold for means over training sets.
"""

import numpy as np
import pytest

from convexscore import fit_convex_diffusion, metrics, targets

LINE = targets.GaussianMixture([0.5, 0.2, 0.3], [-3.0, 0.0, 2.0], [0.25, 0.09, 0.5])
RING = targets.ring_of_gaussians(8)


def ratios(draw, law, n, *, first, repeats=4):
    """Mean ratio of every metric of the report over independent samples and test sets."""
    table = {}
    for k in range(first, first + repeats):
        test = law.sample(n, random_state=10_000 + k)
        found = metrics.report(
            draw(k), test, truth=law.sample, n_repeats=25, max_points=1000, random_state=k
        )
        for row in found.rows:
            table.setdefault(row.metric, []).append(row.ratio)
    return {name: float(np.mean(values)) for name, values in table.items()}


def mean_over_seeds(tables):
    return {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}


def gaussian_of(x):
    """Samples of the Gaussian with the moments of the training set."""
    mean, root = x.mean(axis=0), np.linalg.cholesky(np.atleast_2d(np.cov(x.T)))

    def draw(seed):
        z = np.random.default_rng(seed).normal(size=(len(x), len(root))) @ root.T
        return mean + (z[:, 0] if x.ndim == 1 else z)

    return draw


def test_line_mixture():
    n, tables, gaussian = 2000, [], []
    for seed in range(3):
        x = LINE.sample(n, random_state=seed)
        model = fit_convex_diffusion(x, n_levels=16, beta="rule", random_state=seed)
        assert model.certificates_.optimal and model.certificates_["gap"].max() < 1e-8
        draw = lambda k, model=model: model.sample(n, n_steps=150, random_state=k)  # noqa: E731
        tables.append(ratios(draw, LINE, n, first=100 * seed))
        gaussian.append(ratios(gaussian_of(x), LINE, n, first=100 * seed, repeats=1))
    mean, control = mean_over_seeds(tables), mean_over_seeds(gaussian)
    for metric in ("energy_distance", "wasserstein_1", "mmd", "kolmogorov_smirnov"):
        assert mean[metric] < 1.5, mean
        assert control[metric] > 3.0, control


@pytest.fixture(scope="module")
def ring_fit():
    """A smaller ring than in the report: fewer points and levels, the same law."""
    x = RING.sample(400, random_state=0)
    return x, fit_convex_diffusion(
        x, n_levels=10, beta="rule", n_draws=3, tol=0.03, random_state=0
    )


def test_ring_of_eight(ring_fit):
    x, model = ring_fit
    assert model.certificates_.optimal and model.certificates_["gap"].max() <= 0.03
    n = len(x)
    mean = ratios(lambda k: model.sample(n, n_steps=150, random_state=k), RING, n, first=0)
    control = ratios(gaussian_of(x), RING, n, first=0, repeats=2)
    copies = ratios(lambda _: x, RING, n, first=0)
    for metric in ("energy_distance", "sliced_w2", "mmd"):
        # of one training set, whose own ratio is part of the model's
        assert mean[metric] < max(1.5, 1.5 * copies[metric]), (mean, copies)
        assert control[metric] > 1.5 * mean[metric], (mean, control)


def test_ring_has_eight_modes_of_the_right_width(ring_fit):
    _, model = ring_fit
    y = model.sample(2000, n_steps=150, random_state=5)
    mode = np.argmin(np.linalg.norm(y[:, None] - RING.means, axis=2), axis=1)
    share = np.bincount(mode, minlength=8) / len(y)
    assert share.min() > 0.06 and share.max() < 0.20  # 1/8 each; 400 training points: +- 0.017
    away = np.linalg.norm(y - RING.means[mode], axis=1)
    assert 0.2 < np.sqrt(np.mean(away**2) / 2) < 0.32  # 0.2 in truth; noise makes it wider
    assert np.mean(away > 0.8) < 0.03  # four standard deviations: hardly a bridge between modes


def test_the_learned_samples_are_not_copies(ring_fit):
    """New points: their distance to the training set is that of other true points."""
    x, model = ring_fit

    def nearest(y):
        return np.median(np.linalg.norm(y[:, None] - x, axis=2).min(axis=1))

    true = nearest(RING.sample(400, random_state=1))
    assert nearest(model.sample(400, n_steps=150, random_state=6)) > 0.6 * true
    memorised = x + 1e-3 * np.random.default_rng(0).normal(size=x.shape)
    assert nearest(memorised) < 0.1 * true  # negative control
