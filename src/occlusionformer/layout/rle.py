"""COCO run lengths: masks as lengths of alternating runs of 0 and 1, column by column. Pure Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from operator import add

FIRST_CHARACTER = 48
"""A compressed string has six bits a character: five of a number, low ones first, and one that says "more follows"."""


def decompress(text: str) -> list[int]:
    """Run lengths of a COCO compressed string. Raises ValueError for text no encoder writes."""
    changes: list[int] = []
    value = shift = 0
    codes = text.encode("ascii") if text.isascii() else map(ord, text)
    for place, code in enumerate(codes):
        bits = code - FIRST_CHARACTER
        if not 0 <= bits < 64:
            raise ValueError(why_no_number(text, place))
        value |= (bits & 31) << shift
        shift += 5
        if shift > 40:
            raise ValueError(f"the number that ends at character {place} is too long")
        if bits < 32:
            changes.append(value - (1 << shift) if bits & 16 else value)
            value = shift = 0
    if shift:
        raise ValueError("the last number is cut off")
    # From the fourth on, numbers are changes from the last but one.
    changes[1::2] = accumulate(changes[1::2])
    changes[2::2] = accumulate(changes[2::2])
    return changes


def why_no_number(text: str, place: int) -> str:
    """The reason to refuse a string for its character at a place."""
    if place <= 1 and text[:2] in ("b'", 'b"'):
        return "it is how Python shows bytes, with b and quotation marks around the string"
    return f"character {text[place]!r} at {place} is none of '0' to 'o'"


def compress(counts: Sequence[int]) -> str:
    """The COCO compressed string of run lengths; from the fourth on it holds changes from the last but one."""
    characters: list[str] = []
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        while True:
            bits = value & 31
            value >>= 5
            is_last = value == (-1 if bits & 16 else 0)
            characters.append(chr(FIRST_CHARACTER + (bits if is_last else bits | 32)))
            if is_last:
                break
    return "".join(characters)


def foreground(counts: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Half-open ranges of set pixels, numbered down the columns."""
    position = 0
    for place, count in enumerate(counts):
        if place % 2 and count:
            yield position, position + count
        position += count


def bounds(counts: Sequence[int], height: int) -> tuple[int, int, int, int]:
    """First row and column with a set pixel, and the ends of the last ones; there must be a set pixel."""
    lengths = counts[1::2]
    starts = list(accumulate(counts))[: 2 * len(lengths) : 2]
    if 0 in lengths:
        starts = [start for start, length in zip(starts, lengths, strict=True) if length]
        lengths = [length for length in lengths if length]
    left, right = starts[0] // height, (starts[-1] + lengths[-1] - 1) // height + 1
    tops = [start % height for start in starts]
    bottom = max(map(add, tops, lengths))
    return (0, left, height, right) if bottom > height else (min(tops), left, bottom, right)


def rows(counts: Sequence[int], height: int, width: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """For every row its runs of set pixels as half-open column ranges, left to right.

    Costs as much as the runs that go in and come out, not as the pixels.
    """
    edges_by_column: list[set[int]] = [set() for _ in range(width + 1)]
    for start, stop in foreground(counts):
        while start < stop:
            column, top = divmod(start, height)
            bottom = min(height, top + stop - start)
            edges_by_column[column] ^= {top, bottom}
            start += bottom - top
    switches: list[list[int]] = [[] for _ in range(height)]
    previous: set[int] = set()
    for column, edges in enumerate(edges_by_column):
        changes = sorted(edges ^ previous)
        for top, bottom in zip(changes[::2], changes[1::2], strict=True):
            for row in range(top, bottom):
                switches[row].append(column)
        previous = edges
    return tuple(tuple(zip(row[::2], row[1::2], strict=True)) for row in switches)


def paint(runs: Sequence[tuple[int, int]], width: int) -> list[int]:
    """A row of 0 and 1 from its runs of set pixels."""
    row = bytearray(width)
    for start, stop in runs:
        row[start:stop] = b"\1" * (stop - start)
    return list(row)
