"""Metrics by name, as benchmarks list them: the judgements each needs, and what a picture adds to its columns."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.benchmark import MetricSpec
from occlusionformer.evaluation.specs.appearance import APPEARANCE, COLOUR
from occlusionformer.evaluation.specs.attributes import (
    ATTRIBUTES,
    ATTRIBUTES_BY_CAPTION,
    GROUNDING,
    GROUNDING_IN_DECLARED_BOXES,
)
from occlusionformer.evaluation.specs.clip_fid import CLIP, FID
from occlusionformer.evaluation.specs.iou import MASKS, MASKS_BY_SOFT_PROMPT, OVERLAP, OVERLAP_IN_WHOLE_PIXELS
from occlusionformer.evaluation.specs.occlusion import (
    DEPTH,
    DEPTH_OF_REFERENCE,
    OCCLUSION,
    OCCLUSION_OF_REFERENCE,
)
from occlusionformer.evaluation.specs.scenes import DECIDED, IDENTITY, OBEDIENCE, OCCLUSION_OF_COUNTED_PAIRS, SWAPS
from occlusionformer.evaluation.specs.success_rate import ENTITIES, RELATIONS

__all__ = ["METRICS"]

METRICS: Mapping[str, MetricSpec] = {
    spec.name: spec
    for spec in (
        OVERLAP,
        OVERLAP_IN_WHOLE_PIXELS,
        ENTITIES,
        RELATIONS,
        CLIP,
        FID,
        OCCLUSION,
        OCCLUSION_OF_REFERENCE,
        DEPTH,
        DEPTH_OF_REFERENCE,
        ATTRIBUTES,
        ATTRIBUTES_BY_CAPTION,
        GROUNDING,
        GROUNDING_IN_DECLARED_BOXES,
        MASKS,
        MASKS_BY_SOFT_PROMPT,
        APPEARANCE,
        COLOUR,
        OCCLUSION_OF_COUNTED_PAIRS,
        OBEDIENCE,
        DECIDED,
        IDENTITY,
        SWAPS,
    )
}
"""A new metric is a spec in this mapping; its name is used nowhere else."""
