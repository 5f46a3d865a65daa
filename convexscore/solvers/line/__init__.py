"""The exact solver of one column: the score is a piecewise-linear function of sorted data."""
