"""The command line."""

from convexscore.cli.main import main

__all__ = ["main"]
