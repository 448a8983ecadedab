"""LayoutSAM-Eval's attributes and the Layout Grounding Score of pictures."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.benchmark import Column, Contribution, Item, MetricSpec, ParsedAnswers, Question
from occlusionformer.evaluation.metrics.grounding import LEAST_IOU, grounding, grounding_counts
from occlusionformer.evaluation.metrics.language import Count, attribute_counts
from occlusionformer.evaluation.specs.iou import in_frame

DETECT, ASKED = Question("detect"), Question("attributes")


def _attributes(item: Item, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    return _shares("", attribute_counts(answers[ASKED] or {}, item.truth.names))


def _grounding(item: Item, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    truth = item.truth
    detected = in_frame(item, answers[DETECT] or {})
    overlaps = grounding(truth.boxes, truth.categories, detected)
    counts = grounding_counts(overlaps, answers[ASKED] or {}, truth.names)
    return _shares("lgs_", counts)


def _shares(prefix: str, counts: Mapping[str, Count]) -> Mapping[str, Contribution | None]:
    return {prefix + name: Contribution(*count) if count.number else None for name, count in counts.items()}


ATTRIBUTES = MetricSpec(
    name="attributes",
    needs=(ASKED,),
    columns=tuple(Column(name=name, title=name.capitalize()) for name in ("spatial", "color", "texture", "shape")),
    of_image=_attributes,
    settings={"average": "over all instances", "not in place": "no to all"},
)
GROUNDING = MetricSpec(
    name="grounding",
    needs=(DETECT, ASKED),
    columns=(
        Column(name="lgs_miou", title="LGS mIoU"),
        Column(name="lgs_color", title="LGS color"),
        Column(name="lgs_texture", title="LGS texture"),
        Column(name="lgs_shape", title="LGS shape"),
    ),
    of_image=_grounding,
    settings={"average": "over all instances", "least overlap": LEAST_IOU, "match": "best box of the category"},
)
