"""Finds the end of a JSON value without parsing it; every byte is looked at once."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

FEW = 128
"""Brackets and strings examined one by one; longer values are examined in windows."""

FIRST_WINDOW, LARGEST_WINDOW = 2**12, 2**18
"""Bytes in the first window; each next window is twice as long."""

QUOTE, BACKSLASH = 0x22, 0x5C

_PLAIN = re.compile(rb"[^\s,:\[\]{}\"]+")
_BRACKET_OR_TEXT = re.compile(rb'"[^"\\]*"|["{}\[\]]')
"""A quotation mark alone opens a text with backslashes, for each of which a regular expression would keep a place to
come back to; or one that is not whole yet."""

DEPTHS = {0x7B: 1, 0x5B: 1, 0x7D: -1, 0x5D: -1}
"""Change of depth at each bracket outside of strings."""

STEPS = np.array([DEPTHS.get(byte, 0) for byte in range(256)], dtype=np.int8)


@dataclass
class ValueEnd:
    """Searches for the end of one value in a buffer that may grow and drop bytes before the value."""

    first: bytes
    """The value's first byte."""
    _done: int = 0
    """Bytes of the value that have been looked at."""
    _depth: int = 0
    _in_text: bool = False
    _is_escaped: bool = False
    """Whether the next byte follows an odd number of backslashes."""
    _looked: int = 0
    _window: int = FIRST_WINDOW

    def find(self, buffer: bytes, start: int) -> int | None:
        """The index after the value that starts at `start`; None if more of the file is needed.

        Plain words end where something else starts, or with the buffer.
        """
        if self.first not in (b'"', b"{", b"["):
            found = _PLAIN.match(buffer, start)
            return found.end() if found else None
        if not self._is_over and self._looked < FEW:
            self._look_one_by_one(buffer, start)
        while not self._is_over and self._looked >= FEW and start + self._done < len(buffer):
            begin = start + self._done
            self._look_at_window(np.frombuffer(buffer, np.uint8, min(self._window, len(buffer) - begin), begin))
            self._window = min(2 * self._window, LARGEST_WINDOW)
        return start + self._done if self._is_over else None

    @property
    def _is_over(self) -> bool:
        return self._done > 0 and self._depth == 0 and not self._in_text

    def _look_one_by_one(self, buffer: bytes, start: int) -> None:
        """Advance over some brackets and strings; stop before an incomplete one."""
        depth = self._depth
        for looked, found in enumerate(_BRACKET_OR_TEXT.finditer(buffer, start + self._done), self._looked + 1):
            place, end = found.span()
            depth += DEPTHS.get(buffer[place], 0)
            self._looked, self._done = looked, end - start
            if end - place == 1 and buffer[place] == QUOTE:  # with backslashes, or not whole
                self._looked, self._in_text = FEW, True
            if depth == 0 or self._looked >= FEW:
                break
        self._depth = depth

    def _look_at_window(self, bytes_W: np.ndarray) -> None:
        """Advance over the window, or over the part of it that belongs to the value."""
        is_quote_W = (bytes_W == QUOTE) & ~self._escaped(bytes_W)
        in_text_W = np.bitwise_xor.accumulate(is_quote_W.view(np.uint8)) ^ np.uint8(self._in_text)
        depth_W = self._depth + np.cumsum(STEPS[bytes_W] * (in_text_W == 0), dtype=np.int32)
        closes_W = (depth_W == 0) & (in_text_W == 0)
        closes_W &= is_quote_W | (STEPS[bytes_W] == -1)
        last = int(closes_W.argmax()) if closes_W.any() else -1
        self._done += last + 1 if last >= 0 else len(bytes_W)
        self._depth, self._in_text = int(depth_W[last]), bool(in_text_W[last])

    def _escaped(self, bytes_W: np.ndarray) -> np.ndarray:
        """(W,) bool: whether a byte follows an odd number of backslashes."""
        is_backslash_W = bytes_W == BACKSLASH
        escaped_W = np.zeros(len(bytes_W), dtype=bool)
        escaped_W[0] = self._is_escaped
        if not is_backslash_W.any():
            self._is_escaped = False
            return escaped_W
        places_W = np.arange(len(bytes_W), dtype=np.int32)
        before = -2 if self._is_escaped else -1  # an odd number before the window counts as one
        last_other_W = np.maximum.accumulate(np.where(is_backslash_W, np.int32(before), places_W))
        is_odd_W = (places_W - last_other_W) % 2 == 1
        escaped_W[1:] = is_odd_W[:-1]
        self._is_escaped = bool(is_odd_W[-1])
        return escaped_W
