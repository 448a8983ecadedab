"""Requests to judges, their answers, and their identities. No torch, no numpy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import TypedDict

from occlusionformer.evaluation.benchmark import BackgroundPicture, QuestionKind

Json = Any
"""Any value that `json.loads` can return."""


class Identity(TypedDict):
    """Identifies a judge. Two judges with the same identity give the same answers."""

    name: str
    model: str
    revision: str
    """A commit, a digest of the weights, or a date; "unstated" where the judge cannot tell."""
    settings: dict[str, Json]
    """Everything else that changes answers: thresholds, sizes, prompt version."""


@dataclass(frozen=True, kw_only=True)
class DescribedInstance:
    """One instance in a request."""

    name: str
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in the frame of the request."""
    category: str | None = None
    caption: str | None = None
    detail: str | None = None
    """A description that names colour, texture and shape; `category` is then the short one."""
    mask: Mapping[str, Json] | None = None
    """The visible region of the instance as COCO run lengths, in questions that are prompted with it."""


@dataclass(frozen=True, kw_only=True)
class JudgeRequest:
    """One question about one picture. Requests with the same content have the same answer.

    `benchmark.Question` lists the forms of the answers.
    """

    kind: QuestionKind
    frame: tuple[int, int]
    """Width and height of the canvas in which boxes are given; the picture may have another size."""
    instances: tuple[DescribedInstance, ...] = ()
    prompt: str | None = None
    relations: Mapping[str, str] = field(default_factory=dict)
    """What should hold between instances, by key."""
    background: BackgroundPicture | None = None
    """The picture that was asked for, without its objects."""
    given: Mapping[str, Json] = field(default_factory=dict)
    """Answers of other judges about the same picture, by kind, such as masks for a judge of order."""

    def as_json(self) -> dict[str, Json]:
        """The fields that are not empty."""
        everything = {
            "kind": self.kind,
            "frame": list(self.frame),
            "instances": [
                {key: value for key, value in vars(each).items() if value is not None} for each in self.instances
            ],
            "prompt": self.prompt,
            "relations": dict(self.relations),
            "background": None if self.background is None else self.background.digest,
            "given": dict(self.given),
        }
        return {key: value for key, value in everything.items() if value not in (None, [], {})}

    def boxes_in(self, width: int, height: int) -> list[tuple[float, float, float, float]]:
        """The boxes of the instances in pixels of a picture of this size."""
        across, down = width / self.frame[0], height / self.frame[1]
        return [(x1 * across, y1 * down, x2 * across, y2 * down) for x1, y1, x2, y2 in (i.box for i in self.instances)]


@dataclass(frozen=True, kw_only=True)
class JudgeAnswer:
    """A judge's answer."""

    answer: Json
    """In the form that `benchmark.Question` lists for its kind."""
    reply: str | None = None
    """The reply it was read from, for judges that answer in words."""
    num_unreadable: int = 0
    """Replies about single instances that could not be read and count as no."""


class JudgementError(RuntimeError):
    """One question got no usable answer: a time-out, a refusal, a reply that does not parse."""

    def __init__(self, reason: str, detail: str = "", *, reply: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        """What failures are counted by: `timeout`, `unreadable`, `refused`, `error`."""
        self.reply = reply


class JudgeUnavailableError(RuntimeError):
    """A judge cannot run here at all: weights, a library or a server are missing."""


def digest(value: Json) -> str:
    """SHA-256 of a JSON value: equal values have equal digests in every process."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Json) -> str:
    """JSON with sorted keys and no spaces."""
    return _ENCODER.encode(value)


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
"""Made once, for speed: a run computes a hundred thousand keys."""
