"""What a document may hold at most, wherever it comes from: a file, standard input, a request, a picture, Python."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DocumentLimits:
    """Bounds on a document, kept before anything is made of it. Real layouts are a few kilobytes and eight levels."""

    bytes: int = 32 * 2**20
    """Of its text in UTF-8, unpacked."""
    values: int = 3_000_000
    """Objects, lists, and what is in them."""
    levels: int = 64
    """Of objects and lists inside each other."""
    characters: int = 2**20
    """Of one text or name."""
    digits: int = 20
    """Of one whole number: enough for 64 bits. Longer ones can be made to share a hash, and then cost time as ids."""

    def too_large(self, unpacked: str = "") -> str:
        return f"expected a document of at most {self.bytes / 2**20:.3g} MB{unpacked}, got a larger one"

    def too_many(self, got: str) -> str:
        return f"expected a document of at most {self.values} values, got {got}"

    def too_deep(self) -> str:
        return f"expected at most {self.levels} levels of objects and lists inside each other, got more"

    def too_long(self, characters: int) -> str:
        return f"expected texts of at most {self.characters} characters, got one of {characters}"

    def too_great(self, digits: str) -> str:
        return f"expected numbers of at most {self.digits} digits, got one of {digits}"


LAYOUTS = DocumentLimits()
"""Of a document with layouts: the memory it takes stays below half a gigabyte, whatever it holds."""

COLLECTIONS = DocumentLimits(bytes=2**28, values=30_000_000)
"""Of a file that a user downloaded with all pictures of a benchmark."""
