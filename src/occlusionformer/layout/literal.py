"""Python literals as data sets hold them, and calls that have no other arguments. Read, never evaluated."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection
from typing import Any

from occlusionformer.layout.limits import LAYOUTS, DocumentLimits
from occlusionformer.layout.problems import LayoutError
from occlusionformer.layout.text import LongNumber, check_text, object_of, place

_BLANK = re.compile(r"\s+")
_STRING_START = re.compile(r"([uU]|[rR])?('''|\"\"\"|'|\")")
_WORD = re.compile(r"(None|True|False)\b")
_NUMBER = re.compile(r"[-+]?\.?[0-9][\w.]*", re.ASCII)
_ARGUMENT = re.compile(r"([A-Za-z_]\w{0,99})\s*=", re.ASCII)
_SMALL_NUMBER = re.compile(r"\s*(0|-?[1-9][0-9]{0,17})\s*,")
_EXPONENT = re.compile(r"[-+][0-9_]+")
_STOP = {
    "'": re.compile(r"'|\\|\n"),
    '"': re.compile(r'"|\\|\n'),
    "'''": re.compile(r"'''|\\"),
    '"""': re.compile(r'"""|\\'),
}
_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|N\{([^}]*)\}|(\n)|([\\'\"abfnrtv]))"
)
_CONSTANTS = {"None": None, "True": True, "False": False}
_PLAIN_ESCAPES = dict(zip("\\'\"abfnrtv", "\\'\"\a\b\f\n\r\t\v", strict=True))
_CLOSING = {"[": "]", "(": ")"}

ONLY = "expected only text, numbers, lists and dicts"


def parse_literal(text: str, limits: DocumentLimits = LAYOUTS) -> object:
    """The value of a Python literal; tuples become lists. Nothing is run and no syntax tree is built.

    Raises LayoutError with line and column of what is none. Repeated names do not stop it: `unfit_parts` finds them.
    """
    check_text(text, limits, "[{(")
    return _Reader(text, limits).document()


def parse_calls(
    text: str, names: Collection[str], limits: DocumentLimits = LAYOUTS
) -> list[tuple[str, dict[str, object]]]:
    """Calls of methods with these names in a Python text, each with its arguments, all by name and all literals.

    What stands between the calls, and calls behind a #, are left out; nothing is run. Raises as `parse_literal` does.
    """
    check_text(text, limits, "[{(")
    calls = re.compile(rf"\b({'|'.join(map(re.escape, names))})\s*\(")
    reader = _Reader(text, limits)
    found: list[tuple[str, dict[str, object]]] = []
    while match := calls.search(text, reader.at):
        reader.at = match.end()
        if "#" not in text[text.rfind("\n", 0, match.start()) + 1 : match.start()]:
            found.append((match[1], reader.arguments()))
    return found


class _SyntaxError(Exception):
    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        self.reason = reason


class _Reader:
    """Reads one literal from the start of a text to its end, in a single pass."""

    def __init__(self, text: str, limits: DocumentLimits) -> None:
        self.text = text
        self.limits = limits
        self.at = 0
        self.levels = 0

    def document(self) -> object:
        try:
            value = self._value()
            self._skip_blank()
            if self.at < len(self.text):
                raise _SyntaxError(self.at, "expected the end")
            return value
        except _SyntaxError as error:
            where = place(self.text, error.position)
            raise LayoutError([f"{where}: not a Python literal: {error.reason}"]) from None

    def arguments(self) -> dict[str, object]:
        """The arguments of a call, up to its closing bracket."""
        pairs: list[tuple[str, object]] = []
        try:
            while not self._take(")"):
                self._skip_blank()
                name = _ARGUMENT.match(self.text, self.at)
                if name is None:
                    raise _SyntaxError(self.at, "expected an argument by name")
                self.at = name.end()
                pairs.append((name[1], self._value()))
                if not self._take(",") and not self._follows(")"):
                    raise _SyntaxError(self.at, "expected ',' or ')'")
        except _SyntaxError as error:
            where = place(self.text, error.position)
            raise LayoutError([f"{where}: not a call: {error.reason}"]) from None
        return object_of(pairs)

    def _value(self) -> Any:
        self._skip_blank()
        character = self.text[self.at : self.at + 1]
        if character in _NESTED:
            return self._nested(_NESTED[character])
        if match := _NUMBER.match(self.text, self.at):
            return self._number(match)
        if match := _STRING_START.match(self.text, self.at):
            return self._strings(match)
        if match := _WORD.match(self.text, self.at):
            self.at = match.end()
            return _CONSTANTS[match[1]]
        raise _SyntaxError(self.at, ONLY if character else "expected a value, got the end")

    def _nested(self, read: Callable[[_Reader], Any]) -> Any:
        self.levels += 1
        if self.levels > self.limits.levels:
            raise LayoutError([self.limits.too_deep()])
        opening = self.at
        try:
            value = read(self)
        except _SyntaxError as error:
            if error.position < len(self.text):
                raise
            raise _SyntaxError(opening, f"{self.text[opening]!r} was never closed") from None
        self.levels -= 1
        return value

    def _list(self) -> Any:
        """A list, a tuple, or a value in parentheses."""
        closing = _CLOSING[self.text[self.at]]
        self.at += 1
        items: list[Any] = []
        has_comma = closing == "]"
        while not self._take(closing):
            while number := _SMALL_NUMBER.match(self.text, self.at):  # most of what is in long lists
                items.append(int(number[1]))
                self.at = number.end()
                has_comma = True
            if self._take(closing):
                break
            items.append(self._value())
            if self._take(","):
                has_comma = True
            elif not self._follows(closing):
                raise _SyntaxError(self.at, f"expected ',' or '{closing}'")
        return items if has_comma or not items else items[0]

    def _dict(self) -> Any:
        self.at += 1
        pairs: list[tuple[Any, Any]] = []
        while not self._take("}"):
            start = self.at
            name = self._value()
            if isinstance(name, list | dict):
                raise _SyntaxError(start, "expected text as the name of a field")
            if not self._take(":"):
                raise _SyntaxError(self.at, "expected ':'")
            pairs.append((name, self._value()))
            if not self._take(",") and not self._follows("}"):
                raise _SyntaxError(self.at, "expected ',' or '}'")
        return object_of(pairs)

    def _strings(self, match: re.Match[str] | None) -> str:
        """A string, and those that follow it directly: they are one."""
        parts = []
        while match:
            parts.append(self._string(match))
            self._skip_blank()
            match = _STRING_START.match(self.text, self.at)
        return "".join(parts)

    def _string(self, match: re.Match[str]) -> str:
        quote = match[2]
        start = self.at = match.end()
        has_escapes = False
        while True:
            stop = _STOP[quote].search(self.text, self.at)
            if stop is None or stop[0] == "\n":
                raise _SyntaxError(match.start(), "expected the end of a text")
            if stop[0] == quote:
                break
            has_escapes = True
            self.at = stop.end() + 1
        body = self.text[start : stop.start()]
        self.at = stop.end()
        if len(body) > self.limits.characters:
            raise LayoutError([f"{place(self.text, match.start())}: {self.limits.too_long(len(body))}"])
        return _ESCAPE.sub(_unescaped, body) if has_escapes and (match[1] or "u") in "uU" else body

    def _number(self, match: re.Match[str]) -> int | float:
        self.at = match.end()
        digits = match[0]
        try:
            bare = digits.lstrip("+-").replace("_", "")
            if bare.isdigit() or bare[:2].lower() in ("0x", "0o", "0b"):
                return self._whole(digits, len(bare))
            if digits[-1] in "eE" and (exponent := _EXPONENT.match(self.text, self.at)):
                self.at = exponent.end()
                digits += exponent[0]
            return float(digits)
        except ValueError:
            raise _SyntaxError(match.start(), "expected a number") from None

    def _whole(self, digits: str, length: int) -> int | float:
        return int(digits, 0) if length <= self.limits.digits else LongNumber(length)

    def _take(self, mark: str) -> bool:
        found = self._follows(mark)
        self.at += found
        return found

    def _follows(self, mark: str) -> bool:
        if self.text.startswith(mark, self.at):
            return True
        return self._skip_blank() and self.text.startswith(mark, self.at)

    def _skip_blank(self) -> bool:
        """Whether there was something to skip."""
        blank = _BLANK.match(self.text, self.at)
        if blank:
            self.at = blank.end()
        return blank is not None


_NESTED: dict[str, Callable[[_Reader], Any]] = {"[": _Reader._list, "(": _Reader._list, "{": _Reader._dict}


def _unescaped(match: re.Match[str]) -> str:
    """The character of an escape; one that means nothing stays as it is."""
    octal, byte, short, long, name, newline, plain = match.groups()
    if plain:
        return _PLAIN_ESCAPES[plain]
    if newline:
        return ""
    try:
        return (
            unicodedata.lookup(name)
            if name is not None
            else chr(int(byte or short or long or octal, 8 if octal else 16))
        )
    except (KeyError, ValueError, OverflowError):
        return match[0]
