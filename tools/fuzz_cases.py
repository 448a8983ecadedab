"""Documents to try the readers with: good ones of every format spoilt at random, and ones made to cost."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from occlusionformer.layout import FORMATS, read_layout, write_layout
from occlusionformer.layout.limits import LAYOUTS

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SIZE = 10**6 - 1000
"""Characters of a document that is made to cost: nearly what a server takes."""

LEAVES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 0.5, 1e308, -0.0, 5e-324, float("nan"), float("inf"), 2**31, 2**63,
    2**64, 10**19,
    10**20, 10**300, -(10**400), "", " ", "a", "1", "1,2", "2,", "-1", "1e9", ",", "\ud800", "\x00", "\x1b[2J",
    "\u202e",
    "o" * 50, "²", "error", "break", "allow", "x" * 2000, [], {}, [[]], {"": 1}, [0, 0, 1, 1], [0, 0, 64, 64],
    {"size": [65535, 65535], "counts": [1, 65535**2 - 1]}, {"size": [4, 4], "counts": "0"}, {"points": [[0, 0],
    [1, 1]]},
    {"points": [[0, 0], [1, 0], [1, 1]]}, [[-1e9, 0, 1e9, 0, 1e9, 1e9]], [[[[[[[[[]]]]]]]]],
)  # fmt: skip
NAMES = (
    "id", "bbox", "box", "caption", "category", "category_id", "category_name", "occludes", "z", "order",
    "pairs", "depths",
    "front", "behind", "front_to_back", "region", "segmentation", "size", "counts", "points", "width",
    "height", "seed",
    "closure", "cycles", "prompt", "annos", "annotations", "images", "instances", "pred_order",
    "mask_annotation", "boxes",
    "phrases", "locations", "", "self", "cls", "__class__", "a b", "x" * 300,
)  # fmt: skip
SNIPPETS = (
    "NaN", "Infinity", "-", "1e999", "[", "]", "{", "}", '"', "'", "\\", "\\ud800", "\x00", "\ufeff", ",", ":",
    "9" * 400,
    "0x" + "f" * 99, "[" * 300, "{'a':" * 100, "(" * 200, "-" * 500, "f'{1}'", "None", "true", "# x", "\n",
    "\r", "\u2028",
    "b'x'", "u''", "1_0", "007", "é", "\U0001f980", '{"a": 1, "a": 2}',
)  # fmt: skip


@dataclass(frozen=True)
class Try:
    """Something to read, and as which format."""

    name: str
    form: str
    source: Any
    options: dict[str, Any]


def good_documents() -> dict[str, list[Any]]:
    """Values of documents by format: the examples written in each, and what only hands write."""
    layouts = []
    for path in sorted(EXAMPLES.glob("*.json")):
        form = path.name.split(".")[1] if path.name.count(".") == 2 else "native"
        layouts.append(read_layout(path, form))
    found: dict[str, list[Any]] = {}
    for name, form in FORMATS.items():
        found[name] = [form.from_text(write_layout(layout, name, lossy=True), LAYOUTS) for layout in layouts]
    canvas = {"prompt": "a", "width": 64, "height": 48}
    rows = [
        {"bbox": [0, 0, 9, 9], "caption": "", "category": "cat", "occludes": 2},
        {"bbox": [0, 0, 9, 9], "caption": "b"},
    ]
    found["published"].append({**canvas, "caption": "b", "annos": rows})
    found["gligen"].append({**canvas, "phrases": ["a", "b"], "locations": [[0, 0, 1, 1], [0, 0, 0.5, 0.5]]})
    found["simpletuner"].append(
        [{"bbox": [0, 0, 1, 1], "label": "a", "z": 1}, {"bbox": [0, 0, 1, 1], "text": "b", "z": 2}]
    )
    found["comfy"] += comfy_values()
    polygon = [[0, 0, 9, 0, 9, 9], [20, 20, 29, 20, 29, 29]]
    found["coco"].append(
        {
            "images": [{"id": "x", "width": 64, "height": 48, "file_name": "a.jpg", "caption": "a"}],
            "annotations": [
                {"id": 1, "image_id": "x", "bbox": [0, 0, 30, 30], "category_id": 1, "segmentation": polygon}
            ],
            "categories": [{"id": 1, "name": "cat"}],
        }
    )
    return found


def comfy_values() -> list[Any]:
    """What only nodes write: frames of detections, elements, layers."""
    box = {"x": 0, "y": 0, "width": 9, "height": 9}
    elements = [
        {"type": "obj", "bbox": [0, 0, 500, 500], "desc": "a"},
        {"type": "text", "bbox": [0, 0, 9, 9], "text": "b"},
    ]
    layer = {"x": 0, "y": 0, "w": 9, "h": 9, "z_index": 0, "opacity": 0.5, "name": "a"}
    return [
        [[{**box, "label": "cat", "score": 0.5}], [{**box, "metadata": {"desc": "a", "content_rect": [1, 1, 4, 4]}}]],
        elements,
        {"version": 1, "canvas": [64, 48], "layers": [layer, {**layer, "z_index": 3}]},
        {
            "nodes": [
                {
                    "id": 1,
                    "type": "CreateBoundingBoxes",
                    "widgets_values": [64, 48, [{**box, "metadata": {"desc": "a"}}]],
                },
                {"id": 2, "type": "Flux3LayoutPrompt", "widgets_values": ["a room"]},
                {"id": 3, "type": "CLIPTextEncode", "widgets_values": [json.dumps(elements)]},
            ],
            "links": [[1, 1, 2, 2, 0, "ARRAY"]],
        },
    ]


def spoilt(number: int, seed: int, documents: dict[str, list[Any]]) -> Try:
    """Case `number` of a run with this seed: the same wherever it is made."""
    random = Random(f"{seed}:{number}")
    form = random.choice(list(documents))
    value = copy.deepcopy(random.choice(documents[form]))
    if random.random() < 0.15:
        value = [value, copy.deepcopy(random.choice(documents[form]))]
    for _ in range(random.choice((0, 0, 0, 1, 1, 1, 2, 3, 8))):
        value = _with_a_change(value, random)
    source: Any = value
    if random.random() < 0.7:
        source = _text(value, form)
        for _ in range(random.choice((0, 0, 0, 0, 0, 1, 1, 3))):
            source = _with_a_slip(source, random)
        if random.random() < 0.3:
            source = _as_bytes(source, random)
    if random.random() < 0.05:
        form = random.choice(list(documents))
    return Try(f"spoilt {number}", form, source, _options(form, random))


def _options(form: str, random: Random) -> dict[str, Any]:
    """A policy on loops most of the time; what documents say themselves now and then."""
    values = {"cycles": random.choice(("allow", "break", "error")), "regions": False, "prompt": "a", "width": 2048}
    values |= {"height": 2048, "list_order": random.choice(("back-to-front", "front-to-back", "none", "up"))}
    shares = {"cycles": 0.7, "regions": 0.3, "prompt": 0.1, "width": 0.1, "height": 0.1, "list_order": 0.3}
    shares |= dict.fromkeys(FORMATS[form].needs, 0.95)
    return {
        name: values[name] for name in sorted(FORMATS[form].options & set(values)) if random.random() < shares[name]
    }


def _text(value: Any, form: str) -> str:
    try:
        if form in ("flux3", "omost"):
            return FORMATS[form].to_text(value)
        return repr(value) if form == "overlaybench" else json.dumps(value)
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError):  # what cannot be written as this format
        return repr(value)


def _as_bytes(text: str, random: Random) -> bytes:
    data = bytearray(text.encode(random.choice(("utf-8", "utf-8-sig", "utf-16")), errors="surrogatepass"))
    for _ in range(random.choice((0, 0, 1, 3))):
        if data:
            data[random.randrange(len(data))] = random.randrange(256)
    packed = gzip.compress(bytes(data)) if random.random() < 0.3 else bytes(data)
    return packed[: -random.randrange(1, 20)] if random.random() < 0.1 else packed


def _parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _parts(part, (*path, key))


def _with_a_change(value: Any, random: Random) -> Any:
    """One part, anywhere, taken out, doubled, renamed, put elsewhere or replaced."""
    paths = list(_parts(value))
    path = random.choice(paths)
    if not path:
        return random.choice((value, [value], {"a": value}, random.choice(LEAVES)))
    *way, key = path
    whole = value
    for step in way:
        whole = whole[step]
    change = random.randrange(6)
    if change == 0:
        whole.pop(key)
    elif change == 1 and isinstance(whole, list):
        whole[key:key] = [copy.deepcopy(whole[key])] * random.choice((1, 1, 40))
    elif change == 1:
        whole[random.choice(NAMES)] = whole.pop(key)
    elif change == 2:
        whole[key] = copy.deepcopy(_at(value, random.choice(paths)))
    elif change == 3 and isinstance(whole, dict):
        whole[random.choice((*NAMES, 5, None, 0.5, True))] = copy.deepcopy(random.choice(LEAVES))
    else:
        whole[key] = copy.deepcopy(random.choice(LEAVES))
    return value


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _with_a_slip(text: str, random: Random) -> str:
    """A hole, a snippet, or a piece of the text once more."""
    start = random.randrange(len(text) + 1)
    stop = min(len(text), start + random.choice((0, 1, 5, 50)))
    piece = random.choice((*SNIPPETS, text[start : start + random.randrange(200)]))
    return text[:start] + random.choice(("", piece, text[start:stop] + piece)) + text[stop:]
