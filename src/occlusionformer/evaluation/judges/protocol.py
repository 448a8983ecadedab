"""The interface of all judges."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from PIL.Image import Image

from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import Identity, JudgeAnswer, JudgeRequest


@runtime_checkable
class Judge(Protocol):
    """Answers questions about pictures."""

    @property
    def identity(self) -> Identity:
        """Known from the start; it never changes."""
        ...

    @property
    def kinds(self) -> frozenset[QuestionKind]:
        """The kinds of questions it answers."""
        ...

    @property
    def needs(self) -> frozenset[QuestionKind]:
        """Kinds of questions whose answers by other judges it needs in `JudgeRequest.given`."""
        ...

    @property
    def parallel(self) -> int:
        """How many questions may be asked at once, from several threads."""
        ...

    def judge(self, picture: Image, request: JudgeRequest) -> JudgeAnswer:
        """The answer to one question about an RGB picture.

        Raises JudgementError when there is none; the run goes on without it.
        """
        ...
