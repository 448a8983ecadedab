"""Judges answer questions about pictures. Importing this package loads no model library."""
