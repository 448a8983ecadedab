"""Elements of a caption as ComfyUI and Ideogram write them: a kind, a box on a grid of 1000, and words."""

from __future__ import annotations

import re

from occlusionformer.layout.formats.draft import NOTHING, Draft, Fields
from occlusionformer.layout.formats.pixels import grid_yx, read_grid_yx
from occlusionformer.layout.problems import Path, shown
from occlusionformer.layout.schema import Instance

ELEMENT_FIELDS = ("type", "bbox", "text", "desc", "color_palette")
ELEMENT_STAND_IN = {"bbox": [0, 0, 1, 1], "desc": "-"}
KINDS = ("obj", "text")

_TEXT = re.compile(r'text "(?P<text>.*?)"(?:: (?P<desc>.*))?', re.DOTALL)


def words_of(kind: object, text: object, desc: object) -> object:
    """The caption of an element: its description; of lettering, also what it reads: `text "SALE": red letters`."""
    if kind != "text" or not isinstance(text, str) or not text:
        return desc
    return f'text "{text}": {desc}' if isinstance(desc, str) and desc else f'text "{text}"'


def kind_and_words(caption: str) -> tuple[str, str, str]:
    """Kind, text and description of a caption; `words_of` gives the caption again."""
    found = _TEXT.fullmatch(caption)
    if found and found["text"]:
        words = found["text"], found["desc"] or ""
        if words_of("text", *words) == caption:
            return ("text", *words)
    return "obj", "", caption


def add_element(draft: Draft, row: Fields, path: Path, identifier: str) -> int:
    """An instance from an element; colours are no part of a layout and left unread. Returns its place."""
    draft.refuse_others(row, ELEMENT_FIELDS, path)
    place = draft.add(path, identifier)
    take_words(draft, place, row, path)
    draft.put_box(place, row, "bbox", read_grid_yx, None)
    return place


def take_words(draft: Draft, place: int, words: Fields, path: Path, kind: str | None = None) -> None:
    """The caption of an instance from an object with `type`, `text` and `desc`."""
    kind_found = words.get("type", kind or "obj")
    if kind_found not in KINDS:
        draft.report((*path, "type"), f"expected obj or text, got {shown(kind_found)}")
    text = words.get("text", "")
    if not isinstance(text, str):
        draft.report((*path, "text"), f"expected text, got {shown(text)}")
    desc = words.get("desc", NOTHING)
    caption = words_of(kind_found, text, "" if desc is None else desc)
    if caption is NOTHING:
        draft.origins["instances", place, "caption"] = (*path, "desc")
    else:
        draft.put_for(place, "caption", caption, (*path, "desc"))


def element_of(instance: Instance) -> dict[str, object]:
    """The element of an instance, its fields in the order that Ideogram's captions have."""
    kind, text, desc = kind_and_words(instance.caption)
    element: dict[str, object] = {"type": kind, "bbox": grid_yx(instance.box)}
    if kind == "text":
        element["text"] = text
    return {**element, "desc": desc}
