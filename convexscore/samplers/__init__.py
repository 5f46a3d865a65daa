"""Samplers: from a score, any callable of many chains at once, to samples of its law.

`langevin` and `mala` take the score of one law; the others a family of scores along noise levels:
``score(x, t)`` with t the Ornstein–Uhlenbeck time, or ``score(x, sigma)`` with the VE noise σ. A
sampler is its steps; the loop is one function, and its options are `RunOptions` for all of them.
"""

from convexscore.samplers.along_levels import annealed_langevin, predictor_corrector
from convexscore.samplers.along_times import ancestral, ddpm, heun, probability_flow
from convexscore.samplers.langevin import LangevinResult, langevin, mala
from convexscore.samplers.options import RunOptions
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
