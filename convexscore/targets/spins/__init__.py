"""Laws on the vertices of the cube."""
