"""Items and answers to score, made up for the tests."""

from __future__ import annotations

from occlusionformer.evaluation.benchmark import BenchmarkItem, ItemTruth, Question
from occlusionformer.layout import Box, Instance, Layout

SIDE = 100
BOXES = ((0, 0, 40, 40), (20, 20, 60, 60), (80, 80, 100, 100))
CATEGORIES = ("cat", "dog", "cat")
NAMES = ("first cat", "dog", "second cat")
ORDER = ((0, 1, 0), (0, 0, 0), (0, 0, 0))
DEPTH = ((2, 1, 1), (0, 2, 2), (0, 2, 2))
MASK = {"size": [2, 2], "counts": [0, 4]}

YES = {"spatial": "yes", "color": "yes", "texture": "yes", "shape": "yes"}
PERFECT = {
    Question("detect"): {"cat": [list(BOXES[0]), list(BOXES[2])], "dog": [list(BOXES[1])]},
    Question("entity"): dict.fromkeys(NAMES, "Yes"),
    Question("relation"): {"(first cat, dog)": "yes"},
    Question("order"): [list(row) for row in ORDER],
    Question("order", "reference"): [list(row) for row in ORDER],
    Question("depth"): [list(row) for row in DEPTH],
    Question("depth", "reference"): [list(row) for row in DEPTH],
    Question("clip_global"): 1.0,
    Question("clip_local"): [1.0, 1.0, None],
    Question("attributes"): dict.fromkeys(NAMES, YES),
    Question("attributes_of_detected"): dict.fromkeys(NAMES, YES),
    Question("attributes_by_caption"): dict.fromkeys(NAMES, YES),
    Question("segment_by_mask"): [MASK] * 3,
    Question("segment_by_soft_mask"): [MASK] * 3,
    Question("appearance"): {
        "completeness": 1.0,
        "colour": 1.0,
        "background": 0.0,
        "clutter": 0.0,
        "sharpness": 1.0,
        "blockiness": 0.0,
        "lighting": 0.0,
    },
}
"""Answers that agree with the truth of every item."""


def item(key: str = "one", *, frame: tuple[int, int] = (SIDE, SIDE)) -> BenchmarkItem:
    instances = tuple(
        Instance(id=name, caption=f"a {name}", category=category, box=Box.from_pixels(*box, width=SIDE, height=SIDE))
        for name, category, box in zip(NAMES, CATEGORIES, BOXES, strict=True)
    )
    scale = frame[0] / SIDE
    truth = ItemTruth(
        boxes=tuple(tuple(edge * scale for edge in box) for box in BOXES),
        frame=frame,
        names=NAMES,
        categories=CATEGORIES,
        relations={"(first cat, dog)": "in front of"},
        overlap_pairs=((0, 1),),
        order=ORDER,
        depth=DEPTH,
        masks=(MASK,) * 3,
    )
    return BenchmarkItem(
        key=key, layout=Layout(prompt="cats", width=SIDE, height=SIDE, instances=instances), truth=truth
    )  # fmt: skip
