"""Attributes of instances (arXiv 2412.03859) and the Layout Grounding Score (arXiv 2509.16691) of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from occlusionformer.evaluation.benchmark import (
    BenchmarkItem,
    Column,
    Contribution,
    MetricSpec,
    ParsedAnswers,
    Question,
)
from occlusionformer.evaluation.metrics.grounding import LEAST_IOU, grounding, grounding_counts
from occlusionformer.evaluation.metrics.language import ATTRIBUTES as NAMES
from occlusionformer.evaluation.metrics.language import Count, attribute_counts
from occlusionformer.evaluation.specs.iou import in_frame

DETECT = Question("detect")
PUBLISHED, OF_DETECTED, BY_CAPTION = (
    Question("attributes"),
    Question("attributes_of_detected"),
    Question("attributes_by_caption"),
)
POOLED = {"average": "over all instances", "unreadable reply": "no, for that question alone"}


def _attributes(
    item: BenchmarkItem, answers: ParsedAnswers, *, asked: Question, prefix: str
) -> Mapping[str, Contribution | None]:
    return _shares(prefix, attribute_counts(answers[asked] or {}, item.truth.names))


def _grounding(
    item: BenchmarkItem, answers: ParsedAnswers, *, asked: Question, prefix: str
) -> Mapping[str, Contribution | None]:
    truth = item.truth
    detected = in_frame(item, answers[DETECT] or {})
    overlaps = grounding(truth.boxes, truth.categories, detected)
    given = answers[asked] or {}
    if asked == OF_DETECTED:
        given = {name: given[name] for name in _described(item) if name in given}
    return _shares(prefix, grounding_counts(overlaps, given, truth.names))


def _described(item: BenchmarkItem) -> list[str]:
    """Names of the instances whose description says more than their category; the others score 0 in attributes."""
    truth = item.truth
    details = truth.details or [instance.caption for instance in item.layout.instances]
    rows = zip(truth.names, truth.categories, details, strict=True)
    return [name for name, category, detail in rows if detail and detail != category]


def _shares(prefix: str, counts: Mapping[str, Count]) -> Mapping[str, Contribution | None]:
    return {prefix + name: Contribution(*count) if count.number else None for name, count in counts.items()}


def _attribute_spec(name: str, asked: Question, prefix: str, title: str, told: str) -> MetricSpec:
    return MetricSpec(
        name=name,
        needs=(asked,),
        columns=tuple(Column(name=prefix + each, title=f"{each.capitalize()}{title}") for each in ("spatial", *NAMES)),
        of_image=partial(_attributes, asked=asked, prefix=prefix),
        settings={**POOLED, "not present": "no to all attributes", "told": told},
    )


def _grounding_spec(name: str, asked: Question, prefix: str, title: str, crop: str) -> MetricSpec:
    return MetricSpec(
        name=name,
        needs=(DETECT, asked),
        columns=(
            Column(name=f"{prefix}miou", title=f"LGS mIoU{title}"),
            *(Column(name=prefix + each, title=f"LGS {each}{title}") for each in NAMES),
        ),
        of_image=partial(_grounding, asked=asked, prefix=prefix),
        settings={**POOLED, "least overlap": LEAST_IOU, "match": "best box of the category", "attributes": crop},
    )


ATTRIBUTES = _attribute_spec(
    "attributes", PUBLISHED, "", "", "presence: the short description; attributes: both descriptions"
)
ATTRIBUTES_BY_CAPTION = _attribute_spec(
    "attributes_by_caption", BY_CAPTION, "caption_", " (one caption)", "the longest caption, for every question"
)
GROUNDING = _grounding_spec(
    "grounding",
    OF_DETECTED,
    "lgs_",
    "",
    "looked at in the detected box, presence not asked; 0 where the description is the category",
)
GROUNDING_IN_DECLARED_BOXES = _grounding_spec(
    "grounding_in_declared_boxes",
    BY_CAPTION,
    "lgs_declared_",
    " (declared boxes)",
    "looked at in the declared box, presence asked first",
)
