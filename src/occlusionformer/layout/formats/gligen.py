"""Sidecars of grounded generation: a list of boxes as fractions with a label each, beside a picture or prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

from occlusionformer.layout.box import Box
from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.occlusion import order_fields, read_order
from occlusionformer.layout.formats.pixels import Canvas
from occlusionformer.layout.limits import DocumentLimits
from occlusionformer.layout.problems import LayoutError, Path, Problem, shown
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, parse_json_lines, tidy_json

FIELDS = ("prompt", "width", "height", "seed", "boxes")
ROW_FIELDS = ("bbox", "label", "caption", "text", "z", "occludes", "id")
LISTS = (("phrases", "locations"), ("gligen_phrases", "gligen_boxes"))
"""Names of a list of texts and of one of boxes."""
UNREAD = ("alpha_type", "ckpt", "save_folder_name", "gligen_scheduled_sampling_beta", "num_inference_steps")
"""What stands beside those lists in a call, and is no part of a layout."""
MARKS = frozenset({"boxes", *(name for names in LISTS for name in names)})
"""Fields of which a document has one."""
STAND_IN = {"bbox": [0, 0, 1, 1], "label": "-"}


def parse(text: str, limits: DocumentLimits) -> object:
    """A JSON document, or lines of JSON with a box each."""
    lines = [line for line in text.split("\n") if line.strip()]
    is_lines = len(lines) > 1 and all(line.strip().startswith("{") and line.strip().endswith("}") for line in lines)
    return parse_json_lines(text, limits) if is_lines else parse_json(text, limits)


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layout of a list of boxes, or of an object with `prompt`, `width`, `height` and `boxes`; or a list of those.

    Instead of `boxes`, an object may have lists of texts and boxes as the released script of GLIGEN and its pipelines
    take them: `phrases` and `locations`, or `gligen_phrases` and `gligen_boxes`. What the document does not say about
    prompt and canvas the options must. `z` is the higher the nearer,
    `occludes` the numbers, from 1, of the boxes that a box is in front of.
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
    names = next((names for names in LISTS if any(name in document for name in names)), None)
    known = FIELDS if names is None else (*FIELDS[:-1], *names, *UNREAD)
    draft.refuse_others(document, known)
    draft.take("seed", document)
    if names is None:
        return _read_boxes(draft, document, ("boxes",), options)
    _take_outside(draft, document, options)
    _take_lists(draft, document, *names)
    return draft.build(options.cycles or GLIGEN.cycles)


def _take_lists(draft: Draft, source: Fields, phrases: str, locations: str) -> None:
    """Instances from a list of texts and a list of boxes."""
    texts, boxes = (draft.listed(source.get(name, NOTHING), (name,)) for name in (phrases, locations))
    if len(texts) != len(boxes):
        draft.report((locations,), f"expected {len(texts)} boxes, one for each of {phrases}, got {len(boxes)}")
    for number, (text, box) in enumerate(zip(texts, boxes, strict=False)):
        place = draft.add((locations, number), str(number + 1))
        draft.put_for(place, "caption", text, (phrases, number))
        draft.put_box_at(place, box, (locations, number), _fractions, (1, 1))


def _read_boxes(draft: Draft, source: Fields, path: Path, options: ReadOptions) -> Layout:
    """The layout of the boxes of an object; `path` leads to them in the document."""
    _take_outside(draft, source, options)
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
    return draft.build(options.cycles or GLIGEN.cycles)


def _take_outside(draft: Draft, source: Fields, options: ReadOptions) -> None:
    """Prompt and canvas, from the document or from the caller."""
    for name in ("prompt", "width", "height"):
        draft.take(name, source)
        given = getattr(options, name)
        if given is not None and name in source:
            draft.report((name,), "expected a value in the document or from the caller, got both")
        elif given is not None:
            draft.put(name, given, (name,))


def _has_boxes(document: object) -> TypeGuard[Fields]:
    return isinstance(document, Mapping) and not MARKS.isdisjoint(document)


def _fractions(value: object, canvas: Canvas) -> Box:
    return Box.parse(value)


GLIGEN = Format(
    name="gligen",
    description="Sidecars: a list of boxes as fractions with a label each; prompt and canvas beside them or given.",
    order="z, the higher the nearer, or occludes",
    from_text=parse,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=MARKS,
    options=frozenset({"prompt", "width", "height", "cycles"}),
)
