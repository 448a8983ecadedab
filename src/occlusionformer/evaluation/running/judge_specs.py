"""The judges of a run: what each of them can be asked, known before its model is loaded. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from occlusionformer.evaluation.benchmark import BUILDS_UPON, Question, QuestionKind
from occlusionformer.evaluation.judgement import Json, digest
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.judges.registry import judge_info, load_judge


@dataclass(frozen=True, kw_only=True)
class JudgeSpec:
    """A judge by name, with what it answers; its model is loaded when it is needed."""

    name: str
    """As the command line has it: `name` or `name:argument`."""
    kinds: frozenset[QuestionKind]
    needs: frozenset[QuestionKind]
    """Answers of other judges that it works with."""
    judge: Judge | None = None
    """The judge itself, where it is loaded already."""

    def load(self) -> Judge:
        """Raises JudgeUnavailableError."""
        return load_judge(self.name) if self.judge is None else self.judge

    def as_json(self) -> dict[str, Json]:
        return {"spec": self.name, "kinds": sorted(self.kinds), "needs": sorted(self.needs)}


def judge_name_of(judge: Judge | str) -> str:
    """The name of a judge in a run; a judge given as an object is named by its identity."""
    return judge if isinstance(judge, str) else f"{judge.identity['name']}={digest(judge.identity)[:12]}"


def judge_spec_of(source: Judge | str) -> JudgeSpec:
    """The spec of a judge by name or object. Judges of other packages are loaded to learn what they answer."""
    info = judge_info(source) if isinstance(source, str) else None
    if info is not None and isinstance(source, str):
        return JudgeSpec(name=source, kinds=info.kinds, needs=info.needs)
    judge = _of_another_package(source) if isinstance(source, str) else source
    return JudgeSpec(name=judge_name_of(source), kinds=judge.kinds, needs=judge.needs, judge=judge)


@lru_cache(maxsize=16)
def _of_another_package(name: str) -> Judge:
    """Loaded once in a process, however often its spec is asked for."""
    return load_judge(name)


def judge_spec_of_json(value: Mapping[str, Json]) -> JudgeSpec:
    return JudgeSpec(name=value["spec"], kinds=frozenset(value["kinds"]), needs=frozenset(value["needs"]))


def judge_spec_for(kind: QuestionKind, specs: Sequence[JudgeSpec]) -> JudgeSpec | None:
    """The judge that answers questions of a kind: the first that can, whether it could be loaded or not."""
    return next((spec for spec in specs if kind in spec.kinds), None)


def can_be_asked(question: Question, specs: Sequence[JudgeSpec]) -> bool:
    """Whether there are judges for a question and for those that it builds upon."""
    kinds = (question.kind, *BUILDS_UPON.get(question.kind, ()))
    return all(judge_spec_for(kind, specs) is not None for kind in kinds)


def prerequisites(question: Question, spec: JudgeSpec | None) -> list[Question]:
    """The questions whose answers must be known before this one is put to a judge."""
    kinds = {*BUILDS_UPON.get(question.kind, ()), *(spec.needs if spec else ())}
    return [Question(kind, question.subject) for kind in sorted(kinds)]


def all_questions(asked: Sequence[Question], specs: Sequence[JudgeSpec]) -> list[Question]:
    """The questions, each after its prerequisites.

    Raises ValueError where a judge needs answers that no judge gives, or where two wait for each other.
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
    for needed in prerequisites(question, spec):
        if spec is not None and needed.kind in spec.needs and judge_spec_for(needed.kind, specs) is None:
            raise ValueError(
                f"judges: {spec.name} needs answers to {needed.kind!r} questions; expected a judge that gives them"
            )
        _add(needed, specs, found, (*waiting, question))
    found[question] = None
