"""Scores: networks, their exact piecewise-linear form on the line, and the laws they belong to."""

from convexscore.scores.activations import Activation, get_activation
from convexscore.scores.base import LineScore, Score, SpaceScore
from convexscore.scores.ladder import ScoreLadder
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.noised import tweedie, ve_score, ve_score_to_vp, vp_score, vp_score_to_ve
from convexscore.scores.piecewise import PiecewiseLinearScore

__all__ = [
    "Activation",
    "LineScore",
    "PiecewiseLinearScore",
    "Score",
    "ScoreLadder",
    "SpaceScore",
    "TwoLayerNetwork",
    "get_activation",
    "tweedie",
    "ve_score",
    "ve_score_to_vp",
    "vp_score",
    "vp_score_to_ve",
]
