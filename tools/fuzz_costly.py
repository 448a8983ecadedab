"""Documents of nearly a megabyte that are made to cost: time that grows with the square, memory that explodes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from fuzz_cases import SIZE, Try

from occlusionformer.layout import FORMATS

CANVAS = '"prompt": "a", "width": 64, "height": 64'
HEADS = {
    "native": '{"prompt": "a", "width": 64, "height": 64, "instances": [',
    "published": '{"prompt": "a", "width": 64, "height": 64, "annos": [',
    "sa-z": '{"prompt": "a", "width": 64, "height": 64, "mask_annotation": [',
    "overlaybench": "{'caption': 'a', 'annotations': [",
    "coco": '{"images": [{"id": 1, "width": 64, "height": 64, "caption": "a"}], "annotations": [',
    "simpletuner": '{"prompt": "a", "width": 64, "height": 64, "boxes": [',
    "ideogram4": '{"high_level_description": "a", "compositional_deconstruction": {"elements": [',
    "flux3": 'a [{"id": "cat_1", "bbox": [0, 0, 1, 1], "desc": "a"}, ',
    "ming": '{"canvas_settings": {}, "layers": [',
    "gligen": '{"prompt": "a", "width": 64, "height": 64, "phrases": [',
    "gligen-diffusers": '{"prompt": "a", "width": 64, "height": 64, "gligen_boxes": [',
    "larender": '{"width": 64, "height": 64, "objects": [',
    "omost": "canvas.set_global_description(description='a', detailed_descriptions=[",
    "comfy": '{"version": 1, "canvas": [64, 64], "layers": [',
}
"""The beginning of a document up to its rows."""

ITEMS = {
    "not a number": "NaN",
    "empty objects": "{}",
    "empty lists": "[]",
    "numbers": "0",
    "texts": '""',
    "lone surrogates": '"\\ud800"',
    "long numbers": "9" * 4300,
    "objects with a name": '{"a":0}',
    "wrong boxes": '{"id":"a","caption":"a","bbox":[1,1,0,0],"box":[1,1,0,0],"label":"a"}',
    "the same id": '{"id":"a","caption":"a","bbox":[0,0,9,9],"image_id":1}',
    "huge regions": '{"id":1,"caption":"a","bbox":[0,0,9,9],"box":[0,0,1,1],"region":{"size":[65535,65535],"counts":'
    '[1,4294836224]},"segmentation":{"size":[65535,65535],"counts":[1,4294836224]}}',
    "polygons far outside": '{"id":1,"image_id":1,"caption":"a","bbox":[0,0,9,9],"segmentation":'
    "[[-1e308,0,1e308,0,1e308,1e308]]}",
}
TEXTS: dict[str, Callable[[], str]] = {
    "a deep list": lambda: "[" * SIZE,
    "a deep list that ends": lambda: "[" * (SIZE // 2) + "]" * (SIZE // 2),
    "deep objects": lambda: '{"a":' * (SIZE // 5),
    "deep tuples": lambda: "(" * SIZE,
    "one long number": lambda: "9" * SIZE,
    "one long fraction": lambda: "0." + "9" * (SIZE - 2),
    "a hexadecimal number": lambda: "0x" + "f" * (SIZE - 2),
    "one long text": lambda: json.dumps("x" * (SIZE - 2)),
    "backslashes": lambda: '"' + "\\\\" * (SIZE // 2) + '"',
    "escaped quotes": lambda: '"' + '\\"' * (SIZE // 2) + '"',
    "quotes": lambda: '"' * SIZE,
    "apostrophes": lambda: "'" * SIZE,
    "texts side by side": lambda: "'a' " * (SIZE // 4),
    "signs": lambda: "-" * SIZE + "1",
    "sums": lambda: "1+" * (SIZE // 2) + "1",
    "nested f-strings": lambda: "f'{" * 100_000 + "1" + "}'" * 100_000,
    "blanks": lambda: " " * SIZE,
    "new lines": lambda: "\n" * SIZE,
    "lines of objects": lambda: "{}\n" * (SIZE // 3),
    "lines of brackets": lambda: "{\n" * (SIZE // 2),
    "the same name": lambda: "{" + ",".join(['"a":1'] * (SIZE // 6)) + "}",
    "many names": lambda: "{" + ",".join(f'"{k}":1' for k in range(SIZE // 11)) + "}",
    "one long name": lambda: json.dumps({"x" * (SIZE - 10): 1}),
    "long names": lambda: json.dumps({str(k) + "x" * 2000: 1 for k in range(SIZE // 2010)}),
    "zeros": lambda: "\0" * SIZE,
    "crabs": lambda: json.dumps("\U0001f980" * (SIZE // 12)),
}


def costly() -> Iterator[tuple[str, str, Callable[[], Try]]]:
    """Name, format, and what makes the case, one at a time: all at once they would fill the memory."""
    for form in FORMATS:
        for name, item in ITEMS.items():
            yield name, form, _rows(name, form, item)
            yield f"{name}, bare", form, _made(f"{name}, bare", form, lambda item=item: _filled("[", item, "]"))
        for name, make in TEXTS.items():
            yield name, form, _made(name, form, make)
    for name, make in _native().items():
        yield name, "native", _made(name, "native", lambda make=make: json.dumps(make()))
    for name, (form, make) in _others().items():
        yield name, form, _made(name, form, lambda make=make: json.dumps(make()))


def _made(name: str, form: str, make: Callable[[], Any]) -> Callable[[], Try]:
    told = {"prompt": "a", "width": 64, "height": 64, "cycles": "allow"}
    known = FORMATS[form].needs | (FORMATS[form].options & {"cycles"})
    options = {name: told[name] for name in sorted(known)}
    return lambda: Try(name, form, make(), options)


def _rows(name: str, form: str, item: str) -> Callable[[], Try]:
    return _made(name, form, lambda: _filled(HEADS[form], item, "]}"))


def _filled(head: str, item: str, tail: str) -> str:
    count = max(1, (SIZE - len(head) - len(tail)) // (len(item) + 1))
    return head + ",".join([item] * count) + tail


def _layout(count: int, order: Any = None, *, box: Callable[[int], list[float]] | None = None, **fields: Any) -> Any:
    place = box or (lambda k: [0, 0, 1, 1])
    instances = [{"id": f"{k}", "caption": "a", "box": place(k)} for k in range(count)]
    named = {} if order is None else {"order": order}
    return {"prompt": "a", "width": 64, "height": 64, "instances": instances, **named, **fields}


def _ring(count: int) -> dict[str, Any]:
    return {"pairs": [{"front": f"{k}", "behind": f"{(k + 1) % count}"} for k in range(count)]}


def _native() -> dict[str, Callable[[], Any]]:
    names = [f"{k}" for k in range(9000)]
    tangle = [{"front": f"{a}", "behind": f"{b}"} for a in range(170) for b in range(170) if a != b]
    ladder = {"pairs": [{"front": f"{k}", "behind": f"{k + d}"} for k in range(5000) for d in (1, 2)]}
    runs = {"size": [600, 800], "counts": [1] * 480_000}
    text = {"size": [900, 1000], "counts": "1" * 900_000}
    largest = {"size": [65535, 65535], "counts": [0, 65535**2]}
    long = {"id": "x" * 300_000, "caption": "a", "box": [0, 0, 1, 1]}
    dots: dict[str, Any] = {
        "box": lambda k: [k % 100 / 101, k // 100 / 101, k % 100 / 101 + 0.02, k // 100 / 101 + 0.02]
    }
    strips: dict[str, Any] = {
        "box": lambda k: [0, k / 9000, 1, (k + 1) / 9000] if k % 2 else [k / 9000, 0, (k + 1) / 9000, 1]
    }
    points = [[k % 1000 / 1000, k // 1000 / 1000] for k in range(50_000)]
    return {
        "instances without an order": lambda: _layout(15_000),
        "a total order of all": lambda: _layout(9000, {"front_to_back": names}),
        "a total order of dots": lambda: _layout(9000, {"front_to_back": names}, **dots),
        "a total order of strips": lambda: _layout(9000, {"front_to_back": names}, **strips),
        "depths of dots": lambda: _layout(9000, {"depths": {name: int(name) for name in names}}, **dots),
        "equal depths": lambda: _layout(9000, {"depths": dict.fromkeys(names, 1)}),
        "a ring, closed": lambda: _layout(5000, _ring(5000), cycles="allow", closure=True),
        "a ring of dots, closed": lambda: _layout(5000, _ring(5000), cycles="allow", closure=True, **dots),
        "a ring, broken and closed": lambda: _layout(5000, _ring(5000), cycles="break", closure=True, **dots),
        "a ring that is refused": lambda: _layout(5000, _ring(5000)),
        "a ladder, closed": lambda: _layout(5002, ladder, closure=True, **dots),
        "a tangle": lambda: _layout(170, {"pairs": tangle}, cycles="break"),
        "a tangle, closed": lambda: _layout(170, {"pairs": tangle}, cycles="allow", closure=True),
        "pairs of nobody": lambda: _layout(1, {"pairs": [{"front": f"{k}", "behind": "x"} for k in range(30_000)]}),
        "a total order of one": lambda: _layout(1, {"front_to_back": ["0"] * 150_000}),
        "depths of nobody": lambda: _layout(1, {"depths": {f"{k}": k for k in range(60_000)}}),
        "a polygon": lambda: _with_region({"points": points}),
        "run lengths": lambda: _with_region(runs),
        "run lengths as text": lambda: _with_region(text),
        "the largest region": lambda: _with_region(largest),
        "layouts": lambda: [_layout(1)] * 7000,
        "ids that are long": lambda: _layout(2) | {"instances": [long] * 3},
        "a loop of long ids": lambda: _long_loop(),
    }


def _long_loop() -> Any:
    names = ["x" * 4000 + str(k) for k in range(60)]
    layout = _layout(0) | {"instances": [{"id": name, "caption": "a", "box": [0, 0, 1, 1]} for name in names]}
    return layout | {
        "order": {"pairs": [{"front": a, "behind": b} for a, b in zip(names, names[1:] + names[:1], strict=True)]}
    }


def _with_region(region: Any) -> Any:
    return _layout(1) | {"instances": [{"id": "0", "caption": "a", "box": [0, 0, 1, 1], "region": region}]}


def _others() -> dict[str, tuple[str, Callable[[], Any]]]:
    modulus = 2**61 - 1
    all_others = ",".join(map(str, range(1, 500)))
    return {
        "occludes as a long text": ("published", lambda: _published("1," * 480_000)),
        "occludes as a long list": ("published", lambda: _published([2] * 300_000)),
        "occludes with one hash": ("published", lambda: _published([k * modulus for k in range(40_000)])),
        "rows that all occlude": ("published", lambda: _published(all_others, count=500)),
        "many rows": ("published", lambda: _published("", count=24_000)),
        "a matrix": ("sa-z", lambda: _matrix(480)),
        "a matrix too small": ("sa-z", lambda: {**_matrix(0), "mask_annotation": [_mask(0)] * 5000}),
        "records": ("sa-z", lambda: {str(k): {**_CANVAS, "mask_annotation": []} for k in range(10_000)}),
        "images without annotations": ("coco", lambda: _coco(15_000, 0)),
        "images and annotations": ("coco", lambda: _coco(5000, 8000)),
        "annotations of one image": ("coco", lambda: _coco(1, 13_000)),
        "annotations without images": ("coco", lambda: _coco(0, 13_000)),
        "ids with one hash": ("coco", lambda: _coco(4, 6000, modulus)),
        "long lists": ("gligen", lambda: _lists(40_000, 40_000)),
        "lists of other lengths": ("gligen", lambda: _lists(180_000, 0)),
        "heights": ("simpletuner", lambda: {**_CANVAS, "boxes": [{**_LABELLED, "z": k} for k in range(18_000)]}),
        "annotations by name": ("overlaybench", lambda: _overlaybench(15_000, 0)),
        "relations": ("overlaybench", lambda: _overlaybench(0, 60_000)),
    }


_CANVAS = {"prompt": "a", "width": 64, "height": 64}
_LABELLED = {"bbox": [0, 0, 1, 1], "label": "a"}


def _published(occludes: Any, *, count: int = 1) -> Any:
    return {**_CANVAS, "annos": [{"bbox": [0, 0, 9, 9], "caption": "a", "occludes": occludes}] * count}


def _mask(number: int) -> Any:
    mask = {"size": [64, 64], "counts": [0, 4096]}
    return {"id": number, "bbox": [0, 0, 9, 9], "caption": "a", "segmentation": mask}


def _matrix(count: int) -> Any:
    order = [[int(a != b) for b in range(count)] for a in range(count)]
    return {"prompt": "a", "mask_annotation": [_mask(k) for k in range(count)], "pred_order": order}


def _coco(images: int, annotations: int, step: int = 1) -> Any:
    of = [k % max(images, 1) * step for k in range(annotations)]
    return {
        "images": [{"id": k * step, "width": 64, "height": 64, "caption": "a"} for k in range(images)],
        "annotations": [
            {"id": k * step, "image_id": image, "bbox": [0, 0, 9, 9], "caption": "a"} for k, image in enumerate(of)
        ],
    }


def _lists(phrases: int, locations: int) -> Any:
    return {**_CANVAS, "phrases": ["a"] * phrases, "locations": [[0, 0, 1, 1]] * locations}


def _overlaybench(annotations: int, relations: int) -> Any:
    row = {"bbox": [0, 0, 9, 9], "local_prompts": "a"}
    named = {f"{k}": row for k in range(annotations)}
    return {"caption": "a", "annotations": named, "relations": {f"{k}": "x" for k in range(relations)}}
