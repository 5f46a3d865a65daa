"""The solver of several columns: column generation over neurons."""
