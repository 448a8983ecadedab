"""Z-ordered layout-to-image generation: a layout that says who is in front, and a picture that obeys it."""

__version__ = "0.1.0"
