"""What a picture maker hands back: the picture, its by-products, and where it came from."""

from __future__ import annotations

import io
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from PIL.Image import Image
from PIL.PngImagePlugin import PngInfo

from occlusionformer.generation.png_text import PNG_KEY
from occlusionformer.generation.provenance import Provenance, write_provenance
from occlusionformer.layout.atomic import write_atomic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneratedImage:
    """One picture, with one map per instance (in the layout's order) where maps were asked for."""

    image: Image
    instance_masks: tuple[NDArray[np.float32], ...] | None
    """Probability (height, width) from 0 to 1 that a pixel shows the instance, as the model sees it."""
    weights: tuple[NDArray[np.float32], ...] | None
    """Share (token rows, token columns) of each instance in the blend, from 0 to 1."""
    timings: dict[str, float]
    """Seconds; those of the whole batch where several pictures were drawn together."""
    provenance: Provenance

    def save(self, path: str | PathLike[str]) -> None:
        """Write a PNG that carries its provenance; never leaves a half-written file."""
        target = Path(path)
        if target.suffix.lower() != ".png":
            raise ValueError(f"path: expected a name ending in .png, got {str(path)!r}")
        write_atomic(target, self.png())

    def png(self) -> bytes:
        """The bytes of a PNG that carries its provenance."""
        record = PngInfo()
        record.add_text(PNG_KEY, write_provenance(self.provenance))
        encoded = io.BytesIO()
        self.image.save(encoded, format="PNG", pnginfo=record)
        return encoded.getvalue()
