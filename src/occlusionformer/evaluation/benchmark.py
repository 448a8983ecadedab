"""What a benchmark is: items to draw, what is known about each of them, and the metrics that apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from occlusionformer.evaluation.metrics.matrices import square
from occlusionformer.layout import Layout, Pair, Pairs, overlap

if TYPE_CHECKING:
    from PIL import Image

QuestionKind = Literal[
    "detect",
    "entity",
    "relation",
    "order",
    "depth",
    "clip_global",
    "clip_local",
    "fid_features",
    "attributes",
    "attributes_of_detected",
    "attributes_by_caption",
    "segment",
    "segment_by_mask",
    "segment_by_soft_mask",
    "appearance",
]
Subject = Literal["generated", "reference"]


class Question(NamedTuple):
    """One thing a judge is asked about one picture, and what the answer is, as plain JSON values.

    | kind | answer |
    |---|---|
    | detect | `{category: [[x1, y1, x2, y2], ...]}` in pixels of the picture as the judge gave them; every category of the item |
    | entity | `{instance name: "yes" or "no"}` |
    | relation | `{key of truth.relations: "yes" or "no"}` |
    | order | N lists of N: 1 in row i, column j when i hides a part of j, else 0 |
    | depth | N lists of N: 1 when i is nearer than j, 0 when farther, 2 when equal, -1 when the judge cannot say |
    | clip_global | cosine of the picture and the prompt |
    | clip_local | N cosines of crops and captions, None for an instance without one |
    | fid_features | the feature vector of the picture: numbers, or base64 of little-endian float32 |
    | attributes | `{instance name: {"spatial", "color", "texture", "shape": "yes" or "no"}}`: presence is asked with the short description, the attributes with both (arXiv 2412.03859) |
    | attributes_of_detected | the same without "spatial", for the instances that were detected: each is looked at in its detected box (arXiv 2509.16691) |
    | attributes_by_caption | the same as `attributes`, everything asked with the longest caption there is; this project's own |
    | segment | N masks `{"size": [height, width], "counts": ...}` in COCO run lengths, None for an empty one; prompted with boxes |
    | segment_by_mask | the same, prompted with the true mask as zeros and ones beside the box (arXiv 2506.00596) |
    | segment_by_soft_mask | the same, prompted with the true mask as smoothed logits; this project's own |
    | appearance | `{figure: number or None}`, the figures of `specs.appearance` for the picture as a whole |

    N is the number of instances, in the order of the layout. An answer of None: the judge was asked and gave nothing
    usable. A question that was not asked has no answer at all. "unreadable" in place of "yes" or "no" counts as no.
    """  # noqa: E501 - a table

    kind: QuestionKind
    subject: Subject = "generated"

    def __str__(self) -> str:
        return self.kind if self.subject == "generated" else f"{self.kind} of the {self.subject}"


BUILDS_UPON: Mapping[QuestionKind, tuple[QuestionKind, ...]] = {"attributes_of_detected": ("detect",)}
"""Questions that can only be asked once others about the same picture are answered, whoever answers them."""

Answers = Mapping[Question, object]
"""All answers about one picture, and about the reference of its item where that was asked."""


@dataclass(frozen=True, kw_only=True)
class ItemTruth:
    """What is known about the picture of an item. All sequences are in the order of the layout's instances."""

    boxes: tuple[tuple[float, float, float, float], ...]
    """Corners in pixels of `frame`, as the metrics take them (whole numbers where the benchmark truncates)."""
    frame: tuple[int, int]
    """Width and height that `boxes` refer to; the picture itself has the size of the layout."""
    names: tuple[str, ...]
    categories: tuple[str, ...]
    """The category a detector is asked for; the caption where an instance has no category."""
    relations: Mapping[str, str] = field(default_factory=dict)
    """Statements about two instances by key, such as "in front of" under `(cat, vase)`."""
    details: tuple[str | None, ...] | None = None
    """Longer captions that name colours, textures and shapes, for questions about attributes; without them the
    layout's captions are taken."""
    overlap_pairs: tuple[tuple[int, int], ...] = ()
    """Pairs that count for O-mIoU."""
    order: tuple[tuple[int, ...], ...] | None = None
    """Row i, column j: 1 when i hides a part of j, -1 when that is not known; None when no order is known at all."""
    depth: tuple[tuple[int, ...], ...] | None = None
    """Row i, column j: 1 when i is nearer than j, 0 when farther, 2 when equal, -1 when not known."""
    masks: tuple[Mapping[str, Any] | None, ...] | None = None
    """Visible regions as COCO run lengths, None for one without a pixel; None altogether when they are not known."""
    prompt_boxes: tuple[tuple[float, float, float, float], ...] | None = None
    """Boxes to prompt segmenters with, where the protocol has other ones than `boxes`."""
    declared_order: tuple[tuple[int, ...], ...] | None = None
    """As `order`, for a layout that declares another one than is true."""


@dataclass(frozen=True, kw_only=True)
class BackgroundPicture:
    """The picture that an item asks for, without its objects."""

    digest: str
    """Of its pixels."""
    load: Callable[[], Image.Image] | None = field(default=None, compare=False)
    """None for an item that was read back from a run, whose answers are recorded."""


class SwappedPair(NamedTuple):
    """What an item has changed of another one."""

    of: str
    """The key of the item that declares the pair the other way round, and is drawn with the same noise."""
    front: int
    """The instance that is declared in front there, and behind here."""
    behind: int


@dataclass(frozen=True, kw_only=True)
class BenchmarkItem:
    """One picture to draw, and what is known about it."""

    key: str
    """Name of the item in its benchmark: a file name without its ending."""
    layout: Layout
    truth: ItemTruth
    reference: Callable[[], Image.Image] | None = field(default=None, compare=False)
    """Opens the picture that the item was made from."""
    background: BackgroundPicture | None = None
    """The declared background, where it is known to the pixel."""
    picture_names: tuple[str, ...] = ()
    """File names without ending that published code gives to the picture of the item, where they are not the key."""
    seed: int = 0
    """Added to the seed of a run: items with the same number are drawn with the same noise."""
    groups: tuple[str, ...] = ()
    """Names of the groups that it belongs to; results are also told for each of them."""
    swapped: SwappedPair | None = None

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories a detector is asked for: each once, sorted."""
        return tuple(sorted(set(self.truth.categories)))

    @property
    def difficulty(self) -> dict[str, float]:
        """Measures of difficulty: the number of instances and of overlapping pairs, and how far boxes overlap (IoU)."""
        found = overlap(self.layout.boxes)
        return {
            "instances": float(len(self.layout.instances)),
            "overlapping_pairs": float(found.num_pairs),
            "max_iou": found.max_iou,
            "total_iou": found.total_iou,
        }

    def resized(self, size: tuple[int, int]) -> BenchmarkItem:
        """The same item with its layout on a canvas of another width and height; boxes are fractions and stay."""
        return replace(self, layout=self.layout.model_copy(update={"width": size[0], "height": size[1]}))

    def ordered(self, order: object) -> BenchmarkItem:
        """The same item with a judged order in its layout: row i, column j is 1 when i hides a part of j.

        Loops are allowed. An answer of another form leaves the item as it is, like an answer that failed.
        """
        ids = [instance.id for instance in self.layout.instances]
        try:
            hides_NN = square("order", np.asarray(order), (0, 1), like=np.zeros((len(ids), len(ids)), int))
        except ValueError:
            return self
        if hides_NN.diagonal().any():
            return self
        pairs = tuple(Pair(front=ids[i], behind=ids[j]) for i, j in np.argwhere(hides_NN == 1))
        return replace(self, layout=self.layout.model_copy(update={"order": Pairs(pairs=pairs), "cycles": "allow"}))


class Contribution(NamedTuple):
    """What one picture adds to a score: a score is the sum of all totals over the sum of all weights."""

    total: float
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number in the table of results."""

    name: str
    title: str
    higher_is_better: bool = True
    target: float | None = None
    """The best value, where too much is as bad as too little; `higher_is_better` then says nothing."""
    is_detail: bool = False
    """Whether tables leave it out where it has no value."""

    @property
    def arrow(self) -> str:
        """Where the better values are."""
        if self.target is not None:
            return f"→ {self.target:g}"
        return "↑" if self.higher_is_better else "↓"

    def merit(self, value: float) -> float:
        """A number that is the greater the better the value is."""
        if self.target is not None:
            return -abs(value - self.target)
        return value if self.higher_is_better else -value


ParsedAnswers = Mapping[Question, Any]
"""Answers as `parse_answers.parse_answer` gives them; None for those of another form."""
ImageRule = Callable[[BenchmarkItem, ParsedAnswers], Mapping[str, Contribution | None]]
"""What one picture adds to each column; None, or no entry, for a column in which the picture does not count."""
SetRule = Callable[[Iterable[tuple[BenchmarkItem, ParsedAnswers]]], Mapping[str, float | None]]
"""The value of each column over all pictures; None for a column that cannot be computed from them."""


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """A metric: the judgements it needs, its columns, and the rule that computes them.

    An answer of None or of another form scores as the worst answer for its picture and is counted as failed; it never
    raises an error.
    """

    name: str
    needs: tuple[Question, ...]
    columns: tuple[Column, ...]
    of_image: ImageRule | None = None
    of_set: SetRule | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    """Settings of the metric that change its value; printed with it."""

    def __post_init__(self) -> None:
        assert (self.of_image is None) != (self.of_set is None), f"{self.name}: expected one rule"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Items and the metrics that apply to them."""

    name: str
    title: str
    items: Sequence[BenchmarkItem]
    """In a fixed order; may be read from disk when they are taken."""
    metrics: tuple[MetricSpec, ...]
    conditions_on: Question | None = None
    """A question about the reference whose answer gives the items their order, before anything is drawn."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What identifies the items: files, sizes, rules of selection, the published judges."""
    reported: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Published figures by method and column name. They were measured by others: see `reported_with`."""
    reported_with: Mapping[str, Any] | None = None
    """How the published figures came about: `source`, `items`, and by kind of question the model of the `judges`, as
    far as that is stated."""
    notes: tuple[str, ...] = ()
    """Sentences to print next to the results."""
    groups: tuple[str, ...] = ()
    """Names of the groups of items, in the order of the tables."""

    @property
    def questions(self) -> tuple[Question, ...]:
        """All questions of all metrics, each once, in the order of the metrics."""
        asked = [question for metric in self.metrics for question in metric.needs]
        first = [self.conditions_on] if self.conditions_on else []
        return tuple(dict.fromkeys([*first, *asked]))
