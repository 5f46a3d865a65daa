"""Shared test set-up: no display, reproducible property tests."""

import os

# Before anything imports pyplot.
os.environ["MPLBACKEND"] = "Agg"

from hypothesis import settings

settings.register_profile("convexscore", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("convexscore")
