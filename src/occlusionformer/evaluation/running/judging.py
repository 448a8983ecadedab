"""The second half of a run: every question is put to the judge that answers it, and what it says is recorded.

Judges are asked one after another, so that only one model is in memory at a time. A question that a judge cannot
answer costs that one answer; a judge that is not to be had costs all of its answers; neither stops the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from occlusionformer.evaluation.benchmark import Item, Question
from occlusionformer.evaluation.judgement import (
    Inquiry,
    JudgementError,
    JudgeUnavailableError,
    Verdict,
    canonical,
)
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.records import Record, picture_digest
from occlusionformer.evaluation.running.folder import Look, ShareFiles
from occlusionformer.evaluation.running.plan import Progress
from occlusionformer.evaluation.running.seats import Seat, all_questions, seat_for
from occlusionformer.evaluation.running.transcript import Transcript

FOREIGN_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a judge of somebody else's may raise about one picture."""

LOOKS = 64
"""References whose digests are written at once."""

MOST_DETAIL = 300
"""Characters of an error that are recorded."""


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """What judges are heard about."""

    items: Sequence[Item]
    pictures: Mapping[str, Path]
    """The drawn picture of every item; may be empty when only references are asked about."""
    transcript: Transcript
    files: ShareFiles
    progress: Progress
    retry: bool = False
    """Ask again where a judge gave nothing usable in an earlier run."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """Everything one judge is asked about one picture, and the names of the answers."""

    item: Item
    subject: str
    asked: tuple[tuple[str, Inquiry], ...]


def hear(hearing: Hearing, questions: Sequence[Question]) -> None:
    """Put all questions, and those that their judges build upon, about all items.

    Raises ValueError where a judge has become another one since its first answers.
    """
    seats = hearing.transcript.seats
    waiting = [question for question in all_questions(questions, seats) if seat_for(question.kind, seats)]
    _note_references(hearing, {question.subject for question in waiting})
    while waiting:
        seat = seat_for(waiting[0].kind, seats)
        assert seat is not None
        mine = [
            question
            for question in waiting
            if seat_for(question.kind, seats) == seat and _is_due(question, seat, waiting)
        ]
        _hear_one(hearing, seat, mine)
        waiting = [question for question in waiting if question not in mine]


def _is_due(question: Question, seat: Seat, waiting: Sequence[Question]) -> bool:
    """Whether everything it builds upon was asked."""
    return not any(Question(kind, question.subject) in waiting for kind in seat.needs)


def _note_references(hearing: Hearing, subjects: set[str]) -> None:
    """Reference pictures get their digests when the first question about them comes up."""
    if "reference" not in subjects:
        return
    digests = hearing.transcript.digests
    new = [item for item in hearing.items if item.reference is not None and (item.key, "reference") not in digests]
    for start in range(0, len(new), LOOKS):
        looks = []
        for item in new[start : start + LOOKS]:
            assert item.reference is not None
            digests[item.key, "reference"] = picture_digest(item.reference())
            looks.append(Look(item=item.key, subject="reference", digest=digests[item.key, "reference"]))
        hearing.files.pictures(looks)


def _hear_one(hearing: Hearing, seat: Seat, questions: Sequence[Question]) -> None:
    """All that one judge is asked. It is loaded when there is something to ask that nobody has answered yet."""
    if seat.spec in hearing.transcript.identities and not _tasks(hearing, questions):
        return
    try:
        judge = seat.load()
        _recognise(hearing, seat, judge)
        tasks = _tasks(hearing, questions)
        with ThreadPoolExecutor(max(1, judge.parallel)) as pool:
            futures = [pool.submit(_answers, judge, task, hearing) for task in tasks]
            try:
                _record(hearing, seat, futures)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    except JudgeUnavailableError as error:
        hearing.files.absence(seat.spec, str(error))
        hearing.progress(f"{seat.spec} is not available: {error}", 0, 0)


def _recognise(hearing: Hearing, seat: Seat, judge: Judge) -> None:
    known = hearing.transcript.identities.get(seat.spec)
    if known is None:
        hearing.transcript.identities[seat.spec] = judge.identity
        hearing.files.judge(seat.spec, judge.identity)
    elif canonical(known) != canonical(judge.identity):
        raise ValueError(
            f"{seat.spec}: expected the judge that began this run, {canonical(known)}, got {canonical(judge.identity)}"
        )


def _tasks(hearing: Hearing, questions: Sequence[Question]) -> list[_Task]:
    """What is still to be asked, picture by picture; the same about the same pixels is asked once."""
    tasks = []
    taken: set[str] = set()
    for item in hearing.items:
        for subject in sorted({question.subject for question in questions}):
            about = [question for question in questions if question.subject == subject]
            asked = tuple(each for each in _unanswered(hearing, item, about) if each[0] not in taken)
            if asked:
                taken.update(key for key, _ in asked)
                tasks.append(_Task(item=item, subject=subject, asked=asked))
    return tasks


def _unanswered(hearing: Hearing, item: Item, questions: Sequence[Question]) -> Iterator[tuple[str, Inquiry]]:
    transcript = hearing.transcript
    for question in questions:
        key = transcript.key(item, question)
        record = None if key is None else transcript.records.get(key)
        if key is not None and (record is None or (hearing.retry and record.answer is None)):
            yield key, transcript.inquiry(item, question)


def _answers(judge: Judge, task: _Task, hearing: Hearing) -> list[Record]:
    """Runs in a thread. Questions about one picture follow one another, so that a judge may remember it."""
    picture = _open(task, hearing)
    return [_answer(judge, picture, key, inquiry, task.item.key) for key, inquiry in task.asked]


def _open(task: _Task, hearing: Hearing) -> Image.Image:
    if task.subject == "reference":
        assert task.item.reference is not None
        return task.item.reference().convert("RGB")
    with Image.open(hearing.pictures[task.item.key]) as picture:
        return picture.convert("RGB")


def _answer(judge: Judge, picture: Image.Image, key: str, inquiry: Inquiry, item: str) -> Record:
    """The judgement, or how it failed."""
    failure, reply = "", None
    try:
        verdict = judge.judge(picture, inquiry)
        if isinstance(verdict, Verdict) and verdict.answer is not None:
            canonical(verdict.answer)
            return Record(key=key, item=item, kind=inquiry.kind, answer=verdict.answer, reply=verdict.reply)
        failure = "unreadable: the judge answered nothing"
    except JudgeUnavailableError:
        raise
    except JudgementError as error:
        failure, reply = str(error), error.reply
    except TimeoutError as error:
        failure = f"timeout: {error}"
    except FOREIGN_ERRORS as error:
        failure = f"error: {type(error).__name__}: {error}"
    return Record(
        key=key, item=item, kind=inquiry.kind, answer=None, failure=failure[:MOST_DETAIL].rstrip(": "), reply=reply
    )


def _record(hearing: Hearing, seat: Seat, futures: Sequence[Future[list[Record]]]) -> None:
    for done, future in enumerate(as_completed(futures)):
        hearing.progress(f"asking {seat.spec}", done, len(futures))
        records = future.result()
        hearing.files.judgements(records)
        hearing.transcript.records.update({record.key: record for record in records})
    hearing.progress(f"asking {seat.spec}", len(futures), len(futures))
