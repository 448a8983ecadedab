"""Tests of the decoder of picture files."""
