"""Backbone families: views of their blocks, and transformers that take a layout as an argument of their call."""
