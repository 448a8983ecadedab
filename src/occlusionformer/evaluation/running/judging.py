"""The second half of a run: every question is put to the judge that answers it, and the answer is recorded.

Judges are asked one after another, so that only one model is in memory at a time. A question that a judge cannot
answer costs that one answer; a judge that is not available costs all of its answers; neither stops the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from occlusionformer.evaluation.benchmark import BenchmarkItem, Question
from occlusionformer.evaluation.judgement import (
    JudgeAnswer,
    JudgementError,
    JudgeRequest,
    JudgeUnavailableError,
    canonical,
)
from occlusionformer.evaluation.judges.protocol import Judge
from occlusionformer.evaluation.records import JudgementRecord, picture_digest
from occlusionformer.evaluation.running.folder import PictureEntry, ShardFiles
from occlusionformer.evaluation.running.judge_specs import (
    JudgeSpec,
    all_questions,
    can_be_asked,
    judge_spec_for,
    prerequisites,
)
from occlusionformer.evaluation.running.judgement_store import JudgementStore
from occlusionformer.evaluation.running.plan import Progress
from occlusionformer.pictures import as_rgb, read_picture

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
"""Exceptions of judges that cost one question and do not stop the run."""

DIGESTS_AT_ONCE = 64
"""References whose digests are written at once."""

MOST_DETAIL = 300
"""Characters of an error that are recorded."""


@dataclass(frozen=True, kw_only=True)
class JudgingContext:
    """Items, pictures and files of the shard that is being judged."""

    items: Sequence[BenchmarkItem]
    pictures: Mapping[str, Path]
    """The drawn picture of every item; may be empty when only references are asked about."""
    store: JudgementStore
    files: ShardFiles
    progress: Progress
    retry: bool = False
    """Ask again where a judge gave nothing usable in an earlier run."""


@dataclass(frozen=True, kw_only=True)
class _Task:
    """All requests to one judge about one picture, with the keys of their answers."""

    item: BenchmarkItem
    subject: str
    asked: tuple[tuple[str, JudgeRequest], ...]


def run_judges(context: JudgingContext, questions: Sequence[Question]) -> None:
    """Ask all questions, and their prerequisites, about all items.

    Raises ValueError where a judge has become another one since its first answers.
    """
    specs = context.store.specs
    waiting = [question for question in all_questions(questions, specs) if can_be_asked(question, specs)]
    _note_references(context, {question.subject for question in waiting})
    while waiting:
        spec = judge_spec_for(waiting[0].kind, specs)
        assert spec is not None
        mine = [
            question
            for question in waiting
            if judge_spec_for(question.kind, specs) == spec and _is_due(question, spec, waiting)
        ]
        _run_judge(context, spec, mine)
        waiting = [question for question in waiting if question not in mine]


def _is_due(question: Question, spec: JudgeSpec, waiting: Sequence[Question]) -> bool:
    """Whether all its prerequisites were asked."""
    return not any(needed in waiting for needed in prerequisites(question, spec))


def _note_references(context: JudgingContext, subjects: set[str]) -> None:
    """Reference pictures get their digests when the first question about them comes up."""
    if "reference" not in subjects:
        return
    digests = context.store.digests
    new = [item for item in context.items if item.reference is not None and (item.key, "reference") not in digests]
    for start in range(0, len(new), DIGESTS_AT_ONCE):
        entries = []
        for item in new[start : start + DIGESTS_AT_ONCE]:
            assert item.reference is not None
            digests[item.key, "reference"] = picture_digest(item.reference())
            entries.append(PictureEntry(item=item.key, subject="reference", digest=digests[item.key, "reference"]))
        context.files.pictures(entries)


def _run_judge(context: JudgingContext, spec: JudgeSpec, questions: Sequence[Question]) -> None:
    """Ask one judge all its questions. It is loaded only when something is not answered yet."""
    if spec.name in context.store.identities and not _tasks(context, questions):
        return
    try:
        judge = spec.load()
        _recognise(context, spec, judge)
        tasks = _tasks(context, questions)
        with ThreadPoolExecutor(max(1, judge.parallel)) as pool:
            futures = [pool.submit(_answers, judge, task, context) for task in tasks]
            try:
                _record(context, spec, futures)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    except JudgeUnavailableError as error:
        context.files.unavailable(spec.name, str(error))
        context.progress(f"{spec.name} is not available: {error}", 0, 0)


def _recognise(context: JudgingContext, spec: JudgeSpec, judge: Judge) -> None:
    known = context.store.identities.get(spec.name)
    if known is None:
        context.store.identities[spec.name] = judge.identity
        context.files.judge(spec.name, judge.identity)
    elif canonical(known) != canonical(judge.identity):
        raise ValueError(
            f"{spec.name}: expected the judge that began this run, {canonical(known)}, got {canonical(judge.identity)}"
        )


def _tasks(context: JudgingContext, questions: Sequence[Question]) -> list[_Task]:
    """Open questions by picture; a question about the same pixels is asked once."""
    tasks = []
    taken: set[str] = set()
    for item in context.items:
        for subject in sorted({question.subject for question in questions}):
            about = [question for question in questions if question.subject == subject]
            asked = tuple(each for each in _unanswered(context, item, about) if each[0] not in taken)
            if asked:
                taken.update(key for key, _ in asked)
                tasks.append(_Task(item=item, subject=subject, asked=asked))
    return tasks


def _unanswered(
    context: JudgingContext, item: BenchmarkItem, questions: Sequence[Question]
) -> Iterator[tuple[str, JudgeRequest]]:
    store = context.store
    for question in questions:
        key = store.key(item, question)
        record = None if key is None else store.records.get(key)
        if key is not None and (record is None or (context.retry and record.answer is None)):
            yield key, store.request(item, question)


def _answers(judge: Judge, task: _Task, context: JudgingContext) -> list[JudgementRecord]:
    """Runs in a thread. Questions about one picture follow one another, so that a judge can keep what it computed."""
    picture = _open(task, context)
    return [_answer(judge, picture, key, request, task.item.key) for key, request in task.asked]


def _open(task: _Task, context: JudgingContext) -> Image.Image:
    if task.subject == "reference":
        assert task.item.reference is not None
        return as_rgb(task.item.reference(), name=f"reference of {task.item.key}")
    path = context.pictures[task.item.key]
    return read_picture(path, name=str(path)).image


def _answer(judge: Judge, picture: Image.Image, key: str, request: JudgeRequest, item: str) -> JudgementRecord:
    """The judgement, or how it failed."""
    failure, reply = "", None
    try:
        judged_answer = judge.judge(picture, request)
        if isinstance(judged_answer, JudgeAnswer) and judged_answer.answer is not None:
            canonical(judged_answer.answer)
            return JudgementRecord(
                key=key,
                item=item,
                kind=request.kind,
                answer=judged_answer.answer,
                reply=judged_answer.reply,
                num_unreadable=judged_answer.num_unreadable or None,
            )
        failure = "unreadable: the judge answered nothing"
    except JudgeUnavailableError:
        raise
    except JudgementError as error:
        failure, reply = str(error), error.reply
    except TimeoutError as error:
        failure = f"timeout: {error}"
    except FOREIGN_ERRORS as error:
        failure = f"error: {type(error).__name__}: {error}"
    return JudgementRecord(
        key=key, item=item, kind=request.kind, answer=None, failure=failure[:MOST_DETAIL].rstrip(": "), reply=reply
    )


def _record(context: JudgingContext, spec: JudgeSpec, futures: Sequence[Future[list[JudgementRecord]]]) -> None:
    for done, future in enumerate(as_completed(futures)):
        context.progress(f"asking {spec.name}", done, len(futures))
        records = future.result()
        context.files.judgements(records)
        context.store.records.update({record.key: record for record in records})
    context.progress(f"asking {spec.name}", len(futures), len(futures))
