"""The papers' convex programs as CVXPY problems: the readable reference.

They build dense matrices and hand them to a conic solver, so they serve for teaching and for
checking on small data (a few hundred points).  CVXPY is imported when the first one is solved.
"""

from .clifford import clifford_denoising, clifford_score_matching
from .cones import PatternRegression, ScalarNetwork, pattern_regression
from .denoising import denoising_abs, denoising_abs_skip, denoising_relu, denoising_relu_skip
from .hyperplanes import pair_dictionary, wedge_dictionary
from .limits import smallest_beta
from .matrices import denoising_matrices, score_matching_matrices
from .neuron_dictionary import (
    dictionary_denoising,
    dictionary_limit,
    dictionary_score_matching,
)
from .nuclear import nuclear_denoising, nuclear_score_matching
from .patterns import (
    cone_denoising,
    cone_score_matching,
    gated_denoising,
    gated_score_matching,
)
from .reconstruct import column_neurons
from .result import ConvexProgram, PatternProgram
from .score_matching import (
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
