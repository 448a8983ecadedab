"""OverLayBench annotations: a Python literal, corners in pixels of a 1024 x 1024 canvas, no order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from occlusionformer.layout.box import overlapping_pairs
from occlusionformer.layout.formats.draft import NOTHING, Draft, an_object
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.pixels import corners, read_corners
from occlusionformer.layout.literal import parse_literal
from occlusionformer.layout.problems import LayoutError, Path, Problem, shown
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.zorder import MOST_RELATIONS

SIDE = 1024
FIELDS = ("caption", "annotations", "relations", "valid_overlap")
ROW_FIELDS = ("category", "bbox", "local_prompts")
STAND_IN = {"bbox": [0, 0, 1, 1], "local_prompts": "-"}


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of an annotation or a list of them; the names of the instances are their ids.

    `relations` and `valid_overlap` are about the evaluation, not about the picture, and left unread.
    """
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    """An annotation without relations; every two boxes that overlap are a valid overlap.

    Raises LayoutError for more overlaps than MOST_RELATIONS.
    """
    rows: dict[str, object] = {}
    for instance in layout.instances:
        row = {} if instance.category is None else {"category": instance.category}
        rows[instance.id] = {**row, "bbox": corners(instance.box, (SIDE, SIDE)), "local_prompts": instance.caption}
    pairs = sorted(islice(overlapping_pairs(layout.boxes), MOST_RELATIONS + 1))
    if len(pairs) > MOST_RELATIONS:
        raise LayoutError([Problem(("instances",), f"expected at most {MOST_RELATIONS} overlaps of boxes, got more")])
    overlaps = [{"overlap_box": list(pair)} for pair in pairs]
    return {"caption": layout.prompt, "annotations": rows, "relations": {}, "valid_overlap": overlaps}


def write_all(layouts: Sequence[Layout]) -> list[dict[str, object]]:
    return [write_one(layout) for layout in layouts]


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    source = an_object(document, path)
    draft = Draft(path)
    draft.refuse_others(source, FIELDS)
    draft.take("prompt", source, "caption")
    draft.fields.update(width=SIDE, height=SIDE)
    rows = source.get("annotations", NOTHING)
    if not isinstance(rows, Mapping):
        draft.report(("annotations",), f"expected an object with instances by name, got {shown(rows)}")
        rows = {}
    for name, row in rows.items():
        row_path = ("annotations", name)
        if not isinstance(row, Mapping):
            draft.report(row_path, f"expected an object, got {shown(row)}")
            row = STAND_IN
        draft.refuse_others(row, ROW_FIELDS, row_path)
        place = draft.add(row_path, name)
        draft.take_for(place, "category", row)
        draft.take_for(place, "caption", row, "local_prompts")
        draft.put_box(place, row, "bbox", read_corners, (SIDE, SIDE))
    return draft.build(OVERLAYBENCH.cycles)


OVERLAYBENCH = Format(
    name="overlaybench",
    description="OverLayBench annotations: a Python literal with corners in pixels of 1024 x 1024; no order.",
    order="none",
    from_text=parse_literal,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=repr,
    marks=frozenset({"valid_overlap", "relations"}),
)
