"""Annotation files of every converter, each picture of which has a fault of its own."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from occlusionformer.data.converters.coco_amodal import read_coco_amodal
from occlusionformer.data.converters.cocoa import read_cocoa
from occlusionformer.data.converters.instaorder import read_instaorder
from occlusionformer.data.converters.kins import read_kins
from occlusionformer.data.converters.overlaybench import read_overlaybench
from occlusionformer.data.converters.sa_z import read_sa_z
from occlusionformer.data.records.making import Coming
from occlusionformer.data.records.repairs import Repairs
from occlusionformer.layout import rle
from tests.data.converters.examples import mask, written

HEIGHT, WIDTH = 20, 30
FRONT, BACK, ASIDE = (2, 2, 12, 12), (8, 6, 22, 16), (24, 1, 29, 6)

Document = dict[str, Any]


def _deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


NASTY: list[Callable[[], Any]] = [
    lambda: None,
    lambda: True,
    lambda: 0,
    lambda: -1,
    lambda: 1.5,
    lambda: -0.0,
    lambda: 2**31,
    lambda: 2**53 + 1,
    lambda: 2**63,
    lambda: 2**64 - 1,
    lambda: 1e308,
    lambda: -1e308,
    lambda: 1e-300,
    lambda: 65_536,
    lambda: "",
    lambda: " ",
    lambda: "a\0b",
    lambda: "\x1b[31m",
    lambda: "\u202e\ufeff",
    lambda: "7",
    lambda: "b'15'",
    lambda: "x" * 3000,
    lambda: "../../etc/passwd",
    lambda: "0<1 & 1<0",
    lambda: "9" * 5000,
    lambda: [],
    lambda: {},
    lambda: [[]],
    lambda: [0, 0, 0, 0],
    lambda: [5, 5, -3, 4],
    lambda: [-40, -40, 10, 10],
    lambda: [28, 18, 900, 900],
    lambda: [0.1, 0.2, 1e-9, 3],
    lambda: [[5, 5]],
    lambda: [[5, 5, 9, 9, 5, 5]],
    lambda: [[4, 4, 210_000_000.0, 350_000_000.0, 34, 34, 4, 34]],
    lambda: [[-500, -500, -490, -500, -490, -490]],
    lambda: [[True, 0, 5, 5, 9, 9]],
    lambda: [[2, 2, 12, 2, 12, 12, 2, 12], [1], [3, 3, 3, 3, 3, 3], "x"],
    lambda: {"size": [HEIGHT, WIDTH], "counts": rle.compress([HEIGHT * WIDTH])},
    lambda: {"size": [HEIGHT, WIDTH], "counts": rle.compress([0, HEIGHT * WIDTH])},
    lambda: {"size": [HEIGHT, WIDTH], "counts": [10, 20, 30]},
    lambda: {"size": [HEIGHT, WIDTH], "counts": [1, -1, HEIGHT * WIDTH]},
    lambda: {"size": [HEIGHT, WIDTH], "counts": [2**63, 5]},
    lambda: {"size": [65_535, 65_535], "counts": [1, 4_294_836_224]},
    lambda: {"size": [0, 0], "counts": []},
    lambda: {"size": [WIDTH, HEIGHT], "counts": [0, HEIGHT * WIDTH]},
    lambda: mask(HEIGHT, WIDTH, (1, 1, 3, 3)),
    lambda: _deep(300),
]
"""Made anew each time, since files are changed in place."""


def mutate(rng: random.Random, value: Any) -> None:
    """Change one part of a JSON value, however deep: another value, no value, or one twice."""
    parts = list(_parts(value))
    if not parts:
        return
    holder, key = rng.choice(parts)
    action = rng.random()
    if action < 0.15:
        del holder[key]
    elif action < 0.25 and isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    elif action < 0.35 and type(holder[key]) in (int, float):
        holder[key] = holder[key] * rng.choice([-1, 0.5, 3, 1e9]) + rng.choice([0, 1, -7])
    else:
        holder[key] = rng.choice(NASTY)()


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield value, key
        yield from _parts(part)


def _polygon(box: tuple[int, int, int, int]) -> list[list[int]]:
    x1, y1, x2, y2 = box
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]


def _xywh(box: tuple[int, int, int, int]) -> list[int]:
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def _image(number: int) -> Document:
    return {"id": number, "width": WIDTH, "height": HEIGHT, "file_name": f"{number}.png"}


def _rows(number: int, names: tuple[str, str, str, str]) -> list[Document]:
    seen_mask, whole_mask, seen_box, whole_box = names
    return [
        {
            "id": 10 * number + place,
            "image_id": number,
            "category_id": 1,
            seen_mask: mask(HEIGHT, WIDTH, box) if place else _polygon(box),
            whole_mask: _polygon(box),
            seen_box: _xywh(box),
            whole_box: _xywh(box),
            **({"occludes": [10 * number + 1]} if place == 0 and number % 3 == 0 else {}),
        }
        for place, box in enumerate((FRONT, BACK, ASIDE))
    ]


def _coco(names: tuple[str, str, str, str]) -> Callable[[random.Random, int], Document]:
    def make(rng: random.Random, count: int) -> Document:
        images = [_image(number) for number in range(count)]
        groups = [_rows(number, names) for number in range(count)]
        for group in groups:
            mutate(rng, group)
        annotations = [row for group in groups for row in group]
        return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cup"}]}

    return make


def _cocoa(rng: random.Random, count: int) -> Document:
    annotations = []
    for number in range(count):
        regions = [
            {"name": "cup", "segmentation": _polygon(box)[0], "visible_mask": mask(HEIGHT, WIDTH, box), "order": place}
            for place, box in enumerate((FRONT, BACK, ASIDE))
        ]
        annotations.append({"image_id": number, "depth_constraint": "1-2", "regions": regions})
        mutate(rng, annotations[-1])
    return {"images": [_image(number) for number in range(count)], "annotations": annotations}


def _orders(rng: random.Random, count: int) -> Document:
    rows = [
        {
            "image_id": number,
            "instance_ids": [10 * number, 10 * number + 1, 10 * number + 2],
            "occlusion": [{"order": "0<1", "count": 2}],
            "depth": [{"order": "0<1", "overlap": False, "count": 2}, {"order": "1=2", "overlap": True, "count": 4}],
        }
        for number in range(count)
    ]
    for row in rows:
        if rng.random() < 0.5:
            mutate(rng, row)
    return {"annotations": rows}


def _sa_z(rng: random.Random, count: int) -> Document:
    document = {}
    for number in range(count):
        rows = [
            {
                "id": place,
                "bbox": list(map(float, _xywh(box))),
                "segmentation": mask(HEIGHT, WIDTH, box),
                "caption": "a cup",
                "area": 3,
            }
            for place, box in enumerate((FRONT, BACK, ASIDE))
        ]
        document[str(number)] = {
            "image_id": number,
            "image_path": f"{number}.jpg",
            "prompt": "cups",
            "mask_annotation": rows,
            "pred_order": [[0, 1, 0], [0, 0, 0], [0, -1, 0]],
        }
        mutate(rng, document[str(number)])
    return document


def _overlaybench(rng: random.Random, count: int) -> list[str]:
    texts = []
    for _ in range(count):
        annotation = {
            "caption": "cups",
            "annotations": {
                f"cup{place}": {"bbox": [float(edge) for edge in box], "local_prompts": "a cup", "category": "cup"}
                for place, box in enumerate((FRONT, BACK, ASIDE))
            },
            "relations": [["cup0", "over", "cup1"]],
            "valid_overlap": {"cup0": 1},
        }
        mutate(rng, annotation)
        texts.append(repr(annotation))
    return texts


AMODAL = ("visible_mask", "segmentation", "visible_bbox", "bbox")
KINS = ("inmodal_seg", "segmentation", "inmodal_bbox", "bbox")
PLAIN = ("segmentation", "amodal_segm", "bbox", "amodal_bbox")


@dataclass(frozen=True)
class Faulty:
    """Writes a file with faults, and reads it."""

    write: Callable[[Path, random.Random, int], None]
    read: Callable[[Path, Repairs | None], Iterator[Coming]]


def _json(make: Callable[[random.Random, int], Any]) -> Callable[[Path, random.Random, int], None]:
    def write(folder: Path, rng: random.Random, count: int) -> None:
        written(folder / "in.json", make(rng, count))

    return write


def _write_instaorder(folder: Path, rng: random.Random, count: int) -> None:
    written(folder / "in.json", _orders(rng, count))
    written(folder / "coco.json", _coco(("segmentation", "a", "bbox", "b"))(rng, count))


def _write_overlaybench(folder: Path, rng: random.Random, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"annotation": _overlaybench(rng, count)}), folder / "in.parquet")


FAULTY: Mapping[str, Faulty] = {
    "kins": Faulty(_json(_coco(KINS)), lambda folder, repairs: read_kins(folder / "in.json", repairs=repairs)),
    "coco-amodal": Faulty(
        _json(_coco(AMODAL)), lambda folder, repairs: read_coco_amodal(folder / "in.json", repairs=repairs)
    ),
    "coco-amodal with a plain visible shape": Faulty(
        _json(_coco(PLAIN)), lambda folder, repairs: read_coco_amodal(folder / "in.json", repairs=repairs)
    ),
    "cocoa": Faulty(_json(_cocoa), lambda folder, repairs: read_cocoa(folder / "in.json", repairs=repairs)),
    "instaorder": Faulty(
        _write_instaorder,
        lambda folder, repairs: read_instaorder(folder / "in.json", instances=folder / "coco.json", repairs=repairs),
    ),
    "sa-z": Faulty(_json(_sa_z), lambda folder, repairs: read_sa_z(folder / "in.json", repairs=repairs)),
    "overlaybench": Faulty(
        _write_overlaybench, lambda folder, repairs: read_overlaybench(folder / "in.parquet", repairs=repairs)
    ),
}
