"""Scores between the levels of a ladder: what is interpolated, how well, and what is outside."""

import numpy as np
import pytest

from convexscore import targets
from convexscore.schedules import geometric_levels
from convexscore.scores import ve_score_to_vp, vp_score_to_ve
from convexscore.scores.ladder import ScoreLadder

LINE = targets.GaussianMixture([0.5, 0.2, 0.3], [-3.0, 0.0, 2.0], [0.25, 0.09, 0.5])
PLANE = targets.ring_of_gaussians(5, radius=2.0, spread=0.3, weights=[1, 2, 3, 2, 1])
LAWS = {"line": LINE, "plane": PLANE}
TOP, LOW = 8.0, 0.1
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())


def at_level(law, sigma):
    """The exact score (n, d) -> (n, d) of the law plus noise."""
    noised = law.noised(1.0, sigma)
    return lambda y: np.reshape(noised.score(y), y.shape)


def exact_ladder(law, levels):
    levels = np.asarray(levels)
    mean, covariance = np.atleast_1d(law.mean), np.atleast_2d(law.covariance)
    return ScoreLadder(levels, [at_level(law, sigma) for sigma in levels], mean, covariance)


def rms_denoiser_error(score, law, sigmas, n=400):
    """Root mean square of sigma^2 (s - s*) at noised samples: the error of the denoiser."""
    squares = []
    for k, sigma in enumerate(sigmas):
        y = np.reshape(law.noised(1.0, sigma).sample(n, random_state=k), (n, law.dim))
        error = sigma**2 * (score(y, sigma) - at_level(law, sigma)(y))
        squares.append(np.mean(np.sum(error**2, axis=1)))
    return np.sqrt(np.mean(squares))


# Negative controls: two other ways to join the same exact scores.


def interpolated_score(law, levels):
    """The score itself, linearly in log sigma."""
    scores = [at_level(law, sigma) for sigma in levels]

    def score(y, sigma):
        k = int(np.searchsorted(-np.log(levels), -np.log(sigma), side="right")) - 1
        k = min(max(k, 0), len(levels) - 2)
        share = np.log(levels[k] / sigma) / np.log(levels[k] / levels[k + 1])
        return (1 - share) * scores[k](y) + share * scores[k + 1](y)

    return score


def nearest_score(law, levels):
    scores = [at_level(law, sigma) for sigma in levels]
    return lambda y, sigma: scores[int(np.argmin(np.abs(np.log(levels / sigma))))](y)


@every_law
def test_a_fine_ladder_converges_with_the_square_of_the_ratio(law):
    """Errors at the middles of the steps: second order for the denoiser, first for the nearest level."""
    counts = np.array([9, 17, 33, 65])
    sigmas = np.geomspace(TOP, LOW, 1 + 3 * 128)[64:-64:16] * 1.003  # on no level of any ladder
    errors = {"denoiser": [], "score": [], "nearest": []}
    for count in counts:
        levels = geometric_levels(TOP, LOW, count)
        ways = {
            "denoiser": exact_ladder(law, levels).score,
            "score": interpolated_score(law, levels),
            "nearest": nearest_score(law, levels),
        }
        for name, way in ways.items():
            errors[name].append(rms_denoiser_error(way, law, sigmas))
    log_ratio = np.log(np.log(TOP / LOW) / (counts - 1))
    orders = {name: np.polyfit(log_ratio[1:], np.log(e[1:]), 1)[0] for name, e in errors.items()}
    assert 1.8 < orders["denoiser"] < 2.3, (orders, errors)
    assert errors["denoiser"][-1] < 1e-3
    assert orders["nearest"] < 1.4  # negative control of the order
    # the score grows like 1 / sigma^2 between the levels, the denoiser hardly
    assert np.all(np.array(errors["score"]) > 2.0 * np.array(errors["denoiser"])), errors
    assert np.all(np.array(errors["nearest"]) > 3.0 * np.array(errors["denoiser"])), errors


@every_law
def test_a_level_is_hit_exactly_with_one_score(law):
    levels = geometric_levels(TOP, LOW, 7)
    calls = []

    def counted(sigma):
        score = at_level(law, sigma)
        return lambda y: calls.append(sigma) or score(y)

    plain = exact_ladder(law, levels)
    ladder = ScoreLadder(levels, [counted(s) for s in levels], plain.mean, plain.covariance)
    y = np.random.default_rng(0).normal(size=(20, law.dim))
    for sigma in levels:
        calls.clear()
        assert np.array_equal(ladder.score(y, sigma), at_level(law, sigma)(y))
        assert calls == [sigma]
        # the same level after a way through OU times
        calls.clear()
        through_time = vp_score_to_ve(ve_score_to_vp(ladder.score))(y, float(sigma))
        np.testing.assert_allclose(through_time, at_level(law, sigma)(y), rtol=1e-9)
        # the largest may come out above the ladder
        assert calls == [sigma] or (not calls and sigma == levels[0])
    between = float(np.sqrt(levels[2] * levels[3]))
    calls.clear()
    ladder.score(y, between)
    assert calls == [levels[2], levels[3]]


@every_law
def test_between_two_levels_the_denoiser_is_the_mean(law):
    levels = np.array([2.0, 0.5])
    ladder = exact_ladder(law, levels)
    y = np.random.default_rng(1).normal(size=(50, law.dim))
    ends = [y + sigma**2 * at_level(law, sigma)(y) for sigma in levels]
    for share in (1e-8, 0.1, 0.5, 0.9, 1 - 1e-8):  # continuous at the levels, too
        sigma = float(np.exp((1 - share) * np.log(2.0) + share * np.log(0.5)))
        wanted = (1 - share) * ends[0] + share * ends[1]
        np.testing.assert_allclose(ladder.denoise(y, sigma), wanted, atol=1e-12)
        np.testing.assert_allclose(ladder.score(y, sigma), (wanted - y) / sigma**2, atol=1e-11)


def test_above_the_ladder_is_the_gaussian_with_the_moments():
    ladder = exact_ladder(PLANE, geometric_levels(TOP, LOW, 4))
    y = 20.0 * np.random.default_rng(3).normal(size=(30, 2))
    for sigma in (8.01, 30.0, 1e6):
        total = PLANE.covariance + sigma**2 * np.eye(2)
        wanted = -np.linalg.solve(total, (y - PLANE.mean).T).T
        np.testing.assert_allclose(ladder.score(y, sigma), wanted, rtol=1e-12)
    # close to the exact score there: what is lost is beyond the second moments
    far = at_level(PLANE, 30.0)(y)
    assert np.abs(ladder.score(y, 30.0) - far).max() < 1e-4 * np.abs(far).max()


@pytest.mark.parametrize("sigma", [1e5, 1e12, 1e100, 1e200])
def test_the_denoiser_far_above_keeps_its_digits(sigma):
    """y + sigma^2 s would cancel: the posterior mean is between the mean and y V / sigma^2."""
    ladder = exact_ladder(LINE, geometric_levels(TOP, LOW, 4))
    y = sigma * np.linspace(-3.0, 3.0, 13)[:, None]
    gain = LINE.covariance[0, 0] / sigma / sigma  # of y - mean, to leading order
    wanted = LINE.mean + (y - LINE.mean) * gain
    np.testing.assert_allclose(ladder.denoise(y, sigma), wanted, rtol=1e-8)
    np.testing.assert_allclose(
        ladder.score(y, sigma), -(y / sigma) / sigma, rtol=1e-4, atol=1e-4 / sigma
    )


def test_below_the_ladder_is_the_score_of_the_last_level():
    ladder = exact_ladder(LINE, geometric_levels(TOP, LOW, 4))
    y = LINE.sample(40, random_state=0)[:, None]
    last = at_level(LINE, LOW)(y)
    for sigma in (LOW, 0.05, 1e-9, 0.0):
        assert np.array_equal(ladder.score(y, sigma), last)
        np.testing.assert_allclose(ladder.denoise(y, sigma), y + sigma**2 * last, rtol=1e-12)


def test_singular_covariance():
    """Data on a line in the plane: the Gaussian above the ladder still has a score."""
    ladder = ScoreLadder(np.array([2.0, 1.0]), [np.negative] * 2, np.zeros(2), np.ones((2, 2)))
    y = np.array([[1.0, -1.0], [1.0, 1.0]])
    np.testing.assert_allclose(ladder.score(y, 3.0), [[-1 / 9, 1 / 9], [-1 / 11, -1 / 11]])
    np.testing.assert_allclose(ladder.denoise(y, 3.0), [[0, 0], [2 / 11, 2 / 11]], atol=1e-15)


# --------------------------------------------------------------------------- every row its own noise


def noise_of_rows(levels):
    """On levels, between them, above and below the ladder."""
    between = np.sqrt(levels[1:] * levels[:-1])
    sigmas = np.concatenate([levels, between, between * 1.1, [0.0, LOW / 3, TOP * 1.5, 1e3, 1e200]])
    return np.random.default_rng(4).permutation(np.tile(sigmas, 3))


@every_law
def test_noise_by_row_is_the_loop_over_the_rows(law):
    ladder = exact_ladder(law, geometric_levels(TOP, LOW, 5))
    sigmas = noise_of_rows(ladder.levels)
    y = np.random.default_rng(5).normal(size=(len(sigmas), law.dim)) * (1.0 + sigmas[:, None])
    for method in (ladder.score, ladder.denoise):
        rows = [method(y[[k]], float(sigma))[0] for k, sigma in enumerate(sigmas)]
        np.testing.assert_allclose(method(y, sigmas), rows, rtol=1e-12, atol=1e-14)
        for few in (sigmas > TOP, sigmas < LOW, sigmas == LOW, sigmas < 0.0):
            got, wanted = method(y[few], sigmas[few]), np.reshape(rows, y.shape)[few]
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-14)
        with pytest.raises(ValueError, match=r"one a row.* 3 "):
            method(y, np.ones(3))
    # negative control: the noise of another row
    y, sigmas = y[sigmas < 1e3], sigmas[sigmas < 1e3]
    assert not np.allclose(ladder.score(y, sigmas[::-1]), ladder.score(y, sigmas), rtol=1e-3)


def test_every_score_is_asked_once_and_at_its_own_rows():
    levels = geometric_levels(TOP, LOW, 5)
    plain, asked = exact_ladder(PLANE, levels), {}

    def counted(k):
        def score(y):
            asked.setdefault(k, []).append(y[:, 0].tolist())
            return plain.scores[k](y)

        return score

    ladder = ScoreLadder(levels, [counted(k) for k in range(5)], plain.mean, plain.covariance)
    between = float(np.sqrt(levels[2] * levels[3]))
    sigmas = np.array([levels[1], between, 99.0, levels[4], between, 0.0, levels[1]])
    y = np.column_stack([np.arange(7.0), np.zeros(7)])
    ladder.score(y, sigmas)
    assert asked == {1: [[0, 6]], 2: [[1, 4]], 3: [[1, 4]], 4: [[3, 5]]}
