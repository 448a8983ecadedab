"""Slow twins of the model's equations: fp64 loops over instances and pixels, one function per equation.

Nothing here imports the package under test. Weights are plain dicts with the published key names.
"""
