"""What users fit: scores, diffusion models, paths, and certificates of given networks."""
