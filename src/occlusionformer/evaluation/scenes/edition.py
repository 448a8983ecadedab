"""Which judge it is: a number that changes with anything that may change a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

JUDGE_FILES = (
    "appearance",
    "blocks",
    "canvas",
    "coloured",
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


@cache
def judge_digest() -> str:
    """Of the judge's code and of the artwork, as they are when it is first asked for: they are loaded but once."""
    here = files("occlusionformer.evaluation.scenes")
    sources = [(here / f"{name}.py").read_text(encoding="utf-8").encode() for name in JUDGE_FILES]
    return hashlib.sha256(b"\0".join([*sources, *_art()])).hexdigest()[:16]


@cache
def art_digest() -> str:
    """Of the artwork alone."""
    return hashlib.sha256(b"\0".join(_art())).hexdigest()[:16]


def _art() -> Iterator[bytes]:
    """The files of the artwork."""
    for path in sorted((files("occlusionformer.data.world") / "art").iterdir(), key=lambda path: path.name):
        if path.name.endswith((".webp", ".json")):
            yield path.read_bytes()
