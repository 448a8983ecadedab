"""Judges that are vision-language models: a question becomes a prompt, and an answer is read from the reply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol

from PIL.Image import Image

from occlusionformer.evaluation.benchmark import QuestionKind
from occlusionformer.evaluation.judgement import (
    DescribedInstance,
    Identity,
    Json,
    JudgeAnswer,
    JudgementError,
    JudgeRequest,
)
from occlusionformer.evaluation.judges.vlm_parsing import (
    begins_with_yes,
    contains_yes,
    contains_yes_in_any_case,
    read_boxes,
    read_yes_no,
)
from occlusionformer.evaluation.judges.vlm_prompts import (
    ATTRIBUTE,
    ATTRIBUTE_BY_CAPTION,
    ATTRIBUTES,
    PRESENCE,
    VERSION,
    ask_detect,
    ask_entity,
    ask_relation,
)

Box = tuple[int, int, int, int]
SPATIAL = "spatial"


class VisionLanguageModel(Protocol):
    """A model that answers questions about a picture in words."""

    @property
    def identity(self) -> Identity: ...

    @property
    def parallel(self) -> int: ...

    def ask(self, text: str, picture: Image) -> str:
        """The reply to one prompt. Raises JudgementError when there is none."""
        ...


class AttributeProtocol(NamedTuple):
    """How one evaluation asks about the instances of a picture, one crop and one attribute at a time."""

    asks_presence: bool
    """Whether presence is asked first; an instance that is absent has no attributes either."""
    prompt: Callable[[DescribedInstance, str], str]
    """The prompt for an instance and an attribute."""
    read: Callable[[str | None], bool]
    """Yes or no from a reply. Raises JudgementError for a reply that says neither; it counts as no."""


def _published_prompt(instance: DescribedInstance, attribute: str) -> str:
    """Presence with the short description, attributes with both. Slashes are left out, as published code does."""
    short = (instance.category or instance.name).replace("/", "")
    detail = (instance.detail or instance.caption or short).replace("/", "")
    if attribute == SPATIAL:
        return PRESENCE.format(caption=short)
    return ATTRIBUTE.format(caption=short, detail=detail, attribute=attribute)


def _detected_prompt(instance: DescribedInstance, attribute: str) -> str:
    short = instance.category or instance.name
    return ATTRIBUTE.format(caption=short, detail=instance.detail or instance.caption or short, attribute=attribute)


def _prompt_by_caption(instance: DescribedInstance, attribute: str) -> str:
    wording = PRESENCE if attribute == SPATIAL else ATTRIBUTE_BY_CAPTION
    return wording.format(caption=instance.caption or instance.name, attribute=attribute)


PROTOCOLS: Mapping[QuestionKind, AttributeProtocol] = {
    "attributes": AttributeProtocol(True, _published_prompt, contains_yes),
    "attributes_of_detected": AttributeProtocol(False, _detected_prompt, contains_yes_in_any_case),
    "attributes_by_caption": AttributeProtocol(True, _prompt_by_caption, begins_with_yes),
}


class VlmJudge:
    """Asks a vision-language model, once a picture or once an instance and attribute."""

    kinds: frozenset[QuestionKind] = frozenset({"detect", "entity", "relation", *PROTOCOLS})
    needs: frozenset[QuestionKind] = frozenset()

    def __init__(self, model: VisionLanguageModel) -> None:
        self._model = model
        identity = model.identity
        self.identity: Identity = {**identity, "settings": {**identity["settings"], "prompts": VERSION}}
        self.parallel = model.parallel

    def judge(self, picture: Image, request: JudgeRequest) -> JudgeAnswer:
        """Raises JudgementError, with the reply in it, where one reply about the whole picture cannot be read."""
        if request.kind in PROTOCOLS:
            return self._attributes(picture, request, PROTOCOLS[request.kind])
        boxes = _whole_boxes(request, picture)
        if request.kind == "detect":
            categories = sorted({each.category or each.caption or each.name for each in request.instances})
            reply = self._model.ask(ask_detect(categories), picture)
            return JudgeAnswer(answer=read_boxes(reply, categories), reply=reply)
        if request.kind == "entity":
            reply = self._model.ask(ask_entity(request.instances, boxes), picture)
            return JudgeAnswer(answer=read_yes_no(reply, [each.name for each in request.instances]), reply=reply)
        assert request.kind == "relation", request.kind
        if not request.relations:
            return JudgeAnswer(answer={})
        reply = self._model.ask(ask_relation(request.instances, boxes, request.relations), picture)
        return JudgeAnswer(answer=read_yes_no(reply, list(request.relations)), reply=reply)

    def _attributes(self, picture: Image, request: JudgeRequest, protocol: AttributeProtocol) -> JudgeAnswer:
        """Each instance in a crop of its own."""
        answer: dict[str, Json] = {}
        replies: list[str] = []
        for each, box in zip(request.instances, _whole_boxes(request, picture), strict=True):
            asked = ((SPATIAL,) if protocol.asks_presence else ()) + ATTRIBUTES
            found = dict.fromkeys(asked, "no")
            crop = picture.crop(box) if box[0] < box[2] and box[1] < box[3] else None
            for attribute in asked if crop is not None else ():
                assert crop is not None
                found[attribute] = self._yes_no(protocol.prompt(each, attribute), crop, protocol, replies)
                if attribute == SPATIAL and found[attribute] != "yes":
                    break
            answer[each.name] = found
        num_unreadable = sum(value == "unreadable" for found in answer.values() for value in found.values())
        return JudgeAnswer(answer=answer, reply="\n".join(replies), num_unreadable=num_unreadable)

    def _yes_no(
        self, prompt: str, crop: Image, protocol: AttributeProtocol, replies: list[str]
    ) -> Literal["yes", "no", "unreadable"]:
        """One reply, noted in `replies`. A reply of another form costs this one question and no other.

        Raises JudgementError for a time-out or a broken connection, where asking again may help.
        """
        try:
            reply = self._model.ask(prompt, crop)
        except JudgementError as error:
            if error.reason not in ("unreadable", "refused"):
                raise
            replies.append(f"({error})")
            return "unreadable"
        replies.append(reply)
        try:
            return "yes" if protocol.read(reply) else "no"
        except JudgementError:
            return "unreadable"


def _whole_boxes(request: JudgeRequest, picture: Image) -> list[Box]:
    """Boxes in whole pixels of the picture, cut off after the point."""
    boxes = request.boxes_in(picture.width, picture.height)
    return [(int(x1), int(y1), int(x2), int(y2)) for x1, y1, x2, y2 in boxes]
