"""Pictures to be looked at closely: a click shows one in full size, and boxes can be laid over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from occlusionformer.reporting.chart import COLOURS
from occlusionformer.reporting.pieces import data_address

COARSE = 256
"""Pixels of the longer side up to which the pixels of an enlarged picture stay sharp squares."""
LEAST_FULL = 768
"""Pixels that a small picture is enlarged to in full size."""


class PictureBox(NamedTuple):
    """A box on a picture, as fractions of its width and height."""

    left: float
    top: float
    right: float
    bottom: float
    label: str
    colour: int | None
    """Number of a colour of the page; None for a dashed white frame."""


def view(encoded: bytes, size: tuple[int, int], caption: str, boxes: Sequence[PictureBox] = ()) -> Markup:
    """An encoded picture of this width and height with a caption; boxes are hidden until the page shows them."""
    width, height = size
    scale = max(1.0, LEAST_FULL / max(size))
    classes = "sheet coarse" if max(size) <= COARSE else "sheet"
    form = Markup(
        '<figure class="view"><label class="zoom" title="click for full size"><input type="checkbox">'
        '<span class="backdrop"><span class="{}" style="--full:{}px">'
        '<img src="{}" width="{}" height="{}" alt="{}" loading="lazy">{}</span></span></label>'
        "<figcaption>{}</figcaption></figure>\n"
    )
    over = Markup("").join(_box(box) for box in boxes)
    return form.format(classes, round(width * scale), data_address(encoded), width, height, caption, over, caption)


def case(heading: str, views: Sequence[Markup], legend: Sequence[tuple[str, int]], note: str = "") -> Markup:
    """Pictures of one layout side by side, with what is in it: texts and the numbers of their colours."""
    entry = Markup('<li style="--k:var(--c{})"><i></i>{}</li>')
    entries = Markup("").join(entry.format(colour % COLOURS, text) for text, colour in legend)
    form = Markup(
        '<div class="case"><h3>{}</h3><div class="gallery">{}</div>\n'
        '<ul class="legend">{}</ul><figcaption>{}</figcaption></div>\n'
    )
    return form.format(heading, Markup("").join(views), entries, note)


def _box(box: PictureBox) -> Markup:
    place = f"left:{_percent(box.left)};top:{_percent(box.top)};" + (
        f"width:{_percent(box.right - box.left)};height:{_percent(box.bottom - box.top)}"
    )
    if box.colour is None:
        return Markup('<span class="box found" style="{}"></span>').format(place)
    form = Markup('<span class="box" style="--k:var(--c{});{}"><b>{}</b></span>')
    return form.format(box.colour % COLOURS, place, box.label)


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3f}%"
