"""What was said in a run: answers to questions about items, found by what they are about. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from occlusionformer.evaluation.benchmark import Benchmark, Item, Question, Subject
from occlusionformer.evaluation.judge_requests import request_about, shows_masks
from occlusionformer.evaluation.judgement import Identity, Json, JudgeRequest
from occlusionformer.evaluation.records import Record, record_key
from occlusionformer.evaluation.running.folder import RunFolder
from occlusionformer.evaluation.running.judge_specs import JudgeSpec, judge_spec_for


@dataclass
class JudgementStore:
    """Pictures, judges and records of a run; grows while it is judged."""

    specs: Sequence[JudgeSpec]
    identities: dict[str, Identity]
    records: dict[str, Record]
    digests: dict[tuple[str, Subject], str]
    with_masks: bool = False
    """Whether segmenters are told the true masks."""
    _keys: dict[tuple[str, Question], str] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: RunFolder, specs: Sequence[JudgeSpec], benchmark: Benchmark) -> JudgementStore:
        """What a folder holds."""
        identities = dict(folder.judge_availability().identities)
        return cls(specs, identities, folder.records(), folder.digests(), shows_masks(benchmark))

    def request(self, item: Item, question: Question) -> JudgeRequest:
        """What is told with a question, once all that it builds upon was asked."""
        spec = judge_spec_for(question.kind, self.specs)
        needs = spec.needs if spec else ()
        records = {kind: self.record(item, Question(kind, question.subject)) for kind in needs}
        given: dict[str, Json] = {kind: None if record is None else record.answer for kind, record in records.items()}
        return request_about(item, question.kind, given, with_masks=self.with_masks)

    def key(self, item: Item, question: Question) -> str | None:
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
        if spec is not None and not spec.needs:
            self._keys[item.key, question] = key
        return key

    def record(self, item: Item, question: Question) -> Record | None:
        """The judgement; None where it was not made."""
        key = self.key(item, question)
        return None if key is None else self.records.get(key)

    def answers(self, item: Item, questions: Iterable[Question]) -> Mapping[Question, Json]:
        """What was said about an item; None for nothing usable, no entry for what was not asked."""
        found = {question: self.record(item, question) for question in questions}
        return {question: record.answer for question, record in found.items() if record is not None}
