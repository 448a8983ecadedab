"""COCO run lengths as arrays: masks read, checked, measured and written at the cost of their runs, not of their pixels.

A mask is the lengths of its runs of unset and set pixels in turn, down the columns of the picture, the first unset.
No torch. Arrays: R run lengths, H rows and W columns of pixels, h rows and w columns of cells, E ends of runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from occlusionformer.layout.problems import shown
from occlusionformer.layout.region import LONGEST_SIDE
from occlusionformer.layout.rle import FIRST_CHARACTER, decompress

MOST_CHARACTERS = 8
"""Of a number in a compressed string: 40 bits, as `layout.rle` has it."""

MOST_CHANGES = 2**22
"""Numbers of a compressed string whose sum fits 64 bits, whatever they are."""

CHUNK = 2**18
"""Ends looked at together when coverage is summed: their sums stay below 2^53, where float64 is exact."""

_LOWEST = -(np.int64(1) << (5 * np.arange(1, MOST_CHARACTERS + 1) - 1))
"""The least number that 1, 2, ... characters hold."""


def checked_runs(counts: Any, height: int, width: int) -> np.ndarray:
    """(R,) int64: the run lengths of a mask of this size, from a COCO string, its bytes, or whole numbers.

    Raises ValueError with the reason for anything else, and for lengths that are negative or do not fill the size.
    """
    runs_R = run_lengths(counts)
    if len(runs_R) and runs_R.min() < 0:
        raise ValueError(f"expected run lengths of at least 0, got {runs_R[runs_R < 0][0]}")
    fits = not len(runs_R) or int(runs_R.max()) * len(runs_R) < 2**63
    total = int(runs_R.sum()) if fits else sum(runs_R.tolist())
    if total != height * width:
        raise ValueError(f"expected runs that add up to {height} x {width} = {height * width}, got {total}")
    return runs_R


def run_lengths(counts: Any) -> np.ndarray:
    """(R,) int64: unset, set, unset, ... pixels, whatever their sum. Raises ValueError for what is no run lengths."""
    if isinstance(counts, bytes):
        counts = counts.decode("latin-1")
    if isinstance(counts, str):
        try:
            return _decompressed(counts)
        except ValueError as error:
            raise ValueError(f"expected a COCO compressed string: {error}, got {shown(counts)}") from None
    if isinstance(counts, np.ndarray) and counts.ndim == 1 and counts.dtype.kind in "iu":
        counts = counts.tolist()
    if not isinstance(counts, Sequence):
        raise ValueError(f"expected a COCO compressed string or a list of whole numbers, got {shown(counts)}")
    if not set(map(type, counts)) <= {int}:
        counts = [_whole(count) for count in counts]
    try:
        return np.array(counts, dtype=np.int64)
    except OverflowError:
        largest = max(counts, key=abs)
        raise ValueError(f"expected run lengths of at most {LONGEST_SIDE**2}, got {shown(largest)}") from None


def _whole(count: object) -> int:
    """Whether a value is a whole number of Python or NumPy."""
    if isinstance(count, int | np.integer) and not isinstance(count, bool):
        return int(count)
    raise ValueError(f"expected whole numbers, got {shown(count)}")


def _refused(text: str) -> np.ndarray:
    """The plain decoder's error for damaged text, which names the first fault."""
    return np.array(decompress(text), dtype=np.int64)


def _decompressed(text: str) -> np.ndarray:
    """The numbers of `layout.rle.decompress`, some twenty times faster."""
    if not text.isascii():
        return _refused(text)
    bits = np.frombuffer(text.encode("ascii"), dtype=np.uint8) - np.uint8(FIRST_CHARACTER)
    if len(bits) == 0:
        return np.zeros(0, dtype=np.int64)
    ends = (bits < 32).nonzero()[0]
    if bits.max() > 63 or len(ends) == 0 or ends[-1] + 1 < len(bits):
        return _refused(text)
    lengths = ends.copy()
    lengths[0] += 1
    lengths[1:] -= ends[:-1]
    longest = int(lengths.max())
    if longest > MOST_CHARACTERS:
        return _refused(text)
    values: np.ndarray = bits[ends].astype(np.int64)
    values -= (values & 16) << 1
    for place in range(1, longest):
        longer = (lengths > place).nonzero()[0]
        values[longer] = (values[longer] << 5) + (bits[ends[longer] - place] & 31)
    for first in (1, 2):
        changes = values[first::2]
        if len(changes) > MOST_CHANGES and np.abs(changes).sum(dtype=np.float64) >= 2**62:
            raise ValueError("its numbers grow too large")
        changes.cumsum(out=changes)
    return values


def compressed(runs_R: np.ndarray | Sequence[int]) -> str:
    """The COCO string of run lengths; from the fourth on it holds changes from the last but one."""
    values = np.array(runs_R, dtype=np.int64)
    values[3:] -= np.array(runs_R[1:-2], dtype=np.int64)
    outside = np.where(values < 0, values, ~values)
    lengths = 1 + (outside[:, None] < _LOWEST[:-1]).sum(axis=1)
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    is_last = place == np.repeat(lengths - 1, lengths)
    bits = (np.repeat(values, lengths) >> (5 * place)) & 31
    characters: bytes = (bits + np.where(is_last, 0, 32) + FIRST_CHARACTER).astype(np.uint8).tobytes()
    return characters.decode("ascii")


def runs_of_mask(mask_HW: np.ndarray) -> np.ndarray:
    """(R,) int64: run lengths of a mask (H, W)."""
    down_columns = np.asarray(mask_HW, dtype=bool).ravel(order="F")
    before = np.concatenate(([False], down_columns))[:-1]
    return np.diff(np.concatenate(([0], np.flatnonzero(down_columns != before), [down_columns.size])))


def mask_of_runs(runs_R: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask (H, W) bool of run lengths, which must fill the size."""
    is_set_R = np.arange(len(runs_R)) % 2 == 1
    mask_HW: np.ndarray = np.repeat(is_set_R, runs_R).reshape(width, height).T
    return mask_HW


def num_set(runs_R: np.ndarray) -> int:
    """Number of set pixels."""
    return int(runs_R[1::2].sum())


def set_ranges(runs_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and stops of the runs of set pixels, numbered down the columns; none is empty."""
    lengths, stops = runs_R[1::2], runs_R.cumsum()[1::2]
    starts = stops - lengths
    if len(lengths) and lengths.min() == 0:
        kept = lengths > 0
        return starts[kept], stops[kept]
    return starts, stops


def runs_of_ranges(starts: np.ndarray, stops: np.ndarray, num_pixels: int) -> np.ndarray:
    """(R,) run lengths of a mask of ranges in any order; they may overlap."""
    order = np.argsort(starts, kind="stable")
    starts, stops = starts[order], np.maximum.accumulate(stops[order]) if len(stops) else stops
    is_new = np.concatenate((np.ones(min(1, len(starts)), dtype=bool), starts[1:] > stops[:-1]))
    last = np.concatenate((is_new[1:], np.ones(min(1, len(starts)), dtype=bool)))
    borders = np.stack([starts[is_new], stops[last]], axis=1).ravel()
    runs_R = np.diff(np.concatenate(([0], borders, [num_pixels])))
    return runs_R if runs_R[-1] or len(runs_R) == 1 else runs_R[:-1]


def box_of_runs(runs_R: np.ndarray, height: int) -> tuple[float, float, float, float]:
    """The smallest box x1, y1, x2, y2 around the set pixels, in pixels; there must be one."""
    starts, stops = set_ranges(runs_R)
    first, last = starts // height, (stops - 1) // height
    left, right = float(first[0]), float(last[-1] + 1)
    if not np.array_equal(first, last):
        return left, 0.0, right, float(height)
    return left, float((starts - first * height).min()), right, float((stops - last * height).max())


def shared_pixels(first_R: np.ndarray, second_R: np.ndarray) -> int:
    """Set pixels that two masks of one size have in common."""
    ends, filled = np.cumsum(second_R), np.cumsum(np.where(np.arange(len(second_R)) % 2, second_R, 0))
    inside = np.interp(np.cumsum(first_R), np.concatenate(([0], ends)), np.concatenate(([0], filled)))
    return round(float(np.diff(inside, prepend=0.0)[1::2].sum()))


def do_border(first_R: np.ndarray, second_R: np.ndarray, height: int) -> bool:
    """Whether two masks of one size share a pixel, or have set pixels side by side or one above the other."""
    first, second = set_ranges(first_R), set_ranges(second_R)
    if any(len(_common(first, second, shift)[0]) for shift in (0, height, -height)):
        return True
    for shift, edge in ((1, 0), (-1, height - 1)):
        starts, stops = _common(first, second, shift)
        # From the end of a column to the start of the next one is no step between neighbours.
        if height > 1 and np.any((stops - starts > 1) | (starts % height != edge)):
            return True
    return False


def _common(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], shift: int
) -> tuple[np.ndarray, np.ndarray]:
    """The ranges that those of `first`, moved by `shift`, have in common with those of `second`."""
    starts, stops = first[0] + shift, first[1] + shift
    nearest = np.searchsorted(second[1], starts, side="right")
    met = np.maximum(np.searchsorted(second[0], stops, side="left") - nearest, 0)
    partner = np.repeat(nearest, met) + _counted(met)
    return np.maximum(np.repeat(starts, met), second[0][partner]), np.minimum(np.repeat(stops, met), second[1][partner])


def resized_runs(runs_R: np.ndarray, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """(R,) of the mask on a canvas of another (height, width), by the pixel under the middle of each new one."""
    (height, width), (new_height, new_width) = size, new_size
    starts, stops = set_ranges(runs_R)
    columns, counts = starts // height, (stops - 1) // height - starts // height + 1
    pieces = np.repeat(columns, counts) + _counted(counts)
    tops = _moved(np.maximum(np.repeat(starts, counts) - pieces * height, 0), height, new_height)
    bottoms = _moved(np.minimum(np.repeat(stops, counts) - pieces * height, height), height, new_height)
    lefts, rights = _moved(pieces, width, new_width), _moved(pieces + 1, width, new_width)
    copies = np.where(bottoms > tops, rights - lefts, 0)
    places = (np.repeat(lefts, copies) + _counted(copies)) * new_height
    return runs_of_ranges(places + np.repeat(tops, copies), places + np.repeat(bottoms, copies), new_height * new_width)


def _counted(counts: np.ndarray) -> np.ndarray:
    """0, 1, ... up to each count, one after another."""
    places: np.ndarray = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return places


def _moved(edges: np.ndarray, old: int, new: int) -> np.ndarray:
    """The first of `new` pixels whose middle lies at or behind an edge among `old` ones."""
    first: np.ndarray = -((old - 2 * edges * new) // (2 * old))
    return first


def coverage_of_runs(runs_R: np.ndarray, size: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """(h, w) float64: the share 0..1 of every cell that set pixels of a mask stretched over all cells cover.

    The pixels before position t = j H + r of the columns are a stair: the canvas without the quarter planes to the
    lower right of (j, r) and of (j + 1, 0), plus that of (j + 1, r). A mask is the sum of the stairs at the ends of its
    set runs minus those at their starts, and a quarter plane from (a, b) on fills (x - a)(y - b) of the rectangle from
    the origin to (x, y). Summed in whole numbers, so that every share is rounded once, in the division at the end.
    """
    (height, width), (rows, columns) = size, cells
    moments_4hw = np.zeros((4, rows + 1, columns + 1), dtype=np.int64)
    ends = np.cumsum(runs_R)[: len(runs_R) // 2 * 2]
    for first in range(0, len(ends), CHUNK):
        part_E = ends[first : first + CHUNK]
        sign_E = np.where(np.arange(first, first + len(part_E)) % 2, 1.0, -1.0)
        across_E, down_E = part_E // height, part_E % height
        for sign, a_E, b_E in ((-1, across_E, down_E), (-1, across_E + 1, down_E * 0), (1, across_E + 1, down_E)):
            _add_corners(moments_4hw, sign * sign_E, np.minimum(a_E, width), b_E, size)
    count_hw, a_hw, b_hw, ab_hw = moments_4hw.cumsum(axis=1).cumsum(axis=2)
    x_w, y_h = np.arange(columns + 1) * width, np.arange(rows + 1)[:, None] * height
    filled_hw = x_w * y_h * count_hw - y_h * columns * a_hw - x_w * rows * b_hw + columns * rows * ab_hw
    share_hw: np.ndarray = np.diff(np.diff(filled_hw, axis=0), axis=1) / (height * width)
    return share_hw


def _add_corners(
    moments_4hw: np.ndarray, sign_E: np.ndarray, a_E: np.ndarray, b_E: np.ndarray, size: tuple[int, int]
) -> None:
    """Into the first edges of cells at or behind (a, b): how many there are, and the sums of a, b and a b."""
    rows, columns = moments_4hw.shape[1] - 1, moments_4hw.shape[2] - 1
    edge_E = -(-b_E * rows // size[0]) * (columns + 1) - (-a_E * columns // size[1])
    for moment_hw, factor_E in zip(moments_4hw, (np.ones_like(a_E), a_E, b_E, a_E * b_E), strict=True):
        sums = np.bincount(edge_E, sign_E * factor_E, minlength=moment_hw.size)
        moment_hw += sums.astype(np.int64).reshape(moment_hw.shape)
