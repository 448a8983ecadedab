"""Runs: pictures are drawn and judged, every step is written to disk, and results are computed from the files alone."""
