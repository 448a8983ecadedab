"""Copies of reference pictures in the folder of a run, so that reports can show them without the data set."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image

from occlusionformer.evaluation.benchmark import BenchmarkItem
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.layout import write_atomic

LONGEST_SIDE = 768
"""Pixels of the longer side of a copy."""
LOSSLESS = 256
"""Pixels of the longer side up to which a copy is exact."""
QUALITY = 85


def keep_references(folder: RunFolder, items: Sequence[BenchmarkItem]) -> None:
    """Copy the references that are not there yet. One that cannot be opened is left out: no number depends on it."""
    for item in items:
        path = folder.reference(item)
        if item.reference is None or path.exists():
            continue
        try:
            picture = item.reference()
        except (OSError, ValueError):
            continue
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, _encoded(picture))


def _encoded(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    if max(picture.size) <= LOSSLESS:
        picture.save(stream, format="WEBP", lossless=True)
        return stream.getvalue()
    smaller = picture.copy()
    smaller.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    smaller.save(stream, format="WEBP", quality=QUALITY)
    return stream.getvalue()
