"""Scores: networks, their exact piecewise-linear form on the line, and the laws they belong to."""
