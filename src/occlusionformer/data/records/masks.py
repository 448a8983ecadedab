"""Run-length masks as arrays and back.

Arrays: H rows, W columns, N masks, R runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from occlusionformer.data.records.packages import from_extra
from occlusionformer.data.records.record import Box, Mask
from occlusionformer.layout.rle import FIRST_CHARACTER, compress


def encode_mask(mask_HW: np.ndarray) -> Mask:
    """Of a boolean array."""
    coco = from_extra("pycocotools.mask").encode(np.asfortranarray(mask_HW, dtype=np.uint8))
    height, width = mask_HW.shape
    return Mask(height=height, width=width, counts=coco["counts"].decode("ascii"))


def decode_masks(masks: Sequence[Mask]) -> np.ndarray:
    """(N, H, W) bool of masks of one size, of which there is at least one.

    Raises ValueError for run lengths that do not fill the size, where COCO's own decoder may write past its array.
    """
    return np.stack([_decoded(mask) for mask in masks])


def _decoded(mask: Mask) -> np.ndarray:
    runs_R = run_lengths(mask.counts)
    if np.any(runs_R < 0) or runs_R.sum() != mask.height * mask.width:
        raise ValueError(f"expected runs that add up to {mask.height} x {mask.width}, got {runs_R.sum()}")
    is_set_R = np.arange(len(runs_R)) % 2 == 1
    mask_HW: np.ndarray = np.repeat(is_set_R, runs_R).reshape(mask.width, mask.height).T
    return mask_HW


def coco_mask(shape: Any, height: int, width: int) -> Mask:
    """Of a shape as COCO files have it: polygons, one flat polygon, or run lengths, compressed or not.

    Raises ValueError for anything else.
    """
    coco = from_extra("pycocotools.mask")
    if isinstance(shape, Mapping) and isinstance(shape.get("counts"), str):
        runs = {"size": list(shape["size"]), "counts": shape["counts"]}
    elif isinstance(shape, Mapping) and _is_numbers(shape.get("counts")):
        return Mask(height=shape["size"][0], width=shape["size"][1], counts=compress(shape["counts"]))
    elif isinstance(shape, list) and shape:
        rings = [shape] if _is_numbers(shape) else shape
        if not all(_is_numbers(ring) and len(ring) >= 6 and len(ring) % 2 == 0 for ring in rings):
            raise ValueError("expected polygons [x1, y1, x2, y2, x3, y3, ...]")
        runs = coco.merge(coco.frPyObjects(rings, height, width))
    else:
        raise ValueError("expected polygons or a run-length mask")
    size, counts = runs["size"], runs["counts"]
    return Mask(height=size[0], width=size[1], counts=counts if isinstance(counts, str) else counts.decode("ascii"))


def _is_numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) in (int, float) for item in value)


def run_lengths(counts: str) -> np.ndarray:
    """(R,) int64: unset, set, unset, ... pixels. Raises ValueError for text no encoder writes.

    The numbers of `layout.rle.decompress`, some twenty times faster.
    """
    try:
        bits = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - FIRST_CHARACTER
    except UnicodeEncodeError as error:
        raise ValueError(f"character {counts[error.start]!r} at {error.start} is none of '0' to 'o'") from None
    if len(bits) == 0:
        return bits
    wrong = np.flatnonzero((bits < 0) | (bits > 63))
    if len(wrong):
        raise ValueError(f"character {counts[wrong[0]]!r} at {wrong[0]} is none of '0' to 'o'")
    is_last = (bits & 32) == 0
    if not is_last[-1]:
        raise ValueError("the last number is cut off")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 8:
        end = ends[np.argmax(lengths > 8)]
        raise ValueError(f"the number that ends at character {end} is too long")
    place = np.arange(len(bits)) - np.repeat(starts, lengths)
    values = np.add.reduceat((bits & 31) << (5 * place), starts)
    values -= np.where(bits[ends] & 16, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def mask_box(runs_R: np.ndarray, height: int) -> Box:
    """The smallest box around the set pixels, in pixels; there must be one."""
    edges = np.concatenate(([0], np.cumsum(runs_R)))
    starts, stops = edges[1:-1:2], edges[2::2]
    kept = stops > starts
    starts, stops = starts[kept], stops[kept]
    left, right = starts[0] // height, (stops[-1] - 1) // height
    if np.any(starts // height != (stops - 1) // height):
        return float(left), 0.0, float(right + 1), float(height)
    return float(left), float((starts % height).min()), float(right + 1), float(((stops - 1) % height).max() + 1)


def box_of(mask: Mask) -> Box:
    """The smallest box around a mask that has a set pixel."""
    return mask_box(run_lengths(mask.counts), mask.height)


def shared_pixels(first_R: np.ndarray, second_R: np.ndarray) -> int:
    """Set pixels that two masks of one size have in common, from their runs."""
    edges = np.union1d(np.cumsum(first_R), np.cumsum(second_R))
    starts = np.concatenate(([0], edges[:-1]))
    both = _is_set(first_R, starts) & _is_set(second_R, starts)
    return int((edges - starts)[both].sum())


def _is_set(runs_R: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Whether the pixels at these positions are set."""
    is_set: np.ndarray = np.searchsorted(np.cumsum(runs_R), positions, side="right") % 2 == 1
    return is_set
