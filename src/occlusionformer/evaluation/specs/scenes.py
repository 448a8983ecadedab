"""Metrics of scenes whose order is known pair by pair: pictures without a pair that counts do not enter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from occlusionformer.evaluation.benchmark import (
    BenchmarkItem,
    Column,
    Contribution,
    MetricSpec,
    ParsedAnswers,
)
from occlusionformer.evaluation.metrics.language import successes
from occlusionformer.evaluation.metrics.order import has_occlusion, occlusion_scores
from occlusionformer.evaluation.specs.occlusion import FAILED, ORDER, ORDER_COLUMNS, ORDER_SETTINGS
from occlusionformer.evaluation.specs.success_rate import ENTITY

COUNTED = "those with a pair that counts"


def _order(
    item: BenchmarkItem, answers: ParsedAnswers, *, columns: tuple[Column, ...], declared: bool
) -> Mapping[str, Contribution | None]:
    truth: ArrayLike | None = item.truth.order
    if declared and item.truth.declared_order is not None:
        truth = item.truth.declared_order
    if truth is None or not has_occlusion(truth):
        return {}
    judged = answers[ORDER]
    scores = FAILED if judged is None else occlusion_scores(judged, truth)
    values = (scores.f1, scores.recall, scores.precision)
    return {column.name: Contribution(value) for column, value in zip(columns, values, strict=False)}


def _decided(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    if item.truth.order is None:
        return {}
    judged_NN, in_front_NN = answers[ORDER], np.asarray(item.truth.order) == 1
    if judged_NN is None:
        failed = int(in_front_NN.sum())
        return {"decided_right": Contribution(0.0, failed) if failed else None}
    right, decided = int(judged_NN[in_front_NN].sum()), int((judged_NN + judged_NN.T)[in_front_NN].sum())
    return {"decided_right": Contribution(right, decided) if decided else None}


def _identity(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    count = successes(answers[ENTITY] or {}, item.truth.names)
    return {"identity": Contribution(count.total / count.number) if count.number else None}


def seen_in_front(judged: np.ndarray | None, front: int, behind: int) -> int:
    """1: the first instance of a pair is seen in front of the second; -1: the second is; 0: it cannot be told."""
    return 0 if judged is None else int(judged[front, behind]) - int(judged[behind, front])


def _swaps(judged: Iterable[tuple[BenchmarkItem, ParsedAnswers]]) -> Mapping[str, float | None]:
    orders: dict[str, np.ndarray | None] = {}
    swapped: list[BenchmarkItem] = []
    for item, answers in judged:
        orders[item.key] = answers[ORDER]
        swapped += [item] if item.swapped else []
    pairs = [
        (seen_in_front(orders[pair.of], pair.front, pair.behind), seen_in_front(orders[key], pair.front, pair.behind))
        for key, pair in ((item.key, item.swapped) for item in swapped)
        if pair is not None and pair.of in orders
    ]
    shares = {
        "flipped": [(before, after) == (1, -1) for before, after in pairs],
        "right_before": [before == 1 for before, _ in pairs],
        "right_after": [after == -1 for _, after in pairs],
    }
    return {name: sum(values) / len(values) if values else None for name, values in shares.items()}


OCCLUSION_OF_COUNTED_PAIRS = MetricSpec(
    name="occlusion_of_counted_pairs",
    needs=(ORDER,),
    columns=ORDER_COLUMNS[:3],
    of_image=partial(_order, columns=ORDER_COLUMNS[:3], declared=False),
    settings={**ORDER_SETTINGS, "pictures": COUNTED, "truth": "of the scene"},
)
DECLARED = (Column(name="occ_f1_obeyed", title="Occ. F1 against the declared order"),)
OBEDIENCE = MetricSpec(
    name="obedience",
    needs=(ORDER,),
    columns=DECLARED,
    of_image=partial(_order, columns=DECLARED, declared=True),
    settings={**ORDER_SETTINGS, "pictures": COUNTED, "truth": "declared, right or wrong"},
)
DECIDED = MetricSpec(
    name="decided_pairs",
    needs=(ORDER,),
    columns=(Column(name="decided_right", title="Decided pairs in the right order"),),
    of_image=_decided,
    settings={"average": "over all pairs that the picture decides", "chance": 0.5},
)
IDENTITY = MetricSpec(
    name="identity",
    needs=(ENTITY,),
    columns=(Column(name="identity", title="Identity"),),
    of_image=_identity,
    settings={"average": "over instances, then over pictures", "unanswered": "no"},
)
SWAPS = MetricSpec(
    name="swaps",
    needs=(ORDER,),
    columns=(
        Column(name="flipped", title="The winner changes with the declaration"),
        Column(name="right_before", title="Right as declared"),
        Column(name="right_after", title="Right when swapped"),
    ),
    of_set=_swaps,
    settings={"pairs": "of which both pictures were judged", "noise": "the same for both"},
)
