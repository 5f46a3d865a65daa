"""Samplers: from a score, any callable of many chains at once, to samples of its law.

`langevin` and `mala` take the score of one law; the others a family of scores along noise levels:
``score(x, t)`` with t the Ornstein–Uhlenbeck time, or ``score(x, sigma)`` with the VE noise σ. A
sampler is its steps; the loop is one function, and its options are `RunOptions` for all of them.
"""

from convexscore.samplers.annealed import annealed_langevin
from convexscore.samplers.chain import LangevinResult
from convexscore.samplers.ddpm import ancestral, ddpm
from convexscore.samplers.langevin import langevin
from convexscore.samplers.mala import mala
from convexscore.samplers.options import RunOptions
from convexscore.samplers.predictor_corrector import predictor_corrector
from convexscore.samplers.probability_flow import heun, probability_flow
from convexscore.samplers.reverse import DiffusionResult
from convexscore.samplers.run import ChainDivergedError

__all__ = [
    "ChainDivergedError",
    "DiffusionResult",
    "LangevinResult",
    "RunOptions",
    "ancestral",
    "annealed_langevin",
    "ddpm",
    "heun",
    "langevin",
    "mala",
    "predictor_corrector",
    "probability_flow",
]
