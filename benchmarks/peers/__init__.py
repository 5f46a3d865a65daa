"""Whom convexscore is compared with: other people's solvers and other ways to a score."""
