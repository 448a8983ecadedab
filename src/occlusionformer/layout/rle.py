"""COCO run lengths: masks as lengths of alternating runs of 0 and 1, column by column. Pure Python."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

FIRST_CHARACTER = 48
"""A compressed string has six bits a character: five of a number, low ones first, and one that says "more follows"."""


def decompress(text: str) -> list[int]:
    """Run lengths of a COCO compressed string. Raises ValueError for text no encoder writes."""
    counts: list[int] = []
    value = shift = 0
    for place, character in enumerate(text):
        bits = ord(character) - FIRST_CHARACTER
        if not 0 <= bits < 64:
            raise ValueError(why_no_number(text, place))
        value |= (bits & 31) << shift
        shift += 5
        if shift > 40:
            raise ValueError(f"the number that ends at character {place} is too long")
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("the last number is cut off")
    return counts


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
    runs = list(foreground(counts))
    first_column, last_column = runs[0][0] // height, (runs[-1][1] - 1) // height
    if any(start // height != (stop - 1) // height for start, stop in runs):
        return 0, first_column, height, last_column + 1
    tops = [start % height for start, _ in runs]
    bottoms = [(stop - 1) % height + 1 for _, stop in runs]
    return min(tops), first_column, max(bottoms), last_column + 1


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
