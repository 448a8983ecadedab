"""Documents as text: bounded, strict JSON in, tidy JSON out."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from pathlib import Path as FilePath
from typing import Any

from occlusionformer.layout.limits import LAYOUTS, DocumentLimits
from occlusionformer.layout.problems import MOST_PROBLEMS, LayoutError, shown

LINE_WIDTH = 110
"""Characters up to which an object or list is written on one line."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)

GZIP = b"\x1f\x8b\x08"

SIGNATURES = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG\r\n\x1a\n": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"RIFF": "a WebP picture or another RIFF file",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"BM": "a BMP picture",
    b"%PDF": "a PDF file",
    b"PK\3\4": "a ZIP archive",
    b"PAR1": "a Parquet table",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
"""How files begin that are taken for documents by mistake."""


class Repeating(dict[str, Any]):
    """An object that names some fields more than once; it keeps the last value of each."""

    repeated: tuple[str, ...] = ()


class LongNumber(float):
    """Stands for a whole number with more digits than a document may have; infinite, so that nothing takes it."""

    digits: int

    def __new__(cls, digits: int) -> LongNumber:
        number = super().__new__(cls, "inf")
        number.digits = digits
        return number


def text_of(source: str | bytes | FilePath, limits: DocumentLimits = LAYOUTS) -> str:
    """The text of a document: a str is the text, a Path a file; bytes and files may be packed by gzip.

    Raises OSError for a file that cannot be read.
    """
    if isinstance(source, str):
        _check_size(len(source) if source.isascii() else len(source.encode(errors="surrogatepass")), limits)
        return source
    data = _bytes_of(source, limits) if isinstance(source, FilePath) else source
    if data.startswith(GZIP):
        data = _unpacked(data, limits)
    _check_size(len(data), limits)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        kind = next((kind for start, kind in SIGNATURES.items() if data.startswith(start)), None)
        if kind is not None:
            raise LayoutError([f"expected a document in UTF-8, got {kind}"]) from None
        raise LayoutError([f"byte {error.start}: expected UTF-8 text, got 0x{data[error.start]:02x}"]) from None


def parse_json(text: str, limits: DocumentLimits = LAYOUTS) -> object:
    """The value of a JSON text. Raises LayoutError with line and column of a syntax error.

    Repeated fields, NaN and numbers too large to hold do not stop it: `unfit_parts` finds them in the value.
    """
    check_text(text, limits)
    return _parsed(text, _decoder(limits), limits)


def parse_json_lines(text: str, limits: DocumentLimits = LAYOUTS) -> list[object]:
    """One JSON value a line; blank lines do not count. All lines that are not JSON are reported."""
    check_text(text, limits)
    decoder = _decoder(limits)
    values: list[object] = []
    problems: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip() and len(problems) <= MOST_PROBLEMS:
            try:
                values.append(_parsed(line, decoder, limits))
            except LayoutError as error:
                problems += [f"line {number}, {problem.removeprefix('line 1, ')}" for problem in error.problems]
    if problems:
        raise LayoutError(problems)
    return values


def check_text(text: str, limits: DocumentLimits, brackets: str = "[{") -> None:
    """Refuse what would cost too much to parse: called before any parser sees the text.

    Values are counted by their commas and brackets, those inside texts too: hardly any are there.
    """
    _check_size(len(text), limits)
    values = sum(map(text.count, (",", *brackets)))
    if values > limits.values:
        raise LayoutError([limits.too_many(f"about {values}")])
    if (long := _long_text(text, limits.characters)) is not None:
        start, length = long
        raise LayoutError([f"{place(text, start)}: {limits.too_long(length)}"])


def tidy_json(value: object, *, indent: str = "") -> str:
    """JSON with every object and list that is short enough on a line of its own."""
    if type(value) is int:
        return repr(value)
    line = _ENCODER.encode(value)
    if len(indent) + len(line) <= LINE_WIDTH or not isinstance(value, dict | list | tuple) or not value:
        return line
    deeper = indent + "  "
    names = [f"{_ENCODER.encode(name)}: " for name in value] if isinstance(value, dict) else None
    items = list(value.values()) if isinstance(value, dict) else list(value)
    opening, closing = "{}" if names else "[]"
    lines = [
        f"{deeper}{name}{tidy_json(item, indent=deeper)}"
        for name, item in zip(names or [""] * len(items), items, strict=True)
    ]
    return f"{opening}\n" + ",\n".join(lines) + f"\n{indent}{closing}"


def object_of(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """An object of its names and values, which remembers those named twice."""
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    repeating = Repeating(fields)
    repeating.repeated = tuple(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
    return repeating


def place(text: str, position: int) -> str:
    """`line 2, column 11`."""
    return f"line {text.count(chr(10), 0, position) + 1}, column {position - text.rfind(chr(10), 0, position)}"


def _bytes_of(path: FilePath, limits: DocumentLimits) -> bytes:
    """The content of a file or pipe, at most one byte more than allowed."""
    with path.open("rb") as file:
        data = file.read(limits.bytes + 1)
    _check_size(len(data), limits)
    return data


def _unpacked(data: bytes, limits: DocumentLimits) -> bytes:
    """What gzip packed, unpacked no further than allowed."""
    parts: list[bytes] = []
    left = limits.bytes + 1
    while data.startswith(GZIP) and left:
        inflater = zlib.decompressobj(wbits=31)
        try:
            parts.append(inflater.decompress(data, left))
        except zlib.error as error:
            raise LayoutError([f"expected a document packed by gzip, got a damaged one: {error}"]) from None
        left -= len(parts[-1])
        if left and not inflater.eof:
            raise LayoutError(["expected a document packed by gzip, got one that is cut off"])
        data = inflater.unused_data
    if not left:
        raise LayoutError([limits.too_large(", unpacked")])
    return b"".join(parts)


def _decoder(limits: DocumentLimits) -> json.JSONDecoder:
    def whole_number(digits: str) -> int | float:
        length = len(digits) - digits.startswith("-")
        return int(digits) if length <= limits.digits else LongNumber(length)

    return json.JSONDecoder(object_pairs_hook=object_of, parse_int=whole_number)


def _parsed(text: str, decoder: json.JSONDecoder, limits: DocumentLimits) -> object:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        reason = error.msg[:1].lower() + error.msg[1:]
        raise LayoutError([_syntax_error(text, error.pos, f"not JSON: {reason}")]) from None
    except RecursionError:
        raise LayoutError([limits.too_deep()]) from None


def _long_text(text: str, most: int) -> tuple[int, int] | None:
    """Start and length of a string literal with more characters than allowed, as they are written down.

    Quotes are counted in strides of half that length: one between an odd and an even quote holds none itself.
    """
    if len(text) <= most:
        return None
    bare = text.replace("\\\\", "..").replace('\\"', "..") if "\\" in text else text
    stride = max(1, most // 2)
    quotes = 0
    for start in range(0, len(bare), stride):
        here = bare.count('"', start, start + stride)
        if quotes % 2 and not here:
            opened, closed = bare.rfind('"', 0, start), bare.find('"', start)
            length = (len(bare) if closed < 0 else closed) - opened - 1
            if length > most:
                return opened, length
        quotes += here
    return None


def _check_size(size: int, limits: DocumentLimits) -> None:
    if size > limits.bytes:
        raise LayoutError([limits.too_large()])


def _syntax_error(text: str, position: int, reason: str) -> str:
    is_like_a_name = len(text) < 1000 and "\n" not in text.strip() and not text.lstrip().startswith(("{", "["))
    hint = f", got {shown(text)}; a file is passed as a pathlib.Path" if is_like_a_name else ""
    return f"{place(text, position)}: {reason}{hint}"
