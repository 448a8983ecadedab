"""Records of the SA-Z data set: visible masks, pixel boxes with width and height, and an occlusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.occlusion import occludes
from occlusionformer.layout.formats.pixels import corner_and_size, read_corner_and_size
from occlusionformer.layout.problems import Findings, LayoutError, Path, shown
from occlusionformer.layout.region import RunLength
from occlusionformer.layout.schema import Instance, Layout
from occlusionformer.layout.text import parse_json, tidy_json

STAND_IN = {"bbox": [0, 0, 1, 1], "caption": "-"}
UNKNOWN, APART, OCCLUDES = -1, 0, 1
"""Values of the matrix: not judged, no occlusion, the row's instance hides part of the column's."""


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of a record, of a list of records, or of an object with records by image id.

    The canvas is the size of the masks. Every visible mask becomes the region of its instance, unless
    `regions` is False; images, areas and quality scores are left unread. A record without masks needs `width` and
    `height`, which are not part of the data set.
    """
    if isinstance(document, Mapping) and "mask_annotation" not in document:
        return _read_by_image(document, options)
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    return _record(layout, 1)


def write_all(layouts: Sequence[Layout]) -> dict[str, object]:
    """Records by image id; images are numbered from 1."""
    return {str(number): _record(layout, number) for number, layout in enumerate(layouts, start=1)}


def _read_by_image(document: Fields, options: ReadOptions) -> list[Layout]:
    layouts: list[Layout] = []
    findings = Findings()
    for image, record in document.items():
        try:
            layouts.append(_read_one(record, (image,), options))
        except LayoutError as error:
            findings.add(error.details)
    findings.raise_any()
    return layouts


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    source = an_object(document, path)
    draft = Draft(path)
    draft.take("prompt", source)
    rows = draft.rows(source.get("mask_annotation", NOTHING), ("mask_annotation",), STAND_IN)
    _take_canvas(draft, source, rows)
    canvas = draft.canvas()
    for number, row in enumerate(rows, start=1):
        place = draft.add(("mask_annotation", number - 1), _identifier(row, number))
        draft.origins["instances", place, "id"] = (
            "mask_annotation",
            place,
            "instance_id" if "instance_id" in row else "id",
        )
        draft.take_for(place, "caption", row)
        draft.put_box(place, row, "bbox", read_corner_and_size, canvas)
        if "segmentation" in row and options.regions is not False:
            draft.take_for(place, "region", row, "segmentation")
    draft.origins["order",] = ("pred_order",)
    if "pred_order" in source:
        _take_matrix(draft, source["pred_order"])
    return draft.build(options.cycles or SA_Z.cycles)


def _take_canvas(draft: Draft, source: Fields, rows: Sequence[Fields]) -> None:
    """The size beside the masks, or of the first mask; all masks must have it."""
    sizes: dict[Path, tuple[object, ...]] = {}
    for place, row in enumerate(rows):
        mask = row.get("segmentation")
        if isinstance(mask, Mapping) and isinstance(mask.get("size"), list | tuple):
            sizes["mask_annotation", place, "segmentation", "size"] = tuple(mask["size"])
    path, size = next(iter(sizes.items()), ((), ()))
    for place, name in enumerate(("height", "width")):
        draft.take(name, source)
        if name not in source and len(size) == 2:
            draft.put(name, size[place], (*path, place))
    canvas = (draft.fields.get("height"), draft.fields.get("width"))
    for path, size in sizes.items():
        if size != canvas:
            draft.report(path, f"expected the size of the image, {shown(canvas)}, got {shown(size)}")


def _take_matrix(draft: Draft, matrix: object) -> None:
    count = len(draft.instances)
    draft.pairs = []
    if not isinstance(matrix, list | tuple) or len(matrix) != count:
        draft.report(("pred_order",), f"expected {count} lists of {count} numbers, got {shown(matrix)}")
        return
    for front, row in enumerate(matrix):
        if not isinstance(row, list | tuple) or len(row) != count:
            draft.report(("pred_order", front), f"expected a list of {count} numbers, got {shown(row)}")
            continue
        for behind, value in enumerate(row):
            path = ("pred_order", front, behind)
            if type(value) is not int or value not in (UNKNOWN, APART, OCCLUDES):
                draft.report(path, f"expected 1, 0 or -1, got {shown(value)}")
            elif value == OCCLUDES and front == behind:
                draft.report(path, "expected 0, got 1: an instance in front of itself")
            elif value == OCCLUDES:
                draft.pairs.append((front, behind))


def _identifier(row: Fields, number: int) -> object:
    """The instance's own id, or the number of its annotation as text, or of its row."""
    identifier = row.get("instance_id", row.get("id", number))
    return str(identifier) if isinstance(identifier, int) and not isinstance(identifier, bool) else identifier


def _record(layout: Layout, number: int) -> dict[str, object]:
    rows = [_row(layout, instance, place) for place, instance in enumerate(layout.instances)]
    record: dict[str, object] = {"image_id": number, "prompt": layout.prompt}
    if not any("segmentation" in row for row in rows):
        record.update(height=layout.height, width=layout.width)
    record["mask_annotation"] = rows
    behind = occludes(layout)
    if behind is not None:
        hidden = [set(each) for each in behind]
        record["pred_order"] = [[int(b in hidden[f]) for b in range(len(rows))] for f in range(len(rows))]
    return record


def _row(layout: Layout, instance: Instance, place: int) -> dict[str, object]:
    is_number = instance.id.isascii() and instance.id.isdigit() and str(int(instance.id)) == instance.id
    row: dict[str, object] = {"id": int(instance.id) if is_number else place + 1}
    if not is_number:
        row["instance_id"] = instance.id
    row["bbox"] = corner_and_size(instance.box, (layout.width, layout.height))
    if isinstance(instance.region, RunLength) and instance.region.size == (layout.height, layout.width):
        row["segmentation"] = instance.region.model_dump()
    return {**row, "caption": instance.caption}


SA_Z = Format(
    name="sa-z",
    description="Records of the SA-Z data set: visible masks, boxes with width and height, a matrix of occlusions.",
    order="pred_order[i][j] = 1: i is in front of j",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"mask_annotation"}),
    options=frozenset({"cycles", "regions"}),
    cycles="allow",
)
