"""The three errors of DDPM on the line, as distances of exact densities.

`error_decomposition` measures them for one run, `error_sweep` against what controls each;
`ddpm_density` is the law of a run itself.
"""

from convexscore.ddpm_errors.decomposition import ErrorDecomposition, error_decomposition
from convexscore.ddpm_errors.density import ddpm_density
from convexscore.ddpm_errors.lab import ErrorBound
from convexscore.ddpm_errors.line_densities import Distance
from convexscore.ddpm_errors.sweep import ErrorCurve, ErrorSweep, error_sweep

__all__ = [
    "Distance",
    "ErrorBound",
    "ErrorCurve",
    "ErrorDecomposition",
    "ErrorSweep",
    "ddpm_density",
    "error_decomposition",
    "error_sweep",
]
