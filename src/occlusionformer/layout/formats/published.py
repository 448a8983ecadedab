"""The JSON of the published inference examples: pixel corners, and `occludes` by row number."""

from __future__ import annotations

from collections.abc import Sequence

from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.occlusion import occludes, read_occludes
from occlusionformer.layout.formats.pixels import corners, read_corners
from occlusionformer.layout.problems import Path, shown
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, tidy_json

FIELDS = ("prompt", "caption", "height", "width", "annos", "seed", "id")
ROW_FIELDS = ("bbox", "caption", "category", "category_name", "occludes", "id")
STAND_IN = {"bbox": [0, 0, 1, 1], "caption": "-"}


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of a document; rows are numbered from 1 and keep their number as id unless they have one.

    An `id` of the document itself, which data sets in this format have, is left unread. As in the released script,
    `prompt` wins over a `caption` that differs, which a warning tells, and a row without a caption is its category.
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
    _take_prompt(draft, source)
    for name in ("width", "height", "seed"):
        draft.take(name, source)
    rows = draft.rows(source.get("annos", NOTHING), ("annos",), STAND_IN)
    canvas = draft.canvas()
    for number, row in enumerate(rows, start=1):
        row_path = ("annos", number - 1)
        draft.refuse_others(row, ROW_FIELDS, row_path)
        place = draft.add(row_path, str(number))
        draft.take_for(place, "id", row)
        _take_texts(draft, place, row)
        draft.put_box(place, row, "bbox", read_corners, canvas)
    draft.origins["order",] = ("annos",)
    read_occludes(draft, rows, {place + 1: place for place in range(len(rows))}, "row")
    return draft.build(options.cycles or PUBLISHED.cycles)


def _take_prompt(draft: Draft, source: Fields) -> None:
    prompt, caption = source.get("prompt", NOTHING), source.get("caption", NOTHING)
    if caption is NOTHING or _is_blank(caption):
        draft.take("prompt", source)
    elif prompt is NOTHING or _is_blank(prompt):
        draft.take("prompt", source, "caption")
    else:
        draft.take("prompt", source)
        if caption != prompt:
            draft.note(("caption",), f"left unread, because prompt says something else: {shown(prompt)}")


def _take_texts(draft: Draft, place: int, row: Fields) -> None:
    """Caption and category. The released script reads "category, caption", and a category without a caption alone."""
    named = [name for name in ("category_name", "category") if name in row and not _is_blank(row[name])]
    if named and _is_blank(row.get("caption", "")):
        draft.take_for(place, "caption", row, *named)
        return
    draft.take_for(place, "caption", row)
    if named:
        draft.take_for(place, "category", row, *named)


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


PUBLISHED = Format(
    name="published",
    description="The JSON of the published examples: annos with corners in pixels, and occludes by row number.",
    order="occludes: the numbers, from 1, of the rows that a row is in front of",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"annos"}),
    options=frozenset({"cycles"}),
)
