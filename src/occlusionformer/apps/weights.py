"""Which weights a model is loaded from, as one number: pictures of other weights are other pictures. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from occlusionformer.embedded.packaged import EMBEDDED

PACKAGED = {"embedded": EMBEDDED}
"""Names of models whose files are in the package."""
PIECE = 2**20
"""Bytes read at a time."""


def weights_digest(model: str) -> str | None:
    """SHA-256 over every file of a packaged model or a local folder; None where the files are not known.

    model: as `load_generator` takes it.
    """
    if model in PACKAGED:
        return _digest(PACKAGED[model].folders)
    _, colon, argument = model.partition(":")
    for folder in (model, argument if colon else ""):
        if folder and Path(folder).is_dir():
            return _digest([Path(folder)])
    return None


def _digest(folders: Sequence[Path]) -> str:
    total = hashlib.sha256()
    for folder in folders:
        for path in sorted(one for one in folder.rglob("*") if one.is_file()):
            total.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as stream:
                while piece := stream.read(PIECE):
                    total.update(piece)
    return total.hexdigest()
