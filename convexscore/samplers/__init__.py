"""Samplers: from a score, any callable of all chains at once, to samples of its law."""

from convexscore.samplers._chain import ChainDivergedError, LangevinResult
from convexscore.samplers.langevin import langevin
from convexscore.samplers.mala import mala

__all__ = ["ChainDivergedError", "LangevinResult", "langevin", "mala"]
