"""Published figures beside a result: marked as such, with what keeps them from being compared."""

from __future__ import annotations

from collections.abc import Mapping

from occlusionformer.evaluation.judgement import Json
from occlusionformer.evaluation.reports.numbers import column_title, number_text
from occlusionformer.evaluation.running.result import Result
from occlusionformer.evaluation.scores import Score


def published_heading(result: Result) -> str | None:
    """Where the figures are from, over how many pictures, and by which judges; None without published figures."""
    benchmark = result.document["run"]["benchmark"]
    if not benchmark["reported"]:
        return None
    stated = benchmark.get("reported_with")
    if stated is None:
        return "Published by others, not measured here. Judges and number of pictures are not stated."
    judges = sorted(set(stated["judges"].values()))
    named = f"judged by {' and '.join(judges)} as far as that is stated" if judges else "judges not stated"
    return f"Published by others, not measured here: {stated['source']}; {stated['items']:,} pictures, {named}."


def published_headers(result: Result) -> list[str]:
    methods = result.document["run"]["benchmark"]["reported"]
    return ["metric", *(f"{method} (published)" for method in methods), "comparable with this run"]


def published_rows(result: Result) -> list[list[str]]:
    """A row for every column of this result that somebody published a figure of."""
    reported: Mapping[str, Mapping[str, float]] = result.document["run"]["benchmark"]["reported"]
    rows = []
    for score in result.scores:
        figures = [reported[method].get(score.column.name) for method in reported]
        if any(figure is not None for figure in figures):
            reasons = reasons_against(result, score)
            told = "no: " + "; ".join(reasons) if reasons else "yes: as many pictures, the same judge"
            rows.append([column_title(score.column), *map(number_text, figures), told])
    return rows


def reasons_against(result: Result, score: Score) -> list[str]:
    """Why a score cannot be compared with the published figures; empty where it can."""
    stated = result.document["run"]["benchmark"].get("reported_with")
    if stated is None:
        return ["judges and number of pictures of the published figures are not stated"]
    reasons = []
    if score.value is None:
        reasons.append("no number here")
    elif score.num_images != stated["items"]:
        reasons.append(f"{score.num_images:,} of {stated['items']:,} pictures")
    for question, identity in _judges_of(result, score).items():
        reason = _judge_difference(question, identity, stated["judges"].get(question))
        if reason is not None and reason not in reasons:
            reasons.append(reason)
    return reasons


def judge_text(result: Result, score: Score) -> str:
    """Who judged a score: names and models, each once."""
    found = [
        f"{identity['name']} ({identity['model']})" if identity else "nobody"
        for identity in _judges_of(result, score).values()
    ]
    return ", ".join(dict.fromkeys(found))


def _judges_of(result: Result, score: Score) -> Mapping[str, Json]:
    entries = result.document["scores"]
    return next(
        entry["judges"]
        for entry in entries
        if (entry["metric"], entry["column"]["name"]) == (score.metric, score.column.name)
    )


def _judge_difference(question: str, identity: Json, published: str | None) -> str | None:
    if published is None:
        return f"the published judge for {question} is not stated"
    if identity is None:
        return f"nobody judged {question}"
    if _short(published) in (_short(identity["model"]), _short(identity["revision"])):  # servers give models new names
        return None
    return f"judged by {identity['name']} ({identity['model']}), published with {published}"


def _short(model: str) -> str:
    """The name of a model without the place it is from."""
    return model.rstrip("/").rpartition("/")[2].lower()
