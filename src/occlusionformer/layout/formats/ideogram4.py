"""Captions of Ideogram 4: an object in words, with elements that have boxes on a grid of 1000."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields, an_object
from occlusionformer.layout.formats.elements import ELEMENT_STAND_IN, add_element, element_of
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.listing import back_to_front, declare_list
from occlusionformer.layout.problems import Path, shown
from occlusionformer.layout.schema import Layout
from occlusionformer.layout.text import parse_json, tidy_json

FIELDS = ("aspect_ratio", "high_level_description", "style_description", "compositional_deconstruction")
PARTS = ("background", "elements")
SUMMARY, BACKGROUND = ("high_level_description",), ("compositional_deconstruction", "background")


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of a caption or a list of them, elements from back to front.

    The prompt is the description and the background, a line each, or one of them where they are the same or one is
    missing. Style, colours and the ratio of the sides are left unread; the canvas has to be given. An element without
    a box has no place, and is refused.
    """
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    """A caption with its fields in the order the model expects: a prompt of one line is description and background."""
    summary, _, background = layout.prompt.partition("\n")
    if not summary.strip() or not background.strip() or _joined(summary, background) != layout.prompt:
        summary = background = layout.prompt
    common = math.gcd(layout.width, layout.height)
    elements = [element_of(layout.instances[place]) for place in back_to_front(layout)]
    return {
        "aspect_ratio": f"{layout.width // common}:{layout.height // common}",
        "high_level_description": summary,
        "compositional_deconstruction": {"background": background, "elements": elements},
    }


def write_all(layouts: Sequence[Layout]) -> list[dict[str, object]]:
    return [write_one(layout) for layout in layouts]


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    source = an_object(document, path)
    draft = Draft(path)
    draft.refuse_others(source, FIELDS)
    draft.take_or_given({}, options, "width", "height")
    parts = source.get(BACKGROUND[0], NOTHING)
    if not isinstance(parts, Mapping):
        draft.report(BACKGROUND[:1], f"expected an object with {' and '.join(PARTS)}, got {shown(parts)}")
        parts = {}
    draft.refuse_others(parts, PARTS, BACKGROUND[:1])
    _take_prompt(draft, source, parts)
    rows_path = (BACKGROUND[0], "elements")
    rows = draft.rows(parts.get("elements", NOTHING), rows_path, ELEMENT_STAND_IN) if parts else []
    for number, row in enumerate(rows):
        add_element(draft, row, (*rows_path, number), str(number + 1))
    declare_list(draft, "back-to-front")
    return draft.build(IDEOGRAM4.cycles)


def _take_prompt(draft: Draft, source: Fields, parts: Fields) -> None:
    """Description and background, those of them that are there."""
    found: list[str] = []
    for path, holder in ((SUMMARY, source), (BACKGROUND, parts)):
        text = holder.get(path[-1], "")
        if not isinstance(text, str):
            draft.report(path, f"expected text, got {shown(text)}")
        elif text.strip():
            found.append(text)
    draft.put("prompt", _joined(*found), SUMMARY)


def _joined(*parts: str) -> str:
    return "\n".join(dict.fromkeys(parts))


IDEOGRAM4 = Format(
    name="ideogram4",
    description="Captions of Ideogram 4: words for the whole, and elements with boxes on a grid of 1000.",
    order="the list of elements, from back to front",
    from_text=parse_json,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=tidy_json,
    marks=frozenset({"high_level_description", "compositional_deconstruction"}),
    options=frozenset({"width", "height"}),
    needs=frozenset({"width", "height"}),
    places=back_to_front,
)
