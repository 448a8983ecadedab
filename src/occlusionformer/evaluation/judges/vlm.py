"""Judges that are asked in words: where things are, whether they are what they should be, and how they stand."""

from __future__ import annotations

from typing import Protocol

from PIL.Image import Image

from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import Identity, Json, JudgeAnswer, JudgementError, JudgeRequest
from occlusionformer.evaluation.judges.vlm_parsing import read_boxes, read_yes_no, says_yes
from occlusionformer.evaluation.judges.vlm_prompts import (
    ATTRIBUTE,
    ATTRIBUTES,
    SPATIAL,
    VERSION,
    ask_detect,
    ask_entity,
    ask_relation,
)


class VisionLanguageModel(Protocol):
    """A model that looks at a picture and talks."""

    @property
    def identity(self) -> Identity: ...

    @property
    def parallel(self) -> int: ...

    def ask(self, text: str, picture: Image) -> str:
        """The reply to one question. Raises JudgementError when there is none."""
        ...


class VlmJudge:
    """Puts questions into words and reads the replies."""

    kinds: frozenset[QuestionKind] = frozenset({"detect", "entity", "relation", "attributes"})
    needs: frozenset[QuestionKind] = frozenset()

    def __init__(self, speaker: VisionLanguageModel) -> None:
        self._speaker = speaker
        told = speaker.identity
        self.identity: Identity = {**told, "settings": {**told["settings"], "wording": VERSION}}
        self.parallel = speaker.parallel

    def judge(self, picture: Image, request: JudgeRequest) -> JudgeAnswer:
        """Raises JudgementError, with the reply in it, for words that do not parse."""
        if request.kind == "attributes":
            return self._attributes(picture, request)
        boxes = _whole_boxes(request, picture)
        if request.kind == "detect":
            categories = sorted({each.category or each.caption or each.name for each in request.instances})
            reply = self._speaker.ask(ask_detect(categories), picture)
            return JudgeAnswer(answer=read_boxes(reply, categories), reply=reply)
        if request.kind == "entity":
            reply = self._speaker.ask(ask_entity(request.instances, boxes), picture)
            return JudgeAnswer(answer=read_yes_no(reply, [each.name for each in request.instances]), reply=reply)
        assert request.kind == "relation", request.kind
        if not request.relations:
            return JudgeAnswer(answer={})
        reply = self._speaker.ask(ask_relation(request.instances, boxes, request.relations), picture)
        return JudgeAnswer(answer=read_yes_no(reply, list(request.relations)), reply=reply)

    def _attributes(self, picture: Image, request: JudgeRequest) -> JudgeAnswer:
        """Each instance in a crop of its own; what is not there at all has no attributes."""
        answer: dict[str, Json] = {}
        replies: list[str] = []
        for each, box in zip(request.instances, _whole_boxes(request, picture), strict=True):
            asked = {"spatial": SPATIAL, **dict.fromkeys(ATTRIBUTES, ATTRIBUTE)}
            found = dict.fromkeys(asked, "no")
            crop = picture.crop(box) if box[0] < box[2] and box[1] < box[3] else None
            for attribute, wording in asked.items() if crop is not None else ():
                assert crop is not None
                replies.append(
                    self._speaker.ask(wording.format(caption=each.caption or each.name, attribute=attribute), crop)
                )
                try:
                    found[attribute] = "yes" if says_yes(replies[-1]) else "no"
                except JudgementError as error:
                    raise JudgementError(error.reason, f"{each.name}: {error}", reply="\n".join(replies)) from error
                if found["spatial"] == "no":
                    break
            answer[each.name] = found
        return JudgeAnswer(answer=answer, reply="\n".join(replies))


def _whole_boxes(request: JudgeRequest, picture: Image) -> list[tuple[int, int, int, int]]:
    """Boxes in whole pixels of the picture, cut off after the point."""
    boxes = request.boxes_in(picture.width, picture.height)
    return [(int(x1), int(y1), int(x2), int(y2)) for x1, y1, x2, y2 in boxes]
