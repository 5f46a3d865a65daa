"""Figures as Display objects: ``from_...`` computes and draws; ``.ax_`` and ``.figure_`` hold it.

Nothing here shows a figure or changes global settings, and matplotlib is imported only on drawing.
"""

from convexscore.plotting.animation import SavedAnimation, animate_trajectory
from convexscore.plotting.arrangement_display import ArrangementDisplay
from convexscore.plotting.certificate_curve import CertificateCurve, certificate_curve
from convexscore.plotting.certificate_display import CertificateDisplay
from convexscore.plotting.certificate_map import CertificateMap, certificate_map
from convexscore.plotting.certificate_map_display import CertificateMapDisplay
from convexscore.plotting.density_display import DensityDisplay
from convexscore.plotting.error_decomposition_display import ErrorDecompositionDisplay
from convexscore.plotting.log_density_display import LogDensityDisplay
from convexscore.plotting.path_display import PathDisplay
from convexscore.plotting.sample_display import SampleDisplay
from convexscore.plotting.score_display import ScoreDisplay
from convexscore.plotting.vector_field_display import VectorFieldDisplay

__all__ = [
    "ArrangementDisplay",
    "CertificateCurve",
    "CertificateDisplay",
    "CertificateMap",
    "CertificateMapDisplay",
    "DensityDisplay",
    "ErrorDecompositionDisplay",
    "LogDensityDisplay",
    "PathDisplay",
    "SampleDisplay",
    "SavedAnimation",
    "ScoreDisplay",
    "VectorFieldDisplay",
    "animate_trajectory",
    "certificate_curve",
    "certificate_map",
]
