"""Scores: networks, their exact piecewise-linear form on the line, and the laws they belong to."""

from convexscore.scores.noised import tweedie, ve_score, ve_score_to_vp, vp_score, vp_score_to_ve

__all__ = ["tweedie", "ve_score", "ve_score_to_vp", "vp_score", "vp_score_to_ve"]
