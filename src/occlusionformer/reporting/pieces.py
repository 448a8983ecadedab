"""What a section is made of: paragraphs, tables and pictures. Everything that is not Markup is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from markupsafe import Markup
from PIL import Image

Cell = str | int | float | None
"""Floats show three decimals, None shows a dash. Markup is a str and stands as it is."""

PICTURE_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}
"""First bytes of the kinds of picture that browsers show."""


def text(paragraph: str) -> Markup:
    """A paragraph."""
    return Markup("<p>{}</p>\n").format(paragraph)


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Markup:
    """Columns that hold nothing but numbers (or nothing) stand to the right."""
    for place, row in enumerate(rows):
        if len(row) != len(headers):
            raise ValueError(f"rows[{place}]: expected {len(headers)} cells, got {len(row)}")
    numeric = [bool(rows) and all(_is_number(row[column]) for row in rows) for column in range(len(headers))]
    head = _row("th", headers, numeric)
    body = Markup("").join(_row("td", row, numeric) for row in rows)
    form = Markup('<div class="scroll"><table><thead>{}</thead><tbody>{}</tbody></table></div>\n')
    return form.format(head, body)


def figure(image: Image.Image | bytes, caption: str) -> Markup:
    """A picture in its own pixels with a caption below; bytes are an encoded picture and are kept as they are."""
    address = data_address(image if isinstance(image, bytes) else _png(image))
    form = Markup('<figure><img src="{}" alt="{}" loading="lazy"><figcaption>{}</figcaption></figure>\n')
    return form.format(address, caption, caption)


def gallery(figures: Sequence[Markup]) -> Markup:
    """Pictures side by side, as many as fit."""
    return Markup('<div class="gallery">{}</div>\n').format(Markup("").join(figures))


def data_address(encoded: bytes) -> str:
    """An encoded picture as an address that holds it. Raises ValueError for bytes that browsers do not show."""
    return f"data:{_picture_type(encoded)};base64,{base64.b64encode(encoded).decode('ascii')}"


def _row(tag: str, cells: Sequence[Cell], numeric: Sequence[bool]) -> Markup:
    form = Markup("<{0}{1}>{2}</{0}>")
    shown = (
        form.format(Markup(tag), Markup(' class="number"' if right else ""), _show(cell))
        for cell, right in zip(cells, numeric, strict=True)
    )
    return Markup("<tr>{}</tr>").format(Markup("").join(shown))


def _show(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return f"{cell:.3f}" if isinstance(cell, float) else cell if isinstance(cell, str) else str(cell)


def _is_number(cell: Cell) -> bool:
    return cell is None or (isinstance(cell, (int, float)) and not isinstance(cell, bool))


def _png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()


def _picture_type(encoded: bytes) -> str:
    for start, name in PICTURE_TYPES.items():
        if encoded.startswith(start):
            return name
    raise ValueError(f"image: expected PNG, JPEG, WebP or GIF bytes, got bytes that start with {encoded[:4]!r}")
