"""Runs: pictures are drawn and judged, every step is on the disk, and the result is computed from there alone."""
