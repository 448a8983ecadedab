"""Which judge it is: a number that changes with anything that may change a verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from occlusionformer.evaluation.scenes.worlds import WorldName

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
def judge_digest(world: WorldName = "first") -> str:
    """Of the judge's code and of the artwork, as they are when it is first asked for: they are loaded but once."""
    here = files("occlusionformer.evaluation.scenes")
    sources = [(here / f"{name}.py").read_text(encoding="utf-8").encode() for name in JUDGE_FILES]
    return hashlib.sha256(b"\0".join([*sources, *_art(world)])).hexdigest()[:16]


@cache
def art_digest(world: WorldName) -> str:
    """Of the artwork alone."""
    return hashlib.sha256(b"\0".join(_art(world))).hexdigest()[:16]


def _art(world: WorldName) -> Iterator[bytes]:
    """The files of a world's artwork."""
    package = "occlusionformer.data" if world == "first" else "occlusionformer.data.world"
    for path in sorted((files(package) / "art").iterdir(), key=lambda path: path.name):
        if path.name.endswith((".webp", ".json")):
            yield path.read_bytes()
