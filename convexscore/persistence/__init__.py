"""Fitted models in files."""

from convexscore.persistence.files import SCHEMA_VERSION, load, save

__all__ = ["SCHEMA_VERSION", "load", "save"]
