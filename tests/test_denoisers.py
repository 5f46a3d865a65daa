"""Denoisers in place of laws: the exact one is the law's score, one that iterates says how it went."""

import functools

import numpy as np
import pytest

from convexscore import samplers
from convexscore.denoisers import Convergence, Denoiser, Exact
from convexscore.schedules import exponential_grid, geometric_levels
from convexscore.scores import ve_score, vp_score
from convexscore.targets import GaussianMixture, Ising, LineLaw, Noised, ring_of_gaussians

LAWS = [
    ring_of_gaussians(5),
    GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.3, 1.2]),
    LineLaw(lambda x: -((x**2 - 1.0) ** 2), (-4.0, 4.0)),
    Ising.sherrington_kirkpatrick(4, 0.5, field=0.2, random_state=0),
]
GRID, LEVELS = exponential_grid(3.0, 8, end=0.05), geometric_levels(4.0, 0.2, 5)
RUNS = [
    (samplers.ddpm, vp_score, GRID, {}),
    (samplers.ancestral, vp_score, GRID, {}),
    (samplers.probability_flow, vp_score, GRID, {}),
    (samplers.heun, vp_score, GRID, {}),
    (samplers.annealed_langevin, ve_score, LEVELS, dict(step=0.01, n_steps=3)),
    (samplers.predictor_corrector, ve_score, LEVELS, {}),
]


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_exact_denoiser_is_the_law_in_every_sampler(law):
    denoiser = Exact(law)
    assert isinstance(denoiser, Denoiser) and denoiser.dim == law.dim and denoiser.report is None
    dim = None if law.dim == 1 else law.dim
    options = dict(n_samples=20, dim=dim, random_state=0)
    for sampler, score, schedule, fixed in RUNS:
        mine = sampler(score(denoiser), None, schedule, **fixed, **options).samples
        laws = sampler(score(law), None, schedule, **fixed, **options).samples
        np.testing.assert_allclose(mine, laws, rtol=1e-7, atol=1e-7)
    # Without levels: the score of one noised law.
    x0, noised = law.sample(20, random_state=1), Noised(law, 0.8, 0.6, denoiser=denoiser)
    run = functools.partial(samplers.langevin, x0=x0, step=0.05, n_steps=9, random_state=0)
    laws = run(law.noised(0.8, 0.6).score).samples
    np.testing.assert_allclose(run(noised.score).samples, laws, rtol=1e-7)
    # One level a row.
    sigma = np.linspace(0.2, 2.0, 20)
    np.testing.assert_array_equal(denoiser(x0, sigma, sigma), law.denoise(x0, sigma, sigma))


def test_reports_add_up():
    first = Convergence.of(np.array([1e-3, 0.2, np.nan]), n_iterations=7, tol=1e-2)
    assert (first.n_points, first.n_unconverged) == (3, 2) and np.isnan(first.residual)
    good = Convergence.of(np.array([1e-3, 2e-3]), n_iterations=9, tol=0.1)
    assert good.converged and good.residual == 2e-3
    both = good + first
    assert (both.n_points, both.n_unconverged, both.n_iterations, both.tol) == (5, 2, 9, 1e-2)
    assert np.isnan(both.residual) and not both.converged


def test_what_is_no_law_is_refused():
    with pytest.raises(
        TypeError, match=r"law must have dim and denoise.* got float\..*convexscore\.targets"
    ):
        Exact(3.0)
