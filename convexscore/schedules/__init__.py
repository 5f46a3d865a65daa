"""Noise schedules as pure functions: time grids, noise levels, and the maps between the two."""

from convexscore.schedules.levels import (
    LevelScore,
    geometric_levels,
    tweedie,
    ve_level,
    ve_score_to_vp,
    vp,
    vp_score_to_ve,
    vp_time,
)
from convexscore.schedules.time_grids import (
    TimeGrid,
    exponential_grid,
    two_phase_grid,
    uniform_grid,
)

__all__ = [
    "LevelScore",
    "TimeGrid",
    "exponential_grid",
    "geometric_levels",
    "tweedie",
    "two_phase_grid",
    "uniform_grid",
    "ve_level",
    "ve_score_to_vp",
    "vp",
    "vp_score_to_ve",
    "vp_time",
]
