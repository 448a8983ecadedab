"""Boxes of ComfyUI's nodes: BOUNDING_BOX lists, elements, LAYERS, and the graphs that hold them.

For programs that have such a value at hand:

* `layout_of(value, prompt=..., width=..., height=...)` reads any of the three shapes, or their JSON as text.
* `layouts_of(value, ...)` reads a BOUNDING_BOX list for each frame, as detectors and *Create Bounding Boxes* hand on.
* `boxes_of(layout)`, `elements_of(layout)` and `layers_of(layout)` write them.
* `shape_of(value)` names the shape: "boxes", "elements" or "layers".
* `boxes_in_graph(graph, given)` of `comfy_graph` finds such values in the widgets of a saved graph.

Lists go from back to front, as *Create Bounding Boxes* asks for; KJNodes' builder has the front first, which
`list_order="front-to-back"` says, and `list_order="none"` takes no order from a list. LAYERS are in the order of
`z_index`, and those of the same height in the order of the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from occlusionformer.layout.formats.comfy_graph import is_graph, layouts_in_graph
from occlusionformer.layout.formats.comfy_shapes import (
    Given,
    boxes_of,
    elements_of,
    layers_of,
    read_shape,
    shape_of,
    without_pictures,
)
from occlusionformer.layout.formats.format import Format, ListOrder, ReadOptions
from occlusionformer.layout.formats.listing import back_to_front, checked_list_order
from occlusionformer.layout.problems import Findings, LayoutError, Path
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, tidy_json
from occlusionformer.layout.values import plain_value, unfit_parts

MOST_FRAMES = 4096
"""Of a value: one without a box takes two characters in a text, and a thousand bytes as a layout."""

__all__ = ["COMFY", "boxes_of", "elements_of", "layers_of", "layout_of", "layouts_of", "shape_of"]


def layout_of(
    value: object,
    *,
    prompt: str | None = None,
    width: int | None = None,
    height: int | None = None,
    captions: Sequence[str] | None = None,
    list_order: ListOrder | None = None,
) -> Layout:
    """The layout of a BOUNDING_BOX list, of elements or of LAYERS; a list with one frame counts as its boxes.

    `prompt`, and but for LAYERS with a canvas `width` and `height`, have to be given. `captions` are words for the
    boxes in the order of the list. Raises LayoutError with all problems.
    """
    layouts = layouts_of(value, prompt=prompt, width=width, height=height, captions=captions, list_order=list_order)
    if len(layouts) != 1:
        raise LayoutError([f"expected boxes of one frame, got {len(layouts)}"])
    return layouts[0]


def layouts_of(
    value: object,
    *,
    prompt: str | None = None,
    width: int | None = None,
    height: int | None = None,
    captions: Sequence[str] | None = None,
    list_order: ListOrder | None = None,
) -> list[Layout]:
    """One layout for each frame of a value; otherwise like `layout_of`."""
    document = parse_json(value) if isinstance(value, str) else without_pictures(value)
    unfit = unfit_parts(document)
    if problems := [*unfit.names, *unfit.numbers]:
        raise LayoutError(problems)
    order = None if list_order is None else checked_list_order(list_order)
    given = Given(prompt=prompt, width=width, height=height, captions=captions, list_order=order)
    return _read_frames(plain_value(document), given)


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of a value in one of the three shapes, of a list with one for each frame, or of a saved graph."""
    order = None if options.list_order is None else checked_list_order(options.list_order)
    given = Given(prompt=options.prompt, width=options.width, height=options.height, list_order=order)
    return _read_frames(document, given)


def write_all(layouts: Sequence[Layout]) -> list[list[dict[str, object]]]:
    return [boxes_of(layout) for layout in layouts]


def _read_frames(document: object, given: Given) -> list[Layout]:
    if is_graph(document):
        return layouts_in_graph(document, given)
    parts: Iterable[tuple[int | None, object]] = [(None, document)]
    if isinstance(document, list | tuple) and any(isinstance(part, list | tuple) for part in document):
        if len(document) > MOST_FRAMES:
            raise LayoutError([f"expected at most {MOST_FRAMES} frames, got {len(document)}"])
        parts = enumerate(document)
    layouts: list[Layout] = []
    findings = Findings()
    for place, part in parts:
        path: Path = () if place is None else (place,)
        try:
            layouts.append(read_shape(part, path, given))
        except LayoutError as error:
            findings.add(error.details)
    findings.raise_any()
    return layouts


COMFY = Format(
    name="comfy",
    description="Boxes of ComfyUI's nodes: a BOUNDING_BOX list in whole pixels, elements on a grid of 1000, or LAYERS.",
    order="the list, from back to front unless the reader says otherwise; LAYERS by z_index, the higher the nearer",
    from_text=parse_json,
    read=read,
    write_one=boxes_of,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"canvas", "metadata", "nodes"}),
    options=frozenset({"prompt", "width", "height", "list_order"}),
    needs=frozenset({"prompt", "width", "height"}),
    places=back_to_front,
)
