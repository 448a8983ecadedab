"""Arguments of LaRender's script: objects from back to front, boxes as [y1, y2, x1, x2], and how opaque each is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from occlusionformer.layout.box import Box, is_number
from occlusionformer.layout.formats.backdrop import WHOLE, has_backdrop, take_backdrop, take_prompt
from occlusionformer.layout.formats.draft import NOTHING, Draft, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.listing import back_to_front, declare_list
from occlusionformer.layout.formats.pixels import Canvas
from occlusionformer.layout.problems import LayoutError, Path, shown
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, tidy_json

LISTS = ("objects", "locations", "alpha")
FIELDS = (*LISTS, "width", "height", "seed")
UNREAD = ("indices", "num_images_per_prompt", "negative_prompt", "pretrain", "density_scheduler")
"""What stands beside those in a call, and is no part of a layout."""
OPAQUE = 0.8
"""What the script gives to everything that is not transparent; from there on an object hides all behind it."""


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of a call's arguments or a list of them, objects from back to front.

    A first object that covers the canvas is the prompt; without one the prompt has to be given, and the canvas where
    the document does not say it.
    """
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    """A call's arguments; the prompt is the first object, since the script has no prompt for the whole."""
    instances = [layout.instances[place] for place in back_to_front(layout)]
    boxes = [WHOLE, *(instance.box for instance in instances)]
    document: dict[str, object] = {
        "objects": [layout.prompt, *(instance.caption for instance in instances)],
        "locations": [[box.y1, box.y2, box.x1, box.x2] for box in boxes],
        "alpha": [OPAQUE, *(_alpha(instance.opacity) for instance in instances)],
        "width": layout.width,
        "height": layout.height,
    }
    return document if layout.seed is None else {**document, "seed": layout.seed}


def write_all(layouts: Sequence[Layout]) -> list[dict[str, object]]:
    return [write_one(layout) for layout in layouts]


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    source = an_object(document, path)
    draft = Draft(path)
    draft.refuse_others(source, (*FIELDS, *UNREAD))
    draft.take_or_given(source, options, "width", "height")
    draft.take("seed", source)
    objects, locations = (draft.listed(source.get(name, NOTHING), (name,)) for name in LISTS[:2])
    alphas = draft.listed(source["alpha"], ("alpha",)) if "alpha" in source else [OPAQUE] * len(objects)
    for name, items in zip(LISTS[1:], (locations, alphas), strict=True):
        if len(items) != len(objects):
            draft.report((name,), f"expected {len(objects)} values, one for each of objects, got {len(items)}")
    for number, (words, location, alpha) in enumerate(zip(objects, locations, alphas, strict=False)):
        place = draft.add(("objects", number), str(number + 1))
        draft.put_for(place, "caption", words, ("objects", number))
        draft.put_box_at(place, location, ("locations", number), _read_location, (1, 1))
        _take_alpha(draft, place, alpha, number)
    _take_prompt(draft, options, locations)
    declare_list(draft, "back-to-front")
    return draft.build(LARENDER.cycles)


def _take_prompt(draft: Draft, options: ReadOptions, locations: Sequence[object]) -> None:
    if locations and has_backdrop([each["box"] for each in draft.instances]) and _is_whole(locations[0]):
        take_backdrop(draft, options, draft.instances[0]["caption"], ("objects", 0))
        draft.drop_first()
    else:
        take_prompt(draft, options, ("objects",))


def _is_whole(location: object) -> bool:
    """Not one that could not be read, for which a box of the whole canvas stands in."""
    return isinstance(location, list | tuple) and list(location) == [0, 1, 0, 1]


def _read_location(value: object, canvas: Canvas) -> Box:
    if not isinstance(value, list | tuple) or len(value) != 4:
        raise LayoutError([f"expected four numbers y1, y2, x1, x2, got {shown(value)}"])
    y1, y2, x1, x2 = value
    return Box.parse([x1, y1, x2, y2])


def _take_alpha(draft: Draft, place: int, alpha: object, number: int) -> None:
    if is_number(alpha) and 0 <= alpha < 1:
        draft.put_for(place, "opacity", min(1.0, alpha / OPAQUE), ("alpha", number))
    else:
        draft.report(("alpha", number), f"expected a number from 0 to below 1, got {shown(alpha)}")


def _alpha(opacity: float) -> float:
    """The number that is read as this opacity, or the nearest one."""
    if opacity == 1:
        return OPAQUE
    middle = opacity * OPAQUE
    near = (middle, math.nextafter(middle, 0), math.nextafter(middle, 1))
    return next((number for number in near if number / OPAQUE == opacity), middle)


LARENDER = Format(
    name="larender",
    description="Arguments of LaRender's script: objects, locations as [y1, y2, x1, x2] fractions, alpha below 1.",
    order="the list of objects, from back to front",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"objects"}),
    options=frozenset({"prompt", "width", "height"}),
    places=back_to_front,
)
