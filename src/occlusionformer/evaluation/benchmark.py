"""What a benchmark is: items to draw, what is known about each of them, and the metrics that apply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from occlusionformer.evaluation.judgement import Json, Kind
from occlusionformer.layout import Layout, Pair, Pairs, overlap

if TYPE_CHECKING:
    from PIL import Image

Picture = Literal["generated", "reference"]


class Need(NamedTuple):
    """A kind of judgement that a metric is computed from, and the picture it is about.

    The answer is the typed dict of its kind (`judgement.py`). Instances go by `truth.names`, in the order of the
    layout; boxes are in pixels of `truth.frame`.
    """

    kind: Kind
    picture: Picture = "generated"

    def __str__(self) -> str:
        return self.kind if self.picture == "generated" else f"{self.kind} of the {self.picture}"


Answers = Mapping[Need, Mapping[str, Json] | None]
"""What the judges said about one picture and about the reference of its item.

None says that a judge was asked and gave nothing usable; what was not asked is not there at all.
"""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is known about an item, beyond its layout. All sequences are in the order of the layout's instances."""

    boxes: tuple[tuple[float, float, float, float], ...]
    """Corners in pixels of `frame`, as the metrics take them (whole numbers where the benchmark truncates)."""
    frame: tuple[int, int]
    """Width and height that `boxes` refer to; the picture itself has the size of the layout."""
    names: tuple[str, ...]
    categories: tuple[str, ...]
    """What a detector is asked for; instances without a category stand with their caption."""
    relations: Mapping[str, str] = field(default_factory=dict)
    """Statements about two instances by key, such as `(cat, vase)`."""
    details: tuple[str | None, ...] | None = None
    """Longer captions that name colours, textures and shapes, for questions about attributes."""
    overlap_pairs: tuple[tuple[int, int], ...] = ()
    """Pairs that count for O-mIoU."""
    order: tuple[tuple[int, ...], ...] | None = None
    """Row i, column j: 1 when i hides a part of j, -1 when that is not known; None when no order is known at all."""
    depth: tuple[tuple[int, ...], ...] | None = None
    """Row i, column j: 1 when i is nearer than j, 0 when farther, 2 when equal, -1 when not known."""
    masks: tuple[Mapping[str, object] | None, ...] | None = None
    """Visible regions as COCO run lengths."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One picture to draw."""

    key: str
    """Name of the item in its benchmark: a file name without its ending."""
    layout: Layout
    truth: Truth
    reference: Callable[[], Image.Image] | None = field(default=None, compare=False)
    """Opens the picture that the item was made from."""

    @property
    def categories(self) -> tuple[str, ...]:
        """What a detector is asked for: every category once, sorted."""
        return tuple(sorted(set(self.truth.categories)))

    @property
    def difficulty(self) -> dict[str, float]:
        """Numbers to draw scores over: how many instances, and how far their boxes overlap."""
        found = overlap(self.layout.boxes)
        return {
            "instances": float(len(self.layout.instances)),
            "overlapping_pairs": float(found.num_pairs),
            "max_iou": found.max_iou,
            "total_iou": found.total_iou,
        }

    def ordered(self, order: Sequence[Sequence[int]]) -> Item:
        """The same item conditioned on an order, row i, column j: 1 when i hides a part of j. Loops are allowed."""
        ids = [instance.id for instance in self.layout.instances]
        pairs = tuple(Pair(front=ids[i], behind=ids[j]) for i, j in np.argwhere(np.asarray(order) == 1))
        fields = {**self.layout.model_dump(exclude={"order", "cycles"}), "order": Pairs(pairs=pairs), "cycles": "allow"}
        return replace(self, layout=Layout.model_validate(fields))


class Contribution(NamedTuple):
    """What one picture adds to a score, the sum of all totals over the sum of all weights."""

    total: float
    weight: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Column:
    """One number in the table of results."""

    name: str
    title: str
    higher_is_better: bool = True


ImageRule = Callable[[Item, Answers], Mapping[str, Contribution | None]]
"""What one picture adds to every column, None where the picture has nothing to say about it."""
SetRule = Callable[[Iterable[tuple[Item, Answers]]], Mapping[str, float | None]]
"""The columns from all pictures at once; None for one that cannot be computed from them."""


@dataclass(frozen=True, kw_only=True)
class MetricSpec:
    """A metric, ready to be applied to pictures: the judgements it needs, and its columns.

    An answer of None, or of the wrong form, costs the picture its points and is counted, never raised.
    """

    name: str
    needs: tuple[Need, ...]
    columns: tuple[Column, ...]
    of_image: ImageRule | None = None
    of_set: SetRule | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    """Everything that moves the number, to be printed with it."""

    def __post_init__(self) -> None:
        assert (self.of_image is None) != (self.of_set is None), f"{self.name}: expected one rule"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Items and the metrics that apply to them."""

    name: str
    title: str
    items: Sequence[Item]
    """Read from disk where they are taken, in a fixed order."""
    metrics: tuple[MetricSpec, ...]
    conditions_on: Need | None = None
    """A judgement of the reference that gives the items their order, before anything is drawn."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Everything about the items that moves a number: files, sizes, rules of selection, and what judges are to use."""
    reported: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Published figures by method and column name."""
    notes: tuple[str, ...] = ()
    """What has to be printed next to the results."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """Everything the judges are asked, each once, what conditions the items first."""
        asked = [need for metric in self.metrics for need in metric.needs]
        first = [self.conditions_on] if self.conditions_on else []
        return tuple(dict.fromkeys([*first, *asked]))
