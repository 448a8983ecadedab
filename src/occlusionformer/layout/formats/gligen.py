"""Arguments of GLIGEN, as its released script or diffusers takes them: a list of texts, and one of boxes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeGuard

from occlusionformer.layout.box import Box
from occlusionformer.layout.formats import simpletuner
from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.pixels import Canvas
from occlusionformer.layout.problems import LayoutError, Path, Problem, shown
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import tidy_json

CALL = ("prompt", "width", "height")
LISTS = (("phrases", "locations"), ("gligen_phrases", "gligen_boxes"))
"""Names of the list of texts and of that of boxes: in the released script, and in diffusers."""
UNREAD = ("alpha_type", "ckpt", "save_folder_name", "gligen_scheduled_sampling_beta", "num_inference_steps")
"""What stands beside those lists in a call, and is no part of a layout."""
RENAMED = (
    "boxes with labels are the simpletuner format now: name it so; gligen, which is phrases and locations, "
    "will not read them after this release"
)


WRITTEN = "gligen writes phrases and locations now; boxes with labels are the simpletuner format"
"""For one release, to those who knew the name for something else."""


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of a call's arguments, or of a list of them, with texts and boxes by either pair of names.

    What the document does not say about prompt and canvas the options must. Nobody is in front of anybody.
    """
    if _is_older(document):
        warnings.warn(RENAMED, FutureWarning, stacklevel=2)
        return simpletuner.read(document, options)
    return read_each(document, _read_one, options)


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    if not _has_lists(document):
        known = "phrases and locations, or gligen_phrases and gligen_boxes"
        raise LayoutError([Problem(path, f"expected an object with {known}, got {shown(document)}")])
    draft = Draft(path)
    phrases, locations = next(names for names in LISTS if any(name in document for name in names))
    draft.refuse_others(document, (*CALL, phrases, locations, *UNREAD))
    draft.take_or_given(document, options, *CALL)
    texts, boxes = (draft.listed(document.get(name, NOTHING), (name,)) for name in (phrases, locations))
    if len(texts) != len(boxes):
        draft.report((locations,), f"expected {len(texts)} boxes, one for each of {phrases}, got {len(boxes)}")
    for number, (text, box) in enumerate(zip(texts, boxes, strict=False)):
        place = draft.add((locations, number), str(number + 1))
        draft.put_for(place, "caption", text, (phrases, number))
        draft.put_box_at(place, box, (locations, number), _fractions, (1, 1))
    return draft.build(GLIGEN.cycles)


def _writer(phrases: str, locations: str) -> Callable[[Layout], dict[str, object]]:
    def write_one(layout: Layout) -> dict[str, object]:
        return {
            "prompt": layout.prompt,
            phrases: [instance.caption for instance in layout.instances],
            locations: [list(instance.box) for instance in layout.instances],
            "width": layout.width,
            "height": layout.height,
        }

    return write_one


def _all_by(write_one: Callable[[Layout], object]) -> Callable[[Sequence[Layout]], object]:
    return lambda layouts: [write_one(layout) for layout in layouts]


def _write_one(layout: Layout) -> object:
    warnings.warn(WRITTEN, FutureWarning, stacklevel=2)
    return _writer(*LISTS[0])(layout)


def _write_all(layouts: Sequence[Layout]) -> object:
    warnings.warn(WRITTEN, FutureWarning, stacklevel=2)
    return _all_by(_writer(*LISTS[0]))(layouts)


def _has_lists(document: object) -> TypeGuard[Fields]:
    return isinstance(document, Mapping) and any(name in document for names in LISTS for name in names)


def _is_older(document: object) -> bool:
    """Whether a document is what this name meant before: rows with a box each, or an object with `boxes`."""
    parts = document if isinstance(document, list | tuple) else (document,)
    rows = [part for part in parts if isinstance(part, Mapping)]
    return any("boxes" in row or "bbox" in row for row in rows) and not any(map(_has_lists, rows))


def _fractions(value: object, canvas: Canvas) -> Box:
    return Box.parse(value)


GLIGEN = Format(
    name="gligen",
    description="Arguments of GLIGEN's script: phrases, and locations as fractions; prompt and canvas beside or given.",
    order="none",
    from_text=simpletuner.parse,
    read=read,
    write_one=_write_one,
    write_all=_write_all,
    to_text=tidy_json,
    marks=frozenset(LISTS[0]),
    options=frozenset({*CALL, "cycles"}),
)
DIFFUSERS_GLIGEN = replace(
    GLIGEN,
    name="gligen-diffusers",
    description="Arguments of diffusers' GLIGEN pipelines: gligen_phrases, and gligen_boxes as fractions.",
    write_one=_writer(*LISTS[1]),
    write_all=_all_by(_writer(*LISTS[1])),
    marks=frozenset(LISTS[1]),
)
