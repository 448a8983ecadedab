"""What judges are told about an item, kind by kind: as much as the question needs, and nothing more."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.benchmark import Benchmark, Item, QuestionKind
from occlusionformer.evaluation.judgement import DescribedInstance, Json, JudgeRequest

SHOWN: Mapping[QuestionKind, frozenset[str]] = {
    "detect": frozenset({"category"}),
    "entity": frozenset({"category", "caption"}),
    "relation": frozenset(),
    "order": frozenset({"category"}),
    "depth": frozenset({"category"}),
    "segment": frozenset({"mask"}),
    "attributes": frozenset({"caption"}),
    "clip_local": frozenset({"caption"}),
}
"""What is told of every instance beside its name and box; other kinds are about the picture as a whole."""


MASK_METRIC = "masks"
"""The metric whose protocol prompts the segmenter with the true mask beside the box (arXiv 2506.00596)."""


def shows_masks(benchmark: Benchmark) -> bool:
    """Whether segmenters are told the true masks; everywhere else that would give the answer away."""
    return any(metric.name == MASK_METRIC for metric in benchmark.metrics)


def request_about(item: Item, kind: QuestionKind, given: Mapping[str, Json], *, with_masks: bool) -> JudgeRequest:
    """The question of a kind about a picture of this item, with the answers of other judges it builds upon."""
    return JudgeRequest(
        kind=kind,
        frame=item.truth.frame if kind in SHOWN else (item.layout.width, item.layout.height),
        instances=_instances(item, kind, with_masks) if kind in SHOWN else (),
        prompt=item.layout.prompt if kind == "clip_global" else None,
        relations=item.truth.relations if kind == "relation" else {},
        given=dict(given),
    )


def _instances(item: Item, kind: QuestionKind, with_masks: bool) -> tuple[DescribedInstance, ...]:
    shown, truth = SHOWN[kind], item.truth
    captions = [instance.caption for instance in item.layout.instances]
    if kind == "attributes" and truth.details is not None:
        captions = [detail or caption for detail, caption in zip(truth.details, captions, strict=True)]
    masks = truth.masks if with_masks and truth.masks is not None else [None] * len(truth.names)
    return tuple(
        DescribedInstance(
            name=name,
            box=box,
            category=category if "category" in shown else None,
            caption=caption if "caption" in shown else None,
            mask=mask if "mask" in shown else None,
        )
        for name, box, category, caption, mask in zip(
            truth.names, truth.boxes, truth.categories, captions, masks, strict=True
        )
    )
