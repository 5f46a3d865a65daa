"""The choice of beta: held-out losses, K-fold cross-validation, one factor for a ladder of levels."""

from convexscore.selection.cross_validation import BetaSelection, select_beta
from convexscore.selection.gradient_noise import gradient_noise
from convexscore.selection.held_out import HeldOut
from convexscore.selection.ladder import FactorSelection, select_factor
from convexscore.selection.rules import SelectionRule

__all__ = [
    "BetaSelection",
    "FactorSelection",
    "HeldOut",
    "SelectionRule",
    "gradient_noise",
    "select_beta",
    "select_factor",
]
