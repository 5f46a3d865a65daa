"""What the benchmarks solve: laws, data, penalties, and what judges the results."""
