"""The papers' convex programs as CVXPY problems: the readable reference.

They build dense matrices and hand them to a conic solver, so they serve for teaching and for
checking on small data (a few hundred points).  CVXPY is imported when the first one is solved.
"""

from convexscore.programs.clifford import clifford_denoising, clifford_score_matching
from convexscore.programs.cones import PatternRegression, ScalarNetwork, pattern_regression
from convexscore.programs.denoising import (
    denoising_abs,
    denoising_abs_skip,
    denoising_relu,
    denoising_relu_skip,
)
from convexscore.programs.hyperplanes import pair_dictionary, wedge_dictionary
from convexscore.programs.limits import smallest_beta
from convexscore.programs.matrices import denoising_matrices, score_matching_matrices
from convexscore.programs.neuron_dictionary import (
    dictionary_denoising,
    dictionary_limit,
    dictionary_score_matching,
)
from convexscore.programs.nuclear import nuclear_denoising, nuclear_score_matching
from convexscore.programs.patterns import (
    cone_denoising,
    cone_score_matching,
    gated_denoising,
    gated_score_matching,
)
from convexscore.programs.reconstruct import column_neurons
from convexscore.programs.result import ConvexProgram, PatternProgram
from convexscore.programs.score_matching import (
    score_matching_abs,
    score_matching_abs_skip,
    score_matching_relu,
    score_matching_relu_skip,
)

__all__ = [
    "ConvexProgram",
    "PatternProgram",
    "PatternRegression",
    "ScalarNetwork",
    "clifford_denoising",
    "clifford_score_matching",
    "column_neurons",
    "cone_denoising",
    "cone_score_matching",
    "denoising_abs",
    "denoising_abs_skip",
    "denoising_matrices",
    "denoising_relu",
    "denoising_relu_skip",
    "dictionary_denoising",
    "dictionary_limit",
    "dictionary_score_matching",
    "gated_denoising",
    "gated_score_matching",
    "nuclear_denoising",
    "nuclear_score_matching",
    "pair_dictionary",
    "pattern_regression",
    "score_matching_abs",
    "score_matching_abs_skip",
    "score_matching_matrices",
    "score_matching_relu",
    "score_matching_relu_skip",
    "smallest_beta",
    "wedge_dictionary",
]
