"""Results assembled for people: the demonstration on real data."""

from convexscore.report.demo import DemoReport, run_demo

__all__ = ["DemoReport", "run_demo"]
