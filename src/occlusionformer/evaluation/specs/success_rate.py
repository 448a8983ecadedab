"""SR_E and SR_R of pictures: questions about instances and about pairs, answered yes or no."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.benchmark import (
    BenchmarkItem,
    Column,
    Contribution,
    MetricSpec,
    ParsedAnswers,
    Question,
)
from occlusionformer.evaluation.metrics.language import successes

ENTITY, RELATION = Question("entity"), Question("relation")
POOLED = {"average": "over all keys of all pictures", "unanswered": "no"}


def _entities(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    return {"sr_e": _share(answers[ENTITY], item.truth.names)}


def _relations(item: BenchmarkItem, answers: ParsedAnswers) -> Mapping[str, Contribution | None]:
    return {"sr_r": _share(answers[RELATION], tuple(item.truth.relations))}


def _share(answers: Mapping[str, object] | None, keys: tuple[str, ...]) -> Contribution | None:
    return Contribution(*successes(answers or {}, keys)) if keys else None


ENTITIES = MetricSpec(
    name="entities",
    needs=(ENTITY,),
    columns=(Column(name="sr_e", title="SR_E"),),
    of_image=_entities,
    settings=POOLED,
)
RELATIONS = MetricSpec(
    name="relations",
    needs=(RELATION,),
    columns=(Column(name="sr_r", title="SR_R"),),
    of_image=_relations,
    settings=POOLED,
)
