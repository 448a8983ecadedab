"""Tests of the embedded model and its parts."""
