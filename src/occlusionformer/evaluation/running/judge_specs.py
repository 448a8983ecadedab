"""The judges of a run: what each can be asked, known before its model is loaded. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from occlusionformer.evaluation.benchmark import Question, QuestionKind
from occlusionformer.evaluation.judgement import Json, digest
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.judges.registry import judge_info, load_judge


@dataclass(frozen=True, kw_only=True)
class JudgeSpec:
    """One judge's place; who sits there may come later."""

    name: str
    """As the command line has it, `name` or `name:argument`."""
    kinds: frozenset[QuestionKind]
    needs: frozenset[QuestionKind]
    judge: Judge | None = None
    """Who sits there already."""

    def load(self) -> Judge:
        """Raises JudgeUnavailableError."""
        return load_judge(self.name) if self.judge is None else self.judge

    def as_json(self) -> dict[str, Json]:
        return {"spec": self.name, "kinds": sorted(self.kinds), "needs": sorted(self.needs)}


def judge_name_of(judge: Judge | str) -> str:
    """The name of a judge in a run; one that is handed over is named by who it is."""
    return judge if isinstance(judge, str) else f"{judge.identity['name']}={digest(judge.identity)[:12]}"


def judge_spec_of(source: Judge | str) -> JudgeSpec:
    """Loads a judge of another package: nothing is known of it otherwise."""
    info = judge_info(source) if isinstance(source, str) else None
    if info is not None and isinstance(source, str):
        return JudgeSpec(name=source, kinds=info.kinds, needs=info.needs)
    judge = _foreign(source) if isinstance(source, str) else source
    return JudgeSpec(name=judge_name_of(source), kinds=judge.kinds, needs=judge.needs, judge=judge)


@lru_cache(maxsize=16)
def _foreign(spec: str) -> Judge:
    """Loaded once in a process, however often it is asked who it is."""
    return load_judge(spec)


def judge_spec_of_json(value: Mapping[str, Json]) -> JudgeSpec:
    return JudgeSpec(name=value["spec"], kinds=frozenset(value["kinds"]), needs=frozenset(value["needs"]))


def judge_spec_for(kind: QuestionKind, specs: Sequence[JudgeSpec]) -> JudgeSpec | None:
    """Who answers questions of a kind: the first that can, whether it could be had or not."""
    return next((spec for spec in specs if kind in spec.kinds), None)


def all_questions(asked: Sequence[Question], specs: Sequence[JudgeSpec]) -> list[Question]:
    """The questions, after those whose answers their judges build upon.

    Raises ValueError where a judge needs answers that nobody gives, or where two wait for each other.
    """
    found: dict[Question, None] = {}
    for question in asked:
        _add(question, specs, found, ())
    return list(found)


def _add(
    question: Question, specs: Sequence[JudgeSpec], found: dict[Question, None], waiting: tuple[Question, ...]
) -> None:
    if question in waiting:
        raise ValueError(f"judges: {' waits for '.join(map(str, [*waiting, question]))}")
    spec = judge_spec_for(question.kind, specs)
    for kind in sorted(spec.needs) if spec else ():
        if judge_spec_for(kind, specs) is None:
            assert spec is not None
            raise ValueError(
                f"judges: {spec.name} needs answers to {kind!r} questions; expected a judge that gives them"
            )
        _add(Question(kind, question.subject), specs, found, (*waiting, question))
    found[question] = None
