"""The requests that judges get about an item: what the question needs, and nothing that gives the answer away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from occlusionformer.evaluation.benchmark import BenchmarkItem, Question, QuestionKind
from occlusionformer.evaluation.judgement import DescribedInstance, Json, JudgeRequest
from occlusionformer.evaluation.metrics.grounding import best_box
from occlusionformer.evaluation.parse_answers import parse_answer

SHOWN: Mapping[QuestionKind, frozenset[str]] = {
    "detect": frozenset({"category"}),
    "entity": frozenset({"category", "caption"}),
    "relation": frozenset(),
    "order": frozenset({"category"}),
    "depth": frozenset({"category"}),
    "segment": frozenset(),
    "segment_by_mask": frozenset({"mask"}),
    "segment_by_soft_mask": frozenset({"mask"}),
    "attributes": frozenset({"category", "detail"}),
    "attributes_of_detected": frozenset({"category", "detail"}),
    "attributes_by_caption": frozenset({"caption"}),
    "clip_local": frozenset({"caption"}),
    "appearance": frozenset({"category"}),
}
"""Fields of every instance that are told beside its name and box. Kinds that are missing here are about the picture as
a whole and are told of no instance."""

WITH_BACKGROUND: frozenset[QuestionKind] = frozenset({"detect", "entity", "order", "depth", "appearance"})
"""Kinds that are told the declared background, where it is known."""


def request_about(
    item: BenchmarkItem, kind: QuestionKind, *, given: Mapping[str, Json] | None = None, detected: Json = None
) -> JudgeRequest:
    """The request for a question of this kind about a picture of the item, whose layout has the size of the picture.

    `given` holds answers of other judges that this one works with. `detected` is the answer to `detect`, for questions
    about what was detected; what was not detected is not asked about.
    """
    canvas = (item.layout.width, item.layout.height)
    instances = _instances(item, kind) if kind in SHOWN else ()
    if kind == "attributes_of_detected":
        instances, frame = _where_detected(item, instances, detected), canvas
    else:
        frame = item.truth.frame if kind in SHOWN else canvas
    return JudgeRequest(
        kind=kind,
        frame=frame,
        instances=instances,
        prompt=item.layout.prompt if kind == "clip_global" else None,
        relations=item.truth.relations if kind == "relation" else {},
        background=item.background if kind in WITH_BACKGROUND else None,
        given=dict(given or {}),
    )


def _instances(item: BenchmarkItem, kind: QuestionKind) -> tuple[DescribedInstance, ...]:
    shown, truth = SHOWN[kind], item.truth
    boxes = truth.boxes
    if "mask" in shown and truth.prompt_boxes is not None:
        boxes = truth.prompt_boxes
    captions = [instance.caption for instance in item.layout.instances]
    details = [detail or caption for detail, caption in zip(truth.details or captions, captions, strict=True)]
    if kind == "attributes_by_caption":
        captions = details
    masks: Sequence[Mapping[str, Json] | None] = truth.masks or [None] * len(truth.names)
    return tuple(
        DescribedInstance(
            name=name,
            box=box,
            category=category if "category" in shown else None,
            caption=caption if "caption" in shown else None,
            detail=detail if "detail" in shown else None,
            mask=mask if "mask" in shown else None,
        )
        for name, box, category, caption, detail, mask in zip(
            truth.names, boxes, truth.categories, captions, details, masks, strict=True
        )
    )


def _where_detected(
    item: BenchmarkItem, instances: Sequence[DescribedInstance], detected: Json
) -> tuple[DescribedInstance, ...]:
    """The instances that were detected, in their detected boxes, in pixels of the picture.

    An instance whose category says as much as its description has no attributes to ask about.
    """
    found = parse_answer(Question("detect"), detected, item) or {}
    across, down = item.truth.frame[0] / item.layout.width, item.truth.frame[1] / item.layout.height
    placed = []
    for each in instances:
        boxes = found.get(each.category or "", ())
        scaled = [(x1 * across, y1 * down, x2 * across, y2 * down) for x1, y1, x2, y2 in boxes]
        place, iou = best_box(each.box, scaled)
        if iou > 0 and each.category != each.detail:
            placed.append(replace(each, box=boxes[place]))
    return tuple(placed)
