"""Whole evaluations against plain loops of the published ones: every question, reply and crop, up to the table."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from occlusionformer.evaluation import Plan, Result, evaluate
from occlusionformer.evaluation.benchmark import Benchmark, BenchmarkItem, ItemTruth
from occlusionformer.evaluation.judgement import Identity, JudgeAnswer, JudgeRequest
from occlusionformer.evaluation.judges.vlm import VlmJudge
from occlusionformer.evaluation.masks import encode_mask
from occlusionformer.evaluation.specs import METRICS
from occlusionformer.layout import Box, Instance, Layout
from tests.reference import protocols
from tests.tables import for_each

WIDTH, HEIGHT = 200, 136
DRAWN = (208, 144)
"""Where the sides are multiples of 16, to the nearest."""
REPLIES = ("Yes", "yes.", "The answer is Yes.", "YES", "No", "no", "NO!", "perhaps", "", "The eyes are hidden")
ATTRIBUTES = ("color", "texture", "shape")


def an_identity(name: str) -> Identity:
    return {"name": name, "model": name, "revision": "1", "settings": {}}


@dataclass
class ScriptedModel:
    """Replies by the number in a caption and the attribute in the prompt; remembers the crops."""

    replies: Mapping[tuple[str, str], str]
    identity: Identity = field(default_factory=lambda: an_identity("scripted"))
    parallel: int = 1
    heard: list[tuple[str, str, tuple[int, int]]] = field(default_factory=list)

    def ask(self, text: str, picture: Image.Image) -> str:
        name = re.search(r"number (\w+)", text)[1]
        attribute = next((each for each in ATTRIBUTES if f"only at the {each}" in text), "spatial")
        self.heard.append((name, attribute, picture.size))
        return self.replies[name, attribute]


@dataclass
class ScriptedDetector:
    """Boxes by the prompt of the layout, through a category that only one item has."""

    found: Mapping[str, list[list[float]]]
    identity: Identity = field(default_factory=lambda: an_identity("detector"))
    kinds: frozenset = frozenset({"detect"})
    needs: frozenset = frozenset()
    parallel: int = 1

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        return JudgeAnswer(answer={each.category: self.found[each.category] for each in request.instances})


def random_box(generator: random.Random) -> tuple[int, int, int, int]:
    x1, y1 = generator.randrange(0, WIDTH - 40), generator.randrange(0, HEIGHT - 40)
    return x1, y1, generator.randrange(x1 + 20, WIDTH), generator.randrange(y1 + 20, HEIGHT)


def make_item(
    key: str, boxes: list[tuple[int, int, int, int]], details: list[str], categories: list[str]
) -> BenchmarkItem:
    names = tuple(f"{key}{place}" for place in range(len(boxes)))
    layout = Layout(
        prompt=f"scene {key}",
        width=WIDTH,
        height=HEIGHT,
        instances=tuple(
            Instance(id=name, caption=detail, box=Box.from_pixels(*box, width=WIDTH, height=HEIGHT))
            for name, detail, box in zip(names, details, boxes, strict=True)
        ),
    )
    truth = ItemTruth(
        boxes=tuple(boxes), frame=(WIDTH, HEIGHT), names=names, categories=tuple(categories), details=tuple(details)
    )
    return BenchmarkItem(key=key, layout=layout, truth=truth)


def run(items: list[BenchmarkItem], metric: str, judges: tuple, folder: Path, size: tuple[int, int] = DRAWN) -> Result:
    (folder / "pictures").mkdir()
    for place, each in enumerate(items):
        Image.new("RGB", size, (place * 20, 50, 90)).save(folder / "pictures" / f"{each.key}.png")
    benchmark = Benchmark(name="own", title="Own", items=items, metrics=(METRICS[metric],))
    return evaluate(Plan(benchmark=benchmark, method=folder / "pictures", judges=judges), folder / "run")


@pytest.mark.parametrize("seed", range(3))
def test_layoutsam_is_scored_as_published(seed: int, tmp_path: Path):
    generator = random.Random(seed)
    items, replies, pictures = [], {}, []
    for key in "abcd":
        count = generator.randrange(1, 5)
        boxes = [random_box(generator) for _ in range(count)]
        items.append(make_item(key, boxes, [f"a detailed number {key}{i}" for i in range(count)], ["a thing"] * count))
        items[-1] = BenchmarkItem(
            key=key,
            layout=items[-1].layout,
            truth=ItemTruth(**{**vars(items[-1].truth), "categories": tuple(f"number {key}{i}" for i in range(count))}),
        )
        rows = [{name: generator.choice(REPLIES) for name in ("spatial", *ATTRIBUTES)} for _ in range(count)]
        pictures.append(rows)
        replies |= {(f"{key}{i}", name): row[name] for i, row in enumerate(rows) for name in row}
    result = run(items, "attributes", (VlmJudge(ScriptedModel(replies)),), tmp_path)
    expected = protocols.layoutsam(pictures)
    assert {name: result.value(name) for name in expected} == pytest.approx(expected)
    assert {score.num_failed for score in result.scores} == {0}


@for_each("seed", range(3))
@for_each("size", [DRAWN, (WIDTH, HEIGHT), (192, 128)])
def test_layout_grounding_is_scored_as_published(seed: int, size: tuple[int, int], tmp_path: Path):
    generator = random.Random(seed)
    items, replies, found, pictures, crops = [], {}, {}, [], {}
    for key in "abcd":
        count = generator.randrange(1, 5)
        boxes = [random_box(generator) for _ in range(count)]
        categories = [f"number {key}{i}" for i in range(count)]
        details = [generator.choice([name, f"a detailed {name}"]) for name in categories]
        items.append(make_item(key, boxes, details, categories))
        rows = []
        for place, (box, category) in enumerate(zip(boxes, categories, strict=True)):
            near = [[edge * side / whole for edge, side, whole in zip(box, size * 2, (WIDTH, HEIGHT) * 2, strict=True)]]
            near = [[round(edge + generator.uniform(-15, 15), 2) for edge in near[0]] for _ in range(3)]
            found[category] = near[: generator.randrange(4)]
            row = {name: generator.choice(REPLIES) for name in ATTRIBUTES}
            replies |= {(f"{key}{place}", name): reply for name, reply in row.items()}
            fractions = [edge / whole for edge, whole in zip(box, (WIDTH, HEIGHT) * 2, strict=True)]
            others = [[edge / side for edge, side in zip(each, size * 2, strict=True)] for each in found[category]]
            rows.append(
                {"box": fractions, "found": others, "label": category, "description": details[place], "replies": row}
            )
            crops[f"{key}{place}"] = [(int(x2) - int(x1), int(y2) - int(y1)) for x1, y1, x2, y2 in found[category]]
        pictures.append(rows)
    model = ScriptedModel(replies)
    result = run(items, "grounding", (ScriptedDetector(found), VlmJudge(model)), tmp_path, size)
    expected = protocols.layout_grounding_score(pictures)
    assert {name: result.value(f"lgs_{name}") for name in expected} == pytest.approx(expected)
    assert all(seen in crops[name] for name, _, seen in model.heard), "the detected box is looked at"
    assert {attribute for _, attribute, _ in model.heard} <= set(ATTRIBUTES), "presence is not asked"


def test_layout_grounding_by_hand(tmp_path: Path):
    """Overlaps 1, 0.5, 0.4 and 1; the last has its category as description, the second a strange reply."""
    boxes = [(0, 0, 100, 100), (0, 0, 100, 50), (100, 0, 200, 50), (100, 60, 200, 130)]
    categories = [f"number {i}" for i in range(4)]
    details = ["a red number 0", "a blue number 1", "a green number 2", "number 3"]
    found = {
        "number 0": [[50, 0, 100, 50], [0, 0, 100, 100]],
        "number 1": [[0, 0, 50, 50]],
        "number 2": [[100, 0, 140, 50]],
        "number 3": [[100, 60, 200, 130]],
    }
    yes = {(str(i), attribute): "Yes" for i in range(4) for attribute in ATTRIBUTES}
    yes["1", "shape"] = "it is a shape"
    result = run(
        [make_item("x", boxes, details, categories)],
        "grounding",
        (ScriptedDetector(found), VlmJudge(ScriptedModel(yes))),
        tmp_path,
        (WIDTH, HEIGHT),
    )
    values = {name: result.value(f"lgs_{name}") for name in ("miou", "color", "texture", "shape")}
    assert values == pytest.approx({"miou": 2.5 / 4, "color": 1.5 / 4, "texture": 1.5 / 4, "shape": 1.0 / 4})
    counts = result.document["judges"][1]["questions"]["attributes_of_detected"]
    assert counts == {"answered": 1, "failed": {}, "missing": 0, "unreadable replies": 1}


def test_in_declared_boxes_presence_is_asked_first(tmp_path: Path):
    """The variant of this project: the declared box, with one caption, and a picture without detections still asks."""
    boxes = [(0, 0, 100, 100), (100, 0, 200, 100)]
    found = {"number x0": [[0, 0, 100, 100]], "number x1": [[100, 0, 200, 100]]}
    replies = {(name, each): "Yes" for name in ("x0", "x1") for each in ("spatial", *ATTRIBUTES)}
    replies["x1", "spatial"] = "No"
    model = ScriptedModel(replies)
    item = make_item("x", boxes, ["a detailed number x0", "number x1"], list(found))
    judges = (ScriptedDetector(found), VlmJudge(model))
    result = run([item], "grounding_in_declared_boxes", judges, tmp_path, (WIDTH, HEIGHT))
    assert result.value("lgs_declared_miou") == 1
    assert result.value("lgs_declared_color") == 0.5
    assert model.heard[0] == ("x0", "spatial", (100, 100))


@dataclass
class ScriptedSegmenter:
    """Hands out masks that were made up before, by the name of the instance."""

    masks: Mapping[str, np.ndarray]
    told: dict[str, object] = field(default_factory=dict)
    identity: Identity = field(default_factory=lambda: an_identity("segmenter"))
    kinds: frozenset = frozenset({"segment_by_mask", "segment_by_soft_mask"})
    needs: frozenset = frozenset()
    parallel: int = 1

    def judge(self, picture: Image.Image, request: JudgeRequest) -> JudgeAnswer:
        self.told |= {each.name: (each.box, each.mask) for each in request.instances}
        return JudgeAnswer(answer=[encode_mask(self.masks[each.name]) for each in request.instances])


def test_masks_are_scored_as_published_and_an_empty_truth_counts_zero(tmp_path: Path):
    generator = np.random.default_rng(3)
    items, pictures, found = [], [], {}
    for key in "abc":
        boxes = [(0, 0, 100, 100)] * 3
        item = make_item(key, boxes, ["a thing"] * 3, ["thing"] * 3)
        true = [generator.random((HEIGHT, WIDTH)) < share for share in (0.5, 0.2, 0.0)]
        seen = [generator.random((HEIGHT, WIDTH)) < share for share in (0.5, 0.0, 0.3)]
        found |= dict(zip(item.truth.names, seen, strict=True))
        prompts = tuple((0.0, 0.0, 99.0, 99.0) for _ in boxes)
        known = {"masks": tuple(map(encode_mask, true)), "prompt_boxes": prompts}
        items.append(BenchmarkItem(key=key, layout=item.layout, truth=ItemTruth(**{**vars(item.truth), **known})))
        pictures.append(list(zip(seen, true, strict=True)))
    segmenter = ScriptedSegmenter(found)
    result = run(items, "masks", (segmenter,), tmp_path, (WIDTH, HEIGHT))
    assert result.value("mask_miou") == pytest.approx(protocols.mask_miou(pictures))
    assert result.value("mask_miou") < 0.2
    assert segmenter.told["a0"][0] == (0.0, 0.0, 99.0, 99.0)
    assert segmenter.told["a0"][1] is not None
    (tmp_path / "soft").mkdir()
    soft = run(items, "masks_by_soft_prompt", (ScriptedSegmenter(found),), tmp_path / "soft", (WIDTH, HEIGHT))
    kept = [[pair for pair in pairs if pair[1].any()] for pairs in pictures]
    assert soft.value("mask_miou_soft") == pytest.approx(protocols.mask_miou(kept))
