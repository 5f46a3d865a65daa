"""The convex solvers: on the line, in space, and the oracles that look at neurons."""
