"""Which judge it is: a number that changes with anything that may change a verdict."""

from __future__ import annotations

import hashlib
from importlib.resources import files

JUDGE_FILES = (
    "appearance",
    "blocks",
    "canvas",
    "explain",
    "fitting",
    "ground",
    "identity",
    "judge",
    "lighting",
    "pairs",
    "search",
    "templates",
)


def judge_digest() -> str:
    """Of the judge's code and of the artwork."""
    here, art = files("occlusionformer.evaluation.scenes"), files("occlusionformer.data") / "art"
    sources = [(here / f"{name}.py").read_text(encoding="utf-8").encode() for name in JUDGE_FILES]
    sources += [(art / name).read_bytes() for name in ("atlas.webp", "objects.json")]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()[:16]
