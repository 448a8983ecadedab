"""Results of a job as encoded bytes: pictures, masks, weights, previews, cut-outs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from occlusionformer.generation import FormingPictures, GeneratedImage, Provenance
from occlusionformer.pictures import read_mask, read_picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PREVIEW_SIDE = 512
"""Longest side of a preview in pixels."""


@dataclass(frozen=True, kw_only=True)
class TokenWeights:
    """Share of each instance in the blend, one byte per instance and token."""

    rows: int
    columns: int
    data: bytes

    def as_json(self) -> dict[str, Any]:
        encoded = base64.b64encode(self.data).decode()
        return {"rows": self.rows, "columns": self.columns, "encoding": "base64-uint8", "data": encoded}


@dataclass(frozen=True, kw_only=True)
class ResultPicture:
    """One picture of a result."""

    png: bytes
    masks: tuple[bytes, ...] | None
    """A grey PNG for each instance."""
    weights: TokenWeights | None
    provenance: Provenance

    @property
    def num_bytes(self) -> int:
        weights = 0 if self.weights is None else len(self.weights.data)
        return len(self.png) + sum(map(len, self.masks or ())) + weights

    def cutout(self, instance: int) -> bytes:
        """An RGBA PNG with the instance's mask as alpha. Raises IndexError without that mask."""
        cut = read_picture(self.png).image
        cut.putalpha(read_mask((self.masks or ())[instance]))
        return png_bytes(cut)


@dataclass(frozen=True, kw_only=True)
class UnfinishedPictures:
    """Unfinished pictures; `images` pairs the index in the job with a data URI."""

    step: int
    images: tuple[tuple[int, str], ...]

    def as_json(self) -> dict[str, Any]:
        return {"step": self.step, "images": [{"index": index, "src": src} for index, src in self.images]}


def keep_picture(drawn: GeneratedImage, model: str) -> ResultPicture:
    """Encode a picture, with the model's public name in its provenance."""
    named = replace(drawn, provenance=Provenance(**{**drawn.provenance, "model": model}))  # type: ignore[typeddict-item]
    masks = None if drawn.instance_masks is None else tuple(png_bytes(_grey(mask)) for mask in drawn.instance_masks)
    return ResultPicture(png=named.png(), masks=masks, weights=_weights(drawn.weights), provenance=named.provenance)


def keep_preview(forming: FormingPictures) -> UnfinishedPictures:
    """Decode, shrink and encode the unfinished pictures."""
    images = []
    for position, image in zip(forming.positions, forming.images(), strict=True):
        small = image.copy()  # the model may hand out the same picture again, as its result
        small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        images.append((position, f"data:image/png;base64,{base64.b64encode(png_bytes(small)).decode()}"))
    return UnfinishedPictures(step=forming.step, images=tuple(images))


def png_bytes(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, format="PNG")
    return encoded.getvalue()


def _grey(mask_HW: NDArray[np.float32]) -> Image.Image:
    """Probabilities from 0 to 1 as grey values from 0 to 255."""
    return Image.fromarray((mask_HW * 255 + 0.5).astype("uint8"), mode="L")


def _weights(maps: Sequence[NDArray[np.float32]] | None) -> TokenWeights | None:
    if maps is None:
        return None
    rows, columns = maps[0].shape if maps else (0, 0)
    return TokenWeights(
        rows=rows, columns=columns, data=b"".join((m * 255 + 0.5).astype("uint8").tobytes() for m in maps)
    )
