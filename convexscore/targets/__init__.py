r"""Targets: laws with exact samples, densities and scores, before and after noise.

A **law** has ``dim``, ``sample(n, random_state=)``, ``denoise(z, scale, sigma)``
:math:`= E[X | aX + \sigma G = z]` and ``noised(scale, sigma)``, which is a **target**: a law that
also has ``score(x)`` and ``log_density(x)``. A new model writes the first three and returns
``Noised(self, scale, sigma)`` from the last; levels are numbers, or arrays (n,) with one a row. An
approximate denoiser is any callable ``(z, scale, sigma)``, for `Noised` and for
``convexscore.scores.vp_score`` and ``ve_score``, which turn a law or a denoiser into the family of
scores that a sampler takes. A law on spins derives from `SpinLaw` and writes its energies only.
"""

from convexscore.targets.base import Law, Noised, Target
from convexscore.targets.gaussian import Gaussian
from convexscore.targets.line import LineLaw
from convexscore.targets.mixture import GaussianMixture
from convexscore.targets.planar import banana, ring_of_gaussians, spiral, stroke, two_moons
from convexscore.targets.spins.counting import (
    SpinDistance,
    round_to_spins,
    spin_index,
    spin_total_variation,
)
from convexscore.targets.spins.ising import Ising
from convexscore.targets.spins.law import SpinLaw

__all__ = [
    "Gaussian",
    "GaussianMixture",
    "Ising",
    "Law",
    "LineLaw",
    "Noised",
    "SpinDistance",
    "SpinLaw",
    "Target",
    "banana",
    "ring_of_gaussians",
    "round_to_spins",
    "spin_index",
    "spin_total_variation",
    "spiral",
    "stroke",
    "two_moons",
]
