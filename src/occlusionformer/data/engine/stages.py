"""The stages that use a model: captions, order, amodal masks.

A stage is set up once and then called with batches of items. It knows nothing of who runs it. What it raises for a
batch is found out picture by picture, so it may raise for the first thing that is wrong.

Arrays: H rows, W columns, N instances, P pairs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from occlusionformer.data.engine.cleaning import CleanStage
from occlusionformer.data.engine.contacts import touching_pairs
from occlusionformer.data.engine.filters import FilterStage
from occlusionformer.data.engine.item import CONFIDENCE_DIGITS, BadItemError, Item, digest
from occlusionformer.data.engine.models.protocol import Captioner, Completer, DataModel, MaskedPicture, Orderer
from occlusionformer.data.engine.models.registry import load_model
from occlusionformer.data.engine.plan import AmodalPlan, CaptionPlan, CleanPlan, OrderPlan, StageKind
from occlusionformer.data.records import Record, Step, box_of, encode_mask


class Stage(Protocol):
    """A processing step; set up once, then called with batches of items."""

    def setup(self) -> None:
        """Load the model; called once, in the process where the stage runs."""
        ...

    def __call__(self, batch: Sequence[Item]) -> list[Item]:
        """The items in their order, with the fields that this stage adds."""
        ...


def make_stage(plan: StageKind) -> Stage:
    """Make the stage of a plan, not yet set up."""
    if isinstance(plan, CaptionPlan):
        return CaptionStage(plan)
    if isinstance(plan, OrderPlan):
        return OrderStage(plan)
    if isinstance(plan, AmodalPlan):
        return AmodalStage(plan)
    return CleanStage(plan) if isinstance(plan, CleanPlan) else FilterStage(plan)


def view_of(item: Item, *, ordered: bool = False) -> MaskedPicture:
    """An item's picture and masks as the input of a model."""
    record = item.known()
    image = item.image()
    masks = item.visible()
    empty = [record.instances[place].id for place in np.flatnonzero(~masks.any(axis=(1, 2)))]
    if empty:
        raise BadItemError(f"instances: expected masks with set pixels, got empty ones of {', '.join(empty)}")
    return MaskedPicture(
        key=item.key,
        ids=tuple(instance.id for instance in record.instances),
        image=image,
        masks=masks,
        in_front=item.in_front() if ordered and record.order is not None else None,
    )


def step_of(plan: Any, revision: str) -> Step:
    """The provenance entry of a stage."""
    settings = plan.model_dump(mode="json", exclude=set(plan.RESOURCES))
    config = digest(json.dumps(settings, sort_keys=True))[:16]
    return Step(stage=plan.stage, model=plan.model, revision=revision, config=config)


class CaptionStage:
    """Adds a caption to every instance."""

    def __init__(self, plan: CaptionPlan) -> None:
        self.plan = plan

    def setup(self) -> None:
        self.model = _expected(load_model(self.plan.model), Captioner, self.plan.model)

    def __call__(self, batch: Sequence[Item]) -> list[Item]:
        return [self._captioned(item) for item in batch]

    def _captioned(self, item: Item) -> Item:
        view = view_of(item, ordered=True)
        captions = self.model.captions(view)
        assert len(captions) == len(view.ids), f"{self.plan.model}: {len(captions)} captions"
        instances = tuple(
            replace(instance, caption=shortened(caption, self.plan.longest))
            for instance, caption in zip(item.known().instances, captions, strict=True)
        )
        return item.with_step(replace(item.known(), instances=instances), step_of(self.plan, self.model.revision))


def shortened(caption: str, longest: int) -> str:
    """One line of at most so many characters, cut at the last full sentence or else the last full word."""
    plain = " ".join(caption.split())
    if len(plain) <= longest:
        return plain
    head = plain[: longest + 1]
    sentence, word = head.rfind(". "), head.rfind(" ")
    return head[: sentence + 1] if sentence > 0 else head[:word] if word > 0 else head[:longest]


class OrderStage:
    """Adds the occlusion order of every two instances whose masks touch."""

    def __init__(self, plan: OrderPlan) -> None:
        self.plan = plan

    def setup(self) -> None:
        self.model = _expected(load_model(self.plan.model), Orderer, self.plan.model)

    def __call__(self, batch: Sequence[Item]) -> list[Item]:
        return [self._ordered(item) for item in batch]

    def _ordered(self, item: Item) -> Item:
        view = view_of(item)
        pairs_P2 = touching_pairs(view.masks, reach=self.plan.reach)
        chances = self.model.probabilities(view, pairs_P2) if len(pairs_P2) else np.zeros((0, 2))
        if chances.shape != (len(pairs_P2), 2) or not np.isfinite(chances).all():
            raise BadItemError(f"order: expected {len(pairs_P2)} x 2 finite probabilities, got {chances.tolist()}")
        chance_NN = np.zeros((len(view.ids), len(view.ids)))
        chance_NN[pairs_P2[:, 0], pairs_P2[:, 1]] = chances[:, 0]
        chance_NN[pairs_P2[:, 1], pairs_P2[:, 0]] = chances[:, 1]
        record = with_order(item.known(), chance_NN > self.plan.threshold, chance_NN)
        return item.with_step(record, step_of(self.plan, self.model.revision))


def with_order(record: Record, in_front_NN: np.ndarray, chance_NN: np.ndarray) -> Record:
    """A record with an order and the confidence of each entry, 1 - chance where it says "not in front"."""
    sure = np.where(in_front_NN, chance_NN, 1 - chance_NN).round(CONFIDENCE_DIGITS)
    return replace(
        record,
        order=tuple(map(tuple, in_front_NN.astype(int).tolist())),
        order_confidence=tuple(map(tuple, sure.tolist())),
    )


class AmodalStage:
    """Adds amodal masks; an instance with nothing in front keeps its visible mask."""

    def __init__(self, plan: AmodalPlan) -> None:
        self.plan = plan

    def setup(self) -> None:
        self.model = _expected(load_model(self.plan.model), Completer, self.plan.model)

    def __call__(self, batch: Sequence[Item]) -> list[Item]:
        return [self._completed(item) for item in batch]

    def _completed(self, item: Item) -> Item:
        view = view_of(item, ordered=True)
        if view.in_front is None:
            raise BadItemError("order: expected one before whole masks are asked for, got none")
        hidden = [place for place in range(len(view.ids)) if view.in_front[:, place].any()]
        whole = view.masks.copy()
        recall = np.ones(len(view.ids))
        for place, mask in zip(hidden, self.model.complete(view, hidden) if hidden else (), strict=True):
            visible = view.masks[place]
            recall[place] = (mask & visible).sum() / visible.sum()
            whole[place] = visible | (mask & view.hiding(place) if self.plan.confine else mask)
        instances = []
        for place, instance in enumerate(item.known().instances):
            mask = encode_mask(whole[place])
            extra = {**json.loads(instance.extra), "visible_recall": round(float(recall[place]), CONFIDENCE_DIGITS)}
            instances.append(
                replace(instance, amodal_mask=mask, amodal_box=box_of(mask), extra=json.dumps(extra, sort_keys=True))
            )
        record = replace(item.known(), instances=tuple(instances))
        return item.with_step(record, step_of(self.plan, self.model.revision))


def _expected(model: DataModel, kind: Any, name: str) -> Any:
    """The model, if it has the interface needed; else raises ValueError."""
    if not isinstance(model, kind):
        raise ValueError(f"model: expected a {kind.__name__.lower()}, got {name!r}, which is none")
    return model
