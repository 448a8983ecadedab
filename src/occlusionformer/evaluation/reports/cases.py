"""Single layouts of a report: what was drawn, beside the reference, with the score and what was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from occlusionformer.evaluation.benchmark import BenchmarkItem, Question
from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.parse_answers import parse_answer
from occlusionformer.evaluation.reports.numbers import number_text
from occlusionformer.evaluation.reports.pictures import (
    MOST_RELATIONS,
    legend,
    order_text,
    picture_view,
    reference_view,
)
from occlusionformer.evaluation.running.judgement_store import JudgementStore
from occlusionformer.evaluation.running.result import Result
from occlusionformer.evaluation.scores import Score
from occlusionformer.evaluation.specs.occlusion import ORDER
from occlusionformer.reporting import Section, case

CASES = 8
"""Layouts shown at either end."""


def per_picture(score: Score) -> dict[str, float]:
    """The score of each picture by itself, by its key."""
    pairs = zip(score.keys, score.totals, score.weights, strict=True)
    return {key: total / weight for key, total, weight in pairs if weight > 0}


def main_score(result: Result) -> Score | None:
    """The first score that pictures have by themselves; worst and best are told by it."""
    return next((score for score in result.scores if score.keys), None)


def worst_and_best(result: Result, items: Mapping[str, BenchmarkItem], store: JudgementStore) -> list[Section]:
    """The layouts at both ends of the main score."""
    score = main_score(result)
    if score is None:
        return []
    values = per_picture(score)
    ranked = sorted(values, key=lambda key: (score.column.merit(values[key]), key))
    sections = []
    for end, keys in {"Worst": ranked[:CASES], "Best": ranked[CASES:][::-1][:CASES]}.items():
        cases = []
        for key in keys:
            item = store.as_drawn(items[key])
            detected = store.answers(items[key], [Question("detect")]).get(Question("detect"))
            caption = f"{result.method}: {score.column.title} {number_text(values[key])}{_missed_text(item, store)}"
            cases.append(layout_case(item, [(result, caption, detected)]))
        if shown := [each for each in cases if each is not None]:
            sections.append(Section(f"{end} by {score.column.title}", Markup("").join(shown)))
    return sections


def _missed_text(item: BenchmarkItem, store: JudgementStore) -> str:
    """Which of the occlusions that should be seen the judge did not see; nothing where orders were not judged."""
    judged = parse_answer(ORDER, store.answers(item, [ORDER]).get(ORDER), item)
    if judged is None or item.truth.order is None:
        return ""
    missed_NN = (np.asarray(item.truth.order) == 1) & (judged == 0)
    names = item.truth.categories
    told = [f"{names[front]} over {names[behind]}" for front, behind in np.argwhere(missed_NN)]
    more = f" and {len(told) - MOST_RELATIONS} more" if len(told) > MOST_RELATIONS else ""
    return f"; not seen: {', '.join(told[:MOST_RELATIONS])}{more}" if told else ""


def layout_case(item: BenchmarkItem, drawn: Sequence[tuple[Result, str, Json]]) -> Markup | None:
    """One layout: its reference where there is one, and the pictures of results with their captions and detections.

    None where no picture is there any more.
    """
    views = [picture_view(result, item, caption, detected=detected) for result, caption, detected in drawn]
    found = [each for each in views if each is not None]
    if not found:
        return None
    references = (reference_view(result, item) for result, _, _ in drawn)
    reference = next((each for each in references if each is not None), None)
    shown = found if reference is None else [reference, *found]
    heading = f"{item.key}: {item.layout.prompt}"
    return case(heading, shown, legend(item.layout), order_text(item.layout))
