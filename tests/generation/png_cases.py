"""PNG files with a record in every place, form and state: one table, read by the tests of Python and of JavaScript."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from occlusionformer.generation.png_text import PNG_KEY, SIGNATURE

RECORD = '{"format": 1, "prompt": "a caf\\u00e9"}'
OTHER = '{"format": 1, "prompt": "another"}'
KEY = PNG_KEY.encode() + b"\0"
HEADER = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
PIXELS = zlib.compress(bytes(4 * 5))
MEGABYTES = 32
WHOLE = "expected a whole PNG, got"
CUT = "one that is cut off in chunk"


@dataclass(frozen=True)
class Case:
    """A file, and what is read from it: a text, nothing, or the problem it is refused with."""

    name: str
    content: bytes
    text: str | None = None
    problem: str | None = None


def chunk(kind: bytes, content: bytes, *, checksum: int | None = None) -> bytes:
    found = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", found)


def png(*before: bytes, after: bytes = b"", end: bytes = chunk(b"IEND", b"")) -> bytes:
    return SIGNATURE + chunk(b"IHDR", HEADER) + b"".join(before) + chunk(b"IDAT", PIXELS) + after + end


def plain(text: str = RECORD) -> bytes:
    return chunk(b"tEXt", KEY + text.encode("latin-1"))


def packed(text: str = RECORD, *, method: bytes = b"\0") -> bytes:
    return chunk(b"zTXt", KEY + method + zlib.compress(text.encode("latin-1")))


def international(text: str = RECORD, *, is_packed: bool = False, names: bytes = b"\0\0") -> bytes:
    """`names` are the language and the keyword in it, each with a zero behind."""
    content = zlib.compress(text.encode()) if is_packed else text.encode()
    return chunk(b"iTXt", KEY + bytes([is_packed, 0]) + names + content)


def bomb(kind: bytes) -> bytes:
    """A record that unpacks to a little more than is allowed."""
    squeezed = zlib.compress(b" " * (MEGABYTES * 2**20 + 1), 9)
    return chunk(kind, KEY + (b"\0" if kind == b"zTXt" else b"\1\0\0\0") + squeezed)


def cases() -> Iterator[Case]:
    yield from _found()
    yield from _not_there()
    yield from _damaged()


def _found() -> Iterator[Case]:
    forms = {
        "tEXt": plain(),
        "zTXt": packed(),
        "iTXt": international(),
        "iTXt packed": international(is_packed=True),
        "iTXt in a language": international(names="en-GB\0Ursprung \u00e4\0".encode()),
    }
    foreign = chunk(b"tEXt", b"prompt\0{}")
    for name, record in forms.items():
        yield Case(f"{name} before the pixels", png(record), RECORD)
        yield Case(f"{name} behind the pixels", png(after=record), RECORD)
        yield Case(f"{name} among foreign texts", png(foreign, after=chunk(b"eXIf", b"II*\0") + record), RECORD)
    yield Case("the same record twice", png(plain(), after=packed()), RECORD)
    yield Case("an empty record", png(plain("")), "")
    yield Case("beyond ASCII in Latin-1", png(plain('"\u00e9\u0085\u00ff"')), '"\u00e9\u0085\u00ff"')
    yield Case("beyond ASCII in UTF-8", png(international('"\u6d77 \U0001f980"')), '"\u6d77 \U0001f980"')
    yield Case("many chunks of pixels", png(*[chunk(b"IDAT", b"")] * 2000, plain()), RECORD)
    yield Case("bytes behind the end", png(plain()) + b"anything at all", RECORD)


def _not_there() -> Iterator[Case]:
    yield Case("no text at all", png())
    others = (b"occlusionformer2\0{}", b"Occlusionformer\0{}", b"occ\0{}", b"")
    yield Case("other keywords", png(*[chunk(b"tEXt", content) for content in others]))
    yield Case("the keyword without an end", png(chunk(b"tEXt", PNG_KEY.encode())))
    large = b"workflow\0\0" + zlib.compress(bytes(2**25), 9)
    yield Case("foreign texts that unpack to a lot", png(chunk(b"zTXt", large)))
    yield Case("a foreign text that is damaged", png(chunk(b"iTXt", b"prompt\0\1\0\0\0nonsense", checksum=0)))


def _damaged() -> Iterator[Case]:
    starts = {
        "something else": b"a text",
        "a JPEG picture": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
        "a GIF picture": b"GIF89a\1\0",
    }
    for kind, content in starts.items():
        yield Case(kind, content, problem=f"expected a PNG picture, got {kind}")
    yield Case("an empty file", b"", problem="expected a PNG picture, got something else")
    for name, content in (
        ("nothing but the signature", SIGNATURE),
        ("no end", png(plain(), end=b"")),
        ("half a header", png(plain(), end=b"\0\0\0")),
    ):
        yield Case(name, content, problem=f"{WHOLE} one that ends at byte {len(content)}, before IEND")
    yield Case("cut in the pixels", png(plain())[:-20], problem=f"{WHOLE} {CUT} IDAT at byte {33 + len(plain())}")
    for name, record in (("tEXt", plain()), ("zTXt", packed()), ("iTXt", international())):
        for place, left in (("keyword", 14), ("text", 30), ("checksum", len(record) - 1)):
            start = SIGNATURE + chunk(b"IHDR", HEADER)
            yield Case(f"{name} cut in its {place}", start + record[:left], problem=f"{WHOLE} {CUT} {name} at byte 33")
        wrong = png(record[:-1] + bytes([record[-1] ^ 1]))
        problem = f"{WHOLE} one with a wrong checksum in chunk {name} at byte 33"
        yield Case(f"{name} with a wrong checksum", wrong, problem=problem)
    yield Case("two records", png(plain(), after=packed(OTHER)), problem="expected one record, got 2 that differ")
    yield from _badly_packed()
    yield from _no_chunks()


def _no_chunks() -> Iterator[Case]:
    no_chunk = f"{WHOLE} a damaged one: no chunk begins at byte"
    yield Case("no header", SIGNATURE + plain() + chunk(b"IEND", b""), problem=f"{no_chunk} 8")
    yield Case("a kind that is none", png(b"\0\0\0\0t3Xt\0\0\0\0"), problem=f"{no_chunk} 33")
    yield Case("a length beyond all files", png(b"\xff\xff\xff\xfftEXt"), problem=f"{no_chunk} 33")
    beyond = png(struct.pack(">I", 2**31 - 1) + b"fdAT")
    yield Case("a length beyond the file", beyond, problem=f"{WHOLE} {CUT} fdAT at byte 33")
    many = png(*[chunk(b"fdAT", b"")] * 2**18)
    yield Case("too many chunks", many, problem="expected a PNG of at most 262144 chunks, got more")


def _badly_packed() -> Iterator[Case]:
    unpacked = "expected a record packed by zlib, got a damaged one in chunk"
    stream = zlib.compress(RECORD.encode())
    wrong = {
        "no zlib at all": b"nonsense",
        "an empty stream": b"",
        "a stream that is cut off": stream[:-6],
        "a stream with a wrong checksum": stream[:-1] + bytes([stream[-1] ^ 1]),
    }
    for name, content in wrong.items():
        for kind, head in ((b"zTXt", b"\0"), (b"iTXt", b"\1\0\0\0")):
            problem = f"{unpacked} {kind.decode()} at byte 33"
            yield Case(f"{kind.decode()}: {name}", png(chunk(kind, KEY + head + content)), problem=problem)
    yield Case("zTXt: another method", png(packed(method=b"\1")), problem=f"{unpacked} zTXt at byte 33")
    yield Case("zTXt: no method", png(chunk(b"zTXt", KEY)), problem=f"{unpacked} zTXt at byte 33")
    damaged = "expected a record, got a damaged one in chunk iTXt at byte 33"
    yield Case("iTXt: nothing", png(chunk(b"iTXt", KEY)), problem=damaged)
    yield Case("iTXt: no ends", png(chunk(b"iTXt", KEY + b"\0\0text")), problem=damaged)
    yield Case("iTXt: another flag", png(chunk(b"iTXt", KEY + b"\2\0\0\0text")), problem=damaged)
    no_text = png(chunk(b"iTXt", KEY + b"\0\0\0\0\xff"))
    yield Case(
        "iTXt: no UTF-8", no_text, problem="expected a record in UTF-8, got other bytes in chunk iTXt at byte 33"
    )
    problem = f"expected a record of at most {MEGABYTES} MB, got more"
    for kind in (b"zTXt", b"iTXt"):
        yield Case(f"{kind.decode()} that unpacks to too much", png(bomb(kind)), problem=problem)
