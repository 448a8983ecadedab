"""CLIP-G and CLIP-L of pictures, and FID of a set of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from occlusionformer.evaluation.benchmark import (
    BenchmarkItem,
    Column,
    Contribution,
    MetricSpec,
    ParsedAnswers,
    Question,
)
from occlusionformer.evaluation.metrics.frechet import Gaussian, frechet_distance
from occlusionformer.evaluation.metrics.language import clip_similarity

GLOBAL, LOCAL = Question("clip_global"), Question("clip_local")
FEATURES, REFERENCE_FEATURES = Question("fid_features"), Question("fid_features", "reference")
FEWEST = 2
"""The least number of pictures on both sides."""


def _clip(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    whole = answers[GLOBAL]
    crops = answers[LOCAL]
    count = clip_similarity(crops if crops is not None else [0.0] * len(item.truth.names))
    return {
        "clip_g": Contribution(0.0 if whole is None else whole),
        "clip_l": Contribution(*count) if count.number else None,
    }


def _fid(judged: Iterable[tuple[BenchmarkItem, ParsedAnswers]]) -> Mapping[str, float | None]:
    drawn: list[np.ndarray] = []
    real: dict[str, np.ndarray] = {}
    for item, answers in judged:
        if answers[FEATURES] is not None:
            drawn.append(answers[FEATURES])
        if answers[REFERENCE_FEATURES] is not None:
            real.setdefault(item.key, answers[REFERENCE_FEATURES])
    if min(len(drawn), len(real)) < FEWEST or len({len(row) for row in (*drawn, *real.values())}) > 1:
        return {"fid": None}
    return {"fid": frechet_distance(Gaussian.of_features(drawn), Gaussian.of_features(list(real.values())))}


CLIP = MetricSpec(
    name="clip",
    needs=(GLOBAL, LOCAL),
    columns=(Column(name="clip_g", title="CLIP-G"), Column(name="clip_l", title="CLIP-L")),
    of_image=_clip,
    settings={"average": "CLIP-G over pictures, CLIP-L over all instances", "scale": "raw cosine"},
)
FID = MetricSpec(
    name="fid",
    needs=(FEATURES, REFERENCE_FEATURES),
    columns=(Column(name="fid", title="FID", higher_is_better=False),),
    of_set=_fid,
    settings={"covariance": "unbiased", "reference": "the references of the same items, each once"},
)
