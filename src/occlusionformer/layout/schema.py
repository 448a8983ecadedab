"""Layouts: what a user draws. A prompt, a canvas, instances in boxes, and who is in front of whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    model_validator,
)

from occlusionformer.layout.box import Box
from occlusionformer.layout.document import Document, InSlices
from occlusionformer.layout.limits import LAYOUTS
from occlusionformer.layout.numeric import AnyNumber, plain_number
from occlusionformer.layout.problems import LayoutError, Problem, shown
from occlusionformer.layout.region import LONGEST_SIDE, Polygon, RunLength, UnitFloat
from occlusionformer.layout.relations import id_problems, order_problems, readable_ids
from occlusionformer.layout.zorder import MOST_RELATIONS, ZOrder

LARGEST_SEED = 2**63 - 1

MOST_LISTED = 512
"""Instances up to which a total order is written out pair by pair: 130,816 relations."""


def _written(text: str) -> str:
    if not text.strip():
        raise LayoutError([f"expected some text, got {shown(text)}"])
    if len(text) > LAYOUTS.characters:
        raise LayoutError([LAYOUTS.too_long(len(text))])
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LayoutError([f"expected text that can be written as UTF-8, got {shown(text)}"]) from None
    return text


def _not_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise LayoutError([f"expected 1, got {shown(value)}"])
    return plain_number(value)


def _member(fields: Mapping[str, str]) -> Callable[[object], str | None]:
    """The member of a union that a value belongs to, by the first field it has."""

    def tag(value: object) -> str | None:
        names = value if isinstance(value, Mapping) else type(value).model_fields if isinstance(value, Document) else ()
        return next((fields[name] for name in fields if name in names), None)

    return tag


Text = Annotated[str, Field(strict=True, json_schema_extra={"pattern": r"\S"}), AfterValidator(_written)]
Pixels = Annotated[int, Field(strict=True, ge=1, le=LONGEST_SIDE), AnyNumber]
Region = Annotated[
    Annotated[Polygon, Tag("<polygon>")] | Annotated[RunLength, Tag("<run length>")],
    Discriminator(
        _member({"points": "<polygon>", "size": "<run length>", "counts": "<run length>"}),
        custom_error_type="region",
        custom_error_message="an object with points, or with size and counts",
    ),
]


class Instance(Document):
    """One thing in the picture."""

    id: Text = Field(description="Name of the instance in this layout; the order refers to it.")
    caption: Text = Field(description="What the instance looks like.", examples=["a tabby cat asleep"])
    box: Box = Field(
        description="Left, top, right and bottom edge [x1, y1, x2, y2] as fractions of the canvas width and height, "
        "x to the right, y down, x1 < x2, y1 < y2. The whole instance, hidden parts included."
    )
    category: Text | None = Field(None, description="What kind of thing it is, in a word or two.", examples=["cat"])
    region: Region | None = Field(
        None, description="The part of the canvas the instance may fill, when that is not its whole box."
    )
    opacity: UnitFloat = Field(1.0, description="How much of what is behind it the instance hides: 0 nothing, 1 all.")

    @model_validator(mode="after")
    def _region_meets_box(self) -> Self:
        if self.region is not None and self.region.bounds().intersection(self.box) is None:
            text = f"expected a region that overlaps the box, got one inside {shown(list(self.region.bounds()))}"
            raise LayoutError([Problem(("region",), text)])
        return self


class FrontToBack(Document):
    """A total order: every listed instance is in front of all that follow."""

    front_to_back: Annotated[tuple[Text, ...], InSlices] = Field(
        description="Ids of instances, the nearest first. Instances that are not listed have no relation."
    )


class Pair(Document):
    """One relation."""

    front: Text = Field(description="Id of the instance in front.")
    behind: Text = Field(description="Id of the instance that it hides a part of.")


class Pairs(Document):
    """Relations one by one."""

    pairs: Annotated[tuple[Pair, ...], InSlices] = Field(
        description="Who is in front of whom. What is not said is no relation."
    )


class Depths(Document):
    """An order by distance from the viewer."""

    depths: Annotated[
        dict[Text, Annotated[float, Field(strict=True), AnyNumber]],
        InSlices,
        WithJsonSchema(
            {"type": "object", "propertyNames": {"pattern": r"\S"}, "additionalProperties": {"type": "number"}}
        ),
    ] = Field(
        description="Distance of each instance by id: the smaller is in front. Equal numbers, and instances that "
        "are not listed, have no relation."
    )

    def __hash__(self) -> int:
        return hash(frozenset(self.depths.items()))


Order = Annotated[
    Annotated[FrontToBack, Tag("<front_to_back>")]
    | Annotated[Pairs, Tag("<pairs>")]
    | Annotated[Depths, Tag("<depths>")],
    Discriminator(
        _member({"front_to_back": "<front_to_back>", "pairs": "<pairs>", "depths": "<depths>"}),
        custom_error_type="order",
        custom_error_message="an object with front_to_back, pairs or depths",
    ),
]

CyclePolicy = Literal["error", "allow", "break"]


class Layout(Document):
    """A picture to generate: a prompt, instances in boxes, and who is in front of whom.

    Valid from the start: raises LayoutError with every problem of the document.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "description": "A picture to generate: a prompt, instances in boxes, and who is in front of whom."
        }
    )

    version: Annotated[Literal[1], BeforeValidator(_not_boolean)] = Field(1, description="Version of this format.")
    prompt: Text = Field(description="The whole picture in words.", examples=["a cat in front of a vase"])
    width: Pixels = Field(description="Width of the canvas in pixels.")
    height: Pixels = Field(description="Height of the canvas in pixels.")
    seed: Annotated[int, Field(strict=True, ge=0, le=LARGEST_SEED), AnyNumber] | None = Field(
        None, description="Start of the random numbers; without it every generation differs."
    )
    instances: Annotated[tuple[Instance, ...], InSlices] = Field(
        (), description="What is in the picture, in any order and any number."
    )
    order: Order | None = Field(
        None, description="Who is in front of whom: a total order, relations one by one, or depths."
    )
    cycles: CyclePolicy = Field(
        "error",
        description="What to do about a loop in the order: refuse the layout, keep it (mutual occlusion), or "
        "break it by taking out relations.",
    )
    closure: Annotated[bool, Field(strict=True)] = Field(
        False, description="Whether front of front is in front too, for instances whose boxes overlap."
    )

    @classmethod
    def problems_between(cls, fields: Mapping[str, Any]) -> Iterator[Problem]:
        ids = readable_ids(fields.get("instances", ()))
        refuse_loops = fields.get("cycles", "error") == "error"
        yield from id_problems(ids)
        yield from order_problems(fields.get("order"), ids, refuse_loops=refuse_loops)

    def problems_within(self) -> Iterator[Problem]:
        """An order with too many relations; few instances cannot have them."""
        if self.order is not None and len(self.instances) ** 2 > MOST_RELATIONS:
            try:
                _ = self.zorder
            except LayoutError as error:
                yield from error.details

    @property
    def boxes(self) -> tuple[Box, ...]:
        """The box of every instance."""
        return tuple(instance.box for instance in self.instances)

    @cached_property
    def zorder(self) -> ZOrder | None:
        """The order by index, after `cycles` and `closure`; None when no order is declared at all.

        Above MOST_LISTED instances a total order or depths relate only boxes that overlap or nearly do,
        the others never meet in an image token.
        """
        declared = self.declared_zorder
        if declared is None:
            return None
        if self.cycles == "break":
            declared, _ = declared.broken()
        return declared.closure(self.boxes) if self.closure else declared

    @property
    def broken_pairs(self) -> tuple[Pair, ...]:
        """The relations that `cycles="break"` takes out, in the order of the instances."""
        declared = self.declared_zorder
        if declared is None or self.cycles != "break":
            return ()
        _, removed = declared.broken()
        ids = [instance.id for instance in self.instances]
        return tuple(Pair(front=ids[front], behind=ids[behind]) for front, behind in sorted(removed))

    @property
    def declared_zorder(self) -> ZOrder | None:
        """The order by index as it was given, loops and all."""
        index = {instance.id: place for place, instance in enumerate(self.instances)}
        if self.order is None:
            return None
        if isinstance(self.order, Pairs):
            return ZOrder.from_pairs(len(index), [(index[pair.front], index[pair.behind]) for pair in self.order.pairs])
        boxes = self.boxes if len(index) > MOST_LISTED else None
        if isinstance(self.order, FrontToBack):
            listed = [index[name] for name in self.order.front_to_back]
            return ZOrder.from_total(listed, num_instances=len(index), boxes=boxes)
        depths = [self.order.depths.get(instance.id) for instance in self.instances]
        return ZOrder.from_depths(depths, boxes=boxes)
