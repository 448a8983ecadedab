"""The small model that ships with the package and runs on a laptop."""
