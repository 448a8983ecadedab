"""What a judge is asked about a picture, and what it answers. No torch, no numpy."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from typing_extensions import NotRequired, TypedDict

Kind = Literal[
    "detect",
    "entity",
    "relation",
    "order",
    "depth",
    "segment",
    "attributes",
    "clip_global",
    "clip_local",
    "fid_features",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

Json = Any
"""What `json.loads` can return."""


class Detected(TypedDict):
    """detect: where things of each category are."""

    boxes: dict[str, list[list[int]]]
    """x1, y1, x2, y2 by category, in the frame of the question, exactly as many as the judge named."""


class YesNo(TypedDict):
    """entity, relation: one answer for every key that was asked, "no" where the judge gave none."""

    yes: dict[str, bool]


class InFront(TypedDict):
    """order: how likely each instance hides part of each other one."""

    in_front: list[list[float]]
    """Row i, column j: probability from 0 to 1 that i is in front of j; both directions may be likely."""


class Nearer(TypedDict):
    """depth: which of two instances is nearer."""

    nearer: list[list[int]]
    """Row i, column j: 1 nearer, 0 farther, 2 equally far, -1 not known."""


class Masks(TypedDict):
    """segment: one mask for each instance, as COCO run lengths."""

    size: list[int]
    """Height, width of the picture."""
    counts: list[str]


class Attributes(TypedDict):
    """attributes: by instance, then by attribute (spatial, color, texture, shape)."""

    yes: dict[str, dict[str, bool]]


class Cosine(TypedDict):
    """clip_global: how alike picture and prompt are, -1 to 1."""

    cosine: float


class Cosines(TypedDict):
    """clip_local: how alike each crop and its caption are, -1 to 1; null for an instance without a crop."""

    cosines: list[float | None]


class Features(TypedDict):
    """fid_features: the picture as Inception sees it."""

    features: str
    """Base64 of little-endian float32 numbers."""


class Identity(TypedDict):
    """Who judges. Two judges with the same identity give the same answers."""

    name: str
    model: str
    revision: str
    """A commit, a digest of the weights, or a date; "unstated" where the judge cannot tell."""
    settings: dict[str, Json]
    """Everything else that moves an answer: thresholds, sizes, prompt version."""
    note: NotRequired[str]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One instance, as a judge is told about it."""

    name: str
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 in the frame of the question."""
    category: str | None = None
    caption: str | None = None
    detail: str | None = None
    """A longer caption that names colours, textures and shapes."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked about one picture; holds nothing that does not matter for the answer."""

    kind: Kind
    frame: tuple[int, int]
    """Width and height of the canvas in which boxes are given; the picture may have another size."""
    subjects: tuple[Subject, ...] = ()
    prompt: str | None = None
    relations: Mapping[str, str] = field(default_factory=dict)
    """What should hold between instances, by key."""
    given: Mapping[str, Json] = field(default_factory=dict)
    """Answers of other judges about the same picture, by kind: masks for whoever judges order."""

    def as_json(self) -> dict[str, Json]:
        """Everything that is asked; what is empty is left out."""
        subjects = [{key: value for key, value in vars(each).items() if value is not None} for each in self.subjects]
        everything = {
            "kind": self.kind,
            "frame": self.frame,
            "subjects": subjects,
            "prompt": self.prompt,
            "relations": dict(self.relations),
            "given": dict(self.given),
        }
        return {key: value for key, value in everything.items() if value not in (None, [], {})}

    @property
    def names(self) -> list[str]:
        return [subject.name for subject in self.subjects]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A judge's answer."""

    value: Mapping[str, Json]
    """The typed dict of the question's kind."""
    unreadable: bool = False
    """The judge said something that does not parse; `value` then holds what the rules make of it (nothing, or no)."""
    reply: str | None = None
    """The judge's own words, where it speaks."""


class JudgementError(RuntimeError):
    """A judge gave no answer to this one question: a time-out, a refusal, numbers that are none."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class JudgeUnavailableError(RuntimeError):
    """A judge cannot run here at all: weights, a library or a server are missing."""


def digest(value: Json) -> str:
    """A name for a JSON value: equal values have equal names in every process."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Json) -> str:
    """JSON with sorted keys and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
