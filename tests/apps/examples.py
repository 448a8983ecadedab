"""The layouts that come with the project."""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MALFORMED = EXAMPLES / "malformed"


def format_of(path: Path) -> str:
    """`street.published.json` is in the format `published`."""
    parts = path.name.split(".")
    return parts[1] if len(parts) == 3 else "native"


DRAWABLE = sorted(EXAMPLES.glob("*.json"))
TWO_FRUITS = EXAMPLES / "two-fruits.json"
RING = EXAMPLES / "ring-of-toys.json"
GARDEN = EXAMPLES / "garden-by-pairs.json"
