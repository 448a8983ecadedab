"""Nodes that make layouts."""

LAYOUT_NODES = []
