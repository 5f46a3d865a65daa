"""The choice of beta."""
