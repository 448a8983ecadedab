"""Captions of FLUX 3 Image: words that cite boxes, and a table of the boxes behind them. The order is in the words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

from occlusionformer.layout.formats.draft import NOTHING, Draft, an_object
from occlusionformer.layout.formats.flux3_words import cited_in, read_sentences, written_sentences
from occlusionformer.layout.formats.format import Format, ReadOptions, read_each
from occlusionformer.layout.formats.pixels import grid_yx, read_grid_yx
from occlusionformer.layout.limits import DocumentLimits
from occlusionformer.layout.problems import LayoutError, Path, shown
from occlusionformer.layout.schema import Instance, Layout
from occlusionformer.layout.text import check_text, parse_json, tidy_json
from occlusionformer.layout.zorder import MOST_RELATIONS

FIELDS = ("caption", "elements")
ROW_FIELDS = ("id", "bbox", "desc")
STAND_IN = {"id": "-", "bbox": [0, 0, 1, 1], "desc": "-"}

_TABLE = re.compile(r" \[(?=\s*\{\s*\"|\s*\]\s*\Z)")
"""Where a table begins: no text in it can look like that, since quotes in texts are escaped."""
_TEXTS = re.compile(r"\s*\[\s*[\"\]]")
_NAME = re.compile(r"[a-z]+_[1-9][0-9]{0,8}", re.ASCII)
_NOUN = re.compile(r"[a-z]+", re.ASCII)


def parse(text: str, limits: DocumentLimits) -> object:
    """Caption and table of a text, or of every text in a JSON list of them."""
    check_text(text, limits)
    if _TEXTS.match(text):
        try:
            several = parse_json(text, limits)
        except LayoutError:
            several = None  # a caption may begin like a list
        if isinstance(several, list) and all(isinstance(part, str) for part in several):
            return [_parts(part, limits) for part in several]
    return _parts(text, limits)


def to_text(document: object) -> str:
    """A caption, one space and the table on the same line; several are a JSON list of such texts."""
    if isinstance(document, Mapping):
        return f"{document['caption']} {json.dumps(document['elements'], ensure_ascii=False)}"
    assert isinstance(document, list)
    return tidy_json([to_text(part) for part in document])


def read(document: object, options: ReadOptions) -> list[Layout]:
    """The layouts of captions, each an object with `caption` and `elements`; the canvas has to be given.

    An order is read from the sentences at the end of a caption that `write_one` writes, and from nothing else.
    """
    return read_each(document, _read_one, options)


def write_one(layout: Layout) -> dict[str, object]:
    """Caption and table. Everything is cited once, in sentences behind the prompt.

    `<cat_1> in front of <vase_1> in front of <wall_1>.` is a total order of those three; what has no relation to
    anything has a sentence of its own, `<cup_1>.`, and sentences have no relation to each other.
    """
    names = list(_names(layout))
    rows = [
        {"id": name, "bbox": grid_yx(instance.box), "desc": instance.caption}
        for name, instance in zip(names, layout.instances, strict=True)
    ]
    return {"caption": layout.prompt + written_sentences(layout, names), "elements": rows}


def write_all(layouts: Sequence[Layout]) -> list[dict[str, object]]:
    return [write_one(layout) for layout in layouts]


def _parts(text: str, limits: DocumentLimits) -> dict[str, object]:
    """Caption and table of one text. Raises LayoutError for one without a table."""
    starts = [match.start() for match in _TABLE.finditer(text)]
    if not starts:
        raise LayoutError([f"expected words, one space and a JSON list of boxes, got {shown(text)}"])
    try:
        elements = parse_json(text[starts[-1] + 1 :], limits)
    except LayoutError as error:
        raise LayoutError(f"the list of boxes: {problem}" for problem in error.problems) from None
    return {"caption": text[: starts[-1]], "elements": elements}


def _names(layout: Layout) -> Iterator[str]:
    """A noun and a number for every instance: its id where it is one already, else after the letters of the id."""
    kept = {instance.id for instance in layout.instances if _NAME.fullmatch(instance.id)}
    taken = kept | cited_in(layout.prompt)
    last: Counter[str] = Counter()
    for instance in layout.instances:
        if instance.id in kept:
            yield instance.id
            continue
        noun = _noun(instance)
        last[noun] += 1
        while f"{noun}_{last[noun]}" in taken:
            last[noun] += 1
        yield f"{noun}_{last[noun]}"


def _noun(instance: Instance) -> str:
    found = _NOUN.search(instance.id.lower())
    return found[0][:40] if found else "obj"


def _read_one(document: object, path: Path, options: ReadOptions) -> Layout:
    source = an_object(document, path)
    draft = Draft(path)
    draft.refuse_others(source, FIELDS)
    draft.take_or_given({}, options, "width", "height")
    rows = draft.rows(source.get("elements", NOTHING), ("elements",), STAND_IN)
    for number, row in enumerate(rows):
        row_path = ("elements", number)
        draft.refuse_others(row, ROW_FIELDS, row_path)
        name = row.get("id", NOTHING)
        place = draft.add(row_path, name)
        if name is NOTHING:
            draft.report((*row_path, "id"), "expected a value, got nothing")
        draft.take_for(place, "caption", row, "desc")
        draft.put_box(place, row, "bbox", read_grid_yx, None)
    draft.origins["order",] = ("caption",)
    _take_caption(draft, source.get("caption", NOTHING))
    return draft.build(FLUX3.cycles)


def _take_caption(draft: Draft, caption: object) -> None:
    """The prompt, and the order that its last sentences state."""
    if not isinstance(caption, str):
        draft.report(("caption",), f"expected text, got {shown(caption)}")
        return
    names = {name: place for place, each in enumerate(draft.instances) if isinstance(name := each["id"], str)}
    found = read_sentences(caption, names)
    draft.put("prompt", found.prompt, ("caption",))
    chains = [chain for chain in found.chains if len(chain) > 1]
    relations = sum(len(chain) * (len(chain) - 1) // 2 for chain in chains)
    if len(chains) == 1:
        draft.front_to_back = chains[0]
    elif relations > MOST_RELATIONS:
        draft.report(("caption",), f"expected at most {MOST_RELATIONS} relations, got {relations}")
    elif chains:
        draft.pairs = [pair for chain in chains for pair in combinations(chain, 2)]


FLUX3 = Format(
    name="flux3",
    description="Captions of FLUX 3 Image: words that cite <cat_1>, and a JSON list of boxes on a grid of 1000.",
    order="sentences at the end of the words, as in <cat_1> in front of <vase_1>",
    from_text=parse,
    read=read,
    write_one=write_one,
    write_all=write_all,
    to_text=to_text,
    marks=frozenset({"elements"}),
    options=frozenset({"width", "height"}),
    needs=frozenset({"width", "height"}),
)
