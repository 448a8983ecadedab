"""Tests of the procedural scenes and their art."""
