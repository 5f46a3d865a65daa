"""Activation patterns 1{X u + b >= 0} of ReLU neurons on data: enumerated, sampled, counted.

A pattern counts when it belongs to an open cell of the hyperplane arrangement in neuron space, that
is when a whole ball of neurons (u, b) has it: patterns that only neurons exactly on the boundary of
a cell have do not count, so equal points are active together, and a point at the origin is always
active when there is no bias (1{0 >= 0} = 1).
"""

from convexscore.arrangements.arrangement import Arrangement, Cell
from convexscore.arrangements.enumeration import (
    count_patterns,
    enumerate_patterns,
    iter_patterns,
    pattern_bound,
)
from convexscore.arrangements.neurons import neuron_of_pattern, pattern_of
from convexscore.arrangements.sampling import sample_patterns

__all__ = [
    "Arrangement",
    "Cell",
    "count_patterns",
    "enumerate_patterns",
    "iter_patterns",
    "neuron_of_pattern",
    "pattern_bound",
    "pattern_of",
    "sample_patterns",
]
