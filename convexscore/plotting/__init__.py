"""Figures as Display objects: ``from_...`` computes and draws; ``.ax_`` and ``.figure_`` hold it.

Nothing here shows a figure or changes global settings, and matplotlib is imported only on drawing.
"""

from convexscore.models.certificate_curve import CertificateCurve, certificate_curve
from convexscore.models.certificate_map import CertificateMap, certificate_map
from convexscore.plotting.animation import SavedAnimation, animate_trajectory
from convexscore.plotting.arrangement import ArrangementDisplay
from convexscore.plotting.certificate import CertificateDisplay, CertificateMapDisplay
from convexscore.plotting.errors import ErrorDecompositionDisplay
from convexscore.plotting.line import DensityDisplay, SampleDisplay, ScoreDisplay
from convexscore.plotting.path import PathDisplay
from convexscore.plotting.plane import LogDensityDisplay, VectorFieldDisplay

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
