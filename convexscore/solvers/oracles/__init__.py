"""Oracles: which neurons violate optimality most, and whether all were looked at."""
