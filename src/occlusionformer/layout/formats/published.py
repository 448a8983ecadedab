"""The JSON of the published inference examples: pixel corners, and `occludes` by row number."""

from __future__ import annotations

from collections.abc import Sequence

from occlusionformer.layout.formats.draft import NOTHING, Draft, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.occlusion import occludes, read_occludes
from occlusionformer.layout.formats.pixels import corners, read_corners
from occlusionformer.layout.problems import Path
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, tidy_json

FIELDS = ("prompt", "caption", "height", "width", "annos", "seed", "id")
ROW_FIELDS = ("bbox", "caption", "category", "category_name", "occludes", "id")
STAND_IN = {"bbox": [0, 0, 1, 1], "caption": "-"}


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of a document; rows are numbered from 1 and keep their number as id unless they have one.

    An `id` of the document itself, which data sets in this format have, is left unread.
    """
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    canvas = layout.width, layout.height
    behind = occludes(layout)
    rows: list[dict[str, object]] = []
    for place, instance in enumerate(layout.instances):
        row: dict[str, object] = {"bbox": corners(instance.box, canvas), "caption": instance.caption}
        if instance.category is not None:
            row["category_name"] = instance.category
        if behind is not None:
            row["occludes"] = ",".join(str(number + 1) for number in behind[place])
        if instance.id != str(place + 1):
            row["id"] = instance.id
        rows.append(row)
    document: dict[str, object] = {"prompt": layout.prompt, "height": layout.height, "width": layout.width}
    if layout.seed is not None:
        document["seed"] = layout.seed
    return {**document, "annos": rows}


def write_all(layouts: Sequence[Layout]) -> list[dict[str, object]]:
    return [write_one(layout) for layout in layouts]


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    source = an_object(document, path)
    draft = Draft(path)
    draft.refuse_others(source, FIELDS)
    draft.take("prompt", source, "prompt", "caption")
    for name in ("width", "height", "seed"):
        draft.take(name, source)
    rows = draft.rows(source.get("annos", NOTHING), ("annos",), STAND_IN)
    canvas = draft.canvas()
    for number, row in enumerate(rows, start=1):
        row_path = ("annos", number - 1)
        draft.refuse_others(row, ROW_FIELDS, row_path)
        place = draft.add(row_path, str(number))
        draft.take_for(place, "id", row)
        draft.take_for(place, "caption", row)
        if any(row.get(name) != "" for name in ("category", "category_name") if name in row):
            draft.take_for(place, "category", row, "category_name", "category")
        draft.put_box(place, row, "bbox", read_corners, canvas)
    draft.origins["order",] = ("annos",)
    read_occludes(draft, rows, {place + 1: place for place in range(len(rows))}, "row")
    return draft.build(options.cycles or PUBLISHED.cycles)


PUBLISHED = Format(
    name="published",
    description="The JSON of the published examples: annos with corners in pixels, and occludes by row number.",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    options=frozenset({"cycles"}),
)
