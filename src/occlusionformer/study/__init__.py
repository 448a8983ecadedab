"""Comparisons of layout methods at equal budget: plans, their cells, what came out and how sure it is."""
