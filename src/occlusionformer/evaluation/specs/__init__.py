"""Metrics by name, as benchmarks list them: which judgements each needs, and what a picture adds to its columns."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.benchmark import MetricSpec
from occlusionformer.evaluation.specs.attributes import ATTRIBUTES, GROUNDING
from occlusionformer.evaluation.specs.clip_fid import CLIP, FID
from occlusionformer.evaluation.specs.iou import MASKS, OVERLAP, OVERLAP_IN_WHOLE_PIXELS
from occlusionformer.evaluation.specs.occlusion import (
    DEPTH,
    DEPTH_OF_REFERENCE,
    OCCLUSION,
    OCCLUSION_OF_REFERENCE,
)
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
        GROUNDING,
        MASKS,
    )
}
"""Adding a metric is adding its spec here; nothing else knows the names."""
