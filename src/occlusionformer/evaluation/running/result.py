"""Results of runs as JSON: scores with all settings, computed from the folder of a run alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from occlusionformer.evaluation.benchmark import Benchmark, BenchmarkItem, Column, MetricSpec, Question
from occlusionformer.evaluation.judgement import Json, digest
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.judge_specs import JudgeSpec, all_questions, judge_spec_for, judge_spec_of_json
from occlusionformer.evaluation.running.judgement_store import JudgementStore
from occlusionformer.evaluation.running.snapshot import benchmark_of_json, item_as_json
from occlusionformer.evaluation.scores import Score, restricted, score

FORMAT = 1
"""Version of the document; increased when a key changes its meaning."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """Scores of a run and the document they are part of."""

    document: Mapping[str, Json]
    """The content of `result.json`."""
    scores: tuple[Score, ...]
    path: Path | None = None
    """The folder of the run, for its pictures."""

    @property
    def groups(self) -> dict[str, tuple[Score, ...]]:
        """Scores over the pictures of every group of items, of the columns that single pictures add to."""
        return {
            group["name"]: tuple(restricted(score, set(group["keys"])) for score in self.scores if score.keys)
            for group in self.document.get("groups", ())
        }

    @property
    def method(self) -> str:
        return str(self.document["run"]["method"])

    def value(self, column: str) -> float | None:
        """The value of a column. Raises KeyError for a column that the benchmark does not have."""
        return next(score for score in self.scores if score.column.name == column).value if self._has(column) else None

    def _has(self, column: str) -> bool:
        if column not in {score.column.name for score in self.scores}:
            raise KeyError(column)
        return True


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """Benchmark, items and judgements of a folder, ready to be scored."""

    folder: RunFolder
    benchmark: Benchmark
    items: Mapping[str, BenchmarkItem]
    store: JudgementStore

    @classmethod
    def of(cls, folder: RunFolder, metrics: tuple[MetricSpec, ...] = ()) -> RecordedRun:
        """`metrics` are those of the benchmark that are not packaged. Raises ValueError for a folder without a run."""
        asked = folder.document()
        items = folder.items()
        benchmark = benchmark_of_json(asked["benchmark"], items, metrics)
        store = judgements_in(folder)
        return cls(folder=folder, benchmark=benchmark, items={item.key: item for item in items}, store=store)


def judgements_in(folder: RunFolder) -> JudgementStore:
    """The judgements of a run. Raises ValueError for a folder without a run."""
    return JudgementStore.of(folder, [judge_spec_of_json(value) for value in folder.document()["judges"]])


def result_of(scoring: RecordedRun) -> Result:
    """Score what has been recorded in a folder; no model is asked and no picture opened."""
    benchmark, store, folder = scoring.benchmark, scoring.store, scoring.folder
    seen = [item for item in scoring.items.values() if (item.key, "generated") in store.digests]
    judged = ((item.key, store.as_drawn(item), store.answers(item, benchmark.questions)) for item in seen)
    scores = score(benchmark.metrics, judged)
    document = {
        "format": FORMAT,
        "run": folder.document(),
        "drawn": {
            "number": len(seen),
            "ways": folder.provenances(),
            "conditioned": _conditioned(benchmark, store, seen),
        },
        "judges": _judges(benchmark, store, folder, seen),
        "scores": [_score_as_json(each, benchmark, store) for each in scores],
        **({"groups": _groups(benchmark, scores, seen)} if benchmark.groups else {}),
        "difficulty": {item.key: item.difficulty for item in seen},
        "item digests": {item.key: digest(item_as_json(item))[:16] for item in seen},
    }
    return Result(document=json.loads(json.dumps(document)), scores=tuple(scores), path=folder.path)


def read_result(path: Path) -> Result:
    """A result from `result.json`, or from the folder it is in. Raises ValueError for anything else."""
    file = path / "result.json" if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(f"{file}: expected a result of format {FORMAT}, got {document['format']}")
        scores = tuple(_score_of_json(value) for value in document["scores"])
    except FileNotFoundError as error:
        raise ValueError(f"{file}: no such file") from error
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: expected a result of an evaluation: {type(error).__name__}: {error}") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}: expected JSON: {error}") from error
    return Result(document=document, scores=scores, path=file.parent)


def result_text(result: Result) -> str:
    """The document as text, byte for byte the same for the same records."""
    return json.dumps(result.document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _judges(
    benchmark: Benchmark, store: JudgementStore, folder: RunFolder, items: Sequence[BenchmarkItem]
) -> list[Json]:
    """For every judge its questions, with the numbers of answers and failures."""
    reasons = folder.judge_availability().reasons
    questions = all_questions(benchmark.questions, store.specs)
    told = []
    for spec in store.specs:
        mine = [each for each in questions if judge_spec_for(each.kind, store.specs) == spec]
        identity = store.identities.get(spec.name)
        counts = {str(question): _counts(question, store, items) for question in mine}
        entry = {"spec": spec.name, "identity": identity, "questions": counts}
        is_short = any(each["missing"] for each in counts.values())
        told.append({**entry, "unavailable": reasons[spec.name]} if is_short and spec.name in reasons else entry)
    return told


def _conditioned(benchmark: Benchmark, store: JudgementStore, items: Sequence[BenchmarkItem]) -> Json:
    """How many items were drawn with an order that judges saw in their references; None where that is not asked."""
    condition = benchmark.conditions_on
    if condition is None:
        return None
    records = [store.record(item, condition) for item in items]
    return {"on": str(condition), "number": sum(record is not None and record.answer is not None for record in records)}


def _groups(benchmark: Benchmark, scores: Sequence[Score], items: Sequence[BenchmarkItem]) -> list[Json]:
    """For every group that has pictures their keys, and the scores over them, in the order of the benchmark."""
    keys = {name: [item.key for item in items if name in item.groups] for name in benchmark.groups}
    return [
        {
            "name": name,
            "keys": members,
            "scores": [_group_score(score, set(members)) for score in scores if score.keys],
        }
        for name, members in keys.items()
        if members
    ]


def _group_score(score: Score, members: set[str]) -> dict[str, Json]:
    found = restricted(score, members)
    numbers = {name: getattr(found, name) for name in ("value", "low", "high", "num_images")}
    return {"metric": score.metric, "column": score.column.name, **numbers}


def _counts(question: Question, store: JudgementStore, items: Sequence[BenchmarkItem]) -> dict[str, Json]:
    records = [store.record(item, question) for item in items]
    made = [record for record in records if record is not None]
    failures = Counter((record.failure or "error").split(":")[0] for record in made if record.answer is None)
    num_unreadable = sum(record.num_unreadable or 0 for record in made)
    return {
        "answered": sum(record.answer is not None for record in made),
        "failed": dict(sorted(failures.items())),
        "missing": len(records) - len(made),
        **({"unreadable replies": num_unreadable} if num_unreadable else {}),
    }


def _score_as_json(each: Score, benchmark: Benchmark, store: JudgementStore) -> dict[str, Json]:
    metric = next(metric for metric in benchmark.metrics if metric.name == each.metric)
    return {
        "metric": each.metric,
        "column": asdict(each.column),
        "value": each.value,
        "low": each.low,
        "high": each.high,
        "status": each.status,
        "why": _why(metric, each, store),
        "num_images": each.num_images,
        "num_failed": each.num_failed,
        "num_missing": each.num_missing,
        "settings": dict(metric.settings),
        "judges": {str(need): _judge_name(need, store) for need in metric.needs},
        "pictures": {"keys": list(each.keys), "totals": list(each.totals), "weights": list(each.weights)},
    }


def _score_of_json(value: Mapping[str, Json]) -> Score:
    pictures = value["pictures"]
    numbers = {name: value[name] for name in ("value", "low", "high", "num_images", "num_failed", "num_missing")}
    return Score(
        metric=value["metric"],
        column=Column(**value["column"]),
        keys=tuple(pictures["keys"]),
        totals=tuple(pictures["totals"]),
        weights=tuple(pictures["weights"]),
        **numbers,
    )


def _judge_name(need: Question, store: JudgementStore) -> Json:
    """The identity of the judge that answers a question; None where there is none."""
    spec = judge_spec_for(need.kind, store.specs)
    return None if spec is None else store.identities.get(spec.name)


def _why(metric: MetricSpec, each: Score, store: JudgementStore) -> str | None:
    """Why a score has no value, or one over fewer pictures than were drawn."""
    if not each.num_missing:
        return "no picture counts" if each.status == "empty" else None
    specs: dict[str, JudgeSpec | None] = {need.kind: judge_spec_for(need.kind, store.specs) for need in metric.needs}
    nobody = sorted(kind for kind, spec in specs.items() if spec is None)
    if nobody:
        return f"no judge for {', '.join(nobody)}"
    absent = sorted({spec.name for spec in specs.values() if spec and spec.name not in store.identities})
    if absent:
        return f"not available: {', '.join(absent)}"
    return f"{each.num_missing} pictures were not judged"
