"""Pictures about pictures: boxes and order drawn on one, several on a labelled sheet."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from occlusionformer.layout import Layout, ZOrderCycle
from occlusionformer.pictures import as_rgb

PAPER = (255, 255, 255)
INK = (28, 28, 30)
FAINT = (110, 110, 116)

OVERLAY_SIDE = 768
"""Pixels: smaller pictures are enlarged until boxes and captions can be told apart on them."""
SHEET_SIDE = 320
"""Pixels of the longer side of a picture on a sheet."""
SHEET_COLUMNS = 6
"""Wider sheets no longer fit a screen."""
MARGIN = 12
TEXT_SIZE = 16
LABEL_LINES = 4
"""Lines of a label on a sheet; longer ones are cut."""

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A picture on a sheet, and what is written under it."""

    image: Image.Image
    title: str
    detail: str


def draw_overlay(image: Image.Image, layout: Layout) -> Image.Image:
    """The picture with every box and caption on it, and below it who is in front of whom."""
    picture = enlarged(image, OVERLAY_SIDE)
    numbers, heading = _numbering(layout)
    font = ImageFont.load_default(TEXT_SIZE)
    draw = ImageDraw.Draw(picture)
    for place in sorted(numbers, key=numbers.__getitem__, reverse=True):
        instance = layout.instances[place]
        edges = instance.box.pixels(picture.width, picture.height)
        _draw_box(draw, edges, instance_colour(place), f"{numbers[place]} {instance.caption}", font)
    return _with_legend(picture, [heading, *_relations(layout, numbers)], _legend_colours(numbers), font)


def contact_sheet(pictures: Sequence[Labelled]) -> Image.Image:
    """All pictures at one size in rows, each over its label."""
    assert pictures, "a sheet of nothing"
    title_font, font = ImageFont.load_default(TEXT_SIZE + 2), ImageFont.load_default(TEXT_SIZE)
    images = [_fitted(picture.image) for picture in pictures]
    width, height = max(image.width for image in images), max(image.height for image in images)
    columns = min(len(pictures), SHEET_COLUMNS, max(2, math.ceil(math.sqrt(len(pictures)))))
    titles = [_wrapped(picture.title, title_font, width) for picture in pictures]
    details = [_wrapped(picture.detail, font, width) for picture in pictures]
    line = TEXT_SIZE + 6
    text_height = line * max(len(title) + len(detail) for title, detail in zip(titles, details, strict=True))
    cell_width, cell_height = width + MARGIN, height + text_height + 2 * MARGIN
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * cell_width + MARGIN, rows * cell_height + MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    for place, image in enumerate(images):
        left = MARGIN + place % columns * cell_width
        top = MARGIN + place // columns * cell_height
        sheet.paste(image, (left, top))
        below = top + height + MARGIN // 2
        for text in titles[place]:
            draw.text((left, below), text, fill=INK, font=title_font)
            below += line
        for text in details[place]:
            draw.text((left, below), text, fill=FAINT, font=font)
            below += line
    return sheet


def enlarged(image: Image.Image, side: int) -> Image.Image:
    """An RGB copy, scaled up by a whole factor until its longer side has at least `side` pixels."""
    factor = max(1, math.ceil(side / max(image.size)))
    return as_rgb(image).resize((image.width * factor, image.height * factor), Image.Resampling.BICUBIC)


def _fitted(image: Image.Image) -> Image.Image:
    scale = SHEET_SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return as_rgb(image).resize(size, Image.Resampling.LANCZOS)


def _numbering(layout: Layout) -> tuple[dict[int, int], str]:
    """A number from 1 for every instance, from front to back where the order allows it, and what the numbers say."""
    as_written = {place: place + 1 for place in range(len(layout.instances))}
    if layout.zorder is None:
        return as_written, "no order declared"
    try:
        front_to_back = layout.zorder.front_to_back()
    except ZOrderCycle:
        return as_written, "the order loops"
    return {place: rank for rank, place in enumerate(front_to_back, start=1)}, "from front to back"


def _relations(layout: Layout, numbers: dict[int, int]) -> list[str]:
    """A line for every instance in the order of the numbers: its caption, and whom it hides a part of."""
    behind: dict[int, list[int]] = {place: [] for place in numbers}
    for front, rear in layout.zorder.edges if layout.zorder else ():
        if layout.instances[front].box.intersection(layout.instances[rear].box) is not None:
            behind[front].append(numbers[rear])
    return [
        f"{numbers[place]} {layout.instances[place].caption}"
        + (f"   (over {', '.join(map(str, sorted(behind[place])))})" if behind[place] else "")
        for place in sorted(numbers, key=numbers.__getitem__)
    ]


def _legend_colours(numbers: dict[int, int]) -> list[Colour]:
    return [PAPER, *(instance_colour(place) for place in sorted(numbers, key=numbers.__getitem__))]


def _draw_box(
    draw: ImageDraw.ImageDraw, edges: tuple[int, int, int, int], colour: Colour, text: str, font: Font
) -> None:
    left, top, right, bottom = edges
    draw.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=3)
    caption = _cut(text, font, right - left - 6)
    if caption:
        tag = draw.textbbox((left + 4, top + 2), caption, font=font)
        draw.rectangle((left, top, tag[2] + 3, tag[3] + 3), fill=colour)
        draw.text((left + 4, top + 2), caption, fill=PAPER, font=font)


def _with_legend(picture: Image.Image, lines: Sequence[str], colours: Sequence[Colour], font: Font) -> Image.Image:
    line = TEXT_SIZE + 6
    page = Image.new("RGB", (picture.width, picture.height + len(lines) * line + 2 * MARGIN), PAPER)
    page.paste(picture, (0, 0))
    draw = ImageDraw.Draw(page)
    for place, (text, colour) in enumerate(zip(lines, colours, strict=True)):
        top = picture.height + MARGIN + place * line
        draw.rectangle((MARGIN, top + 3, MARGIN + 12, top + 15), fill=colour)
        draw.text((MARGIN + 20, top), _cut(text, font, picture.width - 2 * MARGIN - 20), fill=INK, font=font)
    return page


def instance_colour(place: int) -> Colour:
    """Dark enough for white text; neighbours in the list lie far apart on the colour wheel."""
    red, green, blue = colorsys.hls_to_rgb(place * 0.618034 % 1, 0.36, 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)


def _cut(text: str, font: Font, width: float) -> str:
    """The text, or as much of its beginning as fits, with dots; nothing when not even a letter fits."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    fitting, too_long = 0, len(text)
    while too_long - fitting > 1:
        length = (fitting + too_long) // 2
        if font.getlength(f"{text[:length].rstrip()}...") <= width:
            fitting = length
        else:
            too_long = length
    return f"{text[:fitting].rstrip()}..." if fitting else ""


def _wrapped(text: str, font: Font, width: float) -> list[str]:
    """The text in lines, at most LABEL_LINES of them."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < LABEL_LINES:
        count = len(words)
        if len(lines) < LABEL_LINES - 1:
            while count > 1 and font.getlength(" ".join(words[:count])) > width:
                count -= 1
        lines.append(_cut(" ".join(words[:count]), font, width))
        words = words[count:]
    return lines
