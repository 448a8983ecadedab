"""Omost's canvas: calls in Python with a place in words, a size in words, and a distance from the viewer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from occlusionformer.layout.box import Box, is_finite, is_number
from occlusionformer.layout.formats.draft import NOTHING, Draft, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.pixels import Canvas
from occlusionformer.layout.limits import DocumentLimits
from occlusionformer.layout.literal import parse_calls
from occlusionformer.layout.problems import LayoutError, Path, Problem, one_of, shown
from occlusionformer.layout.schema import Depths, Layout

SIDE = 90
"""Units of the canvas, whatever its size."""
LOCATIONS = {
    "in the center": (45, 45), "on the left": (15, 45), "on the right": (75, 45), "on the top": (45, 15),
    "on the bottom": (45, 75), "on the top-left": (15, 15), "on the top-right": (75, 15),
    "on the bottom-left": (15, 75), "on the bottom-right": (75, 75),
}  # fmt: skip
OFFSETS = {
    "no offset": (0, 0), "slightly to the left": (-10, 0), "slightly to the right": (10, 0),
    "slightly to the upper": (0, -10), "slightly to the lower": (0, 10), "slightly to the upper-left": (-10, -10),
    "slightly to the upper-right": (10, -10), "slightly to the lower-left": (-10, 10),
    "slightly to the lower-right": (10, 10),
}  # fmt: skip
AREAS = {
    "a small square area": (50, 50), "a small vertical area": (40, 60), "a small horizontal area": (60, 40),
    "a medium-sized square area": (60, 60), "a medium-sized vertical area": (50, 80),
    "a medium-sized horizontal area": (80, 50), "a large square area": (70, 70), "a large vertical area": (60, 90),
    "a large horizontal area": (90, 60),
}  # fmt: skip
WORDS = {"location": LOCATIONS, "offset": OFFSETS, "area": AREAS}
PLACE = tuple(WORDS)

GLOBAL_FIELDS = ("description", "detailed_descriptions", "tags", "HTML_web_color_name")
LOCAL_FIELDS = (*PLACE, "distance_to_viewer", *GLOBAL_FIELDS, "atmosphere", "style", "quality_meta")
GLOBAL, LOCAL = "set_global_description", "add_local_description"
STAND_IN = {"description": "-", "distance_to_viewer": 1, **{name: next(iter(known)) for name, known in WORDS.items()}}

_LOCATED = {place: name for name, place in LOCATIONS.items()}
_MOVED = {move: name for name, move in OFFSETS.items()}
_MIDDLES = [(middle, offset) for offset in (0, -10, 10) for middle in (45, 15, 75)]
_FENCE = re.compile(r"```[a-z]*\n(.*?)\n?```", re.DOTALL)


def parse(text: str, limits: DocumentLimits) -> object:
    """The calls on every canvas of a text, as values; what is around a fenced block of code is left out."""
    fences = _FENCE.findall(text)
    canvases: list[dict[str, object]] = []
    for name, arguments in parse_calls("\n".join(fences) if fences else text, (GLOBAL, LOCAL), limits):
        if name == GLOBAL or not canvases:
            canvases.append({LOCAL: []})
        canvas = canvases[-1]
        if name == GLOBAL:
            canvas[GLOBAL] = arguments
        else:
            local = canvas[LOCAL]
            assert isinstance(local, list)
            local.append(arguments)
    if not canvases:
        raise LayoutError([f"expected calls of {GLOBAL} and {LOCAL}, got {shown(text)}"])
    return canvases[0] if len(canvases) == 1 else canvases


def to_text(document: object) -> str:
    """The calls as Omost's models write them; a canvas after the other."""
    if not isinstance(document, Mapping):
        assert isinstance(document, list)
        return "\n\n".join(map(to_text, document))
    calls = ["canvas = Canvas()", _call(GLOBAL, document[GLOBAL])]
    return "\n".join([*calls, *(_call(LOCAL, arguments) for arguments in document[LOCAL])])


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of canvases; the size in pixels has to be given.

    The smaller `distance_to_viewer`, the nearer; a canvas where all are the same declares no order. Details, tags,
    styles and colours are left unread.
    """
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    """A canvas: of the 729 boxes that can be said in words, the nearest to each, and the order as distances."""
    distances = _distances(layout)
    rows = []
    for instance, distance in zip(layout.instances, distances, strict=True):
        place = dict(zip(PLACE, _nearest(instance.box), strict=True))
        rows.append({**place, "distance_to_viewer": distance, **_words(instance.caption)})
        rows[-1].update(atmosphere="", style="", quality_meta="")
    return {GLOBAL: _words(layout.prompt), LOCAL: rows}


def write_all(layouts: Sequence[Layout]) -> list[dict[str, object]]:
    return [write_one(layout) for layout in layouts]


def _words(description: str) -> dict[str, object]:
    return {"description": description, "detailed_descriptions": [], "tags": "", "HTML_web_color_name": "gray"}


def _call(name: str, arguments: Mapping[str, object]) -> str:
    lines = "".join(f"    {field}={value!r},\n" for field, value in arguments.items())
    return f"canvas.{name}(\n{lines})"


def _distances(layout: Layout) -> list[float]:
    """Depths as they are where all are above 0; else how many are in front of each other at most, from 1."""
    order, zorder = layout.order, layout.zorder
    count = len(layout.instances)
    if zorder is None:
        return [1.0] * count
    if isinstance(order, Depths):
        depths = [order.depths.get(instance.id, 0.0) for instance in layout.instances]
        if all(depth > 0 for depth in depths):
            return depths
    return [rank + 1.0 for rank in zorder.ranks()]


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    source = an_object(document, path)
    draft = Draft(path)
    draft.refuse_others(source, (GLOBAL, LOCAL))
    draft.take_or_given({}, options, "width", "height")
    whole = source.get(GLOBAL, NOTHING)
    if isinstance(whole, Mapping):
        draft.refuse_others(whole, GLOBAL_FIELDS, (GLOBAL,))
        draft.take("prompt", whole, "description", path=(GLOBAL,))
    else:
        draft.report((GLOBAL,), f"expected a call, got {shown(whole)}")
    rows = draft.rows(source.get(LOCAL, NOTHING), (LOCAL,), STAND_IN)
    distances: dict[int, float] = {}
    for number, row in enumerate(rows):
        row_path = (LOCAL, number)
        draft.refuse_others(row, LOCAL_FIELDS, row_path)
        place = draft.add(row_path, str(number + 1))
        draft.take_for(place, "caption", row, "description")
        draft.put_box_at(place, [row.get(name, NOTHING) for name in PLACE], row_path, _read_place, None)
        distance = row.get("distance_to_viewer", NOTHING)
        if is_number(distance) and is_finite(distance) and distance > 0:
            distances[place] = distance
        else:
            draft.report((*row_path, "distance_to_viewer"), f"expected a number above 0, got {shown(distance)}")
    if len(set(distances.values())) > 1:
        draft.depths = distances
    return draft.build(OMOST.cycles)


def _read_place(value: object, canvas: Canvas) -> Box:
    """A box from its words; problems name the argument."""
    given = value if isinstance(value, list) else []
    problems = [
        Problem((name,), f"expected {one_of(known)}, got {shown(word)}")
        for (name, known), word in zip(WORDS.items(), given, strict=True)
        if not isinstance(word, str) or word not in known
    ]
    if problems:
        raise LayoutError(problems)
    return _box(*given)


def _box(location: str, offset: str, area: str) -> Box:
    """Middle plus or minus half a size, cut at the edges of the canvas."""
    spans = [_span(*each) for each in zip(LOCATIONS[location], OFFSETS[offset], AREAS[area], strict=True)]
    (x1, x2), (y1, y2) = spans
    return Box(x1, y1, x2, y2)


def _span(middle: int, offset: int, size: int) -> tuple[float, float]:
    low, high = middle + offset - size // 2, middle + offset + size // 2
    return max(low, 0) / SIDE, min(high, SIDE) / SIDE


def _nearest(box: Box) -> tuple[str, str, str]:
    """The words for the box whose edges differ the least in sum, without an offset if there is a choice."""
    best = math.inf
    words = ("", "", "")
    for area, (w, h) in AREAS.items():
        across, x, dx = _nearest_span(box.x1, box.x2, w)
        down, y, dy = _nearest_span(box.y1, box.y2, h)
        if across + down < best:
            best, words = across + down, (_LOCATED[x, y], _MOVED[dx, dy], area)
    return words


def _nearest_span(low: float, high: float, size: int) -> tuple[float, int, int]:
    """How far off the nearest span of this size is, with its middle and its offset."""
    spans = ((_apart(_span(middle, offset, size), low, high), middle, offset) for middle, offset in _MIDDLES)
    return min(spans, key=lambda span: span[0])


def _apart(span: tuple[float, float], low: float, high: float) -> float:
    return abs(span[0] - low) + abs(span[1] - high)


OMOST = Format(
    name="omost",
    description="Omost's canvas: calls in Python, boxes as one of nine locations, offsets and areas in words.",
    order="distance_to_viewer, the smaller the nearer",
    from_text=parse,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=to_text,
    marks=frozenset({GLOBAL, LOCAL}),
    options=frozenset({"width", "height"}),
    needs=frozenset({"width", "height"}),
)
