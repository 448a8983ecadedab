"""mIoU, O-mIoU and class-agnostic MIoU of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from occlusionformer.evaluation.benchmark import (
    BenchmarkItem,
    Column,
    Contribution,
    MetricSpec,
    ParsedAnswers,
    Question,
)
from occlusionformer.evaluation.metrics.regions import Runs, mask_overlaps
from occlusionformer.evaluation.metrics.spatial import Detections, greedy_match, mean_overlap, overlap_of_pairs

DETECT = Question("detect")
BY_MASK, BY_SOFT_MASK = Question("segment_by_mask"), Question("segment_by_soft_mask")


def in_frame(item: BenchmarkItem, detected: Detections, round_to: Callable[[float], float] = float) -> Detections:
    """Boxes in pixels of the picture as boxes in the frame of the truth."""
    across, down = item.truth.frame[0] / item.layout.width, item.truth.frame[1] / item.layout.height
    return {
        category: [
            (round_to(x1 * across), round_to(y1 * down), round_to(x2 * across), round_to(y2 * down))
            for x1, y1, x2, y2 in boxes
        ]
        for category, boxes in detected.items()
    }


def _overlaps(
    item: BenchmarkItem, answers: ParsedAnswers, *, round_to: Callable[[float], float]
) -> Mapping[str, Contribution | None]:
    truth = item.truth
    detected = in_frame(item, answers[DETECT] or {}, round_to)
    boxes = [tuple(map(round_to, box)) for box in truth.boxes]
    matches = greedy_match(boxes, truth.categories, detected)
    values = {"miou": mean_overlap(matches), "o_miou": overlap_of_pairs(boxes, matches, truth.overlap_pairs)}
    return {name: None if value is None else Contribution(value) for name, value in values.items()}


def _masks(
    item: BenchmarkItem, answers: ParsedAnswers, *, asked: Question, column: str, counts_empty: bool
) -> Mapping[str, Contribution | None]:
    if item.truth.masks is None:
        return {column: None}
    known = [None if mask is None else Runs(mask) for mask in item.truth.masks]
    found = answers[asked] or [None] * len(known)
    fitting = [
        mask if mask and truth and mask.size == truth.size else None for mask, truth in zip(found, known, strict=True)
    ]
    count = mask_overlaps(fitting, known, counts_empty=counts_empty)
    return {column: Contribution(*count) if count.number else None}


def _overlap_spec(name: str, round_to: Callable[[float], float], rounding: str) -> MetricSpec:
    return MetricSpec(
        name=name,
        needs=(DETECT,),
        columns=(Column(name="miou", title="mIoU"), Column(name="o_miou", title="O-mIoU")),
        of_image=partial(_overlaps, round_to=round_to),
        settings={
            "matching": "greedy within categories, no threshold",
            "average": "over instances or pairs, then over pictures",
            "coordinates": rounding,
        },
    )


def _mask_spec(name: str, asked: Question, column: Column, *, prompt: str, counts_empty: bool) -> MetricSpec:
    return MetricSpec(
        name=name,
        needs=(asked,),
        columns=(column,),
        of_image=partial(_masks, asked=asked, column=column.name, counts_empty=counts_empty),
        settings={
            "average": "over all instances",
            "masks": "visible regions",
            "prompt": f"box, and mask {prompt}",
            "empty true mask": "0" if counts_empty else "left out",
        },
    )


OVERLAP = _overlap_spec("overlap", float, "as they are")
OVERLAP_IN_WHOLE_PIXELS = _overlap_spec("overlap_in_whole_pixels", int, "cut off to whole pixels of the frame")
MASKS = _mask_spec(
    "masks", BY_MASK, Column(name="mask_miou", title="MIoU"), prompt="of zeros and ones", counts_empty=True
)
MASKS_BY_SOFT_PROMPT = _mask_spec(
    "masks_by_soft_prompt",
    BY_SOFT_MASK,
    Column(name="mask_miou_soft", title="MIoU (soft prompt)"),
    prompt="as smoothed logits",
    counts_empty=False,
)
