"""Sidecars as SimpleTuner reads them: a list of boxes as fractions with a label each, beside a picture or prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from occlusionformer.layout.box import Box
from occlusionformer.layout.formats.draft import Draft, Fields
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.occlusion import order_fields, read_order
from occlusionformer.layout.formats.pixels import Canvas
from occlusionformer.layout.limits import DocumentLimits
from occlusionformer.layout.problems import LayoutError, Path, Problem, shown
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, parse_json_lines, tidy_json

FIELDS = ("prompt", "width", "height", "seed", "boxes")
ROW_FIELDS = ("bbox", "label", "caption", "text", "z", "occludes", "id")
STAND_IN = {"bbox": [0, 0, 1, 1], "label": "-"}


def parse(text: str, limits: DocumentLimits) -> object:
    """A JSON document, or lines of JSON with a box each."""
    lines = [line for line in text.split("\n") if line.strip()]
    is_lines = len(lines) > 1 and all(line.strip().startswith("{") and line.strip().endswith("}") for line in lines)
    return parse_json_lines(text, limits) if is_lines else parse_json(text, limits)


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layout of a list of boxes, or of an object with `prompt`, `width`, `height` and `boxes`; or a list of those.

    What the document does not say about prompt and canvas the options must. `z` is the higher the nearer, `occludes`
    the numbers, from 1, of the boxes that a box is in front of.
    """
    if isinstance(document, Mapping) and "bbox" in document:
        document = [document]
    if isinstance(document, list | tuple) and not any(_has_boxes(part) for part in document):
        return [_read_boxes(Draft(()), {"boxes": document}, (), options)]
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    numbers = range(1, len(layout.instances) + 1)
    rows: list[dict[str, object]] = []
    for number, instance, order in zip(numbers, layout.instances, order_fields(layout, numbers), strict=True):
        row: dict[str, object] = {"bbox": list(instance.box), "label": instance.caption, **order}
        if instance.id != str(number):
            row["id"] = instance.id
        rows.append(row)
    document: dict[str, object] = {"prompt": layout.prompt, "width": layout.width, "height": layout.height}
    if layout.seed is not None:
        document["seed"] = layout.seed
    return {**document, "boxes": rows}


def write_all(layouts: Sequence[Layout]) -> list[dict[str, object]]:
    return [write_one(layout) for layout in layouts]


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    if not _has_boxes(document):
        raise LayoutError([Problem(path, f"expected a list of boxes or an object with boxes, got {shown(document)}")])
    draft = Draft(path)
    draft.refuse_others(document, FIELDS)
    draft.take("seed", document)
    return _read_boxes(draft, document, ("boxes",), options)


def _read_boxes(draft: Draft, source: Fields, path: Path, options: ReadOptions) -> Layout:
    """The layout of the boxes of an object; `path` leads to them in the document."""
    draft.take_or_given(source, options, "prompt", "width", "height")
    rows = draft.rows(source["boxes"], path, STAND_IN)
    for number, row in enumerate(rows, start=1):
        row_path = (*path, number - 1)
        draft.refuse_others(row, ROW_FIELDS, row_path)
        place = draft.add(row_path, str(number))
        draft.take_for(place, "id", row)
        draft.take_for(place, "caption", row, "label", "caption", "text")
        draft.put_box(place, row, "bbox", _fractions, (1, 1))
    draft.origins["order",] = path
    read_order(draft, rows, {place + 1: place for place in range(len(rows))}, "box")
    return draft.build(options.cycles or SIMPLETUNER.cycles)


def _has_boxes(document: object) -> TypeGuard[Fields]:
    return isinstance(document, Mapping) and "boxes" in document


def _fractions(value: object, canvas: Canvas) -> Box:
    return Box.parse(value)


SIMPLETUNER = Format(
    name="simpletuner",
    description="SimpleTuner's sidecars: boxes as fractions with a label each; prompt and canvas beside or given.",
    order="z, the higher the nearer, or occludes",
    from_text=parse,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"boxes"}),
    options=frozenset({"prompt", "width", "height", "cycles"}),
)
