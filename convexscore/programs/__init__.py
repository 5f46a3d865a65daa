r"""The papers' convex programs as CVXPY problems: the readable reference.

They build dense matrices and hand them to a conic solver, so they serve for teaching and for
checking on small data (a few hundred points).  Nothing else in the package uses them, and they use
no other solver of the package.  CVXPY is imported when the first one is solved.

What all programs share
-----------------------
The objective of a network :math:`s(x) = \sum_j w_j\,\sigma(u_j^\top x + b_j) + Vx + c` is

.. math:: \sum_i m_i\big[\tfrac12\|s(x_i)\|^2 + \mathrm{div}\,s(x_i)\big]
          + \tfrac\beta2\sum_j \big(\|u_j\|^2 + \|w_j\|^2\big)
   \quad\text{or}\quad
          \sum_i m_i\,\tfrac12\|s(x_i) - l_i\|^2 + \tfrac\beta2\sum_j \big(\|u_j\|^2 + \|w_j\|^2\big),

score matching and denoising.  The penalty equals :math:`\beta\sum_j\|u_j\|\|w_j\|` at the best
scaling of each neuron.  Parameters:

x, X : array_like of shape (n,) or (n, 1), and (n, d)
    Data, at least two different points; for denoising the noisy ones,
    :math:`\tilde x_i = x_i + \varepsilon\delta_i`.
beta : float
    Penalty, for sums (not means) over samples.
labels : array_like of the shape of the points, optional
    :math:`l_i`, in the papers :math:`-\delta_i/\varepsilon`: denoising.  Without, score matching.
activation : {"relu", "abs", "leaky_relu", "leaky_relu(slope)"} or Activation, default="relu"
    :math:`\sigma(z) = az + b|z|`, see :class:`convexscore.scores.activations.Activation`.
skip, offset : bool, default=False and True
    Whether V (d, d) and c (d,) are there; both are free of penalty.  On the line c always is.
sample_weight : array_like of shape (n,), optional
    Positive weights :math:`m_i`; integers equal repetition.
solver : SolverChoice or str, default="CLARABEL"
    The conic solver, Clarabel unless told otherwise, with a tolerance that a program names in its
    documentation (1e-9 if it does not).  Where it stalls, it is asked again for one and for two
    digits less; ``ConvexProgram.accuracy`` says which tolerance was met.

All of them raise ValueError if an argument is not as described, SolverError if the solver reaches
no optimum (the message carries its status), and give a ConvergenceWarning if the best that it
reaches is inaccurate by its own judgement: status "optimal_inaccurate", accuracy nan.  "Optimal" is
the solver's word as well: :func:`convexscore.certify` judges the network.
"""

from convexscore.programs.dictionary import dictionary_limit, dictionary_program
from convexscore.programs.line import smallest_beta, univariate_matrices, univariate_program
from convexscore.programs.neurons import neuron_dictionary
from convexscore.programs.patterns import nuclear_program, pattern_program
from convexscore.programs.solver import ConvexProgram, SolverChoice

__all__ = [
    "ConvexProgram",
    "SolverChoice",
    "dictionary_limit",
    "dictionary_program",
    "neuron_dictionary",
    "nuclear_program",
    "pattern_program",
    "smallest_beta",
    "univariate_matrices",
    "univariate_program",
]
