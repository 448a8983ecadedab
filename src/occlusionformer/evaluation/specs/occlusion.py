"""Occ. and Dep. of pictures: judged order and depth against the declared ones, or those judged on the reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from occlusionformer.evaluation.benchmark import (
    BenchmarkItem,
    Column,
    Contribution,
    MetricSpec,
    ParsedAnswers,
    Question,
)
from occlusionformer.evaluation.metrics.depth import SUBSETS, whdr
from occlusionformer.evaluation.metrics.order import Scores, has_occlusion, occlusion_scores
from occlusionformer.evaluation.metrics.spatial import iou_matrix

ORDER, REFERENCE_ORDER = Question("order"), Question("order", "reference")
NEARER, REFERENCE_NEARER = Question("depth"), Question("depth", "reference")

FAILED = Scores(recall=0.0, precision=0.0, f1=0.0)
"""Scores of a picture whose order could not be judged; scored as an empty order it could get 1."""

ORDER_COLUMNS = (
    Column(name="occ_f1", title="Occ. F1"),
    Column(name="occ_recall", title="Occ. recall"),
    Column(name="occ_precision", title="Occ. precision"),
    Column(name="occ_f1_declared", title="Occ. F1, pictures with an occlusion"),
    Column(name="occ_none", title="Share of pictures without an occlusion", is_detail=True),
)
DEPTH_COLUMNS = tuple(
    Column(
        name=f"dep_{subset}",
        title="Dep. WHDR" if subset == "ovlOX_all" else f"WHDR {subset}",
        higher_is_better=False,
        is_detail=subset != "ovlOX_all",
    )
    for subset in sorted(SUBSETS, key=lambda subset: subset != "ovlOX_all")
)


def _declared_order(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    return _order(item, answers, item.truth.order)


def _order_of_reference(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    return _order(item, answers, answers[REFERENCE_ORDER])


def _order(item: BenchmarkItem, answers: ParsedAnswers, truth: ArrayLike | None) -> Mapping[str, Contribution | None]:
    if truth is None:
        return {}
    judged = answers[ORDER]
    scores = FAILED if judged is None else occlusion_scores(judged, truth)
    is_declared = has_occlusion(truth)
    return {
        "occ_f1": Contribution(scores.f1),
        "occ_recall": Contribution(scores.recall),
        "occ_precision": Contribution(scores.precision),
        "occ_f1_declared": Contribution(scores.f1) if is_declared else None,
        "occ_none": Contribution(float(not is_declared)),
    }


def _declared_depth(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    return _depth(item, answers, item.truth.depth)


def _depth_of_reference(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    return _depth(item, answers, answers[REFERENCE_NEARER])


def _depth(item: BenchmarkItem, answers: ParsedAnswers, truth: ArrayLike | None) -> Mapping[str, Contribution | None]:
    if truth is None:
        return {}
    judged = answers[NEARER]
    known = np.asarray(truth, int).reshape(len(item.truth.names), -1)
    wrong = np.full_like(known, -1)
    overlap = (iou_matrix(item.truth.boxes, item.truth.boxes) > 0).astype(int)
    rates = whdr(wrong if judged is None else judged, known, overlap=overlap)
    return {f"dep_{subset}": None if rate is None else Contribution(rate) for subset, rate in rates.items()}


ORDER_SETTINGS = {"zero division": 1, "pairs": "all", "average": "over pictures"}
DEPTH_SETTINGS = {"weights": "all pairs alike", "overlap": "boxes that overlap", "average": "over pictures with pairs"}

OCCLUSION = MetricSpec(
    name="occlusion",
    needs=(ORDER,),
    columns=ORDER_COLUMNS,
    of_image=_declared_order,
    settings={**ORDER_SETTINGS, "truth": "declared"},
)
OCCLUSION_OF_REFERENCE = MetricSpec(
    name="occlusion_of_reference",
    needs=(ORDER, REFERENCE_ORDER),
    columns=ORDER_COLUMNS,
    of_image=_order_of_reference,
    settings={**ORDER_SETTINGS, "truth": "judged on the reference"},
)
DEPTH = MetricSpec(
    name="depth",
    needs=(NEARER,),
    columns=DEPTH_COLUMNS,
    of_image=_declared_depth,
    settings={**DEPTH_SETTINGS, "truth": "declared"},
)
DEPTH_OF_REFERENCE = MetricSpec(
    name="depth_of_reference",
    needs=(NEARER, REFERENCE_NEARER),
    columns=DEPTH_COLUMNS,
    of_image=_depth_of_reference,
    settings={**DEPTH_SETTINGS, "truth": "judged on the reference"},
)
