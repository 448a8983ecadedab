"""The judges of a run: what each can be asked, known before its model is loaded. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from occlusionformer.evaluation.benchmark import Question, QuestionKind
from occlusionformer.evaluation.judgement import Json, digest
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.judges.registry import card_of, load_judge


@dataclass(frozen=True, kw_only=True)
class Seat:
    """One judge's place; who sits there may come later."""

    spec: str
    kinds: frozenset[QuestionKind]
    needs: frozenset[QuestionKind]
    judge: Judge | None = None
    """Who sits there already."""

    def load(self) -> Judge:
        """Raises JudgeUnavailableError."""
        return load_judge(self.spec) if self.judge is None else self.judge

    def as_json(self) -> dict[str, Json]:
        return {"spec": self.spec, "kinds": sorted(self.kinds), "needs": sorted(self.needs)}


def spec_of(judge: Judge | str) -> str:
    """The name of a judge in a run; one that is handed over is named by who it is."""
    return judge if isinstance(judge, str) else f"{judge.identity['name']}={digest(judge.identity)[:12]}"


def seat_of(source: Judge | str) -> Seat:
    """Loads a judge of another package: nothing is known of it otherwise."""
    card = card_of(source) if isinstance(source, str) else None
    if card is not None and isinstance(source, str):
        return Seat(spec=source, kinds=card.kinds, needs=card.needs)
    judge = _foreign(source) if isinstance(source, str) else source
    return Seat(spec=spec_of(source), kinds=judge.kinds, needs=judge.needs, judge=judge)


@lru_cache(maxsize=16)
def _foreign(spec: str) -> Judge:
    """Loaded once in a process, however often it is asked who it is."""
    return load_judge(spec)


def seat_of_json(value: Mapping[str, Json]) -> Seat:
    return Seat(spec=value["spec"], kinds=frozenset(value["kinds"]), needs=frozenset(value["needs"]))


def seat_for(kind: QuestionKind, seats: Sequence[Seat]) -> Seat | None:
    """Who answers questions of a kind: the first that can, whether it could be had or not."""
    return next((seat for seat in seats if kind in seat.kinds), None)


def all_questions(asked: Sequence[Question], seats: Sequence[Seat]) -> list[Question]:
    """The questions, after those whose answers their judges build upon.

    Raises ValueError where a judge needs answers that nobody gives, or where two wait for each other.
    """
    found: dict[Question, None] = {}
    for question in asked:
        _add(question, seats, found, ())
    return list(found)


def _add(question: Question, seats: Sequence[Seat], found: dict[Question, None], waiting: tuple[Question, ...]) -> None:
    if question in waiting:
        raise ValueError(f"judges: {' waits for '.join(map(str, [*waiting, question]))}")
    seat = seat_for(question.kind, seats)
    for kind in sorted(seat.needs) if seat else ():
        if seat_for(kind, seats) is None:
            assert seat is not None
            raise ValueError(
                f"judges: {seat.spec} needs answers to {kind!r} questions; expected a judge that gives them"
            )
        _add(Question(kind, question.subject), seats, found, (*waiting, question))
    found[question] = None
