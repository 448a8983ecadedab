"""Stand-ins for a picture maker and for judges: fast, exact, and without a network."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from occlusionformer.evaluation.benchmark import Benchmark
from occlusionformer.evaluation.benchmarks import load_benchmark
from occlusionformer.evaluation.judgement import Identity, JudgeAnswer, JudgementError, JudgeRequest
from occlusionformer.evaluation.masks import decode_mask, encode_mask
from occlusionformer.generation import GeneratedImage, GenerationRequest, StepCallback
from tests.apps.painter import Painter, colour_of

SIDE = 64
NAMES = ("cat", "dog", "cup")
LEAST_SHARE = 0.2
"""Of a box that must show an instance's colour for the instance to be there."""


def annotation(place: int) -> dict:
    """Three overlapping boxes, at other places for every item."""
    shift = 40 * (place % 5)
    boxes = ([100 + shift, 100, 500 + shift, 500], [300, 300 + shift, 800, 800 + shift], [400, 50, 640 + shift, 900])
    rows = {
        f"{name}_1": {"category": name, "bbox": box, "local_prompts": f"a {name}, number {place}"}
        for name, box in zip(NAMES, boxes, strict=True)
    }
    return {
        "caption": f"scene {place}",
        "annotations": rows,
        "relations": {"(cat_1, dog_1)": "is near", "(cup_1, cat_1)": "is in front of"},
        "valid_overlap": [{"overlap_box": [0, 1]}, {"overlap_box": [1, 2]}],
    }


def paint(place: int, order: Sequence[int] = (0, 1, 2)) -> Image.Image:
    """Boxes in the colours of their places, back to front."""
    values = np.full((SIDE, SIDE, 3), place * 7 % 200 + 20, np.uint8)
    boxes = [row["bbox"] for row in annotation(place)["annotations"].values()]
    for index in order:
        x1, y1, x2, y2 = (edge * SIDE // 1024 for edge in boxes[index])
        values[y1:y2, x1:x2] = colour_of(index)
    return Image.fromarray(values)


def write_overlaybench(folder: Path, count: int) -> None:
    """A benchmark in the published form, with references that we paint."""
    rows = []
    for place in range(count):
        encoded = io.BytesIO()
        paint(place).save(encoded, format="PNG")
        picture = {"bytes": encoded.getvalue(), "path": None}
        rows.append({"image": picture, "annotation": repr(annotation(place)), "image_id": f"item{place:05d}"})
    pq.write_table(pa.Table.from_pylist(rows), folder / "simple.parquet")


DEFINITION = {
    "name": "toy",
    "title": "Toy OverLayBench",
    "source": {"format": "overlaybench", "files": ["simple.parquet"], "size": SIDE},
    "metrics": [
        "overlap_in_whole_pixels",
        "entities",
        "relations",
        "clip",
        "fid",
        "occlusion_of_reference",
        "depth_of_reference",
    ],
    "conditions_on": "order of the reference",
    "reported": {"OcclusionFormer": {"miou": 0.7405}, "CreatiLayout": {"miou": 0.6998, "o_miou": 0.4725}},
    "notes": ["Toy figures."],
}


def toy_benchmark(folder: Path, count: int = 6) -> Benchmark:
    if not (folder / "toy.json").exists():
        write_overlaybench(folder, count)
        (folder / "toy.json").write_text(json.dumps(DEFINITION))
    return load_benchmark(folder / "toy.json")


class ShiftedPainter(Painter):
    """A painter who misses every box by a few pixels, so that no score is 1."""

    def generate(
        self, requests: Sequence[GenerationRequest], *, on_step: StepCallback | None = None
    ) -> list[GeneratedImage]:
        drawn = super().generate(requests, on_step=on_step)
        return [_shifted(each, place) for place, each in enumerate(drawn)]


def _shifted(drawn: GeneratedImage, place: int) -> GeneratedImage:
    values = np.roll(np.asarray(drawn.image), (2, 3), axis=(0, 1))
    parts = {name: getattr(drawn, name) for name in ("instance_masks", "weights", "timings", "provenance")}
    return GeneratedImage(image=Image.fromarray(values), **parts)


def _seen(picture: Image.Image, request: JudgeRequest) -> list[np.ndarray]:
    """Where every instance's colour is."""
    values = np.asarray(picture)
    return [(values == colour_of(place)).all(-1) for place in range(len(request.instances))]


@dataclass
class Looker:
    """Sees colours; knows nothing of what was asked for."""

    kinds: frozenset = frozenset({"detect", "entity", "relation", "attributes", "segment"})
    needs: frozenset = frozenset()
    parallel: int = 3
    identity: Identity = field(
        default_factory=lambda: {"name": "looker", "model": "eyes", "revision": "1", "settings": {"least": LEAST_SHARE}}
    )
    asked: int = 0

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        self.asked += 1
        masks = _seen(picture, request)
        if request.kind == "segment":
            return JudgeAnswer(answer=[encode_mask(mask) for mask in masks])
        if request.kind == "detect":
            pairs = zip(request.instances, masks, strict=True)
            answer = {each.category: [box] for each, mask in pairs if (box := _box(mask))}
            return JudgeAnswer(answer=answer, reply=json.dumps(answer))
        if request.kind == "entity":
            pairs = zip(request.instances, request.boxes_in(*picture.size), masks, strict=True)
            return JudgeAnswer(answer={each.name: _is_there(mask, box) for each, box, mask in pairs})
        assert request.kind == "relation", request.kind
        return JudgeAnswer(answer=dict.fromkeys(request.relations, "yes" if all(m.any() for m in masks) else "no"))


@dataclass
class Sorter:
    """Tells who is in front from the masks it is given: whoever reaches into another's box hides it."""

    kinds: frozenset = frozenset({"order", "depth"})
    needs: frozenset = frozenset({"segment"})
    parallel: int = 1
    identity: Identity = field(
        default_factory=lambda: {"name": "sorter", "model": "rule", "revision": "2", "settings": {}}
    )

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        given = request.given["segment"]
        if given is None:
            raise JudgementError("no masks")
        boxes = request.boxes_in(*picture.size)
        masks = [np.zeros((SIDE, SIDE), bool) if mask is None else decode_mask(mask) for mask in given]
        inside = [[int(_count(mask, a, b)) for b in boxes] for mask, a in zip(masks, boxes, strict=True)]
        count = range(len(boxes))
        if request.kind == "order":
            return JudgeAnswer(answer=[[int(inside[i][j] > inside[j][i]) for j in count] for i in count])
        return JudgeAnswer(answer=[[-1 if i == j else int(inside[i][j] > inside[j][i]) for j in count] for i in count])


@dataclass
class Feeler:
    """Numbers from pixels, where CLIP and Inception would be."""

    kinds: frozenset = frozenset({"clip_global", "clip_local", "fid_features"})
    needs: frozenset = frozenset()
    parallel: int = 1
    identity: Identity = field(
        default_factory=lambda: {"name": "feeler", "model": "sums", "revision": "1", "settings": {}}
    )

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        values = np.asarray(picture, float) / 255
        if request.kind == "clip_global":
            return JudgeAnswer(answer=float(values.mean()) / 3)
        if request.kind == "clip_local":
            crops = [values[int(y1) : int(y2), int(x1) : int(x2)] for x1, y1, x2, y2 in request.boxes_in(*picture.size)]
            return JudgeAnswer(answer=[float(crop.std()) for crop in crops])
        return JudgeAnswer(
            answer=[float(number) for number in values.reshape(4, SIDE // 4, SIDE, 3).mean(axis=(1, 2)).ravel()]
        )


def lookers() -> tuple[Looker, Sorter, Feeler]:
    return Looker(), Sorter(), Feeler()


def _box(mask: np.ndarray) -> list[int] | None:
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1]


def _is_there(mask: np.ndarray, box: tuple[float, float, float, float]) -> str:
    x1, y1, x2, y2 = map(int, box)
    return "yes" if mask[y1:y2, x1:x2].mean() > LEAST_SHARE else "no"


def _count(mask: np.ndarray, own: tuple[float, ...], other: tuple[float, ...]) -> int:
    x1, y1, x2, y2 = (int(edge) for edge in (*map(max, own[:2], other[:2]), *map(min, own[2:], other[2:])))
    return int(mask[max(0, y1) : max(0, y2), max(0, x1) : max(0, x2)].sum())
