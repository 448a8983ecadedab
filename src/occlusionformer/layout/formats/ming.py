"""Captions of Ming-Image Design: layers in words, each with its middle and size as fractions in a text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from occlusionformer.layout.box import Box, box_from_pixels, overlap_bits
from occlusionformer.layout.formats.backdrop import WHOLE, has_backdrop, take_backdrop, take_prompt
from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.listing import back_to_front, declare_list
from occlusionformer.layout.formats.pixels import Canvas
from occlusionformer.layout.problems import LayoutError, Path, shown
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, tidy_json
from occlusionformer.layout.zorder import MOST_RELATED

FIELDS = ("canvas_settings", "layers")
SETTINGS = ("aspect_ratio", "ambient_lighting", "image_style")
LAYER_FIELDS = ("description", "coordinates", "hierarchy_and_relation", "color_specs")
STEPS = 1000
"""Of a side: coordinates have three digits."""
MOST_NAMED = 8
"""Layers that a relation names on either side, the nearest in the list: it is read by a model, and by nobody else."""
ABOVE_ALL = "In front of the background"

_NUMBER = r"([0-9]{1,3}(?:\.[0-9]{1,18})?)"
_COORDINATES = re.compile(rf"\s*cx:\s*{_NUMBER},\s*cy:\s*{_NUMBER},\s*w:\s*{_NUMBER},\s*h:\s*{_NUMBER}\s*", re.ASCII)
_SIZE = re.compile(r"[0-9]{1,9}:[0-9]{1,9},\s*([0-9]{1,9})\s*[x×]\s*([0-9]{1,9})\s*px", re.ASCII)


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of a caption or a list of them, layers from back to front.

    A first layer that covers the canvas is the prompt; without one the prompt has to be given, and the canvas where
    the ratio of its sides does not name its pixels. Relations in words, style, lighting and colours are left unread.
    """
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    """A caption whose first layer is the prompt; relations say in words which layers overlap which."""
    common = math.gcd(layout.width, layout.height)
    ratio = f"{layout.width // common}:{layout.height // common}, {layout.width} × {layout.height} px"
    places = back_to_front(layout)
    boxes = [layout.instances[place].box for place in places]
    relations = _relations(boxes)
    rows = [_row(layout.prompt, WHOLE, "The background, behind all other layers.")]
    rows += [
        _row(layout.instances[place].caption, box, words)
        for place, box, words in zip(places, boxes, relations, strict=True)
    ]
    return {"canvas_settings": {"aspect_ratio": ratio, "ambient_lighting": "", "image_style": ""}, "layers": rows}


def write_all(layouts: Sequence[Layout]) -> list[dict[str, object]]:
    return [write_one(layout) for layout in layouts]


def _relations(boxes: Sequence[Box]) -> list[str]:
    """For every layer above the background, the numbers of those it is in front of and behind: the background has 1."""
    if len(boxes) > MOST_RELATED:
        return [f"{ABOVE_ALL}."] * len(boxes)
    found = []
    for layer, bits in enumerate(overlap_bits(boxes)):
        under = list(islice(_set_bits(bits & ((1 << layer) - 1), highest=True), MOST_NAMED))[::-1]
        over = [layer + 1 + bit for bit in islice(_set_bits(bits >> (layer + 1), highest=False), MOST_NAMED)]
        sides = (("in front of", under), ("behind", over))
        parts = [f"{word} {_layers([bit + 2 for bit in numbers])}" for word, numbers in sides if numbers]
        words = ", ".join(parts)
        found.append(f"{words[:1].upper()}{words[1:]}." if words else f"{ABOVE_ALL}.")
    return found


def _set_bits(bits: int, *, highest: bool) -> Iterator[int]:
    """The set bits of a number, from one end."""
    while bits:
        bit = bits.bit_length() - 1 if highest else (bits & -bits).bit_length() - 1
        yield bit
        bits ^= 1 << bit


def _layers(numbers: Sequence[int]) -> str:
    return f"layer {numbers[0]}" if len(numbers) == 1 else f"layers {', '.join(map(str, numbers))}"


def _row(words: str, box: Box, relation: str) -> dict[str, object]:
    (cx, w), (cy, h) = _middle_and_size(box.x1, box.x2), _middle_and_size(box.y1, box.y2)
    numbers = zip(("cx", "cy", "w", "h"), (cx, cy, w, h), strict=True)
    coordinates = ", ".join(f"{name}: {number / STEPS:.3f}" for name, number in numbers)
    return {"description": words, "coordinates": coordinates, "hierarchy_and_relation": relation, "color_specs": []}


def _middle_and_size(low: float, high: float) -> tuple[int, int]:
    """Middle and size of a side in steps: at least one, and inside the canvas."""
    size = max(1, round((high - low) * STEPS))
    half = (size + 1) // 2
    return min(max(round((low + high) / 2 * STEPS), half), STEPS - half), size


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    source = an_object(document, path)
    draft = Draft(path)
    draft.refuse_others(source, FIELDS)
    _take_canvas(draft, source, options)
    stand_in = {"description": "-", "coordinates": "cx: 0.5, cy: 0.5, w: 0.5, h: 0.5"}
    rows = draft.rows(source.get("layers", NOTHING), ("layers",), stand_in)
    for number, row in enumerate(rows):
        draft.refuse_others(row, LAYER_FIELDS, ("layers", number))
        place = draft.add(("layers", number), str(number + 1))
        draft.take_for(place, "caption", row, "description")
        draft.put_box(place, row, "coordinates", _read_coordinates, None)
    if has_backdrop([instance["box"] for instance in draft.instances]) and "coordinates" in rows[0]:
        take_backdrop(draft, options, rows[0].get("description", NOTHING), ("layers", 0, "description"))
        draft.drop_first()
    else:
        take_prompt(draft, options, ("layers",))
    declare_list(draft, "back-to-front")
    return draft.build(MING.cycles)


def _take_canvas(draft: Draft, source: Fields, options: ReadOptions) -> None:
    """Width and height where the ratio of the sides goes with them, else from the caller."""
    settings = source.get("canvas_settings", NOTHING)
    if not isinstance(settings, Mapping):
        draft.report(("canvas_settings",), f"expected an object with aspect_ratio, got {shown(settings)}")
        settings = {}
    draft.refuse_others(settings, SETTINGS, ("canvas_settings",))
    ratio = settings.get("aspect_ratio", "")
    path = ("canvas_settings", "aspect_ratio")
    if not isinstance(ratio, str):
        draft.report(path, f"expected text, got {shown(ratio)}")
        ratio = ""
    size = _SIZE.fullmatch(ratio.strip())
    found = {} if size is None else {"width": int(size[1]), "height": int(size[2])}
    draft.take_or_given(found, options, "width", "height")
    for name in found:
        draft.origins[name,] = path


def _read_coordinates(value: object, canvas: Canvas) -> Box:
    """A box from a text; its edges are what the decimals come to."""
    match = _COORDINATES.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise LayoutError([f'expected text like "cx: 0.500, cy: 0.500, w: 0.650, h: 0.680", got {shown(value)}'])
    cx, cy, w, h = map(_exact, match.groups())
    scale = 2 * 10**18
    edges = (2 * cx - w, 2 * cy - h, 2 * cx + w, 2 * cy + h)
    if any(edge < 0 or edge > scale for edge in edges) or not (w and h):
        raise LayoutError([f"expected a box inside the canvas with a width and a height above 0, got {shown(value)}"])
    return box_from_pixels([edge / scale for edge in edges], width=1, height=1)


def _exact(digits: str) -> int:
    """A decimal in units of 10^-18."""
    whole, _, rest = digits.partition(".")
    return int(whole + rest.ljust(18, "0"))


MING = Format(
    name="ming",
    description="Captions of Ming-Image Design: layers in words with middle and size; the first is the prompt.",
    order="the list of layers, from back to front",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"canvas_settings"}),
    options=frozenset({"prompt", "width", "height"}),
    places=back_to_front,
)
