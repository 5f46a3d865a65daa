"""Noise schedules as pure functions: time grids, noise levels, and the maps between the two."""

from convexscore.schedules.levels import Level, LevelScore, geometric_levels, ve_level, vp, vp_time
from convexscore.schedules.time_grids import (
    TimeGrid,
    exponential_grid,
    two_phase_grid,
    uniform_grid,
)

__all__ = [
    "Level",
    "LevelScore",
    "TimeGrid",
    "exponential_grid",
    "geometric_levels",
    "two_phase_grid",
    "uniform_grid",
    "ve_level",
    "vp",
    "vp_time",
]
