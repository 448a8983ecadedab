"""Judges: whatever looks at a picture and answers questions about it. Importing this loads no model library."""
