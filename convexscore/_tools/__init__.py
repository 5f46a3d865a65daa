"""What every room uses and no user sees: checks, random numbers, threads, warnings, tables."""
