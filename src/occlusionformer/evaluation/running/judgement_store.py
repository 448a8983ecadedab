"""All judgements of a run, found by item and question. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from occlusionformer.evaluation.benchmark import BUILDS_UPON, BenchmarkItem, Question, Subject
from occlusionformer.evaluation.judge_requests import request_about
from occlusionformer.evaluation.judgement import Identity, Json, JudgeRequest
from occlusionformer.evaluation.records import JudgementRecord, record_key
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.judge_specs import JudgeSpec, judge_spec_for


@dataclass
class JudgementStore:
    """Pictures, judges and records of a run; grows while the run is judged."""

    specs: Sequence[JudgeSpec]
    identities: dict[str, Identity]
    """By the name of the judge."""
    records: dict[str, JudgementRecord]
    digests: dict[tuple[str, Subject], str]
    """Digests of generated and reference pictures, by the key of their item."""
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Width and height of generated pictures that do not have the size of their layout, by the key of their item."""
    _keys: dict[tuple[str, Question], str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: RunFolder, specs: Sequence[JudgeSpec]) -> JudgementStore:
        """What a folder holds."""
        store = cls(specs, dict(folder.judge_availability().identities), folder.records(), {})
        store.note_pictures(folder)
        return store

    def note_pictures(self, folder: RunFolder) -> None:
        """Read again which pictures the folder has."""
        self.digests.update(folder.digests())
        self.sizes.update(folder.sizes())

    def as_drawn(self, item: BenchmarkItem) -> BenchmarkItem:
        """The item with its layout in the size of its generated picture."""
        return item.resized(self.sizes[item.key]) if item.key in self.sizes else item

    def request(self, item: BenchmarkItem, question: Question) -> JudgeRequest:
        """What is told with a question, once everything that it builds upon was asked."""
        spec = judge_spec_for(question.kind, self.specs)
        given: dict[str, Json] = {
            kind: self._answer(item, Question(kind, question.subject)) for kind in (spec.needs if spec else ())
        }
        builds_upon_detections = "detect" in BUILDS_UPON.get(question.kind, ())
        detected = self._answer(item, Question("detect", question.subject)) if builds_upon_detections else None
        pictured = self.as_drawn(item) if question.subject == "generated" else item
        return request_about(pictured, question.kind, given=given, detected=detected)

    def key(self, item: BenchmarkItem, question: Question) -> str | None:
        """The name of a judgement; None while its picture or its judge is not known."""
        known = self._keys.get((item.key, question))
        if known is not None:
            return known
        spec = judge_spec_for(question.kind, self.specs)
        identity = self.identities.get(spec.name) if spec else None
        digest = self.digests.get((item.key, question.subject))
        if identity is None or digest is None:
            return None
        key = record_key(digest, self.request(item, question), identity)
        if spec is not None and not spec.needs and question.kind not in BUILDS_UPON:
            self._keys[item.key, question] = key
        return key

    def record(self, item: BenchmarkItem, question: Question) -> JudgementRecord | None:
        """The judgement; None where it was not made."""
        key = self.key(item, question)
        return None if key is None else self.records.get(key)

    def answers(self, item: BenchmarkItem, questions: Iterable[Question]) -> Mapping[Question, Json]:
        """Answers about an item: None where a judge gave nothing usable, no entry for what was not asked."""
        found = {question: self.record(item, question) for question in questions}
        return {question: record.answer for question, record in found.items() if record is not None}

    def conditioned(self, item: BenchmarkItem, condition: Question | None) -> BenchmarkItem:
        """The item with the order that a judge saw in its reference; as it is where none was seen or asked for."""
        answer = None if condition is None else self._answer(item, condition)
        return item if answer is None else item.ordered(answer)

    def _answer(self, item: BenchmarkItem, question: Question) -> Json:
        record = self.record(item, question)
        return None if record is None else record.answer
