"""Layouts from and to the values that ComfyUI's nodes hand on: BOUNDING_BOX lists, elements and LAYERS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from occlusionformer.layout.box import is_finite, is_number
from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields
from occlusionformer.layout.formats.elements import (
    ELEMENT_STAND_IN,
    add_element,
    element_of,
    kind_and_words,
    take_words,
)
from occlusionformer.layout.formats.format import ListOrder
from occlusionformer.layout.formats.listing import declare_heights, declare_list, written_in
from occlusionformer.layout.formats.pixels import read_corner_and_size
from occlusionformer.layout.problems import Path, shown
from occlusionformer.layout.schema import CyclePolicy, Layout

Shape = Literal["boxes", "elements", "layers"]

SIDES = ("x", "y", "width", "height")
BOX_FIELDS = (*SIDES, "metadata", "label", "score")
METADATA = ("type", "text", "desc", "palette", "name", "z_index", "native_size", "content_rect", "flags")
STACK_FIELDS = ("version", "canvas", "layers")
LAYER_FIELDS = (
    "x", "y", "w", "h", "z_index", "opacity", "name", "rotation", "type", "image", "mask", "blend_mode", "flip_h",
    "flip_v",
)  # fmt: skip
PICTURES = ("image", "mask")
"""What a layer shows, as tensors: no part of a layout, but the size of a layer that gives no other."""

BOX_STAND_IN = {"x": 0, "y": 0, "width": 1, "height": 1, "label": "-"}
LAYER_STAND_IN = {"x": 0, "y": 0, "w": 1, "h": 1, "name": "-"}


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the reader of a value has to add to it."""

    prompt: str | None = None
    width: int | None = None
    height: int | None = None
    captions: Sequence[str] | None = None
    """Words for the boxes in the order of their list, in the place of their own; an empty text leaves a box its own."""
    list_order: ListOrder | None = None
    """None for what ComfyUI's own nodes mean: from back to front, and nothing for boxes that a detector found."""
    cycles: CyclePolicy = "error"


def shape_of(value: object) -> Shape:
    """Which of the three shapes a value has; whatever is none is read as boxes, whose reader says what is wrong."""
    if isinstance(value, Mapping):
        return "layers" if "layers" in value else "elements" if "bbox" in value else "boxes"
    items = value if isinstance(value, list | tuple) else ()
    first = next((item for item in items if isinstance(item, Mapping)), {})
    return "elements" if "bbox" in first else "boxes"


def read_shape(value: object, path: Path, given: Given) -> Layout:
    """The layout of a value in one of the three shapes, found at `path`."""
    return {"boxes": read_boxes, "elements": read_elements, "layers": read_layers}[shape_of(value)](value, path, given)


def read_boxes(value: object, path: Path, given: Given) -> Layout:
    """The layout of a BOUNDING_BOX, or a list of them, in pixels of the canvas.

    `metadata.content_rect`, the part of a box that is not empty, is the box where it is given; `metadata.z_index`, the
    higher the nearer, comes before the list. Detectors sort by `score`, which says nothing about who is in front.
    """
    draft = _draft(path, given)
    rows = draft.rows([value] if isinstance(value, Mapping) else value, (), BOX_STAND_IN)
    lone = isinstance(value, Mapping)
    heights: dict[int, object] = {}
    for number, row in enumerate(rows):
        row_path: Path = () if lone else (number,)
        draft.refuse_others(row, BOX_FIELDS, row_path)
        place = draft.add(row_path, str(number + 1))
        metadata = _metadata(draft, row, row_path)
        _name(draft, place, metadata.get("name"), (*row_path, "metadata", "name"))
        _box_words(draft, place, row, metadata)
        _put_sides(draft, place, [row.get(name, NOTHING) for name in SIDES], metadata.get("content_rect"))
        if metadata.get("z_index") is not None:
            heights[place] = metadata["z_index"]
    _captions(draft, given)
    found = any("score" in row for row in rows)
    _order(draft, heights, given.list_order or ("none" if found else "back-to-front"))
    return draft.build(given.cycles)


def read_elements(value: object, path: Path, given: Given) -> Layout:
    """The layout of elements: `type`, `bbox` [y1, x1, y2, x2] from 0 to 1000, `text` of lettering, `desc`."""
    draft = _draft(path, given)
    lone = isinstance(value, Mapping)
    for number, row in enumerate(draft.rows([value] if lone else value, (), ELEMENT_STAND_IN)):
        add_element(draft, row, () if lone else (number,), str(number + 1))
    _captions(draft, given)
    declare_list(draft, given.list_order or "back-to-front")
    return draft.build(given.cycles)


def read_layers(value: object, path: Path, given: Given) -> Layout:
    """The layout of LAYERS: a canvas, and layers by `z_index`, those of equal height by their places in the list.

    A layer's `name` is its caption. One without `w` and `h` is as large as its `image`, a tensor (B, H, W, C). A layer
    that is turned, or reaches over the canvas, has no box.
    """
    draft = _draft(path, given)
    stack: Fields = value if isinstance(value, Mapping) else {}
    draft.refuse_others(stack, STACK_FIELDS)
    if stack.get("version", 1) != 1 or isinstance(stack.get("version"), bool):
        draft.report(("version",), f"expected 1, got {shown(stack['version'])}")
    _take_canvas(draft, stack, given)
    rows = draft.rows(stack.get("layers", NOTHING), ("layers",), LAYER_STAND_IN)
    for number, row in enumerate(rows):
        draft.refuse_others(row, LAYER_FIELDS, ("layers", number))
        _add_layer(draft, row, number)
    _captions(draft, given)
    heights = {place: row.get("z_index", 0) for place, row in enumerate(rows)}
    _order(draft, heights, given.list_order or "back-to-front")
    return draft.build(given.cycles)


def boxes_of(layout: Layout, list_order: ListOrder = "back-to-front") -> list[dict[str, object]]:
    """A BOUNDING_BOX list: whole pixels, words in `metadata`, and the id as `metadata.name` unless it is the number."""
    rows: list[dict[str, object]] = []
    for number, place in enumerate(written_in(layout, list_order), start=1):
        instance = layout.instances[place]
        x1, y1, x2, y2 = instance.box.pixels(layout.width, layout.height)
        kind, text, desc = kind_and_words(instance.caption)
        metadata: dict[str, object] = {"type": kind, "text": text, "desc": desc, "palette": []}
        if instance.id != str(number):
            metadata["name"] = instance.id
        rows.append({"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "metadata": metadata})
    return rows


def elements_of(layout: Layout, list_order: ListOrder = "back-to-front") -> list[dict[str, object]]:
    """Elements: boxes on a grid of 1000, whatever the canvas."""
    return [element_of(layout.instances[place]) for place in written_in(layout, list_order)]


def layers_of(layout: Layout, list_order: ListOrder = "back-to-front") -> dict[str, object]:
    """LAYERS without pictures: whole pixels, `z_index` from 0 at the back, captions as names.

    Layers are listed from back to front, or as `list_order` says; `z_index` is the order. With "none" all have 0.
    """
    places = written_in(layout, list_order)
    ranks = places if list_order != "front-to-back" else places[::-1]
    heights = {place: 0 if list_order == "none" else rank for rank, place in enumerate(ranks)}
    layers: list[dict[str, object]] = []
    for place in places:
        instance = layout.instances[place]
        x1, y1, x2, y2 = instance.box.pixels(layout.width, layout.height)
        layer: dict[str, object] = {"x": x1, "y": y1, "w": x2 - x1, "h": y2 - y1, "z_index": heights[place]}
        layers.append({**layer, "opacity": instance.opacity, "name": instance.caption})
    return {"version": 1, "canvas": [layout.width, layout.height], "layers": layers}


def without_pictures(value: object) -> object:
    """A LAYERS value with the size of every picture in its place, so that it is plain and can be checked like text."""
    if not isinstance(value, Mapping) or not isinstance(value.get("layers"), list | tuple):
        return value
    return {**value, "layers": [_without_picture(row) for row in value["layers"]]}


def _without_picture(row: object) -> object:
    if not isinstance(row, Mapping):
        return row
    plain = {name: field for name, field in row.items() if name not in PICTURES}
    shape = list(getattr(row.get("image"), "shape", ()))
    if len(shape) == 4:
        sizes = {"w": int(shape[2]), "h": int(shape[1])}
        plain.update((name, size) for name, size in sizes.items() if name not in plain)
    return plain


def _draft(path: Path, given: Given) -> Draft:
    draft = Draft(path)
    for name in ("prompt", "width", "height"):
        if (value := getattr(given, name)) is not None:
            draft.put(name, value, (name,))
    return draft


def _metadata(draft: Draft, row: Fields, path: Path) -> Fields:
    metadata = row.get("metadata")
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping):
        draft.report((*path, "metadata"), f"expected an object, got {shown(metadata)}")
        return {}
    draft.refuse_others(metadata, METADATA, (*path, "metadata"))
    return metadata


def _name(draft: Draft, place: int, name: object, path: Path) -> None:
    """A name that is some text is the id of the instance."""
    if name not in (None, ""):
        draft.put_for(place, "id", name, path)


def _box_words(draft: Draft, place: int, row: Fields, metadata: Fields) -> None:
    """The description of a box, or else the label that a detector gave it, or the name of its layer."""
    path = draft.origins["instances", place]
    label = row.get("label")
    if metadata.get("desc") in (None, "") and not metadata.get("text") and label is not None:
        draft.put_for(place, "caption", label, (*path, "label"))
    else:
        take_words(draft, place, metadata, (*path, "metadata"))


def _put_sides(draft: Draft, place: int, sides: Sequence[object], rect: object = None) -> None:
    path = draft.origins["instances", place]
    missing = [name for name, side in zip(SIDES, sides, strict=True) if side is NOTHING]
    for name in missing:
        draft.report((*path, name), "expected a value, got nothing")
    if rect is not None and not missing:
        if not isinstance(rect, list | tuple) or len(rect) != 4 or not all(map(is_number, [*rect, *sides[:2]])):
            draft.report((*path, "metadata", "content_rect"), f"expected four numbers x, y, w, h, got {shown(rect)}")
        else:
            x, y = (side for side in sides[:2] if is_number(side))
            sides = [x + rect[0], y + rect[1], rect[2], rect[3]]
    draft.put_box_at(place, [0, 0, 1, 1] if missing else sides, path, read_corner_and_size, draft.canvas())


def _add_layer(draft: Draft, row: Fields, number: int) -> None:
    path: Path = ("layers", number)
    place = draft.add(path, str(number + 1))
    row_fields = _without_picture(row)
    fields: Fields = row_fields if isinstance(row_fields, Mapping) else {}
    draft.take_for(place, "caption", fields, "name")
    if "opacity" in fields:
        draft.take_for(place, "opacity", fields)
    if fields.get("rotation", 0) != 0:
        draft.report((*path, "rotation"), f"expected 0, a box cannot be turned, got {shown(fields['rotation'])}")
    if fields.get("type", "raster") != "raster":
        draft.report((*path, "type"), f"expected raster, got {shown(fields['type'])}")
    names = ("x", "y", "w", "h")
    missing = [name for name in names if name not in fields]
    for name in missing:
        draft.report((*path, name), "expected a value, got nothing")
    sides = [0, 0, 1, 1] if missing else [fields[name] for name in names]
    draft.put_box_at(place, sides, path, read_corner_and_size, draft.canvas())


def _take_canvas(draft: Draft, stack: Fields, given: Given) -> None:
    """Width and height from the document or from the caller, never from both."""
    canvas = stack.get("canvas")
    if canvas is None:
        return
    if not isinstance(canvas, list | tuple) or len(canvas) != 2:
        draft.report(("canvas",), f"expected width and height, got {shown(canvas)}")
        return
    for place, name in enumerate(("width", "height")):
        if getattr(given, name) is not None and getattr(given, name) != canvas[place]:
            draft.report(("canvas", place), f"expected {getattr(given, name)} as given, got {shown(canvas[place])}")
        draft.put(name, canvas[place], ("canvas", place))


def _captions(draft: Draft, given: Given) -> None:
    captions = given.captions
    if captions is None:
        return
    if len(captions) != len(draft.instances):
        draft.report(("captions",), f"expected {len(draft.instances)}, one for each box, got {len(captions)}")
    for place, caption in enumerate(captions):
        if caption:
            draft.put_for(place, "caption", caption, ("captions", place))


def _order(draft: Draft, heights: Mapping[int, object], list_order: ListOrder) -> None:
    """By height where boxes have one, all or none; else by the list."""
    if not heights:
        declare_list(draft, list_order)
        return
    numbers: list[float] = []
    for place in range(len(draft.instances)):
        height = heights.get(place, NOTHING)
        if is_number(height) and is_finite(height):
            numbers.append(height)
        else:
            where = draft.origins["instances", place]
            inner = () if where[:1] == ("layers",) else ("metadata",)
            draft.report((*where, *inner, "z_index"), f"expected a finite number, got {shown(height)}")
    if len(numbers) == len(draft.instances):
        declare_heights(draft, numbers, list_order)
